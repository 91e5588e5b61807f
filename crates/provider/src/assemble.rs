//! Assemble: from what may travel to a stored payload with a number; or to the word that nothing goes.
//!
//! Comes in   a disclosure, or a push that is to be taken back; the dossier's other revisions.
//! Goes out   one unit: the payload, its number and digest, every decision and finding; older revisions
//!            that waited give way in it.
//! Never      a number for what is not sent, and never a second push of what the latest holds.

use crate::revisions::{Records, same_as_latest, supersede};
use crate::road::{Halt, Road};
use crate::turn::{Fault, Turn};
use crate::usable::Usable;
use crate::withdraw::{self, NO_LONGER, WITHDRAWN};
use exchange::agreement::PULL;
use exchange::assemble::{self, Envelope, Payload};
use exchange::shape::{self, Audience, Collected};
use exchange::{Code, Digest, Disclosure, Event, Issue, Push, Trigger, Withholding};
use jiff::Timestamp;
use store::{Expect, House, StoredWork};

impl Road {
    /// *Assemble*: edits, the comparison with the last revision, number and Bundle.
    pub(crate) async fn assemble(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        audience: &Audience<'_>,
        collected: &Collected,
        disclosure: Disclosure,
        as_of: Timestamp,
    ) -> Result<(), Halt> {
        let namespace = &self.setup.namespace;
        let shaped = assemble::edit(&disclosure, namespace, audience.source_base)?;
        if let Some(outside) = shaped.outside.first() {
            let detail = "a reference to something that does not travel was left standing";
            return Err(Issue::new(Code::InternalError, detail).at(&outside.expression).into());
        }
        let rows = disclosure.rows(&collected.notes);
        let decisions = turn.keep(serde_json::to_vec(&rows).unwrap_or_default());
        let stays = withdraw::stays_in_every_push(&disclosure, namespace);
        let dossier = turn.push.dossier.clone();
        if let Some(issue) = shape::nothing_travels(&disclosure, &dossier.patient, &dossier.subject)
        {
            let rest = (shaped.withheld, decisions);
            return self.nothing_travels(turn, trigger, rest, &stays, issue).await;
        }
        let revisions = self.revisions(&turn.push).await?;
        // What a payer asks for it is given, whatever it holds already.
        let pulled = turn.push.mode == PULL;
        if let Some(push) = same_as_latest(&revisions, &shaped).filter(|_| !pulled) {
            turn.say(Event::Unchanged { push });
            return Ok(turn.commit("unchanged").await?);
        }
        let usable = Usable::of(&disclosure, audience);
        let number = self.next_number(turn).await?;
        let offer = self.charts.source().offer().await?;
        let spared = withdraw::spared(&disclosure, collected, audience, namespace, offer);
        let gone = self.no_longer_held(&turn.push, &shaped, &spared, &stays).await?;
        let envelope = Envelope { as_of, ..self.envelope(&turn.push, number, trigger.at) };
        let payload = assemble::bundle(&shaped, &gone, &envelope);
        turn.shaped_by = Some(self.mark(audience.purpose, &dossier.payer, audience.restrictions));
        self.store_push(turn, &revisions, payload, decisions, usable).await
    }

    /// The same for a withdrawal: nothing is read and nothing shaped; there is something to take
    /// back, or there is not.
    pub(crate) async fn assemble_withdrawal(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
    ) -> Result<(), Halt> {
        let decisions = turn.keep("[]");
        let number = self.next_number(turn).await?;
        let push = turn.push.clone();
        let envelope = self.envelope(&push, number, trigger.at);
        let revisions = self.revisions(&push).await?;
        match self.withdrawal(&push, &Records::new(), WITHDRAWN, &envelope).await? {
            Some(payload) => {
                let usable = Usable::default();
                self.store_push(turn, &revisions, payload, decisions, usable).await
            }
            None => {
                supersede(turn, &revisions)?;
                let issue = Issue::new(Code::AllWithheld, "nothing of it had been sent");
                turn.say(Event::Withheld { withheld: Vec::new(), disclosure: decisions, issue });
                Ok(turn.commit("withheld").await?)
            }
        }
    }

    /// Nothing may travel (any more): what earlier revisions sent is taken back; where nothing was
    /// sent, or it was taken back already, the walk ends. What `stays` in every push goes whichever
    /// dossier brought it as well.
    pub(crate) async fn nothing_travels(
        &self,
        turn: &mut Turn,
        trigger: &Trigger,
        (withheld, disclosure): (Vec<Withholding>, Digest),
        stays: &Records,
        issue: Issue,
    ) -> Result<(), Halt> {
        let push = turn.push.clone();
        let revisions = self.revisions(&push).await?;
        if self.stands(&revisions).await? {
            let number = self.next_number(turn).await?;
            let envelope = self.envelope(&push, number, trigger.at);
            if let Some(payload) = self.withdrawal(&push, stays, NO_LONGER, &envelope).await? {
                let payload = Payload { withheld, ..payload };
                let usable = Usable::default();
                return self.store_push(turn, &revisions, payload, disclosure, usable).await;
            }
        }
        // What an older revision still holds may not go either.
        supersede(turn, &revisions)?;
        turn.say(Event::Withheld { withheld, disclosure, issue });
        Ok(turn.commit("withheld").await?)
    }

    /// The payload becomes durable, and older revisions that still waited give way.
    async fn store_push(
        &self,
        turn: &mut Turn,
        revisions: &[(StoredWork, Push)],
        payload: Payload,
        disclosure: Digest,
        usable: Usable,
    ) -> Result<(), Halt> {
        supersede(turn, revisions)?;
        let kept = turn.keep(payload.bytes);
        let findings = usable.keep(turn);
        turn.say(Event::Assembled {
            push: payload.push,
            number: payload.number,
            digest: payload.digest,
            payload: kept,
            disclosure,
            resources: payload.contents.len() as u64,
            withheld: payload.withheld,
            findings,
            restrictions: turn.shaped_by,
        });
        usable.hold(turn);
        Ok(turn.commit("assembled").await?)
    }

    /// The next number of the lane; the unit is stale when somebody else takes it first.
    async fn next_number(&self, turn: &mut Turn) -> Result<u64, Fault> {
        let lane = turn.push.dossier.lane();
        let number = self.house.lane_number(&lane).await?;
        turn.expect(Expect::LaneNumber { lane, number });
        Ok(number + 1)
    }

    fn envelope(&self, push: &Push, number: u64, recorded: Timestamp) -> Envelope<'_> {
        Envelope {
            namespace: &self.setup.namespace,
            number,
            purpose: push.purpose,
            recorded,
            as_of: recorded,
            sender_name: &self.setup.title,
            software_version: self.setup.version,
        }
    }
}
