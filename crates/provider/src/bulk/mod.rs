//! Bulk: pushes that go as bulk submissions (Bulk Data 4.0.0-ballot, Bulk Submit): the Data Provider.
//!
//! Comes in   assembled pushes whose mode is `async`; rows of submissions whose time has come; a payer
//!            that fetches manifests and files.
//! Goes out   submissions told to the payer, and each push settled by its own resources' outcomes.
//! Never      offers what is not stored, or what may not travel any more; never has one push share
//!            another's fate because they went together.
//!
//! A push walks as ever to *assemble*. *Deliver* then puts it into an open submission of that payer and
//! purpose, where it stands aside of its lane (`gather`). Once a manifest is full, or nothing more comes,
//! each is asked for its restrictions again and told that it goes, and the manifest is planned (`make`).
//! The payer is told of it, of another one in its place where a push of it stands no more (`replace`), and
//! of the end (`tell`), fetches it from this house (`server`), and is asked what became of it (`ask`);
//! then each push gets its own word (`settle`). Files are no copies: a plan says which stored
//! payloads they are made of, so that a purge leaves nothing behind and a crash costs no disk.
//!
//! Where it was agreed, a payer asks for such a submission itself (`pull`): each member's history walks as
//! ever (`members`), the manifest stands where the payer polls, and what is fetched settles (`given`).

mod ask;
mod gather;
mod given;
mod large;
mod make;
mod members;
mod pull;
mod replace;
pub mod server;
mod settle;
mod tell;
mod turn;

pub(crate) use large::{refused_for_size, too_large_for_now};
pub(crate) use turn::said;
pub use turn::{SendingTurn, read, row};

use crate::limits::FILES_AT_ONCE;
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::Fault;
use exchange::agreement::{BulkTerms, FileAccess};
use exchange::bulk::Submitter;
use exchange::sending::{Sending, Step};
use exchange::settle::Attempt;
use exchange::{Code, Issue, Level, PartnerId, PushId, SubmissionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::Lease;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::rest::Polls;

/// What this process knows of submissions beside the store.
#[derive(Default)]
pub struct Bulk {
    /// How many pushes have joined a submission here, for whoever joins one or opens it: pushes that come
    /// at once go into one, as many as it takes. What another process or an earlier one has let join is
    /// seen when the submission is looked at.
    joined: tokio::sync::Mutex<HashMap<SubmissionId, u32>>,
    /// Files that each payer may fetch at once.
    places: Mutex<HashMap<PartnerId, Arc<Semaphore>>>,
    /// When the exports that are being made were last asked for.
    polls: Polls,
}

impl Bulk {
    /// One of the files that a payer may fetch at once.
    ///
    /// Errors: `HouseBusy`.
    fn place(&self, payer: &PartnerId) -> Result<OwnedSemaphorePermit, Issue> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places.entry(payer.clone());
        let own = own.or_insert_with(|| Arc::new(Semaphore::new(FILES_AT_ONCE)));
        let busy =
            |_| Issue::new(Code::HouseBusy, "this payer fetches as many files as it may at once");
        Arc::clone(own).try_acquire_owned().map_err(busy)
    }
}

impl Road {
    /// Takes a leased submission as far as it goes.
    pub(crate) async fn sending(&self, lease: &Lease) -> Result<(), Fault> {
        let mut turn = SendingTurn::new(self, lease)?;
        while let Some(step) = turn.step() {
            let stepped = match step {
                Step::Gather if turn.sending.pulled.is_some() => self.gather_pull(&mut turn).await,
                Step::Gather => self.gather(&mut turn).await,
                Step::Make => self.make(&mut turn).await,
                Step::Tell => self.tell(&mut turn).await,
                Step::Ask => self.ask_status(&mut turn).await,
                Step::Poll => self.poll_status(&mut turn).await,
                Step::Settle => self.settle_pushes(&mut turn).await,
                Step::Pull => self.settle_pull(&mut turn).await,
                Step::Serve => self.withdraw_files(&mut turn).await,
                Step::Rest => return Ok(()),
            };
            match stepped {
                Ok(()) => {}
                Err(Halt::Issue(issue)) => self.wait_or_fail(&mut turn, issue).await?,
                Err(Halt::Fault(Fault::Unreadable)) if turn.sending.end.is_none() => {
                    let detail = "what this house stored of the submission cannot be read";
                    let issue = Issue::new(Code::InternalError, detail);
                    self.wait_or_fail(&mut turn, issue).await?;
                }
                Err(Halt::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Its files have been there for long enough.
    async fn withdraw_files(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        turn.say(exchange::Event::FilesWithdrawn {});
        Ok(turn.commit("bulk-over").await?)
    }

    /// An issue that passes waits for the clock, until the deadline; any other ends the submission.
    pub(crate) async fn wait_or_fail(
        &self,
        turn: &mut SendingTurn,
        issue: Issue,
    ) -> Result<(), Fault> {
        let (seed, attempt) = (turn.sending.id.to_string(), turn.sending.attempt + 1);
        let now = turn.now();
        match exchange::settle::wait(&issue, &seed, attempt, now) {
            Some(until) if until < turn.sending.deadline => {
                turn.say(exchange::Event::Delayed { until, issue });
                turn.commit("bulk-waiting").await
            }
            Some(_) => {
                let late = Issue::new(Code::DeadlinePassed, "the submission was not done in time");
                self.fail(turn, vec![late, issue]).await
            }
            None => self.fail(turn, vec![issue]).await,
        }
    }
}

/// What was agreed with a payer on bulk submissions.
///
/// Errors: `AsyncNotAgreed`.
pub(crate) fn terms_of(payer: &Payer) -> Result<&BulkTerms, Issue> {
    payer.terms.agreement.bulk.as_ref().ok_or_else(|| {
        let detail = "the agreement with this payer has no section [bulk]";
        Issue::new(Code::AsyncNotAgreed, detail).at("bulk")
    })
}

/// How the files of a submission are fetched: a payer that asked for them itself was told no header.
pub(crate) fn access_to(terms: &BulkTerms, sending: &Sending) -> FileAccess {
    match terms.access {
        FileAccess::Header if sending.pulled.is_some() => FileAccess::Token,
        access => access,
    }
}

/// As whom the payer knows this house.
pub(crate) fn submitter(terms: &BulkTerms, namespace: &str) -> Submitter {
    let own =
        || Submitter { system: Some("urn:ietf:rfc:3986".to_owned()), value: namespace.to_owned() };
    terms.submitter.clone().unwrap_or_else(own)
}

/// A submission's attempt, as *settle* reads one.
pub(crate) fn attempt<'a>(sending: &'a Sending, seed: &'a PushId, level: Level) -> Attempt<'a> {
    Attempt {
        push: seed,
        attempt: sending.attempt,
        endpoint: &sending.endpoint,
        deadline: sending.deadline,
        level,
        entries: 0,
        signed_in_again: sending.issues.iter().any(|issue| issue.code == Code::SignInRequired),
    }
}
