//! Suspended: what waited because its partner was suspended goes on when it is not.
//!
//! Comes in   held pushes; what people said of partners, looked at now and then.
//! Goes out   releases, each a line that says why.
//! Never      releases what waits for another reason, or for a partner who is still suspended.
//!
//! Why by looking, beside the command: a process may end between the word and the releases, and a push
//! that was judged a moment earlier may come to its rest a moment later.

use crate::limits::{RESUMED_LOOK, RESUMED_SINCE};
use crate::release::waits_only_for;
use crate::road::Road;
use exchange::{Code, Issue, PartnerId, Push, Who};
use repository::Suspensions;
use tokio::time::Instant;
use wire::Clock as _;

/// Looks who was resumed.
#[derive(Default)]
pub(crate) struct ResumedLook {
    next: Option<Instant>,
}

impl ResumedLook {
    /// Releases what waited for those who were resumed lately; the first look, for all.
    pub(crate) async fn look(&mut self, road: &Road) {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        let first = self.next.is_none();
        self.next = Some(Instant::now() + RESUMED_LOOK);
        let since = road.clock.now().saturating_sub(RESUMED_SINCE).unwrap_or_default();
        let looked = async {
            for (row, one) in Suspensions::new(road.house.clone()).rows().await? {
                if !one.suspended && (first || row.changed >= since) {
                    road.release_resumed(&one.partner, &one.who).await?;
                }
            }
            Ok::<(), Issue>(())
        };
        if let Err(issue) = looked.await {
            tracing::warn!(%issue, "what waits for a partner was not released");
        }
    }
}

impl Road {
    /// Lets go on what waits only because a partner was suspended. Answers how many.
    ///
    /// Errors: those of the store.
    pub async fn release_resumed(&self, partner: &PartnerId, who: &Who) -> Result<u64, Issue> {
        let suspended = |push: &Push| waits_only_for(push, Code::PartnerSuspended);
        self.release_where(Some(partner), suspended, who).await
    }
}
