//! House: opens a house from its configuration and wires its rooms together.
//!
//! Comes in   a checked configuration; the files it names.
//! Goes out   a house with its memory, keys, gate and desk, ready to serve or to carry out one
//!            command.
//! Never      trusts for one partner what was said by another: each has a transport of its own
//!            that knows only its authority.

use crate::carriage::{PartnerDoors, partner_client};
use crate::live::Live;
use crate::suspended;
use crate::vouching::SignedMetadata;
use crate::{backup, communities, config, contents, database, directories, doors, halt, keys};
use exchange::agreement::Terms;
use exchange::answer::LedgerRoot;
use exchange::desk::{Command, Reply};
use exchange::partner::Role;
use exchange::{Code, Digest, Issue, PartnerId};
use jiff::Timestamp;
use provider::source::ehr::Ehr;
use provider::source::unasked::Unasked;
use repository::store_issue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::proof::Broken;
use store::{
    Anchor, AnyHouse, Blobs, Grounds, House as _, LedgerKey, PostgresHouse, PostgresPlace,
    SqliteHouse, anchor,
};
use tokio::sync::Notify;
use wire::api::OPERATE;
use wire::{
    BoxFuture, Clock, FhirClient, Gate, HttpTransport, KeyRing, Replay, SmartClient, SystemClock,
};

/// The version of this program, as ledger, Provenance and CapabilityStatement give it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use exchange::partner::OPERATOR;

/// A house, opened: nobody else can while this is held.
pub struct Opened {
    /// Its configuration.
    pub config: Arc<config::House>,
    /// What it remembers.
    pub memory: AnyHouse,
    /// Signs its checkpoints and their anchor.
    pub ledger: LedgerKey,
    /// What its ledger is proved against.
    pub grounds: Grounds,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Its road and desk.
    pub desk: Desk,
    /// Partners with whom all exchange has stopped.
    pub suspensions: Arc<repository::Suspensions>,
    /// What of it may change while it runs.
    pub live: Arc<Live>,
}

/// Whom an opened house asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    All,
    Partners,
    Nobody,
}

/// The desk of either road.
pub enum Desk {
    /// A sending house.
    Provider {
        /// The road.
        road: Arc<provider::road::Road>,
        /// Where commands go.
        desk: provider::desk::Desk,
        /// Rouses the worker.
        wake: Arc<Notify>,
    },
    /// A receiving house.
    Payer {
        /// The road.
        road: Arc<payer::road::Road>,
        /// Where commands go.
        desk: payer::desk::Desk,
        /// Clients that registered by UDAP.
        registrations: Arc<payer::registrations::Registrations>,
    },
}

impl Desk {
    /// Carries out a command.
    pub async fn command(&self, command: Command) -> Result<Reply, Issue> {
        match self {
            Desk::Provider { desk, .. } => desk.command(command).await,
            Desk::Payer { desk, .. } => desk.command(command).await,
        }
    }
}

impl Opened {
    /// Opens a house.
    ///
    /// Errors: `HouseLocked` while another process holds it, `StoreUnavailable`, `StoreNewer`,
    /// `MigrationNeeded`, `KeyUnusable`, `ConfigInvalid`.
    pub async fn open(config: Arc<config::House>) -> Result<Opened, Issue> {
        Opened::open_with(config, Asks::All).await
    }

    /// The same for commands that ask partners and no EHR: what is wrong with that is no hindrance.
    ///
    /// Errors: as `open`.
    pub async fn open_partners(config: Arc<config::House>) -> Result<Opened, Issue> {
        Opened::open_with(config, Asks::Partners).await
    }

    /// The same for commands that ask no partner and no EHR: their files are not read, and whatever is
    /// wrong with them is no hindrance.
    ///
    /// Errors: as `open`.
    pub async fn open_memory(config: Arc<config::House>) -> Result<Opened, Issue> {
        Opened::open_with(config, Asks::Nobody).await
    }

