//! Directories made up for one difficulty each.

use crate::*;
use exchange::endpoint::{Candidate, read_configuration};

struct Case {
    name: &'static str,
    listed: Vec<Value>,
    chosen: Option<&'static str>,
    rejected: &'static [&'static str],
}

fn case(
    name: &'static str,
    listed: Vec<Value>,
    chosen: Option<&'static str>,
    rejected: &'static [&'static str],
) -> Case {
    Case { name, listed, chosen, rejected }
}

const CDEX: &str =
    "http://hl7.org/fhir/us/davinci-cdex/ImplementationGuide/hl7.fhir.us.davinci-cdex";

fn plan() -> Value {
    organization("sunrise", "99001")
}

fn affiliation(id: &str, of: &str, participant: &str, more: Value) -> Value {
    let base = json!({ "resourceType": "OrganizationAffiliation", "id": id, "active": true,
        "organization": { "reference": format!("Organization/{of}") },
        "participatingOrganization": { "reference": format!("Organization/{participant}") },
        "code": [{ "coding": [{ "code": "HIE/HIO" }] }] });
    with(base, more)
}

fn of_hie(id: &str) -> Value {
    with(endpoint(id), json!({ "managingOrganization": { "reference": "Organization/hie" } }))
}

fn states() -> Vec<Case> {
    vec![
        case("one that would do", vec![plan(), endpoint("a")], Some("a"), &[]),
        case(
            "the payer is not listed",
            vec![organization("other", "1"), endpoint("a")],
            None,
            &["a: not-of-payer"],
        ),
        case("the payer without endpoint", vec![plan()], None, &[]),
        case(
            "suspended",
            vec![plan(), with(endpoint("a"), json!({ "status": "suspended" })), endpoint("b")],
            Some("b"),
            &["a: status"],
        ),
        case(
            "all are off",
            vec![
                plan(),
                with(endpoint("a"), json!({ "status": "off" })),
                with(endpoint("b"), json!({ "status": "error" })),
                with(endpoint("c"), json!({ "status": "entered-in-error" })),
            ],
            None,
            &["a: status", "b: status", "c: status"],
        ),
        case(
            "period over",
            vec![
                plan(),
                with(endpoint("a"), json!({ "period": { "end": "2025-12" } })),
                with(endpoint("b"), json!({ "period": { "start": "2025", "end": "2026" } })),
            ],
            Some("b"),
            &["a: period-over"],
        ),
        case(
            "the last day still counts",
            vec![plan(), with(endpoint("a"), json!({ "period": { "end": "2026-01-03" } }))],
            Some("a"),
            &[],
        ),
        case(
            "period to come",
            vec![plan(), with(endpoint("a"), json!({ "period": { "start": "2026-02-01" } }))],
            None,
            &["a: period-to-come"],
        ),
        case(
            "a test server and the real one",
            vec![
                plan(),
                saying(endpoint("a"), &[code("endpoint-environment-type", "test")]),
                saying(endpoint("b"), &[code("endpoint-environment-type", "prod")]),
            ],
            Some("b"),
            &["a: environment"],
        ),
        case(
            "only a test server",
            vec![plan(), saying(endpoint("a"), &[code("endpoint-environment-type", "staging")])],
            None,
            &["a: environment"],
        ),
        case(
            "unknown and other connection types",
            vec![
                plan(),
                with(endpoint("a"), json!({ "connectionType": { "code": "carrier-pigeon" } })),
                with(endpoint("b"), json!({ "connectionType": { "code": "direct-project" } })),
                with(endpoint("c"), json!({ "connectionType": null })),
            ],
            None,
            &["a: connection", "b: connection", "c: connection"],
        ),
        case(
            "addresses that are none",
            vec![
                plan(),
                with(endpoint("a"), json!({ "address": "http://sunrise.example/fhir" })),
                with(endpoint("b"), json!({ "address": "push@sunrise.example" })),
                with(endpoint("c"), json!({ "address": "https://u:p@sunrise.example/fhir" })),
                with(endpoint("d"), json!({ "address": "https://sunrise.example/fhir?to=x" })),
                with(endpoint("e"), json!({ "address": "file:///etc/passwd" })),
            ],
            None,
            &["a: address", "b: address", "c: address", "d: address", "e: address"],
        ),
        case(
            "XML only",
            vec![
                plan(),
                with(endpoint("a"), json!({ "payloadMimeType": ["application/fhir+xml"] })),
            ],
            None,
            &["a: mime-type"],
        ),
        case(
            "access that this house cannot pass",
            vec![
                plan(),
                saying(endpoint("a"), &[code("endpointAccessControlMechanism", "basic")]),
                saying(endpoint("b"), &[code("endpointAccessControlMechanism", "mutual-tls")]),
            ],
            Some("b"),
            &["a: access"],
        ),
    ]
}

