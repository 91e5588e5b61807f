//! Trust: what proving who one is costs, beside everything else that a push costs.
//!
//! Comes in   the logs of the doors that were knocked at (`wire::requests`); processor time of all.
//! Goes out   how many handshakes, tokens and requests there were, what one of each costs both sides
//!            together, and their share of the houses' processor time.
//! Never      takes the cost from the run itself: one of each is measured by itself, many times over,
//!            with what a house would have at hand (a kept client, a certificate at either side).

use crate::gauge;
use axum::Router;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wire::transport::BoxFuture;
use wire::trust::{Purposes, SignIn};
use wire::{
    Answer, Clock, Credential, Gate, MemoryReplay, SigningKey, SmartClient, SystemClock, Transport,
    TransportError, doorstep, tls,
};

/// How often each is done; the kernel counts in hundredths of a second.
const HANDSHAKES: u32 = 300;
const TOKENS: u32 = 400;
const ADMISSIONS: u32 = 100_000;

const BASE: &str = "https://plan.example/fhir";
const SCOPE: &str = "system/*.cruds";

/// What the doors were asked, by their logs.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) handshakes: u32,
    pub(crate) tokens: u32,
    pub(crate) requests: u32,
}

impl Asked {
    pub(crate) fn of<'a>(logs: impl IntoIterator<Item = &'a str>) -> Asked {
        let mut asked = Asked::default();
        let lines = logs.into_iter().flat_map(str::lines);
        for line in lines.filter(|line| line.contains("wire::requests")) {
            match line {
                line if line.contains(" handshake ") => asked.handshakes += 1,
                line if line.contains("/token\"") => asked.tokens += 1,
                _ => asked.requests += 1,
            }
        }
        asked
    }
}

/// Processor time of one of each, both sides together.
struct Each {
    handshake: Duration,
    token: Duration,
    admission: Duration,
}

/// The table, and the share of this much processor time.
pub(crate) fn show(asked: &Asked, of: Duration) {
    let builder = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let each = builder.expect("a runtime").block_on(measure());
    println!(
        "\n{:34} {:>8} {:>10} {:>8} {:>8}",
        "trust, both sides", "count", "us each", "CPU s", "share"
    );
    let rows = [
        ("TLS handshakes", asked.handshakes, each.handshake),
        ("tokens asked for and given", asked.tokens, each.token),
        ("tokens looked at", asked.requests, each.admission),
    ];
    let mut sum = Duration::ZERO;
    for (name, count, each) in rows {
        let cost = each * count;
        sum += cost;
        row(name, &count.to_string(), &each.as_micros().to_string(), cost, of);
    }
    row("all", "", "", sum, of);
}

fn row(name: &str, count: &str, each: &str, cost: Duration, of: Duration) {
    let share = 100.0 * cost.as_secs_f64() / of.as_secs_f64().max(f64::EPSILON);
    println!("{name:34} {count:>8} {each:>10} {:8.3} {share:7.2}%", cost.as_secs_f64());
}

async fn measure() -> Each {
    Each {
        handshake: handshakes().await / HANDSHAKES,
        token: tokens().await / TOKENS,
        admission: admissions().await / ADMISSIONS,
    }
}

fn used() -> Duration {
    gauge::cpu(&[std::process::id()])
}

/// Whole handshakes, none taken up again, with TLS as a house offers it; connecting is in them.
async fn handshakes() -> Duration {
    let (authority, authority_key) = tls::make_authority("plan").expect("an authority");
    let hosts = ["127.0.0.1".to_owned()];
    let issued = tls::issue_server_certificate(&authority, &authority_key, &hosts);
    let (chain, key) = issued.expect("a certificate");
    let config = tls::server_config(chain.as_bytes(), key.as_bytes()).expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(wire::server::serve(listener, Some(config), Router::new(), async {
        stopped.await.ok();
    }));
    let (patience, roots) = (Duration::from_secs(10), [authority.as_bytes()]);
    let before = used();
    for _ in 0..HANDSHAKES {
        let stream = doorstep::connect(&[address], patience).await.expect("a connection");
        let now = SystemClock.now();
        let shaken = doorstep::shake_hands(stream, "127.0.0.1", &roots, now, patience).await;
        black_box(shaken.expect("a handshake"));
    }
    let cost = used().saturating_sub(before);
    stop.send(()).ok();
    serving.await.ok();
    cost
}

/// A gate without a network.
struct Near(Gate);

impl Transport for Near {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let answer = match request.method() {
                &http::Method::POST => self.0.token(request.body()).await,
                _ => Answer::new(200, self.0.smart_configuration().to_string()),
            };
            let mut response = http::Response::new(answer.body);
            *response.status_mut() = http::StatusCode::from_u16(answer.status).expect("a status");
            Ok(response)
        })
    }
}

fn gate() -> (Arc<Near>, SmartClient) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = SigningKey::generate().expect("a key");
    let credential = Credential {
        client_id: "clinic".into(),
        partner: "clinic".into(),
        jwks: key.jwks(),
        scopes: vec![SCOPE.into()],
    };
    let replay = Arc::new(MemoryReplay::new(Arc::clone(&clock)));
    let gate = Gate::new(BASE, vec![credential], [7; 32], replay, Arc::clone(&clock));
    let near = Arc::new(Near(gate));
    let over = Arc::clone(&near) as _;
    let client = SmartClient::new(over, BASE, "clinic", &key.to_pem(), SCOPE.into(), clock);
    (near, client.expect("a client"))
}

/// Tokens that are asked for with a signed assertion and given for it (ES384).
async fn tokens() -> Duration {
    let (_, client) = gate();
    let before = used();
    for _ in 0..TOKENS {
        let token = client.token().await.expect("a token");
        SignIn::forget(&client, &token);
        black_box(token);
    }
    used().saturating_sub(before)
}

/// What each request costs at the gate beside its own work.
async fn admissions() -> Duration {
    let (near, client) = gate();
    let token = SignIn::token(&client, &Purposes::new()).await.expect("a token");
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", token.expose_secret());
    headers.insert(AUTHORIZATION, bearer.parse().expect("a header"));
    let before = used();
    for _ in 0..ADMISSIONS {
        black_box(near.0.admit(&headers, None).await.expect("who it is"));
    }
    used().saturating_sub(before)
}
