//! Ask: `$bulk-submit-status`, its polls and its files (Bulk Data 4.0.0-ballot, Bulk Submit Status).
//!
//! Comes in   a submission that the payer knows to be complete.
//! Goes out   the place to poll; later everything the payer says of it, in one stored list.
//! Never      follows a place that is not of the payer's own origin, sends a token where the manifest says
//!            that none is needed, or reads on without end.

use super::tell::manifest_name;
use super::{SendingTurn, attempt, submitter, terms_of};
use crate::limits::{OUTCOME_LINE_MAX, OUTCOMES_BYTES_MAX, STATUS_FILES_MAX, STATUS_PAGES_MAX};
use crate::road::{Halt, Road};
use crate::turn::Fault;
use crate::{deliver, door};
use exchange::bulk::{StatusManifest, StatusRequest};
use exchange::limits::{OUTCOME_RESOURCES_MAX, POLL_WAIT};
use exchange::place::same_origin;
use exchange::sending::Manifest;
use exchange::sending::outcomes::Outcomes;
use exchange::settle::{self, Answered, Next};
use exchange::{Code, Event, Issue, PushId};
use fhir::Ndjson;
use fhir::ndjson::{Line, LineError};
use wire::FhirClient;

impl Road {
    /// Asks for the status: the payer names the place to poll.
    pub(super) async fn ask_status(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let terms = terms_of(payer)?;
        let _room = self.rooms.partner(&turn.sending.payer).await;
        if let Some((until, issue)) = self.knock_for(payer, turn.sending.id.as_str()).await? {
            turn.say(Event::Delayed { until, issue });
            return Ok(turn.commit("bulk-waiting").await?);
        }
        let client = payer.client_for(&turn.sending.endpoint, turn.sending.purpose)?;
        let asked = StatusRequest {
            submitter: submitter(terms, &self.setup.namespace),
            submission_id: turn.sending.id.to_string(),
        };
        let answered = deliver::ask_status(&client, asked.body().into(), turn.now()).await;
        self.report(payer, door::answered(&answered)).await?;
        let Answered::Reply(reply) = &answered else {
            return self.refused(turn, payer, &answered).await;
        };
        if !(200..300).contains(&reply.status) {
            return self.refused(turn, payer, &answered).await;
        }
        let place = reply.content_location.as_deref();
        let Some(place) = place.and_then(|place| same_origin(place, &turn.sending.endpoint)) else {
            let detail = "the payer names no place of its own to ask what became of the submission";
            return Err(Issue::new(Code::AnswerUnreadable, detail).into());
        };
        let now = turn.now();
        let wait = reply.retry_after.unwrap_or(POLL_WAIT);
        let until = now.saturating_add(wait).unwrap_or(now).min(turn.sending.deadline);
        turn.say(Event::Polling { place, until });
        Ok(turn.commit("bulk-asked").await?)
    }

    /// Polls, and reads what there is once the payer has done.
    pub(super) async fn poll_status(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let place = turn.sending.place.clone().unwrap_or_default();
        let _room = self.rooms.partner(&turn.sending.payer).await;
        if let Some((until, issue)) = self.knock_for(payer, turn.sending.id.as_str()).await? {
            turn.say(Event::Delayed { until, issue });
            return Ok(turn.commit("bulk-waiting").await?);
        }
        let client = payer.client_for(&turn.sending.endpoint, turn.sending.purpose)?;
        let answered = deliver::ask(&client, &place, turn.now()).await;
        self.report(payer, door::answered(&answered)).await?;
        if let Answered::Reply(reply) = &answered
            && reply.status == 200
        {
            let answer = turn.keep(reply.body.clone());
            turn.say(Event::Answered { status: 200, answer });
            let outcomes = self.outcomes(turn, &client, &reply.body).await?;
            let back = outcomes.back.clone();
            let outcomes = turn.keep(serde_json::to_vec(&outcomes).unwrap_or_default());
            turn.say(Event::SendingAnswered { outcomes, back });
            return Ok(turn.commit("bulk-answered").await?);
        }
        let (seed, sending) = (PushId(turn.sending.id.to_string()), turn.sending.clone());
        let attempt = attempt(&sending, &seed, payer.terms.agreement.settled_by);
        match settle::settle_poll(&answered, &place, &attempt, turn.now()) {
            Next::Poll { place, at } => {
                self.read_partly(turn, &answered);
                turn.say(Event::Polling { place, until: at });
                Ok(turn.commit("bulk-waiting").await?)
            }
            Next::Retry { at, issue } => {
                turn.say(Event::Delayed { until: at, issue });
                Ok(turn.commit("bulk-waiting").await?)
            }
            Next::Hold(issues) | Next::Refused(issues) => Ok(self.fail(turn, issues).await?),
            Next::Settled(_) | Next::Fetch { .. } => {
                let detail = "the payer's word on the submission cannot be understood";
                Err(Issue::new(Code::AnswerUnreadable, detail).into())
            }
        }
    }

