//! Goal: a disk that is full is told to whoever sends, and costs nothing but time: what was not
//! answered 2xx is not there, what comes again when there is room is filed, and nobody restarts
//! anything.
//!
//! How: under the layer no file of a house grows. Of PostgreSQL's disk there is a stand-in: a trigger
//! refuses rows with the server's own code for a full disk.

use crate::common::{House, Process, RUNTIME};
use crate::cut::{Grid, layer};
use crate::load::Load;
use crate::run::{houses, move_into, send};
use crate::sender::{Sender, Told};
use std::time::Duration;
use testdb::Server;

/// Pushes that are sent while there is no room.
const REFUSED: usize = 5;

/// The house under what fills its disk, and how.
fn outlives(payer: &House, sender: &Sender, load: &Load, fill: impl Fn(bool)) {
    let token = sender.token("system/*.cruds").unwrap();
    let tell =
        |number: usize| RUNTIME.block_on(send(sender, &token, &load.requests[number])).unwrap();
    assert_eq!(tell(0).status, 200);
    let before = payer.dump();
    fill(true);
    for number in 1..=REFUSED {
        is_put_off(&tell(number));
    }
    assert_eq!(sender.get(&token, "/metadata").status, 200, "whoever only reads is answered");
    assert_eq!(payer.dump(), before, "nothing of what was refused is there");
    fill(false);
    for number in 0..=REFUSED {
        assert_eq!(
            tell(number).status,
            200,
            "it goes on by itself, and knows what it has answered"
        );
    }
    assert!(payer.dump().len() > before.len(), "there is room again");
    let (code, reply) = payer.json(&["ledger", "verify"]);
    assert_eq!(code, 0, "{reply}");
}

/// A refusal that says when to come again.
fn is_put_off(told: &Told) {
    let text = String::from_utf8_lossy(&told.body);
    assert_eq!(told.status, 503, "{text}");
    assert!(text.contains("store-unavailable"), "{text}");
    let wait = told.headers.get("retry-after").and_then(|value| value.to_str().ok());
    assert!(wait.is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{:?}", told.headers);
}

fn serve(payer: &House, environment: &[(String, String)]) -> Process {
    let mut environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    environment.push(("HANDOVER_LOG", "off"));
    let folder = payer.folder.to_str().unwrap();
    let mut process = Process::start(&["--house", folder, "serve", "--tethered"], &environment);
    assert_eq!(process.opens_within(Duration::from_secs(120)), Some(true), "{}", process.stderr());
    process
}

#[test]
fn sqlite_a_full_disk_is_outlived() {
    if layer().is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (payer, hospital, plan) = houses(place.path());
    let mut grid = Grid::over(&payer.folder, &place.path().join("journal"));
    let process = serve(&payer, &grid.environment(""));
    let sender = Sender::with_keys_of(&hospital, &payer);
    let load = Load::drawn(1, &sender, &plan.members);
    outlives(&payer, &sender, &load, |full| grid.fill(full));
    assert_eq!(process.stop().code, 0);
}

#[test]
fn postgres_a_full_disk_is_outlived() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let (payer, hospital, plan) = houses(place.path());
    move_into(&payer, &server, "narrow");
    let process = serve(&payer, &[]);
    server.sql(
        "narrow",
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
    );
    let sender = Sender::with_keys_of(&hospital, &payer);
    let load = Load::drawn(1, &sender, &plan.members);
    outlives(&payer, &sender, &load, |full| {
        let sql = match full {
            true => {
                "CREATE TRIGGER no_room BEFORE INSERT ON versions
                    FOR EACH STATEMENT EXECUTE FUNCTION no_room()"
            }
            false => "DROP TRIGGER no_room ON versions",
        };
        server.sql("narrow", sql);
    });
    assert_eq!(process.stop().code, 0);
}
