//! Sent: one part out of the door, and what came back, item by item.
//!
//! Comes in   a part whose intent is durable.
//! Goes out   what was said of each item and what that means; why the rest was not answered.
//! Never      writes anything down, and never takes a silence for an answer: whether it is sure that
//!            nothing of the rest was filed is said with it.

use crate::deliver;
use crate::door::{self, Wait};
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::Turn;
use bytes::Bytes;
use exchange::ladder::Carrier;
use exchange::parts::{self, Ground, Item, Part, Said, Verdict};
use exchange::settle::{Answered, Reply};
use fhir::Method;
use jiff::Timestamp;
use std::time::Duration;
use wire::FhirClient;

/// What came of sending a part.
pub(super) struct Outcome {
    /// What was said, item by item, with what it means.
    pub(super) said: Vec<(Item, Said, Verdict)>,
    /// Status and body of the answer, as they came.
    pub(super) raw: (u16, Bytes),
    /// Why the rest was not answered.
    pub(super) stop: Option<Stopped>,
}

/// Why a part was not answered to its end.
pub(super) enum Stopped {
    /// This came instead; `sure`: nothing of the rest was filed.
    Answered { answered: Answered, sure: bool },
    /// The door does these later, and says no outcome.
    Accepted { records: Vec<String>, wait: Option<Duration> },
    /// The door may not be knocked at now.
    Wait(Wait),
    /// The door does not do what its statement promised.
    Unkept { from: String, status: u16 },
}

impl Road {
    /// Sends a part as it is carried, and asks where records are that were filed without a word on
    /// their place.
    pub(super) async fn send(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        part: &Part,
    ) -> Result<Outcome, Halt> {
        let outcome = match part.bundle() {
            Some(bundle) => {
                let client = self.client_for(payer, turn.push.purpose).await?;
                self.send_bundle(payer, &client, part, bundle, turn.now()).await?
            }
            None => self.send_singles(turn, payer, part).await?,
        };
        self.place_all(turn, payer, ground, outcome).await
    }

    async fn send_bundle(
        &self,
        payer: &Payer,
        client: &FhirClient,
        part: &Part,
        bundle: Bytes,
        now: Timestamp,
    ) -> Result<Outcome, Halt> {
        let answered = deliver::send(client, bundle, now).await;
        self.report(payer, door::answered(&answered)).await?;
        let nothing = |answered: Answered, sure| Outcome {
            said: Vec::new(),
            raw: raw(&answered),
            stop: Some(Stopped::Answered { answered, sure }),
        };
        let Answered::Reply(reply) = &answered else {
            let sure = is_sure(&answered);
            return Ok(nothing(answered, sure));
        };
        let status = reply.status;
        if let 404 | 405 | 501 = status {
            let stop = Some(Stopped::Unkept { from: part.carrier.word().to_owned(), status });
            return Ok(Outcome { said: Vec::new(), raw: raw(&answered), stop });
        }
        if status == 202 {
            let writes = part.items.iter().filter(|item| item.method != Method::Delete);
            let records = writes.map(Item::name).collect();
            let stop = Some(Stopped::Accepted { records, wait: reply.retry_after });
            return Ok(Outcome { said: Vec::new(), raw: raw(&answered), stop });
        }
        if let (413, [only]) = (status, part.items.as_slice()) {
            // A record that is too large by itself stays out, and the others go on.
            let said = Said { status, ..Said::default() };
            let said = vec![(only.clone(), said, Verdict::TooLarge)];
            return Ok(Outcome { said, raw: raw(&answered), stop: None });
        }
        let Some(said) = parts::read_bundle(part, &reply.body).filter(|_| status < 300) else {
            let sure = is_sure(&answered);
            return Ok(nothing(answered, sure));
        };
        Ok(judged(part, said, reply.clone()))
    }

