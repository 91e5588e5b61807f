//! Stand-in: what partners meet at a payer's address in place of its door, while the payer itself
//! is at work behind it. It is no part of any house.
//!
//! Comes in   requests meant for the payer; what to do with the next pushes.
//! Goes out   the payer's own answers, or what a failing network, proxy or payer would say.
//! Never      reads what it passes on.

use crate::common::{House, RUNTIME, free_address};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wire::{BoxFuture, HttpTransport, Transport, server, tls};

/// What becomes of one push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// It is passed on and answered.
    Pass,
    /// It is passed on, and the connection is cut in the midst of the answer.
    LoseAnswer,
    /// The connection is cut; the payer never sees it.
    LoseRequest,
    /// It is passed on, and nobody answers.
    Silence,
    /// It is passed on, and something else is answered: status, a header, body.
    PassAndSay(u16, Option<(&'static str, &'static str)>, &'static str),
    /// It is not passed on, and this is answered.
    Say(u16, Option<(&'static str, &'static str)>, &'static str),
}

/// Somebody who answers some requests in the payer's place.
pub(crate) trait Aside: Send + Sync {
    fn answer<'a>(
        &'a self,
        head: &'a http::request::Parts,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Option<Response>>;
}

/// A stand-in at work.
pub(crate) struct StandIn {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
}

struct Shared {
    transport: HttpTransport,
    behind: SocketAddr,
    tricks: Mutex<VecDeque<Trick>>,
    pushes: Mutex<Vec<Bytes>>,
    aside: Mutex<Option<Arc<dyn Aside>>>,
}

impl StandIn {
    /// Takes a payer's address, with its certificate, and moves the payer itself to another one.
    /// The payer must not run yet.
    pub(crate) fn before(payer: &House) -> StandIn {
        let config = payer.config();
        let (address, behind) = (config.file.listen, free_address());
        payer.replace(
            "house.toml",
            &format!("listen = \"{address}\""),
            &format!("listen = \"{behind}\""),
        );
        let files = config.file.tls.as_ref().unwrap();
        let text = |path| config.text(path).unwrap();
        let chain = text(&files.certificate);
        let tls = tls::server_config(chain.as_bytes(), text(&files.key).as_bytes()).unwrap();
        let roots = [text(&files.authority).into_bytes()];
        let shared = Arc::new(Shared {
            transport: HttpTransport::new(&roots, Duration::from_secs(60), 1 << 26).unwrap(),
            behind,
            tricks: Mutex::default(),
            pushes: Mutex::default(),
            aside: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let room = Arc::clone(&shared);
        let router = Router::new().fallback(move |request: Request| {
            let room = Arc::clone(&room);
            async move { room.meet(request).await }
        });
        RUNTIME.block_on(async {
            let listener = TcpListener::bind(address).await.unwrap();
            let stopped = async move { drop(stopped.await) };
            tokio::spawn(server::serve(listener, Some(tls), router, stopped));
        });
        StandIn { shared, stop: Some(stop) }
    }

    /// What becomes of the next pushes; all later ones are passed on.
    pub(crate) fn play(&self, tricks: &[Trick]) {
        self.shared.tricks.lock().unwrap().extend(tricks);
        self.shared.pushes.lock().unwrap().clear();
    }

    /// From now on this one answers first.
    pub(crate) fn let_answer(&self, aside: Arc<dyn Aside>) {
        *self.shared.aside.lock().unwrap() = Some(aside);
    }

    /// The pushes it has met since.
    pub(crate) fn pushes(&self) -> Vec<Bytes> {
        self.shared.pushes.lock().unwrap().clone()
    }

    /// How many tricks have not been played.
    pub(crate) fn left(&self) -> usize {
        self.shared.tricks.lock().unwrap().len()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

impl Shared {
    async fn meet(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 26).await.unwrap();
        let aside = self.aside.lock().unwrap().clone();
        if let Some(aside) = aside
            && let Some(answer) = aside.answer(&head, &body).await
        {
            return answer;
        }
        let is_push = head.method == http::Method::POST && head.uri.path() == "/fhir";
        let trick = match is_push {
            true => {
                self.pushes.lock().unwrap().push(body.clone());
                self.tricks.lock().unwrap().pop_front().unwrap_or(Trick::Pass)
            }
            false => Trick::Pass,
        };
        let answer = match trick {
            Trick::LoseRequest | Trick::Say(..) => Response::default(),
            _ => self.pass(head, body).await,
        };
        match trick {
            Trick::Pass => answer,
            Trick::LoseAnswer | Trick::LoseRequest => cut(),
            Trick::Silence => std::future::pending().await,
            Trick::PassAndSay(status, header, body) | Trick::Say(status, header, body) => {
                let answer = Response::builder().status(status);
                let answer = header
                    .into_iter()
                    .fold(answer, |answer, (name, value)| answer.header(name, value));
                answer.body(Body::from(body)).unwrap()
            }
        }
    }

    async fn pass(&self, mut head: http::request::Parts, body: Bytes) -> Response {
        let path = head.uri.path_and_query().unwrap().as_str();
        head.uri = format!("https://{}{path}", self.behind).parse().unwrap();
        head.version = http::Version::default();
        for name in ["host", "content-length"] {
            head.headers.remove(name);
        }
        match self.transport.send(http::Request::from_parts(head, body)).await {
            Ok(answer) => {
                let (mut head, body) = answer.into_parts();
                head.headers.remove("content-length");
                Response::from_parts(head, Body::from(body))
            }
            Err(_) => cut(),
        }
    }
}

/// An answer that breaks off: whoever waits for it knows that something came, and not what.
fn cut() -> Response {
    let broken = std::io::Error::other("cut");
    Response::new(Body::from_stream(stream::iter([
        Ok(Bytes::from_static(b"{\"resourceType\":\"Bun")),
        Err(broken),
    ])))
}
