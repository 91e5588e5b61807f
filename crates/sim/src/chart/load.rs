//! Load: read FHIR files that others wrote into a chart.
//!
//! Comes in   folders or files: Bundles of any type, single resources, NDJSON; plain or gzip.
//! Goes out   a chart whose references are relative, and a count of what was met on the way.
//! Never      changes a byte beside reference strings (and an id where a resource has none).
//!
//! Why references are resolved here: a transaction Bundle leaves that to the server that takes it
//! (FHIR R4 §3.1.0.11.2), and the town's EHR must hold what such a server would hold. Source ids
//! are kept, unlike on a server, so that a test can find a resource by the id in its file.
//!
//! A resource without an id takes the uuid of its `fullUrl`; without either, the first 40 hex
//! digits of the SHA-256 of its type, a line feed and its bytes. The id is inserted behind
//! `resourceType`. Two such resources with identical bytes are therefore one.

use super::resolve::{merge, patient_of, resolve, urns};
use super::splice::{Found, references};
use super::{Chart, ChartError, sha256_hex};
use crate::limits::{DEPTH_MAX, FILE_BYTES_MAX, FILES_MAX, KIND_CHARS_MAX, RESOURCES_MAX};
use bytes::Bytes;
use fhir::is_id;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadPlan {
    /// Keep the first so many patients; `None` keeps all.
    pub patients: Option<usize>,
    /// Leave references that point to nothing as they are and list them, instead of refusing.
    pub lenient: bool,
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The chart.
    pub chart: Chart,
    /// Files read.
    pub files: usize,
    /// Lines or entries that hold no resource, such as the log of a Bulk export.
    pub without_resource: usize,
    /// Resources that came again, identical.
    pub repeated: usize,
    /// Resources that had no id and were given one.
    pub given_ids: usize,
    /// `urn:uuid:` and conditional references that point to nothing (only when lenient).
    pub unresolved: Vec<Unresolved>,
}

/// A place in a file: the so-many-eth entry of a Bundle or line of NDJSON, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, without its folder.
    pub file: Arc<str>,
    /// Which entry or line, from 0.
    pub entry: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entry {}", self.file, self.entry)
    }
}

/// A reference that points to nothing, or to more than one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// In which entry.
    pub place: Place,
    /// FHIRPath in the resource, its type first.
    pub path: String,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.place, self.path, self.why)
    }
}

/// Reads all files, then resolves: a Bundle may point to what a later file holds.
pub(super) fn load(paths: &[&Path], plan: &LoadPlan) -> Result<Loaded, ChartError> {
    let files = list_files(paths)?;
    let mut pile = Pile::new(plan.patients);
    for file in &files {
        pile.read_file(file)?;
    }
    let drafts = pile.keep_patients()?;
    let (resources, unresolved) = resolve(&drafts)?;
    if !plan.lenient && !unresolved.is_empty() {
        return Err(ChartError::Unresolved(unresolved));
    }
    let given_ids = drafts.iter().filter(|draft| draft.given_id.is_some()).count();
    let read = resources.len();
    let chart = merge(&drafts, resources)?;
    Ok(Loaded {
        repeated: read - chart.len(),
        files: files.len(),
        without_resource: pile.without_resource,
        given_ids,
        unresolved,
        chart,
    })
}

/// The files below the paths, by name, so that the order does not depend on the disk.
fn list_files(paths: &[&Path]) -> Result<Vec<PathBuf>, ChartError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.to_path_buf());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
            let file = entry.map_err(|e| unreadable(path, &e))?.path();
            if file.is_file() && form(&file).is_some() {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
        if files.len() > FILES_MAX {
            return Err(ChartError::TooLarge { file: name(path), limit: "FILES_MAX" });
        }
    }
    Ok(files)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Ndjson,
}

fn form(path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    match name.rsplit_once('.')?.1 {
        "json" => Some(Form::Json),
        "ndjson" => Some(Form::Ndjson),
        _ => None,
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn unreadable(path: &Path, cause: &std::io::Error) -> ChartError {
    ChartError::Unreadable { file: name(path), cause: cause.to_string() }
}

/// The whole file as text, unpacked, within the limit.
fn read_text(path: &Path) -> Result<Bytes, ChartError> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut bytes = Vec::new();
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let read = if packed {
        let unpacked = flate2::read::MultiGzDecoder::new(file);
        unpacked.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    };
    read.map_err(|e| unreadable(path, &e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ChartError::TooLarge { file: name(path), limit: "FILE_BYTES_MAX" });
    }
    Ok(Bytes::from(bytes))
}

/// A resource as its file wrote it.
pub(super) struct Draft {
    pub(super) place: Place,
    pub(super) kind: String,
    pub(super) id: String,
    /// The id that the resource lacked.
    pub(super) given_id: Option<String>,
    /// The `fullUrl` of its entry, when that is a uuid.
    pub(super) urn: Option<String>,
    /// A slice of its file, always valid UTF-8.
    bytes: Bytes,
}

impl Draft {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    pub(super) fn references(&self) -> Result<Vec<Found>, ChartError> {
        references(self.text()).map_err(|_| ChartError::Malformed {
            place: self.place.clone(),
            cause: format!("nests deeper than {DEPTH_MAX} levels"),
        })
    }
}

/// What the files held, so far.
struct Pile {
    drafts: Vec<Draft>,
    patients_max: usize,
    patients: HashSet<String>,
    /// Patients beyond the number wanted; what is theirs goes with them.
    left_out: HashSet<String>,
    without_resource: usize,
}

#[derive(Deserialize)]
struct BundleText<'a> {
    #[serde(borrow, default)]
    entry: Vec<EntryText<'a>>,
}

