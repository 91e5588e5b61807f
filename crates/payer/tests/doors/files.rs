//! A partner's file server on loopback: what stands at which path, and what was asked for.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::Response;
use payer::bulk::FileServer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::SystemClock;
use wire::fetch::{Bounds, Fetcher, Origins};
use wire::transport::Lines;

/// What stands at a path.
#[derive(Clone)]
pub(crate) enum Stands {
    /// A content of this type.
    Whole(&'static str, Bytes),
    /// Nothing but a status.
    Status(u16),
    /// So many bytes of a file; then the connection ends.
    Cut(Bytes, usize),
}

/// A file server.
pub(crate) struct Files {
    pub(crate) url: String,
    stands: Arc<Mutex<BTreeMap<String, Stands>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Files {
    pub(crate) async fn serve() -> Files {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stands: Arc<Mutex<BTreeMap<String, Stands>>> = Arc::default();
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
            let found = there.lock().unwrap().get(&path).cloned();
            async move { answer(found.unwrap_or(Stands::Status(404))) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Files { url, stands, asked }
    }

    /// How a plan fetches from it.
    pub(crate) fn agreed(&self) -> FileServer {
        let (roots, timeout) = (&[][..], Duration::from_secs(10));
        let lines = Lines { roots, identity: None, network: None, timeout, answer_limit: 1 << 20 };
        let origins = Origins::of([self.url.as_str()]).unwrap();
        let clock = Arc::new(SystemClock);
        let fetcher = Fetcher::over(lines, origins, clock, Bounds::default()).unwrap();
        FileServer { fetcher, credential: None }
    }

    pub(crate) fn put(&self, path: &str, stands: Stands) {
        self.stands.lock().unwrap().insert(path.to_owned(), stands);
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
        Stands::Cut(content, bytes) => {
            let part = content.slice(..bytes);
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
            response.header("content-type", "application/fhir+ndjson").body(body).unwrap()
        }
    }
}
