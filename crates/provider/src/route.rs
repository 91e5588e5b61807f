//! Route: where is the door, and is it the right one?
//!
//! Comes in   a payer, its directory entry, what the agreement needs.
//! Goes out   the door with version, form and mode; or an issue that says who must act.
//! Never      opens a chart: the door is known first. Never asks again while the answer is fresh.

use crate::limits::{DOOR_AGE_MAX, STATEMENT_PATIENCE};
use crate::setup::Payer;
use exchange::desk::Door;
use exchange::ladder::{self, Offer};
use exchange::{Agreement, Code, Issue, PartnerId};
use fhir::{Doc, Versions};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use wire::{ClientError, SignInError, TransportError};

/// Doors that were found open, with the time they were checked and what they offer.
#[derive(Default)]
pub struct Doors {
    known: Mutex<HashMap<PartnerId, Known>>,
    /// Since when a payer's statement could not be read.
    garbled: Mutex<HashMap<PartnerId, Timestamp>>,
}

type Known = (Timestamp, Door, Arc<Offer>);

impl Doors {
    /// The payer's door, checked now or not long ago.
    pub async fn open(
        &self,
        payer: &Payer,
        base_url: String,
        now: Timestamp,
    ) -> Result<Door, Issue> {
        let name = &payer.public.name;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((since, door, _)) = known
            && now.duration_since(since).unsigned_abs() < DOOR_AGE_MAX
            && door.base_url == base_url
        {
            return Ok(door);
        }
        let patient = !self.is_garbled_for_long(name, now);
        let checked = check(payer, base_url, patient).await;
        self.note_garbled(name, now, checked.as_ref().err());
        let (door, offer) = checked?;
        let mut doors = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        doors.insert(name.clone(), (now, door.clone(), Arc::new(offer)));
        Ok(door)
    }

    /// Whether a statement that cannot be read is no passing matter any more.
    fn is_garbled_for_long(&self, payer: &PartnerId, now: Timestamp) -> bool {
        let garbled = self.garbled.lock().unwrap_or_else(PoisonError::into_inner);
        garbled.get(payer).is_some_and(|since| now.duration_since(*since) >= STATEMENT_PATIENCE)
    }

    /// Remembers since when a statement has been unreadable, until it says something else.
    fn note_garbled(&self, payer: &PartnerId, now: Timestamp, issue: Option<&Issue>) {
        let mut garbled = self.garbled.lock().unwrap_or_else(PoisonError::into_inner);
        match issue.is_some_and(|issue| issue.detail == GARBLED) {
            true => drop(garbled.entry(payer.clone()).or_insert(now)),
            false => drop(garbled.remove(payer)),
        }
    }

    /// What a door that was found open offers.
    pub fn offer(&self, payer: &PartnerId) -> Option<Arc<Offer>> {
        let doors = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        doors.get(payer).map(|(_, _, offer)| Arc::clone(offer))
    }

    /// Forgets a door that did not do what it promised.
    pub fn forget(&self, payer: &PartnerId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(payer);
    }
}

