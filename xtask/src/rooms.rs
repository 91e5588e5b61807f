//! Rooms: which crate may lean on which, and what a pure crate may not touch.
//!
//! Comes in   `cargo metadata` and the sources.
//! Goes out   a finding for every dependency or call that the table of rooms does not allow.
//! Never      guesses: a crate that is not in the table is itself a finding.
//!
//! Why a table here: the direction of dependencies is the one decision that is cheap to keep
//! and dear to win back. The table is the one of `docs/ARCHITECTURE.md`, "The rooms".

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Finding;
use crate::source::Source;
use crate::tree::Tree;

/// What one room may lean on.
struct Room {
    name: &'static str,
    /// Other rooms.
    rooms: &'static [&'static str],
    crates: Crates,
    /// Words that may not stand in its shipped code.
    words: &'static [&'static [&'static str]],
}

/// Crates of other people.
enum Crates {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static [&'static str]]),
}

use Crates::{AllBut, Only};

const NETWORK: &[&str] =
    &["axum", "h2", "hyper", "hyper-util", "reqwest", "tonic", "tower", "tower-http", "ureq"];
/// How a connection is kept private: the memory's own, to its database server, as well.
const PRIVATE: &[&str] = &["rustls", "tokio-rustls"];
const DATABASE: &[&str] = &[
    "diesel",
    "libsqlite3-sys",
    "postgres",
    "redb",
    "rusqlite",
    "sea-orm",
    "sqlx",
    "tokio-postgres",
];
const CHANCE: &[&str] = &["fastrand", "getrandom", "oorandom", "rand", "rand_core"];

const CLOCK_WORDS: &[&str] =
    &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", "Uuid::now_v7"];
const WALL_CLOCK_WORDS: &[&str] = &["SystemTime::now", "Timestamp::now", "Zoned::now"];
const DISK_WORDS: &[&str] = &["std::fs", "std::env", "std::process", "File::open"];
const NETWORK_WORDS: &[&str] = &["std::net", "tokio::net"];
const CHANCE_WORDS: &[&str] = &["rand::", "Uuid::new_v4", "SystemRandom", "RandomState"];
const RUNTIME_WORDS: &[&str] = &["tokio::"];

const PURE_WORDS: &[&[&str]] =
    &[CLOCK_WORDS, DISK_WORDS, NETWORK_WORDS, CHANCE_WORDS, RUNTIME_WORDS];

const ROOMS: &[Room] = &[
    Room {
        name: "fhir",
        rooms: &[],
        crates: Only(&["base64", "bytes", "memchr", "serde_json", "sha2", "thiserror"]),
        words: PURE_WORDS,
    },
    Room {
        name: "exchange",
        rooms: &["fhir"],
        crates: Only(&[
            "base64",
            "bytes",
            "jiff",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "toml",
        ]),
        words: PURE_WORDS,
    },
    Room {
        name: "store",
        rooms: &["exchange"],
        crates: AllBut(&[NETWORK]),
        words: &[WALL_CLOCK_WORDS, NETWORK_WORDS],
    },
    Room {
        name: "repository",
        rooms: &["fhir", "exchange", "store"],
        crates: AllBut(&[NETWORK, PRIVATE, DATABASE, CHANCE]),
        words: &[CLOCK_WORDS, NETWORK_WORDS, CHANCE_WORDS],
    },
    Room { name: "wire", rooms: &["fhir", "exchange"], crates: AllBut(&[DATABASE]), words: &[] },
    Room {
        name: "provider",
        rooms: &["fhir", "exchange", "store", "repository", "wire"],
        crates: AllBut(&[DATABASE]),
        words: &[],
    },
    Room {
        name: "payer",
        rooms: &["fhir", "exchange", "store", "repository", "wire"],
        crates: AllBut(&[DATABASE]),
        words: &[],
    },
    Room {
        name: "sim",
        rooms: &["fhir", "exchange", "store", "repository", "wire", "provider", "payer"],
        crates: AllBut(&[DATABASE, CHANCE]),
        words: &[CLOCK_WORDS, CHANCE_WORDS],
    },
    Room {
        name: "handover",
        rooms: &["fhir", "exchange", "store", "repository", "wire", "provider", "payer", "sim"],
        crates: AllBut(&[]),
        words: &[],
    },
    Room { name: "testdb", rooms: &[], crates: Only(&["tempfile"]), words: &[] },
    Room { name: "xtask", rooms: &["testdb"], crates: Only(&["serde_json"]), words: &[] },
];

/// One dependency as a manifest declares it.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The crate's name in the registry or the workspace.
    pub name: String,
    /// Only for tests.
    pub dev: bool,
    /// A crate of this workspace.
    pub own: bool,
}

