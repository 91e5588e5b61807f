//! Fetched: manifests and files of one request, with what its submitter wants to be sent along.
//!
//! Comes in   the stored request of a receipt; how this house fetches the sender's files.
//! Goes out   a manifest's bytes; downloads.
//! Never      sends a token where the manifest asks for none (Bulk Submit, manifest and file security).

use super::FileServer;
use super::listing::Listed;
use bytes::Bytes;
use exchange::Issue;
use exchange::bulk::ManifestRef;
use std::collections::BTreeMap;
use wire::fetch::{Access, Download, Fault, FileHeaders, Place};

/// What a token is asked for where nobody has said of what types the resources are: a manifest, files that
/// are organised by Patient, and deletions of whatever there is.
const ANY: &str = "*";

pub(super) struct Fetching<'r> {
    server: &'r FileServer,
    request: &'r ManifestRef,
    headers: FileHeaders,
    /// By the type that a token is for.
    signed: BTreeMap<String, Access>,
}

impl<'r> Fetching<'r> {
    /// Errors: `ParameterInvalid` for headers that cannot be sent.
    pub(super) fn new(
        server: &'r FileServer,
        request: &'r ManifestRef,
    ) -> Result<Fetching<'r>, Issue> {
        let pairs = request.headers.iter().map(|(name, value)| (name.as_str(), value.0.as_str()));
        let headers = FileHeaders::read(pairs, !request.oauth_metadata.is_empty())?;
        Ok(Fetching { server, request, headers, signed: BTreeMap::new() })
    }

    /// A page of a manifest: with a token where the request says how one is got.
    pub(super) async fn manifest(&mut self, url: &str) -> Result<Bytes, Fault> {
        let token = !self.request.oauth_metadata.is_empty();
        let access = self.access(token.then_some(ANY)).await?;
        self.server.fetcher.manifest(url, &access).await
    }

    /// A file, from a place on.
    pub(super) async fn open(&mut self, file: &Listed, from: Place) -> Result<Download, Fault> {
        let kind = file.kind.as_deref().filter(|_| !file.deleted).unwrap_or(ANY);
        let access = self.access(file.token.then_some(kind)).await?;
        self.server.fetcher.open(&file.url, &access, from).await
    }

    /// With a token for this type; none: without one. What a pair lets in needs none.
    async fn access(&mut self, kind: Option<&str>) -> Result<Access, Fault> {
        let Some(kind) = kind.filter(|_| !self.headers.let_in()) else {
            return Ok(Access::open(self.headers.clone()));
        };
        if let Some(signed) = self.signed.get(kind) {
            return Ok(signed.clone());
        }
        let Some(credential) = &self.server.credential else {
            return Err(Fault::NotAgreed("this house has no credential at its file server"));
        };
        // Where the request names no place, the FHIR server itself says where tokens are got.
        let base = self.request.base_url.trim_end_matches('/');
        let own = vec![format!("{base}/.well-known/smart-configuration")];
        let places = match self.request.oauth_metadata.is_empty() {
            true => &own,
            false => &self.request.oauth_metadata,
        };
        let token =
            self.server.fetcher.sign_in(places, credential, &format!("system/{kind}.rs")).await?;
        let signed = Access::signed(self.headers.clone(), token);
        self.signed.insert(kind.to_owned(), signed.clone());
        Ok(signed)
    }
}
