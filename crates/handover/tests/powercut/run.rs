//! Run: one house, eight clients, and several ends that nobody chose.
//!
//! Comes in   a seed, and what the ends are like: a kill, or a power cut as well.
//! Goes out   what was lived through, in numbers.
//! Never      takes longer than its clients have to send: each life is cut off, the last one is not.

use crate::chance::Chance;
use crate::common::{House, Process, RUNTIME};
use crate::count::{Count, proved};
use crate::cut::{Grid, Lost};
use crate::load::{Load, Request, Step};
use crate::sender::{FHIR_JSON, Sender, Told};
use futures_util::future::join_all;
use sim::town::Plan;
use sim::{Town, TownPlan};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use store::AnyHouse;
use wire::TransportError;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// SIGKILL at any moment.
    Kills,
    /// SIGKILL, and then what was not synced is lost.
    PowerCuts,
}

/// Lives before the last one.
const LIVES: usize = 5;

/// Changes of files within which the power is cut: several seconds of load.
const CHANGES: usize = 1_500;

/// Changes of files while an anchor is written, and two more.
const ANCHORING: usize = 7;

/// A house opens its doors by then.
const OPENS: Duration = Duration::from_secs(120);

/// What the code of a process is that a signal ended.
const KILLED: i32 = -1;

/// What a run lived through.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Lived {
    /// Requests that were answered.
    pub(crate) answered: usize,
    /// Those of them that were answered before the last life.
    pub(crate) answered_before: usize,
    /// How often requests were on their way when the end came.
    pub(crate) cut_short: usize,
    /// How often the house was ended.
    pub(crate) ends: usize,
    /// How often of these before its doors were open.
    pub(crate) ends_at_start: usize,
    /// What the cuts took.
    pub(crate) lost: Lost,
}

impl std::ops::AddAssign for Lived {
    fn add_assign(&mut self, other: Lived) {
        self.answered += other.answered;
        self.answered_before += other.answered_before;
        self.cut_short += other.cut_short;
        self.ends += other.ends;
        self.ends_at_start += other.ends_at_start;
        self.lost += other.lost;
    }
}

struct Run {
    seed: u64,
    chance: Chance,
    payer: House,
    sender: Arc<Sender>,
    count: Arc<Count>,
    clients: Vec<VecDeque<Step>>,
    grid: Option<Grid>,
    proved: u64,
    lived: Lived,
    // Last: the folder outlives the process that works in it.
    _place: tempfile::TempDir,
}

/// Lives through a seed; fails with the first thing that is not as it was answered.
pub(crate) fn live(seed: u64, ends: Ends) -> Lived {
    let mut run = Run::begin(seed, ends);
    for life in 1..=LIVES {
        run.life(&format!("seed {seed} ({ends:?}), life {life}"));
    }
    run.last_life(&format!("seed {seed} ({ends:?}), last life"));
    run.lived
}

/// What becomes of a client in a life.
enum Stopped {
    Done,
    /// The house is gone.
    Alone,
}

impl Run {
    fn begin(seed: u64, ends: Ends) -> Run {
        let place = tempfile::tempdir().unwrap();
        let plan =
            TownPlan { hospitals: 1, plans: 1, patients_per_hospital: 8, ..TownPlan::default() };
        let plan: Plan = Town::generate(5, &plan).plans.remove(0);
        let hospital = House::provider(&place.path().join("hospital"), "https://127.0.0.1:1/fhir");
        let payer = House::payer(&place.path().join("plan"), &plan);
        payer.add_partner(&hospital);
        let sender = Sender::with_keys_of(&hospital, &payer);
        let load = Load::drawn(seed, &sender, &plan.members);
        let grid = (ends == Ends::PowerCuts)
            .then(|| Grid::over(&payer.folder, &place.path().join("journal")));
        Run {
            seed,
            chance: Chance::of(seed, "ends"),
            payer,
            sender: Arc::new(sender),
            count: Arc::new(Count::of(&load)),
            clients: load.steps,
            grid,
            proved: 0,
            lived: Lived::default(),
            _place: place,
        }
    }

