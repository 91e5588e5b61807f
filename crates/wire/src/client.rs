//! FHIR client: requests below one partner's base URL, signed in.
//!
//! Comes in   a path or an absolute URL, a body as bytes.
//! Goes out   the answer as it came, whatever its status; or why there is none.
//! Never      sends a token to another origin, or a request more than twice (the second time with a
//!            new token, after 401, when nothing can have been filed).

use crate::refusal::FHIR_JSON;
use crate::transport::{Taker, Transport, TransportError};
use crate::trust::smart::client::SmartClient;
use crate::trust::{Purposes, SignIn, SignInError};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::sync::Arc;

/// Why there is no answer. `Display` is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No token; nothing was sent but the sign-in.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The request itself did not come through.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The URL is not below this partner's origin, or is none; nothing was sent.
    #[error("the URL is not one of this partner's")]
    ForeignUrl,
}

/// What a client answers.
pub type Reply = Result<Response<Bytes>, ClientError>;

/// A client for one base URL; open where no sign-in is given.
#[derive(Clone)]
pub struct FhirClient {
    base_url: String,
    transport: Arc<dyn Transport>,
    sign_in: Option<Arc<dyn SignIn>>,
    purposes: Purposes,
}

impl FhirClient {
    /// A client below a base URL (no trailing slash needed).
    pub fn new(
        base_url: &str,
        transport: Arc<dyn Transport>,
        sign_in: Option<SmartClient>,
    ) -> FhirClient {
        FhirClient::signed_by(base_url, transport, sign_in.map(|smart| Arc::new(smart) as _))
    }

    /// The same, by whatever way of signing in.
    pub fn signed_by(
        base_url: &str,
        transport: Arc<dyn Transport>,
        sign_in: Option<Arc<dyn SignIn>>,
    ) -> FhirClient {
        let base_url = base_url.trim_end_matches('/').to_owned();
        FhirClient { base_url, transport, sign_in, purposes: Purposes::new() }
    }

    /// The same client, for requests that serve these purposes: its tokens are good for no other.
    pub fn for_purposes(&self, purposes: &Purposes) -> FhirClient {
        FhirClient { purposes: purposes.clone(), ..self.clone() }
    }

