//! Members: whose histories an export is about, and the Group that stands for them.
//!
//! Comes in   the house's roster (who is watched); pushes that were sent; an export that begins.
//! Goes out   a trigger for everybody on the roster, within one payer; the payer's Group.
//! Never      a patient in the Group of whom the payer has been told nothing: that somebody was seen here
//!            is a disclosure of its own, and only the road decides on those.
//!
//! Why everybody on the roster: *scope* says whose coverage leads to the payer, by the same tables as
//! ever; there is no second list of attribution that could say otherwise. Whom it does not concern has a
//! trigger that led to nothing.

use super::{SendingTurn, read};
use crate::limits::{GATHERED_MAX, PULL_LOOK_MAX, PULL_LOOK_MIN, PULL_READY_MAX, ROSTER_UNIT};
use crate::road::{Halt, Road};
use crate::setup::Payer;
use crate::turn::{self, Fault, Turn};
use crate::watch;
use exchange::id::derived_id;
use exchange::limits::SUBMISSION_PUSHES_MAX;
use exchange::push::lane;
use exchange::query::{Ask, Handling};
use exchange::sending::{Sending, Step};
use exchange::{
    Chain, Code, Event, Issue, PartnerId, Push, State, Subject, SubmissionId, Trigger, TriggerId,
    Who,
};
use repository::{Suspensions, store_issue};
use serde_json::{Value, json};
use store::{House, StoredWork, Unit, WorkKind, WorkQuery};
use wire::{Answer, Caller, Clock as _};

/// In which role a payer asks.
const ROLE: &str = "payer";

impl Road {
    /// `Patient.id` of everybody on the roster, sorted.
    ///
    /// Errors: `TooManyEntries`.
    pub(super) async fn population(&self) -> Result<Vec<String>, Issue> {
        let most = SUBMISSION_PUSHES_MAX;
        let query = WorkQuery {
            kind: Some(WorkKind::Watch),
            states: watch::WATCHED_STATES.iter().map(|state| (*state).to_owned()).collect(),
            limit: most + 1,
            ..WorkQuery::default()
        };
        let rows = self.house.works(query).await.map_err(store_issue)?;
        if rows.len() > most as usize {
            let detail = format!("more than {most} patients are on the roster of this house");
            return Err(Issue::new(Code::TooManyEntries, detail));
        }
        let watched = rows.iter().filter_map(|stored| watch::read(&stored.work));
        let mut patients: Vec<String> = watched.map(|row| row.watch.patient).collect();
        patients.sort();
        Ok(patients)
    }

    /// An export that gathers: each history is asked for, and waited for.
    pub(super) async fn gather_pull(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let payer = self.payer(&turn.sending.payer)?;
        Suspensions::check(&self.house, &payer.public.name).await?;
        if turn.sending.pulled.as_ref().is_some_and(|it| it.members.is_none()) {
            return self.spread(turn).await;
        }
        let moving = self.of_pull(&turn.sending, "due").await?;
        let age = turn.sending.opened.duration_until(turn.now());
        if moving > 0 && age < PULL_READY_MAX {
            let look = (age / 4).clamp(PULL_LOOK_MIN, PULL_LOOK_MAX);
            let until = turn.now().saturating_add(look).unwrap_or(turn.now());
            turn.say(Event::SendingKeptOpen { until });
            return Ok(turn.commit("bulk-waiting").await?);
        }
        let missing = moving + self.of_pull(&turn.sending, "held").await?;
        turn.say(Event::SendingClosed { who: None, missing });
        Ok(turn.commit("bulk-closed").await?)
    }

    /// Asks for everybody's history; what a kill left undone is done then, and nothing twice.
    async fn spread(&self, turn: &mut SendingTurn) -> Result<(), Halt> {
        let members = self.population().await?;
        for some in members.chunks(ROSTER_UNIT) {
            for patient in some {
                let id = self.pull_trigger(&turn.sending, patient);
                if self.house.work(id.as_str()).await?.is_some() {
                    continue;
                }
                let why = "it asked for an export".to_owned();
                let name = turn.sending.payer.to_string();
                let event = Event::Triggered {
                    trigger: id,
                    subject: Subject::Record(format!("Patient/{patient}")),
                    purpose: Some(turn.sending.purpose),
                    who: Who { name, role: ROLE.to_owned(), why },
                    asynchronous: false,
                    pull: Some(turn.sending.id.clone()),
                };
                let trigger = Trigger::begin(turn.now(), &event).ok_or(Fault::Unreadable)?;
                turn.say_besides(Chain::House, event, turn::trigger_row(&trigger));
            }
            turn.commit("pull-spread").await?;
        }
        turn.say(Event::PullSpread { members: members.len() as u64 });
        Ok(turn.commit("pull-spread").await?)
    }

