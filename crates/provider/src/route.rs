//! Route: where is the door, and is it the right one?
//!
//! Comes in   a payer, its directory entry, what the agreement needs.
//! Goes out   the door with version, form and mode; or an issue that says who must act.
//! Never      opens a chart: the door is known first. Never asks again while the answer is fresh.

use crate::limits::{DOOR_AGE_MAX, STATEMENT_PATIENCE};
use crate::setup::Payer;
use exchange::agreement::Form;
use exchange::capability::{self, Declared};
use exchange::desk::Door;
use exchange::ladder::{self, Offer};
use exchange::{Agreement, Code, Issue, PartnerId};
use fhir::{Doc, Versions};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use wire::{ClientError, FhirClient, SignInError, TransportError};

/// Doors that were found open, with the time they were checked and what they offer.
#[derive(Default)]
pub struct Doors {
    known: Mutex<HashMap<PartnerId, Known>>,
    /// Since when a payer's statement could not be read.
    garbled: Mutex<HashMap<PartnerId, Timestamp>>,
}

type Known = (Timestamp, Door, Arc<Offer>, Option<Arc<Declared>>);

/// What came of looking at a door.
pub(crate) struct Opened {
    pub(crate) base_url: String,
    pub(crate) door: Result<Door, Issue>,
    /// The door is not there any more: no such host, or it says so itself (404, 410).
    pub(crate) is_lost: bool,
}

impl Opened {
    /// Why it is not open.
    pub(crate) fn why(&self) -> Issue {
        let open = || Issue::new(Code::PayerUnreachable, "the payer's door is not there");
        self.door.as_ref().err().cloned().unwrap_or_else(open)
    }
}

impl Doors {
    /// The payer's door, checked now or not long ago; and whether it is not there any more.
    pub(crate) async fn open(
        &self,
        payer: &Payer,
        client: &FhirClient,
        now: Timestamp,
    ) -> (Result<Door, Issue>, bool) {
        let name = &payer.public.name;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((since, door, ..)) = known
            && now.duration_since(since).unsigned_abs() < DOOR_AGE_MAX
            && door.base_url == client.base_url()
        {
            return (Ok(door), false);
        }
        let patient = !self.is_garbled_for_long(name, now);
        let mut is_lost = false;
        let checked = check(payer, client, patient, &mut is_lost).await;
        self.note_garbled(name, now, checked.as_ref().err());
        let (door, offer, declared) = match checked {
            Ok(checked) => checked,
            Err(issue) => return (Err(issue), is_lost),
        };
        let mut doors = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let declared = declared.map(Arc::new);
        doors.insert(name.clone(), (now, door.clone(), Arc::new(offer), declared));
        (Ok(door), false)
    }

    /// What a door that was found open says of itself, where it has a statement.
    pub fn declared(&self, payer: &PartnerId) -> Option<Arc<Declared>> {
        let doors = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        doors.get(payer).and_then(|(.., declared)| declared.clone())
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
        doors.get(payer).map(|(_, _, offer, _)| Arc::clone(offer))
    }

    /// Forgets a door that did not do what it promised.
    pub fn forget(&self, payer: &PartnerId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(payer);
    }
}

