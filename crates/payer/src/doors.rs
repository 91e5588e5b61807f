//! Doors: the receiving house's FHIR surface.
//!
//! Comes in   requests that `wire::rest` has read and signed in.
//! Goes out   answers of the road, of the library desk, of exports and bulk submissions, or of the poll of
//!            a submission that is held or waits for its turn.
//! Never      a rule about members or records: a door translates.

use crate::bulk::{self, status, status::Place};
use crate::exports::door;
use crate::limits::POLL_SECONDS;
use crate::reader::Reader;
use crate::response::{Asked, refusal};
use crate::road::{Road, outward};
use crate::single::{bundle_of_one, in_its_terms};
use bytes::Bytes;
use exchange::query::Ask;
use exchange::submission::{Submission, SubmissionState};
use exchange::{Code, Issue, PartnerId, SubmissionId, answer};
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use repository::{Description, Desk, Told, capability, store_issue};
use std::sync::Arc;
use store::{AnyHouse, House, StoredWork, WorkKind};
use wire::rest::{KickOff, Outcome, Prefer, Rest, Write};
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
            exports: true,
            bulk_submit: true,
            token_endpoint: Some(token_endpoint),
            ..Description::default()
        });
        Doors { road, statement }
    }

    /// A partner sees its own records; the house's own operator and readers see all.
    fn desk<'d>(&'d self, caller: &Caller) -> Desk<'d, AnyHouse> {
        let partner = PartnerId::from(caller.partner.as_str());
        let all = caller.may(wire::api::OPERATE) || Reader::of(caller).is_some();
        let owner = (!all).then_some(partner);
        let kinds = (!caller.may("system/*.r")).then(|| {
            let may_read = |kind: &&str| caller.require(kind, 'r').is_ok();
            repository::known().filter(may_read).map(str::to_owned).collect()
        });
        Desk { kinds, ..Desk::new(&self.road.house, &self.road.setup.base_url, owner) }
    }

    /// A row that can have a status.
    async fn row(&self, id: &str) -> Result<StoredWork, Issue> {
        let row = self.road.house.work(id).await.map_err(store_issue)?;
        row.ok_or_else(|| Issue::new(Code::StatusUnknown, "no submission of this caller is here"))
    }

    /// The caller's own submission.
    fn submission(&self, caller: &Caller, row: &StoredWork) -> Result<Submission, Issue> {
        let unknown = || Issue::new(Code::StatusUnknown, "no submission of this caller is here");
        let own = row.work.partner.as_ref().is_some_and(|one| one.as_str() == caller.partner);
        if row.work.kind != WorkKind::Submission || !own {
            return Err(unknown());
        }
        serde_json::from_slice(&row.work.body).map_err(|_| unknown())
    }

    async fn poll(&self, caller: &Caller, id: &str) -> Result<Answer, Issue> {
        if let Some(place) = Place::of(id) {
            return status::poll(&self.road, caller, &place).await;
        }
        let row = self.row(id).await?;
        if row.work.kind == WorkKind::Export {
            return door::poll(&self.road, caller, &row).await;
        }
        let submission = self.submission(caller, &row)?;
        let place = format!("{}/status/{id}", self.road.setup.base_url);
        let refused = match submission.state {
            SubmissionState::Held | SubmissionState::Due { .. } => {
                let words = match submission.state {
                    SubmissionState::Held => "a person at the plan looks for the member",
                    _ => "waiting for its turn",
                };
                return Ok(Answer::in_progress(words, POLL_SECONDS));
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
        if let Some(place) = Place::of(id) {
            return status::file(&self.road, caller, &place, name).await;
        }
        let row = self.row(id).await?;
        if row.work.kind == WorkKind::Export {
            return door::file(&self.road, caller, &row, name).await;
        }
        let submission = self.submission(caller, &row)?;
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

/// Whether a person has decided on it or not, a submission stays: its sender withdraws it.
fn not_ended() -> Issue {
    let detail = "a submission is not ended by its sender; withdraw what it brought";
    Issue::new(Code::InteractionUnsupported, detail)
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
            let id = SubmissionId(draw_id());
            Ok(match prefer.respond_async {
                true => self.road.receive_later(caller, body, id).await,
                false => self.road.receive(caller, body, id, asked).await,
            })
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

    fn export<'a>(&'a self, caller: &'a Caller, kick_off: KickOff) -> Outcome<'a> {
        Box::pin(door::kick_off(&self.road, caller, kick_off))
    }

    fn bulk_submit<'a>(&'a self, caller: &'a Caller, body: Bytes) -> Outcome<'a> {
        Box::pin(async move {
            let answer = bulk::submit(&self.road, caller, body).await;
            Ok(answer.unwrap_or_else(|issues| refusal(&issues)))
        })
    }

    fn bulk_status<'a>(&'a self, caller: &'a Caller, body: Bytes, prefer: Prefer) -> Outcome<'a> {
        Box::pin(async move {
            let answer = status::kick_off(&self.road, caller, body, prefer).await;
            Ok(answer.unwrap_or_else(|issues| refusal(&issues)))
        })
    }

    fn status_end<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Outcome<'a> {
        Box::pin(async move {
            if let Some(place) = Place::of(id) {
                return status::end(&self.road, caller, &place).await;
            }
            let row = self.row(id).await?;
            match row.work.kind {
                WorkKind::Export => door::end(&self.road, caller, &row).await,
                _ => self.submission(caller, &row).and_then(|_| Err(not_ended())),
            }
        })
    }

    fn status_file<'a>(&'a self, caller: &'a Caller, id: &'a str, name: &'a str) -> Outcome<'a> {
        Box::pin(self.file(caller, id, name))
    }
}
