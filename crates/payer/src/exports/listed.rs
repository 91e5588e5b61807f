//! Listed: which records stood at the moment of an export, as files of bounded size.
//!
//! Comes in   an export that was asked for, and the lease on its row.
//! Goes out   the line that says what can be fetched.
//! Never      holds more than a page of records. Where all of a type are given, no content is read.

use super::{door, row, selected};
use crate::limits::{EXPORT_FILE_RECORDS, EXPORT_SETTLE, LEASE, RENEWAL};
use crate::road::Road;
use crate::under_way::back;
use exchange::export::{Beyond, Export, ExportFile};
use exchange::{Code, Event, Issue};
use jiff::Timestamp;
use repository::snapshot::{Moment, Stood, Walk};
use repository::store_issue;
use std::collections::BTreeMap;
use store::{Clock, Commit, House, Lease, Unit};
use tokio::time::Instant;

/// What is known so far.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) files: Vec<ExportFile>,
    pub(super) left_out: BTreeMap<String, u64>,
    pub(super) beyond: BTreeMap<Beyond, u64>,
}

/// A worker's look through the records.
pub(super) struct Look<'r> {
    pub(super) road: &'r Road,
    pub(super) export: &'r Export,
    lease: &'r Lease,
    renewed: Instant,
    counted: u64,
}

impl Look<'_> {
    /// So many more were looked at. Errors: `HouseBusy` where another worker has taken it over.
    pub(super) async fn looked(&mut self, records: u64) -> Result<(), Issue> {
        self.counted += records;
        self.road.exports.has_counted(&self.export.id, self.counted);
        if self.renewed.elapsed() >= RENEWAL {
            renew(self.road, self.lease).await?;
            self.renewed = Instant::now();
        }
        Ok(())
    }

    /// The first type behind this one that is to be given.
    pub(super) async fn next_kind(&self, behind: Option<&str>) -> Result<Option<String>, Issue> {
        let kinds = self.export.asked.kinds.as_ref();
        selected::kind_behind(&self.road.house, kinds, behind).await
    }

    /// Writes contents that the export uses, which go with it.
    pub(super) async fn keep(&self, unit: Unit) -> Result<(), Issue> {
        let (at, fence) = (self.road.clock.now(), Some(self.lease.fence.clone()));
        let unit = Unit { at, fence, works: vec![row(self.export)?], ..unit };
        match self.road.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => Ok(()),
            _ => Err(Issue::new(Code::HouseBusy, "the export was taken over meanwhile")),
        }
    }
}

/// Walks through all that was asked for.
///
/// Errors: `HouseBusy` where another worker has taken it over; those of the store.
pub(super) async fn list(road: &Road, lease: &Lease, export: &Export) -> Result<Event, Issue> {
    let as_of = as_of(road).await?;
    let moment = Moment { as_of, since: export.asked.since, until: export.asked.until };
    let mut listing = Listing::default();
    let mut look = Look { road, export, lease, renewed: Instant::now(), counted: 0 };
    match selected::is_one(&export.asked) {
        true => {
            let wording = door::wording(road, export).await?;
            selected::list(&mut look, &mut listing, moment, &wording).await?;
        }
        false => all(&mut look, &mut listing, moment).await?,
    }
    let Listing { mut files, left_out, beyond } = listing;
    number(&mut files);
    Ok(Event::ExportReady { export: export.id.clone(), as_of, files, left_out, beyond })
}

/// All there are of the types asked for.
async fn all(look: &mut Look<'_>, listing: &mut Listing, moment: Moment) -> Result<(), Issue> {
    let mut kind = look.next_kind(None).await?;
    while let Some(listed) = kind {
        let mut walk = Walk::new(&listed, moment.as_of, None);
        while let Some(heads) = walk.page(&look.road.house).await? {
            for head in &heads {
                match moment.stood(head) {
                    None => {}
                    Some(Stood::Purged) => listing.leave_out(&head.kind),
                    Some(stood) => listing.add(&head.kind, stood == Stood::Deleted, &head.id),
                }
            }
            look.looked(heads.len() as u64).await?;
        }
        kind = look.next_kind(Some(&listed)).await?;
    }
    Ok(())
}

