//! A Bundle that goes out: bytes in a fixed order, resources as they are.
//!
//! Comes in   the envelope's values and the entries in the order they shall stand.
//! Goes out   the bytes of one Bundle; the same input gives the same bytes.
//! Never      reads or changes a resource: its bytes are appended as they came.

use crate::bundle::{BundleType, Method};
use crate::edit::quoted;

/// Collects a Bundle's bytes.
#[derive(Debug, Clone)]
pub struct BundleWriter {
    kind: BundleType,
    id: Option<String>,
    identifier: Option<(String, String)>,
    timestamp: Option<String>,
    total: Option<u64>,
    links: Vec<(String, String)>,
    entries: Vec<u8>,
    count: usize,
}

/// One entry to write. Texts are escaped here; resources must be valid JSON already.
#[derive(Debug, Clone, Copy, Default)]
pub struct EntryToWrite<'a> {
    /// `fullUrl`.
    pub full_url: Option<&'a str>,
    /// The bytes of a resource.
    pub resource: Option<&'a [u8]>,
    /// `search.mode`.
    pub search_mode: Option<&'a str>,
    /// `request.method` and `request.url`.
    pub request: Option<(Method, &'a str)>,
    /// `request.ifMatch`; written only with a request.
    pub if_match: Option<&'a str>,
    /// `request.ifNoneExist`; written only with a request.
    pub if_none_exist: Option<&'a str>,
    /// What is answered.
    pub response: Option<ResponseToWrite<'a>>,
}

/// `Bundle.entry.response` to write.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseToWrite<'a> {
    /// The status, beginning with its three digits.
    pub status: &'a str,
    /// `Type/id/_history/version`.
    pub location: Option<&'a str>,
    /// The ETag: `W/"version"`.
    pub etag: Option<&'a str>,
    /// An instant.
    pub last_modified: Option<&'a str>,
    /// The bytes of an OperationOutcome.
    pub outcome: Option<&'a [u8]>,
}

impl BundleWriter {
    /// An empty Bundle of this type.
    pub fn new(kind: BundleType) -> BundleWriter {
        BundleWriter {
            kind,
            id: None,
            identifier: None,
            timestamp: None,
            total: None,
            links: Vec::new(),
            entries: Vec::new(),
            count: 0,
        }
    }

    /// The logical id.
    pub fn id(mut self, id: &str) -> BundleWriter {
        self.id = Some(id.to_owned());
        self
    }

    /// `Bundle.identifier`.
    pub fn identifier(mut self, system: &str, value: &str) -> BundleWriter {
        self.identifier = Some((system.to_owned(), value.to_owned()));
        self
    }

    /// `Bundle.timestamp`, an instant.
    pub fn timestamp(mut self, timestamp: &str) -> BundleWriter {
        self.timestamp = Some(timestamp.to_owned());
        self
    }

    /// `Bundle.total`: how many match, not how many stand in this page.
    pub fn total(mut self, total: u64) -> BundleWriter {
        self.total = Some(total);
        self
    }

    /// Adds a link.
    pub fn link(mut self, relation: &str, url: &str) -> BundleWriter {
        self.links.push((relation.to_owned(), url.to_owned()));
        self
    }

    /// Adds an entry behind the ones before it.
    pub fn entry(&mut self, entry: EntryToWrite<'_>) {
        self.entries.extend_from_slice(if self.count == 0 { b"" } else { b"," });
        self.count += 1;
        let mut object = Object::open(&mut self.entries);
        object.text("fullUrl", entry.full_url);
        object.raw("resource", entry.resource);
        if let Some(mode) = entry.search_mode {
            object.below("search", |search| search.text("mode", Some(mode)));
        }
        if let Some((method, url)) = entry.request {
            object.below("request", |request| {
                request.text("method", Some(method.code()));
                request.text("url", Some(url));
                request.text("ifMatch", entry.if_match);
                request.text("ifNoneExist", entry.if_none_exist);
            });
        }
        if let Some(answer) = entry.response {
            object.below("response", |response| {
                response.text("status", Some(answer.status));
                response.text("location", answer.location);
                response.text("etag", answer.etag);
                response.text("lastModified", answer.last_modified);
                response.raw("outcome", answer.outcome);
            });
        }
        object.close();
    }

    /// How many entries were added.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no entry was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes, with the members in the order of R4's definition.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() + 512);
        let mut object = Object::open(&mut out);
        object.text("resourceType", Some("Bundle"));
        object.text("id", self.id.as_deref());
        if let Some((system, value)) = &self.identifier {
            object.below("identifier", |identifier| {
                identifier.text("system", Some(system));
                identifier.text("value", Some(value));
            });
        }
        object.text("type", Some(self.kind.code()));
        object.text("timestamp", self.timestamp.as_deref());
        object.raw("total", self.total.map(|total| total.to_string()).as_ref().map(AsRef::as_ref));
        if !self.links.is_empty() {
            object.list("link", |out| {
                for (position, (relation, url)) in self.links.iter().enumerate() {
                    out.extend_from_slice(if position == 0 { b"" } else { b"," });
                    let mut link = Object::open(out);
                    link.text("relation", Some(relation));
                    link.text("url", Some(url));
                    link.close();
                }
            });
        }
        if self.count > 0 {
            object.list("entry", |out| out.extend_from_slice(&self.entries));
        }
        object.close();
        out
    }
}

/// An object being written: commas and names in one place.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, first: true }
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if self.first { b"" } else { b"," });
        self.first = false;
        self.out.extend_from_slice(quoted(name).as_bytes());
        self.out.push(b':');
    }

    /// A string member, when there is a text.
    pub(crate) fn text(&mut self, name: &str, text: Option<&str>) {
        let text = text.map(quoted);
        self.raw(name, text.as_ref().map(AsRef::as_ref));
    }

    /// A member whose value is JSON already, when there is one.
    pub(crate) fn raw(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.name(name);
            self.out.extend_from_slice(value);
        }
    }

    /// A member that is an object.
    pub(crate) fn below(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        let mut object = Object::open(self.out);
        write(&mut object);
        object.close();
    }

    /// A member that is an array, whose items `write` puts with their commas.
    pub(crate) fn list(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        self.out.push(b'[');
        write(self.out);
        self.out.push(b']');
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}
