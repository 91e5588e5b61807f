//! State: how far an export has come in its folder.
//!
//! Comes in   the folder; places in files, as they become durable.
//! Goes out   the same after a sudden end.
//! Never      says that more is there than the disk has.

use crate::config::unwritable;
use exchange::{Code, Issue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use wire::fetch::Place;

/// The file that says it.
const STATE: &str = "export.json";

/// Characters of a file's name that come from the server.
const NAME_CHARACTERS: usize = 60;

/// A file that was begun.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Where reading goes on.
    pub(super) place: Place,
    /// Bytes of it on the disk.
    pub(super) written: u64,
    /// It is there to its end, under its name.
    pub(super) done: bool,
}

/// How far it has come.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    #[serde(skip)]
    pub(super) folder: PathBuf,
    /// What was asked for.
    words: String,
    /// Where the server said to ask for it.
    pub(super) place: Option<String>,
    pub(super) files: BTreeMap<String, Begun>,
    /// All is fetched.
    ended: bool,
}

impl State {
    /// Opens a folder: what was begun there with the same words goes on.
    ///
    /// Errors: `CommandInvalid` where it holds another export, or one that was fetched to its end.
    pub(super) fn open(folder: &Path, words: &str) -> Result<State, Issue> {
        fs::create_dir_all(folder).map_err(|_| unwritable(folder))?;
        let invalid = |detail: &str| {
            Err(Issue::new(Code::CommandInvalid, detail).at(folder.display().to_string()))
        };
        let Ok(text) = fs::read_to_string(folder.join(STATE)) else {
            if fs::read_dir(folder).is_ok_and(|mut all| all.next().is_some()) {
                return invalid("this folder holds something else; name a new one");
            }
            let (place, files) = (None, BTreeMap::new());
            let (folder, words) = (folder.to_owned(), words.to_owned());
            return Ok(State { folder, words, place, files, ended: false });
        };
        let Ok(state) = serde_json::from_str::<State>(&text) else {
            return invalid("its export.json cannot be read; name a new folder");
        };
        match (state.words == words, state.ended) {
            (false, _) => invalid("another export was begun in this folder; name a new one"),
            (_, true) => invalid("this folder holds a whole export; name a new one"),
            (true, false) => Ok(State { folder: folder.to_owned(), ..state }),
        }
    }

    /// Writes it down.
    pub(super) fn save(&self) -> Result<(), Issue> {
        let fresh = self.folder.join("export.json.new");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|_| Issue::new(Code::InternalError, "the state cannot be written"))?;
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, self.folder.join(STATE))?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|_| unwritable(&self.folder))
    }

    /// All is fetched.
    pub(super) fn end(&mut self) -> Result<(), Issue> {
        self.ended = true;
        self.save()
    }
}

/// A file's name in the folder: its list, the page of the manifest, its number and type, and what the
/// server calls it, as far as that is harmless.
pub(super) fn name(list: &str, page: u64, number: usize, kind: Option<&str>, url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let plain = |text: &str| -> String {
        let signs =
            text.chars().filter(|sign| sign.is_ascii_alphanumeric() || "-_.".contains(*sign));
        signs.take(NAME_CHARACTERS).collect()
    };
    let last = plain(last.trim_end_matches(".ndjson"));
    let kind = plain(kind.unwrap_or("records"));
    format!("{list}-{page}-{number:04}-{kind}-{last}.ndjson")
}

#[cfg(test)]
mod tests {
    //! Goal: no name leads out of the folder, and no two files have one.
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_harmless_whatever_the_server_calls_a_file() {
        for url in [
            "https://h/f/../../etc/passwd",
            "https://h/a%2Fb\\c",
            "https://h/",
            "",
            "https://h/x?t=secret",
        ] {
            let name = name("output", 1, 3, Some("../Patient"), url);
            assert!(
                name.starts_with("output-1-0003-..Patient-") && name.ends_with(".ndjson"),
                "{name}"
            );
            assert!(!name.contains(['/', '\\', '%']) && !name.contains("secret"), "{name}");
        }
    }

    #[test]
    fn a_folder_goes_on_with_its_own_export_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path(), "a").unwrap();
        state.place = Some("https://h/status/1".to_owned());
        state.save().unwrap();
        assert_eq!(State::open(folder.path(), "a").unwrap().place, state.place);
        assert_eq!(State::open(folder.path(), "b").unwrap_err().code, Code::CommandInvalid);
        state.end().unwrap();
        assert_eq!(State::open(folder.path(), "a").unwrap_err().code, Code::CommandInvalid);
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("a.txt"), "a").unwrap();
        assert_eq!(State::open(other.path(), "a").unwrap_err().code, Code::CommandInvalid);
    }
}
