//! A Bundle that came in: its envelope read, its resources as slices of the one body.
//!
//! Comes in   the bytes of one R4 Bundle of any type.
//! Goes out   entries in their order, each resource with its index, nothing copied.
//! Never      reads the body twice, and never guesses: a wrong type names its byte and its place
//!            (`Bundle.entry[3].resource.meta.profile[0]`).
//!
//! Why rules between elements are not judged here (bdl-1 to bdl-12, a `PUT` without a resource):
//! in a batch they refuse one entry and not the body, so they belong to whoever walks the entries.

use crate::json::{Doc, Kind, Node, ParseError, Reason};
use crate::limits::BUNDLE_ENTRIES_MAX;
use crate::read::{object, objects, optional, required, resource_type, text, wanted};
use crate::resource::{Resource, check_id};
use bytes::Bytes;
use std::ops::Range;

/// A Bundle (R4 §2.36).
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The whole body as it came.
    pub bytes: Bytes,
    /// `Bundle.type`.
    pub kind: BundleType,
    /// The logical id.
    pub id: Option<String>,
    /// `Bundle.identifier`: system, when there is one, and value. `None` without a value.
    pub identifier: Option<(Option<String>, String)>,
    /// `Bundle.timestamp`, as written.
    pub timestamp: Option<String>,
    /// `Bundle.link`: relation and url.
    pub links: Vec<(String, String)>,
    /// `Bundle.total`.
    pub total: Option<u64>,
    /// The entries, in their order.
    pub entries: Vec<Entry>,
}

/// One entry of a Bundle.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its position, from 0.
    pub index: usize,
    /// `fullUrl`.
    pub full_url: Option<String>,
    /// The resource: a slice of the Bundle's bytes.
    pub resource: Option<Resource>,
    /// What is asked (transaction, batch, history).
    pub request: Option<EntryRequest>,
    /// What was answered.
    pub response: Option<EntryResponse>,
    /// `search.mode`: `match`, `include` or `outcome`.
    pub search_mode: Option<String>,
    /// Byte positions of the entry in the body.
    pub span: Range<usize>,
}

/// `Bundle.entry.request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRequest {
    /// The HTTP method.
    pub method: Method,
    /// The url, relative to the base.
    pub url: String,
    /// `ifMatch`, an ETag such as `W/"3"`.
    pub if_match: Option<String>,
    /// `ifNoneExist`: the query of a conditional create.
    pub if_none_exist: Option<String>,
}

/// `Bundle.entry.response`.
#[derive(Debug, Clone)]
pub struct EntryResponse {
    /// The status, beginning with the three digits: `201 Created`.
    pub status: String,
    /// Where the resource is now.
    pub location: Option<String>,
    /// Its ETag.
    pub etag: Option<String>,
    /// When it was last changed, as written.
    pub last_modified: Option<String>,
    /// Hints, warnings or errors of this entry: an OperationOutcome.
    pub outcome: Option<Resource>,
}

impl EntryResponse {
    /// The three digits of the status; `None` when it does not begin with them.
    pub fn status_code(&self) -> Option<u16> {
        let digits = self.status.get(..3)?;
        let ends = self.status.as_bytes().get(3).is_none_or(|byte| !byte.is_ascii_digit());
        (ends && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident $refusal:literal { $($variant:ident $code:literal)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the codes are the documentation
        pub enum $name { $($variant),* }

        impl $name {
            /// The code as FHIR spells it.
            pub const fn code(self) -> &'static str {
                match self { $($name::$variant => $code),* }
            }

            fn read(node: Node<'_, '_>) -> Result<$name, ParseError> {
                match text(node)?.as_str() {
                    $($code => Ok($name::$variant),)*
                    _ => Err(node.error(Reason::Value($refusal))),
                }
            }
        }
    };
}

codes! {
    /// `bundle-type` of R4.
    BundleType "a Bundle type of R4 is needed" {
        Document "document"
        Message "message"
        Transaction "transaction"
        TransactionResponse "transaction-response"
        Batch "batch"
        BatchResponse "batch-response"
        History "history"
        Searchset "searchset"
        Collection "collection"
    }
}

codes! {
    /// `http-verb` of R4.
    Method "one of GET, HEAD, POST, PUT, DELETE, PATCH is needed" {
        Get "GET"
        Head "HEAD"
        Post "POST"
        Put "PUT"
        Delete "DELETE"
        Patch "PATCH"
    }
}

impl Bundle {
    /// Reads a Bundle of up to `BUNDLE_ENTRIES_MAX` entries.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Bundle, ParseError> {
        Bundle::parse_with_limit(bytes, BUNDLE_ENTRIES_MAX)
    }

