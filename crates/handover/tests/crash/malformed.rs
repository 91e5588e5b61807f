//! Bodies and Bundles with something wrong in them are refused, with place, actor and next step.
//!
//! How: a table whose rows complete the sentence "the door refuses …". The first table holds bodies
//! that are no JSON of FHIR, the second what is wrong with a Bundle that was a good one.

use crate::door::Place::{At, Byte, Nowhere};
use crate::door::{Door, Refusal};
use crate::sender::Sender;
use exchange::id::derived_id;
use serde_json::{Value, json};

const ENTRY: &str = "entry-invalid";

/// Bodies that are no JSON of FHIR: what they are, and which byte is wrong.
fn bodies() -> Vec<(&'static str, Vec<u8>, usize)> {
    let start = br#"{"resourceType":"Bundle","type":"transaction","entry":[]"#.to_vec();
    let with = |rest: &[u8]| [&start[..], rest].concat();
    let end = start.len();
    let deep = [&b",\"x\":"[..], &b"[".repeat(200), &b"]".repeat(200), b"}"].concat();
    vec![
        ("nothing at all", vec![], 0),
        ("a sentence", b"good morning".to_vec(), 0),
        ("XML", b"<Bundle xmlns=\"http://hl7.org/fhir\"/>".to_vec(), 0),
        ("a body that ends in its midst", start.clone(), end),
        ("a byte order mark before the body", [&b"\xef\xbb\xbf"[..], &with(b"}")].concat(), 0),
        ("bytes that are no UTF-8", with(b",\"id\":\"\xff\xfe\"}"), end + 7),
        ("half a surrogate pair", with(br#","id":"\ud800"}"#), end + 7),
        ("a member twice", with(br#","type":"transaction"}"#), end + 1),
        ("200 levels of nesting", with(&deep), usize::MAX),
        ("words after the end", with(b"} and more"), end + 2),
        ("two bodies in one", with(b"}{}"), end + 1),
        ("a number that is none", with(br#","total":01}"#), usize::MAX),
        ("a control character in a string", with(b",\"id\":\"\x01\"}"), usize::MAX),
        ("a comma too many", with(b",}"), end + 1),
    ]
}

#[test]
fn a_body_that_is_no_json_is_refused_with_the_byte() {
    let door = Door::open();
    for (case, body, byte) in bodies() {
        let told = door.sender.post(&door.token, body);
        let place = if byte == usize::MAX { Nowhere } else { Byte(byte) };
        door.assert_refused(case, &told, Refusal(400, "body-malformed", place), &[]);
        let words = String::from_utf8_lossy(&told.body);
        assert!(words.contains("Place: byte "), "{case}: {words}");
    }
}

/// Changes a good Bundle into a bad one.
type Spoil = fn(&mut Value, &Sender);

/// Takes a value out of a Bundle by its JSON pointer, to be changed.
fn at<'v>(bundle: &'v mut Value, pointer: &str) -> &'v mut Value {
    bundle.pointer_mut(pointer).unwrap()
}

fn remove(bundle: &mut Value, pointer: &str, member: &str) {
    at(bundle, pointer).as_object_mut().unwrap().remove(member).unwrap();
}

fn add(bundle: &mut Value, entry: Value) {
    bundle["entry"].as_array_mut().unwrap().push(entry);
}

const SPOILT: &[(&str, Spoil, Refusal)] = &[
    (
        "a Patient in place of a Bundle",
        |it, _| *it = it["entry"][0]["resource"].clone(),
        Refusal(400, "bundle-invalid", At("Patient.resourceType")),
    ),
    (
        "a collection",
        |it, _| it["type"] = json!("collection"),
        Refusal(400, "bundle-invalid", At("Bundle.type")),
    ),
    (
        "a Bundle without entries",
        |it, _| remove(it, "", "entry"),
        Refusal(400, "bundle-invalid", At("Bundle")),
    ),
    (
        "an empty list of entries",
        |it, _| it["entry"] = json!([]),
        Refusal(400, "bundle-invalid", At("Bundle.entry")),
    ),
    (
        "an entry that is a text",
        |it, _| it["entry"][1] = json!("Coverage"),
        Refusal(400, ENTRY, At("Bundle.entry[1]")),
    ),
    (
        "a push id without a number",
        |it, _| it["identifier"]["value"] = json!("first"),
        Refusal(400, "bundle-invalid", At("Bundle.identifier.value")),
    ),
    (
        "a list of identifiers",
        |it, _| it["identifier"] = json!([it["identifier"].clone()]),
        Refusal(400, "bundle-invalid", At("Bundle.identifier")),
    ),
    (
        "an entry without a request",
        |it, _| remove(it, "/entry/2", "request"),
        Refusal(400, ENTRY, At("Bundle.entry[2]")),
    ),
    (
        "an entry without a resource",
        |it, _| remove(it, "/entry/2", "resource"),
        Refusal(400, ENTRY, At("Bundle.entry[2]")),
    ),
    (
        "a resource to be created under an id",
        |it, _| it["entry"][2]["request"]["method"] = json!("POST"),
        Refusal(400, ENTRY, At("Bundle.entry[2].request.url")),
    ),
    (
        "a method nobody knows",
        |it, _| it["entry"][2]["request"]["method"] = json!("FILE"),
        Refusal(400, ENTRY, At("Bundle.entry[2].request.method")),
    ),
    (
        "an update on a condition that nobody can ask",
        |it, _| it["entry"][2]["request"]["url"] = json!("Encounter?colour=red"),
        Refusal(400, "parameter-unsupported", At("Bundle.entry[2].request.url")),
    ),
    (
        "an update of a version that is not there",
        |it, _| it["entry"][2]["request"]["ifMatch"] = json!("W/\"1\""),
        Refusal(412, "version-conflict", At("Bundle.entry[2].request.ifMatch")),
    ),
    (
        "a type that R4 does not know",
        |it, _| it["entry"][2]["request"]["url"] = json!("Dragon/1"),
        Refusal(400, ENTRY, At("Bundle.entry[2].request.url")),
    ),
    (
        "a resource of another type than its url",
        |it, _| it["entry"][2]["resource"]["resourceType"] = json!("Observation"),
        Refusal(400, ENTRY, At("Bundle.entry[2].resource.resourceType")),
    ),
    (
        "a resource of another id than its url",
        |it, _| it["entry"][2]["resource"]["id"] = json!("e2"),
        Refusal(400, ENTRY, At("Bundle.entry[2].resource.id")),
    ),
    (
        "the same record twice",
        |it, _| {
            let again = it["entry"][2].clone();
            add(it, again);
        },
        Refusal(400, ENTRY, At("Bundle.entry[3].request.url")),
    ),
    (
        "a deletion that carries a resource",
        |it, _| it["entry"][2]["request"]["method"] = json!("DELETE"),
        Refusal(400, ENTRY, At("Bundle.entry[2].resource")),
    ),
    (
        "a fullUrl that is relative",
        |it, _| it["entry"][0]["fullUrl"] = json!("Patient/1"),
        Refusal(400, ENTRY, At("Bundle.entry[0].fullUrl")),
    ),
    (
        "a number where a date belongs",
        |it, _| it["entry"][0]["resource"]["birthDate"] = json!(19700101),
        Refusal(400, ENTRY, At("Bundle.entry[0].resource.birthDate")),
    ),
    (
        "an object where a list belongs",
        |it, _| it["entry"][0]["resource"]["name"] = json!({ "text": "nobody" }),
        Refusal(400, ENTRY, At("Bundle.entry[0].resource.name")),
    ),
    (
        "a reference to nothing",
        |it, from| it["entry"][2]["resource"]["serviceProvider"] = from.reference("Location", "l"),
        Refusal(
            422,
            "reference-unresolved",
            At("Bundle.entry[2].resource.serviceProvider.reference"),
        ),
    ),
    (
        "a reference by a number of the Bundle's own",
        |it, _| {
            let urn = "urn:uuid:0a1b2c3d-0000-4000-8000-000000000001";
            it["entry"][2]["resource"]["subject"]["reference"] = json!(urn);
        },
        Refusal(422, "reference-unresolved", At("Bundle.entry[2].resource.subject.reference")),
    ),
    (
        "a reference that is a search",
        |it, _| it["entry"][2]["resource"]["subject"]["reference"] = json!("Patient?identifier=1"),
        Refusal(422, "reference-unresolved", At("Bundle.entry[2].resource.subject.reference")),
    ),
    (
        "an id that is not the derived one",
        |it, _| {
            it["entry"][2]["resource"]["id"] = json!("0".repeat(64));
            it["entry"][2]["request"]["url"] = json!(format!("Encounter/{}", "0".repeat(64)));
        },
        Refusal(403, "identity-mismatch", At("Bundle.entry[2].resource.id")),
    ),
    (
        "an id derived under another's namespace",
        |it, _| {
            let namespace = "https://another.example/fhir";
            let id = derived_id(namespace, "Encounter", "e1");
            it["entry"][2]["resource"]["id"] = json!(id);
            it["entry"][2]["resource"]["meta"]["source"] =
                json!(format!("{namespace}/Encounter/e1"));
            it["entry"][2]["request"]["url"] = json!(format!("Encounter/{id}"));
        },
        Refusal(403, "identity-mismatch", At("Bundle.entry[2].resource.meta.source")),
    ),
    (
        "a resource that does not say where it comes from",
        |it, _| remove(it, "/entry/2/resource", "meta"),
        Refusal(403, "identity-mismatch", At("Bundle.entry[2].resource")),
    ),
    (
        "a type that was not agreed",
        |it, from| {
            let claim = from.put("Claim", "x", json!({ "status": "active" }));
            add(it, claim);
        },
        Refusal(403, "kind-not-agreed", At("Bundle.entry[3].resource.resourceType")),
    ),
    (
        "two Patients",
        |it, from| {
            let second = from.put("Patient", "p2", json!({ "gender": "other" }));
            add(it, second);
        },
        Refusal(422, "member-not-named", At("Bundle.entry")),
    ),
    (
        "no Patient",
        |it, _| {
            let patient = it["entry"].as_array_mut().unwrap().remove(0);
            let list = it["entry"].as_array_mut().unwrap();
            list.iter_mut().for_each(|entry| {
                let resource = entry["resource"].as_object_mut().unwrap();
                resource.retain(|name, _| name != "subject" && name != "beneficiary");
            });
            drop(patient);
        },
        Refusal(422, "member-not-named", At("Bundle.entry")),
    ),
    (
        "no member id",
        |it, _| remove(it, "/entry/1/resource", "subscriberId"),
        Refusal(422, "member-not-named", At("Patient.identifier")),
    ),
    (
        "more entries than the door takes",
        |it, _| it["entry"] = json!(vec![json!({}); 5_001]),
        Refusal(413, "too-many-entries", At("Bundle.entry[5000]")),
    ),
];

#[test]
fn a_bundle_that_cannot_be_acted_on_is_refused_with_the_place() {
    let door = Door::open();
    for (number, (case, spoil, refusal)) in SPOILT.iter().enumerate() {
        let mut bundle = door.bundle(100 + number as u64);
        spoil(&mut bundle, &door.sender);
        let told = door.sender.post(&door.token, bundle.to_string());
        door.assert_refused(case, &told, *refusal, &[]);
    }
    // The Bundle that every row spoils is a good one.
    let told = door.sender.post(&door.token, door.bundle(1).to_string());
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(door.payer().dump().len(), 3);
}

#[test]
fn every_fault_of_a_bundle_is_told_at_once() {
    let door = Door::open();
    let mut bundle = door.bundle(1);
    bundle["entry"][0]["resource"]["birthDate"] = json!(7);
    bundle["entry"][1]["request"]["method"] = json!("PATCH");
    bundle["entry"][2]["request"]["url"] = json!("Dragon/1");
    let told = door.sender.post(&door.token, bundle.to_string());
    let outcome = told.json();
    let places = outcome["issue"].as_array().unwrap().iter();
    let places: Vec<_> = places.map(|issue| issue["expression"][0].as_str().unwrap()).collect();
    let expected = [
        "Bundle.entry[0].resource.birthDate",
        "Bundle.entry[1].request.method",
        "Bundle.entry[2].request.url",
    ];
    assert_eq!((told.status, places), (400, expected.to_vec()));
}
