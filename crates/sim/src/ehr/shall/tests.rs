#![allow(clippy::unwrap_used)]
use super::*;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

const EXPECTATION: &str = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation";
const COMBINATION: &str = "http://hl7.org/fhir/StructureDefinition/\
    capabilitystatement-search-parameter-combination";

/// The JSON files of a package (npm's form: a packed tar), by name; `None` without test data.
fn package() -> Option<BTreeMap<String, Value>> {
    let data = std::env::var_os("HANDOVER_DATA")?;
    let file = Path::new(&data).join("ig-packages/hl7.fhir.us.core-6.1.0.tgz");
    let mut tar = Vec::new();
    GzDecoder::new(std::fs::File::open(file).ok()?).read_to_end(&mut tar).unwrap();
    let (mut files, mut at) = (BTreeMap::new(), 0);
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    };
    while at + 512 <= tar.len() && tar[at] != 0 {
        let (name, size) = (text(&tar[at..at + 100]), text(&tar[at + 124..at + 136]));
        let size = usize::from_str_radix(&size, 8).unwrap();
        let content = &tar[at + 512..at + 512 + size];
        if name.ends_with(".json") {
            files.extend(serde_json::from_slice(content).ok().map(|value| (name, value)));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    Some(files)
}

fn is_shall(value: &Value) -> bool {
    let extensions = value["extension"].as_array().into_iter().flatten();
    extensions.clone().any(|it| it["url"] == EXPECTATION && it["valueCode"] == "SHALL")
}

fn texts<'v>(value: &'v Value, name: &str) -> Vec<&'v str> {
    let all = value["extension"].as_array().into_iter().flatten();
    all.filter(|it| it["url"] == name).filter_map(|it| it["valueString"].as_str()).collect()
}

/// The sets of parameters of a type that are SHALL.
fn sets(resource: &Value) -> BTreeSet<BTreeSet<&str>> {
    let alone = resource["searchParam"].as_array().into_iter().flatten();
    let alone = alone.filter(|it| is_shall(it)).map(|it| [it["name"].as_str().unwrap()].into());
    let together = resource["extension"].as_array().into_iter().flatten();
    let together = together.filter(|it| it["url"] == COMBINATION && is_shall(it));
    alone.chain(together.map(|it| texts(it, "required").into_iter().collect())).collect()
}

#[test]
fn the_table_is_what_the_guide_says_a_server_shall_do() {
    let Some(package) = package() else {
        println!("skipped: no US Core package in HANDOVER_DATA");
        return;
    };
    let statement = &package["package/CapabilityStatement-us-core-server.json"];
    let mut found = BTreeSet::new();
    for resource in statement["rest"][0]["resource"].as_array().unwrap() {
        let kind = resource["type"].as_str().unwrap();
        let interactions = resource["interaction"].as_array().into_iter().flatten();
        let reads = interactions.clone().any(|it| it["code"] == "read" && is_shall(it));
        if !(is_shall(resource) && reads) {
            assert!(shall(kind).is_none(), "{kind} is no SHALL");
            continue;
        }
        let row = shall(kind).unwrap_or_else(|| panic!("{kind} is missing"));
        found.insert(kind);
        let ours: BTreeSet<_> =
            row.searches.iter().map(|set| set.iter().copied().collect()).collect();
        assert_eq!(ours, sets(resource), "{kind}");
        let along = resource["_searchRevInclude"].as_array().into_iter().flatten();
        assert_eq!(along.clone().any(is_shall), row.provenance, "{kind} Provenance");
    }
    assert_eq!(found.len(), SHALL.len(), "a row that the guide does not have");
}

#[test]
fn alternatives_and_comparisons_are_those_of_the_guide() {
    let Some(package) = package() else {
        println!("skipped: no US Core package in HANDOVER_DATA");
        return;
    };
    for row in SHALL {
        let names: BTreeSet<_> = row.searches.iter().flat_map(|set| set.iter().copied()).collect();
        for name in names.into_iter().chain(["status"]) {
            let place = format!(
                "package/SearchParameter-us-core-{}-{}.json",
                row.kind.to_lowercase(),
                name.trim_start_matches('_'),
            );
            let Some(parameter) = package.get(&place) else { continue };
            let several = is_shall(&parameter["_multipleOr"]);
            assert_eq!(several, ALTERNATIVES.contains(&(row.kind, name)), "{place}");
            assert!(!is_shall(&parameter["_multipleAnd"]), "{place}");
            assert_eq!(parameter["type"] == "date" && name != "birthdate", DATES.contains(&name));
            if DATES.contains(&name) {
                let all = parameter["comparator"].as_array().unwrap().iter();
                let all = all.zip(parameter["_comparator"].as_array().unwrap());
                let all: BTreeSet<_> =
                    all.filter(|it| is_shall(it.1)).map(|it| it.0.as_str().unwrap()).collect();
                assert_eq!(all, BTreeSet::from(["gt", "ge", "lt", "le"]), "{place}");
            }
        }
    }
}

