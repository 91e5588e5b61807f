//! Registered: client ids that partners' servers gave this house, kept in its store.
//!
//! Comes in   what a server registered this house as.
//! Goes out   the same, after a restart too; a line and a row in one unit.
//! Never      overwrites what another process of the house registered meanwhile.

use exchange::registration::RegisteredAt;
use exchange::{Chain, Code, Digest, Event, Issue};
use repository::{lookup, store_issue};
use std::sync::Arc;
use store::{AnyHouse, Commit, Expect, House as _, Unit, Work, WorkKind};
use wire::trust::udap::{ClientIds, Registered};
use wire::{BoxFuture, Clock};

/// Client ids that servers gave this house, kept in its store.
pub(super) struct StoredIds {
    pub(super) house: AnyHouse,
    pub(super) clock: Arc<dyn Clock>,
}

impl StoredIds {
    async fn row(&self, id: &str) -> Result<Option<(RegisteredAt, u64)>, Issue> {
        let Some(stored) = self.house.work(id).await.map_err(store_issue)? else { return Ok(None) };
        let read = serde_json::from_slice(&stored.work.body);
        Ok(Some((read.map_err(|_| lookup::unreadable())?, stored.revision)))
    }

    async fn write(
        &self,
        endpoint: &str,
        community: &str,
        registered: Option<Registered>,
    ) -> Result<(), Issue> {
        let id = RegisteredAt::row_of(endpoint, community);
        let before = self.row(&id).await?;
        let client = registered.as_ref().map(|registered| registered.client_id.clone());
        let said = registered.map_or(Digest::of(b""), |registered| registered.said);
        let (endpoint, community) = (endpoint.to_owned(), community.to_owned());
        let event = Event::RegisteredAt { endpoint, community, client, said };
        let Some(after) = RegisteredAt::of(&event) else { return Err(lookup::unreadable()) };
        if before.as_ref().is_some_and(|(before, _)| *before == after) {
            return Ok(());
        }
        let body = serde_json::to_vec(&after).map_err(|_| lookup::unreadable())?;
        let work = Work::of(WorkKind::Registration, &id, after.state_word(), body);
        let revision = before.map(|(_, revision)| revision);
        let unit = Unit {
            at: self.clock.now(),
            expects: vec![Expect::WorkRevision { id, revision }],
            lines: vec![(Chain::House, event)],
            works: vec![work],
            ..Unit::default()
        };
        match self.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => Ok(()),
            // Another process registered meanwhile: the next sign-in finds what it kept.
            _ => Err(Issue::new(Code::HouseBusy, "another process registers at the same server")),
        }
    }
}

impl ClientIds for StoredIds {
    fn known<'a>(
        &'a self,
        endpoint: &'a str,
        community: &'a str,
    ) -> BoxFuture<'a, Result<Option<Registered>, Issue>> {
        Box::pin(async move {
            let id = RegisteredAt::row_of(endpoint, community);
            let Some((one, _)) = self.row(&id).await? else { return Ok(None) };
            let said = one.said;
            Ok(one.client.map(|client_id| Registered { client_id, said }))
        })
    }

    fn keep<'a>(
        &'a self,
        endpoint: &'a str,
        community: &'a str,
        registered: Option<Registered>,
    ) -> BoxFuture<'a, Result<(), Issue>> {
        Box::pin(self.write(endpoint, community, registered))
    }
}
