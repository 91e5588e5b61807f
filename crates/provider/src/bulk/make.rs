//! Make: what goes is said in each push, then listed in a manifest.
//!
//! Comes in   a submission that gathers nothing more, or holds as much as goes with one manifest.
//! Goes out   pushes that are on their way from here on, and the stored plan of a manifest; where nothing
//!            is left, the end.
//! Never      plans what was not said before: what may be fetched is in the ledger of each push first.
//!            Never offers what the restrictions of this moment keep; that push is looked at anew.

use super::{SendingTurn, terms_of};
use crate::limits::{GATHERED_MAX, PUSHES_PER_UNIT};
use crate::road::{Halt, Road};
use crate::turn::Fault;
use exchange::agreement::{BulkTerms, Organized};
use exchange::id::derived_id;
use exchange::sending::plan::{Planner, Sent};
use exchange::sending::{End, Sending};
use exchange::{Code, Event, Issue, Push};
use std::collections::BTreeSet;
use store::{House, StoredWork};

impl Road {
    /// What is left of a closed submission: a manifest that is to be replaced, one more, or the end.
    pub(super) async fn make(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let terms = terms_of(payer)?;
        repository::Suspensions::check(&self.house, &payer.public.name).await?;
        let is_pull = turn.sending.pulled.is_some();
        if !is_pull {
            let waiting = self.waiting(&turn.sending).await?;
            if self.replace(turn, &waiting).await? {
                return Ok(());
            }
        }
        // An export has one manifest.
        let most = if is_pull { usize::MAX } else { terms.manifest_pushes_max as usize };
        let some = self.sent_off(turn, most).await?;
        match some.is_empty() && !is_pull {
            false => self.make_manifest(turn, terms, &some).await,
            true if turn.sending.manifests.is_empty() => {
                let until = turn.now();
                Ok(self.end(turn, End::Empty, until, Vec::new()).await?)
            }
            true => self.tell(turn).await,
        }
    }

    /// A manifest of an open submission, once it is full. Answers whether one was made.
    pub(super) async fn make_full(
        &self,
        turn: &mut SendingTurn,
        terms: &BulkTerms,
    ) -> Result<bool, Halt> {
        let most = terms.manifest_pushes_max as usize;
        if self.unplanned(&turn.sending).await?.len() < most {
            return Ok(false);
        }
        repository::Suspensions::check(&self.house, &turn.sending.payer).await?;
        let some = self.sent_off(turn, most).await?;
        if !some.is_empty() {
            self.make_manifest(turn, terms, &some).await?;
        }
        Ok(!some.is_empty())
    }

    /// The next pushes of a submission, each of which says by now that it goes.
    async fn sent_off(&self, turn: &mut SendingTurn, most: usize) -> Result<Vec<Push>, Halt> {
        let next = self.unplanned(&turn.sending).await?;
        let asked = |push: &Push| push.attempt == 0 || push.withdrawn_by.is_some();
        let fresh = next.iter().take(most).filter(|(_, push)| asked(push));
        let fresh: Vec<_> = fresh.collect();
        for some in fresh.chunks(PUSHES_PER_UNIT) {
            for (stored, push) in some {
                self.send_off(turn, stored, push).await?;
            }
            turn.commit("bulk-intended").await?;
        }
        let all = self.unplanned(&turn.sending).await?.into_iter().map(|(_, push)| push);
        Ok(all.filter(|push| push.attempt > 0).take(most).collect())
    }

    /// The pushes that wait in a submission and are in none of its manifests.
    async fn unplanned(&self, sending: &Sending) -> Result<Vec<(StoredWork, Push)>, Fault> {
        let mut planned = BTreeSet::new();
        for (_, plan) in self.standing_plans(sending).await? {
            planned.extend(plan.pushes().into_iter().map(|piece| piece.walk.clone()));
        }
        let mut waiting = self.waiting(sending).await?;
        waiting.retain(|(_, push)| !planned.contains(&push.walk));
        Ok(waiting)
    }

