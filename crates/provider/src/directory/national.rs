//! National: a directory that answers FHIR searches, as the National Directory does (US NDH).
//!
//! Comes in   a client for the directory, which needs no sign-in; whom is sought.
//! Goes out   its organizations, affiliations and all endpoints of the payer and of who fronts it.
//! Never      narrows a search by status or use case: what is not taken is to be explained. Follows no
//!            redirect, and no page of another server.

use super::{Directory, KINDS};
use crate::limits::{
    DIRECTORY_BYTES_MAX, DIRECTORY_PAGES_MAX, DIRECTORY_REQUESTS_MAX, DIRECTORY_RESOURCES_MAX,
};
use exchange::endpoint::{Listing, Sought};
use exchange::query::encode;
use exchange::{Code, Issue};
use fhir::{Doc, Resource};
use jiff::Timestamp;
use std::collections::BTreeSet;
use wire::{BoxFuture, ClientError, FhirClient};

/// A directory with a FHIR API.
pub struct National {
    /// As lists call it.
    pub name: String,
    /// A client for its base, without sign-in.
    pub client: FhirClient,
}

impl Directory for National {
    fn find<'a>(
        &'a self,
        sought: &'a Sought,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Listing, Issue>> {
        Box::pin(async move { Asking::new(self).find(sought, now).await })
    }
}

/// One look into the directory.
struct Asking<'a> {
    directory: &'a National,
    resources: Vec<Resource>,
    seen: BTreeSet<String>,
    faults: Vec<(String, String)>,
    notes: Vec<String>,
    requests: usize,
    bytes: usize,
}

impl<'a> Asking<'a> {
    fn new(directory: &'a National) -> Asking<'a> {
        Asking {
            directory,
            resources: Vec::new(),
            seen: BTreeSet::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            requests: 0,
            bytes: 0,
        }
    }

    async fn find(mut self, sought: &Sought, now: Timestamp) -> Result<Listing, Issue> {
        self.organizations(sought).await?;
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let mut edge: Vec<String> = self.payers(sought, now);
        // Once for the payer, and once more for each step to who fronts it.
        for _ in 0..=exchange::limits::AFFILIATIONS_DEPTH_MAX {
            edge.retain(|organization| asked.insert(organization.clone()));
            for organization in &edge {
                self.search(&query("Endpoint", "organization", organization)).await?;
                let (kind, by) = ("OrganizationAffiliation", "participating-organization");
                self.search_if_known(&query(kind, by, organization)).await?;
            }
            edge = self.named("OrganizationAffiliation", "organization");
        }
        for endpoint in self.listed() {
            self.read(&endpoint).await?;
        }
        let mut listing = Listing::of(&self.resources, sought, now);
        listing.faults.extend(self.faults);
        listing.notes.extend(self.notes);
        Ok(listing)
    }

    /// The payer's organizations: by id, by identifier, else by name.
    async fn organizations(&mut self, sought: &Sought) -> Result<(), Issue> {
        if let Some(organization) = &sought.organization {
            self.read(organization).await?;
        }
        // What means something else in a search has no place in an identifier or a name.
        let plain = |text: &str| text.replace([',', '|', '$', '\\'], " ");
        let identifiers = sought.identifiers.iter().map(|it| match it.system.is_empty() {
            true => plain(&it.value),
            false => format!("{}|{}", plain(&it.system), plain(&it.value)),
        });
        let identifiers: Vec<String> = identifiers.collect();
        if self.resources.is_empty() && !identifiers.is_empty() {
            self.search(&query("Organization", "identifier", &identifiers.join(","))).await?;
        }
        if let Some(name) = sought.name.as_ref().filter(|_| self.resources.is_empty()) {
            self.search(&query("Organization", "name", &plain(name))).await?;
        }
        Ok(())
    }

    fn payers(&self, sought: &Sought, now: Timestamp) -> Vec<String> {
        let listing = Listing::of(&self.resources, sought, now);
        listing.payers.into_iter().map(|(organization, _)| organization).collect()
    }

    /// What resources of a type refer to in a member.
    fn named(&self, kind: &str, member: &str) -> Vec<String> {
        let of = self.resources.iter().filter(|it| it.kind() == kind);
        let texts = of.filter_map(|it| {
            let doc = it.doc();
            let text = doc.root().get(member)?.get("reference")?.text()?;
            local(&text)
        });
        texts.collect()
    }

    /// Endpoints that organizations and affiliations list and no search has brought.
    fn listed(&self) -> Vec<String> {
        let mut all = BTreeSet::new();
        for resource in &self.resources {
            let doc = resource.doc();
            let list = doc.root().get("endpoint");
            let items = list.into_iter().flat_map(|list| list.items());
            let texts = items.filter_map(|it| local(&it.get("reference")?.text()?));
            all.extend(texts.filter(|it| it.starts_with("Endpoint/") && !self.seen.contains(it)));
        }
        all.into_iter().collect()
    }

    async fn read(&mut self, reference: &str) -> Result<(), Issue> {
        let Some((status, body)) = self.get(reference).await? else { return Ok(()) };
        match status {
            200 => self.keep(Resource::parse(body).ok(), reference),
            404 | 410 => self.notes.push(format!("{reference} is named, and is not there")),
            status => return Err(refused(&self.directory.name, status)),
        }
        Ok(())
    }

    /// A search that a directory may not have.
    async fn search_if_known(&mut self, query: &str) -> Result<(), Issue> {
        let Some((status, body)) = self.get(query).await? else { return Ok(()) };
        match status {
            200 => self.pages(body).await,
            400 | 404 | 405 | 501 => {
                let kind = query.split('?').next().unwrap_or_default();
                self.notes.push(format!("the directory has no search for {kind}"));
                Ok(())
            }
            status => Err(refused(&self.directory.name, status)),
        }
    }

    async fn search(&mut self, query: &str) -> Result<(), Issue> {
        let Some((status, body)) = self.get(query).await? else { return Ok(()) };
        match status {
            200 => self.pages(body).await,
            status => Err(refused(&self.directory.name, status)),
        }
    }

    async fn pages(&mut self, first: bytes::Bytes) -> Result<(), Issue> {
        let mut body = first;
        let mut followed = BTreeSet::new();
        for page in 1.. {
            let next = self.entries(&body)?;
            let Some(next) = next.filter(|next| followed.insert(next.clone())) else { break };
            if page >= DIRECTORY_PAGES_MAX {
                self.notes.push(format!("only the first {DIRECTORY_PAGES_MAX} pages were read"));
                break;
            }
            let Some((status, more)) = self.get(&next).await? else { break };
            if status != 200 {
                return Err(refused(&self.directory.name, status));
            }
            body = more;
        }
        Ok(())
    }

    /// Keeps what a page holds, entry by entry: one that cannot be read spoils no other.
    fn entries(&mut self, body: &bytes::Bytes) -> Result<Option<String>, Issue> {
        let garbled = || unreadable(&self.directory.name);
        let doc = Doc::parse(body).map_err(|_| garbled())?;
        let root = doc.root();
        let text = |node: Option<fhir::Node<'_, '_>>| {
            node.and_then(|it| it.text().map(|it| it.into_owned()))
        };
        if text(root.get("resourceType")).as_deref() != Some("Bundle") {
            return Err(garbled());
        }
        let entries: Vec<_> = root.get("entry").into_iter().flat_map(|list| list.items()).collect();
        let found: Vec<(Option<Resource>, String)> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| {
                let resource = entry.get("resource").and_then(|it| Resource::within(body, it).ok());
                (resource, format!("entry {at} of a page"))
            })
            .collect();
        let links = root.get("link").into_iter().flat_map(|list| list.items());
        let next = links
            .filter(|link| text(link.get("relation")).as_deref() == Some("next"))
            .find_map(|link| text(link.get("url")));
        for (resource, place) in found {
            self.keep(resource, &place);
        }
        Ok(next)
    }

