//! Day: both houses at work, and somebody who asks them for things and starts them again.
//!
//! Comes in   what is asked in the course of a day; where a house is to halt.
//! Goes out   the houses at rest, whatever happened to them on the way.
//! Never      asks twice for what was recorded: like a person at a desk, who looks before asking
//!            again.

use crate::common::{House, RUNTIME, Stage, who};
use crate::outcome::{all_pushes, all_submissions, works};
use exchange::desk::{Command, Reply};
use exchange::submission::SubmissionState;
use exchange::{Issue, Push, State};
use handover::{caller, house};
use serde_json::Value;
use sim::{Town, TownPlan};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::WorkKind;
use wire::FhirClient;

/// What has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the houses are looked at. Nothing depends on it but how soon the test ends.
const LOOK: Duration = Duration::from_millis(3);

/// Which house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Provider,
    Payer,
}

/// Both houses, at work.
pub(crate) struct Day {
    pub(crate) stage: Stage,
    pub(crate) town: Town,
    clients: [Arc<FhirClient>; 2],
    /// How often a house was found halted, ended and started again.
    pub(crate) halts: u32,
    storm: Option<Storm>,
}

/// Ends houses at random moments.
struct Storm {
    state: u64,
    left: u32,
}

impl Storm {
    /// Which house is struck now, if any: about one look in ten.
    fn strikes(&mut self) -> Option<Role> {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let drawn = self.state >> 33;
        if self.left == 0 || !drawn.is_multiple_of(10) {
            return None;
        }
        self.left -= 1;
        Some(if drawn.is_multiple_of(20) { Role::Provider } else { Role::Payer })
    }
}

impl Day {
    /// A day in a town of one hospital and one plan. `halt` names a house and the point it halts
    /// at, as `HANDOVER_HALT_AFTER` has it.
    pub(crate) fn begin(patients: usize, halt: Option<(Role, &str)>) -> Day {
        let mut day = Day::dawn(patients, |_| ());
        let halting = |role| halt.filter(|(halting, _)| *halting == role).map(|(_, point)| point);
        serve(day.house(Role::Payer), halting(Role::Payer));
        serve(day.house(Role::Provider), halting(Role::Provider));
        day
    }

    /// The same before the houses are at work; the stage may still be changed.
    pub(crate) fn dawn(patients: usize, change: impl FnOnce(&Stage)) -> Day {
        let plan = TownPlan {
            hospitals: 1,
            plans: 1,
            patients_per_hospital: patients,
            ..TownPlan::default()
        };
        let (stage, town) = Stage::of_town(7, &plan);
        change(&stage);
        let client =
            |house: &House| Arc::new(house::operator_client(&house.config(), PATIENCE).unwrap());
        let clients = [client(&stage.provider), client(&stage.payers[0])];
        Day { stage, town, clients, halts: 0, storm: None }
    }

    /// From now on houses are ended and started again at moments that nobody chose, so many times.
    pub(crate) fn let_storm_rise(&mut self, seed: u64, times: u32) {
        self.storm = Some(Storm { state: seed, left: times });
    }

    pub(crate) fn is_stormy(&self) -> bool {
        self.storm.as_ref().is_some_and(|storm| storm.left > 0)
    }

    pub(crate) fn house(&mut self, role: Role) -> &mut House {
        match role {
            Role::Provider => &mut self.stage.provider,
            Role::Payer => &mut self.stage.payers[0],
        }
    }

    /// The n-th finished encounter of a patient.
    pub(crate) fn encounter(&self, patient: usize, number: usize) -> String {
        let reference = self.town.hospitals[0].patients[patient].reference();
        let encounters = self.stage.chart.of_kind("Encounter").iter().filter(|encounter| {
            let value: Value = serde_json::from_slice(&encounter.bytes).unwrap();
            value["status"] == "finished" && value["subject"]["reference"] == reference.as_str()
        });
        encounters.map(|encounter| encounter.id.clone()).nth(number).unwrap()
    }

    // ---- what is asked ------------------------------------------------------------------------

    /// Somebody pushes an encounter, and asks again if nothing came of it.
    pub(crate) fn push(&mut self, encounter: &str) {
        let command = Command::Push {
            subject: encounter.to_owned(),
            purpose: None,
            who: who("the encounter has ended"),
            wait: 0,
            asynchronous: false,
        };
        self.trigger(&command);
    }

    /// Somebody takes the last push of an encounter back.
    pub(crate) fn withdraw(&mut self, encounter: &str) {
        let subject = format!("Encounter/{encounter}");
        let mut pushes = all_pushes(&self.stage.provider);
        pushes.retain(|push| push.dossier.subject == subject && push.sent);
        let id = pushes.last().unwrap().walk.to_string();
        self.trigger(&Command::Withdraw { id, who: who("a wrong patient"), wait: 0 });
    }