/// One crate of the workspace.
#[derive(Debug, Clone)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its manifest, relative to the root.
    pub manifest: String,
    /// What it declares.
    pub dependencies: Vec<Dependency>,
}

/// Asks cargo for the crates of the workspace, without the network. The error is a sentence.
pub fn metadata(root: &Path) -> Result<Vec<Crate>, String> {
    let value = cargo_metadata(root)?;
    let base = value["workspace_root"].as_str().unwrap_or_default();
    let packages = value["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().map(|package| read_crate(package, base)).collect())
}

/// The parsed answer of `cargo metadata --no-deps`. The error is a sentence.
pub fn cargo_metadata(root: &Path) -> Result<Value, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let answer = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata does not start: {error}"))?;
    if !answer.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&answer.stderr).trim()));
    }
    serde_json::from_slice(&answer.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

fn read_crate(package: &Value, base: &str) -> Crate {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let manifest = text(&package["manifest_path"]).replace('\\', "/");
    let relative = manifest.strip_prefix(&base.replace('\\', "/")).unwrap_or(&manifest);
    let dependency = |row: &Value| Dependency {
        name: text(&row["name"]),
        dev: row["kind"] == "dev",
        own: row["path"].is_string(),
    };
    let rows = package["dependencies"].as_array();
    Crate {
        name: text(&package["name"]),
        manifest: relative.trim_start_matches('/').to_owned(),
        dependencies: rows.into_iter().flatten().map(dependency).collect(),
    }
}

/// Holds every crate and every source to the table.
pub fn check(tree: &Tree, crates: &[Crate]) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        crates.iter().flat_map(|crate_| check_manifest(tree, crate_)).collect();
    for source in tree.sources() {
        if let Some(room) = room(source.room().unwrap_or_default()) {
            findings.extend(check_words(room, &source));
        }
    }
    findings
}

fn room(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

fn check_manifest(tree: &Tree, crate_: &Crate) -> Vec<Finding> {
    let text = tree.file(&crate_.manifest).map_or("", |file| file.text.as_str());
    let Some(room) = room(&crate_.name) else {
        return vec![Finding::new(
            &crate_.manifest,
            1,
            format!("the crate `{}` has no row in the table of rooms", crate_.name),
            "decide what it may lean on: docs/ARCHITECTURE.md, then ROOMS in xtask/src/rooms.rs",
        )];
    };
    let mut findings = Vec::new();
    if !text.replace(' ', "").contains("[lints]\nworkspace=true") {
        findings.push(Finding::new(
            &crate_.manifest,
            1,
            "the crate does not take the lints of the workspace",
            "add `[lints]` with `workspace = true`",
        ));
    }
    for dependency in &crate_.dependencies {
        if let Some(mend) = refusal(room, dependency) {
            findings.push(Finding::new(
                &crate_.manifest,
                line_of(text, &dependency.name),
                format!("`{}` may not depend on `{}`", room.name, dependency.name),
                mend,
            ));
        }
    }
    findings
}

/// Rooms for the tests of all rooms.
const FOR_TESTS: &[&str] = &["sim", "testdb"];

/// Why a room may not have this dependency. Tests may use any crate of other people, the town
/// and private databases; they may not reach into a room that their own room may not touch.
fn refusal(room: &Room, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if dependency.own {
        let allowed = room.rooms.contains(&name)
            || name == room.name
            || (dependency.dev && FOR_TESTS.contains(&name) && room.name != "xtask");
        return (!allowed).then(|| {
            format!(
                "move what is shared to a room both may touch; `{}` leans on {:?}",
                room.name, room.rooms
            )
        });
    }
    if dependency.dev {
        return None;
    }
    match &room.crates {
        Only(names) => (!names.contains(&name)).then(|| {
            format!("do without it, or hand in its result as an argument; this room takes only {names:?}")
        }),
        AllBut(lists) => lists.iter().any(|list| list.contains(&name)).then(|| {
            "put what needs it into the room that may touch it (table of rooms, docs/ARCHITECTURE.md)"
                .into()
        }),
    }
}

fn line_of(manifest: &str, name: &str) -> usize {
    let declares = |line: &str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['.', '=']))
    };
    manifest.lines().position(declares).map_or(1, |index| index + 1)
}