    async fn open_with(config: Arc<config::House>, asks: Asks) -> Result<Opened, Issue> {
        let ledger = keys::ledger_key(&config)?;
        database::has_schema_of_today(&config)?;
        let memory = memory(&config).await?;
        // Behind the lock: where somebody holds the house, that process is asked, whatever is wrong here.
        if let Some(fault) = config.fault.as_ref().filter(|_| asks != Asks::Nobody) {
            return Err(fault.clone());
        }
        database::is_of_today(&memory).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let grounds = grounds(&config, &ledger)?;
        let live = Arc::new(Live::new(&config, &clock));
        let desk = match config.file.role {
            Role::Provider => open_provider(&live, &config, &memory, grounds.clone(), asks)?,
            Role::Payer => open_payer(&live, &config, &memory, grounds.clone())?,
        };
        let suspensions = Arc::new(repository::Suspensions::new(memory.clone()));
        suspensions.refresh().await?;
        Ok(Opened { config, memory, ledger, grounds, clock, desk, suspensions, live })
    }

    /// Carries out a command: what copies the house is done here, the rest at its desk.
    ///
    /// Errors: those of the command.
    pub async fn command(&self, command: Command) -> Result<Reply, Issue> {
        match command {
            Command::Backup { folder } => backup::backup(self, Path::new(&folder)).await,
            Command::Reload {} => Ok(Reply::Reloaded { lines: self.live.reload() }),
            Command::Check {} => {
                let mut reply = self.desk.command(command).await?;
                if let Reply::Checked { lines } = &mut reply {
                    lines.extend(self.live.faults());
                    lines.extend(suspended::lines(self).await?);
                }
                Ok(reply)
            }
            Command::Partner(command) => {
                Ok(Reply::Partners(suspended::carry_out(self, command).await?))
            }
            command => self.desk.command(command).await,
        }
    }

    /// The gate of the house's doors: one credential per partner, and the operator's.
    pub fn gate(&self) -> Result<Gate, Issue> {
        let config = &self.config;
        let operator = self.live.ring(&config.file.keys.operator)?.now().jwks();
        let credentials = doors::credentials(config, operator);
        let secret = token_secret(config)?;
        let replay = StoredReplay { house: self.memory.clone(), clock: Arc::clone(&self.clock) };
        let (clock, replay) = (Arc::clone(&self.clock), Arc::new(replay));
        let key_sets = doors::key_sets(config, &clock)?;
        let gate = Gate::new(
            &config.file.base_url,
            credentials,
            secret.0,
            Arc::clone(&replay) as _,
            Arc::clone(&clock),
        );
        let gate = gate.with_key_sets(key_sets);
        let gate = gate.with_certificates(doors::certificates(config)?);
        let gate = suspended::at_the_gate(self, gate).with_rates(config.file.limits.rates());
        let Desk::Payer { registrations, .. } = &self.desk else { return Ok(gate) };
        let (communities, registrations) = (self.live.communities()?, Arc::clone(registrations));
        let udap = communities::door(config, communities, registrations, replay, clock)?;
        Ok(match udap {
            Some(udap) => gate.with_udap(udap),
            None => gate,
        })
    }

    /// Whether the ledger is the one that was left here, before anything is written to it: its
    /// anchored checkpoint is still there. A ledger without a line is anchored as such; after a
    /// sudden end the anchor is brought up to the newest checkpoint.
    ///
    /// Errors: `LedgerBroken`; `StoreUnavailable` when the anchor cannot be written.
    pub async fn confirm_ledger(&self) -> Result<(), Issue> {
        // Before the anchor is looked for: another process may open the same house meanwhile.
        let lines = self.memory.entries(1, 1).await.map_err(store_issue)?;
        let signed = self.memory.checkpoint_numbered(1).await.map_err(store_issue)?;
        let Some(anchor) = self.anchored()? else {
            return match lines.is_empty() && signed.is_none() {
                true => self.drop_anchor(&Anchor::of_nothing(&self.ledger)),
                false => Err(ledger_broken(&anchor::no_anchor())),
            };
        };
        let newest = anchor.newest(&self.memory, &self.grounds.keys).await;
        match newest.map_err(|broken| ledger_broken(&broken))? {
            Some(newest) => self.drop_anchor(&Anchor::of(&newest, &self.ledger)),
            None => Ok(()),
        }
    }

