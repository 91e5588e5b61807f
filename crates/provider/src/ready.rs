//! Ready: whether a push goes now, later, or not at all, before anything of it is decided.
//!
//! Comes in   what was collected for an encounter, the agreement's `[readiness]`, the time.
//! Goes out   go on; wait, and until when; or an end, since the agreement counts no such visit.
//! Never      waits longer than agreed: then it goes with what is there, and what comes late goes on
//!            with the dossier, as a new revision.

use crate::limits::READY_LOOK;
use crate::road::{Halt, Road, supersede};
use crate::setup::Payer;
use crate::turn::Turn;
use crate::usable::Usable;
use crate::withdraw::{NO_LONGER, Records};
use exchange::assemble::Payload;
use exchange::payload::readiness;
use exchange::shape::Collected;
use exchange::{Code, Digest, Dossier, Event, Issue, Trigger, Withholding};
use fhir::Resource;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Why a push does not go on.
pub(crate) enum NotNow {
    /// The record is not complete; the next look is then.
    Wait(Timestamp, Issue),
    /// The agreement counts no such visit.
    Never(Issue),
}

impl Road {
    /// Whether something is in the way of an encounter's push; nothing is in that of other kinds.
    pub(crate) fn not_now(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        payer: &Payer,
        collected: &Collected,
    ) -> Option<NotNow> {
        let until = trigger.at.saturating_add(max_wait(payer)).unwrap_or(trigger.at);
        match lacking(&turn.push.dossier, payer, collected)? {
            NotReady::NoVisit(issue) => Some(NotNow::Never(issue)),
            NotReady::Lacks(_) if until <= turn.now() => None,
            NotReady::Lacks(issue) => {
                let look = turn.now().saturating_add(READY_LOOK).unwrap_or(until);
                Some(NotNow::Wait(look.min(until), issue))
            }
        }
    }

    /// Writes down why the push does not go on.
    pub(crate) async fn halt(&self, turn: &mut Turn, why: NotNow) -> Result<(), Halt> {
        match why {
            NotNow::Wait(until, issue) => Ok(self.put_off(turn, until, issue).await?),
            NotNow::Never(issue) => {
                let disclosure = turn.keep("[]");
                turn.say(Event::Withheld { withheld: Vec::new(), disclosure, issue });
                Ok(turn.commit("withheld").await?)
            }
        }
    }

    /// Nothing may travel (any more): what earlier revisions sent is taken back; where nothing was
    /// sent, or it was taken back already, the walk ends. What `stays` in every push goes whichever
    /// dossier brought it as well.
    pub(crate) async fn nothing_travels(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        (withheld, disclosure): (Vec<Withholding>, Digest),
        stays: &Records,
        issue: Issue,
    ) -> Result<(), Halt> {
        let push = turn.push.clone();
        let revisions = self.revisions(&push).await?;
        if self.stands(&revisions).await? {
            let number = self.next_number(turn).await?;
            let envelope = self.envelope(&push, number, trigger.at);
            if let Some(payload) = self.withdrawal(&push, stays, NO_LONGER, &envelope).await? {
                let payload = Payload { withheld, ..payload };
                let usable = Usable::default();
                return self.store_push(turn, &revisions, payload, disclosure, usable).await;
            }
        }
        // What an older revision still holds may not go either.
        supersede(turn, &revisions)?;
        turn.say(Event::Withheld { withheld, disclosure, issue });
        Ok(turn.commit("withheld").await?)
    }

    /// When the EHR has said that it may be asked again.
    pub(crate) fn rested_source(&self, now: Timestamp) -> Timestamp {
        let rest = SignedDuration::try_from(self.charts.source().rest()).unwrap_or_default();
        now.saturating_add(rest).unwrap_or(now)
    }
}

/// What is in the way, whatever the time.
pub(crate) enum NotReady {
    NoVisit(Issue),
    Lacks(Issue),
}

/// What is in the way of an encounter's push to this payer.
pub(crate) fn lacking(dossier: &Dossier, payer: &Payer, collected: &Collected) -> Option<NotReady> {
    let wanted = |one: &&Resource| one.local_reference() == dossier.subject;
    let subject = collected.found.iter().find(wanted)?;
    if subject.kind() != "Encounter" {
        return None;
    }
    let agreed = &payer.terms.agreement.readiness;
    if !readiness::is_visit(subject, agreed) {
        let detail = "the agreement counts no encounter of this class or type as a visit";
        let issue = Issue::new(Code::AllWithheld, detail).at("Encounter.class");
        return Some(NotReady::NoVisit(issue));
    }
    let members: BTreeSet<&String> = collected.notes.belongs.keys().collect();
    let all = collected.found.iter().chain(&collected.followed);
    let own: Vec<&Resource> = all.filter(|one| members.contains(&one.local_reference())).collect();
    readiness::missing(subject, &own, agreed).map(NotReady::Lacks)
}

fn max_wait(payer: &Payer) -> SignedDuration {
    SignedDuration::from_hours(payer.terms.agreement.readiness.max_wait_hours.into())
}
