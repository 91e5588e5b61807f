//! Goal: the layer loses what was not synced, and nothing else; so what passes over it is safe.
//!
//! How: this program starts itself again as a child under the layer. The child is one of several
//! small programs, of which some sync as they should and some do not. It says what it holds for
//! durable; the power is cut at a moment that the seed draws; what it said is looked for.

use crate::chance::Chance;
use crate::cut::{Grid, Lost, layer};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = "POWERCUT_PROGRAM";
const FOLDER: &str = "POWERCUT_PLACE";

/// Cuts for each program.
const SEEDS: u64 = 24;

/// Things a program does before it has done all.
const THINGS: u64 = 12;

/// A program: its name, whether the cut must find it out, what it does, what is found of it.
type Row = (&'static str, Finding, fn(&Path), fn(&Path) -> Result<BTreeSet<u64>, String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Nothing it said is ever lost.
    Safe,
    /// Something is lost; never more than the last of it, and nothing is damaged.
    Loses,
    /// Something is lost, or damaged.
    Damaged,
}

const PROGRAMS: &[Row] = &[
    ("files synced, renamed, their folder synced", Finding::Safe, files::<true, true>, found),
    ("files not synced before they are renamed", Finding::Damaged, files::<false, true>, found),
    ("files whose folder is not synced", Finding::Loses, files::<true, false>, found),
    ("a file written over in place and synced", Finding::Safe, in_place::<true>, found_in_place),
    ("a file written over in place", Finding::Damaged, in_place::<false>, found_in_place),
    ("SQLite that waits for the disk", Finding::Safe, rows::<2>, found_rows),
    ("SQLite that waits at checkpoints only", Finding::Loses, rows::<1>, found_rows),
    ("SQLite that never waits", Finding::Damaged, rows::<0>, found_rows),
];

fn say(thing: u64) {
    // Past the harness's own idea of what a test says.
    let mut out = std::io::stdout().lock();
    writeln!(out, "durable {thing}").unwrap();
    out.flush().unwrap();
}

fn text(thing: u64) -> Vec<u8> {
    format!("thing {thing};").into_bytes().repeat(700)
}

fn files<const SYNC: bool, const SYNC_FOLDER: bool>(folder: &Path) {
    for thing in 1..=THINGS {
        let half = folder.join("half");
        let mut file = File::create(&half).unwrap();
        file.write_all(&text(thing)).unwrap();
        if SYNC {
            file.sync_all().unwrap();
        }
        fs::rename(&half, folder.join(format!("thing-{thing}"))).unwrap();
        if SYNC_FOLDER {
            File::open(folder).unwrap().sync_all().unwrap();
        }
        say(thing);
    }
}

fn found(folder: &Path) -> Result<BTreeSet<u64>, String> {
    let mut things = BTreeSet::new();
    for thing in 1..=THINGS {
        match fs::read(folder.join(format!("thing-{thing}"))) {
            Ok(bytes) if bytes == text(thing) => drop(things.insert(thing)),
            Ok(_) => return Err(format!("thing {thing} is not whole")),
            Err(_) => {}
        }
    }
    Ok(things)
}

/// Two places written in turn, the number first: a torn one is known by its end.
fn in_place<const SYNC: bool>(folder: &Path) {
    use std::os::unix::fs::FileExt;
    let file = File::create(folder.join("places")).unwrap();
    file.sync_all().unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
    for thing in 1..=THINGS {
        let place = (thing % 2) * 16_384;
        file.write_all_at(&text(thing), place).unwrap();
        if SYNC {
            file.sync_data().unwrap();
        }
        say(thing);
    }
}

fn found_in_place(folder: &Path) -> Result<BTreeSet<u64>, String> {
    let bytes = fs::read(folder.join("places")).unwrap_or_default();
    let whole = |thing: &u64| {
        let (place, text) = ((thing % 2) as usize * 16_384, text(*thing));
        bytes.get(place..place + text.len()).is_some_and(|there| there == text)
    };
    // What is overwritten was there.
    let last = (1..=THINGS).rev().find(whole).unwrap_or(0);
    Ok((1..=last).collect())
}

fn rows<const SYNCHRONOUS: i64>(folder: &Path) {
    let db = Connection::open(folder.join("rows.sqlite")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", SYNCHRONOUS).unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 12).unwrap();
    db.execute_batch("CREATE TABLE things (thing INTEGER PRIMARY KEY, text BLOB)").unwrap();
    for thing in 1..=THINGS {
        let row = (thing.cast_signed(), text(thing));
        db.execute("INSERT INTO things VALUES (?1, ?2)", row).unwrap();
        say(thing);
    }
}

fn found_rows(folder: &Path) -> Result<BTreeSet<u64>, String> {
    let read = || -> rusqlite::Result<BTreeSet<u64>> {
        let db = Connection::open(folder.join("rows.sqlite"))?;
        let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if check != "ok" {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let exists = db.table_exists(None, "things")?;
        let mut things = BTreeSet::new();
        if exists {
            let mut all = db.prepare("SELECT thing, text FROM things")?;
            let mut all = all.query([])?;
            while let Some(row) = all.next()? {
                let thing = row.get::<_, i64>(0)?.cast_unsigned();
                if row.get::<_, Vec<u8>>(1)? != text(thing) {
                    return Err(rusqlite::Error::InvalidQuery);
                }
                things.insert(thing);
            }
        }
        Ok(things)
    };
    read().map_err(|error| error.to_string())
}

/// What the child does; not a test of its own, so that it passes where nobody started it as one.
#[test]
fn child() {
    let Ok(program) = std::env::var(PROGRAM) else { return };
    let folder = std::env::var(FOLDER).unwrap();
    let row = PROGRAMS.iter().find(|row| row.0 == program).unwrap();
    (row.2)(Path::new(&folder));
    // All said: it waits for its end.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Runs a program under the layer until it is cut off; what it said.
fn run(program: &str, folder: &Path, grid: &mut Grid) -> BTreeSet<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "layer::child", "--nocapture", "--test-threads=1"])
        .envs(grid.environment(""))
        .env(PROGRAM, program)
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BTreeSet::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if let Some((_, thing)) = line.split_once("durable ") {
            said.insert(thing.trim().parse().unwrap());
        }
        line.clear();
        if said.len() as u64 == THINGS {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "{program}: it was cut off");
    said
}

#[test]
fn what_was_synced_is_there_after_a_cut_and_who_does_not_sync_is_found_out() {
    if layer().is_none() {
        return;
    }
    for (program, expected, _, found) in PROGRAMS {
        let (mut losses, mut damages, mut all) = (0, 0, Lost::default());
        for seed in 1..=SEEDS {
            let mut chance = Chance::of(seed, program);
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("folder");
            fs::create_dir(&folder).unwrap();
            let mut grid = Grid::over(&folder, &place.path().join("journal"));
            grid.cut_after(1 + chance.below(90) as u64);
            let said = run(program, &folder, &mut grid);
            let lost = grid.play(&mut chance);
            all += lost;
            match found(&folder) {
                Ok(there) => losses += said.difference(&there).count(),
                Err(_) => damages += 1,
            }
        }
        let words = format!("{program}: {losses} lost, {damages} damaged, of {all:?}");
        println!("{words}");
        match expected {
            Finding::Safe => assert_eq!((losses, damages), (0, 0), "{words}"),
            Finding::Loses => assert!(losses > 0 && damages == 0, "{words}"),
            Finding::Damaged => assert!(losses > 0 || damages > 0, "{words}"),
        }
    }
}
