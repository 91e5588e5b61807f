//! Show: one push or trigger in full.
//!
//! Comes in   its id, or the start of it.
//! Goes out   timeline, decisions, acknowledgement; on request what was sent.
//! Never      content unless it was asked for.

use super::{Desk, read_push, read_trigger, row_of_trigger};
use exchange::desk::{Reply, Shown, TimelineRow};
use exchange::{Chain, DecisionRow, Digest, Issue, Phi};
use repository::{lookup, store_issue};
use store::{House, StoredWork, WorkKind};

impl Desk {
    pub(super) async fn show(&self, id: &str, page: bool) -> Result<Reply, Issue> {
        let stored = lookup::find_work(&self.road.house, id).await?;
        match stored.work.kind {
            WorkKind::Push => self.show_push(&stored, page).await,
            _ => self.show_trigger(&stored).await,
        }
    }

    async fn show_push(&self, stored: &StoredWork, page: bool) -> Result<Reply, Issue> {
        let push = read_push(stored)?;
        let trigger = self.road.house.work(push.trigger.as_str()).await.map_err(store_issue)?;
        let trigger = trigger.map(|row| read_trigger(&row)).transpose()?;
        let made = push.assembled.as_ref();
        let decisions = match made.map(|made| made.disclosure).or(push.disclosure) {
            Some(digest) => self.decisions(&digest).await?,
            None => Vec::new(),
        };
        let acknowledgement = match push.acknowledgement {
            Some(digest) => serde_json::from_slice(&self.content(&digest).await?).ok(),
            None => None,
        };
        let findings = self.road.findings(&push).await.map_err(store_issue)?;
        let page = match made {
            Some(made) if page => Some(Phi(self.page(&made.payload).await?)),
            _ => None,
        };
        let timeline = lookup::timeline(&self.road.house, &push.chain()).await?;
        Ok(Reply::Shown(Box::new(Shown {
            row: self.row_with_standing(stored, &push).await?,
            who: trigger.map(|trigger| trigger.who),
            timeline,
            decisions,
            findings,
            acknowledgement,
            page,
        })))
    }

    async fn show_trigger(&self, stored: &StoredWork) -> Result<Reply, Issue> {
        let trigger = read_trigger(stored)?;
        let timeline: Vec<TimelineRow> =
            lookup::timeline_of(&self.road.house, &Chain::House, |event| {
                event.trigger() == Some(&trigger.id)
            })
            .await?;
        Ok(Reply::Shown(Box::new(Shown {
            row: row_of_trigger(stored, &trigger),
            who: Some(trigger.who),
            timeline,
            decisions: Vec::new(),
            findings: Vec::new(),
            acknowledgement: None,
            page: None,
        })))
    }

    async fn decisions(&self, digest: &Digest) -> Result<Vec<DecisionRow>, Issue> {
        Ok(serde_json::from_slice(&self.content(digest).await?).unwrap_or_default())
    }

    /// Stored content; nothing where it was purged.
    async fn content(&self, digest: &Digest) -> Result<bytes::Bytes, Issue> {
        Ok(self.road.house.blob(digest).await.map_err(store_issue)?.unwrap_or_default())
    }

    async fn page(&self, payload: &Digest) -> Result<Vec<String>, Issue> {
        lookup::resources(self.content(payload).await?, "the time of this push is over")
    }
}
