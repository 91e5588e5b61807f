//! Server: accepts connections and hands their requests to a router, until told to stop.
//!
//! Comes in   a listener, TLS or none, a router, and the future that says when to stop.
//! Goes out   answers. Returns when the last connection has ended, or the time to drain is over.
//! Never      lets one connection hurt another: a bad handshake, silence or garbage ends with its
//!            own connection, and so does an answer that nobody takes. The number of connections is bounded, for each address too, and
//!            nobody waits for a place: see `peers`.
//!
//! Why not the protocol guess of the connection builder: it waits without bound for the first bytes.
//! ALPN has said already what follows; without TLS it is HTTP/1.1.

use crate::limits::{
    ACCEPT_RETRY, ADDRESS_CONNECTIONS_MAX, ANSWER_PIECE, ANSWER_TAKE_MAX, CONNECTION_IDLE_MAX,
    CONNECTION_LIFE_MAX, CONNECTIONS_MAX, DRAIN_MAX, HANDSHAKE_MAX, HEAD_READ_MAX, HEADER_READ_MAX,
    HEADERS_READ_MAX, LAST_WORDS_MAX, LISTEN_BACKLOG, STREAMS_MAX,
};
use crate::peers::{Peer, Peers, Places, Visit};
use crate::requests::{self, Asked};
use crate::trust::mutual::Presented;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::Response;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// The bounds of one listener; `limits.rs` says why they are what they are.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once; beyond it the one that has been quiet for longest makes room.
    pub connections: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request.
    pub header: Duration,
    /// A connection without a request for so long is closed.
    pub idle: Duration,
    /// Time for an answer to be taken; one that is not taken at a pace ends before.
    pub take: Duration,
    /// No connection lives longer.
    pub life: Duration,
    /// Time for requests in flight after the stop.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            connections: CONNECTIONS_MAX,
            handshake: HANDSHAKE_MAX,
            header: HEADER_READ_MAX,
            idle: CONNECTION_IDLE_MAX,
            take: ANSWER_TAKE_MAX,
            life: CONNECTION_LIFE_MAX,
            drain: DRAIN_MAX,
        }
    }
}

/// Who is at the other end of a request's connection, and how it is carried; among the request's
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The peer's address.
    pub address: IpAddr,
    /// Whether nobody between can read it.
    pub tls: bool,
}

/// What the listener says to its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// No new requests; those in flight may end.
    Closing,
    /// The time to drain is over.
    Closed,
}

/// Listens at an address, with room for those who come while others are let in.
///
/// # Errors
/// When the address cannot be listened on.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Serves a router on a listener until `shutdown` ends, then lets requests in flight finish.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_within(Bounds::default(), listener, tls, router, shutdown).await
}

/// [`serve`] within bounds of one's own.
pub async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let all = bounds.connections;
    let peers = Peers::new(Places { all, address: all.min(ADDRESS_CONNECTIONS_MAX) });
    let (stop, stopped) = watch::channel(Stage::Open);
    // Every connection holds one end: the other hears when the last has gone.
    let (here, mut gone) = mpsc::channel::<()>(1);
    let acceptor = tls.map(TlsAcceptor::from);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // No file handles left, or the peer was gone already: the next one may be well.
                tracing::warn!(%error, "accept");
                peers.make_room();
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Dropped at once, without a word that would cost more than it is worth.
        let Some(peer) = peers.enter(address.ip()) else { continue };
        let (acceptor, router, stopped) = (acceptor.clone(), router.clone(), stopped.clone());
        let here = here.clone();
        tokio::spawn(async move {
            let address = address.ip();
            greet(bounds, (peer, address), stream, acceptor, router, stopped).await;
            drop(here);
        });
    }
    drop((listener, here));
    stop.send_replace(Stage::Closing);
    if timeout(bounds.drain, gone.recv()).await.is_err() {
        tracing::warn!("stopped with requests in flight");
        stop.send_replace(Stage::Closed);
    }
    Ok(())
}

