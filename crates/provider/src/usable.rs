//! Usable: what was found of a push before it is sent, from *assemble* to the acknowledgement.
//!
//! Comes in   what *shape* decided, for whom.
//! Goes out   the findings, kept with the push; the issues for which the agreement holds it.
//! Never      a change of what is sent: findings are told, and mended in the chart.

use crate::road::Road;
use crate::turn::Turn;
use exchange::shape::{Audience, nothing_travels};
use exchange::usability::{self, Finding};
use exchange::{Digest, Disclosure, Dossier, Event, Issue, Push};
use store::House as _;

/// What was found of one push.
#[derive(Debug, Default)]
pub(crate) struct Usable {
    /// What is not usable for its purpose.
    pub(crate) findings: Vec<Finding>,
    /// Why it waits for a person before it is sent.
    pub(crate) holding: Vec<Issue>,
}

impl Usable {
    /// Looks at what would travel.
    pub(crate) fn of(disclosure: &Disclosure, audience: &Audience<'_>) -> Usable {
        let findings = usability::findings(disclosure, audience.purpose, audience.source_base);
        let hold = &audience.terms.agreement.usability.hold;
        Usable { holding: usability::holding(&findings, hold), findings }
    }

    /// The same for a look that may find that nothing travels: then nothing is unusable.
    pub(crate) fn of_what_travels(
        disclosure: &Disclosure,
        audience: &Audience<'_>,
        dossier: &Dossier,
    ) -> Usable {
        match nothing_travels(disclosure, &dossier.patient, &dossier.subject) {
            Some(_) => Usable::default(),
            None => Usable::of(disclosure, audience),
        }
    }

    /// Nothing to find in what does not go for this reason.
    pub(crate) fn waiting(issue: Issue) -> Usable {
        Usable { holding: vec![issue], ..Usable::default() }
    }

    /// Keeps the findings with the push; nothing where there is none.
    pub(crate) fn keep(&self, turn: &mut Turn) -> Option<Digest> {
        let rows = serde_json::to_vec(&self.findings).unwrap_or_default();
        (!self.findings.is_empty()).then(|| turn.keep(rows))
    }

    /// Lets a push that was assembled wait, in the same unit, where the agreement says so. Its
    /// payload is stored: a release sends it as it is, a newer revision takes its place.
    pub(crate) fn hold(self, turn: &mut Turn) {
        if !self.holding.is_empty() {
            turn.say(Event::Held { issues: self.holding });
        }
    }
}

impl Road {
    /// What was found before a push was sent; nothing where that was purged.
    pub(crate) async fn findings(&self, push: &Push) -> Result<Vec<Finding>, store::Error> {
        let kept = push.assembled.as_ref().and_then(|made| made.findings);
        let Some(digest) = kept else { return Ok(Vec::new()) };
        let rows = self.house.blob(&digest).await?.unwrap_or_default();
        Ok(serde_json::from_slice(&rows).unwrap_or_default())
    }
}
