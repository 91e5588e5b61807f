//! Doors: the receiving house's FHIR surface.
//!
//! Comes in   requests that `wire::rest` has read and signed in.
//! Goes out   answers of the road, of the library desk, or of a held submission's poll.
//! Never      a rule about members or records: a door translates.

use crate::limits::POLL_SECONDS;
use crate::response::{Asked, refusal};
use crate::road::{Road, outward};
use crate::single::{bundle_of_one, in_its_terms};
use bytes::Bytes;
use exchange::query::Ask;
use exchange::submission::{Submission, SubmissionState};
use exchange::{Code, Issue, PartnerId, SubmissionId, answer};
use http::header::{CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER};
use repository::{Description, Desk, Told, capability, store_issue};
use std::sync::Arc;
use store::{AnyHouse, House, WorkKind};
use wire::rest::{Outcome, Prefer, Rest, Write};
use wire::{Answer, Caller, draw_id};

/// The file of a manifest that holds the stored answer.
const ANSWER_FILE: &str = "answer.ndjson";

/// The doors of one receiving house.
pub struct Doors {
    road: Arc<Road>,
    statement: Bytes,
}

impl Doors {
    /// Doors before a road; `token_endpoint` is where partners sign in.
    pub fn new(road: Arc<Road>, token_endpoint: &str) -> Doors {
        let statement = capability(&Description {
            name: "Handover, receiving house",
            base: &road.setup.base_url,
            version: road.setup.version,
            date: crate::limits::STATEMENT_DATE,
            transaction: true,
            batch: true,
            writes: true,
            token_endpoint: Some(token_endpoint),
            ..Description::default()
        });
        Doors { road, statement }
    }

    /// A partner sees its own records; the house's own operator sees all.
    fn desk<'d>(&'d self, caller: &Caller) -> Desk<'d, AnyHouse> {
        let partner = PartnerId::from(caller.partner.as_str());
        let owner = (!caller.may(wire::api::OPERATE)).then_some(partner);
        let kinds = (!caller.may("system/*.r")).then(|| {
            let may_read = |kind: &&str| caller.require(kind, 'r').is_ok();
            repository::known().filter(may_read).map(str::to_owned).collect()
        });
        Desk { kinds, ..Desk::new(&self.road.house, &self.road.setup.base_url, owner) }
    }

    /// The caller's own submission.
    async fn submission(&self, caller: &Caller, id: &str) -> Result<Submission, Issue> {
        let unknown = || Issue::new(Code::StatusUnknown, "no submission of this caller is here");
        let row = self.road.house.work(id).await.map_err(store_issue)?.ok_or_else(unknown)?;
        let own = row.work.partner.as_ref().is_some_and(|one| one.as_str() == caller.partner);
        if row.work.kind != WorkKind::Submission || !own {
            return Err(unknown());
        }
        serde_json::from_slice(&row.work.body).map_err(|_| unknown())
    }

    async fn poll(&self, caller: &Caller, id: &str) -> Result<Answer, Issue> {
        let submission = self.submission(caller, id).await?;
        let place = format!("{}/status/{id}", self.road.setup.base_url);
        let refused = match submission.state {
            SubmissionState::Held | SubmissionState::Due { .. } => {
                let progress = HeaderName::from_static("x-progress");
                return Ok(Answer::new(202, Bytes::new())
                    .with(progress, "a person at the plan looks for the member")
                    .with(RETRY_AFTER, POLL_SECONDS.to_string()));
            }
            SubmissionState::Filed { .. } => false,
            SubmissionState::Refused => true,
        };
        let file = format!("{place}/{ANSWER_FILE}");
        let at = submission.received;
        let manifest = answer::manifest(at, &self.road.setup.base_url, &file, refused, 1);
        Ok(Answer::new(200, manifest).with(CONTENT_TYPE, "application/json"))
    }

    async fn file(&self, caller: &Caller, id: &str, name: &str) -> Result<Answer, Issue> {
        let submission = self.submission(caller, id).await?;
        let unknown = || Issue::new(Code::StatusUnknown, "the submission has no such file");
        if name != ANSWER_FILE || !submission.ended() {
            return Err(unknown());
        }
        let mut lines = match (&submission.state, submission.answer) {
            (SubmissionState::Refused, _) => {
                Issue::outcome(&submission.issues.into_iter().map(outward).collect::<Vec<_>>())
            }
            (_, Some(digest)) => {
                let kept = self.road.house.blob(&digest).await.map_err(store_issue)?;
                let purged = || Issue::new(Code::ContentPurged, "the time of its answer is over");
                kept.ok_or_else(purged)?.to_vec()
            }
            (_, None) => return Err(unknown()),
        };
        lines.push(b'\n');
        Ok(Answer::new(200, lines).with(CONTENT_TYPE, "application/fhir+ndjson"))
    }
}

fn told(told: Told) -> Answer {
    match told {
        Told::One(served) => {
            let (etag, modified) = (served.etag(), served.last_modified());
            Answer::new(200, served.bytes).with(ETAG, etag).with(LAST_MODIFIED, modified)
        }
        Told::List(bundle) => Answer::new(200, bundle),
    }
}

impl Rest for Doors {
    fn capability(&self) -> Bytes {
        self.statement.clone()
    }

    fn writes(&self) -> bool {
        true
    }

    fn transaction<'a>(&'a self, caller: &'a Caller, body: Bytes, prefer: Prefer) -> Outcome<'a> {
        let asked = Asked { single: false, returning: prefer.returning };
        Box::pin(async move {
            Ok(self.road.receive(caller, body, SubmissionId(draw_id()), asked).await)
        })
    }

    fn write<'a>(&'a self, caller: &'a Caller, write: Write, prefer: Prefer) -> Outcome<'a> {
        let asked = Asked { single: true, returning: prefer.returning };
        Box::pin(async move {
            let body = bundle_of_one(&write)?;
            let walked = self.road.walk(caller, body, SubmissionId(draw_id()), asked).await;
            Ok(walked.unwrap_or_else(|issues| {
                refusal(&issues.map(|issue| in_its_terms(issue, &write.kind)))
            }))
        })
    }

    fn ask<'a>(&'a self, caller: &'a Caller, ask: Ask<'a>) -> Outcome<'a> {
        Box::pin(async move { self.desk(caller).answer(ask).await.map(told) })
    }

    fn status<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Outcome<'a> {
        Box::pin(self.poll(caller, id))
    }

    fn status_file<'a>(&'a self, caller: &'a Caller, id: &'a str, name: &'a str) -> Outcome<'a> {
        Box::pin(self.file(caller, id, name))
    }
}
