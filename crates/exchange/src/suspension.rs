//! Suspension: a partner with whom a person of this house has stopped all exchange for a while.
//!
//! Comes in   their lines of the house's chain, in their order.
//! Goes out   where each stands.
//! Never      a state that no line explains.

use crate::id::PartnerId;
use crate::ledger::{Event, Who};
use serde::{Deserialize, Serialize};

/// What was last said about the exchange with a partner: a projection of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The partner.
    pub partner: PartnerId,
    /// Whether the exchange is suspended now.
    pub suspended: bool,
    /// Who said so last, and why.
    pub who: Who,
}

impl Suspension {
    /// What one line makes of it, whatever was before; none where it is about something else.
    pub fn of(event: &Event) -> Option<Suspension> {
        let (partner, suspended, who) = match event {
            Event::PartnerSuspended { partner, who } => (partner, true, who),
            Event::PartnerResumed { partner, who } => (partner, false, who),
            _ => return None,
        };
        Some(Suspension { partner: partner.clone(), suspended, who: who.clone() })
    }

    /// The id of its row: no push's or trigger's.
    pub fn row_id(partner: &PartnerId) -> String {
        format!("partner|{partner}")
    }

    /// `partner-suspended` or `partner-resumed`.
    pub fn state_word(&self) -> &'static str {
        if self.suspended { "partner-suspended" } else { "partner-resumed" }
    }
}
