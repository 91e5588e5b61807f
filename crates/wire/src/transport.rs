//! Transport: one request to a partner, one answer, and what is known when there is none.
//!
//! Comes in   a request with an absolute URL and its whole body.
//! Goes out   the answer with its whole body, or that body piece by piece; or how far the request came.
//! Never      follows a redirect (a token must not travel on), repeats a request, trusts a
//!            certificate authority nobody named, or speaks plain HTTP beyond loopback.
//!
//! Why a trait: the simulated town runs on a network of its own. Why four errors and no more:
//! each leads to another next step. What never left may go again anywhere; what was sent without
//! an answer may have been filed; an untrusted certificate is a person's work.

use crate::limits::{
    CONNECT_MAX, FILE_IDLE_MAX, IDLE_CONNECTION_KEEP, IDLE_CONNECTIONS_MAX, TAKEN_MAX,
};
use crate::reach::{BEYOND_REACH, Guide, Network, bare};
use bytes::{Bytes, BytesMut};
use exchange::{Code, Issue};
use futures_util::StreamExt;
use http::StatusCode;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// A future on the heap, as traits behind `dyn` need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes the pieces of a body in their order; `false`: no more of them is wanted.
pub type Taker<'t> = &'t mut (dyn FnMut(Bytes) -> bool + Send);

/// Carries one request and brings back one answer.
pub trait Transport: Send + Sync {
    /// Sends a request with an absolute URL; any HTTP status is an `Ok`.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;

    /// The same for a body that is too large to be held: of a 200 it is taken as it comes, and the answer
    /// has none.
    fn send_taking<'a>(
        &'a self,
        request: http::Request<Bytes>,
        take: Taker<'a>,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let mut answer = self.send(request).await?;
            if answer.status() == StatusCode::OK {
                take(std::mem::take(answer.body_mut()));
            }
            Ok(answer)
        })
    }

    /// Whether it would connect to this address, whoever's name leads there.
    fn permits(&self, _address: IpAddr) -> bool {
        true
    }
}

/// How far a request came. `Display` is safe to show; the causes inside are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Never left: no connection came about.
    #[error("no connection came about; nothing was sent")]
    NotSent(String),
    /// Never left: TLS failed, in most cases because the certificate is not trusted.
    #[error("the certificate is not trusted or TLS failed; nothing was sent")]
    Untrusted(String),
    /// Sent, but no complete answer came: what became of it is unknown.
    #[error("sent, but no complete answer came")]
    Unknown(String),
    /// Never left: the URL leads to an address that a partner may not send this house to.
    #[error("the URL leads to an address of a private network; nothing was sent")]
    BeyondReach,
    /// Answered, but with more bytes than the limit.
    #[error("the answer is larger than the limit")]
    AnswerTooLarge,
}

/// The real network: reqwest over rustls, TLS 1.2 or newer, connections kept for reuse.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    timeout: Duration,
    answer_limit: usize,
    network: Option<Network>,
}

/// What a transport is made of.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// Authorities it trusts: PEM, each with one or more certificates.
    pub roots: &'a [Vec<u8>],
    /// The certificate it presents where it is asked for one: chain and key in one PEM.
    pub identity: Option<&'a [u8]>,
    /// Where the URLs may lead to; none where people configured them all, not a partner.
    pub network: Option<&'a Network>,
    /// Time for a whole exchange.
    pub timeout: Duration,
    /// Bytes of an answer's body.
    pub answer_limit: usize,
}

impl HttpTransport {
    /// A transport that trusts these authorities (PEM, each with one or more certificates) and no
    /// others, and whose URLs people have configured.
    ///
    /// `timeout` bounds a whole exchange, `answer_limit` the bytes of an answer's body.
    /// Errors: `KeyUnusable` when a PEM holds no certificate.
    pub fn new(
        extra_roots_pem: &[Vec<u8>],
        timeout: Duration,
        answer_limit: usize,
    ) -> Result<HttpTransport, Issue> {
        let roots = extra_roots_pem;
        HttpTransport::over(Lines { roots, identity: None, network: None, timeout, answer_limit })
    }

