//! Acknowledgement: what whoever triggered a push is told once it has ended, or waits for a person.
//!
//! Comes in   the push, what was sent, the payer's stored answer.
//! Goes out   one document: JSON for machines, a few lines for people; the same words in both.
//! Never      content of a resource, and never a payer's sentence: ids, versions, codes, counts.

use crate::answer::LedgerRoot;
use crate::assemble::Content;
use crate::id::{PartnerId, PushId, TriggerId, WalkId};
use crate::issue::{Actor, CODE_SYSTEM, Code, Issue};
use crate::place;
use crate::purpose::{Level, Purpose};
use crate::push::{Push, State, Withholding};
use crate::scope::Behalf;
use crate::usability::Finding;
use bytes::Bytes;
use fhir::{Bundle, BundleType, EntryResponse, OperationOutcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// What started it.
    pub trigger: TriggerId,
    /// Its handle in this house.
    pub walk: WalkId,
    /// Its id, as the payer sees it; `None` when it ended before *assemble*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushId>,
    /// The payer.
    pub payer: PartnerId,
    /// Who is the payer in law and who acts for it, where the payor map says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_behalf: Vec<Behalf>,
    /// `Encounter/…` in the source.
    pub subject: String,
    /// The payload kind.
    pub kind: String,
    /// What for.
    pub purpose: Purpose,
    /// `sync` or `async`, as declared.
    pub mode: String,
    /// `settled`, `held`, `withheld`, `refused`, `superseded`, `unchanged`, `due`.
    pub state: String,
    /// Which word settled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The push that had brought the same content before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<PushId>,
    /// That push's state, where it had not ended: nothing more is told of it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as_state: Option<String>,
    /// When it was triggered.
    pub triggered: Timestamp,
    /// When this was written.
    pub at: Timestamp,
    /// When it must be, or must have been, settled.
    pub deadline: Timestamp,
    /// How often it was sent since a person last let it go.
    pub attempts: u32,
    /// The door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// In how many parts it went, where it did: then it is not all or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// What was sent, in the order of the Bundle; its Provenance last.
    pub resources: Vec<ResourceOutcome>,
    /// What stayed behind, by rule.
    pub withheld: Vec<Withholding>,
    /// Why it waits, was withheld or refused, each with its way forward.
    pub issues: Vec<WayForward>,
    /// What is not usable for the purpose, and who can mend it: as it was before sending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What the payer's ledger had proved when it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer_ledger: Option<LedgerRoot>,
}

/// What became of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceOutcome {
    /// `Type/id` in the source; `None` for what only the payer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `Type/id` at the payer, as sent.
    pub record: String,
    /// The payer's status of it, when it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `Type/id` at the payer, as answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The payer's version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Codes of the catalogue the payer gave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Code>,
}

/// An issue with everything its reader needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayForward {
    /// The issue.
    #[serde(flatten)]
    pub issue: Issue,
    /// What the code means.
    pub title: String,
    /// Who acts.
    pub who_acts: Actor,
    /// The next step.
    pub next: String,
}

impl From<&Issue> for WayForward {
    fn from(issue: &Issue) -> WayForward {
        let row = issue.code.row();
        let (title, next) = (row.title.to_owned(), row.next.to_owned());
        WayForward { issue: issue.clone(), title, who_acts: row.actor, next }
    }
}

impl Acknowledgement {
    /// The acknowledgement of a push as it stands. `contents` are those of its payload (none before
    /// *assemble*), `answer` the payer's stored transaction-response, if it has given one.
    pub fn of(
        push: &Push,
        contents: &[Content],
        answer: Option<&Bytes>,
        triggered: Timestamp,
        at: Timestamp,
    ) -> Acknowledgement {
        let answer = answer.and_then(|bytes| read_answer(bytes, contents.len()));
        let responses = answer.iter().flat_map(|bundle| &bundle.entries);
        let mut responses = responses.map(|entry| entry.response.as_ref());
        let outcome = |content| ResourceOutcome::of(content, responses.next().flatten());
        let (level, same_as) = match &push.state {
            State::Settled { level } => (Some(*level), None),
            State::Unchanged { push } => (None, Some(push.clone())),
            _ => (None, None),
        };
        Acknowledgement {
            trigger: push.trigger.clone(),
            walk: push.walk.clone(),
            push: push.assembled.as_ref().map(|assembled| assembled.push.clone()),
            payer: push.dossier.payer.clone(),
            on_behalf: push.on_behalf.clone(),
            subject: push.dossier.subject.clone(),
            kind: push.dossier.kind.clone(),
            purpose: push.purpose,
            mode: push.mode.clone(),
            state: push.state_word().to_owned(),
            level,
            same_as,
            same_as_state: None,
            triggered,
            at,
            deadline: push.deadline,
            attempts: push.attempt,
            endpoint: push.endpoint.clone(),
            parts: push.parts.as_ref().map(|parts| parts.answered),
            resources: contents.iter().map(outcome).collect(),
            withheld: push.withheld.clone(),
            issues: push.issues.iter().map(WayForward::from).collect(),
            findings: Vec::new(),
            payer_ledger: answer.as_ref().and_then(LedgerRoot::of),
        }
    }