fn several() -> Vec<Case> {
    vec![
        case(
            "no use case",
            vec![plan(), saying(endpoint("a"), &[guide(CDEX, "2.1.0", &["patientAccess"])])],
            None,
            &["a: use-case"],
        ),
        case(
            "the use case nearer to a push",
            vec![
                plan(),
                saying(endpoint("a"), &[guide(CDEX, "2.1.0", &["any-all"])]),
                saying(endpoint("b"), &[guide(CDEX, "2.0.0", &["provider-payer-data-exchange"])]),
                endpoint("c"),
            ],
            Some("b"),
            &["a: outranked use-case", "c: outranked use-case"],
        ),
        case(
            "no-reply is no use case",
            vec![plan(), saying(endpoint("a"), &[guide(CDEX, "2.1.0", &["no-reply"])])],
            Some("a"),
            &[],
        ),
        case(
            "the directory's rank",
            vec![
                plan(),
                saying(endpoint("a"), &[rank(2)]),
                saying(endpoint("b"), &[rank(1)]),
                endpoint("c"),
            ],
            Some("b"),
            &["a: outranked rank", "c: outranked rank"],
        ),
        case(
            "verified before incomplete",
            vec![
                plan(),
                saying(endpoint("a"), &[code("verification-status", "incomplete"), rank(1)]),
                saying(endpoint("b"), &[code("verification-status", "complete"), rank(2)]),
            ],
            Some("b"),
            &["a: outranked verified"],
        ),
        case(
            "stale",
            vec![
                plan(),
                with(endpoint("a"), json!({ "meta": { "lastUpdated": "2021-01-01T00:00:00Z" } })),
                endpoint("b"),
            ],
            Some("b"),
            &["a: outranked kept"],
        ),
        case(
            "a certificate that is over",
            vec![
                plan(),
                saying(endpoint("a"), &[certificate("QUJD", "2024-07-07")]),
                saying(endpoint("b"), &[certificate("QUJE", "2027-07-07")]),
            ],
            Some("b"),
            &["a: outranked kept"],
        ),
        case(
            "the newer version of the guide",
            vec![
                plan(),
                saying(endpoint("a"), &[guide(CDEX, "2.0.0", &["cdex"])]),
                saying(endpoint("b"), &[guide(CDEX, "2.10.0", &["cdex"])]),
            ],
            Some("b"),
            &["a: outranked guide-version"],
        ),
        case(
            "a way of registering",
            vec![
                plan(),
                saying(endpoint("a"), &[registration("smart")]),
                saying(endpoint("b"), &[registration("udap")]),
            ],
            Some("b"),
            &["a: outranked registration"],
        ),
        case(
            "changed last",
            vec![
                plan(),
                endpoint("a"),
                with(endpoint("b"), json!({ "meta": { "lastUpdated": "2025-12-01T00:00:00Z" } })),
            ],
            Some("b"),
            &["a: outranked updated"],
        ),
        case(
            "twins",
            vec![plan(), endpoint("b"), endpoint("a")],
            Some("a"),
            &["b: outranked name"],
        ),
        case(
            "the same entry twice, as pages may bring it",
            vec![plan(), endpoint("a"), endpoint("a")],
            Some("a"),
            &[],
        ),
    ]
}

