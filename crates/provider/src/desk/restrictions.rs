//! Restrictions: what people ask of the table of restrictions.
//!
//! Comes in   rows, files of rows, subjects to take out.
//! Goes out   the changed table, and a line that says who changed it and how much.
//! Never      half a file; never a subject in the ledger.

use super::Desk;
use crate::tables;
use exchange::desk::{
    IssueWords, Reply, RestrictionCommand, RestrictionsChanged, RestrictionsTold,
};
use exchange::restriction::Restrictions;
use exchange::restriction::table::{self, Changed, Table};
use exchange::{Code, Digest, Event, Issue, PartnerId, Who};

impl Desk {
    pub(super) async fn restriction(&self, command: RestrictionCommand) -> Result<Reply, Issue> {
        match command {
            RestrictionCommand::List {} => self.restrictions_told(),
            RestrictionCommand::Add { row, who } => {
                self.change_restrictions(who, |table| table.add(&[row], None)).await
            }
            RestrictionCommand::Import { file, replace, allow_shrink, as_of, who } => {
                let (known, rows) = read_import(&file, &self.road.partners())?;
                let as_of = known.or(as_of);
                let change = |table: &Table<'_>| match replace {
                    true => table.replace(&rows, as_of, allow_shrink),
                    false => table.add(&rows, as_of),
                };
                self.change_restrictions(who, change).await
            }
            RestrictionCommand::Remove { subject, reason, who } => {
                let remove = |table: &Table<'_>| table.remove(&subject, reason.as_deref());
                self.change_restrictions(who, remove).await
            }
        }
    }

    fn restrictions_told(&self) -> Result<Reply, Issue> {
        let place = self.road.setup.restrictions.display().to_string();
        let text = self.road.restrictions_text()?;
        let (_, rows) = Restrictions::rows(&text, &place, &self.road.partners())?;
        let restrictions = self.road.all_restrictions()?;
        let as_of = self.road.dated(&restrictions);
        let issue = self.road.check_age(&restrictions).err();
        let issue = issue.as_ref().map(IssueWords::from);
        Ok(Reply::Restrictions(RestrictionsTold { rows, as_of, issue }))
    }

    /// Changes the table, and lets go on what waited for a fresh one.
    async fn change_restrictions(
        &self,
        who: Who,
        change: impl FnOnce(&Table<'_>) -> Result<Changed, Issue>,
    ) -> Result<Reply, Issue> {
        let held = tables::hold(&self.road.setup.restrictions).await?;
        let text = self.road.restrictions_text()?;
        let place = self.road.setup.restrictions.display().to_string();
        let partners = self.road.partners();
        let changed = change(&Table { text: &text, file_name: &place, partners: &partners })?;
        if changed.text != text {
            let table = Digest::of(changed.text.as_bytes());
            let Changed { added, removed, .. } = changed;
            let event = Event::RestrictionsChanged { who: who.clone(), added, removed, table };
            self.write_table(held, &changed.text, event).await?;
        }
        let fresh = self.road.setup.feed.is_some() && self.road.restrictions(None).is_ok();
        let released = if fresh { self.road.release_stale(&who).await? } else { 0 };
        self.wake.notify_one();
        let Changed { added, duplicates, removed, rows, .. } = changed;
        let told = RestrictionsChanged { added, duplicates, removed, rows, released };
        Ok(Reply::RestrictionsChanged(told))
    }
}

type Import = (Option<jiff::Timestamp>, Vec<exchange::restriction::Restriction>);

fn read_import(file: &str, partners: &[PartnerId]) -> Result<Import, Issue> {
    let text = std::fs::read_to_string(file).map_err(|_| {
        let detail = "the file to be imported cannot be read as text";
        Issue::new(Code::CommandInvalid, detail).at(file)
    })?;
    table::import(&text, file, partners)
}