    /// The trigger of a patient in an export: its id begins with the export's.
    fn pull_trigger(&self, sending: &Sending, patient: &str) -> TriggerId {
        let patient = derived_id(&self.setup.namespace, "Patient", patient);
        TriggerId(format!("{}-{}", sending.id, &patient[..16]))
    }

    /// How many triggers and pushes of an export are in this state.
    async fn of_pull(&self, sending: &Sending, state: &str) -> Result<u64, store::Error> {
        let mut found = 0;
        for kind in [WorkKind::Trigger, WorkKind::Push] {
            let query = WorkQuery {
                kind: Some(kind),
                states: vec![state.to_owned()],
                prefix: Some(format!("{}-", sending.id)),
                limit: GATHERED_MAX,
                ..WorkQuery::default()
            };
            found += self.house.works(query).await?.len() as u64;
        }
        Ok(found)
    }

    /// For whom alone a trigger is, where a payer asked for it.
    pub(crate) async fn pulled_for(&self, trigger: &Trigger) -> Result<Option<PartnerId>, Fault> {
        let Some(export) = &trigger.pull else { return Ok(None) };
        let stored = self.house.work(export.as_str()).await?.ok_or(Fault::Unreadable)?;
        Ok(Some(read(&stored.work).ok_or(Fault::Unreadable)?.payer))
    }

    /// *Deliver*, of a push that a payer asked for: into its export, while that gathers.
    pub(crate) async fn join_pull(&self, turn: &mut Turn) -> Result<(), Halt> {
        if let Some(restrictions) = self.outdated(&turn.push).await? {
            return self.look_anew(turn, restrictions).await;
        }
        let trigger = self.trigger_of(&turn.push).await?;
        let Some((stored, export)) = self.gathering(&trigger).await? else {
            return self.unfetched(turn).await;
        };
        turn.expect(stored.unchanged());
        turn.say(Event::Submitted { submission: export });
        Ok(turn.commit("submitted").await?)
    }

    /// The export that a trigger is of, while that gathers.
    pub(crate) async fn gathering(
        &self,
        trigger: &Trigger,
    ) -> Result<Option<(StoredWork, SubmissionId)>, Fault> {
        let export = trigger.pull.clone().ok_or(Fault::Unreadable)?;
        let stored = self.house.work(export.as_str()).await?.ok_or(Fault::Unreadable)?;
        let sending = read(&stored.work).ok_or(Fault::Unreadable)?;
        Ok((sending.step == Step::Gather).then_some((stored, export)))
    }

    /// A push that a payer asked for, and that no export brings to it (any more).
    pub(crate) async fn unfetched(&self, turn: &mut Turn) -> Result<(), Halt> {
        turn.say(Event::Unfetched { issue: not_fetched() });
        Ok(turn.commit("answered").await?)
    }

    fn group_id(&self, payer: &PartnerId) -> String {
        derived_id(&self.setup.namespace, "Group", payer.as_str())
    }

    /// Errors: `ResourceUnknown` for any Group but the payer's own.
    pub(super) fn own_group(&self, payer: &Payer, id: &str) -> Result<(), Issue> {
        let unknown = || Issue::new(Code::ResourceUnknown, "there is no such Group").at("Group");
        (self.group_id(&payer.public.name) == id).then_some(()).ok_or_else(unknown)
    }

