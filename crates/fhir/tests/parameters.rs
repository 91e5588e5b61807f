//! Goal: parameters are found by name, and a malformed one names its place.

#![allow(clippy::unwrap_used)]

use fhir::{Parameters, ParametersWriter, Reason};

#[test]
fn what_is_written_is_found_by_name() {
    let patient = br#"{"resourceType":"Patient","id":"p"}"#;
    let parts =
        ParametersWriter::new().text("code", "valueCode", "a\"b").raw("n", "valueDecimal", b"1.00");
    let bytes = ParametersWriter::new()
        .text("version", "valueCode", "4.0")
        .text("version", "valueCode", "4.3")
        .raw("Coding", "valueCoding", br#"{"code":"x"}"#)
        .resource("MemberPatient", patient)
        .parts("nothing", ParametersWriter::new())
        .parts("match", parts)
        .finish();
    let parameters = Parameters::parse(bytes).unwrap();
    assert_eq!(parameters.iter().count(), 5, "a parameter of nothing is not written");
    assert_eq!(parameters.text("version"), Some("4.0"));
    let versions: Vec<_> = parameters.all("version").filter_map(|version| version.text()).collect();
    assert_eq!(versions, ["4.0", "4.3"]);
    let coding = parameters.get("Coding").unwrap().value.as_ref().unwrap();
    assert_eq!(
        (coding.element.as_str(), &coding.raw[..]),
        ("valueCoding", &br#"{"code":"x"}"#[..])
    );
    assert_eq!(parameters.get("Coding").unwrap().text(), None);
    let resource = parameters.get("MemberPatient").unwrap().resource.as_ref().unwrap();
    assert_eq!(&resource.bytes()[..], patient);
    let matched = parameters.get("match").unwrap();
    assert_eq!(matched.part("code").unwrap().text(), Some("a\"b"));
    assert_eq!(matched.part("n").unwrap().text(), Some("1.00"), "digits stay as written");
    assert!(parameters.get("nothing").is_none());
}

#[test]
fn a_malformed_parameter_names_its_place() {
    let table = [
        (
            "another resource",
            r#"{"resourceType":"Patient"}"#,
            "Patient.resourceType",
            Reason::Value("Parameters"),
        ),
        (
            "no list",
            r#"{"resourceType":"Parameters","parameter":{}}"#,
            "Parameters.parameter",
            Reason::WrongType("an array"),
        ),
        (
            "no name",
            r#"{"resourceType":"Parameters","parameter":[{}]}"#,
            "Parameters.parameter[0]",
            Reason::Missing("name"),
        ),
        (
            "a value that is null",
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","valueCode":null}]}"#,
            "Parameters.parameter[0].valueCode",
            Reason::WrongType("a primitive or an object"),
        ),
        (
            "two values",
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","valueCode":"x","valueUri":"y"}]}"#,
            "Parameters.parameter[0].valueUri",
            Reason::Value("a parameter has one value"),
        ),
        (
            "a part without name",
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b"},{}]}]}"#,
            "Parameters.parameter[0].part[1]",
            Reason::Missing("name"),
        ),
        (
            "a resource without type",
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","resource":{}}]}"#,
            "Parameters.parameter[0].resource",
            Reason::Missing("resourceType"),
        ),
    ];
    for (case, text, expression, reason) in table {
        let error = Parameters::parse(text).unwrap_err();
        assert_eq!((error.expression.as_str(), error.reason), (expression, reason), "{case}");
    }
}
