//! Payors: those that nobody has mapped, and the mapping of them.
//!
//! Comes in   triggers that wait for a payor; a row of the payor map.
//! Goes out   each payor once, as the chart names it; the changed map, and triggers that go on.
//! Never      a payor's name or number in the ledger: it is read from the chart again whenever
//!            somebody asks.

use super::{Desk, read_trigger};
use crate::limits::{LIST_ROWS_MAX, PAYORS_TOLD_MAX};
use crate::scope::{coverages, patient};
use crate::source::Source;
use crate::source::chart::Chart;
use crate::tables;
use exchange::desk::{
    IssueWords, MappedPayor, PayorCommand, PayorMapped, PayorsTold, Reply, WaitingPayor,
};
use exchange::payload::{Kind, Topic};
use exchange::scope::{Payor, PayorKey, PayorMap, PayorRow, names_this, payors_of, row_text};
use exchange::{Code, Digest, Event, Issue, Subject, Trigger, Who};
use repository::store_issue;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{House, StoredWork, WorkKind, WorkQuery};

/// Triggers that wait, with their rows; newest first.
type Waiting = Vec<(StoredWork, Trigger)>;

impl Desk {
    pub(super) async fn payor(&self, command: PayorCommand) -> Result<Reply, Issue> {
        match command {
            PayorCommand::List { who } => self.list_payors(who).await,
            PayorCommand::Map { payor, row, who } => self.map_payor(payor, *row, who).await,
        }
    }

    async fn list_payors(&self, who: Who) -> Result<Reply, Issue> {
        self.looked(who, "Coverage".into()).await?;
        let map = self.road.payors()?;
        let (by_payor, more) = self.waiting_payors().await?;
        let mut waiting = Vec::new();
        for (payor, triggers) in by_payor {
            let known = match waiting.len() < PAYORS_TOLD_MAX {
                true => self.known_as(&payor, &triggers).await,
                false => Ok(None),
            };
            let (known_as, issue) = match known {
                Ok(known) => (known.map(|known| known.shown()), None),
                Err(issue) => (None, Some(IssueWords::from(&issue))),
            };
            let triggers = triggers.len() as u64;
            waiting.push(WaitingPayor { payor, triggers, known_as, issue });
        }
        waiting.sort_by_key(|one| std::cmp::Reverse(one.triggers));
        let rows = map.rows().map(|(line, row)| MappedPayor { line, row: row.clone() }).collect();
        Ok(Reply::Payors(PayorsTold { waiting, rows, more }))
    }

    /// Triggers that wait, by the payors that they wait for; and whether there are more.
    async fn waiting_payors(&self) -> Result<(BTreeMap<PayorKey, Waiting>, bool), Issue> {
        let query = WorkQuery {
            kind: Some(WorkKind::Trigger),
            states: vec!["held".to_owned()],
            limit: LIST_ROWS_MAX,
            ..WorkQuery::default()
        };
        let rows = self.road.house.works(query).await.map_err(store_issue)?;
        let more = rows.len() >= usize::try_from(LIST_ROWS_MAX).unwrap_or(usize::MAX);
        let mut found: BTreeMap<PayorKey, Waiting> = BTreeMap::new();
        for row in rows {
            let trigger = read_trigger(&row)?;
            for payor in &trigger.payors {
                found.entry(payor.clone()).or_default().push((row.clone(), trigger.clone()));
            }
        }
        Ok((found, more))
    }

