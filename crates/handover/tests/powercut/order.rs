//! Goal: nobody hears 2xx before the disk has it.
//!
//! How: the house serves plain HTTP on loopback under `strace`, which writes down every call in its
//! order. Between the reading of a request and the writing of its answer the log of the database is
//! written, and behind its last write stands a sync of that log that came back.

use crate::common::{House, Process, RUNTIME};
use crate::load::Load;
use crate::run::{houses, send};
use crate::sender::Sender;
use std::path::Path;
use std::process::Command;

const CALLS: &str = "trace=read,recvfrom,recvmsg,write,writev,pwrite64,pwritev,sendto,sendmsg,\
                     fsync,fdatasync,rename";

/// Requests whose calls are looked at.
const REQUESTS: usize = 12;

/// A call as strace writes it: `unfinished` and `resumed` halves are joined, and stand where it
/// ended, or, for those that say something to the outside, where it began.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    done: bool,
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

fn calls(trace: &str) -> Vec<Call> {
    let mut begun: std::collections::HashMap<String, String> = Default::default();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(half) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread.to_owned(), half.to_owned());
            let name = half.split('(').next().unwrap().to_owned();
            calls.push(Call { name, text: half.to_owned(), done: false });
            continue;
        }
        let text = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, behind)) => begun.remove(thread).unwrap_or_default() + behind,
            None => rest.to_owned(),
        };
        let name = text.split('(').next().unwrap().to_owned();
        calls.push(Call { name, text, done: true });
    }
    calls
}

impl Call {
    fn is_of(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    fn hears_a_bundle(&self) -> bool {
        self.done
            && self.is_of(&["read", "recvfrom", "recvmsg"])
            && self.text.contains("\"POST /fhir HTTP/1.1")
    }

    fn says_2xx(&self) -> bool {
        self.is_of(&["write", "writev", "sendto", "sendmsg"]) && self.text.contains("\"HTTP/1.1 20")
    }

    fn writes_log(&self) -> bool {
        self.is_of(&["write", "writev", "pwrite64", "pwritev"])
            && self.text.contains("house.sqlite-wal>")
    }

    fn has_synced_log(&self) -> bool {
        let synced = self.is_of(&["fsync", "fdatasync"]) && self.text.contains("house.sqlite-wal>");
        self.done && synced && self.text.ends_with("= 0")
    }
}

#[test]
fn before_every_2xx_the_disk_has_said_that_it_has_it() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not here, so the order of system calls is not looked at");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (payer, hospital, plan) = houses(place.path());
    speak_plainly(&payer);
    let trace = place.path().join("calls");
    let Some(process) = trace_house(&payer, &trace) else { return };
    let mut sender = Sender::with_keys_of(&hospital, &payer);
    sender.base_url = sender.base_url.replace("https://", "http://");
    let token = sender.token("system/*.cruds").unwrap();
    let load = Load::drawn(1, &sender, &plan.members);
    for request in &load.requests[..REQUESTS] {
        let told = RUNTIME.block_on(send(&sender, &token, request)).unwrap();
        assert_eq!(told.status, 200);
    }
    process.stop();
    let calls = calls(&std::fs::read_to_string(trace).unwrap());

    let mut answered = 0;
    let mut at = 0;
    while let Some(heard) = calls[at..].iter().position(Call::hears_a_bundle) {
        let from = at + heard;
        let said = calls[from..].iter().position(Call::says_2xx).expect("it is answered");
        let between = &calls[from..from + said];
        let written = between.iter().rposition(Call::writes_log).expect("the log is written");
        let synced = between.iter().rposition(Call::has_synced_log);
        assert!(synced.is_some_and(|synced| synced > written), "{between:#?}");
        (at, answered) = (from + said + 1, answered + 1);
    }
    assert_eq!(answered, REQUESTS);
}

/// The house, traced; `None`, after one line, where that is not allowed.
fn trace_house(payer: &House, trace: &Path) -> Option<Process> {
    let (folder, trace) = (payer.folder.to_str().unwrap(), trace.to_str().unwrap());
    let under = ["strace", "-f", "-y", "-s", "48", "-e", CALLS, "-o", trace];
    let words = ["--house", folder, "serve", "--tethered"];
    let mut process = Process::start_under(&under, &words, &[("HANDOVER_LOG", "warn")]);
    if process.opens_within(std::time::Duration::from_secs(120)) != Some(true) {
        let said = process.kill();
        let refused = said.stderr.contains("PTRACE") || said.stderr.contains("ptrace");
        assert!(refused, "{}", said.stderr);
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    Some(process)
}