fn organizations() -> Vec<Case> {
    let hie = || organization("hie", "7");
    let by_role = || affiliation("x", "hie", "sunrise", json!({}));
    let hospital = json!({ "code": [{ "coding": [{ "code": "hospital" }] }] });
    vec![
        case(
            "wrong managing organization",
            vec![
                with(plan(), json!({ "endpoint": [{ "reference": "Endpoint/a" }] })),
                of_hie("a"),
                endpoint("b"),
            ],
            Some("b"),
            &["a: not-of-payer"],
        ),
        case(
            "listed by the payer, managed by nobody",
            vec![
                with(plan(), json!({ "endpoint": [{ "reference": "Endpoint/a" }] })),
                with(endpoint("a"), json!({ "managingOrganization": null })),
            ],
            Some("a"),
            &[],
        ),
        case(
            "managed by nobody, listed by nobody",
            vec![plan(), with(endpoint("a"), json!({ "managingOrganization": null }))],
            None,
            &["a: not-of-payer"],
        ),
        case("only an intermediary", vec![plan(), hie(), by_role(), of_hie("a")], Some("a"), &[]),
        case(
            "the payer's own before the intermediary's",
            vec![plan(), hie(), by_role(), saying(of_hie("a"), &[rank(1)]), endpoint("b")],
            Some("b"),
            &["a: outranked own"],
        ),
        case(
            "an affiliation that is over",
            vec![
                plan(),
                hie(),
                affiliation("x", "hie", "sunrise", json!({ "period": { "end": "2023-12-31" } })),
                of_hie("a"),
            ],
            None,
            &["a: not-of-payer"],
        ),
        case(
            "an affiliation that passes nothing on",
            vec![plan(), hie(), affiliation("x", "hie", "sunrise", hospital.clone()), of_hie("a")],
            None,
            &["a: not-of-payer"],
        ),
        case(
            "an affiliation that lists the endpoint",
            vec![
                plan(),
                hie(),
                affiliation(
                    "x",
                    "hie",
                    "sunrise",
                    with(hospital, json!({ "endpoint": [{ "reference": "Endpoint/a" }] })),
                ),
                of_hie("a"),
                of_hie("b"),
            ],
            Some("a"),
            &["b: not-of-payer"],
        ),
        case(
            "cyclic affiliations",
            vec![
                plan(),
                hie(),
                by_role(),
                affiliation("y", "sunrise", "hie", json!({})),
                affiliation("z", "hie", "hie", json!({})),
                of_hie("a"),
            ],
            Some("a"),
            &[],
        ),
        case(
            "an intermediary too far away",
            vec![
                plan(),
                affiliation("1", "one", "sunrise", json!({})),
                affiliation("2", "two", "one", json!({})),
                affiliation("3", "three", "two", json!({})),
                with(
                    endpoint("a"),
                    json!({ "managingOrganization": { "reference": "Organization/three" } }),
                ),
            ],
            None,
            &["a: not-of-payer"],
        ),
        case(
            "the number of another system",
            vec![
                with(
                    plan(),
                    json!({ "name": "Else", "identifier": [{ "system": "urn:other", "value": "99001" }] }),
                ),
                endpoint("a"),
            ],
            None,
            &["a: not-of-payer"],
        ),
        case(
            "an organization that is closed",
            vec![with(plan(), json!({ "active": false })), endpoint("a")],
            None,
            &["a: not-of-payer"],
        ),
        case(
            "absolute references",
            vec![
                plan(),
                with(
                    endpoint("a"),
                    json!({ "managingOrganization":
            { "reference": "https://directory.example/fhir/Organization/sunrise" } }),
                ),
            ],
            Some("a"),
            &[],
        ),
        case(
            "garbage entries",
            vec![
                plan(),
                with(endpoint("a"), json!({ "address": null })),
                with(endpoint("b"), json!({ "status": 7 })),
                json!({ "resourceType": "Patient", "id": "p" }),
                with(
                    endpoint("c"),
                    json!({ "extension": [{}, { "url": "urn:x" }], "period": { "end": "once" } }),
                ),
                with(organization("x", "1"), json!({ "identifier": "99001", "name": ["Sunrise"] })),
            ],
            Some("c"),
            &["a: unreadable"],
        ),
    ]
}

