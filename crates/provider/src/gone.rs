//! Gone: what becomes of what was pushed about a record that is not so any more.
//!
//! Comes in   an encounter that was cancelled or entered in error, or a record that the EHR does not
//!            hold any more; the pushes there were about it.
//! Goes out   walks that take back what stands at the payers; none where nothing does.
//! Never      takes anything back because an EHR answers nothing at all: its patient is still there. A
//!            Patient that is gone itself is a person's to withdraw.
//!
//! A report that was entered in error is *shape*'s: the agreement says that such records stay, and what
//! stays is taken back. A cancelled report travels, since it says so itself.

use crate::limits::REVISIONS_MAX;
use crate::revisions::Records;
use crate::road::Road;
use crate::scope::{Concern, Concerned};
use crate::source::chart::Chart;
use crate::source::{Read, Source};
use crate::turn::{self, Fault};
use crate::watch;
use exchange::id::derived_id;
use exchange::payload::{Kind, Topic};
use exchange::watch::{Standing, standing};
use exchange::{Code, Issue, Push, Trigger};
use std::collections::BTreeMap;
use store::{House, WorkKind, WorkQuery};

impl Road {
    /// What *scope* found for a record; where the record is not so any more, the walks that take back
    /// what was pushed about it as well. Where nothing was pushed a person is asked as always, but not
    /// because of a watch: nobody waits for what it saw, or for a kind that a payer does not take.
    pub(crate) async fn or_taken_back(
        &self,
        trigger: &Trigger,
        subject: &str,
        found: Concerned,
    ) -> Result<Concerned, Fault> {
        let found = match found {
            Ok((concerns, mut issues, judged)) if watch::asked(trigger) => {
                issues.retain(|issue| issue.code != Code::KindNotAgreed);
                Ok((concerns, issues, judged))
            }
            found => found,
        };
        let troubled = match &found {
            Ok((_, issues, _)) => issues.iter().any(may_tell),
            Err(issue) => may_tell(issue),
        };
        let Some(topic) = Topic::parse(subject).ok().filter(|_| troubled) else { return Ok(found) };
        let source = &**self.charts.source();
        let pushed = self.pushed_about(&topic).await?;
        let mut ends = Vec::new();
        for push in &pushed {
            match self.is_gone(source, &topic, push).await {
                Ok(None) => {}
                Ok(Some(_)) => ends.push(push),
                Err(issue) => return Ok(Err(issue)),
            }
        }
        if ends.is_empty() {
            let is_over = pushed.is_empty() && watch::asked(trigger);
            let over = is_over && matches!(ends_quietly(source, &topic).await, Ok(true));
            return Ok(if over { Ok(Default::default()) } else { found });
        }
        let (mut concerns, issues, judged) =
            found.unwrap_or_else(|issue| (vec![], vec![issue], vec![]));
        let mut left = Vec::new();
        for Push { dossier, purpose, on_behalf, .. } in ends.into_iter().cloned() {
            let is_taken = |known: &Concern| known.dossier.payer == dossier.payer;
            match concerns.iter().find(|known| is_taken(known)) {
                // One walk a payer: a second patient's is left to a person.
                Some(known) if known.dossier != dossier => left.clone_from(&issues),
                Some(_) => {}
                None => {
                    concerns.push(Concern { dossier, purpose, coverages: Vec::new(), on_behalf })
                }
            }
        }
        Ok(Ok((concerns, left, judged)))
    }

    /// Why nothing of a push's record is to stand at its payer any more, if that is so.
    ///
    /// Errors: those of the source.
    pub(crate) async fn is_gone(
        &self,
        source: &dyn Source,
        topic: &Topic,
        push: &Push,
    ) -> Result<Option<Issue>, Issue> {
        if topic.kind == Kind::History {
            return Ok(None);
        }
        let detail = match source.fetch(topic.kind.record(), &topic.id).await? {
            Read::Found(record) if topic.kind == Kind::Encounter => {
                let payer = self.payer(&push.dossier.payer)?;
                let allowed = payer.terms.agreement.encounter.allow(&record).is_ok();
                if allowed || standing(&record) != Standing::TakenBack {
                    return Ok(None);
                }
                "the encounter was cancelled or entered in error"
            }
            Read::Found(_) | Read::TooLarge => return Ok(None),
            Read::Missing => {
                let patient = source.fetch("Patient", &push.dossier.patient).await?;
                if !matches!(patient, Read::Found(_)) {
                    return Ok(None);
                }
                "the EHR does not hold the record any more"
            }
        };
        Ok(Some(Issue::new(Code::AllWithheld, detail)))
    }

    /// The same for a push under way; `None` as well where nothing of its dossier was ever made, so
    /// that the push waits for a person as it always did.
    pub(crate) async fn has_gone(
        &self,
        chart: &Chart,
        topic: &Topic,
        push: &Push,
    ) -> Result<Option<Issue>, crate::road::Halt> {
        let Some(issue) = self.is_gone(chart, topic, push).await? else { return Ok(None) };
        let revisions = self.revisions(push).await?;
        let made = revisions.iter().any(|(_, other)| other.assembled.is_some());
        Ok(made.then_some(issue))
    }

    /// The record itself, by its id at the payers: it goes whichever pushes brought it.
    pub(crate) fn itself(&self, topic: &Topic) -> Records {
        let kind = topic.kind.record();
        Records::from([(kind.to_owned(), derived_id(&self.setup.namespace, kind, &topic.id))])
    }

    /// The newest push of each dossier about this record of which something was made.
    pub(crate) async fn pushed_about(&self, topic: &Topic) -> Result<Vec<Push>, Fault> {
        let subject = topic.reference();
        let query = WorkQuery {
            kind: Some(WorkKind::Trigger),
            prefix: Some(subject.clone()),
            limit: REVISIONS_MAX,
            ..WorkQuery::default()
        };
        let rows = self.house.works(query).await?;
        if rows.len() >= REVISIONS_MAX as usize {
            return Err(Fault::Unreadable);
        }
        // Newest first.
        let mut newest: BTreeMap<String, Push> = BTreeMap::new();
        for row in rows {
            let trigger = turn::read_trigger(&row.work).ok_or(Fault::Unreadable)?;
            for walk in &trigger.walks {
                let row = self.house.work(walk.as_str()).await?.ok_or(Fault::Unreadable)?;
                let push = turn::read(&row.work).ok_or(Fault::Unreadable)?;
                if push.dossier.subject == subject && push.assembled.is_some() {
                    newest.entry(push.dossier.key()).or_insert(push);
                }
            }
        }
        Ok(newest.into_values().collect())
    }
}

/// Whether an issue of *scope* may come of a record that is not so any more.
fn may_tell(issue: &Issue) -> bool {
    use Code::{CoverageMissing, EncounterUnfinished, EncounterUnknown, SubjectUnknown};
    [CoverageMissing, EncounterUnfinished, EncounterUnknown, SubjectUnknown].contains(&issue.code)
}

/// Whether nobody is to be told of a record that was never pushed: it is gone, or was taken back.
async fn ends_quietly(source: &dyn Source, topic: &Topic) -> Result<bool, Issue> {
    Ok(match source.fetch(topic.kind.record(), &topic.id).await? {
        Read::Found(record) => standing(&record) == Standing::TakenBack,
        Read::Missing => true,
        Read::TooLarge => false,
    })
}