    /// The same, with what was found before it was sent.
    pub fn with_findings(self, findings: Vec<Finding>) -> Acknowledgement {
        Acknowledgement { findings, ..self }
    }

    /// The same for an unchanged one, with why the push that holds the same waits, where it does.
    pub fn with_standing(self, standing: Option<&Push>) -> Acknowledgement {
        match standing.filter(|other| !other.ended()) {
            Some(other) => Acknowledgement {
                same_as_state: Some(other.state_word().to_owned()),
                issues: other.issues.iter().map(WayForward::from).collect(),
                ..self
            },
            None => self,
        }
    }

    /// The document: JSON without white space, members in the order of their declaration.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| {
            // Plain data with string keys always serializes.
            unreachable!("an acknowledgement does not serialize: {error}")
        })
    }

    /// What a person reads first: the state, the counts, what stayed, and the way forward.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        lines.extend(self.on_behalf.iter().map(Behalf::words));
        if let Some(counts) = self.counts() {
            lines.push(counts);
        }
        if let Some(parts) = self.parts.filter(|parts| *parts > 1) {
            lines.push(format!("it went in {parts} parts: what was filed of it stays"));
        }
        for row in &self.withheld {
            let (resources, elements) = (row.resources, row.elements);
            lines.push(format!(
                "withheld by rule {}: {resources} resources, {elements} elements",
                row.rule
            ));
        }
        for finding in &self.findings {
            let [what, who, places] = finding.lines();
            lines.extend([
                format!("not usable: {what}"),
                format!("  {who}"),
                format!("  {places}"),
            ]);
        }
        for way in &self.issues {
            lines.extend(way.issue.to_string().lines().map(str::to_owned));
        }
        if let Some(ledger) = &self.payer_ledger {
            let (sequence, root) = (ledger.sequence, ledger.root);
            lines.push(format!("the payer's ledger has proved up to {sequence}: {root}"));
        }
        lines
    }

    fn headline(&self) -> String {
        let name = self.push.as_ref().map_or(self.walk.as_str(), PushId::as_str);
        let word = match (self.level, &self.same_as) {
            (Some(Level::Taken), _) => "settled: taken by the payer".to_owned(),
            (Some(Level::Accepted), _) => "settled: accepted by the payer".to_owned(),
            (Some(Level::Filed), _) => "settled: filed by the payer".to_owned(),
            (None, Some(push)) => match self.same_as_state.as_deref() {
                Some("held") => format!("the same as push {push}, which waits for a person"),
                Some(_) => format!("the same as push {push}, which is still on its way"),
                None => format!("unchanged since push {push}; nothing was sent"),
            },
            (None, None) => self.state.clone(),
        };
        format!("push {name} to {}: {word}", self.payer)
    }

    /// How many resources were created, updated, left or taken back, when the payer has said so.
    fn counts(&self) -> Option<String> {
        let count =
            |wanted: u16| self.resources.iter().filter(|it| it.status == Some(wanted)).count();
        let answered = self.resources.iter().any(|it| it.status.is_some());
        answered.then(|| {
            format!(
                "{} entries: {} created, {} updated or unchanged, {} taken back",
                self.resources.len(),
                count(201),
                count(200),
                count(204)
            )
        })
    }
}

/// The payer's answer, when it is one to this payload.
fn read_answer(bytes: &Bytes, entries: usize) -> Option<Bundle> {
    let bundle = Bundle::parse_with_limit(bytes.clone(), entries).ok()?;
    let fits = bundle.kind == BundleType::TransactionResponse && bundle.entries.len() == entries;
    fits.then_some(bundle)
}

impl ResourceOutcome {
    fn of(content: &Content, response: Option<&EntryResponse>) -> ResourceOutcome {
        let source = content.source_id.as_ref().map(|id| format!("{}/{id}", content.kind));
        let place = response.and_then(|response| response.location.as_deref()).and_then(located);
        let (location, version) = place.unzip();
        ResourceOutcome {
            source,
            record: format!("{}/{}", content.kind, content.id),
            status: response.and_then(EntryResponse::status_code),
            location,
            version: version.flatten(),
            notes: response.map(notes).unwrap_or_default(),
        }
    }
}

/// `Type/id` and version of a response's location, absolute or relative; anything else is left out.
fn located(location: &str) -> Option<(String, Option<String>)> {
    let steps: Vec<&str> = location.rsplitn(5, '/').collect();
    let (record, version) = match steps[..] {
        [version, "_history", id, kind, ..] => (format!("{kind}/{id}"), Some(version)),
        [id, kind, ..] => (format!("{kind}/{id}"), None),
        _ => return None,
    };
    let version = version.filter(|version| fhir::is_id(version)).map(str::to_owned);
    place::type_and_id(&record)?;
    Some((record, version))
}

/// What the payer remarks, where it uses our codes.
fn notes(response: &EntryResponse) -> Vec<Code> {
    let outcome = response.outcome.as_ref().and_then(OperationOutcome::of).unwrap_or_default();
    let ours = outcome.issues.iter().filter_map(|issue| issue.coding.as_ref());
    let ours = ours.filter(|(system, _)| system.as_deref() == Some(CODE_SYSTEM));
    ours.filter_map(|(_, code)| Code::from_slug(code)).collect()
}