    /// A life that is cut off somewhere.
    fn life(&mut self, case: &str) {
        let at_start = self.chance.once_in(3);
        let at_the_anchor = !at_start && self.chance.once_in(3);
        let mut process = self.start(at_start, at_the_anchor);
        let patience = match at_start && self.grid.is_none() {
            true => Duration::from_micros(self.chance.below(250_000) as u64),
            false => OPENS,
        };
        let opened = process.opens_within(patience) == Some(true);
        self.hold_off(0);
        let opened = opened && self.check(&mut process, case);
        if !opened {
            self.lived.ends_at_start += 1;
            return self.end(process, case);
        }
        self.load(process, at_the_anchor, case);
    }

    fn start(&mut self, at_start: bool, at_the_anchor: bool) -> Process {
        let mut environment = Vec::new();
        let moment = 1 + self.chance.below(90) as u64;
        if let Some(grid) = &mut self.grid {
            environment = grid.environment(if at_the_anchor { "ledger.anchor" } else { "" });
            grid.cut_after(if at_start { moment } else { 0 });
        }
        environment.push(("HANDOVER_LOG".to_owned(), self.payer.log.clone()));
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let folder = self.payer.folder.to_str().unwrap();
        Process::start(&["--house", folder, "serve", "--tethered"], &environment)
    }

    fn hold_off(&self, changes: u64) {
        if let Some(grid) = &self.grid {
            grid.cut_after(changes);
        }
    }

    /// The process is dead, by its own hand or by ours. So may be the power.
    fn end(&mut self, process: Process, case: &str) {
        let said = process.kill();
        assert_eq!(said.code, KILLED, "{case}: it ended by itself: {}", said.stderr);
        self.lived.ends += 1;
        if let Some(grid) = &mut self.grid
            && !self.chance.once_in(5)
        {
            self.lived.lost += grid.play(&mut self.chance);
        }
    }

    /// Compares what the house remembers with the count; `false` when it has ended meanwhile.
    fn check(&mut self, process: &mut Process, case: &str) -> bool {
        let (code, reply) = self.payer.json(&["ledger", "verify"]);
        if code != 0 && !process.runs() {
            return false;
        }
        let proved = proved(code, &reply, case);
        assert!(proved >= self.proved, "{case}: what was proved stays proved");
        self.proved = proved;
        self.count.check(&AnyHouse::from(self.payer.memory()), case);
        true
    }

    /// The clients at work, until the end.
    fn load(&mut self, process: Process, at_the_anchor: bool, case: &str) {
        let Ok(token) = self.sender.token("system/*.cruds") else {
            return self.end(process, case);
        };
        if !at_the_anchor {
            let moment = 1 + self.chance.below(CHANGES) as u64;
            self.hold_off(moment);
        }
        let (tick, ticks) = mpsc::channel();
        let clients: Vec<_> = std::mem::take(&mut self.clients)
            .into_iter()
            .map(|steps| {
                let (sender, count) = (Arc::clone(&self.sender), Arc::clone(&self.count));
                RUNTIME.spawn(work(steps, sender, token.clone(), count, tick.clone()))
            })
            .collect();
        drop(tick);
        let process = self.cut_off(process, &ticks, at_the_anchor);
        let clients = RUNTIME.block_on(join_all(clients));
        for client in clients {
            let (steps, stopped) = client.unwrap();
            self.lived.cut_short += usize::from(matches!(stopped, Stopped::Alone));
            self.clients.push(steps);
        }
        match process {
            Some(process) => self.end(process, case),
            None => {
                self.lived.ends += 1;
                if let Some(grid) = &mut self.grid {
                    self.lived.lost += grid.play(&mut self.chance);
                }
            }
        }
        self.lived.answered_before = self.count.answered();
    }