/// The moment whose records are given: all that bear its time or an earlier one are in the store.
/// Where other processes file too, nobody here knows of their rounds: it is so far back that these
/// have ended.
async fn as_of(road: &Road) -> Result<Timestamp, Issue> {
    let moment = road.exports.under_way.moment(&*road.clock);
    let clock = road.house.clock(road.clock.now());
    let moment = match clock {
        Clock::At(_) => moment,
        Clock::Database => {
            let now = road.house.time(clock).await.map_err(store_issue)?;
            moment.min(back(now, EXPORT_SETTLE))
        }
    };
    road.exports.under_way.settled(moment).await;
    Ok(moment)
}

async fn renew(road: &Road, lease: &Lease) -> Result<(), Issue> {
    let clock = road.house.clock(road.clock.now());
    match road.house.renew(clock, &lease.fence, LEASE).await.map_err(store_issue)? {
        true => Ok(()),
        false => Err(Issue::new(Code::HouseBusy, "the export was taken over meanwhile")),
    }
}

impl Listing {
    /// One record's content is gone.
    pub(super) fn leave_out(&mut self, kind: &str) {
        *self.left_out.entry(kind.to_owned()).or_default() += 1;
    }

    /// One more record, behind all that were added of its type.
    fn add(&mut self, kind: &str, deleted: bool, id: &str) {
        let mut same = self.files.iter_mut().rev();
        let last = same.find(|file| file.kind == kind && file.deleted == deleted);
        let after = match last {
            Some(file) if file.count < EXPORT_FILE_RECORDS => {
                file.through = id.to_owned();
                file.count += 1;
                return;
            }
            full => full.map(|file| file.through.clone()),
        };
        let (kind, through) = (kind.to_owned(), id.to_owned());
        self.files.push(ExportFile {
            name: String::new(),
            kind,
            deleted,
            after,
            through,
            listed: None,
            goes_on: false,
            count: 1,
        });
    }
}

/// Names: the type and a number, deletions apart; blocks by whom they are about.
fn number(files: &mut [ExportFile]) {
    let mut numbers: BTreeMap<(String, bool), u64> = BTreeMap::new();
    for file in files {
        let number = numbers.entry((file.kind.clone(), file.deleted)).or_default();
        *number += 1;
        let what = if file.deleted { ".deleted" } else { "" };
        let kind = if file.kind.is_empty() { "by-Patient" } else { &file.kind };
        file.name = format!("{kind}{what}.{number}.ndjson");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_begins_where_the_one_before_ended() {
        let mut listing = Listing::default();
        for number in 0..2 * EXPORT_FILE_RECORDS + 5 {
            listing.add("Observation", false, &format!("{number:06}"));
            if number % 10_000 == 0 {
                listing.add("Observation", true, &format!("{number:06}x"));
            }
        }
        listing.add("Patient", false, "p");
        number(&mut listing.files);
        let shown = |file: &ExportFile| (file.name.clone(), file.after.clone(), file.count);
        let text = |text: &str| Some(text.to_owned());
        let expected = [
            ("Observation.1.ndjson".to_owned(), None, EXPORT_FILE_RECORDS),
            ("Observation.deleted.1.ndjson".to_owned(), None, 3),
            ("Observation.2.ndjson".to_owned(), text("009999"), EXPORT_FILE_RECORDS),
            ("Observation.3.ndjson".to_owned(), text("019999"), 5),
            ("Patient.1.ndjson".to_owned(), None, 1),
        ];
        assert_eq!(listing.files.iter().map(shown).collect::<Vec<_>>(), expected);
        assert_eq!(listing.files[1].through, "020000x");
    }
}
