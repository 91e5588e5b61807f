//! EHR: a FHIR R4 server, read with a SMART Backend Services credential of the gateway's own.
//!
//! Comes in   answers of the EHR, whatever they are.
//! Goes out   resources, or an issue that says whether to wait or to call somebody.
//! Never      a partial search: a page that is missing or does not read fails the whole.

use super::Source;
use crate::limits::{CHART_RESOURCES_MAX, SEARCH_PAGES_MAX};
use exchange::query::encode;
use exchange::{Code, Issue};
use fhir::{Bundle, BundleType, ParseError, Resource};
use std::sync::Arc;
use wire::{BoxFuture, ClientError, FhirClient, SignInError, TransportError};

/// A FHIR server with charts.
pub struct Ehr {
    client: Arc<FhirClient>,
}

impl Ehr {
    /// An EHR behind a signed-in client.
    pub fn new(client: Arc<FhirClient>) -> Ehr {
        Ehr { client }
    }

    async fn pages(
        &self,
        kind: &str,
        query: String,
        by_post: bool,
    ) -> Result<Vec<Resource>, Issue> {
        let mut found = Vec::new();
        let first = match by_post {
            // A record number in a URL stands in every log on the way (R4 §3.1.1.5).
            true => self.client.post(&format!("{kind}/_search"), FORM, query.into()).await,
            false => self.client.get(&format!("{kind}?{query}")).await,
        };
        let mut answer = first.map_err(unreachable)?;
        for _ in 0..SEARCH_PAGES_MAX {
            check_status(answer.status().as_u16(), kind)?;
            let page = Bundle::parse(answer.into_body()).map_err(|e| unreadable(kind, &e))?;
            if page.kind != BundleType::Searchset {
                let detail = format!("the EHR answered a search for {kind} with no searchset");
                return Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.type"));
            }
            for entry in page.entries {
                let is_match = entry.search_mode.as_deref().is_none_or(|mode| mode == "match");
                match entry.resource {
                    Some(resource) if is_match && resource.kind() == kind => found.push(resource),
                    _ => {}
                }
            }
            if found.len() > CHART_RESOURCES_MAX {
                let detail = format!("a search for {kind} found more than a chart can hold");
                return Err(Issue::new(Code::SourceUnreadable, detail));
            }
            match page.links.iter().find(|(relation, _)| relation == "next") {
                None => return whole(kind, found, page.total),
                Some((_, url)) => {
                    answer = self.client.get_absolute(url).await.map_err(unreachable)?;
                }
            }
        }
        let detail = format!("a search for {kind} has no last page");
        Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.link"))
    }
}

impl Source for Ehr {
    fn base_url(&self) -> &str {
        self.client.base_url()
    }

    fn read<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Resource>, Issue>> {
        Box::pin(async move {
            let answer = self.client.get(&format!("{kind}/{id}")).await.map_err(unreachable)?;
            if matches!(answer.status().as_u16(), 404 | 410) {
                return Ok(None);
            }
            check_status(answer.status().as_u16(), kind)?;
            let resource = Resource::parse(answer.into_body()).map_err(|e| unreadable(kind, &e))?;
            if resource.kind() != kind || resource.id() != Some(id) {
                let detail = format!("the EHR answered a read of a {kind} with another resource");
                return Err(Issue::new(Code::SourceUnreadable, detail));
            }
            Ok(Some(resource))
        })
    }

    fn search<'a>(
        &'a self,
        kind: &'a str,
        parameters: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<Vec<Resource>, Issue>> {
        let query = encode(parameters.iter().copied());
        let by_post = parameters.iter().any(|(name, _)| *name == "identifier");
        Box::pin(self.pages(kind, query, by_post))
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// A search whose `total` is larger than what its pages held is not whole.
fn whole(kind: &str, found: Vec<Resource>, total: Option<u64>) -> Result<Vec<Resource>, Issue> {
    match total {
        Some(total) if total > found.len() as u64 => {
            let detail = format!("the pages of a search for {kind} hold fewer than its total");
            Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.total"))
        }
        _ => Ok(found),
    }
}

fn unreachable(error: ClientError) -> Issue {
    tracing::warn!(?error, "the EHR");
    match error {
        ClientError::SignIn(sign_in) if sign_in.is_passing() => {
            Issue::new(Code::SourceUnreachable, "the EHR's sign-in does not answer")
        }
        ClientError::Transport(TransportError::Untrusted(_))
        | ClientError::SignIn(SignInError::Untrusted(_)) => {
            Issue::new(Code::SourceRefused, "the EHR's certificate is not one this house trusts")
        }
        ClientError::SignIn(_) => {
            Issue::new(Code::SourceRefused, "the EHR refused the gateway's credential")
        }
        ClientError::Transport(TransportError::AnswerTooLarge) => {
            Issue::new(Code::SourceUnreadable, "an answer of the EHR is too large")
        }
        ClientError::Transport(_) => Issue::new(Code::SourceUnreachable, "the EHR does not answer"),
        ClientError::ForeignUrl => {
            Issue::new(Code::SourceUnreadable, "the EHR names a next page on another server")
                .at("Bundle.link")
        }
    }
}

fn check_status(status: u16, kind: &str) -> Result<(), Issue> {
    let code = match status {
        200 => return Ok(()),
        401 | 403 => Code::SourceRefused,
        408 | 429 | 500.. => Code::SourceUnreachable,
        _ => Code::SourceUnreadable,
    };
    Err(Issue::new(code, format!("the EHR answered {status} when asked for {kind}")))
}

fn unreadable(kind: &str, error: &ParseError) -> Issue {
    let mut issue = Issue::new(
        Code::SourceUnreadable,
        format!("the EHR's answer for {kind} cannot be read: {}", error.reason),
    );
    issue.expression = Some(error.expression.clone());
    issue.offset = Some(error.offset as u64);
    issue
}