    /// What a payer says while it is at work, where it says anything (202 with a manifest of what there is
    /// so far). Nothing is settled by it: the last word has all of it again.
    fn read_partly(&self, turn: &mut SendingTurn, answered: &Answered) {
        let Answered::Reply(reply) = answered else { return };
        let page = self.status_page(turn, &reply.body).ok().filter(|it| it.submission_id.is_some());
        let Some(page) = page else { return };
        let errors = page.outcome.iter().flat_map(|file| &file.severities);
        let errors = errors.filter(|(code, _)| ["error", "fatal"].contains(&code.as_str()));
        // What a payer counts is its own word, up to any number.
        let errors = errors.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        let files = page.outcome.len() as u64;
        if turn.sending.partly != Some((files, errors)) {
            turn.say(Event::SendingPartly { files, errors });
        }
    }

    /// Everything a status manifest leads to: its pages, and the lines of its outcome files.
    async fn outcomes(
        &self,
        turn: &mut SendingTurn,
        client: &FhirClient,
        first: &[u8],
    ) -> Result<Outcomes, Halt> {
        let mut found = Outcomes::default();
        let most = self.names(turn).await?;
        let mut page = self.status_page(turn, first)?;
        let mut files = 0;
        for _ in 0..STATUS_PAGES_MAX {
            files += page.outcome.len() + page.output.len() + page.deleted.len();
            if files > STATUS_FILES_MAX {
                return Err(endless().into());
            }
            found.give_back(&page.output, &page.deleted);
            for file in &page.outcome {
                let manifest = match self.manifest_of(turn, file.manifest_url.as_deref())? {
                    About::Standing(manifest) => manifest,
                    // What was said of it is said again of the one in its place.
                    About::Replaced => continue,
                };
                let place = self.own(turn, &file.url)?;
                let mut lines = OutcomeLines::new(OutcomesOf { manifest, most }, &mut found);
                let mut take = |piece: bytes::Bytes| lines.push(&piece);
                let (signed, now) = (page.requires_access_token, turn.now());
                let answered = deliver::take(client, &place, signed, (&mut take, now)).await;
                // What cannot be read ends the exchange, whatever is said of that.
                lines.finish(whole(answered).map(drop))?;
            }
            let Some(next) = page.next.take() else { return Ok(found) };
            let place = self.own(turn, &next)?;
            // A page of the status is asked for as the status is.
            let body = self.fetched(turn, client, &place, true).await?;
            page = self.status_page(turn, &body)?;
        }
        Err(endless().into())
    }

    /// As many resources and pushes as the payer can name: what it was sent, and some that it may know by
    /// other names.
    async fn names(&self, turn: &SendingTurn) -> Result<usize, Fault> {
        let mut most = OUTCOME_RESOURCES_MAX;
        for manifest in &turn.sending.manifests {
            most = most.saturating_add(self.plan(&manifest.plan).await?.names());
        }
        Ok(most)
    }

    /// Which manifest an outcome file is about. A URL that was never told is about all.
    fn manifest_of(&self, turn: &SendingTurn, url: Option<&str>) -> Result<About, Issue> {
        let terms = terms_of(self.payer(&turn.sending.payer)?)?;
        let sending = &turn.sending;
        let told = |number: u32| self.file_url(terms, sending, &manifest_name(number));
        let named = |it: &&Manifest| url == Some(told(it.number).as_str());
        if let Some(manifest) = sending.standing().find(named) {
            return Ok(About::Standing(Some(manifest.number)));
        }
        match sending.manifests.iter().any(|it| named(&it)) {
            true => Ok(About::Replaced),
            false => Ok(About::Standing(None)),
        }
    }

    fn status_page(&self, turn: &SendingTurn, body: &[u8]) -> Result<StatusManifest, Issue> {
        let page = StatusManifest::read(body).map_err(|issue| {
            let detail = format!("the payer's status manifest cannot be read: {}", issue.detail);
            let issue = Issue::new(Code::AnswerUnreadable, detail);
            issue.at("manifest")
        })?;
        let id = turn.sending.id.as_str();
        match page.submission_id.as_deref().is_none_or(|said| said == id) {
            true => Ok(page),
            false => {
                let detail = "the payer's status manifest is of another submission";
                Err(Issue::new(Code::AnswerUnreadable, detail).at("submissionId"))
            }
        }
    }

