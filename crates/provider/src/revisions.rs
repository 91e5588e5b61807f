//! Revisions: the other pushes of a dossier and of its lane, and what they put at the payer.
//!
//! Comes in   a push or its dossier; rows of work, stored payloads.
//! Goes out   revisions, their contents, the records that stand by them; which gives way, which holds
//!            the same.
//! Never      half a lane: what is beyond a limit might be what must not be taken back.

use crate::limits::{LANE_ROWS_MAX, REVISIONS_MAX};
use crate::road::{Halt, Road};
use crate::turn::{self, Fault, Turn};
use bytes::Bytes;
use exchange::agreement::PULL;
use exchange::assemble::{self, Content, Shaped};
use exchange::push::{Assembled, Parts};
use exchange::{Code, Dossier, Event, Issue, Push, PushId, State};
use std::collections::BTreeSet;
use store::{House, StoredWork, WorkKind, WorkQuery};

/// Types that are no patient's (R4 §2.5 compartments: none of them has a patient). Who treats, where
/// and with what says nothing of a patient whose records are gone; and whether records of other
/// patients refer to one could be seen here only until their next push. Not `exchange::read::DIRECTORY`:
/// that one is of who works where, and leaves out a Device, which may be one patient's.
pub(crate) const NOBODYS: [&str; 11] = [
    "Device",
    "Endpoint",
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Questionnaire",
    "ResearchStudy",
    "Substance",
];

/// Records at a payer: type and derived id.
pub(crate) type Records = BTreeSet<(String, String)>;

impl Road {
    /// Every push of the same patient to the same payer: those in its lane, and those that stand
    /// aside because the payer is being asked for its word. All of one moment: one of these may come
    /// back to its lane, but none can leave it while this walk holds the lane's lease.
    pub(crate) async fn of_lane(&self, push: &Push) -> Result<Vec<Push>, Fault> {
        self.in_lane(push.dossier.lane()).await
    }

    /// The pushes of a lane, in it or beside it.
    pub(crate) async fn in_lane(&self, lane: String) -> Result<Vec<Push>, Fault> {
        let query = WorkQuery {
            kind: Some(WorkKind::Push),
            lanes: Some(lane.clone()),
            limit: LANE_ROWS_MAX,
            ..WorkQuery::default()
        };
        let rows = self.house.works(query).await?;
        if rows.len() >= LANE_ROWS_MAX as usize {
            // What is beyond might be what must not be taken back.
            return Err(Fault::Unreadable);
        }
        let pushes = rows.iter().map(|row| turn::read(&row.work).ok_or(Fault::Unreadable));
        let pushes: Result<Vec<_>, Fault> = pushes.collect();
        Ok(pushes?.into_iter().filter(|other| other.dossier.lane() == lane).collect())
    }

    /// The patient's records a push put at the payer, its own Provenance aside. Once its payload is
    /// purged, the line that says so has them.
    pub(crate) async fn records(&self, push: &Push) -> Result<Records, Fault> {
        let Some(made) = &push.assembled else { return Ok(Records::new()) };
        let Some(payload) = self.house.blob(&made.payload).await? else {
            return self.purged_records(push).await;
        };
        let contents = self.contents_of(payload)?.into_iter();
        let put = contents.filter(|one| one.digest.is_some() && one.kind != "Provenance");
        let put = put.filter(|one| !NOBODYS.contains(&one.kind.as_str()));
        Ok(put.map(|one| (one.kind, one.id)).collect())
    }

    async fn purged_records(&self, push: &Push) -> Result<Records, Fault> {
        let story = self.house.story(&push.chain()).await?;
        let said = story.iter().find_map(|entry| match entry.event() {
            Ok(Event::Purged { records, .. }) => Some(records),
            _ => None,
        });
        let parted = |record: &String| {
            let (kind, id) = record.split_once('/')?;
            Some((kind.to_owned(), id.to_owned()))
        };
        let records = said.map(|records| records.iter().filter_map(parted).collect());
        records.ok_or(Fault::Unreadable)
    }

    /// The bytes that a push sends.
    ///
    /// Errors: `ContentPurged`.
    pub(crate) async fn payload(&self, push: &Push) -> Result<Bytes, Halt> {
        let made = push.assembled.as_ref().ok_or(Fault::Unreadable)?;
        let gone =
            || Issue::new(Code::ContentPurged, "the payload is gone; it cannot be sent again");
        Ok(self.house.blob(&made.payload).await?.ok_or_else(gone)?)
    }

    /// What a push holds, in the order of its Bundle; nothing before *assemble*.
    pub(crate) async fn contents(&self, push: &Push) -> Result<Vec<Content>, Fault> {
        let Some(made) = &push.assembled else { return Ok(Vec::new()) };
        let payload = self.house.blob(&made.payload).await?.ok_or(Fault::Unreadable)?;
        self.contents_of(payload)
    }

    fn contents_of(&self, payload: Bytes) -> Result<Vec<Content>, Fault> {
        assemble::contents(payload, &self.setup.namespace).map_err(|_| Fault::Unreadable)
    }

