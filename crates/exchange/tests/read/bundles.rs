//! Goal: what an entry asks, by which conditions, and where its references lead is taken apart
//! once; of a batch the good entries are left.

use super::*;
use exchange::read::{Form, IfMatch, LinkTo, Target};

fn batch(entries: &str) -> String {
    transaction(entries).replace(r#""transaction""#, r#""batch""#)
}

const PRACTITIONER: &str = r#"{"resource":{"resourceType":"Practitioner","id":"d"},"request":{"method":"PUT","url":"Practitioner/d"}}"#;

#[test]
fn targets_and_conditions_are_taken_apart() {
    let fits = |parameters: &[(&str, &str)]| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = parameters.iter().map(own).collect();
        exchange::read::Condition { kind: "Practitioner".to_owned(), parameters }
    };
    let by_number = fits(&[("identifier", "urn:npi|1"), ("_id", "a,b")]);
    let query = "identifier=urn%3Anpi%7C1&_id=a,b";
    let table = [
        ("create", "POST", "Practitioner".to_owned(), "", Target::New, None, None),
        (
            "conditional create",
            "POST",
            "Practitioner".to_owned(),
            &*format!(r#","ifNoneExist":"{query}""#),
            Target::New,
            Some(by_number.clone()),
            None,
        ),
        ("update", "PUT", "Practitioner/d".to_owned(), "", Target::Id("d".into()), None, None),
        (
            "update of a version",
            "PUT",
            "Practitioner/d".to_owned(),
            r#","ifMatch":"W/\"3\"""#,
            Target::Id("d".into()),
            None,
            Some(IfMatch::Version(3)),
        ),
        (
            "conditional update",
            "PUT",
            format!("Practitioner?{query}"),
            r#","ifMatch":"*""#,
            Target::Fits(by_number.clone()),
            None,
            Some(IfMatch::Any),
        ),
        (
            "conditional delete",
            "DELETE",
            format!("Practitioner?{query}"),
            "",
            Target::Fits(by_number),
            None,
            None,
        ),
    ];
    for (case, method, url, more, target, unless, if_match) in table {
        let resource = match method {
            "DELETE" => "",
            _ => r#""resource":{"resourceType":"Practitioner","id":"d"},"#,
        };
        let entry =
            format!(r#"{{{resource}"request":{{"method":"{method}","url":"{url}"{more}}}}}"#);
        let incoming = try_read(&transaction(&entry), &stranger());
        let incoming = incoming.unwrap_or_else(|issues| panic!("{case}: {issues:?}"));
        let entry = &incoming.entries[0];
        assert_eq!((&entry.target, &entry.unless), (&target, &unless), "{case}");
        assert_eq!(entry.if_match, if_match, "{case}");
        let resource = entry.action.resource().is_some();
        assert!(!(resource && entry.clinical), "{case}: nobody's care");
    }
}

#[test]
fn references_lead_to_entries_records_and_conditions() {
    let urn = "urn:uuid:00000000-0000-4000-8000-000000000001";
    let patient = PATIENT
        .replace("https://lab.example/fhir/Patient/p", urn)
        .replace(r#""PUT","url":"Patient/p""#, r#""POST","url":"Patient""#);
    let entry = LinkTo::Entry(0);
    let record = |kind: &str, id: &str| LinkTo::Record(kind.into(), id.into());
    let table = [
        ("a urn", urn, Some(entry.clone())),
        ("the id of what is created", "Patient/p", Some(entry)),
        ("a record", "Group/g", Some(record("Group", "g"))),
        ("a version", "Group/g/_history/2", Some(record("Group", "g"))),
        ("a URL elsewhere", "https://x.example/Group/g", None),
        ("a condition with a URL in it", "Group?identifier=https://x.example|1", {
            let parameters = vec![("identifier".to_owned(), "https://x.example|1".to_owned())];
            Some(LinkTo::Fits(exchange::read::Condition { kind: "Group".into(), parameters }))
        }),
    ];
    for (case, reference, leads) in table {
        let observation = OBSERVATION.replace(
            r#""subject":{"reference":"Patient/p"}"#,
            &format!(r#""focus":[{{"reference":"{reference}"}}]"#),
        );
        let incoming =
            try_read(&transaction(&format!("{patient},{observation}")), &stranger()).unwrap();
        let links: Vec<_> = incoming.entries[1].links.iter().map(|link| link.to.clone()).collect();
        assert_eq!(links, Vec::from_iter(leads), "{case}");
    }
    // An entry of a batch stands alone: what has no id of the sender's is nothing to refer to.
    let text = batch(&format!("{patient},{}", OBSERVATION.replace("Patient/p", urn)));
    let incoming = try_read(&text, &stranger()).unwrap();
    assert_eq!(incoming.refused[0].issues.first.code, Code::ReferenceUnresolved);
}

/// R4 §2.36.4.1: a relative reference means first what stands beside its own entry's `fullUrl`.
#[test]
fn a_relative_reference_means_the_entry_of_that_full_url() {
    let practitioner = |full_url: &str, request: &str| {
        format!(
            r#"{{"fullUrl":"{full_url}","resource":{{"resourceType":"Practitioner","id":"77"}},"request":{request}}}"#
        )
        .replacen(r#","id":"77""#, if request.contains("POST") { "" } else { r#","id":"77""# }, 1)
    };
    let post = r#"{"method":"POST","url":"Practitioner"}"#;
    let put = r#"{"method":"PUT","url":"Practitioner/77"}"#;
    let group = |full_url: &str, reference: &str| {
        format!(
            r#"{{"fullUrl":"{full_url}","resource":{{"resourceType":"PractitionerRole","id":"r","practitioner":{{"reference":"{reference}"}}}},"request":{{"method":"PUT","url":"PractitionerRole/r"}}}}"#
        )
    };
    let (ehr, other) = ("https://ehr.example/fhir", "https://other.example/fhir");
    let (here, there) = (format!("{ehr}/Practitioner/77"), format!("{other}/Practitioner/77"));
    let role = format!("{ehr}/PractitionerRole/r");
    let record = || LinkTo::Record("Practitioner".into(), "77".into());
    let alone = Err(Code::ReferenceUnresolved);
    let urn = "urn:uuid:00000000-0000-4000-8000-000000000001";
    let table = [
        ("created", &here, post, &role, "Practitioner/77", Ok(LinkTo::Entry(0)), alone.clone()),
        (
            "a version of it",
            &here,
            post,
            &role,
            "Practitioner/77/_history/1",
            Ok(LinkTo::Entry(0)),
            alone,
        ),
        ("updated", &here, put, &role, "Practitioner/77", Ok(LinkTo::Entry(0)), Ok(record())),
        ("of another server", &there, post, &role, "Practitioner/77", Ok(record()), Ok(record())),
        (
            "from what has no address",
            &here,
            post,
            &urn.to_owned(),
            "Practitioner/77",
            Ok(record()),
            Ok(record()),
        ),
        (
            "another one",
            &here,
            post,
            &role,
            "Practitioner/7",
            Ok(LinkTo::Record("Practitioner".into(), "7".into())),
            Ok(LinkTo::Record("Practitioner".into(), "7".into())),
        ),
    ];
    for (case, full_url, request, own, reference, together, apart) in table {
        let entries = format!("{},{}", practitioner(full_url, request), group(own, reference));
        let forms = [(transaction(&entries), together), (batch(&entries), apart)];
        for (text, expected) in forms {
            let incoming = try_read(&text, &stranger()).unwrap();
            let led = match incoming.entries.get(1) {
                Some(entry) => Ok(entry.links[0].to.clone()),
                None => Err(incoming.refused[0].issues.first.code),
            };
            assert_eq!(led, expected, "{case}: {:?}", incoming.form);
        }
    }
}

/// The house's own address in front of a reference is no other server.
#[test]
fn a_reference_under_the_house_s_own_address_is_one_to_its_records() {
    let table = [
        (format!("{BASE}/Patient/p"), Some(LinkTo::Entry(0))),
        (format!("{BASE}/Group/g"), Some(LinkTo::Record("Group".into(), "g".into()))),
        (format!("{BASE}/Group/g/_history/2"), Some(LinkTo::Record("Group".into(), "g".into()))),
        (format!("{BASE}2/Group/g"), None),
        (format!("https://x.example/?{BASE}/Group/g"), None),
    ];
    for (reference, leads) in table {
        let observation = OBSERVATION.replace(
            r#""subject":{"reference":"Patient/p"}"#,
            &format!(
                r#""subject":{{"reference":"Patient/p"}},"focus":[{{"reference":"{reference}"}}]"#
            ),
        );
        let text = transaction(&format!("{PATIENT},{observation}"));
        let incoming = try_read(&text, &stranger()).unwrap();
        let link = incoming.entries[1].links.iter().find(|link| link.reference == 1);
        assert_eq!(link.map(|link| link.to.clone()), leads, "{reference}");
    }
    let subject = OBSERVATION.replace("Patient/p", &format!("{BASE}/Patient/p"));
    let incoming = try_read(&transaction(&subject), &stranger()).unwrap();
    assert_eq!(incoming.entries[0].subjects, [0], "whom it is about, on file");
    assert_eq!(incoming.outside[0].id, "p");
    let another = OBSERVATION.replace("Patient/p", &format!("{BASE}/Patient/q"));
    let issues = try_read(&transaction(&format!("{PATIENT},{another}")), &stranger()).unwrap_err();
    assert_eq!(issues[0].code, Code::EntryInvalid);
}

#[test]
fn of_a_batch_the_good_entries_are_left() {
    let text = batch(&format!(
        "{PRACTITIONER},7,{PATIENT},{PRACTITIONER},{}",
        PRACTITIONER.replace("PUT", "GET")
    ));
    let incoming = try_read(&text, &stranger()).unwrap();
    assert_eq!((incoming.form, incoming.count), (Form::Batch, 5));
    let left: Vec<_> = incoming.entries.iter().map(|entry| entry.index).collect();
    let refused: Vec<_> = incoming.refused.iter().map(|entry| entry.index).collect();
    assert_eq!((left, refused), (vec![0, 2], vec![1, 3, 4]));

    let many = batch(&vec!["7"; ENTRIES_MAX].join(","));
    let refused = try_read(&many, &stranger()).unwrap().refused;
    assert_eq!(refused.len(), ENTRIES_MAX, "each, however many they are");
}

#[test]
fn a_bundle_is_about_one_patient_or_about_nobody() {
    let observation = |subject: &str| OBSERVATION.replace("Patient/p", subject);
    assert!(try_read(&transaction(PRACTITIONER), &stranger()).is_ok(), "nobody");
    let on_file = try_read(&transaction(&observation("Patient/x")), &stranger()).unwrap();
    assert_eq!(on_file.resources("Patient").count(), 0);
    assert!(on_file.entries[0].clinical, "one on file");
    let issues = try_read(&transaction(&observation("Group/x")), &stranger()).unwrap_err();
    assert_eq!(issues[0].code, Code::MemberNotNamed);
    let text = batch(&format!("{PRACTITIONER},{}", observation("Group/x")));
    let incoming = try_read(&text, &stranger()).unwrap();
    assert_eq!((incoming.entries.len(), incoming.refused[0].index), (1, 1));
    let second = PATIENT.replace("Patient/p", "Patient/q").replace(r#""id":"p""#, r#""id":"q""#);
    let incoming = try_read(&batch(&format!("{PATIENT},{second}")), &stranger()).unwrap();
    assert_eq!(incoming.refused[0].index, 1, "the second Patient of a batch");
}

/// It stands among the records of whoever it speaks of.
#[test]
fn a_provenance_is_about_the_patients_it_speaks_of() {
    let provenance = |target: &str| {
        format!(
            r#"{{"resource":{{"resourceType":"Provenance","id":"v","target":[{{"reference":"Observation/o"}},{{"reference":"{target}"}}]}},"request":{{"method":"PUT","url":"Provenance/v"}}}}"#
        )
    };
    let own = format!("{BASE}/Patient/q");
    let table = [
        ("Patient/p", true),
        ("Group/g", true),
        ("Patient/q", false),
        ("Patient/q/_history/1", false),
        (&*own, false),
    ];
    for (target, good) in table {
        let entries = format!("{PATIENT},{OBSERVATION},{}", provenance(target));
        match try_read(&transaction(&entries), &stranger()) {
            Ok(_) => assert!(good, "{target}"),
            Err(issues) => {
                assert!(!good, "{target}: {issues:?}");
                assert_eq!(issues[0].code, Code::EntryInvalid, "{target}");
                let place = "Bundle.entry[2].resource.target[1].reference";
                assert_eq!(issues[0].expression.as_deref(), Some(place), "{target}");
            }
        }
        let incoming = try_read(&batch(&entries), &stranger()).unwrap();
        assert_eq!(
            (incoming.entries.len(), incoming.refused.len()),
            if good { (3, 0) } else { (2, 1) }
        );
    }
    // Whether the Patient on file is the same is for the caller to find.
    let entries = format!("{OBSERVATION},{}", provenance("Patient/q"));
    let incoming = try_read(&transaction(&entries), &stranger()).unwrap();
    assert_eq!(incoming.entries[1].subjects, [1]);
    // Who only takes back needs no member, whoever is spoken of.
    let deletes = r#"{"request":{"method":"DELETE","url":"Observation/o"}}"#;
    let entries = format!("{deletes},{}", provenance("Patient/q"));
    let incoming = try_read(&transaction(&entries), &stranger()).unwrap();
    assert!(incoming.only_takes_back() && incoming.entries[1].subjects.is_empty());
}

#[test]
fn a_bundle_says_by_a_link_whom_it_is_about() {
    let link = |relation: &str, url: &str| format!(r#"{{"relation":"{relation}","url":"{url}"}}"#);
    let about = link("about", "Patient/p");
    let table = [
        ("said", format!("[{about}]"), Some("p")),
        ("behind others", format!("[{},{about}]", link("self", "Patient/q")), Some("p")),
        ("one of two", format!("[{},{about}]", link("about", "Group/g")), Some("p")),
        ("another relation", format!("[{}]", link("subject", "Patient/p")), None),
        ("no Patient", format!("[{}]", link("about", "Observation/o")), None),
        ("elsewhere", format!("[{}]", link("about", "https://x.example/Patient/p")), None),
        ("no id", format!("[{}]", link("about", "Patient/p?x=1")), None),
        ("no list", "7".to_owned(), None),
    ];
    let deletes = r#"{"request":{"method":"DELETE","url":"Observation/o"}}"#;
    for (case, links, expected) in table {
        let named = format!(r#"{{"link":{links},"#);
        let text = transaction(deletes).replacen('{', &named, 1);
        let incoming = try_read(&text, &stranger()).unwrap();
        assert_eq!(incoming.about.as_deref(), expected, "{case}");
    }
    assert_eq!(try_read(&transaction(deletes), &stranger()).unwrap().about, None);
}

/// Whoever derives ids gives them, whatever the method.
#[test]
fn a_house_that_derives_ids_creates_under_them() {
    let id = exchange::id::derived_id(NAMESPACE, "Practitioner", "d1");
    let create = |id: &str| {
        transaction(&format!(
            r#"{{"resource":{{"resourceType":"Practitioner","id":"{id}","meta":{{"source":"{NAMESPACE}/Practitioner/d1"}}}},"request":{{"method":"POST","url":"Practitioner"}}}}"#
        ))
    };
    let incoming = try_read(&create(&id), &house()).unwrap();
    assert_eq!(incoming.entries[0].target, Target::Id(id));
    let issues = try_read(&create("d1"), &house()).unwrap_err();
    assert_eq!(issues[0].code, Code::IdentityMismatch);
}
