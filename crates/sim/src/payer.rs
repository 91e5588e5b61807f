//! Payer: foreign payers to deliver to, each a small FHIR server that is none of ours.
//!
//! Comes in   what the server can do, what goes wrong at which request, a listener, a clock.
//! Goes out   a running server; what arrived at it, request by request and version by version.
//! Never      uses the repository or the router of this project: it reads FHIR in its own way, and
//!            keeps everything in memory.
//!
//! Why a stranger: a server built of our own parts would share our misreadings, and a push that
//! only such a server takes is no exchange.

mod arrived;
mod bundle;
mod desk;
mod door;
mod fault;
mod http;
mod kept;
mod links;
mod profile;
mod records;
mod statement;
mod strict;

pub use arrived::{Arrival, Arrived};
pub use fault::{ACCEPTS, FAULTS, Fault, Planned, Schedule, Traffic};
pub use profile::{Abilities, Habit, Offer, Profile};
pub use records::Version;

use crate::limits::{DRIP_PAUSE, SLOW_PAUSE, SLOW_PIECE};
use bytes::Bytes;
use door::{Door, State};
use exchange::{Code, Issue};
use http::{Answer, Line};
use kept::Keeping;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use wire::clock::Clock;
use wire::tls;
use wire::trust::Credential;
use wire::trust::smart::replay::MemoryReplay;
use wire::trust::smart::server::Gate;

/// Where the FHIR base lies below the host.
const BASE_PATH: &str = "/r4";

/// What a foreign payer is started with.
pub struct PayerPlan<'a> {
    /// What its server does.
    pub abilities: Abilities,
    /// What goes wrong, and when.
    pub schedule: Schedule,
    /// Who may sign in, with the key of the access tokens; `None`: no sign-in, for loopback only.
    pub sign_in: Option<(Vec<Credential>, [u8; 32])>,
    /// Certificate chain and key, both PEM; `None`: plain HTTP, for loopback only.
    pub tls: Option<(&'a [u8], &'a [u8])>,
    /// The time, for sign-in and for `meta.lastUpdated`.
    pub clock: Arc<dyn Clock>,
}

/// A running foreign payer. Dropped, it stops, and forgets everything.
pub struct ForeignPayer {
    door: Arc<Door>,
    serving: JoinHandle<()>,
}

impl ForeignPayer {
    /// Opens the door.
    ///
    /// Errors: `BindRefused` for plain HTTP or no sign-in beyond loopback, `KeyUnusable`.
    pub fn start(plan: PayerPlan<'_>, listener: TcpListener) -> Result<ForeignPayer, Issue> {
        ForeignPayer::open(plan, listener, None)
    }

    /// The same, with all that an earlier one kept in this file; what is written from now on stands
    /// there before it is answered.
    ///
    /// Errors: those of `start`, and a file that cannot be read or written.
    pub fn start_kept(
        plan: PayerPlan<'_>,
        listener: TcpListener,
        file: &Path,
    ) -> Result<ForeignPayer, Issue> {
        ForeignPayer::open(plan, listener, Some(file))
    }

    fn open(
        plan: PayerPlan<'_>,
        listener: TcpListener,
        file: Option<&Path>,
    ) -> Result<ForeignPayer, Issue> {
        let unknown = |_| Issue::new(Code::BindRefused, "the listener has no address");
        let address = listener.local_addr().map_err(unknown)?;
        if !address.ip().is_loopback() && (plan.tls.is_none() || plan.sign_in.is_none()) {
            let detail = "a simulated payer without TLS or sign-in listens on loopback only";
            return Err(Issue::new(Code::BindRefused, detail));
        }
        let tls = plan.tls.map(|(chain, key)| tls::server_config(chain, key)).transpose()?;
        let tls = tls.map(|config| {
            let mut config = (*config).clone();
            // This server speaks HTTP/1.1 by hand, and nothing else.
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{address}{BASE_PATH}");
        let gate = plan.sign_in.map(|(credentials, secret)| {
            let replay = Arc::new(MemoryReplay::new(Arc::clone(&plan.clock)));
            Gate::new(&base, credentials, secret, replay, Arc::clone(&plan.clock))
        });
        let door = Arc::new(Door {
            abilities: plan.abilities,
            base,
            path: BASE_PATH,
            gate,
            clock: plan.clock,
            state: Mutex::new(State::new(plan.schedule)),
        });
        if let Some(file) = file {
            let (keeping, kept) = Keeping::open(file)?;
            door.remember(keeping, kept);
        }
        let serving = tokio::spawn(serve(Arc::clone(&door), listener, tls));
        Ok(ForeignPayer { door, serving })
    }

    /// The FHIR base URL, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.door.base
    }

    /// What has arrived so far.
    pub fn arrived(&self) -> Arrived {
        self.door.arrived()
    }

    /// Plans anew what goes wrong; the numbers of requests go on.
    pub fn plan(&self, schedule: Schedule) {
        self.door.state().schedule = schedule;
    }

    /// Shuts the door and cuts all connections.
    pub async fn stop(mut self) {
        self.serving.abort();
        (&mut self.serving).await.ok();
    }
}

impl Drop for ForeignPayer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Takes connections; when this ends, all of them end.
async fn serve(door: Arc<Door>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut talks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                stream.set_nodelay(true).ok();
                let (door, tls) = (Arc::clone(&door), tls.clone());
                talks.spawn(async move {
                    match tls {
                        None => talk(&door, Line::new(stream)).await,
                        Some(tls) => {
                            // A handshake that fails ends its own connection only.
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(&door, Line::new(stream)).await;
                            }
                        }
                    }
                });
            }
            Some(_) = talks.join_next() => {}
        }
    }
}

