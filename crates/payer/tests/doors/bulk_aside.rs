//! Goal: an older push that is set aside because a newer one stands is there again once that one is stopped
//! or replaced, in whatever way both came: the plan then reads as if the newer one had never come.
//!
//! How: two plans get the same, one of them without what is taken back; in between a process ends. In both
//! databases.

use crate::bulk::{request, taken, work};
use crate::bulk_withdrawn::{Opened, View, many, offered, push_of, submit, view};
use crate::files::Files;
use crate::plan::{NAMESPACE, Plan, Push, taking_back};
use bytes::Bytes;
use exchange::assemble::Payload;
use http::StatusCode;
use serde_json::{Value, json};

/// What a plan gets, one after the other.
#[derive(Clone, Copy)]
enum Step<'s> {
    /// By the door.
    Posted(&'s (Payload, Bytes)),
    /// In bulk, complete.
    Submitted(&'s (Payload, Bytes)),
    /// In bulk, and more is to come.
    Opened(&'s (Payload, Bytes)),
    /// What was opened is stopped.
    Stopped,
    /// The manifest of what was opened is replaced by one of this.
    Replaced(&'s (Payload, Bytes)),
    /// The process ends, and another one begins.
    Ended,
}
use Step::{Ended, Opened as Open, Posted, Replaced, Stopped, Submitted};

/// The submission that is taken back.
const BAD: &str = "bad";

fn named(body: &mut Value, name: &str) {
    body["parameter"][1]["valueString"] = name.into();
}

async fn walk(files: &Files, mut plan: Plan, steps: &[Step<'_>]) -> Plan {
    let mut place = String::new();
    for (number, step) in steps.iter().enumerate() {
        let name = format!("s{number}");
        match step {
            Posted((_, payload)) => {
                let answer = plan.post("clinic", payload.clone()).await;
                assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
            }
            Submitted((of, payload)) => submit(files, &plan, &name, of, payload).await,
            Open((of, payload)) => {
                place = offered(files, &name, of, payload);
                let mut body = request(files, Some(&place), Some("in-progress"));
                named(&mut body, BAD);
                taken(&plan, "clinic", &body).await;
            }
            Stopped => {
                let mut body = request(files, None, Some("stopped"));
                named(&mut body, BAD);
                taken(&plan, "clinic", &body).await;
            }
            Replaced((of, payload)) => {
                let instead = offered(files, &name, of, payload);
                let mut body = request(files, Some(&instead), Some("completed"));
                named(&mut body, BAD);
                let replaced = json!({ "name": "replacesManifestUrl", "valueUrl": place });
                body["parameter"].as_array_mut().unwrap().push(replaced);
                taken(&plan, "clinic", &body).await;
            }
            Ended => plan = plan.ended(&files.agreed()).await,
        }
        work(&plan).await;
        plan.verify().await.unwrap();
    }
    plan
}

/// As it is read, and what numbers say of what comes later: what nobody brings any more says nothing.
async fn read(plan: &Plan) -> View {
    let mut rows = view(plan).await;
    rows.retain(|(_, _, deleted, number, ..)| !deleted || number.is_some());
    rows
}

/// A push with what tells it apart.
fn push(number: u64, status: &'static str, observations: &[&str]) -> (Payload, Bytes) {
    let made = Push { number, status, observations, ..Push::default() }.assembled();
    let payload = made.bytes.clone();
    (made, payload)
}

async fn is_there_again(open: impl AsyncFn(&Files) -> Opened, cases: usize) {
    let first = &push(1, "final", &["o1"]);
    let second = &push(2, "preliminary", &["o1"]);
    let third = &push(3, "amended", &["o1", "o2"]);
    let alike = &push(1, "amended", &["o1"]);
    let gone = taking_back(&first.0, NAMESPACE, 2);
    let gone = &(Payload { push: push_of(&gone), ..first.0.clone() }, gone);
    type Case<'c> = (&'c str, Vec<Step<'c>>, Vec<Step<'c>>, usize);
    let table: [Case<'_>; 11] = [
        ("posted", vec![Open(third), Posted(first), Stopped], vec![Posted(first)], 1),
        ("submitted", vec![Open(third), Submitted(first), Stopped], vec![Submitted(first)], 1),
        (
            "replaced by one that is older as well",
            vec![Open(third), Submitted(first), Replaced(second)],
            vec![Submitted(first), Submitted(second)],
            1,
        ),
        (
            "posted, and a process ends before and behind it",
            vec![Open(third), Ended, Posted(first), Ended, Stopped],
            vec![Posted(first)],
            1,
        ),
        (
            "two older ones in their order",
            vec![Open(third), Posted(first), Submitted(second), Stopped],
            vec![Posted(first), Submitted(second)],
            1,
        ),
        (
            "two older ones in the other order",
            vec![Open(third), Posted(second), Submitted(first), Stopped],
            vec![Posted(second), Submitted(first)],
            1,
        ),
        (
            "it stood before, and comes again",
            vec![Posted(first), Open(third), Posted(first), Submitted(first), Stopped],
            vec![Posted(first), Posted(first), Submitted(first)],
            1,
        ),
        (
            "the same content, and a newer one comes at last",
            vec![Open(third), Posted(alike), Stopped, Posted(second)],
            vec![Posted(alike), Posted(second)],
            1,
        ),
        (
            "an older withdrawal by the door",
            vec![Posted(first), Open(third), Posted(gone), Stopped],
            vec![Posted(first), Posted(gone)],
            0,
        ),
        (
            "an older withdrawal in bulk",
            vec![Posted(first), Open(third), Submitted(gone), Stopped, Posted(first)],
            vec![Posted(first), Submitted(gone), Posted(first)],
            0,
        ),
        (
            "nothing is taken back",
            vec![Open(third), Posted(first), Posted(second)],
            vec![Posted(first), Posted(second), Open(third)],
            2,
        ),
    ];
    for (case, with, without, expected) in table.into_iter().take(cases) {
        let files = Files::serve().await;
        let (plan, _database) = open(&files).await;
        let plan = walk(&files, plan, &with).await;
        let (reference, _its_database) = open(&files).await;
        let reference = walk(&files, reference, &without).await;
        let (stands, wanted) = (read(&plan).await, read(&reference).await);
        assert_eq!(many(&wanted, "Observation"), expected, "{case}");
        assert_eq!(stands, wanted, "{case}");
    }
}

#[tokio::test]
async fn what_was_set_aside_is_there_again_once_the_newer_one_is_taken_back() {
    let open = async |files: &Files| (Plan::open_with(Some(&files.agreed())), None);
    is_there_again(open, 11).await;
}

/// A version beneath is what a withdrawal falls back to: nobody may change it unseen.
#[tokio::test]
async fn the_ledger_knows_what_was_put_beneath() {
    let (first, third) = (push(1, "final", &["o1"]), push(3, "amended", &["o1"]));
    for late in [Posted(&first), Submitted(&first)] {
        let files = Files::serve().await;
        let plan = Plan::open_with(Some(&files.agreed()));
        let plan = walk(&files, plan, &[Open(&third), late]).await;
        for version in [2, 3] {
            let db =
                rusqlite::Connection::open(plan.folder.path().join("store/house.sqlite")).unwrap();
            let of = "version = ?1 AND record IN (SELECT record FROM records WHERE kind = 'Observation')";
            let read = format!("SELECT content, digest FROM versions WHERE {of}");
            let row = |row: &rusqlite::Row<'_>| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            };
            let was = db.query_row(&read, [version], row).unwrap();
            let write = format!("UPDATE versions SET content = ?2, digest = ?3 WHERE {of}");
            let changed = (version, b"{}".to_vec(), exchange::Digest::of(b"{}").0.to_vec());
            assert_eq!(db.execute(&write, changed).unwrap(), 1);
            let said = plan.verify().await.unwrap_err().1;
            assert!(said.contains("not those it filed"), "{version}: {said}");
            db.execute(&write, (version, was.0, was.1)).unwrap();
            plan.verify().await.unwrap();
        }
    }
}

#[tokio::test]
async fn in_a_database_server_it_is_there_again_alike() {
    if testdb::Server::shared().is_none() {
        return;
    }
    let open = async |files: &Files| {
        let database = testdb::Server::shared();
        let url = database.as_ref().unwrap().url();
        (Plan::in_postgres_with(url, &files.agreed()).await, database)
    };
    is_there_again(open, 3).await;
}
