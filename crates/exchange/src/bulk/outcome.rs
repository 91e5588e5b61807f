//! Outcome: a line of an outcome file, which says what became of resources (Bulk Data 4.0.0-ballot, Bulk
//! Submit Status, output manifest).
//!
//! Comes in   issues, and whom they are about; or a line as a partner wrote it.
//! Goes out   the line; or issues, and whom they are about.
//! Never      more than a partner said: a line without a source is about its manifest.
//!
//! Why a push is named by identifier: one line then speaks for all resources of a push, in an extension
//! that other readers know how to read.

use super::Dialect;
use crate::Issue;
use fhir::{OperationOutcome, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// FHIR Extensions, `operationoutcome-sourceResource`.
const SOURCE: &str = "http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource";

/// What the draft uses instead.
const RELATED: &str = "http://hl7.org/fhir/StructureDefinition/artifact-relatedArtifact";

/// Our own: the numbers of `Counts`, beside the sentence that says the same.
const COUNTS: &str = "urn:handover:filed";

/// Whom a line is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// A resource, by the reference under which its submitter knows it.
    Resource(String),
    /// A push, by `system|value` of its key.
    Push(String),
}

/// What became of the resources of a push, or of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Resources that were read.
    pub read: u64,
    /// Made or changed.
    pub filed: u64,
    /// As they stood already.
    pub unchanged: u64,
    /// Taken back.
    pub deleted: u64,
    /// Set aside: something newer stands there.
    pub older: u64,
    /// Not filed; each has a line of its own.
    pub refused: u64,
}

impl Counts {
    /// The sum of both.
    pub fn and(self, other: Counts) -> Counts {
        Counts {
            read: self.read + other.read,
            filed: self.filed + other.filed,
            unchanged: self.unchanged + other.unchanged,
            deleted: self.deleted + other.deleted,
            older: self.older + other.older,
            refused: self.refused + other.refused,
        }
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        let Counts { read, filed, unchanged, deleted, older, refused } = self;
        format!(
            "{read} resources read: {filed} filed, {unchanged} unchanged, {deleted} deleted, \
             {older} older than what is filed, {refused} refused"
        )
    }

    fn extension(&self) -> Value {
        let count = |(name, count): (&str, u64)| json!({ "url": name, "valueDecimal": count });
        let named = [
            ("read", self.read),
            ("filed", self.filed),
            ("unchanged", self.unchanged),
            ("deleted", self.deleted),
            ("older", self.older),
            ("refused", self.refused),
        ];
        json!({ "url": COUNTS, "extension": named.map(count) })
    }

    fn of(extension: &Value) -> Option<Counts> {
        let parts = extension.get("extension")?.as_array()?;
        let count = |name: &str| {
            let part =
                parts.iter().find(|part| part.get("url").and_then(Value::as_str) == Some(name));
            part.and_then(|part| part.get("valueDecimal")?.as_u64()).unwrap_or(0)
        };
        Some(Counts {
            read: count("read"),
            filed: count("filed"),
            unchanged: count("unchanged"),
            deleted: count("deleted"),
            older: count("older"),
            refused: count("refused"),
        })
    }
}

/// A line, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whom it is about; nobody named: its manifest.
    pub whom: Vec<Whom>,
    /// What is said.
    pub outcome: OperationOutcome,
    /// In numbers, where a house says it.
    pub counts: Option<Counts>,
}

/// The line, without its end, that tells issues about somebody, in a dialect.
pub fn refused<'i>(
    dialect: Dialect,
    whom: &[Whom],
    issues: impl IntoIterator<Item = &'i Issue>,
) -> Vec<u8> {
    let issues: Vec<_> = issues.into_iter().map(Issue::to_json).collect();
    line(whom.iter().map(|whom| whom.extension(dialect)).collect(), issues)
}

/// The line, without its end, that tells what became of a push or a manifest.
pub fn counted(dialect: Dialect, whom: &[Whom], counts: &Counts) -> Vec<u8> {
    let own = std::iter::once(counts.extension());
    let extensions = whom.iter().map(|whom| whom.extension(dialect)).chain(own).collect();
    let issue = json!({
        "severity": "information",
        "code": "informational",
        "details": { "text": counts.sentence() },
    });
    line(extensions, vec![issue])
}

fn line(extensions: Vec<Value>, issues: Vec<Value>) -> Vec<u8> {
    let mut outcome = json!({ "resourceType": "OperationOutcome" });
    if !extensions.is_empty() {
        outcome["extension"] = Value::Array(extensions);
    }
    outcome["issue"] = Value::Array(issues);
    outcome.to_string().into_bytes()
}

impl Whom {
    fn extension(&self, dialect: Dialect) -> Value {
        match (self, dialect) {
            (Whom::Resource(reference), Dialect::Ballot) => {
                json!({ "url": SOURCE, "valueReference": { "reference": reference } })
            }
            (Whom::Resource(reference), Dialect::Argonaut) => json!({
                "url": RELATED,
                "valueRelatedArtifact": { "type": "comments-on", "resourceReference": reference },
            }),
            (Whom::Push(key), _) => {
                let (system, value) = key.rsplit_once('|').unwrap_or(("", key));
                let identifier = json!({ "system": system, "value": value });
                json!({ "url": SOURCE, "valueReference": { "identifier": identifier } })
            }
        }
    }

    fn of(extension: &Value) -> Option<Whom> {
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        match extension.get("url")?.as_str()? {
            SOURCE => {
                let reference = extension.get("valueReference")?;
                let key = |identifier: &Value| {
                    Some(format!("{}|{}", text(identifier, "system")?, text(identifier, "value")?))
                };
                let push = reference.get("identifier").and_then(key).map(Whom::Push);
                text(reference, "reference").map(Whom::Resource).or(push)
            }
            RELATED => {
                let related = extension.get("valueRelatedArtifact")?;
                // The draft's program writes a text where R5 has a Reference.
                let named = related.get("resourceReference")?;
                let text = named.as_str().map(str::to_owned).or_else(|| text(named, "reference"));
                text.map(Whom::Resource)
            }
            _ => None,
        }
    }
}

impl Told {
    /// Reads a line; `None` where it is no OperationOutcome.
    pub fn of(resource: &Resource) -> Option<Told> {
        let outcome = OperationOutcome::of(resource)?;
        let root: Value = serde_json::from_slice(resource.bytes()).ok()?;
        let extensions = root.get("extension").and_then(Value::as_array);
        let extensions = extensions.map(Vec::as_slice).unwrap_or_default();
        let own = |one: &&Value| one.get("url").and_then(Value::as_str) == Some(COUNTS);
        Some(Told {
            whom: extensions.iter().filter_map(Whom::of).collect(),
            outcome,
            counts: extensions.iter().find(own).and_then(Counts::of),
        })
    }

    /// Whether it says that something was not done.
    pub fn is_error(&self) -> bool {
        self.outcome.issues.iter().any(fhir::OutcomeIssue::is_error)
    }
}

#[cfg(test)]
mod tests;
