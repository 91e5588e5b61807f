//! Capability: what a payer's door says it speaks, and what both sides agree on.
//!
//! Comes in   the answer to `$versions` and a CapabilityStatement (R4 §2.13); what this house speaks.
//! Goes out   FHIR version, US Core version, mode of each operation and dialect, each with its reason;
//!            or the exact mismatch. What of a statement matters, so that a change is seen.
//! Never      takes silence for support: what a statement does not say is told as unsaid. Whether the
//!            form of the agreement is offered is asked by the ladder, not here.

use crate::id::Digest;
use crate::issue::{Code, Issue};
use crate::limits::{
    DIRECTORY_LIST_MAX, DIRECTORY_WORD_CHARS_MAX, DRIFT_WORDS_MAX, PARTNER_CODE_CHARS_MAX,
};
use fhir::{Doc, Node, Versions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The FHIR versions that this house speaks.
pub const FHIR_VERSIONS: &[&str] = &["4.0"];

/// The versions of US Core whose resources this house sends as they are, the usual one first: those
/// that CDex and HRex accept (USCDI v3, v4, v1).
pub const US_CORE_VERSIONS: &[&str] = &["6.1.0", "7.0.0", "3.1.1"];

/// Extension by which a house says of an interaction or operation whether it is answered at once
/// (`sync`), later (`async`) or as asked for (`either`): no guide defines one.
pub const MODE_EXTENSION: &str = "urn:handover:mode";

const US_CORE: &str = "http://hl7.org/fhir/us/core/";

/// Operations that are answered later by their own definition (Bulk Data, NDH).
const ASYNC_OPERATIONS: &[&str] =
    &["export", "bulk-submit", "bulk-publish", "ndh-export", "import"];

/// What a door says of itself, as far as it matters for a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// What `$versions` lists; none: it gave no answer that can be read.
    pub versions: Option<Vec<String>>,
    /// `fhirVersion`; none: there is no statement.
    pub fhir_version: Option<String>,
    /// `instantiates` and `implementationGuide`, with their versions.
    pub guides: BTreeSet<String>,
    /// `supportedProfile` and `profile` of all types, with their versions.
    pub profiles: BTreeSet<String>,
    /// `format`.
    pub formats: BTreeSet<String>,
    /// Interactions and operations of the system, each with its mode where it is said.
    pub operations: BTreeSet<(String, Option<String>)>,
    /// By type: the interactions, and by which parameters it is searched.
    pub types: BTreeSet<String>,
    /// `software.name`.
    pub software: Option<String>,
}

/// What both sides settled on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Agreed {
    /// FHIR version: `4.0`.
    pub version: String,
    /// US Core version; none: the payer does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub us_core: Option<String>,
    /// Whose ways of speaking: `handover`, or `r4` as the specification has it.
    pub dialect: String,
    /// `sync` or `async`, by interaction or operation that is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<(String, String)>,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
}

impl Declared {
    /// Reads what a door answered.
    pub fn read(versions: Option<&Versions>, statement: Option<&Doc<'_>>) -> Declared {
        let mut declared = Declared {
            versions: versions.map(|it| it.versions.iter().map(|one| clip(one)).collect()),
            ..Declared::default()
        };
        let Some(statement) = statement else { return declared };
        let root = statement.root();
        declared.fhir_version = Some(text(root.get("fhirVersion")).unwrap_or_default());
        declared.software = root.get("software").and_then(|it| text(it.get("name")));
        for list in ["instantiates", "implementationGuide"] {
            declared.guides.extend(texts(root.get(list)));
        }
        declared.formats.extend(texts(root.get("format")));
        for rest in items(root.get("rest")) {
            if text(rest.get("mode")).is_some_and(|mode| mode != "server") {
                continue;
            }
            for (list, name) in [("interaction", "code"), ("operation", "name")] {
                for one in items(rest.get(list)) {
                    if let Some(name) = text(one.get(name)) {
                        let name = name.trim_start_matches('$').to_owned();
                        declared.operations.insert((name, mode(one)));
                    }
                }
            }
            for resource in items(rest.get("resource")) {
                let Some(kind) = text(resource.get("type")) else { continue };
                declared.profiles.extend(texts(resource.get("supportedProfile")));
                declared.profiles.extend(text(resource.get("profile")));
                declared.types.insert(type_words(&kind, resource));
            }
        }
        declared
    }