    /// All other revisions of a walk's dossier.
    pub(crate) async fn revisions(&self, push: &Push) -> Result<Vec<(StoredWork, Push)>, Fault> {
        let mut all = self.revisions_of(&push.dossier).await?;
        all.retain(|(row, _)| row.work.id != push.walk.as_str());
        Ok(all)
    }

    /// All revisions of a dossier.
    pub(crate) async fn revisions_of(
        &self,
        dossier: &Dossier,
    ) -> Result<Vec<(StoredWork, Push)>, store::Error> {
        let query = WorkQuery {
            kind: Some(WorkKind::Push),
            dossier: Some(dossier.key()),
            limit: REVISIONS_MAX,
            ..WorkQuery::default()
        };
        let damaged = || store::Error::Damaged("a row of work cannot be read".into());
        let rows = self.house.works(query).await?.into_iter();
        rows.map(|row| turn::read(&row.work).map(|push| (row, push)).ok_or_else(damaged)).collect()
    }

    /// Whether anything of a dossier stands at the payer: of its pushes that were sent and not refused
    /// the latest put something there, and did not merely take back.
    pub(crate) async fn stands(&self, revisions: &[(StoredWork, Push)]) -> Result<bool, Fault> {
        let sent = revisions.iter().map(|(_, push)| push).filter(|push| push.sent);
        let kept = sent.filter(|push| !matches!(push.state, State::Refused));
        match kept.max_by_key(|push| number(push)) {
            Some(latest) => Ok(!self.records(latest).await?.is_empty()),
            None => Ok(false),
        }
    }

    /// What was told when the same content had been pushed before.
    pub(crate) async fn acknowledgement_of(
        &self,
        push: &Push,
        same: &PushId,
    ) -> Result<Option<Bytes>, Fault> {
        match self.standing(push, same).await?.and_then(|other| other.acknowledgement) {
            Some(digest) => Ok(self.house.blob(&digest).await?),
            None => Ok(None),
        }
    }

    /// The push of the same dossier that an unchanged one stands on, as it is now.
    pub(crate) async fn standing(
        &self,
        push: &Push,
        same: &PushId,
    ) -> Result<Option<Push>, store::Error> {
        let made = |other: &Push| other.assembled.as_ref().is_some_and(|made| made.push == *same);
        let revisions = self.revisions_of(&push.dossier).await?;
        Ok(revisions.into_iter().map(|(_, other)| other).find(made))
    }
}

/// Older revisions that still wait give way to the one being assembled; what is taken back stays so.
pub(crate) fn supersede(turn: &mut Turn, revisions: &[(StoredWork, Push)]) -> Result<(), Fault> {
    // An export may hold some types only, and may never be fetched: nothing gives way to its pushes, and
    // they wait for nothing but to be fetched.
    if turn.push.mode == PULL {
        return Ok(());
    }
    let waiting = revisions.iter().filter(|(_, other)| {
        other.mode != PULL
            && !other.ended()
            && other.assembled.is_some()
            && other.withdraws.is_none()
    });
    waiting.into_iter().try_for_each(|(row, _)| turn.supersede(row))
}

/// The dossier's latest revision, where it stands and holds the same. One that was refused, taken
/// back or overtaken does not stand: the same content may go again. One that waits stands, and
/// whoever pushes is told so (`exchange::desk::Standing`).
pub(crate) fn same_as_latest(revisions: &[(StoredWork, Push)], shaped: &Shaped) -> Option<PushId> {
    let numbered =
        || revisions.iter().filter_map(|(_, push)| Some((push, push.assembled.as_ref()?)));
    let pushed = numbered().filter(|(push, _)| push.mode != PULL);
    let (push, made) = pushed.max_by_key(|(_, made)| made.number)?;
    // What a payer may have fetched since then, and was something else, is what it may hold now.
    let fetched = |(push, one): &(&Push, &Assembled)| {
        push.mode == PULL && push.sent && one.number > made.number && one.digest != made.digest
    };
    if numbered().any(|one| fetched(&one)) {
        return None;
    }
    let ended = matches!(push.state, State::Refused | State::Superseded);
    let stands = !ended && !is_refused(push) && push.withdrawn_by.is_none();
    (stands && made.digest == shaped.digest).then(|| made.push.clone())
}

/// Whether it waits because the payer said no, and nothing of it is in doubt: it gives way to a push of
/// the same, as the payer's refusals promise ("then push again"), under a number of its own. Where an
/// answer is missing or still to come, only `release` goes on: the same bytes under the same key.
fn is_refused(push: &Push) -> bool {
    let refused = push.issues.iter().any(|issue| issue.code == Code::PayerRefused);
    let unsure = |parts: &Parts| parts.open || !parts.accepted.is_empty();
    let in_doubt = push.poll.is_some() || push.parts.as_deref().is_some_and(unsure);
    matches!(push.state, State::Held) && refused && !in_doubt
}

/// The number of a push in its lane; 0 where it has none.
pub(crate) fn number(push: &Push) -> u64 {
    push.assembled.as_ref().map_or(0, |made| made.number)
}
