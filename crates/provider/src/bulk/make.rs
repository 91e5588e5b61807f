//! Make: what goes is said in each push, then listed in a manifest.
//!
//! Comes in   a submission that gathers nothing more.
//! Goes out   pushes that are on their way from here on, and the stored plan of a manifest.
//! Never      plans what was not said before: what may be fetched is in the ledger of each push first.
//!            Never offers what the restrictions of this moment keep; that push is looked at anew.

use super::{SendingTurn, terms_of};
use crate::limits::{GATHERED_MAX, PUSHES_PER_UNIT};
use crate::road::{Halt, Road};
use crate::turn::Fault;
use exchange::agreement::Organized;
use exchange::id::derived_id;
use exchange::sending::End;
use exchange::sending::plan::{Planner, Sent};
use exchange::{Code, Event, Issue, Push};
use store::{House, StoredWork};

impl Road {
    pub(super) async fn make(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        let terms = terms_of(payer)?;
        repository::Suspensions::check(&self.house, &payer.public.name).await?;
        let all = loop {
            let all = self.waiting(&turn.sending).await?;
            let fresh: Vec<_> = all.iter().filter(|(_, push)| push.attempt == 0).collect();
            if fresh.is_empty() {
                break all;
            }
            for (stored, push) in fresh.into_iter().take(PUSHES_PER_UNIT) {
                self.send_off(turn, stored, push).await?;
            }
            turn.commit("bulk-intended").await?;
        };
        let at = turn.now();
        // Earlier readers know files of one type each, and an export may ask for some types.
        let pulled = turn.sending.pulled.as_deref().map(|it| it.asked.kinds.clone());
        let is_pull = pulled.is_some();
        let organized = if is_pull { Organized::Type } else { terms.organized_by };
        let only = pulled.flatten().map(|kinds| kinds.into_iter().collect());
        let planner = Planner::new(at, organized, terms.file_bytes_max);
        let mut planner = planner.only(only).once(is_pull);
        for (_, push) in &all {
            let sent = self.sent(push)?;
            let payload = self.house.blob(&sent.payload).await?.ok_or(Fault::Unreadable)?;
            planner.add(&sent, &payload)?;
            tokio::task::yield_now().await;
        }
        let plan = planner.finish();
        if all.is_empty() && !is_pull {
            turn.say(Event::SendingEnded { end: End::Empty, until: at, issues: Vec::new() });
            return Ok(turn.commit("bulk-ended").await?);
        }
        let standing = turn.sending.standing().last().map(|it| it.number);
        let number = turn.sending.manifests.len() + 1;
        let (pushes, files) = (all.len() as u64, plan.files.len() as u64);
        let (resources, bytes) = (plan.resources(), plan.bytes());
        let written = serde_json::to_vec(&plan).map_err(|_| Fault::Unreadable)?;
        let made = Event::ManifestMade {
            manifest: u32::try_from(number).unwrap_or(u32::MAX),
            plan: turn.keep(written),
            replaces: standing,
            pushes,
            resources,
            files,
            bytes,
        };
        turn.say(made);
        Ok(turn.commit("bulk-made").await?)
    }

    /// Says that a push goes now; or that it does not, because restrictions have changed or cannot be
    /// read: then its own walk finds what becomes of it.
    async fn send_off(
        &self,
        turn: &mut SendingTurn,
        stored: &StoredWork,
        push: &Push,
    ) -> Result<(), Halt> {
        let returned = match self.outdated(push).await {
            Ok(None) => None,
            Ok(Some(_)) => {
                let detail = "restrictions have changed since the push was assembled";
                Some(Issue::new(Code::RestrictionsStale, detail))
            }
            Err(Halt::Issue(issue)) => Some(issue),
            Err(fault) => return Err(fault),
        };
        let said = match (returned, &push.assembled) {
            (Some(issue), _) => Event::Returned { issue },
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