    fn anchored(&self) -> Result<Option<Anchor>, Issue> {
        let Some(place) = &self.grounds.anchor else { return Ok(None) };
        Anchor::read(place, &self.grounds.keys).map_err(|broken| ledger_broken(&broken))
    }

    fn drop_anchor(&self, anchor: &Anchor) -> Result<(), Issue> {
        let Some(place) = &self.grounds.anchor else { return Ok(()) };
        anchor.write(place, &self.grounds.keys).map_err(|error| {
            tracing::error!(%error, "anchor");
            let issue = Issue::new(Code::StoreUnavailable, "the ledger's anchor cannot be written");
            issue.at(place.display().to_string())
        })
    }

    /// Signs what of the ledger is not signed yet, unless what was signed before is gone; then
    /// anchors it. A payer's answers carry the newest root, so that the partner is its witness.
    ///
    /// Errors: `LedgerBroken`, and those of the store.
    pub async fn checkpoint(&self) -> Result<(), Issue> {
        let anchor = self.anchored()?.ok_or_else(|| ledger_broken(&anchor::no_anchor()))?;
        anchor.confirm(&self.memory).await.map_err(|broken| ledger_broken(&broken))?;
        let signed = self.memory.checkpoint(self.clock.now(), &self.ledger).await;
        let Some(made) = signed.map_err(store_issue)? else { return Ok(()) };
        self.drop_anchor(&Anchor::of(&made, &self.ledger))?;
        if let Desk::Payer { road, .. } = &self.desk {
            self.witness(road, &made);
        }
        Ok(())
    }

    /// Takes up the newest root of an earlier run.
    pub async fn recall_root(&self) -> Result<(), Issue> {
        if let Desk::Payer { road, .. } = &self.desk {
            let last = self.memory.checkpoint_below(u64::MAX).await.map_err(store_issue)?;
            last.iter().for_each(|last| self.witness(road, last));
        }
        Ok(())
    }

    fn witness(&self, road: &payer::road::Road, made: &store::Checkpoint) {
        let root = LedgerRoot { root: made.root, sequence: made.seq, key: made.key_id.clone() };
        *road.ledger_root.write().unwrap_or_else(PoisonError::into_inner) = Some(root);
    }
}

/// What the house remembers: in its folder, or in a database server.
pub async fn memory(config: &config::House) -> Result<AnyHouse, Issue> {
    let Some(place) = server(config)? else {
        let (folder, blobs) = (config.path(&config.file.store), contents::place(config)?);
        let opened = SqliteHouse::open_with(&folder, &config.id(), blobs);
        return opened.map(AnyHouse::from).map_err(|error| match error {
            // Nothing is wrong: the caller asks whoever holds it.
            store::Error::Locked => {
                Issue::new(Code::HouseLocked, "another process holds this house")
            }
            error => store_issue(error),
        });
    };
    let opened = PostgresHouse::open(&place, &config.id()).await;
    opened.map(AnyHouse::from).map_err(store_issue)
}

/// The same, looked at beside whoever holds the house: in its folder, for reading only.
pub async fn memory_to_read(config: &config::House) -> Result<AnyHouse, Issue> {
    if config.file.database.is_some() {
        return memory(config).await;
    }
    let (folder, blobs) = (config.path(&config.file.store), contents::place(config)?);
    let opened = SqliteHouse::open_to_read_with(&folder, &config.id(), blobs);
    opened.map(AnyHouse::from).map_err(store_issue)
}

