//! Check: what would stop a push today, as far as it lies in the house's own folder.
//!
//! Comes in   a house's folder; the lines of its desk, which knocks at partners' doors.
//! Goes out   one line for each thing that was looked at.
//! Never      stops at the first fault: whoever mends one should not have to come back for each.

use crate::caller;
use crate::communities;
use crate::config;
use crate::contents;
use crate::doors;
use crate::house::{self, grounds, ledger_broken, token_secret};
use crate::keys;
use crate::knock::knock;
use crate::render::{COULD_NOT, DONE, WAITS};
use exchange::desk::{CheckLine, Command, Reply};
use exchange::partner::Role;
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::proof;
use wire::pki;

/// What was looked at, and how it ends.
pub struct Checked {
    /// One line each.
    pub lines: Vec<CheckLine>,
    /// Exit code: 0 nothing, 1 something waits for a person, 2 the house cannot run.
    pub code: u8,
}

/// Looks at everything. The house may be running or not.
pub async fn check(folder: &Path) -> Checked {
    let mut lines = Vec::new();
    let config = match config::House::read(folder) {
        Ok(config) => Arc::new(config),
        Err(issue) => {
            put(&mut lines, "configuration", Err(issue));
            return Checked { lines, code: COULD_NOT };
        }
    };
    let name = &config.file.name;
    put(&mut lines, "configuration", Ok(format!("house {name}, {}", role_words(&config))));
    put(&mut lines, "listening", config.check_bind().map(|()| config.file.listen.to_string()));
    key_lines(&config, &mut lines);
    put(&mut lines, "store: disk", writable(&config.path(&config.file.store)));
    if let Some(blobs) = &config.file.blobs {
        let key = blobs.s3.as_ref().and_then(|s3| s3.credentials.as_deref());
        let kept = key.map_or(Ok(()), |path| only_owner(&config.path(path)));
        let contents = match kept {
            Ok(()) => contents::reach(&config).await,
            Err(issue) => Err(issue),
        };
        put(&mut lines, "large contents", contents);
    }
    put(&mut lines, "ledger", ledger(&config).await);
    // From here on nothing stops the house itself.
    let runs = lines.iter().all(|line| line.issue.is_none());
    certificate(&config, &mut lines);
    partners(&config, &mut lines).await;
    if config.file.role == Role::Payer {
        put(&mut lines, "member file", members(&config));
    }
    if runs {
        let theirs = desk_lines(&config).await.into_iter();
        let fresh: Vec<CheckLine> =
            theirs.filter(|line| lines.iter().all(|known| known.what != line.what)).collect();
        lines.extend(fresh);
    }
    let code = match (runs, lines.iter().all(|line| line.issue.is_none())) {
        (false, _) => COULD_NOT,
        (true, false) => WAITS,
        (true, true) => DONE,
    };
    Checked { lines, code }
}

/// Adds a line.
pub(crate) fn put(
    lines: &mut Vec<CheckLine>,
    what: impl Into<String>,
    looked: Result<String, Issue>,
) {
    lines.push(CheckLine::of(what, looked));
}

fn role_words(config: &config::House) -> &'static str {
    match config.file.role {
        Role::Provider => "a sending house",
        Role::Payer => "a receiving house",
    }
}

fn key_lines(config: &config::House, lines: &mut Vec<CheckLine>) {
    let files = &config.file.keys;
    for (what, path) in [("key: signing", &files.signing), ("key: operator", &files.operator)] {
        let keys = keys::own_keys(&config.path(path));
        put(lines, what, keys.map(|keys| format!("id {}", keys.signs().kid())));
    }
    let kept = |path: &Path| only_owner(&config.path(path));
    let ledger = kept(&files.ledger).and_then(|()| keys::ledger_key(config));
    put(lines, "key: ledger", ledger.map(|key| format!("id {}", key.key_id())));
    let tokens = kept(&files.tokens).and_then(|()| token_secret(config));
    put(lines, "key: access tokens", tokens.map(|_| "readable".to_owned()));
    if let Some(files) = &config.file.tls {
        let server = kept(&files.key).and_then(|()| keys::live_certificate(config));
        put(lines, "TLS", server.map(|_| TOGETHER.to_owned()));
        let client = files.client_key.iter().try_for_each(|key| kept(key));
        let client = client.and_then(|()| doors::identity(config));
        let words = |found: Option<_>| found.map_or("none", |_| TOGETHER).to_owned();
        put(lines, "TLS: at partners' doors", client.map(words));
    }
    for community in config.file.udap.iter().flat_map(|udap| &udap.community) {
        let own = kept(&community.key).and_then(|()| communities::membership(config, community));
        put(lines, format!("community {}", community.uri), own.map(|_| TOGETHER.to_owned()));
    }
}

const TOGETHER: &str = "certificate and key belong together";

