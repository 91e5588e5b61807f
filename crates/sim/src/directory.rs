//! Directory: a small directory of payers, as FHIR searches read it.
//!
//! Comes in   Organization, Endpoint and OrganizationAffiliation resources; a path and a query.
//! Goes out   a status and the body of an answer, page by page.
//! Never      listens by itself, changes, or says anything of what was not filed.
//!
//! Why no more searches: these are the ones that the National Directory's CapabilityStatement has for
//! what a sender needs; all else is refused, so that a client that relies on more is noticed.

use crate::limits::DIRECTORY_PAGE_RECORDS;
use exchange::{Code, Issue};
use fhir::{Node, Resource};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What it holds.
#[derive(Debug, Default)]
pub struct Shelf {
    /// By `Type/id`, so that pages have an order.
    held: BTreeMap<String, Resource>,
}

/// The types, and the parameters by which each is searched.
const SEARCHES: &[(&str, &[&str])] = &[
    ("Organization", &["identifier", "name"]),
    ("Endpoint", &["organization", "status", "connection-type", "identifier"]),
    ("OrganizationAffiliation", &["participating-organization", "primary-organization"]),
];

impl Shelf {
    /// Holds these; of several with one id the last.
    pub fn of(resources: impl IntoIterator<Item = Resource>) -> Shelf {
        let known = |it: &Resource| SEARCHES.iter().any(|(kind, _)| *kind == it.kind());
        let held = resources.into_iter().filter(known).map(|it| (it.local_reference(), it));
        Shelf { held: held.collect() }
    }

    /// How many it holds of each type.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let of = |kind: &str| self.held.values().filter(|it| it.kind() == kind).count();
        SEARCHES.iter().map(|(kind, _)| (*kind, of(kind))).collect()
    }

    /// Answers a `GET`: the path below the base, and what stands behind `?`, not decoded.
    pub fn answer(&self, base: &str, path: &str, query: &str) -> (u16, Vec<u8>) {
        let path = path.trim_matches('/');
        match self.told(base, path, query) {
            Ok(body) => (200, body),
            Err(issue) => (issue.code.row().status, Issue::outcome([&issue])),
        }
    }

    fn told(&self, base: &str, path: &str, query: &str) -> Result<Vec<u8>, Issue> {
        if path == "metadata" {
            return Ok(statement(base).to_string().into_bytes());
        }
        let Some((kind, _)) = path.split_once('/') else {
            return self.search(base, path, query);
        };
        let unknown = || Issue::new(Code::ResourceUnknown, format!("there is no such {kind}"));
        Ok(self.held.get(path).ok_or_else(unknown)?.bytes().to_vec())
    }

    fn search(&self, base: &str, kind: &str, query: &str) -> Result<Vec<u8>, Issue> {
        let known = SEARCHES.iter().find(|(known, _)| *known == kind);
        let unknown = || Issue::new(Code::ResourceUnknown, "this directory has no such type");
        let (_, parameters) = known.ok_or_else(unknown)?;
        let (mut asked, mut page, mut count) = (Vec::new(), 0_usize, DIRECTORY_PAGE_RECORDS);
        for (name, value) in wire::urlencoded::decode(query.as_bytes())? {
            let number = || value.parse::<usize>().ok();
            match name.as_str() {
                "_count" => count = number().unwrap_or(count).clamp(1, DIRECTORY_PAGE_RECORDS),
                "page" => page = number().unwrap_or_default(),
                name if parameters.contains(&name) => asked.push((name.to_owned(), value)),
                _ => {
                    let detail = "this directory does not know the parameter";
                    return Err(Issue::new(Code::ParameterUnsupported, detail).at(name));
                }
            }
        }
        let fits = |it: &&Resource| {
            it.kind() == kind && asked.iter().all(|(name, value)| fits(it, name, value))
        };
        let all: Vec<&Resource> = self.held.values().filter(fits).collect();
        let shown = all.iter().skip(page * count).take(count);
        let entries = shown.map(|it| {
            let resource: Value = serde_json::from_slice(it.bytes()).unwrap_or_default();
            json!({ "fullUrl": format!("{base}/{}", it.local_reference()), "resource": resource,
                "search": { "mode": "match" } })
        });
        let entries: Vec<Value> = entries.collect();
        let rest: Vec<&str> = query.split('&').filter(|it| !it.starts_with("page=")).collect();
        let mut bundle =
            json!({ "resourceType": "Bundle", "type": "searchset", "total": all.len() });
        if (page + 1) * count < all.len() {
            let url = format!("{base}/{kind}?{}&page={}", rest.join("&"), page + 1);
            bundle["link"] = json!([{ "relation": "next", "url": url }]);
        }
        if !entries.is_empty() {
            bundle["entry"] = entries.into();
        }
        Ok(bundle.to_string().into_bytes())
    }
}

/// Whether one of the alternatives of a parameter fits.
fn fits(resource: &Resource, name: &str, values: &str) -> bool {
    let doc = resource.doc();
    let root = doc.root();
    let reference = |member: &str, value: &str| {
        let text = root.get(member).and_then(|it| it.get("reference")?.text());
        text.is_some_and(|it| it == value || it.ends_with(&format!("/{value}")))
    };
    let token = |node: Option<Node<'_, '_>>, code: &str, value: &str| {
        let Some(node) = node else { return false };
        let (system, wanted) = match value.split_once('|') {
            Some((system, wanted)) => (Some(system), wanted),
            None => (None, value),
        };
        let text =
            |name: &str| node.get(name).and_then(|it| it.text()).unwrap_or_default().into_owned();
        text(code) == wanted && system.is_none_or(|system| text("system") == system)
    };
    values.split(',').any(|value| match name {
        "identifier" => {
            let list = root.get("identifier").into_iter().flat_map(|it| it.items());
            list.into_iter().any(|it| token(Some(it), "value", value))
        }
        "name" => {
            let said = root.get("name").and_then(|it| it.text()).unwrap_or_default().to_lowercase();
            said.starts_with(&value.to_lowercase())
        }
        "organization" => reference("managingOrganization", value),
        "participating-organization" => reference("participatingOrganization", value),
        "primary-organization" => reference("organization", value),
        "status" => root.get("status").and_then(|it| it.text()).as_deref() == Some(value),
        "connection-type" => token(root.get("connectionType"), "code", value),
        _ => false,
    })
}

fn statement(base: &str) -> Value {
    let resources = SEARCHES.iter().map(|(kind, parameters)| {
        let searched = parameters.iter().map(|name| {
            let kind = match *name {
                "name" => "string",
                "identifier" | "status" | "connection-type" => "token",
                _ => "reference",
            };
            json!({ "name": name, "type": kind })
        });
        json!({ "type": kind, "interaction": [{ "code": "read" }, { "code": "search-type" }],
            "searchParam": searched.collect::<Vec<_>>() })
    });
    json!({
        "resourceType": "CapabilityStatement", "status": "active", "date": "2026-01-01",
        "kind": "instance", "fhirVersion": "4.0.1", "format": ["json"],
        "software": { "name": "Handover directory" },
        "implementation": { "description": "A directory of payers, for reading", "url": base },
        "rest": [{ "mode": "server", "resource": resources.collect::<Vec<_>>() }],
    })
}
