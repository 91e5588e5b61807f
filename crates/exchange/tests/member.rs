//! Goal: a push finds its member by member id, birth date and family name together, or says why not.
//!
//! How: one small member file of invented people; one row per Patient and Coverage.

#![allow(clippy::unwrap_used, missing_docs)]

use exchange::Code;
use exchange::member::Members;
use fhir::Resource;

const FILE: &str = "\u{feff}member_id,family,given,birth_date,gender\r
W100,Example,Ada,1980-02-03,female\r
W100,Example,Ben,2010-05-06,male\r
W200,\"O'Neil, Jr\",Cy,1970-01-01,\r
W300,Zwilling,Dora,2015-07-08,female\r
W300,Zwilling,Emil,2015-07-08,male\r
\r
W-400 1,Müller,Fritz,1960-12-31,male,a column more\r
";

fn resource(text: &str) -> Resource {
    Resource::parse(text.as_bytes().to_vec()).unwrap()
}

/// A Patient with a member number (none when empty).
fn patient(number: &str, family: &str, given: &str, birth_date: &str) -> Resource {
    let coding = r#"{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}"#;
    let identifier = match number {
        "" => r#"{"type":{"coding":[{"code":"MR"}]},"value":"W100"}"#.to_owned(),
        number => format!(r#"{{"type":{{"coding":[{coding}]}},"value":"{number}"}}"#),
    };
    resource(&format!(
        r#"{{"resourceType":"Patient","id":"p","identifier":[{identifier}],"name":[{{"family":"{family}","given":["{given}"]}}],"birthDate":"{birth_date}"}}"#
    ))
}

fn coverage(members: &str) -> Resource {
    resource(&format!(r#"{{"resourceType":"Coverage","id":"c"{members}}}"#))
}

#[test]
fn a_member_is_found_by_id_and_demographics_together() {
    use Code::{MemberMismatch, MemberNotNamed, MemberUnknown};
    let members = Members::read(FILE).unwrap();
    let none: &[&str] = &[];
    let subscriber = [r#","subscriberId":"w100""#];
    let mb = [r#","identifier":[{"type":{"coding":[{"code":"MB"}]},"value":"W100"}]"#];
    let theirs = [r#","subscriberId":"W100","beneficiary":{"reference":"Patient/other"}"#];
    let ours = [r#","subscriberId":"W100","beneficiary":{"reference":"Patient/p"}"#];
    let stale = [r#","subscriberId":"W999""#, r#","subscriberId":"W100""#];
    let ada = ("Example", "Ada", "1980-02-03");
    let table = [
        ("by the Patient's member number", "W100", ada, none, Ok("W100")),
        ("by the Coverage's subscriber id", "", ada, &subscriber[..], Ok("W100")),
        ("by the Coverage's member number", "", ada, &mb, Ok("W100")),
        ("by the Coverage of this beneficiary", "", ada, &ours, Ok("W100")),
        ("by whichever id is known", "", ada, &stale, Ok("W100")),
        (
            "a dependent under the subscriber's id",
            "W100",
            ("Example", "Ben", "2010-05-06"),
            none,
            Ok("W100"),
        ),
        ("in capitals", "w100", ("EXAMPLE", "ADA", "1980-02-03"), none, Ok("W100")),
        (
            "with another given name",
            "W100",
            ("Example", "Adelaide", "1980-02-03"),
            none,
            Ok("W100"),
        ),
        ("a name in quotes", "W200", ("O'Neil Jr", "Cy", "1970-01-01"), none, Ok("W200")),
        (
            "an id printed with spaces, a name without its accent",
            "W 4001",
            ("Muller", "F", "1960-12-31"),
            none,
            Ok("W4001"),
        ),
        ("one twin", "W300", ("Zwilling", "Emil", "2015-07-08"), none, Ok("W300")),
        ("a third twin", "W300", ("Zwilling", "Fred", "2015-07-08"), none, Err(MemberMismatch)),
        (
            "another's birth date",
            "W100",
            ("Example", "Ada", "1980-02-04"),
            none,
            Err(MemberMismatch),
        ),
        (
            "another's family name",
            "W100",
            ("Sample", "Ada", "1980-02-03"),
            none,
            Err(MemberMismatch),
        ),
        ("a year for a birth date", "W100", ("Example", "Ada", "1980"), none, Err(MemberMismatch)),
        ("an id nobody has", "W999", ada, none, Err(MemberUnknown)),
        ("demographics alone", "", ada, none, Err(MemberNotNamed)),
        ("the Coverage of another beneficiary", "", ada, &theirs, Err(MemberNotNamed)),
        ("an empty id", " - ", ada, none, Err(MemberNotNamed)),
    ];
    for (case, number, (family, given, birth_date), coverages, wanted) in table {
        let coverages: Vec<_> = coverages.iter().map(|it| coverage(it)).collect();
        let found = members.match_member(&patient(number, family, given, birth_date), &coverages);
        let found = found.map(|key| key.member_id.0).map_err(|issue| issue.code);
        assert_eq!(found, wanted.map(str::to_owned), "{case}");
    }
}

#[test]
fn members_of_one_family_have_digests_of_their_own_that_only_the_house_can_make() {
    let members = Members::read(FILE).unwrap();
    let key = |given: &str, birth_date: &str| {
        members.match_member(&patient("W100", "Example", given, birth_date), &[]).unwrap()
    };
    let (ada, ben) = (key("Ada", "1980-02-03"), key("Ben", "2010-05-06"));
    assert_ne!(ada.digest(b"secret"), ben.digest(b"secret"));
    assert_eq!(ada.digest(b"secret"), key("Adelaide", "1980-02-03").digest(b"secret"));
    assert_ne!(ada.digest(b"secret"), ada.digest(b"other"));
}

#[test]
fn a_patient_of_several_names_or_ids_is_one_member_or_none() {
    let file = "member_id,family,given,birth_date,gender\n\
        W100,Example,Ada,1980-02-03,female\nW101,Example,Ada,1980-02-03,female\n\
        W500,Sample,Gus,1980-02-03,male\n";
    let members = Members::read(file).unwrap();
    let name = |with: &str, family: &str| format!(r#"{{"use":"{with}","family":"{family}"}}"#);
    let bare = |family: &str| format!(r#"{{"family":"{family}"}}"#);
    let (official, old) = (name("official", "Example"), name("old", "Sample"));
    let table = [
        (
            "another's name besides the official one",
            &["W500"][..],
            vec![official.clone(), old.clone()],
            None,
        ),
        ("the official one first", &["W100"], vec![official.clone(), old.clone()], Some("W100")),
        ("the official one behind", &["W100"], vec![old.clone(), official.clone()], Some("W100")),
        ("the first of several", &["W100"], vec![bare("Example"), bare("Sample")], Some("W100")),
        ("not the second of several", &["W500"], vec![bare("Example"), bare("Sample")], None),
        ("the ids of two members", &["W100", "W500"], vec![official.clone(), old.clone()], None),
        ("the ids of two members, by one name", &["W500", "W100"], vec![official.clone()], None),
        ("two cards of one person", &["W101", "W100"], vec![official.clone()], Some("W100")),
        ("a card of another plan", &["X777", "W100"], vec![official.clone()], Some("W100")),
        ("no name", &["W100"], vec![], None),
    ];
    for (case, ids, names, wanted) in table {
        let identifier =
            |id: &&str| format!(r#"{{"type":{{"coding":[{{"code":"MB"}}]}},"value":"{id}"}}"#);
        let on_patient: Vec<_> = ids.iter().take(1).map(identifier).collect();
        let list = |of: &str, name: &str| match of {
            "" => String::new(),
            of => format!(r#","{name}":[{of}]"#),
        };
        let patient = resource(&format!(
            r#"{{"resourceType":"Patient","id":"p"{}{},"birthDate":"1980-02-03"}}"#,
            list(&on_patient.join(","), "identifier"),
            list(&names.join(","), "name"),
        ));
        let coverages: Vec<_> =
            ids.iter().skip(1).map(|id| coverage(&format!(r#","subscriberId":"{id}""#))).collect();
        let found = members.match_member(&patient, &coverages);
        let found = found.map(|key| key.member_id.0).map_err(|issue| issue.code);
        let wanted = wanted.map(str::to_owned).ok_or(Code::MemberMismatch);
        assert_eq!(found, wanted, "{case}");
    }
}

#[test]
fn a_plan_may_know_a_member_by_an_identifier_of_another_house() {
    let file = "member_id,family,given,birth_date,gender\n\
        W100,Example,Ada,1980-02-03,\n\
        urn:mercy|MR-77,Example,Ada,1980-02-03,\n\
        urn:mercy|MR-78,Example,Ben,2010-05-06,\n";
    let members = Members::read(file).unwrap();
    let with = |identifiers: &str, family: &str| {
        let text = format!(
            r#"{{"resourceType":"Patient","id":"p","identifier":[{identifiers}],"name":[{{"family":"{family}"}}],"birthDate":"1980-02-03"}}"#
        );
        members.match_member(&resource(&text), &[]).map(|key| key.member_id.0)
    };
    let number = r#"{"type":{"coding":[{"code":"MB"}]},"value":"W100"}"#;
    let own = r#"{"system":"urn:mercy","value":"MR-77"}"#;
    let table = [
        ("by it", own.to_owned(), "Example", Ok("URN:MERCY|MR77")),
        ("beside a member number", format!("{number},{own}"), "Example", Ok("URN:MERCY|MR77")),
        ("of another person", own.to_owned(), "Someone", Err(Code::MemberMismatch)),
        (
            "of another member",
            format!(r#"{number},{{"system":"urn:mercy","value":"MR-78"}}"#),
            "Example",
            Err(Code::MemberMismatch),
        ),
        (
            "in another system",
            r#"{"system":"urn:lakeside","value":"MR-77"}"#.to_owned(),
            "Example",
            Err(Code::MemberNotNamed),
        ),
        (
            "without its system",
            r#"{"value":"MR-77"}"#.to_owned(),
            "Example",
            Err(Code::MemberNotNamed),
        ),
    ];
    for (case, identifiers, family, expected) in table {
        let found = with(&identifiers, family);
        let found = found.as_deref().map_err(|issue| issue.code);
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn a_person_may_name_a_member_by_an_id_that_only_one_has() {
    let members = Members::read(FILE).unwrap();
    let table = [
        ("one member", "w200", Ok("W200")),
        ("a family", "W100", Err(Code::MemberMismatch)),
        ("nobody", "W999", Err(Code::MemberUnknown)),
        ("nothing", "", Err(Code::MemberUnknown)),
    ];
    for (case, id, wanted) in table {
        let found = members.by_id(id).map(|key| key.member_id.0).map_err(|issue| issue.code);
        assert_eq!(found, wanted.map(str::to_owned), "{case}");
    }
}

#[test]
fn a_bad_member_file_names_the_line_and_never_the_values() {
    let header = "member_id,family,given,birth_date,gender\n";
    let good = "W1,Plantagenet,Ann,1980-02-03,female\n";
    let row = |text: &str| format!("{header}{good}{text}");
    let table = [
        ("nothing", String::new(), 1),
        ("another header", "id,name\nW1,Plantagenet\n".into(), 1),
        ("a field too few", row("W2,Plantagenet,Ann,1980-02-03"), 3),
        ("a quote left open", row("W2,\"Plantagenet,Ann,1980-02-03,"), 3),
        ("a quote within", row("W2,Planta\"genet\",Ann,1980-02-03,"), 3),
        ("no member id", row(" ,Plantagenet,Ann,1980-02-03,"), 3),
        ("no family name", row("W2,'-',Ann,1980-02-03,"), 3),
        ("a date of another form", row("W2,Plantagenet,Ann,02/03/1980,"), 3),
        ("a date that never was", row("W2,Plantagenet,Ann,1980-02-30,"), 3),
        ("the same person twice", row(good), 3),
        ("a line without end", row(&"x".repeat(3_000)), 3),
    ];
    for (case, text, line) in table {
        let issue = Members::read(&text).unwrap_err();
        assert_eq!(issue.code, Code::ConfigInvalid, "{case}");
        assert!(issue.detail.starts_with(&format!("line {line} ")), "{case}: {}", issue.detail);
        let said = format!("{issue} {issue:?}");
        assert!(!said.contains("Planta") && !said.contains("1980"), "{case}: {said}");
    }
}

#[test]
fn members_print_nothing_of_themselves() {
    let members = Members::read(FILE).unwrap();
    let key = members.match_member(&patient("W100", "Example", "Ada", "1980-02-03"), &[]).unwrap();
    let said = format!("{members:?} {key:?}");
    for word in ["example", "Example", "ada", "W100", "1980"] {
        assert!(!said.contains(word), "{word} in {said}");
    }
    assert_eq!(members.len(), 6);
}
