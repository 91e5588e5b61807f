//! Kept: what was written at a stranger's door, in a file, so that its process may be ended at any
//! moment.
//!
//! Comes in   writes in the order in which they are carried out; the file of an earlier process.
//! Goes out   the same writes again, at the next start.
//! Never      keeps what only reads or signs in. Never answers what it could not keep.
//!
//! Why requests and not records: carried out again, in the same order and at the same times, they make
//! the same records under the same ids, and the same count of what came.

use super::http::Head;
use bytes::Bytes;
use exchange::{Code, Issue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Headers that decide what a write does.
const HEADERS: [&str; 5] = ["accept", "content-type", "if-match", "if-none-exist", "prefer"];

/// One write, as a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) at: Timestamp,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Kept {
    pub(crate) fn of(at: Timestamp, head: &Head, body: &Bytes) -> Kept {
        let header = |name: &str| Some((name.to_owned(), head.header(name)?.to_owned()));
        Kept {
            at,
            method: head.method.clone(),
            path: head.path.clone(),
            query: head.query.clone(),
            headers: HEADERS.into_iter().filter_map(header).collect(),
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }

    /// The request again.
    pub(crate) fn request(self) -> (Head, Bytes) {
        let Kept { method, path, query, headers, body, .. } = self;
        (Head::new(method, path, query, headers), body.into())
    }
}

/// The file, open for what comes.
#[derive(Debug)]
pub(crate) struct Keeping(File);

impl Keeping {
    /// Opens the file, and gives what an earlier process wrote there. A line without its end was never
    /// answered, and goes.
    ///
    /// Errors: `ConfigInvalid` where it cannot be read or written, or holds something else.
    pub(crate) fn open(path: &Path) -> Result<(Keeping, Vec<Kept>), Issue> {
        let fault = |detail: &str| Issue::new(Code::ConfigInvalid, detail.to_owned());
        let broken = |_| fault("the file of what a simulated payer keeps cannot be opened");
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(broken)?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let lines = text[..whole].lines().map(serde_json::from_str::<Kept>);
        let lines = lines.collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|_| fault("what a simulated payer kept cannot be read"))?;
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(broken)?;
        file.set_len(whole as u64).map_err(broken)?;
        Ok((Keeping(file), lines))
    }

    /// Writes a line; whether it is there, for a process that is ended. (Not for a power cut: nothing
    /// invented is worth a wait for the disk.)
    pub(crate) fn keep(&mut self, line: &Kept) -> bool {
        let Ok(mut text) = serde_json::to_string(line) else { return false };
        text.push('\n');
        self.0.write_all(text.as_bytes()).is_ok()
    }
}