/// Shakes hands, learns the protocol, and serves the connection to its end.
async fn greet(
    bounds: Bounds,
    (peer, address): (Peer, IpAddr),
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    mut stopped: watch::Receiver<Stage>,
) {
    // Small answers should not wait for more to come; a socket that cannot is served all the same.
    stream.set_nodelay(true).ok();
    let Some(acceptor) = acceptor else {
        let spoken = Spoken { http2: false, presented: None, line: Line { address, tls: false } };
        return converse(bounds, peer, spoken, stream, router, stopped).await;
    };
    let handshake = tokio::select! {
        handshake = timeout(bounds.handshake, acceptor.accept(stream)) => handshake,
        _ = stopped.wait_for(|stage| *stage >= Stage::Closing) => return,
        () = peer.must_go() => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            requests::shaken(session.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
            let http2 = session.alpn_protocol() == Some(b"h2");
            let presented = session.peer_certificates().and_then(Presented::of).map(Arc::new);
            let spoken = Spoken { http2, presented, line: Line { address, tls: true } };
            converse(bounds, peer, spoken, stream, router, stopped).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake"),
        Err(_) => tracing::debug!("TLS handshake timed out"),
    }
}

/// What a handshake has settled.
struct Spoken {
    http2: bool,
    presented: Option<Arc<Presented>>,
    line: Line,
}

/// Serves requests until the peer leaves, falls silent, has stayed too long, or the house stops.
async fn converse<S>(
    bounds: Bounds,
    peer: Peer,
    spoken: Spoken,
    stream: S,
    router: Router,
    mut stopped: watch::Receiver<Stage>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder(bounds, spoken.http2);
    let peer = Arc::new(peer);
    let service = {
        let peer = Arc::clone(&peer);
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            if let Some(presented) = &spoken.presented {
                request.extensions_mut().insert(Arc::clone(presented));
            }
            request.extensions_mut().insert(spoken.line);
            respond(router.clone(), request, peer.visit())
        })
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut end = pin!(sleep(bounds.life));
    let mut aborted = stopped.clone();
    let mut closing = false;
    loop {
        let quiet_since = peer.quiet_since().unwrap_or_else(Instant::now);
        let taken_by = peer.taken_by(bounds.take);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection");
                }
                return;
            }
            () = &mut end => return,
            () = peer.must_go() => return,
            () = peer.answered() => {}
            () = until(taken_by) => {
                if peer.taken_by(bounds.take).is_some_and(|by| by <= Instant::now()) {
                    tracing::debug!("an answer was not taken");
                    return;
                }
            }
            _ = aborted.wait_for(|stage| *stage == Stage::Closed) => return,
            _ = stopped.wait_for(|stage| *stage >= Stage::Closing), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(quiet_since + bounds.idle), if !closing => {
                if peer.quiet_since().is_some_and(|since| since.elapsed() >= bounds.idle) {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                    end.as_mut().reset(Instant::now() + LAST_WORDS_MAX);
                }
            }
        }
    }
}

/// Waits for a moment that may never come.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn builder(bounds: Bounds, http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.header);
    // What is a little too large is refused in words by `shape`, what is much too large here.
    builder.http1().max_headers(HEADERS_READ_MAX).max_buf_size(HEAD_READ_MAX);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    builder.http2().max_header_list_size(HEAD_READ_MAX as u32);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}

async fn respond(
    router: Router,
    request: Request<Incoming>,
    visit: Visit,
) -> Result<Response<Body>, Infallible> {
    let visit = Arc::new(visit);
    if request.body().is_end_stream() {
        visit.arrived();
    }
    let arriving = |body| Body::new(Arriving { body, visit: Arc::clone(&visit) });
    let mut request = request.map(arriving);
    request.extensions_mut().insert(Arc::clone(&visit));
    let asked = Asked::of(request.method(), request.uri().path());
    let response = router.oneshot(request).await?;
    asked.inspect(|asked| asked.answered(response.status()));
    visit.leaves();
    // The visit ends when the last byte has been handed over, or the peer has given up.
    Ok(response.map(|body| Body::new(Leaving { body, rest: Bytes::new(), visit })))
}

/// The body of an answer on its way: piece by piece, as the peer takes it.
struct Leaving {
    body: Body,
    rest: Bytes,
    visit: Arc<Visit>,
}

impl hyper::body::Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(ANSWER_PIECE);
        let piece = self.rest.split_to(length);
        self.visit.takes(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// The body of a request on its way.
struct Arriving {
    body: Incoming,
    visit: Arc<Visit>,
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.visit.arrived();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.visit.arrived();
    }
}