#[test]
fn every_constructed_directory_gives_the_expected_choice_with_its_reasons() {
    let cases: Vec<Case> = [states(), several(), organizations()].into_iter().flatten().collect();
    assert!(cases.len() >= 15);
    for case in &cases {
        let found = choice(&case.listed, &sunrise(), &Wanted::default());
        let (chosen, rejected) = told(&found);
        assert_eq!(chosen.as_deref(), case.chosen, "{}: {found:?}", case.name);
        assert_eq!(rejected, case.rejected, "{}", case.name);
        assert!(found.rejected.iter().all(|it| !it.why.words().is_empty()), "{}", case.name);
        // The order in which a directory gives its entries says nothing.
        let mut backwards = case.listed.clone();
        backwards.reverse();
        let again = told(&choice(&backwards, &sunrise(), &Wanted::default()));
        assert_eq!(again.0, chosen, "{} backwards", case.name);
    }
}

#[test]
fn a_house_on_trial_wants_the_test_server() {
    let listed = [
        plan(),
        saying(endpoint("a"), &[code("endpoint-environment-type", "test")]),
        saying(endpoint("b"), &[code("endpoint-environment-type", "prod")]),
    ];
    let wanted = Wanted { environments: vec!["test".into()], ..Wanted::default() };
    assert_eq!(told(&choice(&listed, &sunrise(), &wanted)).0.as_deref(), Some("a"));
}

#[test]
fn a_payer_is_known_by_its_name_only_where_the_name_is_nobody_elses() {
    let named = |id: &str, name: &str| with(organization(id, "1"), json!({ "name": name }));
    let sought = Sought::of_words("sunrise  HEALTH plan");
    let table = [
        ("alone", vec![named("sunrise", "Sunrise Health Plan")], Some("a")),
        ("the beginning alone", vec![named("sunrise", "Sunrise Health Plan of Ohio")], Some("a")),
        (
            "two",
            vec![named("sunrise", "Sunrise Health Plan"), named("b", "Sunrise Health Plan")],
            None,
        ),
        (
            "exactly so, and longer",
            vec![
                named("sunrise", "Sunrise Health Plan"),
                named("b", "Sunrise Health Plan of Ohio"),
            ],
            Some("a"),
        ),
        ("another", vec![named("sunrise", "Sunset Health Plan")], None),
    ];
    for (case, mut listed, chosen) in table {
        listed.push(endpoint("a"));
        let found = choice(&listed, &sought, &Wanted::default());
        assert_eq!(told(&found).0.as_deref(), chosen, "{case}");
        if let Some(chosen) = found.chosen {
            assert_eq!(chosen.known_by, "its name alone", "{case}");
        }
    }
}

