//! Steps: the one test command, step by step, with the time each took.
//!
//! Comes in   the root of the repository, and the tools the machine has.
//! Goes out   what the steps print, a summary, and the exit code.
//! Never      hides a step: what could not run is named in the summary, with the reason.
//!
//! A step that fails does not stop the next ones: one run tells all there is to mend.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::{conformance, partners, rooms};

/// How a step ended.
enum End {
    Passed,
    Failed,
    Skipped(String),
}

struct Run<'a> {
    root: &'a Path,
    partners: Option<PathBuf>,
    postgres: Option<testdb::Server>,
    ends: Vec<(&'static str, End, u64)>,
}

/// `cargo xtask tidy`.
pub fn tidy(root: &Path) -> ExitCode {
    if matches!(tidy_step(root), End::Passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `cargo xtask conformance`.
pub fn conformance(root: &Path) -> ExitCode {
    match conformance::write(root) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("conformance cannot run: {why}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo xtask test`: everything that must hold before a change lands.
pub fn test(root: &Path) -> ExitCode {
    let mut run = Run { root, partners: None, postgres: None, ends: Vec::new() };
    run.step("tidy", |run| tidy_step(run.root));
    run.step("partners", Run::partners);
    run.step("database", Run::database);
    run.step("format", |run| run.component("rustfmt", "fmt", &["--all", "--check"]));
    let lints = ["--workspace", "--all-targets", "--", "-D", "warnings"];
    run.step("lints", |run| run.component("clippy", "clippy", &lints));
    run.step("tests", Run::tests);
    run.step("examples in documentation", |run| {
        run.cargo(&["test", "--workspace", "--doc", "--quiet"])
    });
    run.step("licences", Run::licences);
    run.summary()
}

fn tidy_step(root: &Path) -> End {
    match crate::tidy(root) {
        Ok(findings) if findings.is_empty() => {
            println!("tidy: nothing to mend");
            End::Passed
        }
        Ok(findings) => {
            for finding in &findings {
                println!("{finding}");
            }
            println!("tidy: {} to mend", findings.len());
            End::Failed
        }
        Err(why) => {
            println!("tidy cannot run: {why}");
            End::Failed
        }
    }
}

impl Run<'_> {
    fn step(&mut self, name: &'static str, work: impl FnOnce(&mut Self) -> End) {
        println!("\n== {name}");
        let start = Instant::now();
        let end = work(self);
        if let End::Skipped(why) = &end {
            println!("skipped: {why}");
        }
        self.ends.push((name, end, start.elapsed().as_secs()));
    }

    fn partners(&mut self) -> End {
        if let Some(given) = std::env::var_os(partners::VARIABLE) {
            println!("as given in {}", partners::VARIABLE);
            self.partners = Some(given.into());
            return End::Passed;
        }
        match target(self.root).and_then(|target| partners::prepare(&target)) {
            Ok(folder) => {
                println!("ready");
                self.partners = Some(folder);
                End::Passed
            }
            Err(why) => End::Skipped(format!("{why}; tests with partner programs skip themselves")),
        }
    }

    /// One PostgreSQL for the whole run: each test has a database of its own in it.
    fn database(&mut self) -> End {
        if std::env::var_os(testdb::VARIABLE).is_some() {
            println!("as given in {}", testdb::VARIABLE);
            return End::Passed;
        }
        self.postgres = testdb::Server::start();
        match &self.postgres {
            Some(server) => {
                println!("PostgreSQL is ready in {}", server.folder().display());
                End::Passed
            }
            None => End::Skipped("no PostgreSQL here; its tests skip themselves".into()),
        }
    }

    fn tests(&mut self) -> End {
        if present("nextest") {
            self.cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
        } else {
            println!("cargo-nextest is not here; cargo test does the same, more slowly");
            self.cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"])
        }
    }

    /// A part of the toolchain, which rustup adds when it is missing.
    fn component(&mut self, component: &str, command: &str, words: &[&str]) -> End {
        if !present(command) && !quiet("rustup", &["component", "add", component]) {
            return End::Skipped(format!("{component} is not here and rustup cannot add it"));
        }
        let mut all = vec![command];
        all.extend_from_slice(words);
        self.cargo(&all)
    }

    fn licences(&mut self) -> End {
        if !present("deny") {
            return End::Skipped(
                "cargo-deny is not here; `cargo install cargo-deny` brings it".into(),
            );
        }
        self.cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"])
    }

    fn cargo(&self, words: &[&str]) -> End {
        println!("cargo {}", words.join(" "));
        let mut command = Command::new(cargo());
        command.args(words).current_dir(self.root);
        if let Some(folder) = &self.partners {
            command.env(partners::VARIABLE, folder);
        }
        if let Some(server) = &self.postgres {
            command.env(testdb::VARIABLE, server.url("postgres"));
        }
        match command.status() {
            Ok(status) if status.success() => End::Passed,
            Ok(_) => End::Failed,
            Err(error) => {
                println!("cargo does not start: {error}");
                End::Failed
            }
        }
    }

    fn summary(self) -> ExitCode {
        println!("\n== summary");
        let mut failed = 0;
        for (name, end, seconds) in &self.ends {
            let told = match end {
                End::Passed => "passed",
                End::Failed => {
                    failed += 1;
                    "FAILED"
                }
                End::Skipped(_) => "skipped",
            };
            println!("{told:<8} {seconds:>5} s  {name}");
        }
        if failed == 0 {
            println!("all that ran passed");
            return ExitCode::SUCCESS;
        }
        println!("{failed} failed; the reasons stand above, under the step's name");
        ExitCode::FAILURE
    }
}

pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Whether cargo knows this command.
fn present(command: &str) -> bool {
    quiet(&cargo(), &[command, "--version"])
}

fn quiet(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The build folder.
fn target(root: &Path) -> Result<PathBuf, String> {
    let value = rooms::cargo_metadata(root)?;
    let folder = value["target_directory"].as_str().ok_or("cargo names no build folder")?;
    Ok(folder.into())
}
