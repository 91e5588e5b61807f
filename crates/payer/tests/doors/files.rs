//! A partner's file server on loopback: what stands at which path, and what was asked for.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use payer::bulk::FileServer;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use wire::fetch::{Bounds, Fetcher, Origins, OwnCredential};
use wire::reach::Network;
use wire::transport::Lines;
use wire::{KeyRing, SigningKey, SystemClock};

/// What stands at a path.
#[derive(Clone)]
pub(crate) enum Stands {
    /// A content of this type.
    Whole(&'static str, Bytes),
    /// Nothing but a status.
    Status(u16),
    /// So many bytes of a file; then the connection ends.
    Cut(Bytes, usize),
    /// A file whose length is said to be this one.
    Claims(Bytes, u64),
    /// What is said to be a file packed by gzip.
    Gzip(Bytes),
    /// A file whose last tenth comes once this is released.
    Held(Bytes, Arc<Notify>),
    /// A file for who has this token.
    Behind(&'static str, Bytes),
}

/// A file server.
pub(crate) struct Files {
    pub(crate) url: String,
    stands: Arc<Mutex<BTreeMap<String, VecDeque<Stands>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Files {
    pub(crate) async fn serve() -> Files {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stands: Arc<Mutex<BTreeMap<String, VecDeque<Stands>>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (there, noted) = (Arc::clone(&stands), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let header = |name: &str| {
                let value = request.headers().get(name);
                value
                    .map(|value| format!(" {name}={}", value.to_str().unwrap()))
                    .unwrap_or_default()
            };
            noted.lock().unwrap().push(format!("{path}{}{}", header("x-key"), header("range")));
            let token = request.headers().get("authorization").cloned();
            let mut there = there.lock().unwrap();
            let found = match there.get_mut(&path) {
                Some(several) if several.len() > 1 => several.pop_front(),
                one => one.and_then(|one| one.front().cloned()),
            };
            let found = match found.unwrap_or(Stands::Status(404)) {
                Stands::Behind(own, content) => match token {
                    Some(token) if token == format!("Bearer {own}") => {
                        Stands::Whole("application/fhir+ndjson", content)
                    }
                    _ => Stands::Status(401),
                },
                found => found,
            };
            async move { answer(found) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Files { url, stands, asked }
    }

    /// How a plan fetches from it.
    pub(crate) fn agreed(&self) -> FileServer {
        self.agreed_with(&[], None)
    }

    /// The same, from these origins as well, which are in the plan's own network; the plan has a
    /// credential here.
    pub(crate) fn agreed_beside(&self, own: &[&str]) -> FileServer {
        let allowed = Network::allowing(&["127.0.0.1".to_owned()]).unwrap();
        let keys = KeyRing::new(SigningKey::generate().unwrap());
        let credential = OwnCredential { client_id: "plan".to_owned(), keys, jku: None };
        let server = self.agreed_with(own, Some(&allowed));
        FileServer { credential: Some(credential), ..server }
    }

    fn agreed_with(&self, own: &[&str], network: Option<&Network>) -> FileServer {
        let (roots, timeout) = (&[][..], Duration::from_secs(10));
        let lines = Lines { roots, identity: None, network, timeout, answer_limit: 1 << 20 };
        let origins = own.iter().copied().chain([self.url.as_str()]);
        let origins = Origins::of(origins).unwrap();
        let clock = Arc::new(SystemClock);
        let fetcher = Fetcher::over(lines, origins, clock, Bounds::default()).unwrap();
        FileServer { fetcher, credential: None }
    }

    pub(crate) fn put(&self, path: &str, stands: Stands) {
        self.script(path, [stands]);
    }

    /// What stands at a path for one request after the other; the last for all that follow.
    pub(crate) fn script(&self, path: &str, stands: impl IntoIterator<Item = Stands>) {
        self.stands.lock().unwrap().insert(path.to_owned(), stands.into_iter().collect());
    }

    /// What stands there now.
    pub(crate) fn stands(&self, path: &str) -> Stands {
        self.stands.lock().unwrap()[path][0].clone()
    }

    /// A file of lines.
    pub(crate) fn file(&self, path: &str, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.put(path, Stands::Whole("application/fhir+ndjson", text.into()));
    }

    /// A manifest of files: type and path.
    pub(crate) fn manifest(&self, path: &str, output: &[(&str, &str)]) -> String {
        self.manifest_with(path, output, serde_json::json!({}))
    }

    /// The same, with more members.
    pub(crate) fn manifest_with(
        &self,
        path: &str,
        output: &[(&str, &str)],
        more: serde_json::Value,
    ) -> String {
        let file = |(kind, path): &(&str, &str)| match *kind {
            "" => serde_json::json!({ "url": path }),
            kind => serde_json::json!({ "type": kind, "url": path }),
        };
        let mut manifest = serde_json::json!({
            "transactionTime": "2026-11-22T10:00:00Z",
            "requiresAccessToken": false,
            "output": output.iter().map(file).collect::<Vec<_>>(),
        });
        for (name, value) in more.as_object().unwrap() {
            manifest[name] = value.clone();
        }
        self.put(path, Stands::Whole("application/json", manifest.to_string().into()));
        format!("{}{path}", self.url)
    }

    /// What was asked for since the last time: paths, with the headers that count.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(stands: Stands) -> Response<Body> {
    let response = Response::builder();
    match stands {
        Stands::Whole(kind, content) => {
            response.header("content-type", kind).body(Body::from(content)).unwrap()
        }
        Stands::Status(status) => response.status(status).body(Body::empty()).unwrap(),
        Stands::Gzip(content) => {
            let response = response.header("content-encoding", "gzip");
            response.header("content-type", NDJSON).body(Body::from(content)).unwrap()
        }
        Stands::Held(content, release) => {
            let first = content.slice(..content.len() / 10 * 9);
            let rest = content.slice(first.len()..);
            let rest = futures_util::stream::once(async move {
                release.notified().await;
                Ok::<_, std::io::Error>(rest)
            });
            let pieces = futures_util::stream::once(async { Ok(first) }).chain(rest);
            response.header("content-type", NDJSON).body(Body::from_stream(pieces)).unwrap()
        }
        Stands::Behind(_, content) => response.body(Body::from(content)).unwrap(),
        Stands::Claims(content, length) => {
            let response = response.header("content-length", length);
            broken_off(response, content)
        }
        Stands::Cut(content, bytes) => broken_off(response, content.slice(..bytes)),
    }
}

const NDJSON: &str = "application/fhir+ndjson";

/// What is there; then the connection ends.
fn broken_off(response: http::response::Builder, part: Bytes) -> Response<Body> {
    let pieces = futures_util::stream::unfold(Some(part), |part| async move {
        // The connection has room to send what came before.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut rest = part?;
        let piece = rest.split_to(rest.len().min(8 * 1024));
        match piece.is_empty() {
            true => Some((Err(std::io::Error::other("cut")), None)),
            false => Some((Ok(piece), Some(rest))),
        }
    });
    let body = Body::from_stream(pieces);
    response.header("content-type", NDJSON).body(body).unwrap()
}
