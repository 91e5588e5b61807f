//! Instructions: what the pure parts of the receive path cost, counted and not timed.
//!
//! Comes in   valgrind; nothing else, so that the figures are the same however busy the machine is.
//! Goes out   a table: instructions for a Bundle of 50 resources, by part and by resource.
//! Never      counts the making of its input: each part runs once and eleven times, and the
//!            difference counts.
//!
//! Valgrind knows no SHA instructions, so digests count as they cost on a processor without them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "receive/bundles.rs"]
#[allow(dead_code)]
mod bundles;

use bundles::Series;
use bytes::Bytes;
use exchange::answer::{self, Done, Filing};
use exchange::ledger::Event;
use exchange::read::{self, Action, Incoming, SenderTerms};
use exchange::{Chain, Digest, Entry, SubmissionId};
use jiff::Timestamp;
use repository::Standing;
use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};

const RESOURCES: usize = 50;
const NAMESPACE: &str = "https://hospital.example/fhir";

/// A part, with its name.
type Part = (&'static str, fn(&Input));

/// What all parts start from.
struct Input {
    bundle: Bytes,
    terms: SenderTerms,
    incoming: Incoming,
    filings: Vec<Filing>,
}

impl Input {
    fn new() -> Input {
        let series = Series { namespace: NAMESPACE.to_owned(), resources: RESOURCES, name: "i" };
        let bundle = series.bundles(0, 1).remove(0);
        let namespace = Some(NAMESPACE.to_owned());
        let (partner, base) = ("hospital".into(), String::new());
        let terms = SenderTerms { partner, namespace, types: Vec::new(), base };
        let incoming = read::read(bundle.clone(), &terms).expect("the Bundle is sound");
        let filings = incoming.entries.iter().map(|entry| Filing {
            kind: entry.kind.clone(),
            id: entry.id().unwrap_or_default().to_owned(),
            done: Done::Created,
            version: Some(1),
            last_modified: Some(Timestamp::UNIX_EPOCH),
            issues: Vec::new(),
            resource: None,
            in_words: false,
        });
        let filings = filings.collect();
        Input { bundle, terms, incoming, filings }
    }

    fn resources(&self) -> impl Iterator<Item = (usize, &fhir::Resource)> {
        self.incoming.entries.iter().filter_map(|entry| match &entry.action {
            Action::Put(resource) => Some((entry.index, resource)),
            _ => None,
        })
    }
}

const PARTS: [Part; 7] = [
    ("index of the Bundle", |input| {
        black_box(fhir::Doc::parse(&input.bundle)).ok();
    }),
    ("digest of the Bundle", |input| {
        black_box(Digest::of(&input.bundle));
    }),
    ("exchange::read", |input| {
        black_box(read::read(input.bundle.clone(), &input.terms)).ok();
    }),
    ("repository::keys", |input| {
        input.resources().for_each(|(_, resource)| drop(black_box(repository::keys(resource))));
    }),
    ("plan", |input| {
        let items: Vec<_> = input
            .resources()
            .filter_map(|(index, resource)| repository::Incoming::put(index, resource))
            .collect();
        let filing = repository::Filing {
            owner: "hospital".into(),
            receipt: "r".to_owned(),
            lane: Some("hospital|p".to_owned()),
            number: Some(1),
            as_of: None,
        };
        let heads = vec![None; items.len()];
        let standing = Standing { heads: &heads, marks: &heads };
        black_box(repository::plan_transaction(items, &filing, standing)).ok();
    }),
    ("the answer", |input| {
        black_box(answer::answer(read::Form::Transaction, &input.filings, None));
    }),
    ("a ledger entry", |_| {
        let records = Digest::of(b"");
        let event = Event::Filed { records, created: 50, updated: 0, unchanged: 0, deleted: 0 };
        let chain = Chain::Submission(SubmissionId("0123456789abcdef".to_owned()));
        black_box(Entry::new(1, Timestamp::UNIX_EPOCH, chain, &event, records));
    }),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [part, times] = words.as_slice() {
        let (part, times): (usize, usize) = (part.parse().unwrap(), times.parse().unwrap());
        let input = Input::new();
        (0..times).for_each(|_| PARTS[part].1(&input));
        return ExitCode::SUCCESS;
    }
    if !words.iter().any(|word| word == "--bench") {
        println!("a bench: `cargo xtask bench --instructions` runs it");
        return ExitCode::SUCCESS;
    }
    println!("{:24} {:>14} {:>14}", "part", "instructions", "a resource");
    for (number, (name, _)) in PARTS.iter().enumerate() {
        let (Some(once), Some(often)) = (count(number, 1), count(number, 11)) else {
            println!("valgrind is not here, or does not count");
            return ExitCode::FAILURE;
        };
        let each = often.saturating_sub(once) / 10;
        println!("{name:24} {each:14} {:14}", each / RESOURCES as u64);
    }
    ExitCode::SUCCESS
}

/// Instructions of a run in which the part runs so often.
fn count(part: usize, times: usize) -> Option<u64> {
    let me = std::env::current_exe().ok()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(me);
    valgrind.args([part.to_string(), times.to_string()]).stdin(Stdio::null());
    let said = valgrind.output().ok()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let line = said.lines().find_map(|line| line.split("Collected : ").nth(1))?;
    line.split_whitespace().next()?.parse().ok()
}