    /// Somebody pushes an encounter, and the provider halts over it.
    pub(crate) fn push_until_halted(&mut self, encounter: &str) {
        let command = Command::Push {
            subject: encounter.to_owned(),
            purpose: None,
            who: who("the encounter has ended"),
            wait: 0,
            asynchronous: false,
        };
        let client = Arc::clone(&self.clients[Role::Provider as usize]);
        let answer = RUNTIME.spawn(async move { caller::ask(&client, &command).await });
        self.stage.provider.process().wait_halted();
        answer.abort();
    }

    /// The n-th push of the provider, as it lies in its folder.
    pub(crate) fn row(&self, number: usize) -> Option<Push> {
        all_pushes(&self.stage.provider).into_iter().nth(number)
    }

    fn trigger(&mut self, command: &Command) {
        let before = works(&self.stage.provider, WorkKind::Trigger).len();
        loop {
            let answer = self.ask(Role::Provider, command);
            if works(&self.stage.provider, WorkKind::Trigger).len() > before {
                return;
            }
            assert!(answer.is_none(), "nothing was recorded: {answer:?}");
        }
    }

    /// Somebody lets every held push of the provider go on.
    pub(crate) fn release(&mut self) {
        loop {
            let mut held = all_pushes(&self.stage.provider);
            held.retain(|push| push.state == State::Held);
            let Some(push) = held.first() else { return };
            let (id, who) = (push.walk.to_string(), who("the cause is mended"));
            self.ask(Role::Provider, &Command::Release { id, who, member: None });
        }
    }

    /// Somebody at the plan lets every held submission go on.
    pub(crate) fn release_at_payer(&mut self) {
        loop {
            let mut held = all_submissions(&self.stage.payers[0]);
            held.retain(|submission| submission.state == SubmissionState::Held);
            let Some(submission) = held.first() else { return };
            let (id, who) = (submission.id.to_string(), who("the member was found"));
            self.ask(Role::Payer, &Command::Release { id, who, member: None });
        }
    }

    /// Asks a running house; none when it was ended before it answered.
    fn ask(&mut self, role: Role, command: &Command) -> Option<Result<Reply, Issue>> {
        let client = Arc::clone(&self.clients[role as usize]);
        let (command, halts) = (command.clone(), self.halts);
        let answer = RUNTIME.spawn(async move { caller::ask(&client, &command).await });
        self.until("an answer", |_| answer.is_finished());
        let answer = RUNTIME.block_on(answer).unwrap();
        (answer.is_ok() || self.halts == halts).then_some(answer)
    }

    // ---- what happens meanwhile ---------------------------------------------------------------

    /// Waits for something, while whoever runs the houses starts those again that have halted.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Day) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "waited for {what} in vain");
            self.restart_halted();
            std::thread::park_timeout(LOOK);
        }
    }

    fn restart_halted(&mut self) {
        let struck = self.storm.as_mut().and_then(Storm::strikes);
        for role in [Role::Provider, Role::Payer] {
            let house = self.house(role);
            if !house.is_running() {
                continue;
            }
            if struck == Some(role) || house.process().stderr().contains("halted after ") {
                house.kill();
                house.serve();
                self.halts += 1;
            }
        }
    }

    /// Until no clock has work in either house, and whoever asked has been told.
    pub(crate) fn rest(&mut self) {
        self.until("rest", |day| {
            let kinds = [WorkKind::Trigger, WorkKind::Push];
            let mut rows = kinds.into_iter().flat_map(|kind| works(&day.stage.provider, kind));
            rows.all(|row| row.work.due.is_none())
        });
    }

    /// Stops both houses in the orderly way, and has them prove their ledgers to the end.
    pub(crate) fn end(&mut self) {
        self.stage.stop();
        for house in [&self.stage.provider, &self.stage.payers[0]] {
            let (code, reply) = house.json(&["ledger", "verify"]);
            assert_eq!((code, &reply["broken"]), (0, &Value::Null), "{}: {reply}", house.name);
            assert_eq!(reply["proved_to"], reply["last"], "{}: {reply}", house.name);
        }
    }

    /// Takes the table of restrictions away and gives back what it said.
    pub(crate) fn take_restrictions(&self) -> String {
        let table = self.stage.provider.read("restrictions.toml");
        fs::remove_file(self.stage.provider.folder.join("restrictions.toml")).unwrap();
        table
    }
}

fn serve(house: &mut House, halt: Option<&str>) {
    match halt {
        Some(point) => house.serve_with(&[("HANDOVER_HALT_AFTER", point)]),
        None => house.serve(),
    }
}