    /// Single requests, one after the other, up to the first that brings no word on its record.
    async fn send_singles(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        part: &Part,
    ) -> Result<Outcome, Halt> {
        let client = self.client_for(payer, turn.push.purpose).await?;
        let mut outcome = Outcome { said: Vec::new(), raw: (0, Bytes::new()), stop: None };
        for (nth, item) in part.items.iter().enumerate() {
            if nth > 0 && self.outdated(&turn.push).await?.is_some() {
                // What was answered is written down first; the next part looks anew.
                break;
            }
            if nth > 0 {
                match self.knock(payer, &turn.push).await {
                    Ok(None) => {}
                    Ok(Some(wait)) => {
                        outcome.stop = Some(Stopped::Wait(wait));
                        break;
                    }
                    // What was answered is written down first; the next part meets it again.
                    Err(Halt::Issue(_)) => break,
                    Err(fault) => return Err(fault),
                }
            }
            let (answered, said) = deliver::send_one(&client, item, turn.now()).await;
            self.report(payer, door::answered(&answered)).await?;
            outcome.raw = raw(&answered);
            let verdict = said.as_ref().map_or(Verdict::Unsure, |said| parts::judge(item, said));
            match (verdict, said) {
                (Verdict::Unsure, Some(Said { status: 202, .. })) => {
                    let wait = match &answered {
                        Answered::Reply(reply) => reply.retry_after,
                        _ => None,
                    };
                    let records = vec![item.name()];
                    outcome.stop = Some(Stopped::Accepted { records, wait });
                    break;
                }
                (Verdict::Unsure, _) | (_, None) => {
                    let sure = is_sure(&answered);
                    outcome.stop = Some(Stopped::Answered { answered, sure });
                    break;
                }
                (Verdict::Unkept, Some(said)) => {
                    let from = match part.carrier {
                        Carrier::Collection => part.carrier.word(),
                        _ => item.identity.word(),
                    };
                    let from = from.to_owned();
                    outcome.stop = Some(Stopped::Unkept { from, status: said.status });
                    break;
                }
                (Verdict::Filed(_), Some(said)) if !said.fits(item) => {
                    outcome.stop = Some(Stopped::Answered { answered, sure: false });
                    break;
                }
                (verdict, Some(said)) => outcome.said.push((item.clone(), said, verdict)),
            }
        }
        Ok(outcome)
    }

    /// Asks where records are that were filed without a word on their place.
    async fn place_all(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        mut outcome: Outcome,
    ) -> Result<Outcome, Halt> {
        let unplaced = |(item, _, verdict): &&(Item, Said, Verdict)| {
            let known = ground.held.get(&item.name()).is_some_and(|holding| holding.at.is_some());
            *verdict == Verdict::Filed(None) && item.body.is_some() && !known
        };
        let items: Vec<Item> =
            outcome.said.iter().filter(unplaced).map(|(item, ..)| item.clone()).collect();
        if items.is_empty() {
            return Ok(outcome);
        }
        let places = self.places(turn, payer, ground, &items).await?;
        for (item, said, verdict) in &mut outcome.said {
            if let Some(at) = places.get(&item.name()).filter(|_| *verdict == Verdict::Filed(None))
            {
                *verdict = Verdict::Filed(Some(at.clone()));
                said.location.get_or_insert_with(|| at.clone());
            }
        }
        Ok(outcome)
    }
}

/// Status and body of an answer.
fn raw(answered: &Answered) -> (u16, Bytes) {
    match answered {
        Answered::Reply(reply) => (reply.status, reply.body.clone()),
        _ => (0, Bytes::new()),
    }
}

/// Whether it is sure that nothing was filed.
fn is_sure(answered: &Answered) -> bool {
    match answered {
        Answered::Reply(reply) => matches!(reply.status, 300..=407 | 409..=499),
        Answered::Unknown | Answered::TooLarge => false,
        _ => true,
    }
}

/// A response Bundle, judged entry by entry.
fn judged(part: &Part, said: Vec<Said>, reply: Reply) -> Outcome {
    let raw = (reply.status, reply.body.clone());
    let mut outcome = Outcome { said: Vec::new(), raw, stop: None };
    let mut later = Vec::new();
    for (item, said) in part.items.iter().zip(said) {
        match parts::judge(item, &said) {
            Verdict::Unsure if said.status == 202 => later.push(item.name()),
            Verdict::Unsure => {
                let sure = matches!(said.status, 401 | 425 | 429);
                let answered = Answered::Reply(Reply { status: said.status, ..reply.clone() });
                outcome.stop = Some(Stopped::Answered { answered, sure });
            }
            Verdict::Unkept => {
                let (from, status) = (item.identity.word().to_owned(), said.status);
                outcome.stop.get_or_insert(Stopped::Unkept { from, status });
            }
            verdict => outcome.said.push((item.clone(), said, verdict)),
        }
    }
    if !later.is_empty() {
        outcome.stop = Some(Stopped::Accepted { records: later, wait: reply.retry_after });
    }
    outcome
}
