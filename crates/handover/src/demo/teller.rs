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
            writeln!(out, "{line}").ok();
        }
        out.flush().ok();
    }

    /// A fact for machines.
    pub(super) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(facts) = &mut self.facts {
            facts.insert(name.to_owned(), value.into());
        }
    }

    /// A bar on a terminal; nothing elsewhere.
    pub(super) fn bar(&self, length: usize) -> ProgressBar {
        let shown = self.facts.is_none() && std::io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length as u64), target);
        let style = ProgressStyle::with_template("  {pos}/{len} {bar:40} {elapsed}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
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