    /// `GET Group` and `GET Group/[id]`: the payer's own, and nothing else of this house.
    ///
    /// Errors: `ScopeMissing`, `ResourceUnknown`, `InteractionUnsupported`, `ParameterUnsupported`.
    pub async fn pull_asks(&self, caller: &Caller, ask: Ask<'_>) -> Result<Answer, Issue> {
        let not_here = || {
            let detail = "this door gives the caller's own Group, and nothing else";
            Issue::new(Code::InteractionUnsupported, detail)
        };
        if !matches!(ask, Ask::Read { kind: "Group", .. } | Ask::Search { kind: "Group", .. }) {
            return Err(not_here());
        }
        let payer = self.puller(caller)?;
        Suspensions::check(&self.house, &payer.public.name).await?;
        let body = match ask {
            Ask::Read { kind: "Group", id } => {
                self.own_group(payer, id)?;
                self.group(payer).await?
            }
            Ask::Search { kind: "Group", parameters, handling } => {
                let unknown = parameters.iter().find(|(name, _)| name != "_id");
                if let Some((name, _)) = unknown.filter(|_| handling == Handling::Strict) {
                    return Err(exchange::export::parameters::unsupported(name));
                }
                let group = self.group(payer).await?;
                let asked = parameters.iter().filter(|(name, _)| name == "_id");
                let fits = asked.into_iter().all(|(_, id)| group["id"] == id.as_str());
                self.searchset(fits.then_some(group))
            }
            _ => return Err(not_here()),
        };
        self.note_looked(&payer.public.name).await?;
        Ok(Answer::new(200, body.to_string()))
    }

    fn searchset(&self, group: Option<Value>) -> Value {
        let base = &self.setup.base_url;
        let entry = |group: &Value| {
            let url = format!("{base}/Group/{}", group["id"].as_str().unwrap_or_default());
            json!({ "fullUrl": url, "resource": group, "search": { "mode": "match" } })
        };
        let entries: Vec<Value> = group.iter().map(entry).collect();
        let mut bundle = json!({ "resourceType": "Bundle", "type": "searchset",
            "total": entries.len(),
            "link": [{ "relation": "self", "url": format!("{base}/Group") }] });
        if !entries.is_empty() {
            bundle["entry"] = entries.into();
        }
        bundle
    }

    /// The Group of a payer: who is on the roster, and of whom the payer has been told before.
    async fn group(&self, payer: &Payer) -> Result<Value, Issue> {
        let name = &payer.public.name;
        let mut told = Vec::new();
        for patient in self.population().await? {
            if self.is_told_of(name, &patient).await? {
                told.push(patient);
            }
        }
        let member = |patient: &String| {
            let id = derived_id(&self.setup.namespace, "Patient", patient);
            json!({ "entity": { "reference": format!("Patient/{id}") } })
        };
        let members: Vec<Value> = told.iter().map(member).collect();
        let mut group = json!({ "resourceType": "Group", "id": self.group_id(name),
            "active": true, "type": "person", "actual": true,
            "name": format!("Patients of {} whose coverage leads to {name}", self.setup.title) });
        if !members.is_empty() {
            group["member"] = members.into();
        }
        Ok(group)
    }

    /// Whether the payer has been told of a patient, and that stands. Each patient's pushes are looked
    /// through by themselves: however many there are to this payer, nobody's are out of sight.
    ///
    /// Errors: `InternalError` where they cannot be looked through; those of the store.
    async fn is_told_of(&self, payer: &PartnerId, patient: &str) -> Result<bool, Issue> {
        let pushes = self.in_lane(lane(payer, patient)).await.map_err(|fault| match fault {
            Fault::Store(error) => store_issue(error),
            _ => Issue::new(Code::InternalError, "a patient's pushes cannot be looked through"),
        })?;
        let settled = pushes.iter().filter(|push| matches!(push.state, State::Settled { .. }));
        let latest = settled.max_by_key(|push| (number(push), tells(push)));
        Ok(latest.is_some_and(tells))
    }

    /// Who was told who its members are is written down before it is.
    async fn note_looked(&self, payer: &PartnerId) -> Result<(), Issue> {
        let why = "it asked for its Group".to_owned();
        let who = Who { name: payer.to_string(), role: ROLE.to_owned(), why };
        let looked = Event::Looked { who, subject: "Group".to_owned() };
        let lines = vec![(Chain::House, looked)];
        let unit = Unit { at: self.clock.now(), lines, ..Unit::default() };
        self.house.commit(unit).await.map(drop).map_err(store_issue)
    }
}

fn number(push: &Push) -> u64 {
    push.assembled.as_ref().map_or(0, |made| made.number)
}

/// Whether it gave records, and no person has taken it back.
fn tells(push: &Push) -> bool {
    let shaped = push.assembled.as_ref().is_some_and(|made| made.restrictions.is_some());
    shaped && push.withdraws.is_none() && push.withdrawn_by.is_none()
}

/// Why a push that a payer asked for came to nothing.
pub(super) fn not_fetched() -> Issue {
    let detail = "the export that it was for is over, and the payer did not fetch it";
    Issue::new(Code::ExportUnfetched, detail)
}
