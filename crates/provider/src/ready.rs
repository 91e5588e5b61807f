//! Ready: whether a push goes now, later, or not at all, before anything of it is decided.
//!
//! Comes in   what was collected for an encounter, the agreement's `[readiness]`, the time.
//! Goes out   go on; wait, and until when; or an end, since the agreement counts no such visit.
//! Never      waits longer than agreed: then it goes with what is there, and what comes late goes on
//!            with the dossier, as a new revision.

use crate::limits::READY_LOOK;
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::Turn;
use exchange::payload::readiness;
use exchange::shape::Collected;
use exchange::{Code, Dossier, Event, Issue, Trigger};
use fhir::Resource;
use jiff::SignedDuration;
use std::collections::BTreeSet;

impl Road {
    /// Whether a push may go on; only an encounter's may not. What is in the way is written down.
    pub(crate) async fn is_ready(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        payer: &Payer,
        collected: &Collected,
    ) -> Result<bool, Halt> {
        let until = trigger.at.saturating_add(max_wait(payer)).unwrap_or(trigger.at);
        match lacking(&turn.push.dossier, payer, collected) {
            None => Ok(true),
            Some(NotReady::Lacks(_)) if until <= turn.now() => Ok(true),
            Some(NotReady::Lacks(issue)) => {
                let look = turn.now().saturating_add(READY_LOOK).unwrap_or(until);
                self.put_off(turn, look.min(until), issue).await?;
                Ok(false)
            }
            Some(NotReady::NoVisit(issue)) => {
                let disclosure = turn.keep("[]");
                turn.say(Event::Withheld { withheld: Vec::new(), disclosure, issue });
                turn.commit("withheld").await?;
                Ok(false)
            }
        }
    }
}

/// What is in the way, whatever the time.
pub(crate) enum NotReady {
    /// The agreement counts no such visit.
    NoVisit(Issue),
    /// The record is not complete.
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