    /// Waits for the moment of the end. The process, unless it is reaped already.
    fn cut_off(
        &mut self,
        process: Process,
        ticks: &mpsc::Receiver<()>,
        at_the_anchor: bool,
    ) -> Option<Process> {
        let answers = 1 + self.chance.below(45);
        match (self.grid.is_some(), at_the_anchor) {
            // An orderly stop signs the end of the ledger: the end comes in the midst of that.
            (_, true) => {
                ticks.iter().take(answers).for_each(drop);
                let moment = 1 + self.chance.below(ANCHORING) as u64;
                self.hold_off(moment);
                drop(process.stop());
                None
            }
            // The layer ends it; all clients hear of that.
            (true, false) => {
                ticks.iter().for_each(drop);
                Some(process)
            }
            (false, false) => {
                ticks.iter().take(answers).for_each(drop);
                let pause = Duration::from_micros(self.chance.below(20_000) as u64);
                let end = std::time::Instant::now() + pause;
                while let Some(left) = end.checked_duration_since(std::time::Instant::now()) {
                    if ticks.recv_timeout(left).is_err() {
                        break;
                    }
                }
                process.kill();
                None
            }
        }
    }

    /// Nothing ends this one before all clients are done.
    fn last_life(&mut self, case: &str) {
        let mut process = self.start(false, false);
        assert_eq!(process.opens_within(OPENS), Some(true), "{case}: {}", process.stderr());
        assert!(self.check(&mut process, case));
        let token = self.sender.token("system/*.cruds").unwrap();
        let (tick, ticks) = mpsc::channel();
        let clients = std::mem::take(&mut self.clients).into_iter().map(|steps| {
            let (sender, count) = (Arc::clone(&self.sender), Arc::clone(&self.count));
            work(steps, sender, token.clone(), count, tick.clone())
        });
        for (steps, stopped) in RUNTIME.block_on(join_all(clients)) {
            assert!(
                matches!(stopped, Stopped::Done) && steps.is_empty(),
                "{case}: not all is sent"
            );
        }
        drop(ticks);
        self.repeat_all(&token, case);
        assert!(self.check(&mut process, case));
        let said = process.stop();
        assert_eq!(said.code, 0, "{case}: it stops in the orderly way: {}", said.stderr);
        let (code, reply) = self.payer.json(&["ledger", "verify"]);
        assert_eq!(proved(code, &reply, case), reply["last"].as_u64().unwrap(), "{case}");
        self.lived.answered = self.count.answered();
    }

    /// Whatever has a key is answered as it was the first time.
    fn repeat_all(&self, token: &str, case: &str) {
        let mut draw = 0;
        let mut seen = std::collections::HashSet::new();
        while let Some(request) = self.count.answered_before(draw)
            && seen.insert(request.number)
        {
            let told = RUNTIME.block_on(send(&self.sender, token, &request));
            let told = told.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(self.count.hears(&request, told), "{case}: one alone finds nobody busy");
            draw += 1;
        }
        assert!(!seen.is_empty(), "{case}, seed {}", self.seed);
    }
}

/// One Bundle, sent as it should be.
pub(crate) async fn send(
    sender: &Sender,
    token: &str,
    request: &Request,
) -> Result<Told, TransportError> {
    let builder = sender.request("POST", "", token).header("content-type", FHIR_JSON);
    sender.attempt(builder.body(request.body.clone()).unwrap()).await
}

/// One client: step after step, until all are done or the house is gone. What was sent and not
/// answered is sent again in the next life, if it has a key; else it is left as it is.
async fn work(
    mut steps: VecDeque<Step>,
    sender: Arc<Sender>,
    token: String,
    count: Arc<Count>,
    tick: mpsc::Sender<()>,
) -> (VecDeque<Step>, Stopped) {
    while let Some(step) = steps.front().cloned() {
        let (request, twice) = match step {
            Step::Send(request) => (request, false),
            Step::Twice(request) => (request, true),
            Step::Again(draw) => match count.answered_before(draw) {
                Some(request) => (request, false),
                None => {
                    steps.pop_front();
                    continue;
                }
            },
        };
        count.sends(&request);
        let one = || send(&sender, &token, &request);
        let told = match twice {
            true => join_all([one(), one()]).await,
            false => vec![one().await],
        };
        let (mut alone, mut busy) = (false, false);
        for told in told {
            match told {
                Ok(told) => busy |= !count.hears(&request, told),
                Err(_) => alone = true,
            }
        }
        if !busy && !alone || !request.key {
            steps.pop_front();
        }
        if alone {
            return (steps, Stopped::Alone);
        }
        if !busy {
            // Whoever waits for it may have gone.
            tick.send(()).ok();
        }
    }
    (steps, Stopped::Done)
}
