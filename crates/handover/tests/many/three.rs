//! Three processes push for five hundred patients. One is killed, one is stopped until its leases
//! have passed on and then goes on, the database is started again; the end is that of one process
//! that nothing happened to.

use crate::common::{House, Process, RUNTIME, Stage, free_address, who};
use exchange::desk::Command;
use exchange::{Chain, Digest, Entry, Event, Push, WalkId};
use handover::{caller, house};
use sim::TownPlan;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use store::{House as _, WorkKind};
use testdb::Server;
use tokio::task::JoinHandle;

const PATIENTS: usize = 500;

/// By then everything has ended, on the slowest machine: leases take a minute to pass on.
const PATIENCE: Duration = Duration::from_secs(600);

fn stage() -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: PATIENTS,
        encounters_per_patient: 1..=2,
    };
    let stage = Stage::of_town(11, &plan).0;
    // Nobody is there to look for a member who is not found.
    stage.payers[0].replace("agreements/hospital.toml", "\"hold\"", "\"refuse\"");
    stage
}

/// Asks for a push of each encounter, and waits for none. Asked again where the house could not say
/// that it has taken it: a second push of the same is unchanged, and ends so.
fn ask_for(stage: &Stage, encounters: &[String]) -> JoinHandle<()> {
    let client = house::operator_client(&stage.provider.config(), PATIENCE).unwrap();
    let encounters = encounters.to_vec();
    RUNTIME.spawn(async move {
        for encounter in encounters {
            let why = who("a test pushes");
            let command = Command::Push {
                subject: encounter,
                purpose: None,
                who: why,
                wait: 0,
                asynchronous: false,
            };
            while caller::ask(&client, &command).await.is_err() {
                tokio::task::yield_now().await;
            }
        }
    })
}

/// How many pushes have ended, and how many there are of everything.
fn ended(provider: &House) -> (usize, usize) {
    let counts = RUNTIME.block_on(provider.memory().work_counts()).unwrap();
    let all = counts.iter().map(|(_, count)| count).sum::<u64>();
    let open = counts.iter().filter(|(state, _)| state == "due").map(|(_, count)| count);
    (usize::try_from(all - open.sum::<u64>()).unwrap(), usize::try_from(all).unwrap())
}

fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        // Not a guess at how long it takes: what is waited for is looked at again.
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn wait_for_the_end(stage: &Stage) {
    wait_until("everything has ended", || {
        let (ended, all) = ended(&stage.provider);
        ended == all && all >= 2 * stage.finished().len()
    });
}

/// What the payer holds, newest versions, without the times and numbers in Provenances.
fn filed(payer: &House) -> BTreeMap<String, Digest> {
    let records = payer.records().into_iter();
    let records = records.filter(|(_, record)| record.kind != "Provenance");
    records.map(|(name, record)| (name, record.digest)).collect()
}

/// How many pushes ended how, those aside that were asked for twice.
fn states(provider: &House) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for push in provider.pushes().values() {
        *states.entry(push.state_word().to_owned()).or_default() += 1;
    }
    states.remove("unchanged");
    states
}

/// The ledger, oldest first.
fn entries(house: &House) -> Vec<Entry> {
    let (memory, mut all) = (house.memory(), Vec::new());
    loop {
        let from = all.last().map_or(1, |last: &Entry| last.seq + 1);
        let page = RUNTIME.block_on(memory.entries(from, 1_000)).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// A push is sent once its patient's earlier one has ended, and numbers have no gaps.
fn assert_order(provider: &House) {
    let pushes: HashMap<WalkId, Push> =
        provider.pushes().into_values().map(|push| (push.walk.clone(), push)).collect();
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries(provider) {
        let Chain::Push(walk) = &entry.chain else { continue };
        let push = &pushes[walk];
        let lane = push.dossier.lane();
        match entry.event().unwrap() {
            Event::Assembled { number, .. } => numbers.entry(lane).or_default().push(number),
            Event::Intended { .. } => {
                let number = push.assembled.as_ref().unwrap().number;
                let before = sent.insert(lane, number).unwrap_or(0);
                assert!(before <= number, "push {number} was sent behind push {before}");
            }
            _ => {}
        }
    }
    for numbers in numbers.values() {
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(*numbers, expected, "the numbers of a patient are gapless and in order");
    }
}

/// Another process of the same house.
fn join(house: &House) -> Process {
    let address = free_address().to_string();
    let folder = house.folder.to_str().unwrap();
    let words = ["--house", folder, "serve", "--tethered", "--listen", &address];
    Process::until_ready(&words, &[("HANDOVER_LOG", "warn")])
}

fn signal(process: u32, name: &str) {
    let words = [name, &process.to_string()];
    assert!(std::process::Command::new("kill").args(words).status().unwrap().success());
}

#[test]
fn three_processes_end_like_one_whatever_befalls_them() {
    let Some(mut server) = Server::start() else { return };
    let mut alone = stage();
    alone.serve();
    RUNTIME.block_on(ask_for(&alone, &alone.finished())).unwrap();
    wait_for_the_end(&alone);
    alone.stop();

    let mut stage = stage();
    let url = server.create_database("hospital");
    let database = format!("\n[database]\npostgres = \"{url}\"\n");
    let config = stage.provider.read("house.toml") + &database;
    stage.provider.write("house.toml", &config);
    stage.serve();
    let encounters = stage.finished();
    let (first, second) = encounters.split_at(encounters.len() / 2);

    let killed = join(&stage.provider);
    let asking = ask_for(&stage, first);
    wait_until("a part has ended", || ended(&stage.provider).0 > first.len() / 4);
    server.stop_fast();
    server.start_again();
    RUNTIME.block_on(asking).unwrap();

    // While nobody answers at the payer's, walks pile up: more than two processes take up at once
    // means that each of the three has some.
    let stalled = join(&stage.provider);
    let payer = stage.payers[0].process().id();
    signal(payer, "-STOP");
    let asking = ask_for(&stage, second);
    let leased = || -> usize {
        let count = "SELECT count(*) FROM works WHERE leased_until IS NOT NULL";
        server.sql("hospital", count).trim().parse().unwrap()
    };
    let one = provider::limits::PARTNER_WALKS_MAX + provider::limits::CLAIM_MAX as usize - 1;
    let walks = 2 * one;
    wait_until("walks of all processes wait for the payer", || leased() > walks);
    signal(stalled.id(), "-STOP");
    killed.kill();
    signal(payer, "-CONT");
    RUNTIME.block_on(asking).unwrap();
    wait_for_the_end(&stage);

    signal(stalled.id(), "-CONT");
    let overtaken = "the lease has passed to another worker";
    wait_until("its writes were refused", || stalled.stderr().contains(overtaken));
    let said = stalled.stop();
    assert_eq!(said.code, 0, "it stops in the orderly way: {}", said.stderr);

    assert_eq!(states(&stage.provider), states(&alone.provider));
    assert_order(&stage.provider);
    let (code, _) = stage.provider.json(&["ledger", "verify"]);
    assert_eq!(code, 0, "the ledger of all processes is one");
    stage.stop();
    let (filed, expected) = (filed(&stage.payers[0]), filed(&alone.payers[0]));
    assert!(!expected.is_empty());
    assert_eq!(filed, expected, "the plan holds what it would have got from one process");
    let keys = stage.payers[0].works(WorkKind::Submission);
    assert_eq!(keys.len(), alone.payers[0].works(WorkKind::Submission).len(), "nothing came twice");
}