    async fn make_manifest(
        &self,
        turn: &mut SendingTurn,
        terms: &BulkTerms,
        some: &[Push],
    ) -> Result<(), Halt> {
        let sent: Result<Vec<Sent>, Fault> = some.iter().map(|push| self.sent(push)).collect();
        self.plan_of(turn, terms, &sent?, None).await?;
        Ok(turn.commit("bulk-made").await?)
    }

    /// Plans a manifest of these pushes, in the place of another one or of none, and says so.
    pub(super) async fn plan_of(
        &self,
        turn: &mut SendingTurn,
        terms: &BulkTerms,
        sent: &[Sent],
        replaces: Option<u32>,
    ) -> Result<(), Halt> {
        // Earlier readers know files of one type each, and an export may ask for some types.
        let pulled = turn.sending.pulled.as_deref().map(|it| it.asked.kinds.clone());
        let is_pull = pulled.is_some();
        let organized = if is_pull { Organized::Type } else { terms.organized_by };
        let only = pulled.flatten().map(|kinds| kinds.into_iter().collect());
        let planner = Planner::new(turn.now(), organized, terms.file_bytes_max);
        let mut planner = planner.only(only).once(is_pull);
        for one in sent {
            let payload = self.house.blob(&one.payload).await?.ok_or(Fault::Unreadable)?;
            planner.add(one, &payload)?;
            tokio::task::yield_now().await;
        }
        let plan = planner.finish();
        let number = turn.sending.manifests.len() + 1;
        let (resources, bytes) = (plan.resources(), plan.bytes());
        let written = serde_json::to_vec(&plan).map_err(|_| Fault::Unreadable)?;
        let kept = turn.keep(written);
        turn.say(Event::ManifestMade {
            manifest: u32::try_from(number).unwrap_or(u32::MAX),
            plan: kept,
            replaces,
            pushes: sent.len() as u64,
            resources,
            files: plan.files.len() as u64,
            bytes,
        });
        Ok(())
    }

    /// Says that a push goes now; or that it does not.
    async fn send_off(
        &self,
        turn: &mut SendingTurn,
        stored: &StoredWork,
        push: &Push,
    ) -> Result<(), Halt> {
        let overtaken = self.overtaken(push).await?;
        let said = match (overtaken, &push.assembled) {
            (Some(said), _) => said,
            (None, Some(made)) => Event::Intended {
                attempt: push.attempt + 1,
                endpoint: turn.sending.endpoint.clone(),
                key: made.push.to_string(),
                part: None,
            },
            (None, None) => return Err(Fault::Unreadable.into()),
        };
        turn.say_of(stored, push, vec![said]);
        Ok(())
    }

    /// What is said of a push that may not go as it is; `None` where it may. Where restrictions have changed
    /// or cannot be read, its own walk finds what becomes of it. Where a person took it back, that walk is
    /// the other one, however long the payer's door keeps it waiting.
    pub(super) async fn overtaken(&self, push: &Push) -> Result<Option<Event>, Halt> {
        if let Some(by) = &push.withdrawn_by {
            return Ok(Some(Event::Superseded { by: by.clone() }));
        }
        match self.outdated(push).await {
            Ok(None) => Ok(None),
            Ok(Some(_)) => {
                let detail = "restrictions have changed since the push was assembled";
                Ok(Some(Event::Returned { issue: Issue::new(Code::RestrictionsStale, detail) }))
            }
            Err(Halt::Issue(issue)) => Ok(Some(Event::Returned { issue })),
            Err(fault) => Err(fault),
        }
    }

    fn sent(&self, push: &Push) -> Result<Sent, Fault> {
        let made = push.assembled.as_ref().ok_or(Fault::Unreadable)?;
        Ok(Sent {
            walk: push.walk.clone(),
            push: made.push.clone(),
            patient: derived_id(&self.setup.namespace, "Patient", &push.dossier.patient),
            payload: made.payload,
        })
    }
}

// A submission holds what one list of waiting pushes can show.
const _: () = assert!(exchange::limits::SUBMISSION_PUSHES_MAX <= GATHERED_MAX);
