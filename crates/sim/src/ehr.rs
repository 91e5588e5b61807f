//! Ehr: a small electronic health record that answers FHIR searches and reads over HTTP.
//!
//! Comes in   a chart, credentials of those who may read it, a listener, TLS files, a clock.
//! Goes out   a running server; the chart as anybody with a token reads it, page by page.
//! Never      takes a write from a caller: the chart changes by `amend` alone, as in a hospital it
//!            changes by care.
//!
//! Why over the same desk and router as the receiving house: what the gateway reads from here has
//! gone through real sign-in, real paging and real TLS, and there is one reading of FHIR to mend.

mod change;
mod minimum;
mod odd;
mod pages;
mod raw;
mod served;
mod shall;
mod statement;
mod words;

pub use odd::{EhrMode, Odd};
pub use served::{as_served, inlined};
pub use shall::STATUS_DEMANDED;

use crate::limits::{EHR_LOAD_MAX, EHR_PAGE_RECORDS, EHR_PAGE_RECORDS_MAX};
use bytes::Bytes;
use exchange::query::Ask;
use exchange::{Code, HouseId, Issue, PartnerId};
use fhir::Resource;
use http::header::{ETAG, LAST_MODIFIED};
use jiff::Timestamp;
use minimum::Minimum;
use repository::{Description, Desk, Loaded, Loader, Told, capability, store_issue};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use store::{AnyHouse, House, SqliteHouse};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::clock::Clock;
use wire::refusal::Answer;
use wire::rest::{Outcome, Rest};
use wire::trust::smart::replay::MemoryReplay;
use wire::trust::smart::server::Gate;
use wire::trust::{Caller, Credential};
use wire::{RateLimits, rest, server, tls};

/// Where the FHIR base lies below the host.
const BASE_PATH: &str = "/fhir";

/// Whose records a chart's are: the hospital's own.
const OWNER: &str = "ehr";

/// What an EHR is started with.
pub struct EhrPlan<'a> {
    /// Where the chart is kept; the same folder again is the same EHR, amendments included.
    pub folder: &'a Path,
    /// The name of the hospital, for its capability statement.
    pub name: &'a str,
    /// Who may read, with which keys and scopes.
    pub credentials: Vec<Credential>,
    /// Key of the access tokens; drawn by the caller, since this room draws nothing.
    pub secret: [u8; 32],
    /// The host name in the base URL, as the certificate has it; `None`: the listener's address.
    pub host: Option<&'a str>,
    /// Certificate chain and key, both PEM; `None`: plain HTTP, for loopback only.
    pub tls: Option<(&'a [u8], &'a [u8])>,
    /// The time, for sign-in and for `meta.lastUpdated`.
    pub clock: Arc<dyn Clock>,
}

/// A running EHR. Dropped, it stops taking connections.
pub struct Ehr {
    base_url: String,
    house: AnyHouse,
    minimum: Option<Arc<Minimum>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl std::fmt::Debug for Ehr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ehr").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Ehr {
    /// Files the chart and serves all that this house's desk can do: `start_as` in the mode `Full`.
    ///
    /// Errors: as `start_as`.
    pub async fn start(
        plan: EhrPlan<'_>,
        chart: impl IntoIterator<Item = Bytes>,
        listener: TcpListener,
    ) -> Result<Ehr, Issue> {
        Ehr::start_as(EhrMode::Full, plan, chart, listener).await
    }