/// Where the database server is, if the house is in one, with its secrets read.
pub fn server(config: &config::House) -> Result<Option<PostgresPlace>, Issue> {
    let Some(database) = &config.file.database else { return Ok(None) };
    let text = |path: &PathBuf| config.text(path);
    let password = database.password.as_ref().map(text).transpose()?;
    let ours = Blobs::folder(&config.path(&config.file.store).join("blobs"));
    let ours = ours.map_err(store_issue)?;
    let blobs = match contents::place(config)? {
        Some(place) => place.after(ours),
        None => ours,
    };
    Ok(Some(PostgresPlace {
        blobs: Some(blobs),
        url: database.postgres.clone(),
        password: password.map(|text| text.trim_end().to_owned()),
        roots: database.authority.as_ref().map(text).transpose()?.map(String::into_bytes),
    }))
}

/// The MAC key of access tokens.
pub fn token_secret(config: &config::House) -> Result<Digest, Issue> {
    let place = config.path(&config.file.keys.tokens);
    let (secret, _) = keys::token_secrets(&place, Timestamp::now())?;
    Ok(Digest(*secret))
}

/// What the ledger is proved against: its keys, and the anchor beside them.
pub fn grounds(config: &config::House, ledger: &LedgerKey) -> Result<Grounds, Issue> {
    Ok(Grounds { keys: keys::ledger_keys(config, ledger)?, anchor: Some(config.anchor()) })
}

/// A finding of the proof, as a failure.
pub fn ledger_broken(broken: &Broken) -> Issue {
    Issue::new(Code::LedgerBroken, broken.to_string())
}

fn open_provider(
    live: &Arc<Live>,
    config: &Arc<config::House>,
    memory: &AnyHouse,
    ledger: Grounds,
    asks: Asks,
) -> Result<Desk, Issue> {
    // A key that others may read is told at once, whatever is asked for.
    live.ring(&config.file.keys.signing)?;
    let clock = &live.clock;
    let payers = match asks {
        Asks::Nobody => BTreeMap::new(),
        _ => payers(live, config, memory)?,
    };
    let endpoints: BTreeMap<PartnerId, String> = config
        .partners
        .iter()
        .map(|(name, public)| (name.clone(), public.base_url.clone()))
        .collect();
    let source: Arc<dyn provider::source::Source> = match asks {
        Asks::All => {
            let client = Arc::new(crate::source::client(live, config)?);
            Arc::new(Ehr::new(client, Arc::clone(clock)))
        }
        Asks::Partners | Asks::Nobody => Arc::new(Unasked),
    };
    let pulls = |terms: &&Terms| terms.agreement.bulk.as_ref().is_some_and(|bulk| bulk.pull);
    if config.file.watch.is_none()
        && let Some(terms) = config.terms.values().find(pulls)
    {
        let detail = "exports are of those who are watched: name a roster, or set `coverage = true`, in \
                      [watch]";
        let partner = &terms.agreement.partner;
        return Err(Issue::new(Code::ConfigInvalid, detail).at(format!("{partner}: bulk.pull")));
    }
    let mut directories = directories::open(config, endpoints)?;
    directories.vouches = Arc::new(SignedMetadata::new(live, config));
    let setup = provider::setup::Setup {
        title: config.file.title.clone(),
        namespace: config.file.namespace.clone(),
        base_url: config.file.base_url.trim_end_matches('/').to_owned(),
        file_secret: keys::files_secret(&config.path(&config.file.keys.tokens))?,
        version: VERSION,
        payers,
        restrictions: config.path(config.restrictions()),
        watch: config.file.watch.as_ref().map(|watch| watching(config, watch)).transpose()?,
        feed: feed(config),
        payors: config.path(config.payors()),
        named: config.terms.keys().chain(&config.unread).cloned().collect(),
        passed: halt::passed,
    };
    let road = Arc::new(provider::road::Road {
        setup,
        house: memory.clone(),
        charts: provider::source::chart::Charts::new(source),
        directories,
        doors: provider::route::Doors::default(),
        claims: provider::Claims::default(),
        clock: Arc::new(provider::HouseClock::new(Arc::clone(clock))),
        changed: Arc::new(Notify::new()),
        rooms: provider::Rooms::default(),
        tables: provider::Tables::default(),
        bulk: provider::bulk::Bulk::default(),
    });
    let wake = Arc::new(Notify::new());
    let desk = provider::desk::Desk::new(Arc::clone(&road), Arc::clone(&wake), ledger);
    Ok(Desk::Provider { road, desk, wake })
}