    fn keep(&mut self, resource: Option<Resource>, place: &str) {
        let Some(resource) = resource else {
            self.faults.push((place.to_owned(), "it is no readable resource".to_owned()));
            return;
        };
        if KINDS.contains(&resource.kind())
            && self.resources.len() < DIRECTORY_RESOURCES_MAX
            && self.seen.insert(resource.local_reference())
        {
            self.resources.push(resource.apart());
        }
    }

    /// One request; `None` once there were too many.
    async fn get(&mut self, place: &str) -> Result<Option<(u16, bytes::Bytes)>, Issue> {
        self.requests += 1;
        if self.requests > DIRECTORY_REQUESTS_MAX || self.bytes > DIRECTORY_BYTES_MAX {
            let note = "the directory lists more than is read of it".to_owned();
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            return Ok(None);
        }
        let client = &self.directory.client;
        let answer = match place.contains("://") || place.starts_with('/') {
            true => client.get_absolute(place).await,
            false => client.get_open(place).await,
        };
        let answer = match answer {
            // A page of another server is told, and left.
            Err(ClientError::ForeignUrl) => {
                self.notes.push("a next page lies on another server, and was not read".to_owned());
                return Ok(None);
            }
            answer => answer.map_err(|error| away(&self.directory.name, &error))?,
        };
        let (status, body) = (answer.status().as_u16(), answer.into_body());
        self.bytes = self.bytes.saturating_add(body.len());
        Ok(Some((status, body)))
    }
}

/// `Type/id` of a reference.
fn local(text: &str) -> Option<String> {
    let mut parts = text.rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    fhir::is_id(id).then(|| format!("{kind}/{id}"))
}

/// A search by one parameter.
fn query(kind: &str, name: &str, value: &str) -> String {
    format!("{kind}?{}", encode([(name, value)]))
}

/// The directory gave no answer.
pub(super) fn away(name: &str, error: &ClientError) -> Issue {
    tracing::warn!(?error, directory = name, "a directory");
    Issue::new(Code::DirectoryUnreachable, format!("the directory {name} does not answer"))
}

/// The directory answered something else than was asked for.
pub(super) fn refused(name: &str, status: u16) -> Issue {
    let detail = match status {
        300..400 => format!("the directory {name} answers {status}: redirects are not followed"),
        _ => format!("the directory {name} answers {status}"),
    };
    Issue::new(Code::DirectoryUnreachable, detail)
}

fn unreadable(name: &str) -> Issue {
    Issue::new(
        Code::DirectoryUnreachable,
        format!("the answer of the directory {name} cannot be read"),
    )
}
