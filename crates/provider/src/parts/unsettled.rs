//! Unsettled: records of which nobody knows whether another push has made them at the payer.
//!
//! Comes in   a part about to be sent.
//! Goes out   until when it waits, where one of its creates may stand at the payer already; a mark for
//!            each create, before it is sent.
//! Never      lets a create go while another of the same record is unknown: the payer would have two.
//!
//! Why not in the lane: who treats and where stands in the pushes of many patients; and a push that
//! waits for a person has left its lane to the next.
//!
//! Why marks among what the door holds: they are asked for by record, however many pushes wait. A
//! mark says which push was about to make the record, and that push whether it is still unknown; so
//! none need be taken away.

use crate::limits::{SHARED_WAIT, UNSETTLED_WAIT};
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::{self, Fault, Turn};
use exchange::parts::{Holding, Item, Part};
use exchange::{Digest, Push, State};
use jiff::Timestamp;
use std::collections::BTreeSet;
use store::House;

/// The kind of a mark, beside the types of what the door holds.
const INTENT: &str = "Intent";

/// Writes down, in the unit of the intent, which records this push is about to make: by requests that
/// would make them a second time.
pub(super) fn mark(turn: &mut Turn, part: &Part) {
    let (walk, as_of) = (turn.push.walk.to_string(), turn.now());
    for item in creates(part) {
        let (kind, id) = key(item);
        let digest = Some(Digest::of(walk.as_bytes()));
        turn.hold(Holding { kind, id, at: Some(walk.clone()), digest, as_of });
    }
}

fn creates(part: &Part) -> impl Iterator<Item = &Item> {
    part.items.iter().filter(|item| item.makes_anew())
}

fn key(item: &Item) -> (String, String) {
    (INTENT.to_owned(), item.name())
}

impl Road {
    /// Until when this part waits, because another push may have made a record that it is to create;
    /// `None`: none may have.
    pub(super) async fn unsettled(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        part: &Part,
    ) -> Result<Option<Timestamp>, Halt> {
        let marks: Vec<(String, String)> = creates(part).map(key).collect();
        if marks.is_empty() {
            return Ok(None);
        }
        let found = self.house.holdings(&payer.public.name, &marks).await?.into_iter().flatten();
        let walks: BTreeSet<String> = found.filter_map(|mark| mark.at).collect();
        let (now, mut until) = (turn.now(), None);
        for walk in walks.iter().filter(|walk| **walk != turn.push.walk.to_string()) {
            let Some(row) = self.house.work(walk).await? else { continue };
            let other: Push = turn::read(&row.work).ok_or(Fault::Unreadable)?;
            if !other.parts.as_ref().is_some_and(|parts| parts.open) {
                continue;
            }
            let cleared = match other.state {
                State::Due { at, .. } => at.max(now).saturating_add(SHARED_WAIT),
                State::Held => now.saturating_add(UNSETTLED_WAIT),
                _ => continue,
            };
            until = until.max(Some(cleared.unwrap_or(Timestamp::MAX)));
        }
        Ok(until)
    }
}
