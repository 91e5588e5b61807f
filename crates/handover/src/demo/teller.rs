//! Teller: says the story, or keeps its facts for JSON.
//!
//! Comes in   sentences and facts, as they come to pass.
//! Goes out   text on stdout, or one JSON object at the end.
//! Never      both.

use crate::table;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};

/// Columns of the story.
const WIDTH: usize = 96;

/// Encounters from one plain line of progress to the next.
const PLAIN_STEP: u64 = 100;

/// How far it is.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    /// One more.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        let done = self.bar.position();
        if self.lines && done.is_multiple_of(PLAIN_STEP) {
            println!("  {done} of {} triggered", self.bar.length().unwrap_or_default());
        }
    }

    /// No more.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Says the story.
pub(super) struct Teller {
    facts: Option<Map<String, Value>>,
}

impl Teller {
    pub(super) fn new(json: bool) -> Teller {
        Teller { facts: json.then(Map::new) }
    }

    /// A paragraph.
    pub(super) fn say(&mut self, sentence: &str) {
        let lines = table::wrapped(sentence, WIDTH);
        self.put(&lines);
    }

    /// An empty line and a heading.
    pub(super) fn heading(&mut self, words: &str) {
        self.put(&[String::new(), words.to_owned()]);
    }

    /// Lines as they are.
    pub(super) fn put(&mut self, lines: &[String]) {
        if self.facts.is_some() {
            return;
        }
        let mut out = std::io::stdout().lock();
        for line in lines {
            writeln!(out, "{}", table::plain(line)).ok();
        }
        out.flush().ok();
    }

    /// A fact for machines.
    pub(super) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(facts) = &mut self.facts {
            facts.insert(name.to_owned(), value.into());
        }
    }

    /// How far it is: a bar on a terminal, now and then a line elsewhere.
    pub(super) fn progress(&self, length: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let (bar, line) = (self.facts.is_none() && terminal, self.facts.is_none() && !terminal);
        let target = if bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length as u64), target);
        let style = ProgressStyle::with_template("  {pos}/{len} {bar:40} {elapsed}");
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, lines: line && length > PLAIN_STEP as usize }
    }

    /// The facts, where they were asked for.
    pub(super) fn finish(self) {
        if let Some(facts) = self.facts {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", json!({ "demo": facts })).ok();
            out.flush().ok();
        }
    }
}
