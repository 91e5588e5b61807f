//! Plan: which files a manifest names, and what lies where in them.
//!
//! Comes in   assembled payloads, one after the other; how files are organised, and how large they get.
//! Goes out   the plan; later any piece of any file, byte for byte, out of the payload it is of.
//! Never      a copy of a resource: a file is made of stored payloads while it is fetched. So its bytes
//!            are known before and the same each time, nothing outlives a purge, and no disk fills up.
//!
//! Bulk Data 4.0.0-ballot, output manifest; 3.0.0, output file organization: a push is a block, behind a
//! header that names its Patient. What a push takes back are Bundles of deletions in a file of its own.

use crate::agreement::Organized;
use crate::bulk::{self, Header};
use crate::id::{Digest, PushId, WalkId};
use crate::issue::{Code, Issue};
use crate::limits::ENTRIES_MAX;
use crate::read::{ABOUT, DIRECTORY};
use bytes::Bytes;
use fhir::{Bundle, BundleType, BundleWriter, Entry, EntryToWrite, Method, Resource};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of the longest line that a push brings to a file, without its end.
///
/// Errors: `InternalError` where its payload is none.
pub fn longest_line(payload: Bytes) -> Result<usize, Issue> {
    let bundle = parsed(payload)?;
    let resources = bundle.entries.iter().filter_map(|entry| entry.resource.as_ref());
    Ok(resources.map(|resource| resource.bytes().len()).max().unwrap_or(0))
}

/// The files of one manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `transactionTime`.
    pub at: Timestamp,
    /// Whether files are organised by Patient.
    pub by_patient: bool,
    /// In the order of the manifest.
    pub files: Vec<File>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The last part of its URL.
    pub name: String,
    /// The type of its resources; none: organised by Patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// It holds Bundles of deletions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Resources, headers aside.
    pub count: u64,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub digest: Digest,
    /// What it is made of, in order.
    pub pieces: Vec<Piece>,
}

/// What one push brings to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The push's handle in this house.
    pub walk: WalkId,
    /// The push.
    pub push: PushId,
    /// Its Patient: the id at the payer.
    pub patient: String,
    /// The stored payload.
    pub payload: Digest,
    /// How many bytes of the file.
    pub bytes: u64,
    /// Which of its resources of the file's type, counted from 0, came with another push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<u32>,
}

/// A push, as a plan needs it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its handle in this house.
    pub walk: WalkId,
    /// The push.
    pub push: PushId,
    /// Its Patient: the id at the payer.
    pub patient: String,
    /// Digest of the stored payload.
    pub payload: Digest,
}

/// What a file holds of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Everything, behind its header.
    Block,
    /// Resources of one type.
    Kind(String),
    /// The Bundles of its deletions.
    Deletions,
}

impl Part {
    /// The bytes of a piece of such a file, out of the payload it is of.
    ///
    /// Errors: `InternalError` where it is no payload, or other bytes come of it than were planned.
    pub fn lines(&self, piece: &Piece, payload: Bytes) -> Result<Bytes, Issue> {
        let (lines, _) = written(&piece.patient, &parsed(payload)?, self, &piece.left_out);
        match lines.len() as u64 == piece.bytes {
            true => Ok(lines.into()),
            false => Err(Issue::new(Code::InternalError, "a file is not what was planned")),
        }
    }

    /// Where its files stand in the manifest.
    fn place(&self) -> u8 {
        match self {
            Part::Block => 0,
            Part::Kind(kind) => match kind.as_str() {
                "Patient" => 0,
                "Coverage" => 1,
                "Provenance" => 3,
                _ => 2,
            },
            Part::Deletions => 4,
        }
    }
}

impl Plan {
    /// All pushes, each once, in their order.
    pub fn pushes(&self) -> Vec<&Piece> {
        let pieces = self.files.iter().flat_map(|file| &file.pieces);
        let mut seen = BTreeSet::new();
        pieces.filter(|piece| seen.insert(&piece.walk)).collect()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Resources of all files, deletions aside.
    pub fn resources(&self) -> u64 {
        self.files.iter().filter(|file| !file.deleted).map(|file| file.count).sum()
    }

    /// As many resources and pushes as outcomes may name of it.
    pub fn names(&self) -> usize {
        let of = |file: &File| match file.deleted {
            true => file.count.saturating_mul(ENTRIES_MAX as u64),
            false => file.count,
        };
        let resources = self.files.iter().map(of).fold(0, u64::saturating_add);
        // Of a push something may be said beside its counts.
        usize::try_from(resources).unwrap_or(usize::MAX).saturating_add(2 * self.pushes().len())
    }

    /// The manifest, as the payer reads it. `url` gives the address of a file; `request` is what the
    /// draft's programs want to find there.
    pub fn manifest(
        &self,
        requires_access_token: bool,
        request: Option<&str>,
        url: impl Fn(&str) -> String,
    ) -> Vec<u8> {
        self.listed(requires_access_token, url).write(request, &[])
    }

    /// What the manifest lists.
    pub fn listed(
        &self,
        requires_access_token: bool,
        url: impl Fn(&str) -> String,
    ) -> bulk::Manifest {
        let listed = |file: &File| bulk::File {
            url: url(&file.name),
            kind: file.kind.clone(),
            count: Some(file.count),
            size: Some(file.bytes),
            continues_in: None,
        };
        let of = |deleted: bool| {
            let files = self.files.iter().filter(|file| file.deleted == deleted);
            files.map(listed).collect()
        };
        bulk::Manifest {
            transaction_time: self.at,
            requires_access_token,
            organized_by: self.by_patient.then(|| "Patient".to_owned()),
            output: of(false),
            deleted: of(true),
            next: None,
        }
    }
}

impl File {
    /// The piece in which a byte of the file lies, and how far into it.
    pub fn piece_at(&self, byte: u64) -> (usize, u64) {
        let mut left = byte;
        for (at, piece) in self.pieces.iter().enumerate() {
            if left < piece.bytes {
                return (at, left);
            }
            left -= piece.bytes;
        }
        (self.pieces.len(), 0)
    }