    /// The base URL, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Whether the way to this partner may lead to this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        self.transport.permits(address)
    }

    /// `GET` below the base, such as `Patient/1` or `Condition?patient=1`.
    pub async fn get(&self, path_and_query: &str) -> Reply {
        let url = self.below_base(path_and_query)?;
        self.send(Method::GET, url, None, Bytes::new(), true).await
    }

    /// `GET` below the base without signing in: `/metadata` and `/$versions` are open.
    pub async fn get_open(&self, path_and_query: &str) -> Reply {
        let url = self.below_base(path_and_query)?;
        self.send(Method::GET, url, None, Bytes::new(), false).await
    }

    /// A request below the base that is not signed in, with exactly these headers.
    pub async fn send_bare(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(self.below_base(path)?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|_| ClientError::ForeignUrl)?;
        Ok(self.transport.send(request).await?)
    }

    /// `POST` below the base; an empty path is the base itself.
    pub async fn post(&self, path: &str, content_type: &str, body: Bytes) -> Reply {
        let url = self.below_base(path)?;
        self.send(Method::POST, url, Some(content_type), body, true).await
    }

    /// A request that writes one record below the base, with headers of its own such as
    /// `If-None-Exist`.
    pub async fn write(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Bytes>,
    ) -> Reply {
        let url = self.below_base(path)?;
        let content_type = body.as_ref().map(|_| FHIR_JSON);
        let asked = Asked { method, url, accept: accept(content_type), content_type, headers };
        self.send_asked(asked, body.unwrap_or_default(), true).await
    }

    /// `POST` of an operation below the base, with its Parameters; the answer is FHIR JSON, and
    /// `Accept` says that and nothing else.
    pub async fn operation(
        &self,
        name: &str,
        headers: &[(&'static str, &str)],
        parameters: Bytes,
    ) -> Reply {
        let url = self.below_base(name)?;
        let (method, content_type) = (Method::POST, Some(PLAIN_FHIR_JSON));
        let asked = Asked { method, url, accept: PLAIN_FHIR_JSON, content_type, headers };
        self.send_asked(asked, parameters, true).await
    }

    /// `GET` of an absolute URL that the partner named, such as a `Content-Location` or the next
    /// page. Only this partner's own origin is asked; a path alone is taken from that origin.
    ///
    /// Errors: `ForeignUrl`.
    pub async fn get_absolute(&self, url: &str) -> Reply {
        let url = self.own_url(url)?;
        self.send(Method::GET, url, None, Bytes::new(), true).await
    }

    /// The same, without signing in: where a manifest says that its files need no token.
    ///
    /// Errors: `ForeignUrl`.
    pub async fn get_absolute_open(&self, url: &str) -> Reply {
        let url = self.own_url(url)?;
        self.send(Method::GET, url, None, Bytes::new(), false).await
    }

    /// `GET` of an absolute URL that the partner named, of a body that is too large to be held: of a 200 it
    /// is taken as it comes, and the answer has none. `signed`: with a token.
    ///
    /// Errors: `ForeignUrl`.
    pub async fn take_absolute(&self, url: &str, signed: bool, take: Taker<'_>) -> Reply {
        let url = self.own_url(url)?;
        let (method, accept) = (Method::GET, accept(None));
        let asked = Asked { method, url, accept, content_type: None, headers: &[] };
        self.send_and_take(asked, Bytes::new(), signed, Some(take)).await
    }

    /// `DELETE` of an absolute URL that the partner named.
    ///
    /// Errors: `ForeignUrl`.
    pub async fn delete_absolute(&self, url: &str) -> Reply {
        let url = self.own_url(url)?;
        self.send(Method::DELETE, url, None, Bytes::new(), true).await
    }

    fn below_base(&self, path: &str) -> Result<Uri, ClientError> {
        let path = path.trim_start_matches('/');
        let url = match path {
            "" => self.base_url.clone(),
            path if path.starts_with('?') => format!("{}{path}", self.base_url),
            path => format!("{}/{path}", self.base_url),
        };
        self.own_url(&url)
    }

    /// Parses a URL of this partner's origin: scheme, host and port, and no user in it.
    fn own_url(&self, url: &str) -> Result<Uri, ClientError> {
        let base: Uri = self.base_url.parse().map_err(|_| ClientError::ForeignUrl)?;
        let absolute = match url.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => {
                let origin = origin(&base).ok_or(ClientError::ForeignUrl)?;
                format!("{}://{}:{}/{rest}", origin.0, origin.1, origin.2)
            }
            _ => url.to_owned(),
        };
        // What two parsers could read differently is no URL of a partner.
        if absolute.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
            return Err(ClientError::ForeignUrl);
        }
        let uri: Uri = absolute.parse().map_err(|_| ClientError::ForeignUrl)?;
        match (origin(&uri), origin(&base)) {
            (Some(one), Some(other)) if one == other => Ok(uri),
            _ => Err(ClientError::ForeignUrl),
        }
    }

    async fn send(
        &self,
        method: Method,
        url: Uri,
        content_type: Option<&str>,
        body: Bytes,
        signed: bool,
    ) -> Reply {
        let asked = Asked { method, url, accept: accept(content_type), content_type, headers: &[] };
        self.send_asked(asked, body, signed).await
    }

    async fn send_asked(&self, asked: Asked<'_>, body: Bytes, signed: bool) -> Reply {
        self.send_and_take(asked, body, signed, None).await
    }

    async fn send_and_take(
        &self,
        asked: Asked<'_>,
        body: Bytes,
        signed: bool,
        mut take: Option<Taker<'_>>,
    ) -> Reply {
        let Asked { method, url, accept, content_type, headers } = asked;
        let build = |token: Option<&SecretString>| -> Result<Request<Bytes>, ClientError> {
            let mut request = Request::builder().method(&method).uri(&url);
            request = request.header(ACCEPT, accept);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(content_type) = content_type {
                request = request.header(CONTENT_TYPE, content_type);
            }
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, bearer(token)?);
            }
            request.body(body.clone()).map_err(|_| ClientError::ForeignUrl)
        };
        let Some(sign_in) = self.sign_in.as_ref().filter(|_| signed) else {
            return Ok(self.carry(build(None)?, take).await?);
        };
        let token = sign_in.token(&self.purposes).await?;
        let request = build(Some(&token))?;
        // What is no 200 has not been taken.
        let answer = self.carry(request, take.as_mut().map(|take| &mut **take as _)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        sign_in.forget(&token);
        let token = sign_in.token(&self.purposes).await?;
        Ok(self.carry(build(Some(&token))?, take).await?)
    }

    async fn carry(
        &self,
        request: Request<Bytes>,
        take: Option<Taker<'_>>,
    ) -> Result<Response<Bytes>, TransportError> {
        match take {
            Some(take) => self.transport.send_taking(request, take).await,
            None => self.transport.send(request).await,
        }
    }
}

/// A request without its body.
struct Asked<'a> {
    method: Method,
    url: Uri,
    accept: &'static str,
    content_type: Option<&'a str>,
    headers: &'a [(&'static str, &'a str)],
}

/// FHIR JSON, without a version: what operations of asynchronous jobs take and give.
const PLAIN_FHIR_JSON: &str = "application/fhir+json";

/// FHIR for FHIR, JSON for the house's own API. Polls and files are JSON and NDJSON.
fn accept(content_type: Option<&str>) -> &'static str {
    match content_type {
        Some("application/json") => "application/json, application/fhir+json;q=0.9",
        Some(_) => FHIR_JSON,
        None => {
            "application/fhir+json; fhirVersion=4.0, application/json;q=0.9, \
             application/fhir+ndjson;q=0.9"
        }
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, ClientError> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value = value
        .map_err(|_| SignInError::Refused("its access token cannot be sent in a header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Scheme, host and port; none for what has no place in a partner's URL.
fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let port = match (uri.port_u16(), scheme.as_str()) {
        (Some(port), _) => port,
        (None, "https") => 443,
        (None, "http") => 80,
        _ => return None,
    };
    Some((scheme, authority.host().to_ascii_lowercase(), port))
}
