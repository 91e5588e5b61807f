//! Lease: who may write a row of work, and what that does to its lease and its lane.
//!
//! Comes in   a unit, its row of work, until when the row is leased, and the time.
//! Goes out   what becomes of the lease; whether the lane must be looked at again.
//! Never      lets a write that knows nothing of a worker's progress undo it.
//!
//! The holder may write a leased row, by its fence, as often as it likes while the lease lasts; the
//! lease ends when the row's `due` becomes `None`. Anybody else only by naming the revision it has
//! read (`Expect::WorkRevision`), as `release` and `withdraw` of a person do; that ends the lease
//! and raises the fence, so that the holder's next write is `Overtaken` and what the person decided
//! stands. Without the revision it is `Stale`. A lease that has run out binds nobody.

use crate::house::{Error, Expect, Unit, Work, WorkKind};
use exchange::PartnerId;

/// What becomes of a row's lease when the row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It goes on (or there is none).
    Stays,
    /// The holder has ended it.
    Ends,
    /// Somebody else has ended it: the holder is overtaken.
    Broken,
}

/// What a unit does to the lease of a row that is leased until then, `now` by the clock that gave
/// the lease; `None`: the row may not be written.
pub(crate) fn after(unit: &Unit, work: &Work, leased: Option<i64>, now: i64) -> Option<After> {
    let Some(until) = leased else { return Some(After::Stays) };
    let held = unit.fence.as_ref().is_some_and(|fence| fence.work == work.id);
    let named = unit
        .expects
        .iter()
        .any(|expect| matches!(expect, Expect::WorkRevision { id, .. } if *id == work.id));
    match work.due {
        Some(_) if held => Some(After::Stays),
        None if held => Some(After::Ends),
        _ if named || until <= now => Some(After::Broken),
        _ => None,
    }
}

/// Whether a row that is written changes its lane: a new one that no clock has work on, and that
/// brings no number, is nothing to it.
pub(crate) fn stirs(work: &Work, new: bool) -> bool {
    !new || work.due.is_some() || work.number.is_some()
}

/// Partners by name, nobody by none: no partner's name is empty.
pub(crate) fn names(partners: &[Option<PartnerId>]) -> Vec<String> {
    let name = |one: &Option<PartnerId>| one.as_ref().map_or("", PartnerId::as_str).to_owned();
    partners.iter().map(name).collect()
}

impl WorkKind {
    const ALL: [WorkKind; 10] = [
        WorkKind::Trigger,
        WorkKind::Push,
        WorkKind::Submission,
        WorkKind::Watch,
        WorkKind::Endpoint,
        WorkKind::Registration,
        WorkKind::Partner,
        WorkKind::Export,
        WorkKind::BulkReceived,
        WorkKind::BulkSent,
    ];

    /// The number that stands for a kind.
    pub(crate) fn code(self) -> i16 {
        match self {
            WorkKind::Trigger => 1,
            WorkKind::Push => 2,
            WorkKind::Submission => 3,
            WorkKind::Watch => 4,
            WorkKind::Endpoint => 5,
            WorkKind::Registration => 6,
            WorkKind::Partner => 7,
            WorkKind::Export => 8,
            WorkKind::BulkReceived => 9,
            WorkKind::BulkSent => 10,
        }
    }

    /// The kind that a number stands for.
    ///
    /// # Errors
    /// `Damaged` where it stands for none.
    pub(crate) fn from_code(code: i16) -> Result<WorkKind, Error> {
        let found = WorkKind::ALL.into_iter().find(|kind| kind.code() == code);
        found.ok_or_else(|| Error::Damaged("a row of work is of no known kind".to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::house::Fence;
    use jiff::Timestamp;

    fn work(due: bool, number: Option<u64>) -> Work {
        Work {
            id: "work".to_owned(),
            kind: WorkKind::Push,
            lane: "lane".to_owned(),
            partner: None,
            dossier: None,
            trigger: None,
            label: None,
            gathered: None,
            number,
            state: "due".to_owned(),
            due: due.then_some(Timestamp::UNIX_EPOCH),
            body: Vec::new(),
        }
    }

    #[test]
    fn a_leased_row_is_written_by_its_holder_or_by_who_has_looked() {
        let fence = |work: &str| Some(Fence { work: work.to_owned(), number: 1 });
        let looked = |id: &str| Expect::WorkRevision { id: id.to_owned(), revision: Some(1) };
        let holder = Unit { fence: fence("work"), ..Unit::default() };
        let other = Unit { fence: fence("other"), ..Unit::default() };
        let person = Unit { expects: vec![looked("work")], ..Unit::default() };
        let elsewhere = Unit { expects: vec![looked("other")], ..Unit::default() };
        let (held, over) = (Some(100), Some(99));
        let table = [
            ("nobody holds it", &other, true, None, Some(After::Stays)),
            ("the holder goes on", &holder, true, held, Some(After::Stays)),
            ("the holder is done", &holder, false, held, Some(After::Ends)),
            ("a person has looked", &person, true, held, Some(After::Broken)),
            ("a person has looked elsewhere", &elsewhere, true, held, None),
            ("another worker", &other, true, held, None),
            ("another worker, to end it", &other, false, held, None),
            ("it has run out", &other, true, over, Some(After::Broken)),
        ];
        for (case, unit, due, leased, expected) in table {
            assert_eq!(after(unit, &work(due, None), leased, 99), expected, "{case}");
        }
    }

    #[test]
    fn a_lane_is_looked_at_again_where_it_may_have_changed() {
        let table = [
            (true, None, true, true),
            (false, Some(1), true, true),
            (false, None, true, false),
            (false, None, false, true),
        ];
        for (due, number, new, expected) in table {
            let case = format!("due: {due}, number: {number:?}, new: {new}");
            assert_eq!(stirs(&work(due, number), new), expected, "{case}");
        }
    }

    #[test]
    fn a_kind_is_read_as_it_was_written() {
        for kind in WorkKind::ALL {
            assert_eq!(WorkKind::from_code(kind.code()).unwrap(), kind);
        }
        for code in [0, 99, -1] {
            assert!(matches!(WorkKind::from_code(code), Err(Error::Damaged(_))), "{code}");
        }
    }
}