    /// Files the chart and serves it in a mode. Resources that stand in the folder with the same bytes gain
    /// no version.
    ///
    /// Errors: `BindRefused` for plain HTTP beyond loopback, `KeyUnusable`, `HouseLocked`,
    /// `EntryInvalid` for a resource that cannot be read or has no id, and those of the store.
    pub async fn start_as(
        mode: EhrMode,
        plan: EhrPlan<'_>,
        chart: impl IntoIterator<Item = Bytes>,
        listener: TcpListener,
    ) -> Result<Ehr, Issue> {
        let address = address(&listener)?;
        if plan.tls.is_none() && !address.ip().is_loopback() {
            return Err(Issue::new(
                Code::BindRefused,
                "the EHR speaks plain HTTP on loopback only",
            ));
        }
        let tls = plan.tls.map(|(chain, key)| tls::server_config(chain, key)).transpose()?;
        let base_url = base_url(&plan, address);
        let opened = SqliteHouse::open(plan.folder, &HouseId::from(OWNER)).map_err(store_issue)?;
        let house = AnyHouse::from(opened);
        load(&house, plan.clock.now(), chart).await?;

        let replay = MemoryReplay::new(Arc::clone(&plan.clock));
        let clock = Arc::clone(&plan.clock);
        let gate =
            Gate::new(&base_url, plan.credentials, plan.secret, Arc::new(replay), plan.clock);
        // Its odd ones count requests by themselves.
        let gate = gate.with_rates(RateLimits { requests: 0, sign_ins: 0 });
        let names = (plan.name, gate.token_endpoint());
        let minimum = match mode {
            EhrMode::Full => None,
            EhrMode::CertifiedMinimum(odd) => {
                let (house, names) = (house.clone(), (names.0, names.1.as_str()));
                Some(Arc::new(Minimum::new(house, &base_url, names, odd, plan.secret, clock)))
            }
        };
        let desk: Arc<dyn Rest> = match &minimum {
            Some(minimum) => Arc::clone(minimum) as _,
            None => Arc::new(Reading::new(house.clone(), &base_url, names.0, &names.1)),
        };
        let router = rest::mount(BASE_PATH, rest::router(desk, Arc::new(gate)));
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // Both mean the end: it was said, or whoever could say it has gone.
            stopped.await.ok();
        };
        let serving = tokio::spawn(server::serve(listener, tls, router, stopped));
        Ok(Ehr { base_url, house, minimum, stop, serving })
    }

    /// The FHIR base URL, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Puts a resource into the chart, at the time given: as a new one, or as the next version of
    /// the one it amends.
    ///
    /// Errors: `EntryInvalid`, and those of the store.
    pub async fn amend(&self, at: Timestamp, resource: Bytes) -> Result<Loaded, Issue> {
        load(&self.house, at, [resource]).await
    }

    /// A record (`Type/id`) byte for byte as a read of it is answered now, but for the version and
    /// time that the mode `Full` puts in; `None` where the chart does not hold it, or no more.
    ///
    /// Errors: those of the store.
    pub async fn served(&self, reference: &str) -> Result<Option<Bytes>, Issue> {
        let Some((kind, id)) = reference.split_once('/') else { return Ok(None) };
        if let Some(minimum) = &self.minimum {
            return minimum.read(kind, id).await;
        }
        let record = self.house.record(kind, id, None).await.map_err(store_issue)?;
        Ok(record.and_then(|record| record.content))
    }

    /// Stops, and returns when the requests in flight have been answered.
    pub async fn stop(self) {
        // Nobody listens any more when the server has ended by itself.
        self.stop.send(()).ok();
        self.serving.await.ok();
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Issue> {
    let unknown = |_| Issue::new(Code::BindRefused, "the listener has no address");
    listener.local_addr().map_err(unknown)
}

fn base_url(plan: &EhrPlan<'_>, address: SocketAddr) -> String {
    let scheme = if plan.tls.is_some() { "https" } else { "http" };
    match plan.host {
        Some(host) => format!("{scheme}://{host}:{}{BASE_PATH}", address.port()),
        None => format!("{scheme}://{address}{BASE_PATH}"),
    }
}

async fn load(
    house: &AnyHouse,
    at: Timestamp,
    chart: impl IntoIterator<Item = Bytes>,
) -> Result<Loaded, Issue> {
    let loader = Loader { house, owner: PartnerId::from(OWNER), receipt: "chart".to_owned() };
    let mut chart = chart.into_iter().enumerate().map(read);
    let mut loaded = Loaded::default();
    loop {
        let part: Vec<_> = chart.by_ref().take(EHR_LOAD_MAX).collect::<Result<_, _>>()?;
        if part.is_empty() {
            return Ok(loaded);
        }
        loaded += loader.load(at, part).await?;
    }
}

fn read((place, bytes): (usize, Bytes)) -> Result<Resource, Issue> {
    Resource::parse(bytes).map_err(|error| {
        let detail = format!("resource {place} of the chart cannot be read: {}", error.reason);
        Issue::new(Code::EntryInvalid, detail).at(error.expression)
    })
}

/// What stands behind the EHR's base URL: reading, and nothing else.
struct Reading {
    house: AnyHouse,
    base_url: String,
    capability: Bytes,
}

impl Reading {
    fn new(house: AnyHouse, base_url: &str, name: &str, token_endpoint: &str) -> Reading {
        let capability = capability(&Description {
            name,
            base: base_url,
            version: env!("CARGO_PKG_VERSION"),
            date: "2026-01-01",
            token_endpoint: Some(token_endpoint),
            page: (EHR_PAGE_RECORDS, EHR_PAGE_RECORDS_MAX),
            ..Description::default()
        });
        Reading { house, base_url: base_url.to_owned(), capability }
    }

    fn desk(&self, caller: &Caller) -> Desk<'_, AnyHouse> {
        let page = (EHR_PAGE_RECORDS, EHR_PAGE_RECORDS_MAX);
        let kinds = (!caller.may("system/*.r")).then(|| {
            let may_read = |kind: &&str| caller.require(kind, 'r').is_ok();
            repository::known().filter(may_read).map(str::to_owned).collect()
        });
        Desk { page, kinds, ..Desk::new(&self.house, &self.base_url, None) }
    }
}

impl Rest for Reading {
    fn capability(&self) -> Bytes {
        self.capability.clone()
    }

    fn ask<'a>(&'a self, caller: &'a Caller, ask: Ask<'a>) -> Outcome<'a> {
        Box::pin(async move { self.desk(caller).answer(ask).await.map(told) })
    }

    fn raw_binary<'a>(&'a self, _: &'a Caller, id: &'a str) -> Option<Outcome<'a>> {
        Some(Box::pin(async move {
            let record = self.house.record("Binary", id, None).await.map_err(store_issue)?;
            let content = record.and_then(|record| record.content);
            content.and_then(|bytes| raw::content(&bytes)).ok_or_else(|| {
                Issue::new(Code::ResourceUnknown, "there is no such record, or it has no content")
            })
        }))
    }
}

fn told(told: Told) -> Answer {
    match told {
        Told::One(served) => {
            let (etag, modified) = (served.etag(), served.last_modified());
            Answer::new(200, served.bytes).with(ETAG, etag).with(LAST_MODIFIED, modified)
        }
        Told::List(bundle) => Answer::new(200, bundle),
    }
}