    /// A place of the payer's own, absolute or beside the status.
    fn own(&self, turn: &SendingTurn, url: &str) -> Result<String, Issue> {
        let status = turn.sending.place.as_deref().unwrap_or_default();
        let folder = status.rsplit_once('/').map_or(status, |(folder, _)| folder);
        same_origin(url, folder).ok_or_else(|| {
            let detail = "a file with the payer's outcomes is not one of the payer's own";
            Issue::new(Code::AnswerUnreadable, detail)
        })
    }

    async fn fetched(
        &self,
        turn: &mut SendingTurn,
        client: &FhirClient,
        place: &str,
        signed: bool,
    ) -> Result<bytes::Bytes, Issue> {
        whole(deliver::fetch(client, place, signed, turn.now()).await)
    }
}

/// The body of a file that came.
fn whole(answered: Answered) -> Result<bytes::Bytes, Issue> {
    match answered {
        Answered::Reply(reply) if reply.status == 200 => Ok(reply.body),
        Answered::Reply(reply) if matches!(reply.status, 408 | 425 | 429 | 500..=599) => {
            let detail = format!("a file with the payer's outcomes: {}", reply.status);
            Err(Issue::new(Code::PayerUnreachable, detail))
        }
        Answered::Reply(reply) => {
            let status = reply.status;
            let detail = format!("the payer has no file with its outcomes any more ({status})");
            Err(Issue::new(Code::AnswerUnreadable, detail))
        }
        Answered::TooLarge => {
            let detail = "a file with the payer's outcomes is larger than this house reads";
            Err(Issue::new(Code::AnswerUnreadable, detail))
        }
        _ => {
            let detail = "a file with the payer's outcomes did not come whole";
            Err(Issue::new(Code::PayerUnreachable, detail))
        }
    }
}

/// The lines of a file of outcomes, as they come: none of them is kept.
struct OutcomeLines<'f> {
    lines: Ndjson,
    about: OutcomesOf,
    found: &'f mut Outcomes,
    bytes: u64,
    fault: Option<Issue>,
}

impl<'f> OutcomeLines<'f> {
    fn new(about: OutcomesOf, found: &'f mut Outcomes) -> OutcomeLines<'f> {
        let lines = Ndjson::new(OUTCOME_LINE_MAX, u64::MAX);
        OutcomeLines { lines, about, found, bytes: 0, fault: None }
    }

    /// Whether more of it is wanted.
    fn push(&mut self, piece: &[u8]) -> bool {
        self.bytes += piece.len() as u64;
        for piece in piece.chunks(OUTCOME_LINE_MAX) {
            let mut lines = self.lines.push(piece).into_iter();
            if let Err(fault) = lines.try_for_each(|line| self.about.take(self.found, line)) {
                self.fault.get_or_insert(fault);
            }
        }
        if self.bytes > OUTCOMES_BYTES_MAX {
            let detail = "a file with the payer's outcomes is larger than this house reads";
            self.fault.get_or_insert_with(|| Issue::new(Code::AnswerUnreadable, detail));
        }
        self.fault.is_none()
    }

    /// Errors: what cannot be read; or else why the file did not come whole.
    fn finish(self, came: Result<(), Issue>) -> Result<(), Issue> {
        self.fault.map_or(Ok(()), Err)?;
        came?;
        self.lines.finish().map_or(Ok(()), |last| self.about.take(self.found, last))
    }
}

/// Which manifest the lines are about, and how many resources they may name.
#[derive(Clone, Copy)]
struct OutcomesOf {
    manifest: Option<u32>,
    most: usize,
}

impl OutcomesOf {
    fn take(self, found: &mut Outcomes, line: Result<Line, LineError>) -> Result<(), Issue> {
        let line = line.map_err(|error| {
            let detail = format!("line {} of the payer's outcomes cannot be read", error.line);
            Issue::new(Code::AnswerUnreadable, detail)
        })?;
        found.take(&line.resource, self.manifest, self.most)
    }
}

/// Which manifest is meant.
enum About {
    /// One that counts; `None`: all of them.
    Standing(Option<u32>),
    /// One that another has taken the place of.
    Replaced,
}

fn endless() -> Issue {
    let detail = "the payer's status has more pages or files than this house reads";
    Issue::new(Code::AnswerUnreadable, detail)
}