/// Those a sending house has an agreement with, each with a client for its door.
fn payers(
    live: &Arc<Live>,
    config: &Arc<config::House>,
    memory: &AnyHouse,
) -> Result<BTreeMap<PartnerId, provider::setup::Payer>, Issue> {
    let mut payers = BTreeMap::new();
    for (name, terms) in &config.terms {
        let Some(public) = config.partners.get(name).cloned() else { continue };
        // What is wrong with key or authority is told at once.
        partner_client(live, config, memory, &public)?;
        let carriage = PartnerDoors::new(live, config, memory, &public);
        let payer =
            provider::setup::Payer { public, terms: terms.clone(), carriage: Arc::new(carriage) };
        payers.insert(name.clone(), payer);
    }
    Ok(payers)
}

/// Whom a sending house watches, and how.
fn watching(
    config: &config::House,
    watch: &config::WatchFile,
) -> Result<provider::watch::Watching, Issue> {
    let invalid = |detail: &str, key: &str| {
        Issue::new(Code::ConfigInvalid, detail).at(format!("house.toml: watch.{key}"))
    };
    if watch.roster.is_none() && !watch.coverage {
        let detail = "whom to watch is not said: name a file, or set `coverage = true`";
        return Err(invalid(detail, "roster"));
    }
    if watch.every_minutes == 0 {
        return Err(invalid("a patient is looked at every minute at most", "every_minutes"));
    }
    let since = watch.since.as_deref().map(str::parse).transpose();
    let pace = match watch.requests_per_minute {
        0 => Duration::ZERO,
        requests => Duration::from_secs(60) / requests,
    };
    Ok(provider::watch::Watching::new(provider::watch::WatchPlan {
        roster: watch.roster.as_ref().map(|roster| config.path(roster)),
        coverage: watch.coverage,
        every: jiff::SignedDuration::from_mins(watch.every_minutes.into()),
        overlap: jiff::SignedDuration::from_hours(watch.overlap_hours.into()),
        population: watch.population,
        since: since.map_err(|_| invalid("a day is written as 2026-01-31", "since"))?,
        pace,
    }))
}

/// How old restrictions may be, where that was agreed.
fn feed(config: &config::House) -> Option<provider::Feed> {
    let file = config.file.restrictions.as_ref()?;
    let place = file.feed.as_ref().map(|feed| config.path(feed));
    Some(provider::Feed { place, max_age_hours: file.max_age_hours? })
}