/// One connection, request after request.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(door: &Door, mut line: Line<S>) {
    while exchange(door, &mut line).await.is_some() {}
    line.close().await;
}

/// One request; `None` ends the connection.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    door: &Door,
    line: &mut Line<S>,
) -> Option<()> {
    let head = line.head().await?;
    let begun = door.begin(&head);
    if begun.fault == Some(Fault::CutBeforeBody) {
        return None;
    }
    let body = line.body(&head).await?;
    let to_head = head.method == "HEAD";
    match begun.fault.filter(|fault| !fault.stores()) {
        Some(Fault::Hang) => {
            line.until_gone().await;
            return None;
        }
        Some(Fault::TooManyRequests(seconds)) => {
            let answer = outcome(429, "throttled").with("Retry-After", seconds.to_string());
            return line.say(&answer.bytes(to_head)).await;
        }
        Some(Fault::AcceptedUnstored) => return line.say(&accepted().bytes(to_head)).await,
        Some(_) => return line.say(&outcome(500, "exception").bytes(to_head)).await,
        None => {}
    }
    let (answer, fault, before) = door.carry_out(&begun, &head, body).await;
    let bytes = answer.bytes(to_head);
    match fault {
        None => line.say(&bytes).await?,
        Some(fault) => spoil(line, fault, &bytes, before).await?,
    }
    let close = head.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    (!close).then_some(())
}

/// Answers what was carried out, as the fault has it.
async fn spoil<S: AsyncRead + AsyncWrite + Unpin>(
    line: &mut Line<S>,
    fault: Fault,
    bytes: &Bytes,
    before: Option<Bytes>,
) -> Option<()> {
    match fault {
        Fault::ServerErrorStored => line.say(&outcome(500, "exception").bytes(false)).await,
        Fault::HangStored => {
            line.until_gone().await;
            None
        }
        Fault::Html => {
            let page = Answer::new(200, "<!DOCTYPE html><html><body>Please sign in.</body></html>");
            line.say(&page.with(CONTENT_TYPE, "text/html").bytes(false)).await
        }
        Fault::BrokenJson => {
            let half = Answer::new(200, r#"{"resourceType":"Bundle","type":"trans"#);
            line.say(&half.with(CONTENT_TYPE, "application/fhir+json").bytes(false)).await
        }
        Fault::WrongJson => {
            let other = Answer::new(200, r#"{"status":"ok","count":[1,2,3]}"#);
            line.say(&other.with(CONTENT_TYPE, "application/json").bytes(false)).await
        }
        Fault::AnsweredTwice => {
            line.say(bytes).await?;
            line.say(bytes).await
        }
        Fault::Accepted => line.say(&accepted().bytes(false)).await,
        Fault::AnsweredBefore => line.say(before.as_ref().unwrap_or(bytes)).await,
        Fault::Slow => {
            for piece in bytes.chunks(SLOW_PIECE) {
                line.say(piece).await?;
                tokio::time::sleep(SLOW_PAUSE).await;
            }
            Some(())
        }
        Fault::Drip => {
            for byte in bytes.chunks(1) {
                line.say(byte).await?;
                tokio::time::sleep(DRIP_PAUSE).await;
            }
            Some(())
        }
        // Cut: what was carried out is not answered.
        _ => None,
    }
}

/// The answer of a server that does it later (R4 §3.1.6); nothing is ever told at the place it names.
fn accepted() -> Answer {
    Answer::new(202, "").with("Content-Location", "jobs/1")
}

/// The header that says what a body is.
const CONTENT_TYPE: &str = "Content-Type";

fn outcome(status: u16, code: &str) -> Answer {
    let issue = serde_json::json!({ "severity": "error", "code": code });
    let outcome = serde_json::json!({ "resourceType": "OperationOutcome", "issue": [issue] });
    Answer::fhir(status, &outcome)
}
