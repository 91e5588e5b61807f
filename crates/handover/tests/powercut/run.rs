//! Run: one house, eight clients, and several ends that nobody chose.
//!
//! Comes in   a seed, and where the house lives.
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
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use testdb::Server;
use wire::TransportError;

/// Where the house lives, and so what can befall it.
pub(crate) enum Under<'s> {
    /// SQLite; its process is killed.
    Kills,
    /// SQLite; its process is killed, and then what was not synced is lost.
    PowerCuts,
    /// PostgreSQL; its process is killed, or the server, or both.
    Server(&'s mut Server),
}

impl Under<'_> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Under::Kills => "SQLite, kills",
            Under::PowerCuts => "SQLite, power cuts",
            Under::Server(_) => "PostgreSQL, kills",
        }
    }
}

/// How a life under load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The process is killed.
    House,
    /// The layer ends the process at a change of its files.
    Layer,
    /// The process is asked to stop, and may be cut off while it signs the end of its ledger.
    Stop,
    /// The database server is killed and starts again; the house has to go on. Then it is killed.
    Server,
    /// The database server and the process are killed.
    Both,
}

/// Lives before the last one.
const LIVES: usize = 5;

/// Changes of files within which the power is cut: several seconds of load.
const CHANGES: usize = 1_500;

/// Changes of files before a new house opens its doors.
const FIRST_OPENING: usize = 140;

/// The same for one that has memories, and some more for what a cut left undone.
const OPENING: usize = 16;

/// Changes of files while an anchor is written, and two more.
const ANCHORING: usize = 7;

/// A house opens its doors by then.
const OPENS: Duration = Duration::from_secs(120);

/// How often a house that is busy is asked again. Nothing depends on it but how soon the test ends.
const AGAIN: Duration = Duration::from_millis(20);

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

struct Run<'s> {
    seed: u64,
    chance: Chance,
    payer: House,
    sender: Arc<Sender>,
    count: Arc<Count>,
    clients: Vec<VecDeque<Step>>,
    grid: Option<Grid>,
    server: Option<&'s mut Server>,
    proved: u64,
    lived: Lived,
    // Last: the folder outlives the process that works in it.
    _place: tempfile::TempDir,
}

/// Lives through a seed; fails with the first thing that is not as it was answered.
pub(crate) fn live(seed: u64, under: Under<'_>) -> Lived {
    let name = under.name();
    let mut run = Run::begin(seed, under);
    for life in 1..=LIVES {
        run.life(&format!("seed {seed} ({name}), life {life}"));
    }
    run.last_life(&format!("seed {seed} ({name}), last life"));
    if let Some(server) = &run.server {
        // A server that starts after a kill syncs all files of all its databases first.
        let drop = format!("DROP DATABASE {} WITH (FORCE)", database(seed));
        server.sql("postgres", &drop);
    }
    run.lived
}

/// What becomes of a client in a life.
enum Stopped {
    Done,
    /// The house is gone.
    Alone,
}

