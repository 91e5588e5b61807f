//! Stored: every text that a payer keeps, searched for what must not be there.
//!
//! Comes in   a payer's folder and memory; planted values.
//! Goes out   nothing, or the reason why a value must not be found, and where it was.
//! Never      says the value.
//!
//! Contents are packed in the database, so they are read through the house's own memory: every
//! version of every record, every body and answer, every row and line. The folder is searched as it
//! lies as well, for what that memory does not know of.

use crate::common::{House, RUNTIME};
use sim::overlay::Planted;
use std::collections::BTreeSet;
use std::path::Path;
use store::{House as _, WorkKind};

/// Everything a payer keeps: where it lies, and the text.
pub(crate) struct Stored {
    texts: Vec<(String, Vec<u8>)>,
}

impl Stored {
    pub(crate) fn at(payer: &House) -> Stored {
        let mut texts = Vec::new();
        let memory = payer.memory();
        let mut digests = BTreeSet::new();
        for (kind, id, version, _) in payer.dump() {
            let found = RUNTIME.block_on(memory.record(&kind, &id, Some(version))).unwrap();
            let content = found.and_then(|record| record.content);
            texts.extend(
                content.map(|content| (format!("a version of a {kind}"), content.to_vec())),
            );
        }
        for kind in [WorkKind::Submission, WorkKind::Push, WorkKind::Trigger] {
            for row in payer.works(kind) {
                let body = String::from_utf8_lossy(&row.work.body).into_owned();
                digests.extend(digests_in(&body));
                texts.push(("a row of work".to_owned(), row.work.body.to_vec()));
            }
        }
        for entry in RUNTIME.block_on(memory.entries(1, 1_000_000)).unwrap() {
            digests.extend(digests_in(&entry.body));
            texts.push(("a line of the ledger".to_owned(), entry.body.into_bytes()));
        }
        let mut bodies = 0;
        for digest in digests {
            let Ok(digest) = digest.parse() else { continue };
            if let Some(content) = RUNTIME.block_on(memory.blob(&digest)).unwrap() {
                bodies += 1;
                texts.push(("a body or an answer".to_owned(), content.to_vec()));
            }
        }
        assert!(bodies > 0, "what arrived is kept as it arrived");
        let mut files = 0;
        walk(&payer.folder, &mut |path, content| {
            files += 1;
            texts.push((path.file_name().unwrap().to_string_lossy().into_owned(), content));
        });
        assert!(files > 3);
        Stored { texts }
    }

    /// Texts that are kept nowhere.
    pub(crate) fn of<'t>(place: &str, texts: impl Iterator<Item = &'t String>) -> Stored {
        let texts = texts.map(|text| (place.to_owned(), text.clone().into_bytes()));
        Stored { texts: texts.collect() }
    }

    /// Where the first of these values is found, and why it must not be.
    pub(crate) fn first_found<'p>(
        &self,
        planted: impl Iterator<Item = &'p Planted>,
    ) -> Option<(&str, &'static str)> {
        let planted: Vec<_> = planted.collect();
        let needles = aho(&planted);
        self.texts.iter().find_map(|(place, text)| {
            needles.first_in(text).map(|at| (place.as_str(), planted[at].why))
        })
    }

    /// Whether a text is found anywhere at all: so that a search for nothing is seen to search.
    pub(crate) fn holds(&self, value: &str) -> bool {
        self.texts.iter().any(|(_, text)| contains(text, value.as_bytes()))
    }
}

/// Hexadecimal words of the length of a digest.
fn digests_in(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit());
    words.filter(|word| word.len() == 64).map(str::to_owned).collect()
}

fn walk(folder: &Path, take: &mut impl FnMut(&Path, Vec<u8>)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, take),
            false => take(&path, std::fs::read(&path).unwrap_or_default()),
        }
    }
}

/// Many values at once: by their first eight bytes, so that a text is walked through once.
struct Needles<'p> {
    by_start: std::collections::HashMap<[u8; START], Vec<(usize, &'p [u8])>>,
}

const START: usize = 8;

fn aho<'p>(planted: &[&'p Planted]) -> Needles<'p> {
    let mut by_start: std::collections::HashMap<_, Vec<_>> = std::collections::HashMap::new();
    for (at, one) in planted.iter().enumerate() {
        let value = one.value.as_bytes();
        let start: [u8; START] = value[..START].try_into().expect("a planted value is long");
        by_start.entry(start).or_default().push((at, value));
    }
    Needles { by_start }
}

impl Needles<'_> {
    fn first_in(&self, text: &[u8]) -> Option<usize> {
        text.windows(START).enumerate().find_map(|(place, window)| {
            let start: &[u8; START] = window.try_into().ok()?;
            let fit = self.by_start.get(start)?.iter();
            fit.filter(|(_, value)| text[place..].starts_with(value)).map(|(at, _)| *at).next()
        })
    }
}

fn contains(text: &[u8], value: &[u8]) -> bool {
    text.windows(value.len()).any(|window| window == value)
}
