//! Goal: whatever a door offers, every record of a payload reaches it, in an order in which nothing
//! refers to what is not there, and nothing goes that the door holds.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::ladder::{Offer, choose};
use fhir::Doc;
use serde_json::{Value, json};

const NAMESPACE: &str = "https://clinic.example/handover";

/// A chart in which an Encounter and its Condition name each other.
fn chart() -> Vec<Value> {
    vec![
        json!({ "resourceType": "Patient", "id": "p", "identifier": [{ "value": "mrn" }] }),
        json!({ "resourceType": "Condition", "id": "c", "subject": { "reference": "Patient/p" },
            "encounter": { "reference": "Encounter/e" } }),
        json!({ "resourceType": "Encounter", "id": "e", "subject": { "reference": "Patient/p" },
            "diagnosis": [{ "condition": { "reference": "Condition/c", "display": "cold" } }] }),
        json!({ "resourceType": "Observation", "id": "o", "encounter": { "reference": "Encounter/e" },
            "performer": [{ "reference": "Practitioner/d" }] }),
        json!({ "resourceType": "Practitioner", "id": "d" }),
    ]
}

fn load(resources: &[Value], gone: &[&str], as_of: &str) -> Load {
    let own = derived_id(NAMESPACE, "Provenance", "1-abc");
    let targets: Vec<Value> = resources
        .iter()
        .map(
            |it| json!({ "reference": format!("{}/{}", text(it, "resourceType"), text(it, "id")) }),
        )
        .collect();
    let provenance = json!({ "resourceType": "Provenance", "id": own, "target": targets });
    let put = |it: &Value| {
        let url = format!("{}/{}", text(it, "resourceType"), text(it, "id"));
        json!({ "resource": it, "request": { "method": "PUT", "url": url } })
    };
    let mut entries: Vec<Value> = resources.iter().map(put).collect();
    let gone = gone.iter().map(|url| json!({ "request": { "method": "DELETE", "url": url } }));
    entries.extend(gone);
    entries.push(put(&provenance));
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "timestamp": as_of,
        "identifier": { "system": format!("{NAMESPACE}/push"), "value": "1-abc" }, "entry": entries });
    Load::read(bundle.to_string().into()).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

fn offer(system: &[&str], create: bool, extra: &[&str]) -> Offer {
    let kinds = ["Patient", "Condition", "Encounter", "Observation", "Practitioner", "Provenance"];
    let mut interactions = vec![json!({ "code": "update" }), json!({ "code": "delete" })];
    if create {
        interactions.push(json!({ "code": "create" }));
    }
    let row = |kind: &&str| {
        let mut row = json!({ "type": kind, "interaction": interactions });
        extra.iter().for_each(|name| row[*name] = json!(true));
        row
    };
    let rows: Vec<Value> = kinds.iter().map(row).collect();
    let system: Vec<Value> = system.iter().map(|code| json!({ "code": code })).collect();
    let statement = json!({ "rest": [{ "interaction": system, "resource": rows }] }).to_string();
    Offer::read(&Doc::parse(statement.as_bytes()).unwrap())
}

/// A door that files all it is given, and gives ids of its own where it is asked to.
struct Door {
    held: Held,
    given: u32,
}

impl Door {
    fn file(&mut self, part: &Part, as_of: Timestamp) {
        for item in &part.items {
            self.given += 1;
            let given = self.given;
            let at = match item.url.split_once('/') {
                Some(_) if !item.url.contains('?') => item.url.clone(),
                _ => format!("{}/{given}", item.kind),
            };
            let (kind, id) = (item.kind.clone(), item.id.clone());
            let holding = Holding { kind, id, at: Some(at), digest: item.digest, as_of };
            self.held.insert(item.name(), holding);
        }
    }
}

fn ground<'a>(
    load: &'a Load,
    rung: &'a Rung,
    terms: &'a DoorTerms,
    held: &'a Held,
    refused: &'a BTreeSet<String>,
) -> Ground<'a> {
    let begun = !held.is_empty();
    Ground { load, rung, terms, namespace: NAMESPACE, held, refused, begun, halvings: 0 }
}