    /// What it holds of each push.
    pub fn part(&self) -> Part {
        match (&self.kind, self.deleted) {
            (_, true) => Part::Deletions,
            (Some(kind), _) => Part::Kind(kind.clone()),
            (None, _) => Part::Block,
        }
    }
}

/// A plan that is being made: one payload in memory at a time.
pub struct Planner {
    plan: Plan,
    organized: Organized,
    bytes_max: u64,
    kinds: Option<BTreeSet<String>>,
    /// What is about nobody and was brought, where each is wanted once.
    brought: Option<BTreeSet<String>>,
    open: BTreeMap<(u8, String), Open>,
    closed: BTreeMap<(u8, String), Vec<File>>,
}

/// A file that grows.
struct Open {
    file: File,
    hash: Sha256,
}

impl Planner {
    /// An empty plan of this moment.
    pub fn new(at: Timestamp, organized: Organized, bytes_max: u64) -> Planner {
        let by_patient = organized == Organized::Patient;
        Planner {
            plan: Plan { at, by_patient, files: Vec::new() },
            organized,
            bytes_max,
            kinds: None,
            brought: None,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    /// A plan whose files hold these types only, where they hold one type each.
    pub fn only(self, kinds: Option<BTreeSet<String>>) -> Planner {
        Planner { kinds, ..self }
    }

    /// A plan with each resource once (Bulk Data 2.0.0, output files), where files hold one type each: what
    /// is about nobody comes with the histories of many. The first that is added has it.
    pub fn once(self, wanted: bool) -> Planner {
        Planner { brought: wanted.then(BTreeSet::new), ..self }
    }

    /// One push more.
    ///
    /// Errors: `InternalError` where its payload is none.
    pub fn add(&mut self, sent: &Sent, payload: &Bytes) -> Result<(), Issue> {
        let bundle = parsed(payload.clone())?;
        match self.organized {
            Organized::Patient => self.put(sent, &Part::Block, &bundle),
            Organized::Type => {
                let kinds =
                    bundle.entries.iter().filter_map(|it| Some(it.resource.as_ref()?.kind()));
                let asked =
                    |kind: &&str| self.kinds.as_ref().is_none_or(|only| only.contains(*kind));
                let kinds: BTreeSet<String> = kinds.filter(asked).map(str::to_owned).collect();
                kinds.into_iter().for_each(|it| self.put(sent, &Part::Kind(it), &bundle));
            }
        }
        if bundle.entries.iter().any(deletes) {
            self.put(sent, &Part::Deletions, &bundle);
        }
        Ok(())
    }

    fn put(&mut self, sent: &Sent, part: &Part, bundle: &Bundle) {
        let left_out = self.left_out(part, bundle);
        let (lines, count) = written(&sent.patient, bundle, part, &left_out);
        let bytes = lines.len() as u64;
        let name = match part {
            Part::Block => "patients".to_owned(),
            Part::Kind(kind) => kind.clone(),
            Part::Deletions => "deleted".to_owned(),
        };
        let key = (part.place(), name);
        // A piece of which all came before needs no file of its own.
        let full = |open: &Open| bytes > 0 && open.file.bytes + bytes > self.bytes_max;
        if self.open.get(&key).is_some_and(full) {
            self.close(&key);
        }
        let number = self.closed.get(&key).map_or(0, Vec::len) + 1;
        let open =
            self.open.entry(key).or_insert_with_key(|(_, name)| Open::new(name, number, part));
        open.hash.update(&lines);
        open.file.bytes += bytes;
        open.file.count += count;
        let Sent { walk, push, patient, payload } = sent.clone();
        open.file.pieces.push(Piece { walk, push, patient, payload, bytes, left_out });
    }

    /// Which resources of a part came with another push.
    fn left_out(&mut self, part: &Part, bundle: &Bundle) -> Vec<u32> {
        let (Some(brought), Part::Kind(kind)) = (&mut self.brought, part) else {
            return Vec::new();
        };
        if !DIRECTORY.contains(&kind.as_str()) {
            return Vec::new();
        }
        let came_before = |(number, one): (u32, &Resource)| {
            (!brought.insert(one.local_reference())).then_some(number)
        };
        (0..).zip(of_kind(bundle, kind)).filter_map(came_before).collect()
    }

    fn close(&mut self, key: &(u8, String)) {
        if let Some(Open { mut file, hash }) = self.open.remove(key) {
            file.digest = Digest(hash.finalize().into());
            self.closed.entry(key.clone()).or_default().push(file);
        }
    }

    /// The plan: Patients and Coverages first, since the others are about them; deletions last.
    pub fn finish(mut self) -> Plan {
        let open: Vec<_> = self.open.keys().cloned().collect();
        open.iter().for_each(|key| self.close(key));
        self.plan.files = self.closed.into_values().flatten().collect();
        self.plan
    }
}

impl Open {
    fn new(name: &str, number: usize, part: &Part) -> Open {
        let kind = match part {
            Part::Kind(kind) => Some(kind.clone()),
            Part::Deletions => Some("Bundle".to_owned()),
            Part::Block => None,
        };
        let file = File {
            name: format!("{name}-{number}.ndjson"),
            kind,
            deleted: *part == Part::Deletions,
            count: 0,
            bytes: 0,
            digest: Digest::of(b""),
            pieces: Vec::new(),
        };
        Open { file, hash: Sha256::new() }
    }
}

fn parsed(payload: Bytes) -> Result<Bundle, Issue> {
    let unreadable = |_| Issue::new(Code::InternalError, "a stored payload cannot be read");
    Bundle::parse(payload).map_err(unreadable)
}

fn of_kind<'b>(bundle: &'b Bundle, kind: &'b str) -> impl Iterator<Item = &'b Resource> {
    let resources = bundle.entries.iter().filter_map(|entry| entry.resource.as_ref());
    resources.filter(move |it| it.kind() == kind)
}

/// What a push brings to a file but for what is left out of its type, and how many resources that are.
fn written(patient: &str, bundle: &Bundle, part: &Part, left_out: &[u32]) -> (Vec<u8>, u64) {
    let mut out = Vec::new();
    let mut count = 0;
    let mut put = |resource: &Resource, out: &mut Vec<u8>| {
        fhir::ndjson::write_line(out, resource);
        count += 1;
    };
    match part {
        Part::Block => {
            out.extend(header(patient, bundle).line());
            out.push(b'\n');
            let resources = bundle.entries.iter().filter_map(|entry| entry.resource.as_ref());
            resources.for_each(|resource| put(resource, &mut out));
        }
        Part::Kind(kind) => {
            let all = (0..).zip(of_kind(bundle, kind));
            all.filter(|(at, _)| !left_out.contains(at)).for_each(|(_, it)| put(it, &mut out));
        }
        Part::Deletions => {
            for line in deletions(patient, bundle) {
                out.extend(line);
                out.push(b'\n');
                count += 1;
            }
        }
    }
    (out, count)
}

fn header(patient: &str, bundle: &Bundle) -> Header {
    let key = bundle.identifier.clone();
    Header {
        reference: format!("Patient/{patient}"),
        push: key.map(|(system, value)| (system.unwrap_or_default(), value)),
        as_of: bundle.timestamp.as_deref().and_then(|text| text.parse().ok()),
    }
}

/// What a push takes back, each Bundle under its key, about its Patient, and no larger than one that is
/// posted. Their order is the payload's: a Patient goes with the last of them, when nothing is about it any
/// more.
fn deletions(patient: &str, bundle: &Bundle) -> Vec<Vec<u8>> {
    let gone = bundle.entries.iter().filter(|entry| deletes(entry));
    let gone = gone.filter_map(|entry| entry.request.as_ref());
    let urls: Vec<&str> = gone.map(|request| request.url.as_str()).collect();
    urls.chunks(ENTRIES_MAX).map(|urls| deleting(patient, bundle, urls)).collect()
}

/// A Bundle of deletions under the key of a push. Its link says whose records they were: numbers compare
/// within one Patient's pushes, and whoever receives it may have none of the records.
fn deleting(patient: &str, push: &Bundle, urls: &[&str]) -> Vec<u8> {
    let writer = BundleWriter::new(BundleType::Transaction);
    let mut writer = writer.link(ABOUT, &format!("Patient/{patient}"));
    if let Some((system, value)) = &push.identifier {
        writer = writer.identifier(system.as_deref().unwrap_or_default(), value);
    }
    if let Some(timestamp) = &push.timestamp {
        writer = writer.timestamp(timestamp);
    }
    for url in urls {
        let request = Some((Method::Delete, *url));
        writer.entry(EntryToWrite { request, ..EntryToWrite::default() });
    }
    writer.finish()
}

fn deletes(entry: &Entry) -> bool {
    entry.request.as_ref().is_some_and(|request| request.method == Method::Delete)
}

#[cfg(test)]
mod tests;