fn read(kind: &str, query: &str, strict: bool, status: bool) -> Result<String, &'static str> {
    let parameters = exchange::query::decode(query.as_bytes(), 20).unwrap();
    let asked = shall(kind).unwrap().read(parameters, strict, status);
    let asked = asked.map_err(|refused| refused.code)?;
    let pairs = asked.parameters.iter().map(|(name, value)| format!("{name}={value}"));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

#[test]
fn strict_takes_the_sets_of_the_table_in_any_order_and_nothing_else() {
    let table = [
        ("Observation", "category=laboratory&patient=p", Ok("category=laboratory&patient=p")),
        (
            "Observation",
            "patient=p&category=laboratory&_count=500",
            Ok("patient=p&category=laboratory"),
        ),
        (
            "Observation",
            "patient=p&category=l&date=ge2020-01-01",
            Ok("patient=p&category=l&date=ge2020-01-01"),
        ),
        ("Observation", "patient=p", Err("not-supported")),
        ("Observation", "patient=p&encounter=e", Err("not-supported")),
        ("Observation", "patient=p&category=a,b", Err("not-supported")),
        ("Observation", "patient=p&category=l&date=ge2020&date=le2021", Err("not-supported")),
        ("Observation", "patient=p&category=l&date=sa2020", Err("not-supported")),
        ("Observation", "patient=p&category=l&status=final", Err("not-supported")),
        ("Encounter", "patient=p", Ok("patient=p")),
        ("Encounter", "patient=p&_lastUpdated=ge2020", Err("not-supported")),
        ("Encounter", "patient=p&_include=Encounter:subject", Err("not-supported")),
        ("Encounter", "patient=p&_revinclude=Provenance:target", Ok("patient=p")),
        ("Encounter", "patient=p&_revinclude=Observation:encounter", Err("not-supported")),
        ("Encounter", "date=ge2020-01-01", Err("not-supported")),
        ("Encounter", "", Err("not-supported")),
        ("Specimen", "patient=p", Err("not-supported")),
        ("Specimen", "_id=s", Ok("_id=s")),
        ("CareTeam", "patient=p", Err("not-supported")),
        ("MedicationRequest", "patient=p&intent=order,plan", Ok("patient=p&intent=order,plan")),
        ("Patient", "name=a&gender=male", Ok("name=a&gender=male")),
        ("Patient", "birthdate=1970-01-01", Err("not-supported")),
        ("Provenance", "target=Patient/p", Err("not-supported")),
    ];
    for (kind, query, expected) in table {
        assert_eq!(read(kind, query, true, false), expected.map(str::to_owned), "{kind}?{query}");
    }
}

#[test]
fn lenient_passes_over_what_is_not_in_the_table_and_still_needs_a_set_of_it() {
    let table = [
        ("Encounter", "patient=p&_lastUpdated=ge2020", Ok("patient=p")),
        ("Observation", "patient=p&encounter=e", Err("not-supported")),
        ("Observation", "patient=p&category=l&encounter=e", Ok("patient=p&category=l")),
        ("Procedure", "patient=p&encounter=e", Ok("patient=p")),
        ("DiagnosticReport", "patient=p&date=ge2020-01-01", Ok("patient=p")),
    ];
    for (kind, query, expected) in table {
        assert_eq!(read(kind, query, false, false), expected.map(str::to_owned), "{kind}?{query}");
    }
}

#[test]
fn where_status_is_demanded_a_search_without_it_is_told_so() {
    let table = [
        ("Observation", "patient=p&category=l", Err("required")),
        (
            "Observation",
            "patient=p&category=l&status=final,amended",
            Ok("patient=p&category=l&status=final,amended"),
        ),
        ("Observation", "patient=p&status=final", Err("not-supported")),
        ("MedicationRequest", "patient=p&intent=order", Err("required")),
        (
            "MedicationRequest",
            "patient=p&intent=order&status=active",
            Ok("patient=p&intent=order&status=active"),
        ),
        ("DocumentReference", "_id=d", Ok("_id=d")),
        ("DocumentReference", "patient=p&status=current", Ok("patient=p&status=current")),
    ];
    for (kind, query, expected) in table {
        assert_eq!(read(kind, query, true, true), expected.map(str::to_owned), "{kind}?{query}");
    }
}