/// Asks the door for its versions and its capability statement. `patient`: what cannot be read may be
/// read the next time, and is no matter for a person yet.
async fn check(
    payer: &Payer,
    client: &FhirClient,
    patient: bool,
    is_lost: &mut bool,
) -> Result<(Door, Offer, Option<Declared>), Issue> {
    let agreement = &payer.terms.agreement;
    let best = agreement.by_ladder();
    // A door for bulk submissions may have no statement: the draft's programs have none.
    let submits =
        agreement.form == Form::Bulk && agreement.bulk.as_ref().is_some_and(|it| it.assume);
    let versions = ask_versions(client, best || submits, is_lost).await?;
    let answer = client.get_open("metadata").await.map_err(|error| lost_or(&error, is_lost))?;
    if best && (answer.status() == 429 || answer.status().is_server_error()) {
        let detail = format!("the payer's /metadata answers {}", answer.status().as_u16());
        return Err(Issue::new(Code::PayerUnreachable, detail));
    }
    *is_lost |= matches!(answer.status().as_u16(), 404 | 410);
    let there = answer.status() == 200;
    let vouched = if submits { !there } else { best && !agreement.door.assume.is_empty() };
    if !vouched {
        answered_in_r4(&answer)?;
    }
    let body = answer.into_body();
    let statement = Doc::parse(&body).ok().filter(|_| there);
    let stated = statement.as_ref().filter(|it| !(best || submits) || is_statement(it));
    let declared = Declared::read(versions.as_ref(), stated);
    let (form, ladder, offer) = match &statement {
        Some(statement) if stated.is_some() => read_statement(&declared, statement, agreement)?,
        None if submits && !there => ("bulk".to_owned(), Vec::new(), Offer::default()),
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
    let used: &[&str] = match form.as_str() {
        "transaction" => &["transaction"],
        "bulk" => &["bulk-submit"],
        _ => &[],
    };
    let agreed = capability::agree(&declared, used, &agreement.mode)?;
    let door = Door {
        base_url: client.base_url().to_owned(),
        version: agreed.version.clone(),
        form,
        mode: agreement.mode.clone(),
        ladder,
        agreed: Some(agreed),
        endpoint: None,
    };
    Ok((door, offer, stated.is_some().then_some(declared)))
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

/// What the door speaks by its own `$versions`. Few servers have the operation: with the form `best`
/// the capability statement says enough.
async fn ask_versions(
    client: &FhirClient,
    best: bool,
    is_lost: &mut bool,
) -> Result<Option<Versions>, Issue> {
    let answer = client.get_open("$versions").await.map_err(|error| lost_or(&error, is_lost))?;
    let status = answer.status();
    match Versions::parse(answer.into_body()) {
        Ok(versions) if status == 200 => Ok(Some(versions)),
        _ if best => Ok(None),
        _ => {
            *is_lost |= matches!(status.as_u16(), 404 | 410);
            match status == 200 {
                true => Err(mismatch("the payer's $versions cannot be read", "$versions")),
                false => {
                    let detail = format!("the payer's $versions answers {}", status.as_u16());
                    Err(mismatch(&detail, "$versions"))
                }
            }
        }
    }
}

/// Whether an answer is of the version that was asked for (R4 §3.1.0.1.8): not refused for it, and not
/// in another one.
fn answered_in_r4(answer: &http::Response<bytes::Bytes>) -> Result<(), Issue> {
    let status = answer.status().as_u16();
    if matches!(status, 406 | 415) {
        let detail = format!("the payer's /metadata answers {status} to fhirVersion=4.0");
        return Err(mismatch(&detail, "Accept"));
    }
    let sent = answer.headers().get(http::header::CONTENT_TYPE);
    let version = sent.and_then(|it| it.to_str().ok()).and_then(wire::media::version);
    match version.filter(|it| !matches!(it.as_str(), "4.0" | "4.0.0" | "4.0.1")) {
        None => Ok(()),
        Some(version) => {
            let said: String = version.chars().take(10).collect();
            let detail =
                format!("the payer's /metadata is answered in fhirVersion={said}, asked for 4.0");
            Err(mismatch(&detail, "Content-Type"))
        }
    }
}

/// Why a door did not answer, and whether that is because there is no such host.
fn lost_or(error: &ClientError, is_lost: &mut bool) -> Issue {
    if let ClientError::Transport(TransportError::NotSent(words)) = error {
        *is_lost |= words.contains("dns error");
    }
    away(error)
}

/// What a statement must say for the agreement (R4 §2.15): the form, how it was come by, and all that is
/// offered.
///
/// Errors: `VersionMismatch`, `CapabilityMissing`.
pub(crate) fn read_statement(
    declared: &Declared,
    statement: &Doc<'_>,
    agreement: &Agreement,
) -> Result<(String, Vec<String>, Offer), Issue> {
    // Which version it is comes first: nothing else of it means anything before.
    capability::agree(declared, &[], &agreement.mode)?;
    read_capability(statement, agreement)
}

fn read_capability(
    statement: &Doc<'_>,
    agreement: &Agreement,
) -> Result<(String, Vec<String>, Offer), Issue> {
    let offer = Offer::read(statement);
    if agreement.by_ladder() && !offer.house {
        return by_ladder(offer, agreement);
    }
    if agreement.form == Form::Bulk {
        return Ok(("bulk".to_owned(), Vec::new(), offer));
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

/// A payer's URL leads where no partner may send this house.
pub fn beyond_reach() -> Issue {
    let detail = "the payer's URL leads to a private network, which this house's `[network] allow` \
                  does not name";
    Issue::new(Code::PayerUntrusted, detail).at("base_url")
}

/// Why a door did not answer; the cause goes to the log.
pub fn away(error: &ClientError) -> Issue {
    tracing::warn!(?error, "a payer's door");
    match error {
        ClientError::Transport(TransportError::Untrusted(_))
        | ClientError::SignIn(SignInError::Untrusted(_)) => {
            Issue::new(Code::PayerUntrusted, "the payer's certificate is not trusted here")
        }
        ClientError::Transport(TransportError::BeyondReach) => beyond_reach(),
        ClientError::SignIn(SignInError::Refused(said)) => {
            let detail = format!("the payer's sign-in refused this house: {said}");
            Issue::new(Code::SignInRefused, detail)
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
