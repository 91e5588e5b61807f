//! Ask: one GET at a file server, as far as the head of its answer.
//!
//! Comes in   a URL of an agreed origin, what goes with the request.
//! Goes out   an answer of 200, 206 or 416 whose body has not been read; or the fault.
//! Never      follows a redirect to another origin, asks more than twice for want of a token, or asks
//!            an address of this house's own network.

use super::answer::{self, Coding, Kind};
use super::{Access, Fault, Ways};
use crate::limits::FILE_REDIRECTS_MAX;
use crate::transport::classify;
use crate::trust::Purposes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};

impl Ways {
    /// A small document, as far as its head.
    pub(super) async fn document(
        &self,
        url: &Url,
        access: &Access,
    ) -> Result<(Response, Coding), Fault> {
        let mut headers = HeaderMap::new();
        let json = "application/json, application/fhir+json;q=0.9";
        headers.insert(ACCEPT, HeaderValue::from_static(json));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let answer = self.ask(url, access, headers, true).await?;
        if answer.status() != StatusCode::OK {
            return Err(Fault::Invalid("its status is none that a manifest comes with"));
        }
        let coding = answer::coding(answer.headers(), Kind::Manifest)?;
        Ok((answer, coding))
    }

    /// Asks. A partner's own `Accept` goes before ours.
    pub(super) async fn ask(
        &self,
        url: &Url,
        access: &Access,
        mut headers: HeaderMap,
        small: bool,
    ) -> Result<Response, Fault> {
        headers.extend(access.headers.as_map().clone());
        let mut url = url.clone();
        let mut redirects = 0;
        let mut tokens = 0;
        loop {
            let token = match &access.token {
                Some(sign_in) => Some(sign_in.token(&Purposes::new()).await?),
                None => None,
            };
            let answer = self.send(&url, &headers, token.as_ref(), small).await?;
            let status = answer.status();
            if let (StatusCode::UNAUTHORIZED, Some(sign_in), Some(token)) =
                (status, &access.token, &token)
            {
                sign_in.forget(token);
                tokens += 1;
                if tokens < 2 {
                    continue;
                }
            }
            if is_redirect(status) {
                redirects += 1;
                url = redirected(&url, answer.headers())?;
                if redirects <= FILE_REDIRECTS_MAX {
                    continue;
                }
                return Err(Fault::Invalid("it redirects again and again"));
            }
            if status != StatusCode::RANGE_NOT_SATISFIABLE {
                answer::check_status(status, answer.headers(), self.clock.now())?;
            }
            return Ok(answer);
        }
    }

    async fn send(
        &self,
        url: &Url,
        headers: &HeaderMap,
        token: Option<&SecretString>,
        small: bool,
    ) -> Result<Response, Fault> {
        let host = url.host_str().unwrap_or_default();
        if self.network.as_ref().is_some_and(|network| !network.permits_host(host)) {
            return Err(Fault::NotAgreed("it leads to an address of a private network"));
        }
        let mut request = self.files.get(url.clone()).headers(headers.clone());
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
            let mut value = value.map_err(|_| Fault::Invalid("its token fits no header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if small {
            request = request.timeout(self.timeout);
        }
        Ok(request.send().await.map_err(|error| classify(&error))?)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads. Errors: `NotAgreed` for another origin.
fn redirected(url: &Url, headers: &HeaderMap) -> Result<Url, Fault> {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    let to = to.and_then(|to| url.join(to).ok());
    let to = to.ok_or(Fault::Invalid("it redirects to no URL"))?;
    let safe = to.username().is_empty() && to.password().is_none();
    match safe && to.origin() == url.origin() {
        true => Ok(to),
        false => Err(Fault::NotAgreed("it redirects to another origin")),
    }
}