/// Asks the door for its versions and its capability statement. `patient`: what cannot be read may be
/// read the next time, and is no matter for a person yet.
async fn check(payer: &Payer, base_url: String, patient: bool) -> Result<(Door, Offer), Issue> {
    if payer.client.base_url() != base_url.trim_end_matches('/') {
        let detail = "the directory names another endpoint than the one this house signs in to";
        return Err(Issue::new(Code::PayerUntrusted, detail).at("base_url"));
    }
    let agreement = &payer.terms.agreement;
    let best = agreement.by_ladder();
    check_versions(payer, best).await?;
    let answer = payer.client.get_open("metadata").await.map_err(|error| away(&error))?;
    if best && (answer.status() == 429 || answer.status().is_server_error()) {
        let detail = format!("the payer's /metadata answers {}", answer.status().as_u16());
        return Err(Issue::new(Code::PayerUnreachable, detail));
    }
    let there = answer.status() == 200;
    let body = answer.into_body();
    let statement = Doc::parse(&body).ok().filter(|_| there);
    let (form, ladder, offer) = match statement {
        Some(statement) if !best || is_statement(&statement) => {
            read_capability(&statement, agreement)?
        }
        None if !best && !there => return Err(mismatch(ABSENT, STATEMENT)),
        None if !best => return Err(mismatch(GARBLED, STATEMENT)),
        // The clock asks again for a while; `wait` knows this code.
        None if there && patient => {
            return Err(Issue::new(Code::PayerUnreachable, GARBLED).at(STATEMENT));
        }
        None if there && agreement.door.assume.is_empty() => {
            return Err(Issue::new(Code::AnswerUnreadable, GARBLED).at(STATEMENT));
        }
        _ => vouched_for(agreement)?,
    };
    let mode = agreement.mode.clone();
    Ok((Door { base_url, version: "4.0".into(), form, mode, ladder }, offer))
}

const STATEMENT: &str = "CapabilityStatement";
const ABSENT: &str = "the payer's /metadata cannot be had";
const GARBLED: &str = "the payer's /metadata cannot be read";

fn is_statement(doc: &Doc<'_>) -> bool {
    doc.root().get("resourceType").and_then(|node| node.text()).as_deref() == Some(STATEMENT)
}

/// A door that has no statement: what the agreement vouches for.
fn vouched_for(agreement: &Agreement) -> Result<(String, Vec<String>, Offer), Issue> {
    let door = &agreement.door;
    if door.assume.is_empty() {
        let detail = "the payer's door has no capability statement, and `assume` in the \
            agreement's [door] vouches for nothing in its place";
        return Err(Issue::new(Code::CapabilityMissing, detail).at(STATEMENT));
    }
    by_ladder(Offer::assumed(&door.assume), agreement)
}

fn by_ladder(offer: Offer, agreement: &Agreement) -> Result<(String, Vec<String>, Offer), Issue> {
    let rung = ladder::choose(&offer, &agreement.door, &BTreeSet::new())?;
    let form = format!("best ({})", rung.word());
    Ok((form, rung.reasons, offer))
}

/// Whether the door speaks R4 by its own `$versions`. Few servers have the operation: with the form
/// `best` the capability statement says enough.
async fn check_versions(payer: &Payer, best: bool) -> Result<(), Issue> {
    let answer = payer.client.get_open("$versions").await.map_err(|error| away(&error))?;
    let status = answer.status();
    let versions = match Versions::parse(answer.into_body()) {
        Ok(versions) if status == 200 => versions,
        _ if best => return Ok(()),
        Ok(_) => return Err(mismatch("the payer's $versions does not offer 4.0", "$versions")),
        Err(_) => return Err(mismatch("the payer's $versions cannot be read", "$versions")),
    };
    match versions.speaks("4.0") {
        true => Ok(()),
        false => Err(mismatch("the payer's $versions does not offer 4.0", "$versions")),
    }
}

/// What the capability statement must say for the agreement's form (R4 §2.15): the form, how it was
/// come by, and all that is offered.
pub(crate) fn read_capability(
    statement: &Doc<'_>,
    agreement: &Agreement,
) -> Result<(String, Vec<String>, Offer), Issue> {
    let root = statement.root();
    let version = root.get("fhirVersion").and_then(|node| node.text()).unwrap_or_default();
    if !matches!(&*version, "4.0" | "4.0.0" | "4.0.1") {
        let detail = "the payer's capability statement is not for FHIR R4";
        return Err(mismatch(detail, "CapabilityStatement.fhirVersion"));
    }
    let offer = Offer::read(statement);
    if agreement.by_ladder() && !offer.house {
        return by_ladder(offer, agreement);
    }
    if offer.transaction {
        return Ok(("transaction".to_owned(), Vec::new(), offer));
    }
    let detail = "the payer's door does not offer transaction";
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
