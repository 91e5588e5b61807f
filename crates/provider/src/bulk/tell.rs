//! Tell: `$bulk-submit`, once for each manifest and once for the end (Bulk Data 4.0.0-ballot).
//!
//! Comes in   a submission with something that the payer does not know yet.
//! Goes out   the payer's word on it: it took note, it asks for patience, or it refuses the whole.
//! Never      a second manifest URL for the same manifest: what was told without an answer is told again
//!            in the same words, so that a crash offers nothing twice.

use super::{SendingTurn, access_to, attempt, submitter, terms_of};
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::Fault;
use crate::{deliver, door};
use exchange::agreement::{BulkTerms, FileAccess};
use exchange::bulk::{ManifestRef, SubmissionStatus, SubmitRequest};
use exchange::sending::{Message, Sending};
use exchange::settle::{self, Answered, Next};
use exchange::{Digest, Event, Issue, Level, Phi, PushId};
use http::header::AUTHORIZATION;

impl Road {
    pub(super) async fn tell(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let terms = terms_of(payer)?;
        let Some(message) = turn.sending.message() else { return Err(Fault::Unreadable.into()) };
        if message == Message::Stopped && !turn.sending.known {
            return Ok(self.stopped(turn).await?);
        }
        let replaced = match message {
            Message::Manifest(_) => self.replace_untold(turn).await?,
            Message::Completed => self.replace_before_the_end(turn).await?,
            Message::Stopped => false,
        };
        if replaced {
            return Ok(());
        }
        let place = self.rooms.partner(&turn.sending.payer).await;
        let seed = PushId(turn.sending.id.to_string());
        if let Some((until, issue)) = self.knock_for(payer, seed.as_str()).await? {
            drop(place);
            turn.say(Event::Delayed { until, issue });
            return Ok(turn.commit("bulk-waiting").await?);
        }
        let client = payer.client_for(&turn.sending.endpoint, turn.sending.purpose)?;
        let body = self.words(terms, &turn.sending, message).body();
        turn.say(Event::Intended {
            attempt: turn.sending.attempt + 1,
            endpoint: client.base_url().to_owned(),
            key: format!("{}: {message}", turn.sending.id),
            part: None,
        });
        turn.commit("bulk-intended").await?;
        let answered = deliver::submit(&client, body.into(), turn.now()).await;
        drop(place);
        self.report(payer, door::answered(&answered)).await?;
        (self.setup.passed)("bulk-sent");
        match &answered {
            Answered::Reply(reply) if (200..300).contains(&reply.status) => {
                let answer = turn.keep(reply.body.clone());
                turn.say(Event::Answered { status: reply.status, answer });
                self.took_note(turn, payer, message).await
            }
            other => self.refused(turn, payer, other).await,
        }
    }

    /// What the payer now knows.
    async fn took_note(
        &self,
        turn: &mut SendingTurn,
        payer: &Payer,
        message: Message,
    ) -> Result<(), Halt> {
        turn.say(Event::SendingTold { message });
        let taken = payer.terms.agreement.settled_by == Level::Taken;
        match message {
            Message::Stopped => return Ok(self.stopped(turn).await?),
            // That it took note is no word on what it is still to fetch.
            Message::Completed if taken => turn.say(Event::FilesAwaited {}),
            Message::Manifest(_) | Message::Completed => {}
        }
        let point = match message {
            Message::Manifest(_) => "bulk-offered",
            Message::Completed | Message::Stopped => "bulk-completed",
        };
        Ok(turn.commit(point).await?)
    }

    /// An answer that is no success, or none at all.
    pub(super) async fn refused(
        &self,
        turn: &mut SendingTurn,
        payer: &Payer,
        answered: &Answered,
    ) -> Result<(), Halt> {
        if let Answered::Reply(reply) = answered {
            let answer = turn.keep(reply.body.clone());
            turn.say(Event::Answered { status: reply.status, answer });
        }
        let seed = PushId(turn.sending.id.to_string());
        let sending = turn.sending.clone();
        let attempt = attempt(&sending, &seed, payer.terms.agreement.settled_by);
        match settle::settle(answered, &attempt, turn.now()) {
            Next::Retry { at, issue } => {
                turn.say(Event::Delayed { until: at, issue });
                Ok(turn.commit("bulk-waiting").await?)
            }
            Next::Hold(issues) | Next::Refused(issues) => Ok(self.fail(turn, issues).await?),
            Next::Settled(_) | Next::Poll { .. } | Next::Fetch { .. } => {
                let detail = "the payer's answer is not one to what was sent";
                Ok(self
                    .fail(turn, vec![Issue::new(exchange::Code::AnswerUnreadable, detail)])
                    .await?)
            }
        }
    }

    /// The request for a message.
    fn words(&self, terms: &BulkTerms, sending: &Sending, message: Message) -> SubmitRequest {
        let access = access_to(terms, sending);
        let of = |number: u32| sending.manifests.iter().find(|it| it.number == number);
        let (status, manifest) = match message {
            Message::Manifest(number) => (SubmissionStatus::InProgress, of(number)),
            Message::Completed => (SubmissionStatus::Completed, None),
            Message::Stopped => (SubmissionStatus::Stopped, None),
        };
        // What the payer was never told of needs no replacing.
        let replaced = manifest.and_then(|it| of(it.replaces?)).filter(|it| it.told);
        SubmitRequest {
            submitter: submitter(terms, &self.setup.namespace),
            submission_id: sending.id.to_string(),
            status: Some(status),
            manifest: manifest.map(|it| ManifestRef {
                url: self.file_url(terms, sending, &manifest_name(it.number)),
                base_url: self.setup.base_url.clone(),
                headers: match access {
                    FileAccess::Header => {
                        let bearer = format!("Bearer {}", self.capability(sending));
                        vec![(AUTHORIZATION.to_string(), Phi(bearer))]
                    }
                    FileAccess::Token | FileAccess::Capability => Vec::new(),
                },
                oauth_metadata: match access {
                    FileAccess::Token => {
                        vec![format!("{}/.well-known/smart-configuration", self.setup.base_url)]
                    }
                    FileAccess::Capability | FileAccess::Header => Vec::new(),
                },
            }),
            replaces: replaced.map(|it| self.file_url(terms, sending, &manifest_name(it.number))),
            dialect: terms.dialect,
            unknown: Vec::new(),
        }
    }

    /// Where a file of a submission is: the same each time it is asked.
    pub(super) fn file_url(&self, terms: &BulkTerms, sending: &Sending, name: &str) -> String {
        let (base, id) = (&self.setup.base_url, &sending.id);
        match access_to(terms, sending) {
            FileAccess::Token | FileAccess::Header => format!("{base}/bulk/{id}/{name}"),
            FileAccess::Capability => {
                format!("{base}/bulk/{id}/{}/{name}", self.capability(sending))
            }
        }
    }

    /// What of a URL or a header nobody can guess who does not have this house's secret.
    pub(super) fn capability(&self, sending: &Sending) -> Digest {
        let secret = self.setup.file_secret.0;
        Digest::of_pieces([b"bulk", &secret[..], sending.id.as_str().as_bytes(), &secret[..]])
    }
}

/// The file of an export that says what is not in it.
pub(super) const MESSAGES: &str = "messages.ndjson";

/// The name of a file of a manifest, the last part of its URL.
pub(super) fn file_name(manifest: u32, file: &str) -> String {
    format!("{manifest}-{file}")
}

/// The name of a manifest, the last part of its URL.
pub(super) fn manifest_name(number: u32) -> String {
    format!("manifest-{number}.json")
}
