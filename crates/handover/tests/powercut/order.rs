//! Goal: nobody hears 2xx before the disk has it.
//!
//! How: the house serves plain HTTP on loopback under `strace`, which writes down every call in its
//! order. Between the reading of a request and the writing of its answer the log of the database is
//! written, and behind its last write stands a sync of that log that came back. In PostgreSQL the
//! server is looked at as well, and the clock of the machine brings both in one order.

use crate::common::{House, Process, RUNTIME};
use crate::load::Load;
use crate::run::{houses, move_into, send};
use crate::sender::Sender;
use sim::town::MemberRow;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use testdb::Server;

const CALLS: &str = "trace=read,recvfrom,recvmsg,write,writev,pwrite64,pwritev,sendto,sendmsg,\
                     fsync,fdatasync";

/// The log of either database, as it stands in a path.
const SQLITE_LOG: &str = "house.sqlite-wal>";
const POSTGRES_LOG: &str = "/pg_wal/";

/// Requests whose calls are looked at.
const REQUESTS: usize = 12;

/// A call as strace writes it, in the order of what is written. One that was interrupted by others
/// stands twice: where it began and where it ended.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    /// When it began, and when it ended if this is its end, in seconds.
    begun: f64,
    ended: Option<f64>,
}

/// Plain HTTP: what is said can be read.
fn speak_plainly(payer: &House) {
    let text = payer.read("house.toml");
    let (before, tls) = text.split_once("\n[tls]\n").unwrap();
    let (_, keys) = tls.split_once("\n[keys]\n").unwrap();
    payer.write(
        "house.toml",
        &format!("{before}\n[keys]\n{keys}").replace("https://127", "http://127"),
    );
}

fn calls(trace: &Path) -> Vec<Call> {
    let trace = std::fs::read_to_string(trace).unwrap();
    let mut halves: HashMap<String, (f64, String)> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let mut words = line.trim_start().splitn(2, char::is_whitespace);
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else { continue };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else { continue };
        let Ok(time) = time.parse::<f64>() else { continue };
        let (begun, text, ended) = if let Some(half) = rest.strip_suffix(" <unfinished ...>") {
            halves.insert(thread.to_owned(), (time, half.to_owned()));
            (time, half.to_owned(), None)
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            let (begun, half) = halves.remove(thread).unwrap_or((time, String::new()));
            (begun, half + end, Some(time))
        } else {
            let took = rest.rsplit_once('<').and_then(|(_, took)| took.strip_suffix('>'));
            let took = took.and_then(|took| took.parse::<f64>().ok());
            (time, rest.to_owned(), Some(time + took.unwrap_or(0.0)))
        };
        let name = text.split('(').next().unwrap().to_owned();
        calls.push(Call { name, text, begun, ended });
    }
    calls
}

impl Call {
    fn is_of(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    fn hears_a_bundle(&self) -> bool {
        self.ended.is_some()
            && self.is_of(&["read", "recvfrom", "recvmsg"])
            && self.text.contains("\"POST /fhir HTTP/1.1")
    }

    fn says_2xx(&self) -> bool {
        self.is_of(&["write", "writev", "sendto", "sendmsg"]) && self.text.contains("\"HTTP/1.1 20")
    }

    fn writes(&self, log: &str) -> bool {
        self.is_of(&["write", "writev", "pwrite64", "pwritev"]) && self.text.contains(log)
    }

    fn has_synced(&self, log: &str) -> bool {
        let came_back = self.ended.is_some() && self.text.contains(") = 0 ");
        came_back && self.is_of(&["fsync", "fdatasync"]) && self.text.contains(log)
    }
}

/// The calls between hearing of a request and the first word of its answer, for each request.
fn between(calls: &[Call]) -> Vec<(f64, &[Call], f64)> {
    let (mut all, mut at) = (Vec::new(), 0);
    while let Some(heard) = calls[at..].iter().position(Call::hears_a_bundle) {
        let from = at + heard;
        let said = calls[from..].iter().position(Call::says_2xx).expect("it is answered");
        let to = from + said;
        all.push((calls[from].ended.unwrap(), &calls[from..to], calls[to].begun));
        at = to + 1;
    }
    assert_eq!(all.len(), REQUESTS);
    all
}

fn can_trace() -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok();
    if !there {
        eprintln!("skipped: strace is not here, so the order of system calls is not looked at");
    }
    there
}