/// Sends all there is; the parts in their order.
fn run(load: &Load, rung: &Rung, terms: &DoorTerms, door: &mut Door) -> Vec<Part> {
    let (mut parts, refused) = (Vec::new(), BTreeSet::new());
    loop {
        let step = next(&ground(load, rung, terms, &door.held, &refused));
        let Step::Send(part) = step else {
            assert_eq!(step, Step::Done);
            return parts;
        };
        assert!(parts.len() < 50, "it comes to an end");
        door.file(&part, load.as_of);
        parts.push(part);
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(members) => {
            let own = members.get("reference").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn nothing_refers_to_what_is_not_there_and_all_references_are_literal_in_the_end() {
    let load = load(&chart(), &[], "2026-03-01T10:00:00Z");
    let rows: [(&str, Offer); 6] = [
        ("transaction by put", offer(&["transaction"], false, &["updateCreate"])),
        ("transaction by server ids", offer(&["transaction"], true, &[])),
        ("batch by put", offer(&["batch"], false, &["updateCreate"])),
        ("batch by condition", offer(&["batch"], true, &["conditionalCreate"])),
        ("single by put", offer(&[], true, &["updateCreate"])),
        ("single by server ids", offer(&[], true, &[])),
    ];
    for (case, offer) in rows {
        for entries_max in [1, 2, 3, 500] {
            let terms = DoorTerms { entries_max, ..DoorTerms::default() };
            let rung = choose(&offer, &terms, &BTreeSet::new()).unwrap();
            let mut door = Door { held: Held::new(), given: 0 };
            let case = format!("{case}, {entries_max} at once");
            let mut there: BTreeSet<String> = BTreeSet::new();
            let mut last: BTreeMap<String, Value> = BTreeMap::new();
            let mut before = Held::new();
            let parts = run(&load, &rung, &terms, &mut door);
            for part in &parts {
                assert!(part.items.len() <= entries_max.max(1) || rung.carrier == Carrier::Single);
                let beside: BTreeSet<String> = match part.carrier {
                    Carrier::Transaction => part
                        .items
                        .iter()
                        .flat_map(|item| [item.full_url.clone(), item.name()])
                        .collect(),
                    _ => BTreeSet::new(),
                };
                let mut filed =
                    Door { held: before.clone(), given: u32::try_from(before.len()).unwrap() };
                for item in &part.items {
                    let body: Value = serde_json::from_slice(item.body.as_ref().unwrap()).unwrap();
                    for target in references(&body) {
                        let known = there.contains(&target) || beside.contains(&target);
                        assert!(known, "{case}: {} refers to {target}", item.kind);
                    }
                    last.insert(item.kind.clone(), body);
                }
                filed.file(part, load.as_of);
                before = filed.held;
                there.extend(part.items.iter().filter_map(|it| door.held[&it.name()].at.clone()));
            }
            assert_eq!(last.len(), 6, "{case}: every record");
            let text = serde_json::to_string(&last).unwrap();
            let named = text.matches("/record").count();
            let marked = match rung.identity("Patient") {
                Some(Identity::Put) => 0,
                _ => 5,
            };
            assert_eq!(named, marked, "{case}: no reference is by identifier any more");
            assert_eq!(references(&last["Provenance"]).len(), 5, "{case}");
            assert!(last["Encounter"].to_string().contains("cold"), "{case}: all else stays");
            let again = run(&load, &rung, &terms, &mut door);
            assert_eq!(again, [], "{case}: what is there does not go again");
        }
    }
}

#[test]
fn of_a_later_push_only_what_changed_goes_and_of_an_older_one_nothing() {
    let offer = offer(&[], true, &[]);
    let terms = DoorTerms::default();
    let rung = choose(&offer, &terms, &BTreeSet::new()).unwrap();
    let mut door = Door { held: Held::new(), given: 0 };
    run(&load(&chart(), &[], "2026-03-01T10:00:00Z"), &rung, &terms, &mut door);
    let held = door.held.clone();
    let mut changed = chart();
    changed[3]["status"] = json!("amended");
    let older = load(&changed, &[], "2026-03-01T09:00:00Z");
    let refused = BTreeSet::new();
    assert_eq!(
        next(&Ground { begun: false, ..ground(&older, &rung, &terms, &held, &refused) }),
        Step::Done
    );
    let newer = load(&changed, &["Condition/c"], "2026-03-01T11:00:00Z");
    let ground = Ground { begun: false, ..ground(&newer, &rung, &terms, &held, &refused) };
    let Step::Send(part) = next(&ground) else { panic!("something goes") };
    let sent: Vec<(&str, &str)> =
        part.items.iter().map(|item| (item.method.code(), item.url.as_str())).collect();
    let at = held["Observation/o"].at.clone().unwrap();
    assert_eq!(sent, [("PUT", at.as_str())], "by the id the payer gave it");
}

#[test]
fn what_cannot_be_sent_is_named_and_what_depends_on_it_too() {
    let terms = DoorTerms::default();
    let rung = choose(&offer(&[], true, &[]), &terms, &BTreeSet::new()).unwrap();
    let mut resources = chart();
    resources.push(json!({ "resourceType": "Device", "id": "x" }));
    let load = load(&resources, &[], "2026-03-01T10:00:00Z");
    let (held, refused) = (Held::new(), BTreeSet::new());
    let step = next(&ground(&load, &rung, &terms, &held, &refused));
    let Step::Refuse(refusals) = step else { panic!("{step:?}") };
    let named: Vec<_> = refusals.iter().map(|it| (it.record.as_str(), it.issues[0].code)).collect();
    assert_eq!(named, [("Device/x", Code::CapabilityMissing)]);
    let refused = ["Practitioner/d", "Device/x"].map(str::to_owned).into();
    let step = next(&ground(&load, &rung, &terms, &held, &refused));
    let Step::Refuse(refusals) = step else { panic!("{step:?}") };
    let named: Vec<_> = refusals.iter().map(|it| (it.record.as_str(), it.issues[0].code)).collect();
    assert_eq!(named, [("Observation/o", Code::PayerRefused)]);
}

#[test]
fn an_answer_to_something_else_is_none() {
    let terms = DoorTerms::default();
    let rung = choose(&offer(&["transaction"], true, &[]), &terms, &BTreeSet::new()).unwrap();
    let load = load(&chart(), &[], "2026-03-01T10:00:00Z");
    let (held, refused) = (Held::new(), BTreeSet::new());
    let Step::Send(part) = next(&ground(&load, &rung, &terms, &held, &refused)) else { panic!() };
    let entry = |item: &Item, id: usize| {
        let location = format!("https://p.example/{}/{id}/_history/1", item.kind);
        json!({ "response": { "status": "201 Created", "location": location } })
    };
    let entries: Vec<Value> = part.items.iter().enumerate().map(|(n, it)| entry(it, n)).collect();
    let answer = |kind: &str, entries: &[Value]| -> Bytes {
        json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string().into()
    };
    let right = answer("transaction-response", &entries);
    let said = read_bundle(&part, &right).unwrap();
    assert_eq!(said[0].at(&part.items[0].kind).unwrap(), format!("{}/0", part.items[0].kind));
    let mut turned = entries.clone();
    turned.swap(0, 1);
    let table = [
        ("another type of Bundle", answer("searchset", &entries)),
        ("too few", answer("transaction-response", &entries[1..])),
        ("other types", answer("transaction-response", &turned)),
        ("no Bundle", Bytes::from_static(b"<html>")),
        ("no response", answer("transaction-response", &vec![json!({}); entries.len()])),
    ];
    for (case, body) in table {
        assert_eq!(read_bundle(&part, &body), None, "{case}");
    }
}

#[test]
fn every_status_has_one_meaning() {
    let item = |method| Item {
        kind: "Observation".into(),
        id: "o".into(),
        method,
        url: "Observation/o".into(),
        if_none_exist: None,
        body: None,
        full_url: String::new(),
        identity: Identity::Server,
        digest: None,
    };
    let table = [
        (Method::Post, 200, "Filed"),
        (Method::Post, 201, "Filed"),
        (Method::Post, 202, "Unsure"),
        (Method::Delete, 202, "Filed"),
        (Method::Delete, 404, "Filed"),
        (Method::Delete, 410, "Filed"),
        (Method::Delete, 409, "Refused"),
        (Method::Put, 404, "Refused"),
        (Method::Put, 405, "Unkept"),
        (Method::Post, 501, "Unkept"),
        (Method::Post, 413, "TooLarge"),
        (Method::Post, 422, "Refused"),
        (Method::Post, 412, "Refused"),
        (Method::Post, 429, "Unsure"),
        (Method::Post, 500, "Unsure"),
    ];
    for (method, status, meaning) in table {
        let verdict = judge(&item(method), &Said { status, ..Said::default() });
        let found = format!("{verdict:?}");
        assert!(found.starts_with(meaning), "{} {status}: {found}", method.code());
    }
}

#[test]
fn what_was_too_large_is_halved_and_not_a_limit_far_above_it() {
    let all: Vec<Value> =
        (0..12).map(|n| json!({ "resourceType": "Observation", "id": format!("o{n}") })).collect();
    let load = load(&all, &[], "2026-11-22T12:00:00Z");
    let terms = DoorTerms::default();
    let offer = offer(&["transaction"], false, &["updateCreate"]);
    let rung = choose(&offer, &terms, &BTreeSet::new()).unwrap();
    let (held, refused) = (Held::new(), BTreeSet::new());
    for (halvings, most) in [(0, 13), (1, 6), (2, 3), (3, 1), (31, 1)] {
        let ground = Ground { halvings, ..ground(&load, &rung, &terms, &held, &refused) };
        let Step::Send(part) = next(&ground) else { panic!("something is left") };
        assert!((1..=most).contains(&part.items.len()), "{halvings}: {}", part.items.len());
        assert!(halvings > 0 || part.items.len() == 13, "all at once, with the Provenance");
    }
}

#[test]
fn what_is_taken_back_is_referred_to_by_nothing_when_it_goes() {
    let rows: [(&str, Offer); 4] = [
        ("transaction by put", offer(&["transaction"], false, &["updateCreate"])),
        ("batch by put", offer(&["batch"], false, &["updateCreate"])),
        ("single by put", offer(&[], true, &["updateCreate"])),
        ("single by server ids", offer(&[], true, &[])),
    ];
    for (case, offer) in rows {
        for entries_max in [1, 500] {
            let terms = DoorTerms { entries_max, ..DoorTerms::default() };
            let rung = choose(&offer, &terms, &BTreeSet::new()).unwrap();
            if rung.carrier == Carrier::Transaction && entries_max == 1 {
                continue; // a cycle goes together or not at all
            }
            let mut door = Door { held: Held::new(), given: 0 };
            let sent = load(&chart(), &[], "2026-03-01T10:00:00Z");
            let mut stand: BTreeMap<String, Value> = BTreeMap::new();
            let mut keep = |part: &Part, door: &Door| {
                for item in &part.items {
                    let at = door.held[&item.name()].at.clone().unwrap();
                    match &item.body {
                        Some(body) => stand.insert(at, serde_json::from_slice(body).unwrap()),
                        None => stand.remove(&at),
                    };
                }
                let kept: Vec<String> = stand.values().flat_map(references).collect();
                let gone: Vec<String> = part
                    .items
                    .iter()
                    .filter(|item| item.method == Method::Delete)
                    .map(|item| item.url.clone())
                    .collect();
                assert!(gone.iter().all(|it| !kept.contains(it)), "{case}: {gone:?} in {kept:?}");
                stand.len()
            };
            for part in run(&sent, &rung, &terms, &mut door) {
                // Transactions name each other by what is given in them: looked at elsewhere.
                keep(&part, &door);
            }
            let own = format!("Provenance/{}", derived_id(NAMESPACE, "Provenance", "1-abc"));
            let gone = [
                "Patient/p",
                "Encounter/e",
                "Condition/c",
                "Observation/o",
                "Practitioner/d",
                &own,
            ];
            let mut back = load(&[], &gone, "2026-03-01T11:00:00Z");
            back.pieces.retain(|piece| piece.resource.is_none());
            back.push = "2-def".into();
            back.learn(sent.clone());
            let mut left = usize::MAX;
            for part in run(&back, &rung, &terms, &mut door) {
                left = keep(&part, &door);
            }
            assert_eq!(left, 0, "{case}: everything is gone");
        }
    }
}

#[test]
fn what_cannot_be_asked_about_goes_last_and_alone() {
    let statement = |system: &str, extra: &str| {
        let kinds = ["Patient", "Condition", "Encounter", "Observation", "Practitioner"];
        let kinds = kinds.into_iter().chain(["Provenance"]);
        let row = |kind: &str| {
            json!({ "type": kind, "searchParam": [{ "name": "identifier" }, { "name": extra }],
                "interaction": [{ "code": "create" }, { "code": "update" },
                    { "code": "search-type" }] })
        };
        let rows: Vec<Value> = kinds.map(row).collect();
        let statement =
            json!({ "rest": [{ "interaction": [{ "code": system }], "resource": rows }] });
        Offer::read(&Doc::parse(statement.to_string().as_bytes()).unwrap())
    };
    let terms = DoorTerms::default();
    for (system, extra, alone) in [
        ("none", "_id", true),
        ("batch", "_id", true),
        ("transaction", "_id", true),
        ("transaction", "target", false),
        ("batch", "target", false),
    ] {
        let rung = choose(&statement(system, extra), &terms, &BTreeSet::new()).unwrap();
        let mut door = Door { held: Held::new(), given: 0 };
        let first = load(&chart(), &[], "2026-03-01T10:00:00Z");
        run(&first, &rung, &terms, &mut door);
        door.held.remove(&first.pieces.last().unwrap().name());
        let mut changed = chart();
        changed[3]["status"] = json!("amended");
        let next = load(&changed, &[], "2026-03-01T11:00:00Z");
        let parts = run(&next, &rung, &terms, &mut door);
        let sent: Vec<Vec<&str>> =
            parts.iter().map(|it| it.items.iter().map(|it| it.kind.as_str()).collect()).collect();
        let expected = match alone {
            true => vec![vec!["Observation"], vec!["Provenance"]],
            false => vec![vec!["Observation", "Provenance"]],
        };
        assert_eq!(sent, expected, "{system} {extra}");
    }
}
