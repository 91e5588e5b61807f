//! Withdraw: take back what a dossier has sent (a wrong patient, a wrong plan).
//!
//! Comes in   a push that a person takes back.
//! Goes out   a push of deletions, a revision of the same dossier with a number of its own.
//! Never      deletes what another dossier of the same patient and payer has sent as well, or what
//!            is no patient's: another patient's records at the payer may refer to it.
//!
//! Why a push and not a message: it needs the same order, retries, proof and acknowledgement.

use crate::collect::NOT_SEARCHED;
use crate::revisions::{Records, number};
use crate::road::Road;
use crate::scope::{Concern, Concerned};
use crate::source::offer::Offer;
use crate::source::us_core;
use crate::turn::{self, Fault};
use exchange::assemble::{self, Envelope, Payload, Shaped};
use exchange::id::derived_id;
use exchange::ladder;
use exchange::shape::{self, Audience, Collected};
use exchange::{Code, Decision, Disclosure, Issue, Push, PushId, State, WalkId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::House;

/// Why a push of deletions goes: a person asked for it.
pub(crate) const WITHDRAWN: &str = "withdrawn by the sending house";

/// Why a push of deletions goes: a restriction or a rule came after the push.
pub(crate) const NO_LONGER: &str = "may not travel to this payer any more";

impl Road {
    /// The dossier of the push that is taken back.
    pub(crate) async fn concerned_by_withdrawal(&self, walk: &WalkId) -> Result<Concerned, Fault> {
        let unknown = || Issue::new(Code::PushUnknown, "the push to withdraw is not known");
        let row = self.house.work(walk.as_str()).await?;
        let Some(push) = row.and_then(|row| turn::read(&row.work)) else {
            return Ok(Err(unknown()));
        };
        let Push { dossier, purpose, on_behalf, .. } = push;
        let concern = Concern { dossier, purpose, coverages: Vec::new(), on_behalf };
        Ok(Ok((vec![concern], Vec::new(), Vec::new())))
    }

    /// The deletions that take a dossier back, for a reason that names no patient; `None` when nothing of it was ever sent.
    pub(crate) async fn withdrawal(
        &self,
        push: &Push,
        stays: &Records,
        reason: &str,
        envelope: &Envelope<'_>,
    ) -> Result<Option<Payload>, Fault> {
        let Some((made, records)) = self.to_take_back(push, stays).await? else { return Ok(None) };
        let patient = derived_id(&self.setup.namespace, "Patient", &push.dossier.patient);
        Ok(Some(assemble::withdrawal(&patient, &records, &made, reason, envelope)))
    }

    /// The dossier's last push that was sent, and all that its withdrawal deletes; `None` when nothing
    /// of it was ever sent.
    pub(crate) async fn to_take_back(
        &self,
        push: &Push,
        stays: &Records,
    ) -> Result<Option<(PushId, Vec<(String, String)>)>, Fault> {
        let Some((last, records)) = self.only_here(push, stays).await? else { return Ok(None) };
        let Some(made) = last.assembled else { return Ok(None) };
        let mut records: Vec<_> = self.but_for_merged(push, stays, records).await?;
        records.extend(self.own_words_of(push, &records).await?);
        Ok(Some((made.push, records)))
    }

    /// What earlier revisions put at the payer and the new one no longer holds: a restriction or a
    /// correction since then takes it back.
    pub(crate) async fn no_longer_held(
        &self,
        push: &Push,
        shaped: &Shaped,
        spared: &Spared,
        stays: &Records,
    ) -> Result<Vec<(String, String)>, Fault> {
        let Some((_, mut records)) = self.only_here(push, stays).await? else {
            return Ok(Vec::new());
        };
        for resource in &shaped.resources {
            records.remove(&(resource.kind.clone(), resource.id.clone()));
        }
        records.retain(|record| {
            let is_gone = stays.contains(record) || spared.was_read(&record.0);
            is_gone && !spared.records.contains(record)
        });
        let mut records: Vec<_> = self.but_for_merged(push, stays, records).await?;
        records.extend(self.own_words_of(push, &records).await?);
        Ok(records)
    }

    /// The Provenances of the dossier's pushes that name what is taken back, at a door of another make:
    /// it may keep what others refer to, and between two houses they stay as the record of what was sent.
    async fn own_words_of(
        &self,
        push: &Push,
        gone: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Fault> {
        let payer = &push.dossier.payer;
        let takes_back = |offer: &ladder::Offer| {
            !offer.house && offer.of("Provenance").is_some_and(|provenance| provenance.delete)
        };
        let best = self.setup.payers.get(payer).is_some_and(|it| it.terms.agreement.by_ladder());
        if gone.is_empty() || !best || !self.doors.offer(payer).is_some_and(|it| takes_back(&it)) {
            return Ok(Vec::new());
        }
        let mut words = Vec::new();
        for (_, other) in self.revisions(push).await?.into_iter().filter(|(_, it)| it.sent) {
            let Some(made) = &other.assembled else { continue };
            let records = self.records(&other).await?;
            if gone.iter().any(|record| records.contains(record)) {
                let id = derived_id(&self.setup.namespace, "Provenance", made.push.as_str());
                words.push(("Provenance".to_owned(), id));
            }
        }
        let standing = self.house.holdings(payer, &words).await?.into_iter().flatten();
        let standing = standing.filter(|holding| holding.digest.is_some());
        Ok(standing.map(|holding| (holding.kind, holding.id)).collect())
    }

    /// The dossier's last push that was sent, and the records that its pushes put at the payer and no
    /// other dossier of the patient did, but for what `stays` in those as well; `None` when nothing of
    /// it was ever sent.
    async fn only_here(
        &self,
        push: &Push,
        stays: &Records,
    ) -> Result<Option<(Push, Records)>, Fault> {
        let mut by_dossier: BTreeMap<String, Vec<Push>> = BTreeMap::new();
        for other in self.of_lane(push).await?.into_iter().filter(|other| other.sent) {
            by_dossier.entry(other.dossier.key()).or_default().push(other);
        }
        let own = by_dossier.remove(&push.dossier.key()).unwrap_or_default();
        let mut records = Records::new();
        for sent in &own {
            records.extend(self.records(sent).await?);
        }
        self.spare(push, stays, &by_dossier, &mut records).await?;
        Ok(own.into_iter().max_by_key(number).map(|last| (last, records)))
    }

    /// Leaves what other dossiers hold, but for what `stays` in those as well.
    async fn spare(
        &self,
        push: &Push,
        stays: &Records,
        by_dossier: &BTreeMap<String, Vec<Push>>,
        records: &mut Records,
    ) -> Result<(), Fault> {
        for others in by_dossier.values() {
            // What stands there is what was filed last; what waits or was refused keeps nothing.
            let filed = others.iter().filter(|push| matches!(push.state, State::Settled { .. }));
            if let Some(latest) = filed.max_by_key(|push| number(push)) {
                let kept = self.records(latest).await?;
                // Another purpose may permit what this one does not.
                let same = latest.purpose == push.purpose;
                records.retain(|it| !kept.contains(it) || (same && stays.contains(it)));
            }
        }
        Ok(())
    }

    /// The same, but for what stands there as a patient's with whom this one was merged.
    async fn but_for_merged(
        &self,
        push: &Push,
        stays: &Records,
        mut records: Records,
    ) -> Result<Vec<(String, String)>, Fault> {
        if !records.is_empty() {
            let mut by_dossier: BTreeMap<String, Vec<Push>> = BTreeMap::new();
            for other in self.of_merged(push).await?.into_iter().filter(|other| other.sent) {
                by_dossier.entry(other.dossier.key()).or_default().push(other);
            }
            self.spare(push, stays, &by_dossier, &mut records).await?;
        }
        Ok(records.into_iter().collect())
    }
}

/// Records that a rule withholds whatever the push: what a payer may see of a resource is the same in
/// all of them, so one that brought it earlier keeps it there no longer. A Patient and a Coverage go
/// with the last dossier only, since the others' records are about them.
pub(crate) fn stays_in_every_push(disclosure: &Disclosure, namespace: &str) -> Records {
    let withheld = disclosure.decisions.iter().filter_map(|decision| match decision {
        Decision::Withheld { reference, rule, .. } if shape::holds_in_every_push(rule) => {
            reference.split_once('/')
        }
        _ => None,
    });
    let others = withheld.filter(|(kind, _)| !["Coverage", "Patient"].contains(kind));
    others.map(|(kind, id)| (kind.to_owned(), derived_id(namespace, kind, id))).collect()
}

/// What stays at the payer although the push no longer holds it.
pub(crate) struct Spared {
    /// Merely outside of a history's window by now, or referred to by something that is.
    records: Records,
    /// What the EHR says of the types it holds: what it was not asked for is not gone.
    offer: Arc<Offer>,
    /// Types that the agreement has the chart asked for.
    asked: BTreeSet<String>,
}

impl Spared {
    /// Whether the chart was read for records of this type, by a search or where something refers to
    /// them, so that what is missing is gone.
    fn was_read(&self, kind: &str) -> bool {
        let is_unlisted = !self.offer.is_silent() && !self.offer.knows(kind);
        let by_reference = !is_unlisted && !self.asked.contains(kind);
        NOT_SEARCHED.contains(&kind) || us_core::is_asked(&self.offer, kind) || by_reference
    }
}

/// What the chart does not speak against, although the push no longer holds it.
pub(crate) fn spared(
    disclosure: &Disclosure,
    collected: &Collected,
    audience: &Audience<'_>,
    namespace: &str,
    offer: Arc<Offer>,
) -> Spared {
    let is_outside = |decision: &&Decision| match decision {
        Decision::Withheld { rule, .. } => rule == shape::OUTSIDE_WINDOW,
        Decision::Included { .. } => false,
    };
    let outside = disclosure.decisions.iter().filter(is_outside).map(Decision::reference);
    let outside: BTreeSet<String> = outside.collect();
    let all = collected.found.iter().chain(&collected.followed);
    let resources = all.filter(|it| outside.contains(&it.local_reference()));
    // What stays for another reason, or may not travel any more, goes although something that is
    // merely outside refers to it.
    let withheld = disclosure.decisions.iter().filter_map(|decision| match decision {
        Decision::Withheld { reference, rule, .. } if !shape::is_merely_left_out(rule) => {
            Some(reference.as_str())
        }
        _ => None,
    });
    let withheld: BTreeSet<&str> = withheld.collect();
    let may_stand = |(kind, id): &(String, String)| {
        let reference = format!("{kind}/{id}");
        audience.could_travel(&reference).is_ok()
            && !audience.restrictions.names(&reference, audience.payer())
            && !withheld.contains(reference.as_str())
    };
    let referred = resources.flat_map(|it| shape::references_to_follow(it, audience.source_base));
    let referred = referred.filter(may_stand);
    let parted = outside.iter().filter_map(|reference| reference.split_once('/'));
    let parted = parted.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
    let derived = |(kind, id): (String, String)| (derived_id(namespace, &kind, &id), kind);
    let records = parted.chain(referred).map(derived).map(|(id, kind)| (kind, id)).collect();
    let asked = audience.terms.agreement.encounter.types.iter().cloned().collect();
    Spared { records, offer, asked }
}

#[cfg(test)]
mod tests {
    //! Goal: what is merely outside of a window stays at the payer, and what is withheld does not,
    //! whatever refers to it.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use exchange::agreement::{Terms, default_value_set};
    use exchange::restriction::Restrictions;
    use exchange::{Agreement, PartnerId, Purpose};
    use fhir::Resource;

    #[test]
    fn what_is_restricted_is_not_spared_for_an_old_record_that_refers_to_it() {
        let read = |text: &str| Resource::parse(text.as_bytes().to_vec()).unwrap();
        let old = read(
            r#"{"resourceType":"Procedure","id":"old","subject":{"reference":"Patient/p"},"performedDateTime":"2001-01-01","reasonReference":[{"reference":"Condition/wish"},{"reference":"Condition/fine"}],"report":[{"reference":"DiagnosticReport/wish"}],"location":{"reference":"Location/l"},"focalDevice":[{"manipulated":{"reference":"Device/d"}}]}"#,
        );
        let condition = |id: &str| {
            read(&format!(
                r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"Patient/p"}},"onsetDateTime":"2001-01-01"}}"#
            ))
        };
        let followed = vec![old, condition("wish"), condition("fine")];
        let mut collected = Collected { followed, ..Collected::default() };
        let references = collected.followed.iter().map(Resource::local_reference);
        collected.notes.outside = references.collect();
        let blue = PartnerId::from("blue");
        let text = Agreement::default_text(&blue, &[Purpose::Payment], &[]);
        let terms = Terms::parse(&text, "blue.toml", &default_value_set).unwrap();
        let rows = ["Condition/wish", "DiagnosticReport/wish"].map(|subject| {
            format!("[[restriction]]\nsubject = \"{subject}\"\nreason = \"a wish\"\n")
        });
        let restrictions = Restrictions::parse(&rows.concat(), "r.toml", &[]).unwrap();
        let audience = Audience {
            terms: &terms,
            purpose: Purpose::Payment,
            kind: "history",
            on: jiff::civil::date(2026, 1, 15),
            restrictions: &restrictions,
            patient: "p",
            own_coverages: &[],
            source_base: "https://ehr.test/fhir",
        };
        let disclosure = shape::shape(&collected, &audience);
        let spared = spared(&disclosure, &collected, &audience, "urn:house", Arc::default());
        let is_spared = |kind: &str, id: &str| {
            spared.records.contains(&(kind.to_owned(), derived_id("urn:house", kind, id)))
        };
        let table = [
            ("Procedure", "old", true),
            ("Condition", "fine", true),
            ("Location", "l", true),
            ("Condition", "wish", false),
            ("DiagnosticReport", "wish", false),
            ("Device", "d", false),
        ];
        for (kind, id, wanted) in table {
            assert_eq!(is_spared(kind, id), wanted, "{kind}/{id}");
        }
    }
}