fn check_words(room: &Room, source: &Source<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.shipped() {
        for word in room.words.iter().copied().flatten() {
            if stands_in(line, word) {
                findings.push(Finding::new(
                    source.path,
                    number,
                    format!("`{word}` stands in `{}`, which may not touch it", room.name),
                    "take the value as an argument; the rooms at the edge read clocks, disks and sockets",
                ));
            }
        }
    }
    findings
}

/// Whether `word` stands in the line and is not merely the tail of a longer name.
pub fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|sign| sign.is_alphanumeric() || sign == '_')
    })
}

#[cfg(test)]
mod tests {
    //! Goal: the table of rooms is held in manifests and in code, and nothing else is refused.
    //!
    //! How: one row per dependency, one row per line of code; the row names the case.

    use super::*;

    #[test]
    fn dependencies_follow_the_table() {
        let table = [
            ("the language knows no other room", "fhir", "exchange", true, false, false),
            ("the law knows the language", "exchange", "fhir", true, false, true),
            ("the law has no runtime", "exchange", "tokio", false, false, false),
            ("its tests may have one", "exchange", "tokio", false, true, true),
            ("the memory has no network", "store", "reqwest", false, false, false),
            ("the carriage has no memory", "wire", "store", true, false, false),
            ("nor a database of its own", "wire", "rusqlite", false, false, false),
            ("houses do not know each other", "provider", "payer", true, false, false),
            ("not even in tests", "payer", "provider", true, true, false),
            ("the town may serve their tests", "payer", "sim", true, true, true),
            ("but not ship with them", "payer", "sim", true, false, false),
            ("databases may serve tests", "store", "testdb", true, true, true),
            ("but not what ships", "store", "testdb", true, false, false),
            ("the town does not know the front door", "sim", "handover", true, false, false),
            ("the front door knows everyone", "handover", "sim", true, false, true),
        ];
        for (case, room_name, name, own, dev, allowed) in table {
            let dependency = Dependency { name: name.into(), dev, own };
            let crate_ = Crate {
                name: room_name.into(),
                manifest: "Cargo.toml".into(),
                dependencies: vec![dependency],
            };
            let tree = Tree::of(&[("Cargo.toml", "[lints]\nworkspace = true\n")]);
            assert_eq!(check(&tree, &[crate_]).is_empty(), allowed, "{case}");
        }
    }

    #[test]
    fn pure_rooms_touch_no_clock_disk_or_network() {
        let table = [
            ("a clock", "crates/exchange/src/a.rs", "let now = Timestamp::now();", 1),
            ("a file", "crates/fhir/src/a.rs", "use std::fs;", 1),
            ("a name that only ends alike", "crates/fhir/src/a.rs", "let x = operand::<u8>();", 0),
            ("a comment", "crates/fhir/src/a.rs", "// no std::fs here", 0),
            ("a literal", "crates/fhir/src/a.rs", "let word = \"std::fs\";", 0),
            ("a test", "crates/fhir/tests/a.rs", "use std::fs;", 0),
            (
                "a test module",
                "crates/fhir/src/a.rs",
                "#[cfg(test)]\nmod tests {\n use std::fs;\n}",
                0,
            ),
            ("below it", "crates/fhir/src/a.rs", "#[cfg(test)]\nmod tests;\nuse std::fs;", 1),
            ("the edge may", "crates/wire/src/a.rs", "let now = Instant::now();", 0),
            ("the desk may not", "crates/repository/src/a.rs", "let now = Instant::now();", 1),
        ];
        for (case, path, text, count) in table {
            assert_eq!(check(&Tree::of(&[(path, text)]), &[]).len(), count, "{case}");
        }
    }

    #[test]
    fn a_crate_without_a_row_is_a_finding() {
        let crate_ = Crate {
            name: "attic".into(),
            manifest: "crates/attic/Cargo.toml".into(),
            dependencies: vec![],
        };
        assert_eq!(check(&Tree::default(), &[crate_]).len(), 1);
    }
}