#[test]
fn the_identity_of_an_endpoint_changes_with_whatever_could_make_it_another() {
    let identity = |endpoint: &Value| -> exchange::Digest {
        let found = choice(
            &[
                plan(),
                organization("hie", "7"),
                affiliation("x", "hie", "sunrise", json!({})),
                endpoint.clone(),
            ],
            &sunrise(),
            &Wanted::default(),
        );
        found.chosen.expect("one that would do").endpoint.identity()
    };
    let first = saying(endpoint("a"), &[certificate("QUJD", "2027")]);
    let same = [
        (
            "a newer entry",
            with(first.clone(), json!({ "meta": { "lastUpdated": "2026-01-01T00:00:00Z" } })),
        ),
        ("another name", with(first.clone(), json!({ "name": "Door" }))),
        ("a slash", with(first.clone(), json!({ "address": "https://a.sunrise.example/fhir/" }))),
        ("white space in the certificate", saying(endpoint("a"), &[certificate("QU\nJD", "2027")])),
    ];
    for (case, endpoint) in same {
        assert_eq!(identity(&endpoint), identity(&first), "{case}");
    }
    let others = [
        (
            "another address",
            with(first.clone(), json!({ "address": "https://b.sunrise.example/fhir" })),
        ),
        ("a changed certificate", saying(endpoint("a"), &[certificate("QUJE", "2027")])),
        ("one more certificate", saying(first.clone(), &[certificate("QUJE", "2027")])),
        (
            "through somebody",
            with(
                first.clone(),
                json!({ "managingOrganization":
            { "reference": "Organization/hie" } }),
            ),
        ),
    ];
    for (case, endpoint) in others {
        assert_ne!(identity(&endpoint), identity(&first), "{case}");
    }
}

#[test]
fn of_a_large_directory_the_first_reasons_are_shown_and_the_rest_counted() {
    let mut listed = vec![plan(), endpoint("a")];
    listed.extend((0..200).map(|at| of_hie(&format!("z{at}"))));
    let found = choice(&listed, &sunrise(), &Wanted::default());
    assert_eq!(told(&found).0.as_deref(), Some("a"));
    assert!(
        found.rejected.len() < 100
            && found.notes.iter().any(|it| it.ends_with("more are not shown"))
    );
}

#[test]
fn a_configuration_is_a_hint_for_the_base_url() {
    let document = |endpoints: Value| json!({ "identifier": { "system": NAIC, "value": "99001" }, "endpoints": endpoints });
    let table: Vec<(&str, Value, Option<&str>)> = vec![
        (
            "an operation's address",
            document(json!({
            "davinci_cdex_attachsubmit_endpoint#2.0": "https://s.example/fhir/$submit-attachment" })),
            Some("https://s.example/fhir"),
        ),
        (
            "an operation of a type",
            document(json!({
            "davinci_cdex_attachsubmit_endpoint": "https://s.example/fhir/Claim/$submit" })),
            Some("https://s.example/fhir"),
        ),
        (
            "a version nobody has seen",
            document(json!({
            "davinci_cdex_attachsubmit_endpoint#2.0": "https://old.example/fhir",
            "davinci_cdex_attachsubmit_endpoint#2.17": "https://new.example/fhir",
            "davinci_cdex_attachsubmit_endpoint#2.9": "https://mid.example/fhir" })),
            Some("https://new.example/fhir"),
        ),
        (
            "the code nearer to a push",
            document(json!({
            "davinci_pdex_payer_endpoint#9.0": "https://p.example/fhir",
            "davinci_cdex_attachsubmit_endpoint#1.0": "https://c.example/fhir" })),
            Some("https://c.example/fhir"),
        ),
        (
            "unknown codes alone",
            document(json!({ "somebody_else": "https://x.example", "": 3 })),
            None,
        ),
        ("an address that is none", document(json!({ "davinci_pdex_payer_endpoint": 7 })), None),
        (
            "plain HTTP",
            document(json!({ "davinci_pdex_payer_endpoint": "http://p.example/fhir" })),
            None,
        ),
    ];
    for (case, document, address) in table {
        let listing = read_configuration(document.to_string().as_bytes(), &sunrise()).unwrap();
        let found = choose(&listing, &Wanted::default(), now());
        let chosen =
            found.chosen.map(|it| it.endpoint).as_ref().map(|it: &Candidate| it.address.clone());
        assert_eq!(chosen.as_deref(), address, "{case}");
    }
    let other = json!({ "identifier": { "system": NAIC, "value": "1" }, "endpoints": {} });
    for bad in [other.to_string(), "{}".into(), "<html>".into(), "[]".into(), String::new()] {
        assert!(read_configuration(bad.as_bytes(), &sunrise()).is_err(), "{bad}");
    }
}