    /// What matters, one line each, in an order of its own: equal lines say that nothing changed.
    pub fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        let mut versions = self.versions.clone().unwrap_or_default();
        versions.sort();
        facts.extend(versions.iter().map(|it| format!("$versions {it}")));
        facts.extend(self.fhir_version.iter().map(|it| format!("fhirVersion {it}")));
        facts.extend(self.formats.iter().map(|it| format!("format {it}")));
        facts.extend(self.guides.iter().map(|it| format!("guide {it}")));
        facts.extend(self.profiles.iter().map(|it| format!("profile {it}")));
        facts.extend(self.operations.iter().map(|(name, mode)| match mode {
            Some(mode) => format!("{name} {mode}"),
            None => name.clone(),
        }));
        facts.extend(self.types.iter().cloned());
        facts
    }

    /// The digest of all that matters.
    pub fn digest(&self) -> Digest {
        let facts = self.facts();
        Digest::of_pieces(facts.iter().map(String::as_bytes))
    }

    /// The versions of US Core that are named; an unversioned name is an empty text.
    fn us_core(&self) -> BTreeSet<String> {
        let named = self.guides.iter().chain(&self.profiles).filter(|it| it.starts_with(US_CORE));
        named.map(|it| it.split_once('|').map_or("", |(_, version)| version).to_owned()).collect()
    }
}

/// What changed from one list of facts to the next, in words; a bounded number of them.
pub fn drift(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|it| !after.contains(it)).map(|it| format!("no longer {it}"));
    let new = after.iter().filter(|it| !before.contains(it)).map(|it| format!("now {it}"));
    let mut words: Vec<String> = gone.chain(new).collect();
    if words.len() > DRIFT_WORDS_MAX {
        let more = words.len() - DRIFT_WORDS_MAX;
        words.truncate(DRIFT_WORDS_MAX);
        words.push(format!("and {more} more"));
    }
    words
}

/// What both sides speak. `used` are the interactions and operations that the push needs.
///
/// Errors: `VersionMismatch` for FHIR and US Core, `CapabilityMissing` for formats and modes, each with
/// both sides' words.
pub fn agree(declared: &Declared, used: &[&str], mode: &str) -> Result<Agreed, Issue> {
    let mut agreed = Agreed::default();
    fhir_version(declared, &mut agreed)?;
    formats(declared, &mut agreed)?;
    us_core(declared, &mut agreed)?;
    modes(declared, used, mode, &mut agreed)?;
    let own = declared.software.as_deref() == Some("Handover");
    agreed.dialect = if own { "handover" } else { "r4" }.to_owned();
    agreed.reasons.push(match own {
        true => "dialect handover: its statement names this program".to_owned(),
        false => "dialect r4: as the specification has it".to_owned(),
    });
    Ok(agreed)
}

fn fhir_version(declared: &Declared, agreed: &mut Agreed) -> Result<(), Issue> {
    let ours = FHIR_VERSIONS.join(", ");
    let short = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let spoken = |version: &str| FHIR_VERSIONS.contains(&short(version).as_str());
    if let Some(versions) = &declared.versions
        && !versions.iter().any(|it| spoken(it))
    {
        let theirs = some(versions);
        let detail = format!(
            "the payer's $versions does not offer {ours}: it offers {theirs}, and this house speaks {ours}"
        );
        return Err(Issue::new(Code::VersionMismatch, detail).at("$versions"));
    }
    let (said, by) = match &declared.fhir_version {
        Some(version) if !spoken(version) => {
            let offered = match &declared.versions {
                Some(versions) => format!(", although its $versions offers {}", some(versions)),
                None => String::new(),
            };
            let theirs = if version.is_empty() { "no FHIR version at all" } else { version };
            let detail = format!(
                "the payer's capability statement is not for FHIR R4: it says {theirs}{offered}, and \
                 this house speaks {ours}"
            );
            let place = "CapabilityStatement.fhirVersion";
            return Err(Issue::new(Code::VersionMismatch, detail).at(place));
        }
        Some(version) => (version.clone(), "its capability statement"),
        None if declared.versions.is_some() => (ours, "its $versions"),
        None => (ours, "the agreement vouches for it, where the door"),
    };
    agreed.version = short(&said);
    agreed.reasons.push(format!("FHIR {}: {by} says {said}", agreed.version));
    Ok(())
}

fn formats(declared: &Declared, agreed: &mut Agreed) -> Result<(), Issue> {
    let json = |it: &String| {
        let essence = it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(
            essence.as_str(),
            "json" | "application/fhir+json" | "application/json" | "text/json"
        )
    };
    if declared.formats.is_empty() || declared.formats.iter().any(json) {
        if !declared.formats.is_empty() {
            agreed.reasons.push("JSON: its statement lists it".to_owned());
        }
        return Ok(());
    }
    let theirs = some(&declared.formats.iter().cloned().collect::<Vec<_>>());
    let detail = format!("the payer's door reads {theirs}, and this house sends json");
    Err(Issue::new(Code::CapabilityMissing, detail).at("CapabilityStatement.format"))
}

