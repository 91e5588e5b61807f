//! EHR: a FHIR R4 server, read with a SMART Backend Services credential of the gateway's own.
//!
//! Comes in   answers of the EHR, whatever they are.
//! Goes out   resources, or an issue that says whether to wait or to call somebody.
//! Never      a partial search: a page that is missing or does not read fails the whole. Never a record in
//!            part: what a search gives so (SUBSETTED) is read by its id.

use super::offer::Offer;
use super::room::Room;
use super::whole::{Gathered, is_of_another, is_subset};
use super::{Read, Source, at_once};
use crate::limits::{
    BINARY_BYTES_MAX, OFFER_AGE_MAX, SEARCH_PAGES_MAX, SOURCE_ATTEMPTS_MAX, SOURCE_REST_MAX,
    SOURCE_STUMBLE, SOURCE_WAIT_MAX,
};
use bytes::Bytes;
use exchange::query::encode;
use exchange::{Code, Issue};
use fhir::{Bundle, BundleType, ParseError, Resource};
use jiff::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::client::Reply;
use wire::{BoxFuture, ClientError, Clock, FhirClient, SignInError, TransportError, retry_after};

/// A FHIR server with charts.
pub struct Ehr {
    client: Arc<FhirClient>,
    clock: Arc<dyn Clock>,
    /// Whether it asked to be left alone.
    rests: Mutex<Option<Rest>>,
    /// What it offers, and when it said so.
    offer: Mutex<Option<(Instant, Arc<Offer>)>>,
}

impl Ehr {
    /// An EHR behind a signed-in client; the clock says until when it is left alone.
    pub fn new(client: Arc<FhirClient>, clock: Arc<dyn Clock>) -> Ehr {
        Ehr { client, clock, rests: Mutex::default(), offer: Mutex::default() }
    }