fn open_payer(
    live: &Live,
    config: &Arc<config::House>,
    memory: &AnyHouse,
    ledger: Grounds,
) -> Result<Desk, Issue> {
    let clock = &live.clock;
    let mut senders = BTreeMap::new();
    for (name, terms) in &config.terms {
        let Some(public) = config.partners.get(name).cloned() else { continue };
        senders.insert(
            name.clone(),
            payer::setup::Sender {
                files: Some(crate::doors::file_server(live, config, &public)?),
                terms: terms.clone(),
                public,
            },
        );
    }
    let registrations =
        payer::registrations::Registrations::new(memory.clone(), &senders, Arc::clone(clock));
    let registrations = Arc::new(registrations);
    let members = config.path(config.members());
    let setup = payer::setup::Setup {
        base_url: config.file.base_url.clone(),
        version: VERSION,
        senders,
        passed: halt::passed,
    };
    let road = Arc::new(payer::road::Road {
        setup,
        house: memory.clone(),
        register: payer::register::Register::new(&members),
        keys: payer::key::Keys::default(),
        ledger_root: Arc::default(),
        member_secret: *keys::members_secret(&config.path(&config.file.keys.tokens))?,
        clock: Arc::clone(clock),
        exports: payer::exports::Exports::default(),
        bulk: payer::bulk::Bulk::default(),
    });
    let mut desk = payer::desk::Desk::new(Arc::clone(&road), ledger);
    if config.file.udap.is_some() {
        desk = desk.with_registrations(Arc::clone(&registrations));
    }
    Ok(Desk::Payer { road, desk, registrations })
}

/// A client for the house's own API, signed in as its operator.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub fn operator_client(config: &config::House, timeout: Duration) -> Result<FhirClient, Issue> {
    let (transport, sign_in) = operator_sign_in(config, timeout, OPERATE)?;
    let api = format!("{}/api", origin(&config.file.base_url)?);
    Ok(FhirClient::new(&api, transport, Some(sign_in)))
}

/// Signs in as the operator at the running house.
pub fn operator_sign_in(
    config: &config::House,
    timeout: Duration,
    scope: &str,
) -> Result<(Arc<HttpTransport>, SmartClient), Issue> {
    let mut roots = Vec::new();
    if let Some(tls) = &config.file.tls {
        roots.push(config.text(&tls.authority)?.into_bytes());
    }
    let limit = crate::limits::COMMAND_ANSWER_MAX;
    let transport = Arc::new(HttpTransport::new(&roots, timeout, limit)?);
    let operator = keys::own_keys(&config.path(&config.file.keys.operator))?;
    let sign_in = SmartClient::signing(
        Arc::clone(&transport) as _,
        &config.file.base_url,
        OPERATOR,
        KeyRing::new(operator),
        scope.to_owned(),
        Arc::new(SystemClock),
    );
    Ok((transport, sign_in))
}

/// Scheme, host and port of a base URL.
pub fn origin(base_url: &str) -> Result<String, Issue> {
    let (origin, _) = split_base(base_url)?;
    Ok(origin)
}

/// A base URL's origin, and its path without slashes at its ends.
pub fn split_base(base_url: &str) -> Result<(String, String), Issue> {
    let wrong = || {
        let detail = "base_url must be a URL such as https://gateway.example.org:8443/fhir";
        Issue::new(Code::ConfigInvalid, detail).at("house.toml: base_url")
    };
    let (scheme, rest) = base_url.split_once("://").ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || rest.contains(['?', '#', '@', ' ']) {
        return Err(wrong());
    }
    Ok((format!("{scheme}://{host}"), path.trim_matches('/').to_owned()))
}

/// Assertions used at this house's door, kept in its store.
struct StoredReplay {
    house: AnyHouse,
    clock: Arc<dyn Clock>,
}

impl Replay for StoredReplay {
    fn first_use<'a>(
        &'a self,
        client_id: &'a str,
        jti: &'a str,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, Issue>> {
        Box::pin(async move {
            let scope = format!("assertion/{client_id}");
            let used = self.house.first_use(&scope, jti, until, self.clock.now()).await;
            used.map_err(store_issue)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart() {
        let table = [
            ("https://h:1/fhir", Some(("https://h:1", "fhir"))),
            ("https://h/a/b/", Some(("https://h", "a/b"))),
            ("https://h", Some(("https://h", ""))),
            ("h/fhir", None),
            ("https:///fhir", None),
            ("https://u@h/fhir", None),
        ];
        for (text, expected) in table {
            let found = split_base(text).ok();
            let found = found.as_ref().map(|(origin, path)| (origin.as_str(), path.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }
}
