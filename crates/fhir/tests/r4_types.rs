//! Goal: the table of shapes in `src/r4.txt` is what HL7's definitions of R4 say.
//!
//! How: the table is made again from the definitions and compared. With `HANDOVER_WRITE_R4` set it
//! is written instead.

#![allow(clippy::unwrap_used)]

mod data;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const HEAD: &str = "\
# The shapes of FHIR R4 (4.0.1): a type, then its elements, `*` where they repeat, and `+` where
# the name of a choice ends and its type begins.
# Made from HL7's StructureDefinitions (CC0) by tests/r4_types.rs; not written by hand.
";

/// In the definitions at hand, but not of HL7's R4.
const FOREIGN: [&str; 7] = [
    "SubscriptionStatus",
    "Meta.project",
    "Meta.author",
    "Meta.onBehalfOf",
    "Meta.account",
    "Meta.accounts",
    "Meta.compartment",
];

#[test]
fn the_table_is_what_the_definitions_say() {
    let Some(folder) = data::folder("comparing the table of shapes with R4's definitions") else {
        return;
    };
    let table = table(&folder.join("r4-core-definitions"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/r4.txt");
    if std::env::var_os("HANDOVER_WRITE_R4").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == table, "set HANDOVER_WRITE_R4 to write it");
}

const KEPT_HEAD: &str = "\
# The elements of each resource type of FHIR R4 (4.0.1) that are mandatory or change the meaning of the
# others; of a choice its stem. `implicitRules` and `modifierExtension`, which all have, are left out.
# Made from HL7's StructureDefinitions (CC0) by tests/r4_types.rs; not written by hand.
";

#[test]
fn the_elements_to_keep_are_what_the_definitions_say() {
    let Some(folder) = data::folder("comparing the elements to keep with R4's definitions") else {
        return;
    };
    let file = folder.join("r4-core-definitions/profiles-resources.json.gz");
    let bundle: Value =
        serde_json::from_slice(&data::unzipped(&std::fs::read(file).unwrap())).unwrap();
    let mut types: BTreeMap<&str, String> = BTreeMap::new();
    for entry in bundle["entry"].as_array().unwrap() {
        let definition = &entry["resource"];
        let is_type = definition["resourceType"] == "StructureDefinition"
            && definition["derivation"] != "constraint"
            && definition["kind"] == "resource"
            && definition["abstract"] != true
            && !FOREIGN.contains(&definition["type"].as_str().unwrap());
        if !is_type {
            continue;
        }
        let line = types.entry(definition["type"].as_str().unwrap()).or_default();
        for element in definition["snapshot"]["element"].as_array().unwrap() {
            let path: Vec<_> = element["path"].as_str().unwrap().split('.').collect();
            let [_, name] = path[..] else { continue };
            let kept = element["min"].as_u64() >= Some(1) || element["isModifier"] == true;
            if kept && !["implicitRules", "modifierExtension"].contains(&name) {
                line.push_str(&format!(" {}", name.trim_end_matches("[x]")));
            }
        }
    }
    let lines: Vec<_> = types.into_iter().map(|(name, line)| format!("{name}{line}\n")).collect();
    let table = [KEPT_HEAD, &lines.concat()].concat();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/r4_kept.txt");
    if std::env::var_os("HANDOVER_WRITE_R4").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == table, "set HANDOVER_WRITE_R4 to write it");
}

fn table(folder: &std::path::Path) -> String {
    let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in ["profiles-types.json.gz", "profiles-resources.json.gz"] {
        let bytes = data::unzipped(&std::fs::read(folder.join(file)).unwrap());
        let bundle: Value = serde_json::from_slice(&bytes).unwrap();
        for entry in bundle["entry"].as_array().unwrap() {
            add(&entry["resource"], &mut types);
        }
    }
    let mut text = HEAD.to_owned();
    let primitive = ["string", "number", "boolean", "Resource"];
    for element in types.values().flatten() {
        let shape = element.split_once('=').unwrap().1.trim_start_matches('*');
        assert!(primitive.contains(&shape) || types.contains_key(shape), "{shape} has no elements");
    }
    for (name, elements) in types {
        let elements: Vec<_> = elements.into_iter().collect();
        text.push_str(&format!("{name} {}\n", elements.join(" ")));
    }
    text
}

fn add(definition: &Value, types: &mut BTreeMap<String, BTreeSet<String>>) {
    let is_type = definition["resourceType"] == "StructureDefinition"
        && definition["derivation"] != "constraint"
        && definition["kind"] != "primitive-type"
        && definition["kind"] != "logical"
        && !FOREIGN.contains(&definition["type"].as_str().unwrap());
    if !is_type {
        return;
    }
    for element in definition["snapshot"]["element"].as_array().unwrap() {
        let path = element["path"].as_str().unwrap();
        let Some((owner, name)) = path.rsplit_once('.') else { continue };
        if FOREIGN.contains(&path) || element["max"] == "0" {
            continue;
        }
        let max = element["base"]["max"].as_str().unwrap_or(element["max"].as_str().unwrap());
        let repeats = if max == "1" { "" } else { "*" };
        for (name, shape) in shapes(path, name, element) {
            types.entry(owner.to_owned()).or_default().insert(format!("{name}={repeats}{shape}"));
        }
    }
}

/// Names and shapes of an element: a choice has one for each of its types.
fn shapes(path: &str, name: &str, element: &Value) -> Vec<(String, String)> {
    if let Some(other) = element["contentReference"].as_str() {
        return vec![(name.to_owned(), other.rsplit_once('#').unwrap().1.to_owned())];
    }
    let types = element["type"].as_array().unwrap().iter();
    let types = types.map(|of| of["code"].as_str().unwrap());
    match name.strip_suffix("[x]") {
        None => types.map(|of| (name.to_owned(), shape(path, of))).collect(),
        Some(stem) => types
            .map(|of| {
                (format!("{stem}+{}{}", of[..1].to_ascii_uppercase(), &of[1..]), shape(path, of))
            })
            .collect(),
    }
}

fn shape(path: &str, of: &str) -> String {
    match of {
        "boolean" => "boolean",
        "integer" | "decimal" | "positiveInt" | "unsignedInt" => "number",
        "BackboneElement" | "Element" if !path.ends_with("[x]") => path,
        of if of.starts_with("http://hl7.org/fhirpath/")
            || of.starts_with(|c: char| c.is_ascii_lowercase()) =>
        {
            "string"
        }
        of => of,
    }
    .to_owned()
}
