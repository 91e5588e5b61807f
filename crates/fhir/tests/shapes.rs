//! Goal: a value of a wrong JSON type anywhere in a resource is refused at its place, and nothing
//! is refused for being unknown to R4.
//!
//! How: one row per fault; `@` stands where the fault does.

#![allow(clippy::unwrap_used)]

use fhir::{Reason, ReferenceElement, Resource};

#[rustfmt::skip] // a table is read down
#[test]
fn a_wrong_type_is_refused_at_its_place() {
    let string = Reason::WrongType("a string");
    let object = Reason::WrongType("an object");
    let array = Reason::WrongType("an array");
    let number = Reason::WrongType("a number");
    let boolean = Reason::WrongType("true or false");
    let word = Reason::Value("a resource type is a capitalised word");
    let id = Reason::Value("an id is 1 to 64 characters of letters, digits, '-' and '.'");
    let table = [
        ("no object", r#"@["Patient"]"#, "$this", object),
        ("no type", r#"@{"id":"x"}"#, "$this", Reason::Missing("resourceType")),
        ("a type that is no string", r#"{"resourceType":@1}"#, "$this.resourceType", string),
        ("a type in lower case", r#"{"resourceType":@"patient"}"#, "$this.resourceType", word),
        ("an id with a slash", r#"{"resourceType":"Patient","id":@"a/b"}"#, "Patient.id", id),
        ("an id that is a number", r#"{"resourceType":"Patient","id":@7}"#, "Patient.id", string),
        ("an id that is null", r#"{"resourceType":"Patient","id":@null}"#, "Patient.id", string),
        ("meta", r#"{"resourceType":"Patient","meta":@[]}"#, "Patient.meta", object),
        ("meta.source", r#"{"resourceType":"Patient","meta":{"source":@{}}}"#, "Patient.meta.source", string),
        ("a profile not in an array", r#"{"resourceType":"Patient","meta":{"profile":@"x"}}"#, "Patient.meta.profile", array),
        ("a profile that is a number", r#"{"resourceType":"Patient","meta":{"profile":["x",@1]}}"#, "Patient.meta.profile[1]", string),
        ("a tag that is a string", r#"{"resourceType":"Patient","meta":{"tag":[@"x"]}}"#, "Patient.meta.tag[0]", object),
        ("a name that is an object", r#"{"resourceType":"Patient","name":@{}}"#, "Patient.name", array),
        ("a name that is null", r#"{"resourceType":"Patient","name":[{},@null]}"#, "Patient.name[1]", object),
        ("a given name that is an object", r#"{"resourceType":"Patient","name":[{"given":["A",@{}]}]}"#, "Patient.name[0].given[1]", string),
        ("active as a word", r#"{"resourceType":"Patient","active":@"true"}"#, "Patient.active", boolean),
        ("a decimal as a word", r#"{"resourceType":"Observation","valueQuantity":{"value":@"1.0"}}"#, "Observation.valueQuantity.value", number),
        ("a code that is no concept", r#"{"resourceType":"Observation","code":@"x"}"#, "Observation.code", object),
        ("a subject in an array", r#"{"resourceType":"Observation","subject":@[{}]}"#, "Observation.subject", object),
        ("a reference that is an object", r#"{"resourceType":"Observation","subject":{"reference":@{}}}"#, "Observation.subject.reference", string),
        ("a reference in an array", r#"{"resourceType":"Observation","performer":[{"reference":@["x"]}]}"#, "Observation.performer[0].reference", string),
        ("deep within a nested element", r#"{"resourceType":"Patient","contact":[{"name":{"period":{"start":@1}}}]}"#, "Patient.contact[0].name.period.start", string),
        ("within an element of its parent's shape", r#"{"resourceType":"Questionnaire","item":[{"item":[{"linkId":@1}]}]}"#, "Questionnaire.item[0].item[0].linkId", string),
        ("a contained resource without type", r#"{"resourceType":"Patient","contained":[@{}]}"#, "Patient.contained[0]", Reason::Missing("resourceType")),
        ("within a contained resource", r#"{"resourceType":"Patient","contained":[{"resourceType":"Organization","name":@1}]}"#, "Patient.contained[0].name", string),
        ("within an extension", r#"{"resourceType":"Patient","extension":[{"valueInteger":@"1"}]}"#, "Patient.extension[0].valueInteger", number),
        ("a companion in an array", r#"{"resourceType":"Patient","_birthDate":@[]}"#, "Patient._birthDate", object),
        ("a companion not in an array", r#"{"resourceType":"Patient","name":[{"_given":@{}}]}"#, "Patient.name[0]._given", array),
        ("within a companion", r#"{"resourceType":"Patient","_birthDate":{"extension":@{}}}"#, "Patient._birthDate.extension", array),
    ];
    for (case, marked, expression, reason) in table {
        let offset = marked.find('@').unwrap();
        let error = Resource::parse(marked.replacen('@', "", 1).into_bytes()).unwrap_err();
        assert_eq!(error.reason, reason, "{case}");
        assert_eq!((error.expression.as_str(), error.offset), (expression, offset), "{case}");
    }
}

#[test]
fn what_r4_does_not_know_is_kept_and_its_references_are_found() {
    let table = [
        (
            "a resource type of R5",
            r#"{"resourceType":"Transport","basedOn":[{"reference":"A/1"}],"name":7}"#,
        ),
        (
            "an element of R5",
            r#"{"resourceType":"Patient","later":{"deep":[{"reference":"A/1"}]}}"#,
        ),
        (
            "a contained type of R5",
            r#"{"resourceType":"Patient","contained":[{"resourceType":"Transport","x":{"reference":"A/1"}}]}"#,
        ),
        ("a companion of an object", r#"{"resourceType":"Patient","_name":[{"reference":"A/1"}]}"#),
    ];
    for (case, text) in table {
        let resource = Resource::parse(text).unwrap();
        let found: Vec<_> =
            resource.references().iter().map(|found| resource.reference_text(found)).collect();
        assert_eq!(found, ["A/1"], "{case}");
    }
}

#[test]
fn references_are_those_of_r4_and_no_others() {
    let text = r##"{"resourceType":"DocumentReference",
        "contained":[{"resourceType":"Observation","subject":{"reference":"Patient/1"}}],
        "subject":{"reference":"Patient\/2","display":"reference"},
        "_status":{"extension":[{"url":"Binary/0","valueReference":{"reference":"#c"}}]},
        "content":[{"attachment":{"url":"http://x/Binary/3"}},{"attachment":{"url":"http://x/y.pdf"}}],
        "relatesTo":[{"target":{"identifier":{"value":"no reference"}}}],
        "extension":[{"url":"a","valueExpression":{"language":"text/cql","reference":"http://x/Library/4"}}]
    }"##;
    let resource = Resource::parse(text).unwrap();
    let found = resource.references().iter();
    let found: Vec<_> = found.map(|it| (resource.reference_text(it), it.element)).collect();
    use ReferenceElement::{AttachmentUrl, Reference};
    let expected = [
        ("Patient/1".into(), Reference),
        ("Patient/2".into(), Reference),
        ("#c".into(), Reference),
        ("http://x/Binary/3".into(), AttachmentUrl),
    ];
    assert_eq!(found, expected);
}

#[test]
fn nulls_stand_in_for_values_that_have_only_a_companion() {
    let text =
        r#"{"resourceType":"Patient","name":[{"given":[null,"B"],"_given":[{"id":"a"},null]}]}"#;
    assert!(Resource::parse(text).is_ok());
}