/// A secret that every user of the machine can read is none.
fn only_owner(path: &Path) -> Result<(), Issue> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).map(|it| it.permissions().mode()).unwrap_or_default();
        if mode & 0o007 != 0 {
            let detail =
                "the key's file is open to every user of the machine; set its mode to 0600";
            return Err(Issue::new(Code::KeyUnusable, detail).at(path.display().to_string()));
        }
    }
    Ok(())
}

fn writable(folder: &Path) -> Result<String, Issue> {
    let probe = folder.join("check.tmp");
    let tried = fs::create_dir_all(folder).and_then(|()| fs::write(&probe, b"check"));
    fs::remove_file(&probe).ok();
    tried.map(|()| "writable".to_owned()).map_err(|error| {
        tracing::debug!(%error, "store folder");
        let issue = Issue::new(Code::StoreUnavailable, "the store's folder cannot be written");
        issue.at(folder.display().to_string())
    })
}

/// Reads beside whoever runs the house.
async fn ledger(config: &config::House) -> Result<String, Issue> {
    let grounds = grounds(config, &keys::ledger_key(config)?)?;
    let folder = config.path(&config.file.store);
    let mut files = fs::read_dir(&folder).into_iter().flatten().flatten();
    // A house that was never opened has no ledger yet.
    if config.file.database.is_none() && !files.any(|it| it.path().is_file()) {
        return Ok("empty".to_owned());
    }
    let memory = house::memory_to_read(config).await?;
    match proof::verify_on(&memory, &grounds, &[]).await {
        Ok(it) => Ok(format!("{} entries, proved to {}", it.last, it.proved_to)),
        Err(broken) => Err(ledger_broken(&broken)),
    }
}

fn certificate(config: &config::House, lines: &mut Vec<CheckLine>) {
    for days in keys::certificates(config, Timestamp::now()) {
        put(lines, days.what, days.left.and_then(keys::days_left));
    }
    for community in config.file.udap.iter().flat_map(|udap| &udap.community) {
        for list in &community.revoked {
            let next = communities::bytes(config, list).and_then(|it| pki::next_list(&it));
            let what = format!("community {}: {}", community.uri, list.display());
            put(lines, what, next.and_then(|next| in_force(next, Timestamp::now())));
        }
    }
}

/// Whether a list of revoked certificates is the newest one, as far as it tells.
fn in_force(next: Option<Timestamp>, now: Timestamp) -> Result<String, Issue> {
    let Some(next) = next else { return Ok("does not say when the next one is due".to_owned()) };
    let day = next.strftime("%F %H:%M UTC");
    if next > now {
        return Ok(format!("in force until {day}"));
    }
    let detail =
        format!("the list of revoked certificates is out of date since {day}: fetch the next");
    Err(Issue::new(Code::KeyUnusable, detail))
}

/// What is known of each partner, and whether its port answers.
async fn partners(config: &config::House, lines: &mut Vec<CheckLine>) {
    if config.partners.is_empty() {
        let issue = Issue::new(Code::PartnerUnknown, "this house knows no partner yet");
        put(lines, "partners", Err(issue));
    }
    for (name, public) in &config.partners {
        let agreement = match config.terms.get(name) {
            Some(terms) => Ok(counted_permits(terms)),
            None => {
                let detail = "there is no agreement with this partner, so nothing may travel";
                let place = format!("{}/{name}.toml", config.file.agreements.display());
                Err(Issue::new(Code::ConfigInvalid, detail).at(place))
            }
        };
        put(lines, format!("partner {name}: agreement"), agreement);
        // Only a server of another make on loopback may have no certificate.
        if public.authority.is_empty() {
            let none = "none; it is on this machine".to_owned();
            put(lines, format!("partner {name}: authority"), Ok(none));
        }
        if config.file.role == Role::Provider {
            let port = match config.network() {
                Ok(network) => knock(&public.base_url, Some(&network)).await,
                Err(issue) => Err(issue),
            };
            put(lines, format!("partner {name}: address"), port);
        }
    }
}

fn counted_permits(terms: &exchange::agreement::Terms) -> String {
    let agreement = &terms.agreement;
    let purposes: Vec<String> = agreement.purposes.iter().map(ToString::to_string).collect();
    format!(
        "{}, {} permits, {} withholding rules, {} cuts",
        purposes.join(" "),
        agreement.permit.len(),
        agreement.withhold.len(),
        agreement.cut.len()
    )
}

fn members(config: &config::House) -> Result<String, Issue> {
    let place = config.members();
    let text = config.text(place)?;
    exchange::member::Members::read(&text)?;
    match text.lines().count().saturating_sub(1) {
        0 => {
            let detail = "the member file names nobody, so every push would be held or refused";
            Err(Issue::new(Code::ConfigInvalid, detail).at(place.display().to_string()))
        }
        count => Ok(format!("{count} members")),
    }
}

async fn desk_lines(config: &Arc<config::House>) -> Vec<CheckLine> {
    match caller::carry_out(config, Command::Check {}, Duration::ZERO).await {
        Ok(Reply::Checked { lines }) => lines,
        Ok(_) => Vec::new(),
        Err(issue) => vec![CheckLine::of("house", Err(issue))],
    }
}
