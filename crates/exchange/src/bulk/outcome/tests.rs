#![allow(clippy::unwrap_used)]
use super::*;
use crate::Code;

fn read(line: Vec<u8>) -> Told {
    Told::of(&Resource::parse(line).unwrap()).unwrap()
}

#[test]
fn a_line_is_read_as_it_is_written_in_both_dialects() {
    let whom = [
        Whom::Resource("https://c.example/fhir/Patient/1".to_owned()),
        Whom::Push("https://c.example/push|3-ab".to_owned()),
    ];
    let issue = Issue::new(Code::MemberUnknown, "no member").at("Patient");
    let counts = Counts { read: 9, filed: 4, unchanged: 1, deleted: 1, older: 1, refused: 2 };
    for dialect in [Dialect::Ballot, Dialect::Argonaut] {
        let told = read(refused(dialect, &whom, [&issue]));
        assert_eq!((told.whom.as_slice(), told.counts, told.is_error()), (&whom[..], None, true));
        assert_eq!(told.outcome.issues[0].coding.as_ref().unwrap().1, "member-unknown");
        let told = read(counted(dialect, &whom[1..], &counts));
        assert_eq!(
            (told.whom.as_slice(), told.counts, told.is_error()),
            (&whom[1..], Some(counts), false)
        );
    }
    assert_eq!(counts.and(counts).read, 18);
}

/// Lines of other programs, whole and broken: what is understood counts, and nothing more.
#[test]
fn lines_of_others_are_understood() {
    let related = r#"{"resourceType":"OperationOutcome","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/artifact-relatedArtifact","valueRelatedArtifact":{"type":"comments-on","resourceReference":{"reference":"Patient/1"}}}],"issue":[{"severity":"error","code":"processing"}]}"#;
    let told = read(related.as_bytes().to_vec());
    assert_eq!(told.whom, [Whom::Resource("Patient/1".to_owned())]);
    let odd = r#"{"resourceType":"OperationOutcome","extension":[{"url":"urn:x"},{"url":"http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource"},{"url":"urn:y"}],"issue":[{"severity":"information"}]}"#;
    let told = read(odd.as_bytes().to_vec());
    assert!(told.whom.is_empty() && told.counts.is_none() && !told.is_error());
    let patient = Resource::parse(&br#"{"resourceType":"Patient"}"#[..]).unwrap();
    assert_eq!(Told::of(&patient), None);
}