    /// What the chart of a trigger that waits for a payor says of it; of the newest that still names
    /// it.
    async fn known_as(&self, payor: &PayorKey, waiting: &Waiting) -> Result<Option<Payor>, Issue> {
        const LOOKED_AT: usize = 3; // an encounter may be gone, or a coverage mended
        for (_, trigger) in waiting.iter().take(LOOKED_AT) {
            let Subject::Record(subject) = &trigger.subject else { continue };
            let chart = Chart::new(Arc::clone(self.road.charts.source()));
            let named = named_by(&chart, subject).await?;
            if let Some(found) = named.into_iter().find(|one| one.key() == *payor) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn map_payor(
        &self,
        payor: Option<PayorKey>,
        mut row: PayorRow,
        who: Who,
    ) -> Result<Reply, Issue> {
        if let Some(key) = &payor {
            let (waiting, _) = self.waiting_payors().await?;
            let triggers = waiting.get(key).ok_or_else(|| {
                let detail = "no payor that waits has this key; see `handover payor list`";
                Issue::new(Code::CommandInvalid, detail).at("payor")
            })?;
            self.name_as_known(key, triggers, &mut row).await?;
        }
        let known = self.write_row(&row, payor.as_ref(), &who).await?;
        // Not before: what came to wait until now is let go on as well.
        let (waiting, _) = self.waiting_payors().await?;
        let mut released = 0;
        for (at, (key, triggers)) in waiting.iter().enumerate() {
            let fits = match &payor {
                Some(mapped) => mapped == key,
                // What cannot be looked up is let go on all the same: *scope* looks again.
                None if at >= PAYORS_TOLD_MAX => true,
                None => match self.known_as(key, triggers).await {
                    Ok(Some(known)) => names_this(&row, &known),
                    _ => true,
                },
            };
            if fits {
                released += self.let_go_on(triggers, &who).await?;
            }
        }
        self.wake.notify_one();
        Ok(Reply::PayorMapped(Box::new(PayorMapped { row, known, released })))
    }

    /// Names a payor of the list in the row: by an identifier, else by its id in the EHR, else by its
    /// name.
    async fn name_as_known(
        &self,
        key: &PayorKey,
        triggers: &Waiting,
        row: &mut PayorRow,
    ) -> Result<(), Issue> {
        let given = [&row.identifier, &row.reference, &row.name];
        if given.iter().any(|it| it.is_some()) {
            let detail = "a payor of the list is named as the chart names it; leave out \
                          identifier, reference and name";
            return Err(Issue::new(Code::CommandInvalid, detail).at("payor"));
        }
        let known = self.known_as(key, triggers).await?.map(|known| known.shown());
        let known = known.unwrap_or_default();
        let with_system = known.identifiers.iter().find(|it| it.system.is_some());
        if let Some(identifier) = with_system.or(known.identifiers.first()) {
            row.identifier = Some(identifier.to_string());
        } else if known.reference.is_some() {
            row.reference = known.reference;
        } else if let Some(name) = known.names.first() {
            row.name = Some(name.clone());
        } else {
            let detail = "the chart does not say what to map this payor by; give identifier, \
                          reference, name, class or member id as the EHR shows them";
            return Err(Issue::new(Code::CommandInvalid, detail).at("payor"));
        }
        Ok(())
    }

    /// Writes the row at the end of the map, unless it stands there. Answers whether it did.
    async fn write_row(
        &self,
        row: &PayorRow,
        payor: Option<&PayorKey>,
        who: &Who,
    ) -> Result<bool, Issue> {
        let partners = self.road.partners();
        // By itself first, so that a fault is the row's and not the table's.
        let alone = PayorMap::parse(&row_text(row), "row", &partners);
        alone.map_err(|issue| {
            let detail = issue.detail.split_once(": ").map_or("", |(_, detail)| detail).to_owned();
            Issue::new(Code::CommandInvalid, detail).at("row")
        })?;
        let held = tables::hold(&self.road.setup.payors).await?;
        let (text, map) = (self.road.payors_text()?, self.road.payors()?);
        if map.holds(row) {
            return Ok(true);
        }
        if let Some(line) = map.contradicts(row) {
            let detail = format!(
                "line {line} of the table names the same and leads elsewhere; change it there, or \
                 name more"
            );
            return Err(Issue::new(Code::CommandInvalid, detail).at("row"));
        }
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let gap = if text.is_empty() { "" } else { "\n" };
        let new = format!("{text}{end}{gap}{}", row_text(row));
        let place = self.road.setup.payors.display().to_string();
        let read = PayorMap::parse(&new, &place, &partners)?;
        if !read.holds(row) || read.rows().count() != map.rows().count() + 1 {
            let detail = "the table is not written as [[payor]] rows, each by itself: change it by \
                          hand";
            return Err(Issue::new(Code::CommandInvalid, detail).at(place));
        }
        let event = Event::PayorMapped {
            who: who.clone(),
            payor: payor.cloned(),
            partner: row.partner.clone(),
            table: Digest::of(new.as_bytes()),
        };
        self.write_table(held, &new, event).await?;
        Ok(false)
    }

    async fn let_go_on(&self, triggers: &Waiting, who: &Who) -> Result<u64, Issue> {
        let mut released = 0;
        for (stored, _) in triggers {
            // A trigger that waits for two payors was let go on with the first.
            released += u64::from(self.road.release(stored, who.clone()).await?.is_some());
        }
        Ok(released)
    }
}

/// The payors that the coverages of a record's patient name; none where the EHR does not hold the
/// record any more, or it does not say whose it is.
async fn named_by(chart: &dyn Source, subject: &str) -> Result<Vec<Payor>, Issue> {
    let Topic { kind, id, .. } = Topic::parse(subject)?;
    let patient = match kind {
        Kind::History => Some(id),
        _ => {
            let record = chart.read(kind.record(), &id).await?;
            record.and_then(|record| patient(&record, chart.base_url()).ok())
        }
    };
    let Some(patient) = patient else { return Ok(Vec::new()) };
    let (coverages, organizations) = coverages(chart, &patient).await?;
    let mut named = payors_of(&coverages, &organizations, chart.base_url());
    // A coverage may name none, and wait as such.
    named.push(Payor::default());
    Ok(named)
}