#[derive(Deserialize)]
struct EntryText<'a> {
    #[serde(borrow, default, rename = "fullUrl")]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default, rename = "resourceType")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
}

impl Pile {
    fn new(patients: Option<usize>) -> Pile {
        Pile {
            drafts: Vec::new(),
            patients_max: patients.unwrap_or(usize::MAX),
            patients: HashSet::new(),
            left_out: HashSet::new(),
            without_resource: 0,
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ChartError> {
        let Some(form) = form(path) else {
            let cause = "is neither .json nor .ndjson".to_owned();
            return Err(ChartError::Unreadable { file: name(path), cause });
        };
        let file: Arc<str> = name(path).into();
        let bytes = read_text(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let cause = format!("is not UTF-8 at byte {}", e.valid_up_to());
            ChartError::Unreadable { file: name(path), cause }
        })?;
        let mut found = Vec::new();
        match form {
            Form::Json => self.read_json(&file, &bytes, text, &mut found)?,
            Form::Ndjson => {
                for (entry, line) in text.lines().enumerate() {
                    if !line.trim().is_empty() {
                        let place = Place { file: file.clone(), entry };
                        found.extend(self.draft(place, &bytes, line.trim(), None)?);
                    }
                }
            }
        }
        self.take_in(found, form == Form::Json);
        if self.drafts.len() > RESOURCES_MAX {
            return Err(ChartError::TooLarge { file: name(path), limit: "RESOURCES_MAX" });
        }
        Ok(())
    }

    fn read_json(
        &mut self,
        file: &Arc<str>,
        bytes: &Bytes,
        text: &str,
        found: &mut Vec<Draft>,
    ) -> Result<(), ChartError> {
        let start = Place { file: file.clone(), entry: 0 };
        let head: Head<'_> = parse(&start, text)?;
        if head.kind.as_deref() != Some("Bundle") {
            found.extend(self.draft(start, bytes, text.trim(), None)?);
            return Ok(());
        }
        let bundle: BundleText<'_> = parse(&start, text)?;
        for (entry, row) in bundle.entry.iter().enumerate() {
            let Some(resource) = row.resource else {
                self.without_resource += 1;
                continue;
            };
            let place = Place { file: file.clone(), entry };
            let urn = row.full_url.as_deref().filter(|url| url.starts_with(URN));
            found.extend(self.draft(place, bytes, resource.get(), urn)?);
        }
        Ok(())
    }

    /// The resource at a place, or none where the JSON there is not one.
    fn draft(
        &mut self,
        place: Place,
        file: &Bytes,
        text: &str,
        urn: Option<&str>,
    ) -> Result<Option<Draft>, ChartError> {
        let head: Head<'_> = parse(&place, text)?;
        let Some(kind) = head.kind else {
            self.without_resource += 1;
            return Ok(None);
        };
        let given_id = match head.id {
            Some(_) => None,
            None => Some(urn.and_then(|urn| urn.strip_prefix(URN)).map_or_else(
                || sha256_hex(&[kind.as_bytes(), text.as_bytes()])[..40].to_owned(),
                str::to_owned,
            )),
        };
        let id = head.id.map(Cow::into_owned).or_else(|| given_id.clone()).unwrap_or_default();
        if !is_id(&id) || !is_kind(&kind) {
            let cause = "resourceType or id is not one FHIR allows".to_owned();
            return Err(ChartError::Malformed { place, cause });
        }
        let bytes = file.slice_ref(text.as_bytes());
        let (kind, urn) = (kind.into_owned(), urn.map(str::to_owned));
        Ok(Some(Draft { place, kind, id, given_id, urn, bytes }))
    }

    /// Keeps the drafts of one file, unless it is a Bundle about patients of whom none is wanted.
    fn take_in(&mut self, found: Vec<Draft>, one_bundle: bool) {
        let (mut wanted, mut unwanted) = (0, 0);
        for patient in found.iter().filter(|draft| draft.kind == "Patient") {
            if self.patients.contains(&patient.id) || self.patients.len() < self.patients_max {
                self.patients.insert(patient.id.clone());
                wanted += 1;
            } else {
                self.left_out.insert(patient.id.clone());
                unwanted += 1;
            }
        }
        if !(one_bundle && unwanted > 0 && wanted == 0) {
            self.drafts.extend(found);
        }
    }

    /// Drops what belongs to a patient who was left out.
    fn keep_patients(&mut self) -> Result<Vec<Draft>, ChartError> {
        let drafts = std::mem::take(&mut self.drafts);
        if self.left_out.is_empty() {
            return Ok(drafts);
        }
        let urns = urns(&drafts)?;
        let mut kept = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let patient = match draft.kind.as_str() {
                "Patient" => Some(draft.id.clone()),
                _ => patient_of(&draft, &urns)?,
            };
            if !patient.is_some_and(|id| self.left_out.contains(&id)) {
                kept.push(draft);
            }
        }
        Ok(kept)
    }
}

pub(super) const URN: &str = "urn:uuid:";

fn parse<'a, T: Deserialize<'a>>(place: &Place, text: &'a str) -> Result<T, ChartError> {
    serde_json::from_str(text).map_err(|error| ChartError::Malformed {
        place: place.clone(),
        // The words of the parser may quote a value; its line and column do not.
        cause: format!("is not the JSON expected, line {} column {}", error.line(), error.column()),
    })
}

pub(super) fn is_kind(kind: &str) -> bool {
    kind.len() <= KIND_CHARS_MAX
        && kind.starts_with(|c: char| c.is_ascii_uppercase())
        && kind.chars().all(|c| c.is_ascii_alphanumeric())
}