    /// One request, again after each pause that the EHR asks for, as far as that is short.
    async fn ask(&self, request: &Ask<'_>) -> Result<http::Response<Bytes>, Failed> {
        for attempt in 1..=SOURCE_ATTEMPTS_MAX {
            let rest = self.rest();
            if rest > SOURCE_WAIT_MAX {
                break;
            }
            tokio::time::sleep(rest).await;
            let answer = self.once(request).await.map_err(Failed::Client)?;
            if !matches!(answer.status().as_u16(), 429 | 503) {
                return Ok(answer);
            }
            // One who stumbles without a word on when to come back is asked a second time at once: a
            // chart takes hundreds of requests, and would never be read whole.
            let wait = match retry_after::read_here(answer.headers()) {
                Some(wait) => wait,
                None if attempt == 1 => SOURCE_STUMBLE,
                None => return Ok(answer),
            };
            let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
            *rests = (*rests).max(Some(Rest::new(self.clock.now(), wait)));
        }
        Err(Failed::Resting(*self.rests.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn once(&self, request: &Ask<'_>) -> Reply {
        match request {
            Ask::Get(path) => self.client.get(path).await,
            Ask::Page(url) if is_relative(url) => self.client.get(url).await,
            Ask::Page(url) => self.client.get_absolute(url).await,
            Ask::Post(kind, query) => {
                let body = Bytes::copy_from_slice(query.as_bytes());
                self.client.post(&format!("{kind}/_search"), FORM, body).await
            }
        }
    }

    /// All pages of a search; once more from the first page where a later one is gone or does not fit
    /// the others, since links to pages expire and charts are written meanwhile. `None` where the EHR does not take such a search.
    async fn pages(
        &self,
        kind: &str,
        query: &str,
        by_post: bool,
    ) -> Result<Option<(Room, Vec<Resource>)>, Issue> {
        for again in [true, false] {
            let path = format!("{kind}?{query}");
            let first = match by_post {
                // A record number in a URL stands in every log on the way (R4 §3.1.1.5).
                true => self.ask(&Ask::Post(kind, query)).await,
                false => self.ask(&Ask::Get(&path)).await,
            };
            let first = first.map_err(unreachable)?;
            if matches!(first.status().as_u16(), 400 | 405 | 422 | 501) {
                return Ok(None);
            }
            let room = Room::of_search();
            match self.read_pages(kind, &room, first, again).await? {
                Some(found) => return Ok(Some((room, found))),
                None => {
                    tracing::warn!(kind, "the pages of a search were not whole; it is asked again")
                }
            }
        }
        let detail = format!("a page of a search for {kind} leads nowhere");
        Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.link"))
    }

    /// The pages from this one on; `None` where one is gone, or does not fit the others, if that is to
    /// be told so.
    async fn read_pages(
        &self,
        kind: &str,
        room: &Room,
        first: http::Response<Bytes>,
        tells_gone: bool,
    ) -> Result<Option<Vec<Resource>>, Issue> {
        let (mut found, mut seen) = (Gathered::default(), BTreeSet::new());
        let mut answer = first;
        for number in 0..SEARCH_PAGES_MAX {
            let status = answer.status().as_u16();
            if number > 0 && tells_gone && matches!(status, 400 | 404 | 410) {
                return Ok(None);
            }
            check_status(status, kind)?;
            room.take(kind, answer.body().len())?;
            let page = Bundle::parse(answer.into_body()).map_err(|e| unreadable(kind, &e))?;
            if page.kind != BundleType::Searchset {
                let detail = format!("the EHR answered a search for {kind} with no searchset");
                return Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.type"));
            }
            // What is written while its pages are read moves records from page to page.
            let moved = number > 0 && tells_gone;
            match found.page(kind, page.entries, page.total, page.bytes.len()) {
                Err(_) if moved => return Ok(None),
                taken => taken?,
            }
            match page.links.into_iter().find(|(relation, _)| relation == "next") {
                None => match found.whole(kind) {
                    Err(_) if moved => return Ok(None),
                    whole => return whole.map(Some),
                },
                Some((_, url)) if seen.insert(url.clone()) => {
                    answer = self.ask(&Ask::Page(&url)).await.map_err(unreachable)?;
                }
                Some(_) => break,
            }
        }
        let detail = format!("a search for {kind} has no last page");
        Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.link"))
    }
}

impl Ehr {
    /// What a search found, with each record that it gave in part read whole, in the room that its pages
    /// left. Those who say that they are of another patient are left as they are: nobody asked for them.
    async fn in_full(
        &self,
        kind: &str,
        room: &Room,
        patient: Option<&str>,
        found: Vec<Resource>,
    ) -> Result<Vec<Resource>, Issue> {
        if !found.iter().any(is_subset) {
            return Ok(found);
        }
        let base = self.base_url();
        let whole = |one: Resource| async move {
            if !is_subset(&one) || is_of_another(&one, patient, base) {
                // What the others were on its page goes.
                return Ok(one.apart());
            }
            room.take(kind, 0)?;
            let id = one.id().unwrap_or_default();
            let whole = self.read(kind, id).await?.ok_or_else(|| in_part(kind))?;
            room.take(kind, whole.bytes().len())?;
            Ok(whole)
        };
        at_once(found.into_iter().map(whole).collect()).await
    }
}

fn in_part(kind: &str) -> Issue {
    let detail = format!("the EHR gives a {kind} in part only (SUBSETTED)");
    Issue::new(Code::SourceUnreadable, detail).at(format!("{kind}.meta.tag"))
}

/// One request.
enum Ask<'a> {
    /// A path below the base.
    Get(&'a str),
    /// A URL that the EHR gave.
    Page(&'a str),
    /// A search whose parameters are nobody's to log: type and query.
    Post(&'a str, &'a str),
}

/// Whether a URL is relative to the service's base (R4 §3.1.0.1.2 leaves a Bundle's links to RFC 3986):
/// its first segment has no scheme, and it is no path from the root, which the client takes itself.
fn is_relative(url: &str) -> bool {
    let first = url.split(['/', '?', '#']).next().unwrap_or_default();
    !url.starts_with('/') && !first.contains(':')
}

/// Why there is no answer.
enum Failed {
    Client(ClientError),
    /// The EHR asks for a longer pause than a walk makes.
    Resting(Option<Rest>),
}

/// A pause that the EHR asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rest {
    /// Until when it is left alone.
    until: Timestamp,
    /// Until when it asked for that.
    asked: Timestamp,
    /// When it asked.
    said: Timestamp,
}

impl Rest {
    fn new(said: Timestamp, wait: Duration) -> Rest {
        let after = |wait: Duration| said.saturating_add(wait).unwrap_or(Timestamp::MAX);
        Rest { until: after(wait.min(SOURCE_REST_MAX)), asked: after(wait), said }
    }
}

impl Source for Ehr {
    fn base_url(&self) -> &str {
        self.client.base_url()
    }

    fn fetch<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<Read, Issue>> {
        Box::pin(async move {
            let answer = match self.ask(&Ask::Get(&format!("{kind}/{id}"))).await {
                Err(Failed::Client(ClientError::Transport(TransportError::AnswerTooLarge))) => {
                    return Ok(Read::TooLarge);
                }
                answer => answer.map_err(unreachable)?,
            };
            if matches!(answer.status().as_u16(), 404 | 410) {
                return Ok(Read::Missing);
            }
            let place = format!("{kind}/{id}");
            check_status(answer.status().as_u16(), &place)?;
            if kind == "Binary" && answer.body().len() > BINARY_BYTES_MAX {
                return Ok(Read::TooLarge);
            }
            let resource = Resource::parse(answer.into_body()).map_err(|e| unreadable(kind, &e))?;
            if resource.kind() != kind || resource.id() != Some(id) {
                let detail = format!("the EHR answered a read of a {kind} with another resource");
                return Err(Issue::new(Code::SourceUnreadable, detail).at(place));
            }
            if is_subset(&resource) {
                return Err(in_part(kind));
            }
            Ok(Read::Found(resource))
        })
    }

    fn try_search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Option<Vec<Resource>>, Issue>> {
        let by_post = parameters.iter().any(|(name, _)| *name == "identifier");
        Box::pin(async move {
            let silent = self.offer().await?.is_silent();
            let whole = parameters.iter().map(|(name, value)| (*name, named(name, value, silent)));
            let whole: Vec<(&str, Cow<'_, str>)> = whole.collect();
            let query = encode(whole.iter().map(|(name, value)| (*name, value.as_ref())));
            let Some((room, found)) = self.pages(kind, &query, by_post).await? else {
                return Ok(None);
            };
            let patient = parameters.iter().find(|(name, _)| *name == "patient");
            let patient = patient.map(|(_, it)| it.strip_prefix("Patient/").unwrap_or(it));
            self.in_full(kind, &room, patient, found).await.map(Some)
        })
    }

    fn offer(&self) -> BoxFuture<'_, Result<Arc<Offer>, Issue>> {
        Box::pin(async move {
            let remembered = |offer: &Mutex<Option<(Instant, Arc<Offer>)>>| {
                let offer = offer.lock().unwrap_or_else(PoisonError::into_inner);
                let (at, offer) = offer.as_ref()?;
                (at.elapsed() < OFFER_AGE_MAX).then(|| Arc::clone(offer))
            };
            if let Some(offer) = remembered(&self.offer) {
                return Ok(offer);
            }
            // An EHR without a readable statement is asked for what every EHR must answer.
            let answer = self.ask(&Ask::Get("metadata")).await.map_err(unreachable)?;
            if matches!(answer.status().as_u16(), 408 | 429 | 500..) {
                check_status(answer.status().as_u16(), "CapabilityStatement")?;
            }
            let offer = Arc::new(Offer::read(answer.body()));
            let mut kept = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some((Instant::now(), Arc::clone(&offer)));
            Ok(offer)
        })
    }

    fn rest(&self) -> Duration {
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        let left = rests.map(|rest| rest.until.duration_since(self.clock.now()));
        // However the clock was set meanwhile.
        left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default().min(SOURCE_REST_MAX)
    }
}

/// How a search names a patient. Either way is R4's (§3.1.1.4.10); of servers without a readable
/// statement some find nothing by the id alone, and say so in no way.
fn named<'a>(name: &str, value: &'a str, silent: bool) -> Cow<'a, str> {
    match name == "patient" && silent && !value.contains('/') {
        true => Cow::Owned(format!("Patient/{value}")),
        false => Cow::Borrowed(value),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn unreachable(failed: Failed) -> Issue {
    let error = match failed {
        Failed::Client(error) => error,
        Failed::Resting(rest) => return resting(rest),
    };
    tracing::warn!(?error, "the EHR");
    match error {
        ClientError::SignIn(sign_in) if sign_in.is_passing() => {
            Issue::new(Code::SourceUnreachable, "the EHR's sign-in does not answer")
        }
        ClientError::Transport(TransportError::Untrusted(_))
        | ClientError::SignIn(SignInError::Untrusted(_)) => {
            Issue::new(Code::SourceRefused, "the EHR's certificate is not one this house trusts")
        }
        ClientError::SignIn(_) => {
            Issue::new(Code::SourceRefused, "the EHR refused the gateway's credential")
        }
        ClientError::Transport(TransportError::AnswerTooLarge) => {
            Issue::new(Code::SourceUnreadable, "an answer of the EHR is too large")
        }
        ClientError::Transport(_) => Issue::new(Code::SourceUnreachable, "the EHR does not answer"),
        ClientError::ForeignUrl => {
            Issue::new(Code::SourceUnreadable, "the EHR names a next page on another server")
                .at("Bundle.link")
        }
    }
}

/// The times are of when it asked: the sentence stays true however long it stands somewhere.
fn resting(rest: Option<Rest>) -> Issue {
    let detail = match rest {
        Some(Rest { until, asked, said }) if until < asked => {
            let minutes = SOURCE_REST_MAX.as_secs() / 60;
            format!(
                "at {said:.0} the EHR asked to be left alone until {asked:.0}; it is asked again \
                 after {minutes} minutes"
            )
        }
        Some(Rest { asked, said, .. }) => {
            format!("at {said:.0} the EHR asked to be left alone until {asked:.0}")
        }
        None => "the EHR asks to be left alone for a while".to_owned(),
    };
    Issue::new(Code::SourceUnreachable, detail)
}

/// `asked` is a type, or the type and id of what was read.
fn check_status(status: u16, asked: &str) -> Result<(), Issue> {
    let code = match status {
        200 => return Ok(()),
        401 | 403 => Code::SourceRefused,
        408 | 429 | 500.. => Code::SourceUnreachable,
        _ => Code::SourceUnreadable,
    };
    let elsewhere = match status {
        300..=399 => ", which points elsewhere; the address in [source] must be the last one",
        _ => "",
    };
    let detail = format!("the EHR answered {status} when asked for {asked}{elsewhere}");
    Err(Issue::new(code, detail).at(asked))
}

fn unreadable(kind: &str, error: &ParseError) -> Issue {
    let mut issue = Issue::new(
        Code::SourceUnreadable,
        format!("the EHR's answer for {kind} cannot be read: {}", error.reason),
    );
    issue.expression = Some(error.expression.clone());
    issue.offset = Some(error.offset as u64);
    issue
}