/// Sends a few Bundles to a house that serves plainly; the calls it made. `None`, after one line,
/// where tracing is not allowed.
fn trace_a_few(payer: &House, hospital: &House, members: &[MemberRow]) -> Option<Vec<Call>> {
    speak_plainly(payer);
    let trace = payer.folder.with_extension("calls");
    let process = trace_house(payer, &trace)?;
    let mut sender = Sender::with_keys_of(hospital, payer);
    sender.base_url = sender.base_url.replace("https://", "http://");
    let token = sender.token("system/*.cruds").unwrap();
    let load = Load::drawn(1, &sender, members);
    for request in &load.requests[..REQUESTS] {
        let told = RUNTIME.block_on(send(&sender, &token, request)).unwrap();
        assert_eq!(told.status, 200);
    }
    process.stop();
    Some(calls(&trace))
}

/// The house, traced.
fn trace_house(payer: &House, trace: &Path) -> Option<Process> {
    let (folder, trace) = (payer.folder.to_str().unwrap(), trace.to_str().unwrap());
    let under = ["strace", "-f", "-y", "-ttt", "-T", "-s", "48", "-e", CALLS, "-o", trace];
    let words = ["--house", folder, "serve", "--tethered"];
    let mut process = Process::start_under(&under, &words, &[("HANDOVER_LOG", "warn")]);
    if process.opens_within(Duration::from_secs(120)) != Some(true) {
        let said = process.kill();
        assert!(said.stderr.to_lowercase().contains("ptrace"), "{}", said.stderr);
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    Some(process)
}

#[test]
fn sqlite_has_the_log_on_the_disk_before_anybody_hears_2xx() {
    if !can_trace() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (payer, hospital, plan) = houses(place.path());
    let Some(calls) = trace_a_few(&payer, &hospital, &plan.members) else { return };
    for (_, between, _) in between(&calls) {
        let written = between.iter().rposition(|call| call.writes(SQLITE_LOG));
        let synced = between.iter().rposition(|call| call.has_synced(SQLITE_LOG));
        assert!(written.is_some() && synced > written, "{between:#?}");
    }
}

#[test]
fn postgres_has_the_log_on_the_disk_before_anybody_hears_2xx() {
    if !can_trace() {
        return;
    }
    // The house does not leave it to the server's settings whether a commit waits for the disk.
    let lax = [("synchronous_commit", "off")];
    let Some(server) = Server::start_with(&lax) else { return };
    let place = tempfile::tempdir().unwrap();
    let (payer, hospital, plan) = houses(place.path());
    move_into(&payer, &server, "calls");
    let trace = place.path().join("server.calls");
    let Some(watch) = Watch::over(&server, &trace) else { return };
    let Some(heard) = trace_a_few(&payer, &hospital, &plan.members) else { return };
    watch.end();
    let server = calls(&trace);
    for (from, _, to) in between(&heard) {
        let within = |call: &&Call| call.begun > from && call.ended.is_none_or(|end| end < to);
        let meanwhile: Vec<&Call> = server.iter().filter(within).collect();
        let written = meanwhile.iter().position(|call| call.writes(POSTGRES_LOG));
        let synced = meanwhile.iter().rposition(|call| call.has_synced(POSTGRES_LOG));
        assert!(written.is_some() && synced > written, "{meanwhile:#?}");
    }
}

/// Somebody who writes down what a server that runs already, and all it starts, calls.
struct Watch {
    strace: Child,
    // It says more whenever the server starts a process, and ends where nobody hears it.
    _words: BufReader<ChildStderr>,
}

impl Watch {
    fn over(server: &Server, trace: &Path) -> Option<Watch> {
        let file = std::fs::read_to_string(server.folder().join("postmaster.pid")).unwrap();
        let id = file.lines().next().unwrap().trim().to_owned();
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-ttt", "-T", "-s", "8", "-e", CALLS, "-p", &id, "-o"]);
        let mut strace = command.arg(trace).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        // It says so once it is there.
        let mut words = BufReader::new(strace.stderr.take().unwrap());
        words.read_line(&mut said).unwrap();
        if !said.contains("attached") || said.contains("ptrace") {
            eprintln!("skipped: strace may not trace here");
            strace.wait().unwrap();
            return None;
        }
        Some(Watch { strace, _words: words })
    }

    /// Lets the server go, and the trace is whole.
    fn end(mut self) {
        let id = self.strace.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.strace.wait().unwrap();
    }
}