fn us_core(declared: &Declared, agreed: &mut Agreed) -> Result<(), Issue> {
    let short = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let named = declared.us_core();
    let versions: Vec<String> = named.iter().filter(|it| !it.is_empty()).cloned().collect();
    if versions.is_empty() {
        let ours = US_CORE_VERSIONS[0];
        agreed.reasons.push(match named.is_empty() {
            true => format!("US Core {ours} as charts have it: its statement names no US Core"),
            false => format!("US Core {ours} as charts have it: its statement names no version"),
        });
        return Ok(());
    }
    let both =
        US_CORE_VERSIONS.iter().find(|our| versions.iter().any(|it| short(it) == short(our)));
    let Some(both) = both else {
        let (theirs, ours) = (some(&versions), US_CORE_VERSIONS.join(", "));
        let detail = format!(
            "the payer's door names US Core {theirs} only, and this house sends US Core {ours}"
        );
        let place = "CapabilityStatement.implementationGuide";
        return Err(Issue::new(Code::VersionMismatch, detail).at(place));
    };
    agreed.us_core = Some((*both).to_owned());
    agreed.reasons.push(format!("US Core {both}: its statement names {}", some(&versions)));
    Ok(())
}

fn modes(
    declared: &Declared,
    used: &[&str],
    wanted: &str,
    agreed: &mut Agreed,
) -> Result<(), Issue> {
    for name in used {
        let said = declared.operations.iter().find(|(known, _)| known == name);
        let said = said.and_then(|(_, mode)| mode.as_deref());
        let by_itself = if ASYNC_OPERATIONS.contains(name) { "async" } else { "sync" };
        let (mode, why) = match said {
            Some("either") => (wanted, "as agreed; its statement takes both"),
            Some(mode) => (mode, "its statement says so"),
            None => (by_itself, "by its definition; its statement does not say"),
        };
        if said.is_some() && mode != wanted {
            let detail = format!(
                "the payer's door answers {name} {mode} only, and the agreement's mode is {wanted}"
            );
            let place = "CapabilityStatement.rest";
            return Err(Issue::new(Code::CapabilityMissing, detail).at(place));
        }
        agreed.modes.push(((*name).to_owned(), mode.to_owned()));
        agreed.reasons.push(format!("{name} {mode}: {why}"));
    }
    Ok(())
}

/// `Patient: create update, by _id identifier`.
fn type_words(kind: &str, resource: Node<'_, '_>) -> String {
    let interactions: BTreeSet<String> =
        items(resource.get("interaction")).filter_map(|it| text(it.get("code"))).collect();
    let matter = ["create", "update", "delete", "patch", "search-type", "read"];
    let interactions: Vec<&str> =
        matter.into_iter().filter(|it| interactions.contains(*it)).collect();
    let flags = ["updateCreate", "conditionalCreate", "conditionalUpdate"];
    let is_set = |it: &&str| resource.get(it).is_some_and(|it| it.raw() == "true");
    let by = items(resource.get("searchParam")).filter_map(|it| text(it.get("name")));
    let by: BTreeSet<String> = by.filter(|it| it == "_id" || it == "identifier").collect();
    let mut words: Vec<&str> = interactions;
    words.extend(flags.into_iter().filter(is_set));
    words.extend(by.iter().map(String::as_str));
    format!("{kind}: {}", words.join(" "))
}

fn mode(of: Node<'_, '_>) -> Option<String> {
    let mut extensions = items(of.get("extension"));
    let ours = extensions.find(|it| text(it.get("url")).as_deref() == Some(MODE_EXTENSION))?;
    let said = text(ours.get("valueCode"))?;
    matches!(said.as_str(), "sync" | "async" | "either").then_some(said)
}

fn items<'d, 'a>(node: Option<Node<'d, 'a>>) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
    node.into_iter().flat_map(|node| node.items()).take(DIRECTORY_LIST_MAX)
}

fn texts(list: Option<Node<'_, '_>>) -> impl Iterator<Item = String> {
    items(list).filter_map(|it| text(Some(it))).collect::<Vec<_>>().into_iter()
}

/// A text of one line and a bounded length.
fn text(node: Option<Node<'_, '_>>) -> Option<String> {
    let text = node?.text()?;
    (text.len() <= DIRECTORY_WORD_CHARS_MAX && !text.chars().any(char::is_control))
        .then(|| text.into_owned())
}

/// The first ones of a list, each cut to the length of a code.
fn some(words: &[String]) -> String {
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.iter().take(6).map(|it| clip(it)).collect::<Vec<_>>().join(", ")
}

fn clip(text: &str) -> String {
    let plain = text.chars().filter(|c| c.is_ascii_graphic());
    plain.take(PARTNER_CODE_CHARS_MAX).collect()
}
