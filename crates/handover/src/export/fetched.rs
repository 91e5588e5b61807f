//! Fetched: one file of an export, line by line onto the disk.
//!
//! Comes in   its URL, the folder's state.
//! Goes out   the file under its name, and how many lines it has.
//! Never      writes a line twice, or past what the state says before it is cut back to that.

use super::state::{Begun, State};
use crate::config::unwritable;
use crate::limits::EXPORT_SAVED_LINES;
use exchange::Issue;
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use wire::fetch::{Access, Fault, Fetcher};

/// Fetches a file, or the rest of it. Says how many lines it has.
///
/// Errors: those of `Fault::issue`; `CommandInvalid` where the folder cannot be written.
pub(super) async fn file(
    fetcher: &Fetcher,
    access: &Access,
    url: &str,
    name: &str,
    state: &mut State,
) -> Result<u64, Issue> {
    if let Some(begun) = state.files.get(name).filter(|begun| begun.done) {
        return Ok(begun.place.lines);
    }
    let mut attempts = 0;
    loop {
        let before = state.files.get(name).map_or(0, |begun| begun.place.bytes);
        match go_on(fetcher, access, url, name, state).await? {
            Ok(lines) => return Ok(lines),
            Err(Fault::Changed) if before > 0 => {
                // Another file than the one that was begun: from its beginning.
                state.files.insert(name.to_owned(), Begun::default());
            }
            Err(fault) => {
                let brought = state.files.get(name).map_or(0, |begun| begun.place.bytes) > before;
                attempts = if brought { 1 } else { attempts + 1 };
                let pause = fault.pause(attempts).ok_or_else(|| fault.issue(name))?;
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// One attempt.
async fn go_on(
    fetcher: &Fetcher,
    access: &Access,
    url: &str,
    name: &str,
    state: &mut State,
) -> Result<Result<u64, Fault>, Issue> {
    let part = state.folder.join(format!("{name}.part"));
    let failed = |_| unwritable(&part);
    let mut begun = state.files.entry(name.to_owned()).or_default().clone();
    // A sudden end may have come between a file's name and the word that it has it.
    if fs::metadata(&part).map_or(0, |it| it.len()) < begun.written {
        begun = Begun::default();
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&part);
    let mut file = file.map_err(failed)?;
    file.set_len(begun.written).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    let mut out = BufWriter::new(file);
    let mut written = begun.written;
    let mut download = match fetcher.open(url, access, begun.place).await {
        Ok(download) => download,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut fresh = 0;
    let ended = loop {
        let line = match download.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(fault) => break Err(fault),
        };
        let text = line.text.map_err(|long| long.issue(name))?;
        out.write_all(&text).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
        written += text.len() as u64 + 1;
        fresh += 1;
        if fresh >= EXPORT_SAVED_LINES {
            fresh = 0;
            out.flush().and_then(|()| out.get_ref().sync_data()).map_err(failed)?;
            let begun = Begun { place: download.place(), written, done: false };
            state.files.insert(name.to_owned(), begun);
            state.save()?;
        }
    };
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed)?;
    let place = download.place();
    let lines = place.lines;
    let done = ended.is_ok();
    if done {
        fs::rename(&part, state.folder.join(name)).map_err(failed)?;
    }
    state.files.insert(name.to_owned(), Begun { place, written, done });
    state.save()?;
    Ok(ended.map(|()| lines))
}