    /// Reads a Bundle of up to `entries_max` entries. Offsets of errors count from the start of
    /// the body, and expressions from the Bundle.
    pub fn parse_with_limit(
        bytes: impl Into<Bytes>,
        entries_max: usize,
    ) -> Result<Bundle, ParseError> {
        let bytes = bytes.into();
        let doc = Doc::parse(&bytes)?;
        let root = doc.root();
        resource_type(root, "Bundle")?;
        let kind = root.get("type").ok_or_else(|| root.error(Reason::Missing("type")))?;
        let entries = objects(root, "entry")?;
        if let Some(beyond) = entries.get(entries_max) {
            return Err(beyond.error(Reason::TooMany("entries")));
        }
        Ok(Bundle {
            kind: BundleType::read(kind)?,
            id: read_id(root)?,
            identifier: read_identifier(root)?,
            timestamp: optional(root, "timestamp")?,
            links: read_links(root)?,
            total: root.get("total").map(read_total).transpose()?,
            entries: entries
                .into_iter()
                .enumerate()
                .map(|(index, node)| Entry::read(&bytes, index, node))
                .collect::<Result<_, _>>()?,
            bytes: bytes.clone(),
        })
    }

    /// The url of the link with this relation (`next` of a search page).
    pub fn link(&self, relation: &str) -> Option<&str> {
        self.links.iter().find(|(name, _)| name == relation).map(|(_, url)| url.as_str())
    }
}

impl Entry {
    fn read(body: &Bytes, index: usize, node: Node<'_, '_>) -> Result<Entry, ParseError> {
        let within = |found: Option<Node<'_, '_>>| {
            found.map(|resource| Resource::within(body, resource)).transpose()
        };
        let search = object(node, "search")?;
        Ok(Entry {
            index,
            full_url: optional(node, "fullUrl")?,
            resource: within(node.get("resource"))?,
            request: object(node, "request")?.map(EntryRequest::read).transpose()?,
            response: match object(node, "response")? {
                Some(response) => Some(EntryResponse {
                    status: required(response, "status")?,
                    location: optional(response, "location")?,
                    etag: optional(response, "etag")?,
                    last_modified: optional(response, "lastModified")?,
                    outcome: within(response.get("outcome"))?,
                }),
                None => None,
            },
            search_mode: search.map_or(Ok(None), |search| optional(search, "mode"))?,
            span: node.span(),
        })
    }

    /// A refusal of this entry, for rules that whoever walks the entries judges.
    pub fn error(&self, reason: Reason) -> ParseError {
        let expression = format!("Bundle.entry[{}]", self.index);
        ParseError { offset: self.span.start, expression, reason }
    }
}

impl EntryRequest {
    fn read(node: Node<'_, '_>) -> Result<EntryRequest, ParseError> {
        let method = node.get("method").ok_or_else(|| node.error(Reason::Missing("method")))?;
        Ok(EntryRequest {
            method: Method::read(method)?,
            url: required(node, "url")?,
            if_match: optional(node, "ifMatch")?,
            if_none_exist: optional(node, "ifNoneExist")?,
        })
    }
}

fn read_id(root: Node<'_, '_>) -> Result<Option<String>, ParseError> {
    root.get("id").map(check_id).transpose()?;
    optional(root, "id")
}

fn read_identifier(root: Node<'_, '_>) -> Result<Option<(Option<String>, String)>, ParseError> {
    let Some(identifier) = object(root, "identifier")? else { return Ok(None) };
    let system = optional(identifier, "system")?;
    Ok(optional(identifier, "value")?.map(|value| (system, value)))
}

fn read_links(root: Node<'_, '_>) -> Result<Vec<(String, String)>, ParseError> {
    let read = |link| Ok((required(link, "relation")?, required(link, "url")?));
    objects(root, "link")?.into_iter().map(read).collect()
}

fn read_total(node: Node<'_, '_>) -> Result<u64, ParseError> {
    wanted(node, Kind::Number)?;
    node.raw().parse().map_err(|_| node.error(Reason::Value("a whole number from 0 is needed")))
}
