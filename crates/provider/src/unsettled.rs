//! Unsettled: records of which nobody knows whether another push has made them at the payer.
//!
//! Comes in   a part about to be sent, and the other pushes to that payer.
//! Goes out   until when it waits, where one of its creates may stand at the payer already.
//! Never      lets a create go while another of the same record is unknown: the payer would have two.
//!
//! Why not in the lane: who treats and where stands in the pushes of many patients; and a push that
//! waits for a person has left its lane to the next.

use crate::limits::{LANE_ROWS_MAX, SHARED_WAIT, UNSETTLED_WAIT};
use crate::parts::refused;
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::{self, Fault, Turn};
use crate::withdraw::NOBODYS;
use exchange::ladder::{self, Offer};
use exchange::parts::{self, Ground, Load, Part, Step};
use exchange::{Push, State};
use jiff::Timestamp;
use std::collections::BTreeSet;
use store::{House, WorkKind, WorkQuery};

impl Road {
    /// Until when this part waits, because another push may have made a record that it is to create;
    /// `None`: none may have.
    pub(crate) async fn unsettled(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        offer: &Offer,
        part: &Part,
    ) -> Result<Option<Timestamp>, Halt> {
        let creates = part.items.iter().filter(|item| !item.repeatable);
        let creates: BTreeSet<String> = creates.map(|item| item.name()).collect();
        if creates.is_empty() {
            return Ok(None);
        }
        let shared = part.items.iter().any(|item| NOBODYS.contains(&item.kind.as_str()));
        let (now, mut until) = (turn.now(), None);
        for other in self.open_pushes(turn, shared).await? {
            let open = self.open_records(payer, offer, &other).await?;
            if !open.is_disjoint(&creates) {
                let cleared = match other.state {
                    State::Due { at, .. } => at.max(now).saturating_add(SHARED_WAIT),
                    _ => now.saturating_add(UNSETTLED_WAIT),
                };
                until = until.max(Some(cleared.unwrap_or(Timestamp::MAX)));
            }
        }
        Ok(until)
    }

    /// Other pushes with a part of which nobody knows what became: of the same patient, or, where
    /// records are shared between patients, all to this payer.
    async fn open_pushes(&self, turn: &Turn, shared: bool) -> Result<Vec<Push>, Halt> {
        let dossier = &turn.push.dossier;
        let query = WorkQuery {
            kind: Some(WorkKind::Push),
            states: if shared { vec!["held".into(), "due".into()] } else { Vec::new() },
            partner: Some(dossier.payer.clone()),
            lanes: (!shared).then(|| dossier.lane()),
            limit: LANE_ROWS_MAX,
            ..WorkQuery::default()
        };
        let rows = self.house.works(query).await?.into_iter();
        let pushes = rows.map(|row| turn::read(&row.work).ok_or(Fault::Unreadable));
        let pushes = pushes.collect::<Result<Vec<Push>, Fault>>()?;
        let open = |push: &Push| {
            let waits = matches!(push.state, State::Held | State::Due { .. });
            waits && push.walk != turn.push.walk && push.parts.as_ref().is_some_and(|it| it.open)
        };
        Ok(pushes.into_iter().filter(open).collect())
    }

    /// The records of its open part that a second request would make a second time.
    async fn open_records(
        &self,
        payer: &Payer,
        offer: &Offer,
        push: &Push,
    ) -> Result<BTreeSet<String>, Halt> {
        let payload = push.assembled.as_ref().map(|made| made.payload);
        let payload = match payload {
            Some(digest) => self.house.blob(&digest).await?,
            None => None,
        };
        // What is purged was too old to be sent, and its push cannot go on.
        let Some(payload) = payload else { return Ok(BTreeSet::new()) };
        let load = Load::read(payload)?;
        let so_far = push.parts.clone().unwrap_or_default();
        let terms = &payer.terms.agreement.door;
        let rung = ladder::choose(offer, terms, &so_far.shut.iter().cloned().collect())?;
        let held = self.held(&payer.public.name, &load).await?;
        let refused = refused(&so_far);
        let ground = Ground {
            load: &load,
            rung: &rung,
            terms,
            namespace: &self.setup.namespace,
            held: &held,
            refused: &refused,
            begun: so_far.filed > 0,
            halvings: so_far.halvings,
        };
        let Step::Send(part) = parts::next(&ground) else { return Ok(BTreeSet::new()) };
        // Of single requests some may not have been sent. Whoever died between two of them cannot
        // say which.
        let sent = part.items.iter().filter(|item| !item.repeatable);
        Ok(sent.map(|item| item.name()).collect())
    }
}
