//! Entry: what one entry of a Bundle asks for, and whether the sender may ask it.
//!
//! Comes in   the entry as a node of the document.
//! Goes out   an `IncomingEntry` without its links, when all is well with it.
//! Never      takes a request apart that it does not know: GET, HEAD and PATCH are refused.
//!
//! R4 §3.1.0.7 (update), §3.1.0.8 (create), §3.1.0.9 (delete), §2.36.3 (Bundle.entry.request).

use super::reading::Reading;
use super::{Action, Condition, IfMatch, IncomingEntry, Target, malformed, place_in};
use crate::id::derived_id;
use crate::issue::{Code, Issue};
use crate::limits::CONDITION_PARAMETERS_MAX;
use crate::path::is_resource_type;
use crate::{place, query};
use fhir::{Kind, Node, Resource};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Post,
    Put,
    Delete,
}

/// What an entry's request asks for.
struct Request {
    method: Method,
    kind: String,
    target: Target,
    if_match: Option<IfMatch>,
    unless: Option<Condition>,
}

impl Reading<'_> {
    /// One entry, when all is well with it.
    pub(super) fn entry(&mut self, index: usize, node: Node<'_, '_>) -> Option<IncomingEntry> {
        if node.kind() != Kind::Object {
            self.refuse(index, Code::EntryInvalid, node, "an entry is an object");
            return None;
        }
        self.note_urn(index, node);
        let resource = self.resource(index, node);
        let request = self.request(index, node);
        if let Some(request) = &request {
            self.check_full_url(index, node, request);
        }
        let Request { method, kind, mut target, if_match, unless } = request?;
        let (action, source_id) = match method {
            Method::Delete => {
                self.deletes.insert(index);
                (Action::Delete, None)
            }
            Method::Put | Method::Post => {
                let read = resource.filter(|one| self.is_of_kind(index, node, one, &kind));
                let Some(resource) = read else {
                    self.unread(index, &kind, &target);
                    return None;
                };
                self.check_target(index, node, &resource, &target);
                self.check_agreed(index, place_in(node, &["resource"]));
                let source_id = self.check_identity(index, node, &resource, &kind);
                // Whoever derives ids gives them: this house has none to add.
                let derived = source_id.is_some().then(|| resource.id()).flatten();
                match (&target, derived) {
                    (Target::New, Some(id)) => target = Target::Id(id.to_owned()),
                    (Target::New, None) => self.note_created(index, &kind, &resource),
                    _ => {}
                }
                let new = method == Method::Post;
                (if new { Action::Create(resource) } else { Action::Put(resource) }, source_id)
            }
        };
        self.check_once(index, node, &kind, &target);
        if self.is_faulty(index) && method != Method::Delete {
            self.unread(index, &kind, &target);
        }
        (!self.is_faulty(index)).then(|| IncomingEntry {
            index,
            urn: self.urn(index),
            kind,
            target,
            action,
            if_match,
            unless,
            source_id,
            links: Vec::new(),
            subjects: Vec::new(),
            clinical: true,
        })
    }

    /// A urn with nothing but digits and letters of a UUID, or of an OID, names an entry in what is
    /// said of it.
    fn note_urn(&mut self, index: usize, entry: Node<'_, '_>) {
        let Some(url) = entry.get("fullUrl").and_then(|node| node.text()) else { return };
        let uuid = |rest: &str| {
            rest.len() == 36 && rest.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        };
        if url.strip_prefix("urn:uuid:").is_some_and(uuid) {
            self.name(index, url.into_owned());
        }
    }

    /// References to `Type/id` of a resource that gets an id here mean that resource.
    fn note_created(&mut self, index: usize, kind: &str, resource: &Resource) {
        if let Some(id) = resource.id() {
            self.created.entry((kind.to_owned(), id.to_owned())).or_insert(index);
        }
    }

    /// The entry's resource, where one is allowed and readable.
    fn resource(&mut self, index: usize, entry: Node<'_, '_>) -> Option<Resource> {
        let deletes = method(entry).is_some_and(|method| method == "DELETE");
        match (entry.get("resource"), deletes) {
            (None, true) => None,
            (None, false) => {
                self.refuse(index, Code::EntryInvalid, entry, "the entry has no resource");
                None
            }
            (Some(node), true) => {
                self.refuse(index, Code::EntryInvalid, node, "a DELETE carries no resource");
                None
            }
            (Some(node), false) => match Resource::within(self.bytes, node) {
                Ok(resource) => Some(resource),
                Err(error) => {
                    self.note(index, || Issue { code: Code::EntryInvalid, ..malformed(&error) });
                    None
                }
            },
        }
    }

    /// What is asked, with its conditions.
    fn request(&mut self, index: usize, entry: Node<'_, '_>) -> Option<Request> {
        let Some(request) = entry.get("request").filter(|node| node.kind() == Kind::Object) else {
            let place = entry.get("request").unwrap_or(entry);
            self.refuse(index, Code::EntryInvalid, place, "the entry has no request");
            return None;
        };
        let method = self.method(index, entry, request);
        let (kind, target) = self.target(index, request, method)?;
        let method = method?;
        let if_match = self.if_match(index, request, method);
        let unless = self.unless(index, request, method, &kind);
        for name in ["ifNoneMatch", "ifModifiedSince"] {
            if let Some(condition) = request.get(name) {
                let detail = format!("{name} is a condition of reading; entries are written here");
                self.refuse(index, Code::EntryInvalid, condition, detail);
            }
        }
        Some(Request { method, kind, target, if_match, unless })
    }

    fn method(
        &mut self,
        index: usize,
        entry: Node<'_, '_>,
        request: Node<'_, '_>,
    ) -> Option<Method> {
        let other = match method(entry).as_deref() {
            Some("POST") => return Some(Method::Post),
            Some("PUT") => return Some(Method::Put),
            Some("DELETE") => return Some(Method::Delete),
            other => ["GET", "HEAD", "PATCH"].into_iter().find(|&known| Some(known) == other),
        };
        let detail = match other {
            Some(method) => format!("{method} is not taken here; POST, PUT or DELETE is needed"),
            None => "POST, PUT or DELETE is needed".to_owned(),
        };
        let node = request.get("method").unwrap_or(request);
        self.refuse(index, Code::EntryInvalid, node, detail);
        None
    }

    /// Type and target of `request.url`: `Type` for a POST, else `Type/id` or `Type?condition`.
    fn target(
        &mut self,
        index: usize,
        request: Node<'_, '_>,
        method: Option<Method>,
    ) -> Option<(String, Target)> {
        let Some(node) = request.get("url") else {
            self.refuse(index, Code::EntryInvalid, request, "the request has no url");
            return None;
        };
        let Some(url) = node.text() else {
            self.refuse(index, Code::EntryInvalid, node, "a string is needed");
            return None;
        };
        let (path, condition) = match url.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*url, None),
        };
        let one = place::parts(path).filter(|(.., version)| version.is_none());
        let kind = one.map_or(path, |(kind, ..)| kind);
        // A method that is not known asks for no form of its own.
        if method.is_none() && is_resource_type(kind) {
            return None;
        }
        let new = method == Some(Method::Post);
        let found = match (one, condition) {
            (None, None) if new => Ok(Target::New),
            (Some((_, id, _)), None) if !new => Ok(Target::Id(id.to_owned())),
            (None, Some(query)) if !new && place::is_type(path) => {
                condition_of(kind, query).map(Target::Fits)
            }
            _ if new => Err("a url of the form Type is needed"),
            _ => Err("a url of the form Type/id or Type?condition is needed"),
        };
        let found = found.and_then(|target| match is_resource_type(kind) {
            true => Ok(target),
            false => Err("the url names no resource type of R4"),
        });
        match found {
            Ok(target) => Some((kind.to_owned(), target)),
            Err(detail) => {
                self.refuse(index, Code::EntryInvalid, node, detail);
                None
            }
        }
    }

    fn if_match(&mut self, index: usize, request: Node<'_, '_>, method: Method) -> Option<IfMatch> {
        let node = request.get("ifMatch")?;
        if method == Method::Post {
            let detail = "a record that is to be created has no version to match";
            self.refuse(index, Code::EntryInvalid, node, detail);
            return None;
        }
        let read = node.text().and_then(|text| IfMatch::read(&text));
        if read.is_none() {
            self.refuse(
                index,
                Code::EntryInvalid,
                node,
                "an ETag of this house is needed: W/\"1\"",
            );
        }
        read
    }

    fn unless(
        &mut self,
        index: usize,
        request: Node<'_, '_>,
        method: Method,
        kind: &str,
    ) -> Option<Condition> {
        let node = request.get("ifNoneExist")?;
        let read = match (method, node.text()) {
            (Method::Post, Some(query)) => condition_of(kind, query.trim_start_matches('?')),
            (Method::Post, None) => Err("a string is needed"),
            _ => Err("ifNoneExist is a condition of POST"),
        };
        match read {
            Ok(condition) => Some(condition),
            Err(detail) => {
                self.refuse(index, Code::EntryInvalid, node, detail);
                None
            }
        }
    }

    /// A Bundle may not name the same record twice (R4 §3.1.0.11.2).
    fn check_once(&mut self, index: usize, entry: Node<'_, '_>, kind: &str, target: &Target) {
        let Target::Id(id) = target else { return };
        let record = (kind.to_owned(), id.clone());
        match self.records.get(&record) {
            Some(first) => {
                let detail = format!("the same record as in entry {first}");
                let node = place_in(entry, &["request", "url"]);
                self.refuse(index, Code::EntryInvalid, node, detail);
            }
            None => drop(self.records.insert(record, index)),
        }
    }

    /// `fullUrl`: absolute, once in the Bundle (bdl-7), and not at odds with type and id.
    fn check_full_url(&mut self, index: usize, entry: Node<'_, '_>, request: &Request) {
        let Some(node) = entry.get("fullUrl") else { return };
        let Some(url) = node.text() else {
            return self.refuse(index, Code::EntryInvalid, node, "a string is needed");
        };
        let wanted = match &request.target {
            Target::Id(id) => Some(format!("/{}/{id}", request.kind)),
            Target::New | Target::Fits(_) => None,
        };
        if !url.contains(':') {
            self.refuse(index, Code::EntryInvalid, node, "a fullUrl is absolute");
        } else if wanted.is_some_and(|wanted| !url.starts_with("urn:") && !url.ends_with(&wanted)) {
            let detail = "the fullUrl is at odds with the request's url";
            self.refuse(index, Code::EntryInvalid, node, detail);
        }
        match self.full_urls.get(&*url) {
            Some(first) => {
                let detail = format!("the same fullUrl as in entry {first}");
                self.refuse(index, Code::EntryInvalid, node, detail);
            }
            None => drop(self.full_urls.insert(url.into_owned(), index)),
        }
    }

    /// Whether the resource is of the type its request names.
    fn is_of_kind(
        &mut self,
        index: usize,
        entry: Node<'_, '_>,
        resource: &Resource,
        kind: &str,
    ) -> bool {
        let good = resource.kind() == kind;
        if !good {
            let node = place_in(entry, &["resource", "resourceType"]);
            let detail = "the resource is not of the type in the url";
            self.refuse(index, Code::EntryInvalid, node, detail);
        }
        good
    }

    /// The resource is the one its request names.
    fn check_target(
        &mut self,
        index: usize,
        entry: Node<'_, '_>,
        resource: &Resource,
        target: &Target,
    ) {
        let Target::Id(id) = target else { return };
        match resource.id() {
            Some(found) if found == id => {}
            Some(_) => {
                let node = place_in(entry, &["resource", "id"]);
                let detail = "the resource's id is not the one in the url";
                self.refuse(index, Code::EntryInvalid, node, detail);
            }
            None => {
                let node = place_in(entry, &["resource"]);
                self.refuse(index, Code::EntryInvalid, node, "the resource has no id");
            }
        }
    }

    /// The type is agreed, and so is that of every resource within, however deep: what is not may
    /// not come in another one's cover.
    fn check_agreed(&mut self, index: usize, resource: Node<'_, '_>) {
        if self.sender.types.is_empty() {
            return;
        }
        let node = place_in(resource, &["resourceType"]);
        let kind = node.text().unwrap_or_default();
        if kind != "Provenance" && !self.sender.types.iter().any(|agreed| *agreed == kind) {
            // The reader has seen a capitalised word; only those of R4 are told.
            let named = if is_resource_type(&kind) { &*kind } else { "this type" };
            let detail = format!("{named} is not agreed with this sender");
            self.refuse(index, Code::KindNotAgreed, node, detail);
        }
        let within = resource.get("contained").into_iter().flat_map(|list| list.each());
        within.for_each(|one| self.check_agreed(index, one));
    }

    /// The id is the one derived from the source id that `meta.source` names.
    fn check_identity(
        &mut self,
        index: usize,
        entry: Node<'_, '_>,
        resource: &Resource,
        kind: &str,
    ) -> Option<String> {
        let namespace = self.sender.namespace.as_deref()?;
        match derived_from(resource, kind, namespace) {
            Ok(source_id) => Some(source_id),
            Err((way, detail)) => {
                let node = place_in(place_in(entry, &["resource"]), way);
                self.refuse(index, Code::IdentityMismatch, node, detail);
                None
            }
        }
    }
}

