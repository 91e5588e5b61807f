//! Questions: searches that the files themselves suggest, and whether a door answers them as the
//! brute force does.
//!
//! Comes in   what was filed; a door, as a function from a path with a query to an answer.
//! Goes out   nothing, or a panic with the question that was answered wrongly.
//! Never      asks what the door does not claim.

use crate::brute::{Filed, Shelf, date_of, nodes, pairs};
use serde_json::Value;
use std::collections::BTreeSet;

/// A door of a house: `Observation?patient=p` to a Bundle.
pub(crate) type Door<'d> = &'d mut dyn FnMut(&str) -> Value;

/// Parameters of a search, in their order.
pub(crate) type Asked = Vec<(String, String)>;

/// Types that are asked by `patient`.
const CHART: [&str; 17] = [
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Claim",
    "Condition",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "ExplanationOfBenefit",
    "ImagingStudy",
    "Immunization",
    "MedicationAdministration",
    "MedicationRequest",
    "Observation",
    "Procedure",
    "SupplyDelivery",
];

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// A query of these parameters, percent-encoded.
pub(crate) fn query(kind: &str, asked: &[(String, String)]) -> String {
    let encode = |text: &str| -> String {
        let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let parts: Vec<_> =
        asked.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    format!("{kind}?{}", parts.join("&"))
}

/// What is asked about one record: by each of its elements, alone and together.
fn about(one: &Filed, patient: &str) -> Vec<Asked> {
    let mine = pair("patient", patient);
    let mut found = vec![vec![mine.clone()], vec![mine.clone(), pair("_id", &one.id)]];
    let mut all = vec![mine.clone()];
    for (name, paths) in [
        ("code", &["code", "medicationCodeableConcept", "reaction.substance"][..]),
        ("category", &["category"]),
        ("identifier", &["identifier"]),
    ] {
        let coded: Vec<_> = paths.iter().flat_map(|path| nodes(&one.tree, path)).collect();
        let Some((system, code)) = pairs(&coded).first().cloned() else { continue };
        if !claims(&one.kind, name) || code.contains([',', '|', '\\']) {
            continue;
        }
        let whole = format!("{system}|{code}");
        found.push(vec![mine.clone(), pair(name, &whole)]);
        found.push(vec![pair(name, &code)]);
        found.push(vec![mine.clone(), pair(name, format!("none,{code}"))]);
        found.push(vec![mine.clone(), pair(name, format!("urn:none|{code}"))]);
        found.push(vec![pair(name, &whole), mine.clone(), pair(name, &code)]);
        all.push(pair(name, &whole));
    }
    if let Some(status) = one.tree["status"].as_str().filter(|_| claims(&one.kind, "status")) {
        found.push(vec![mine.clone(), pair("status", status)]);
        found.push(vec![pair("status", format!("{status},none"))]);
        all.push(pair("status", status));
    }
    if let Some((name, paths)) = date_of(&one.kind) {
        let date = paths.iter().flat_map(|path| nodes(&one.tree, path)).next();
        let text = date.and_then(|it| it.as_str().or(it["start"].as_str()));
        if let Some(text) = text {
            for part in [&text[..4], &text[..7], &text[..10], text] {
                for prefix in ["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"] {
                    found.push(vec![mine.clone(), pair(name, format!("{prefix}{part}"))]);
                }
            }
            let (year, month) = (&text[..4], &text[..7]);
            found.push(vec![pair(name, format!("ge{year}")), pair(name, format!("lt{text}"))]);
            found.push(vec![pair(name, month)]);
            all.push(pair(name, format!("ge{year}")));
            all.push(pair(name, format!("le{text}")));
        }
    }
    found.push(all);
    found
}

fn claims(kind: &str, name: &str) -> bool {
    match name {
        "code" => !matches!(kind, "Device" | "ImagingStudy" | "Immunization" | "CarePlan"),
        "category" => !matches!(kind, "Immunization"),
        "status" => !matches!(kind, "Condition" | "AllergyIntolerance"),
        _ => true,
    }
}

/// Asks everything about these patients; how many questions it were.
pub(crate) fn ask_all(shelf: &Shelf, patients: &[String], door: Door<'_>) -> usize {
    let mut asked = BTreeSet::new();
    for patient in patients {
        let reference = format!("Patient/{patient}");
        for kind in CHART {
            let mine = vec![pair("patient", patient.as_str())];
            let ids = shelf.search(kind, &mine);
            let records: Vec<_> = shelf.of(kind).filter(|one| ids.contains(&one.id)).collect();
            for one in records.iter().take(2).chain(records.last()) {
                asked.extend(about(one, patient).into_iter().map(|it| (kind, it)));
            }
            asked.insert((kind, mine));
        }
        let encounter = shelf.search("Encounter", &[pair("patient", patient.as_str())]);
        for encounter in encounter.iter().take(2) {
            for kind in ["Observation", "Condition", "Claim", "DocumentReference", "Procedure"] {
                asked.insert((kind, vec![pair("encounter", encounter)]));
                let whole = format!("Encounter/{encounter}");
                asked.insert((kind, vec![pair("subject", &reference), pair("encounter", whole)]));
            }
        }
        asked.insert(("Provenance", vec![pair("patient", patient.as_str())]));
        asked.insert(("Provenance", vec![pair("target", &reference)]));
    }
    // Claims and bills are asked by patient, not by subject.
    asked.retain(|(kind, asked)| {
        asked.iter().all(|(name, _)| name != "subject" || !matches!(*kind, "Claim"))
    });
    for (kind, parameters) in &asked {
        let expected = shelf.search(kind, parameters);
        let question = query(kind, parameters);
        let found = walk(&question, door);
        assert_eq!(found.total, Some(expected.len() as u64), "the total of {question}");
        assert_eq!(found.ids, expected, "{question}");
    }
    asked.len()
}

/// What a walk from `next` to `next` gave.
pub(crate) struct Walk {
    /// Ids of those that fit.
    pub(crate) ids: BTreeSet<String>,
    /// `Type/id` of those that came along.
    pub(crate) along: BTreeSet<String>,
    pub(crate) total: Option<u64>,
    pub(crate) pages: usize,
}

/// Walks through all pages; no record may come twice.
pub(crate) fn walk(question: &str, door: Door<'_>) -> Walk {
    walk_with(question, door, &mut |_| {})
}

/// Walks, and does something else between pages.
pub(crate) fn walk_with(question: &str, door: Door<'_>, between: &mut dyn FnMut(usize)) -> Walk {
    let mut walk = Walk { ids: BTreeSet::new(), along: BTreeSet::new(), total: None, pages: 0 };
    let mut next = Some(question.to_owned());
    while let Some(path) = next {
        let bundle = door(&path);
        assert_eq!(bundle["type"], "searchset", "{path}: {bundle}");
        if walk.pages == 0 {
            walk.total = bundle["total"].as_u64();
        }
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            let (kind, id) = (resource["resourceType"].as_str(), resource["id"].as_str());
            let (kind, id) = (kind.unwrap(), id.unwrap());
            match entry["search"]["mode"].as_str().unwrap() {
                "match" => assert!(walk.ids.insert(id.to_owned()), "{path} gives one twice"),
                "include" => drop(walk.along.insert(format!("{kind}/{id}"))),
                mode => panic!("{mode}"),
            }
        }
        walk.pages += 1;
        next = link(&bundle, "next");
        between(walk.pages);
    }
    walk
}

/// A link, from the type on.
pub(crate) fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().into_iter().flatten();
    let url =
        links.filter(|link| link["relation"] == relation).find_map(|it| it["url"].as_str())?;
    Some(url.split_once("/fhir/").unwrap().1.to_owned())
}

/// `Patient/$everything`, page by page: each record once, and exactly those.
pub(crate) fn everything(
    shelf: &Shelf,
    patient: &str,
    parameters: &str,
    door: Door<'_>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = Some(format!("Patient/{patient}/$everything{parameters}"));
    while let Some(path) = next {
        let bundle = door(&path);
        assert_eq!(bundle["type"], "searchset", "{path}: {bundle}");
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            let (kind, id) = (resource["resourceType"].as_str(), resource["id"].as_str());
            let place = format!("{}/{}", kind.unwrap(), id.unwrap());
            assert!(found.insert(place), "{path} gives one twice");
        }
        next = link(&bundle, "next");
    }
    if parameters.is_empty() || parameters.starts_with("?_count") {
        assert_eq!(found, shelf.everything(patient), "{patient}");
    }
    found
}
