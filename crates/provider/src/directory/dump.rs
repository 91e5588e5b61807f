//! Dump: a copy of a directory in a folder, as `handover directory import` leaves it.
//!
//! Comes in   NDJSON files, Bundles and single resources.
//! Goes out   what they hold about a payer.
//! Never      anything of the network; never more than its limits at once.

use super::{Directory, KINDS};
use crate::limits::{DIRECTORY_DUMP_BYTES_MAX, DIRECTORY_LINE_BYTES_MAX};
use bytes::Bytes;
use exchange::endpoint::{Listing, Sought};
use exchange::{Code, Issue};
use fhir::{Doc, Resource};
use jiff::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use wire::BoxFuture;

/// A folder.
pub struct Dump {
    /// As lists call it.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Held {
    /// Organizations, endpoints and affiliations.
    pub resources: Vec<Resource>,
    /// Resources of other types, which nobody asks for.
    pub others: u64,
    /// What cannot be read: the file, and the line or entry.
    pub faults: Vec<(String, String)>,
}

impl Directory for Dump {
    fn find<'a>(
        &'a self,
        sought: &'a Sought,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Listing, Issue>> {
        Box::pin(async move {
            let folder = self.folder.clone();
            let read = tokio::task::spawn_blocking(move || read(&folder)).await;
            let held =
                read.map_err(|_| Issue::new(Code::InternalError, "a directory's copy"))??;
            let mut listing = Listing::of(&held.resources, sought, now);
            listing.faults.extend(held.faults);
            Ok(listing)
        })
    }
}

/// Reads all files of a folder that end in `.ndjson` or `.json`, in the order of their names.
///
/// Errors: `DirectoryUnreachable` for a folder that cannot be read, or holds too much.
pub fn read(folder: &Path) -> Result<Held, Issue> {
    let unreadable = |detail: &str| {
        Issue::new(Code::DirectoryUnreachable, detail).at(folder.display().to_string())
    };
    let listing =
        fs::read_dir(folder).map_err(|_| unreadable("a directory's folder cannot be read"))?;
    let mut files: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|it| it.extension().is_some_and(|end| end == "json" || end == "ndjson"));
    files.sort();
    let mut held = Held::default();
    let mut bytes = 0;
    for file in files {
        let name = file.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(content) = fs::read(&file) else {
            held.faults.push((name, "the file cannot be read".to_owned()));
            continue;
        };
        bytes += content.len();
        if bytes > DIRECTORY_DUMP_BYTES_MAX {
            return Err(unreadable("a directory's folder holds more than is read at once"));
        }
        held.read(&name, Bytes::from(content), file.extension().is_some_and(|it| it == "ndjson"));
    }
    Ok(held)
}

impl Held {
    /// Reads one file.
    pub fn read(&mut self, name: &str, content: Bytes, lines: bool) {
        if lines {
            for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let place = format!("{name}, line {}", at + 1);
                match line.len() > DIRECTORY_LINE_BYTES_MAX {
                    true => self.faults.push((place, "the line is too long".to_owned())),
                    false => self.keep(Resource::parse(Bytes::copy_from_slice(line)).ok(), place),
                }
            }
            return;
        }
        let entries = bundle(&content);
        match entries {
            Some(entries) => entries.into_iter().enumerate().for_each(|(at, resource)| {
                self.keep(resource, format!("{name}, entry {at}"));
            }),
            None => self.keep(Resource::parse(content).ok(), name.to_owned()),
        }
    }

    /// What it holds, as NDJSON.
    pub fn lines(&self) -> Vec<u8> {
        fhir::ndjson::write(&self.resources)
    }

    fn keep(&mut self, resource: Option<Resource>, place: String) {
        match resource {
            None => self.faults.push((place, "it is no readable resource".to_owned())),
            Some(it) if KINDS.contains(&it.kind()) => self.resources.push(it.apart()),
            Some(_) => self.others += 1,
        }
    }
}

/// The resources of a Bundle; `None` where it is none.
fn bundle(content: &Bytes) -> Option<Vec<Option<Resource>>> {
    let doc = Doc::parse(content).ok()?;
    let root = doc.root();
    if root.get("resourceType")?.text()? != "Bundle" {
        return None;
    }
    let entries = root.get("entry").into_iter().flat_map(|list| list.items());
    let read = entries.map(|entry| Resource::within(content, entry.get("resource")?).ok());
    Some(read.collect())
}
