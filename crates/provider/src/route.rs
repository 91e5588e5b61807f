//! Route: where is the door, and is it the right one?
//!
//! Comes in   a payer, its directory entry, what the agreement needs.
//! Goes out   the door with version, form and mode; or an issue that says who must act.
//! Never      opens a chart: the door is known first. Never asks again while the answer is fresh.

use crate::limits::DOOR_AGE_MAX;
use crate::setup::Payer;
use exchange::desk::Door;
use exchange::{Agreement, Code, Issue, PartnerId};
use fhir::{Doc, Versions};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use wire::{ClientError, SignInError, TransportError};

/// Doors that were found open, with the time they were checked.
#[derive(Default)]
pub struct Doors(Mutex<HashMap<PartnerId, (Timestamp, Door)>>);

impl Doors {
    /// The payer's door, checked now or not long ago.
    pub async fn open(
        &self,
        payer: &Payer,
        base_url: String,
        now: Timestamp,
    ) -> Result<Door, Issue> {
        let name = &payer.public.name;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((since, door)) = known
            && now.duration_since(since).unsigned_abs() < DOOR_AGE_MAX
            && door.base_url == base_url
        {
            return Ok(door);
        }
        let door = check(payer, base_url).await?;
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doors.insert(name.clone(), (now, door.clone()));
        Ok(door)
    }

    /// Forgets a door that did not do what it promised.
    pub fn forget(&self, payer: &PartnerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(payer);
    }
}

/// Asks the door for its versions and its capability statement.
async fn check(payer: &Payer, base_url: String) -> Result<Door, Issue> {
    if payer.client.base_url() != base_url.trim_end_matches('/') {
        let detail = "the directory names another endpoint than the one this house signs in to";
        return Err(Issue::new(Code::PayerUntrusted, detail).at("base_url"));
    }
    let answer = payer.client.get_open("$versions").await.map_err(|error| away(&error))?;
    let status = answer.status();
    let versions = Versions::parse(answer.into_body())
        .map_err(|_| mismatch("the payer's $versions cannot be read", "$versions"))?;
    if status != 200 || !versions.speaks("4.0") {
        return Err(mismatch("the payer's $versions does not offer 4.0", "$versions"));
    }
    let answer = payer.client.get_open("metadata").await.map_err(|error| away(&error))?;
    if answer.status() != 200 {
        return Err(mismatch("the payer's /metadata cannot be had", "CapabilityStatement"));
    }
    let body = answer.into_body();
    let statement = Doc::parse(&body)
        .map_err(|_| mismatch("the payer's /metadata cannot be read", "CapabilityStatement"))?;
    read_capability(&statement, &payer.terms.agreement)?;
    let Agreement { form, mode, .. } = &payer.terms.agreement;
    Ok(Door { base_url, version: "4.0".into(), form: form.clone(), mode: mode.clone() })
}

/// What the capability statement must say for the agreement's form (R4 §2.15).
fn read_capability(statement: &Doc<'_>, agreement: &Agreement) -> Result<(), Issue> {
    let root = statement.root();
    let version = root.get("fhirVersion").and_then(|node| node.text()).unwrap_or_default();
    if !matches!(&*version, "4.0" | "4.0.0" | "4.0.1") {
        let detail = "the payer's capability statement is not for FHIR R4";
        return Err(mismatch(detail, "CapabilityStatement.fhirVersion"));
    }
    let rest = root.get("rest").into_iter().flat_map(|rest| rest.items());
    let offered = rest
        .flat_map(|rest| rest.get("interaction").into_iter().flat_map(|list| list.items()))
        .filter_map(|interaction| interaction.get("code")?.text())
        .any(|code| code == agreement.form);
    if offered {
        return Ok(());
    }
    let detail = format!("the payer's door does not offer {}", agreement.form);
    Err(Issue::new(Code::CapabilityMissing, detail).at("CapabilityStatement.rest.interaction.code"))
}

fn mismatch(detail: &str, place: &str) -> Issue {
    Issue::new(Code::VersionMismatch, detail).at(place)
}

/// Why a door did not answer; the cause goes to the log.
pub fn away(error: &ClientError) -> Issue {
    tracing::warn!(?error, "a payer's door");
    match error {
        ClientError::Transport(TransportError::Untrusted(_))
        | ClientError::SignIn(SignInError::Untrusted(_)) => {
            Issue::new(Code::PayerUntrusted, "the payer's certificate is not trusted here")
        }
        ClientError::SignIn(sign_in) if !sign_in.is_passing() => {
            Issue::new(Code::SignInRefused, "the payer refused this house's credential")
        }
        ClientError::SignIn(_) => {
            Issue::new(Code::PayerUnreachable, "the payer's sign-in does not answer")
        }
        ClientError::Transport(TransportError::AnswerTooLarge) => {
            Issue::new(Code::AnswerUnreadable, "the payer's answer is larger than this house reads")
        }
        ClientError::Transport(_) => {
            Issue::new(Code::PayerUnreachable, "the payer's door does not answer")
        }
        ClientError::ForeignUrl => {
            Issue::new(Code::AnswerUnreadable, "the payer names a place on another server")
        }
    }
}