    /// A transport of these lines.
    ///
    /// Errors: `KeyUnusable` when a PEM holds no certificate, or no key beside it.
    pub fn over(lines: Lines<'_>) -> Result<HttpTransport, Issue> {
        let client = built(builder(&lines)?.timeout(lines.timeout))?;
        let network = lines.network.cloned();
        let Lines { timeout, answer_limit, .. } = lines;
        Ok(HttpTransport { client, timeout, answer_limit, network })
    }

    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let answer = self.begin(request, None).await?;
        self.whole(answer).await
    }

    /// The head of an answer, in the time that a whole exchange has, or that is given.
    async fn begin(
        &self,
        request: http::Request<Bytes>,
        time: Option<Duration>,
    ) -> Result<reqwest::Response, TransportError> {
        check_scheme(request.uri())?;
        let mut request = reqwest::Request::try_from(request)
            .map_err(|_| TransportError::NotSent("the URL cannot be used".into()))?;
        if let Some(time) = time {
            *request.timeout_mut() = Some(time);
        }
        // The host as it is connected to: `0x7f.1` has become an address by now.
        let host = request.url().host_str().unwrap_or_default();
        if self.network.as_ref().is_some_and(|network| !network.permits_host(host)) {
            return Err(TransportError::BeyondReach);
        }
        self.client.execute(request).await.map_err(|error| classify(&error))
    }

    async fn taken(
        &self,
        request: http::Request<Bytes>,
        take: Taker<'_>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        // The head, and what is no file, come in the time of any exchange.
        let late = |_| TransportError::Unknown("timed out".into());
        let until = Instant::now() + self.timeout;
        let answer = self.begin(request, Some(TAKEN_MAX.max(self.timeout)));
        let answer = tokio::time::timeout_at(until, answer).await.map_err(late)??;
        if answer.status() != StatusCode::OK {
            return tokio::time::timeout_at(until, self.whole(answer)).await.map_err(late)?;
        }
        let mut response = http::Response::new(Bytes::new());
        *response.headers_mut() = answer.headers().clone();
        let mut chunks = answer.bytes_stream();
        loop {
            let chunk = tokio::time::timeout(FILE_IDLE_MAX, chunks.next()).await;
            let chunk = chunk.map_err(|_| TransportError::Unknown("nothing more came".into()))?;
            let Some(chunk) = chunk else { return Ok(response) };
            if !take(chunk.map_err(|error| TransportError::Unknown(causes(&error)))?) {
                return Ok(response);
            }
        }
    }

    async fn whole(
        &self,
        answer: reqwest::Response,
    ) -> Result<http::Response<Bytes>, TransportError> {
        if answer.content_length().is_some_and(|length| length > self.answer_limit as u64) {
            return Err(TransportError::AnswerTooLarge);
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = BytesMut::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| TransportError::Unknown(causes(&error)))?;
            if body.len() + chunk.len() > self.answer_limit {
                return Err(TransportError::AnswerTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        // Answers may be kept for long, and room that is left over with them.
        let body = if body.capacity() > body.len() + body.len() / 8 {
            Bytes::copy_from_slice(&body)
        } else {
            body.freeze()
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

impl Transport for HttpTransport {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.exchange(request))
    }

    fn send_taking<'a>(
        &'a self,
        request: http::Request<Bytes>,
        take: Taker<'a>,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.taken(request, take))
    }

    fn permits(&self, address: IpAddr) -> bool {
        self.network.as_ref().is_none_or(|network| network.permits(address))
    }
}

/// A client of these lines that has no bound on a whole exchange yet.
///
/// Errors: `KeyUnusable`.
pub(crate) fn builder(lines: &Lines<'_>) -> Result<reqwest::ClientBuilder, Issue> {
    let mut roots = Vec::new();
    for pem in lines.roots {
        let found = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|_| unusable("a file of trusted authorities is not readable PEM"))?;
        if found.is_empty() {
            return Err(unusable("a file of trusted authorities holds no certificate"));
        }
        roots.extend(found);
    }
    let mut client = reqwest::Client::builder()
        .tls_certs_only(roots)
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_MAX.min(lines.timeout / 2))
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION_KEEP)
        .user_agent(concat!("handover/", env!("CARGO_PKG_VERSION")));
    if let Some(identity) = lines.identity {
        let identity = reqwest::Identity::from_pem(identity)
            .map_err(|_| unusable("the client certificate and its key are not readable PEM"))?;
        client = client.identity(identity);
    }
    if let Some(network) = lines.network {
        client = client.dns_resolver(Guide(network.clone()));
    }
    Ok(client)
}

/// What a builder makes. Errors: `KeyUnusable`.
pub(crate) fn built(client: reqwest::ClientBuilder) -> Result<reqwest::Client, Issue> {
    client.build().map_err(|error| {
        tracing::error!(%error, "TLS client cannot be set up");
        unusable("the trusted authorities or the client certificate cannot be used")
    })
}

fn unusable(what: &str) -> Issue {
    Issue::new(Code::KeyUnusable, what)
}

/// Plain HTTP is for loopback only: a token or a chart beyond it needs TLS.
pub(crate) fn check_scheme(uri: &http::Uri) -> Result<(), TransportError> {
    let plain = TransportError::NotSent("plain HTTP is for loopback only".into());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if uri.host().is_some_and(is_loopback) => Ok(()),
        _ => Err(plain),
    }
}

/// Whether a host, as it stands in a URL, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || bare(host).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) fn classify(error: &reqwest::Error) -> TransportError {
    let words = causes(error);
    if error.is_builder() {
        TransportError::NotSent(words)
    } else if error.is_connect() && words.contains(BEYOND_REACH) {
        TransportError::BeyondReach
    } else if error.is_connect() && is_tls(error) {
        TransportError::Untrusted(words)
    } else if error.is_connect() {
        TransportError::NotSent(words)
    } else {
        TransportError::Unknown(words)
    }
}

/// Looks for a TLS error among the causes; an `io::Error` hides one inside rather than behind it.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}

/// The chain of causes in one line, without the URL: a query can name a patient.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut words = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "timed out".to_owned(),
        (_, true) => "connect".to_owned(),
        _ => "request".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