impl<'s> Run<'s> {
    fn begin(seed: u64, under: Under<'s>) -> Run<'s> {
        let place = tempfile::tempdir().unwrap();
        let (payer, hospital, plan) = houses(place.path());
        let sender = Sender::with_keys_of(&hospital, &payer);
        let load = Load::drawn(seed, &sender, &plan.members);
        let cuts = matches!(under, Under::PowerCuts);
        let server = match under {
            Under::Server(server) => Some(server),
            _ => None,
        };
        if let Some(server) = &server {
            move_into(&payer, server, &database(seed));
        }
        let grid = cuts.then(|| Grid::over(&payer.folder, &place.path().join("journal")));
        Run {
            seed,
            chance: Chance::of(seed, "ends"),
            payer,
            sender: Arc::new(sender),
            count: Arc::new(Count::of(&load)),
            clients: load.steps,
            grid,
            server,
            proved: 0,
            lived: Lived::default(),
            _place: place,
        }
    }

    /// A life that is cut off somewhere.
    fn life(&mut self, case: &str) {
        let at_start = self.chance.once_in(if self.lived.ends == 0 { 2 } else { 3 });
        let blow = self.draw_blow();
        // What a killed process has asked of the server may still be carried out: sometimes the
        // next one starts in the midst of that, and nothing is compared.
        let checks = self.server.is_none() || self.chance.once_in(2);
        if checks {
            self.wait_until_calm();
        }
        let mut process = self.start(at_start, !at_start && blow == Blow::Stop);
        let patience = match at_start && self.grid.is_none() {
            true => {
                let most = if self.server.is_some() { 400_000 } else { 60_000 };
                Duration::from_micros(self.chance.below(most) as u64)
            }
            false => OPENS,
        };
        let opened = process.opens_within(patience) == Some(true);
        self.hold_off(0);
        if !opened && at_start && matches!(blow, Blow::Server | Blow::Both) {
            self.lived.ends_at_start += 1;
            return self.end_with_server(process);
        }
        let opened = opened && (!checks || self.check(&mut process, case));
        if !opened {
            self.lived.ends_at_start += 1;
            return self.end(process, case);
        }
        self.load(process, blow, case);
    }

    fn draw_blow(&mut self) -> Blow {
        match (self.server.is_some(), self.grid.is_some(), self.chance.below(6)) {
            (_, _, 0 | 1) => Blow::Stop,
            (_, true, _) => Blow::Layer,
            (true, _, 2 | 3) => Blow::Server,
            (true, _, 4) => Blow::Both,
            _ => Blow::House,
        }
    }

    fn start(&mut self, at_start: bool, at_the_anchor: bool) -> Process {
        let mut environment = Vec::new();
        let within = if self.lived.ends == 0 { FIRST_OPENING } else { OPENING };
        let moment = 1 + self.chance.below(within) as u64;
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

    /// The server is killed while a process starts; that may give up by itself or go on.
    fn end_with_server(&mut self, process: Process) {
        let server = self.server.as_mut().unwrap();
        server.kill();
        server.start_again();
        process.kill();
        self.lived.ends += 1;
    }

    /// Waits until the server has carried out or given up what dead processes asked of it.
    fn wait_until_calm(&mut self) {
        let Some(server) = &self.server else { return };
        let count = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let database = database(self.seed);
        assert!(testdb::wait(|| server.sql(&database, count).trim() == "0"));
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
        self.count.check(&self.payer.memory(), case);
        true
    }

    /// The clients at work, until the end.
    fn load(&mut self, process: Process, blow: Blow, case: &str) {
        let Ok(token) = self.sender.token("system/*.cruds") else {
            return self.end(process, case);
        };
        if blow == Blow::Layer {
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
        let process = self.cut_off(process, &ticks, blow, case);
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
        blow: Blow,
        case: &str,
    ) -> Option<Process> {
        if blow == Blow::Layer {
            // All clients hear of it.
            ticks.iter().for_each(drop);
            return Some(process);
        }
        self.wait_a_while(ticks);
        match blow {
            Blow::Stop => {
                let moment = 1 + self.chance.below(ANCHORING) as u64;
                self.hold_off(moment);
                let said = process.stop();
                let cut = said.code == KILLED && self.grid.is_some();
                assert!(cut || said.code == 0, "{case}: its end is orderly: {}", said.stderr);
            }
            Blow::Server => {
                self.strike_server(|_| ());
                assert!(self.goes_on(ticks), "{case}: it does not recover from its server's end");
                self.wait_a_while(ticks);
                process.kill();
            }
            Blow::Both => self.strike_server(|()| drop(process.kill())),
            Blow::House | Blow::Layer => drop(process.kill()),
        }
        None
    }

    /// Until so many answers have come, and a moment longer; not beyond the end of all clients.
    fn wait_a_while(&mut self, ticks: &mpsc::Receiver<()>) {
        let answers = 1 + self.chance.below(45);
        ticks.iter().take(answers).for_each(drop);
        let end = Instant::now() + Duration::from_micros(self.chance.below(20_000) as u64);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if ticks.recv_timeout(left).is_err() {
                break;
            }
        }
    }

    fn strike_server(&mut self, meanwhile: impl FnOnce(())) {
        let server = self.server.as_mut().unwrap();
        server.kill();
        meanwhile(());
        server.start_again();
    }

    /// Whether somebody is answered again, or all were before.
    fn goes_on(&self, ticks: &mpsc::Receiver<()>) -> bool {
        // Answers from before the end may wait here.
        ticks.try_iter().for_each(drop);
        !matches!(ticks.recv_timeout(OPENS), Err(mpsc::RecvTimeoutError::Timeout))
    }

    /// Nothing ends this one before all clients are done.
    fn last_life(&mut self, case: &str) {
        self.wait_until_calm();
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

/// A plan's house, empty, and a hospital's that may send to it; the plan's members.
pub(crate) fn houses(place: &Path) -> (House, House, Plan) {
    let plan = TownPlan { hospitals: 1, plans: 1, patients_per_hospital: 8, ..TownPlan::default() };
    let plan: Plan = Town::generate(5, &plan).plans.remove(0);
    let hospital = House::provider(&place.join("hospital"), "https://127.0.0.1:1/fhir");
    let payer = House::payer(&place.join("plan"), &plan);
    payer.add_partner(&hospital);
    (payer, hospital, plan)
}

fn database(seed: u64) -> String {
    format!("crash_{seed}")
}

/// Lets a house live in a new database of a server.
pub(crate) fn move_into(payer: &House, server: &Server, database: &str) {
    let url = server.create_database(database);
    let config = payer.read("house.toml");
    payer.write("house.toml", &format!("{config}\n[database]\npostgres = \"{url}\"\n"));
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
    let mut again = tokio::time::interval(AGAIN);
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
        match busy {
            // Whoever waits for it may have gone.
            false => drop(tick.send(())),
            true => drop(again.tick().await),
        }
    }
    (steps, Stopped::Done)
}