/// The source id that `meta.source` names, where the id is the one derived from it. Errors: the element
/// at fault, and why.
pub(super) fn derived_from(
    resource: &Resource,
    kind: &str,
    namespace: &str,
) -> Result<String, (&'static [&'static str], &'static str)> {
    let source = resource.source();
    let below = source.as_deref().and_then(|source| source.strip_prefix(namespace));
    let source_id = below
        .and_then(|rest| rest.strip_prefix('/')?.strip_prefix(kind)?.strip_prefix('/'))
        .filter(|source_id| !source_id.is_empty() && !source_id.contains(['/', '\n']));
    let Some(source_id) = source_id else {
        let detail = "meta.source must be the registered namespace, the type and the source id";
        return Err((&["meta", "source"], detail));
    };
    if resource.id() != Some(&*derived_id(namespace, kind, source_id)) {
        return Err((&["id"], "the id is not the one derived from meta.source"));
    }
    Ok(source_id.to_owned())
}

impl IfMatch {
    /// Reads `W/"3"`, `"3"` or `*`.
    pub fn read(text: &str) -> Option<IfMatch> {
        let text = text.trim();
        if text == "*" {
            return Some(IfMatch::Any);
        }
        let quoted = text.strip_prefix("W/").unwrap_or(text);
        let digits = quoted.strip_prefix('"')?.strip_suffix('"')?;
        digits.parse().ok().map(IfMatch::Version)
    }
}

/// A condition as it stands in a url or in `ifNoneExist`.
pub(super) fn condition_of(kind: &str, query: &str) -> Result<Condition, &'static str> {
    let parameters = query::decode(query.as_bytes(), CONDITION_PARAMETERS_MAX)?;
    match parameters.is_empty() {
        true => Err("a condition is needed"),
        false => Ok(Condition { kind: kind.to_owned(), parameters }),
    }
}

/// `request.method`, as written.
fn method(entry: Node<'_, '_>) -> Option<String> {
    entry.get("request")?.get("method")?.text().map(|text| text.into_owned())
}
