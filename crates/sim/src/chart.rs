//! Chart: what one hospital's record holds, as bytes, in a fixed order.
//!
//! Comes in   resources from the town, or from files that others wrote (`load`).
//! Goes out   the same bytes, by type and id.
//! Never      re-serialises a resource: what was written is what is read, digit for digit.
//!
//! Why sorted by type and id: order, digest and every choice made from a chart ("the first
//! laboratory result") must not depend on the order of files in a folder.

mod load;
mod resolve;
pub mod splice;

pub use load::{LoadPlan, Loaded, Place, Unresolved};

use bytes::Bytes;
use exchange::{Code, Issue};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::path::Path;

/// One resource of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartResource {
    /// The FHIR type, such as `Encounter`.
    pub kind: String,
    /// The logical id in this chart.
    pub id: String,
    /// The resource as JSON text, as its source wrote it.
    pub bytes: Bytes,
}

impl ChartResource {
    /// `Type/id`.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }
}

/// All resources of one hospital, sorted by type and id, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chart {
    resources: Vec<ChartResource>,
}

impl Chart {
    /// Sorts the resources; one that comes twice must be identical both times.
    pub fn new(mut resources: Vec<ChartResource>) -> Result<Chart, ChartError> {
        resources.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
        let same = |a: &ChartResource, b: &ChartResource| a.kind == b.kind && a.id == b.id;
        if let Some(pair) =
            resources.windows(2).find(|pair| same(&pair[0], &pair[1]) && pair[0] != pair[1])
        {
            return Err(ChartError::Differing { kind: pair[0].kind.clone(), places: Vec::new() });
        }
        resources.dedup_by(|a, b| same(a, b));
        Ok(Chart { resources })
    }

    /// Reads a folder (or one file) of Bundles (`*.json`) and NDJSON (`*.ndjson`), either also
    /// with `.gz`, and resolves `urn:uuid:` and conditional references to `Type/id`.
    ///
    /// `patients` keeps the first so many patients, in order of file and entry, with all that is
    /// theirs and all that is nobody's. Errors name the file and the place, never a value.
    pub fn load(path: &Path, patients: Option<usize>) -> Result<Chart, ChartError> {
        let plan = LoadPlan { patients, lenient: false };
        Ok(Chart::load_with(&[path], &plan)?.chart)
    }

    /// As [`Chart::load`], from several folders or files, with a count of what was met on the way.
    pub fn load_with(paths: &[&Path], plan: &LoadPlan) -> Result<Loaded, ChartError> {
        load::load(paths, plan)
    }

    /// The resource of this type and id.
    pub fn get(&self, kind: &str, id: &str) -> Option<&ChartResource> {
        self.position(kind, id).ok().and_then(|at| self.resources.get(at))
    }

    /// The resource that a relative reference (`Type/id`) points to.
    pub fn find(&self, reference: &str) -> Option<&ChartResource> {
        let (kind, id) = reference.split_once('/')?;
        self.get(kind, id)
    }

    /// Every resource, by type and id.
    pub fn iter(&self) -> std::slice::Iter<'_, ChartResource> {
        self.resources.iter()
    }

    /// The resources as a slice, by type and id.
    pub fn resources(&self) -> &[ChartResource] {
        &self.resources
    }

    /// The resources of one type, by id.
    pub fn of_kind(&self, kind: &str) -> &[ChartResource] {
        let start = self.resources.partition_point(|r| r.kind.as_str() < kind);
        let end = self.resources.partition_point(|r| r.kind.as_str() <= kind);
        self.resources.get(start..end).unwrap_or_default()
    }

    /// How many resources the chart holds.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether the chart holds nothing.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Adds a resource, or puts it in the place of the one with its type and id.
    pub fn put(&mut self, resource: ChartResource) {
        match self.position(&resource.kind, &resource.id) {
            Ok(at) => self.resources[at] = resource,
            Err(at) => self.resources.insert(at, resource),
        }
    }

    /// Lower-case hex SHA-256 over type, id, length and bytes of every resource, in order.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for resource in &self.resources {
            hash.update(format!("{}\n{}\n{}\n", resource.kind, resource.id, resource.bytes.len()));
            hash.update(&resource.bytes);
        }
        hex(&hash.finalize())
    }

    fn position(&self, kind: &str, id: &str) -> Result<usize, usize> {
        self.resources.binary_search_by(|r| (r.kind.as_str(), r.id.as_str()).cmp(&(kind, id)))
    }
}

impl<'a> IntoIterator for &'a Chart {
    type Item = &'a ChartResource;
    type IntoIter = std::slice::Iter<'a, ChartResource>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why a chart could not be read. Places are named, values never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartError {
    /// A path could not be opened or unpacked.
    Unreadable {
        /// The file or folder.
        file: String,
        /// What the operating system or the unpacking said.
        cause: String,
    },
    /// A file, a resource or the whole is larger than a limit of [`crate::limits`].
    TooLarge {
        /// The file or folder.
        file: String,
        /// Which limit, by its name.
        limit: &'static str,
    },
    /// A place holds no FHIR JSON that can be used.
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong, without the value.
        cause: String,
    },
    /// One or more references point to nothing.
    Unresolved(Vec<Unresolved>),
    /// The same type and id came twice with different content.
    Differing {
        /// The type that came twice.
        kind: String,
        /// Where, when it is known.
        places: Vec<Place>,
    },
}

impl fmt::Display for ChartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChartError::Unreadable { file, cause } => write!(f, "{file} cannot be read: {cause}"),
            ChartError::TooLarge { file, limit } => write!(f, "{file} passes the limit {limit}"),
            ChartError::Malformed { place, cause } => write!(f, "{place}: {cause}"),
            ChartError::Unresolved(all) => {
                write!(f, "{} references point to nothing", all.len())?;
                all.first().map_or(Ok(()), |first| write!(f, "; the first is at {first}"))
            }
            ChartError::Differing { kind, places } => {
                write!(f, "the same {kind} came twice with different content")?;
                places.iter().try_for_each(|place| write!(f, "; {place}"))
            }
        }
    }
}

impl std::error::Error for ChartError {}

impl From<ChartError> for Issue {
    fn from(error: ChartError) -> Issue {
        Issue::new(Code::SourceUnreadable, format!("the chart cannot be loaded: {error}"))
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Lower-case hex SHA-256 of the parts, joined by line feeds.
pub(crate) fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            hash.update(b"\n");
        }
        hash.update(part);
    }
    hex(&hash.finalize())
}
