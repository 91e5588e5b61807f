//! Asked: the words of the command line for keys, and what is done.
//!
//! Comes in   what a person typed after `keys`, and `reload`.
//! Goes out   files of the next step, what a running house says to them, words on what comes next.
//! Never      prints a private key.

use super::list::{self, none_of};
use super::pair::{self, Files};
use super::rotate::{self, Staged, Step};
use super::{ledger, place};
use crate::config;
use crate::knock::knock;
use crate::limits::COMMAND_TIMEOUT;
use crate::render::{self, DONE, WAITS};
use crate::{caller, house};
use clap::{Args, Subcommand, ValueEnum};
use exchange::desk::{CheckLine, Command, Reply};
use exchange::{Code, Issue};
use jiff::Timestamp;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::SigningKey;
use wire::keys::KeyKind;
use wire::tls;

/// `keys`
#[derive(Debug, Subcommand)]
pub enum KeysAsked {
    /// Every key and certificate: since when, until when, where used, days left.
    List,
    /// Draw the next key and announce it; the one in use stays in use.
    New(NewArgs),
    /// The next step of a new key: draw and announce it, or use it once partners can know it.
    Rotate(RotateArgs),
    /// Remove keys that are in use no more and that nobody relies on by now.
    Retire(RetireArgs),
    /// Write a request for a certificate (PKCS#10), with the names of the present one: for the
    /// announced key where there is one, else for the key in use.
    Csr(CsrArgs),
}

/// `keys new`
#[derive(Debug, Args)]
pub struct NewArgs {
    /// What for.
    #[arg(value_name = "USE")]
    pub usage: KeyUse,
    /// udap: which community, where there are several.
    #[arg(long, value_name = "URI")]
    pub community: Option<String>,
    /// Which kind: partners' doors take both, RSA takes five times as long to sign.
    #[arg(long, default_value = "es384")]
    pub kind: KindWord,
}

/// `keys rotate`
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// What for.
    #[arg(value_name = "USE")]
    pub usage: KeyUse,
    /// udap: which community, where there are several.
    #[arg(long, value_name = "URI")]
    pub community: Option<String>,
    /// Do not wait until partners can know the new key: for a key that somebody else may have read.
    #[arg(long)]
    pub now: bool,
    /// Which kind, where a key is drawn.
    #[arg(long, default_value = "es384")]
    pub kind: KindWord,
    /// server, client, udap: the certificate that somebody issued to the request of `keys csr` (PEM,
    /// with its chain); without it this house's own authority issues one.
    #[arg(long, value_name = "FILE", conflicts_with = "now")]
    pub certificate: Option<PathBuf>,
}

/// `keys retire`
#[derive(Debug, Args)]
pub struct RetireArgs {
    /// What for.
    #[arg(value_name = "USE")]
    pub usage: KeyUse,
    /// All of them, whoever relies on them still.
    #[arg(long)]
    pub now: bool,
}

/// `keys csr`
#[derive(Debug, Args)]
pub struct CsrArgs {
    /// What for: server, client, udap.
    #[arg(value_name = "USE")]
    pub usage: KeyUse,
    /// udap: which community, where there are several.
    #[arg(long, value_name = "URI")]
    pub community: Option<String>,
    /// Into this file; to the standard output when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyUse {
    /// Signs this house in at partners.
    Signing,
    /// Signs the command line in at the running house.
    Operator,
    /// Makes and reads access tokens of this house.
    Tokens,
    /// Signs the ledger's checkpoints.
    Ledger,
    /// Certificate and key of the doors.
    Server,
    /// Certificate and key this house shows at partners' doors.
    Client,
    /// Certificate and key of a trust community.
    Udap,
}

impl KeyUse {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            KeyUse::Signing => "signing",
            KeyUse::Operator => "operator",
            KeyUse::Tokens => "tokens",
            KeyUse::Ledger => "ledger",
            KeyUse::Server => "server",
            KeyUse::Client => "client",
            KeyUse::Udap => "udap",
        }
    }
}

/// A kind of key, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindWord {
    /// P-384.
    Es384,
    /// RSA.
    Rs384,
}

impl From<KindWord> for KeyKind {
    fn from(word: KindWord) -> KeyKind {
        match word {
            KindWord::Es384 => KeyKind::Es384,
            KindWord::Rs384 => KeyKind::Rs384,
        }
    }
}

/// What was done, for a person and for a program.
#[derive(Debug)]
struct Done {
    words: String,
    told: serde_json::Value,
    waits: bool,
}

impl Done {
    fn of(words: impl Into<String>, told: serde_json::Value) -> Done {
        Done { words: words.into(), told, waits: false }
    }
}

/// Carries out `keys …`; what to print, and the exit code.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`, `CommandInvalid`, `HouseLocked`.
pub async fn carry_out(folder: &Path, asked: KeysAsked, json: bool) -> Result<(String, u8), Issue> {
    let config = Arc::new(config::House::read_as_far(folder)?);
    let now = Timestamp::now();
    let done = match asked {
        KeysAsked::List => {
            let rows = list::rows(&config, now)?;
            Done::of(list::table(&rows), json!({ "keys": rows }))
        }
        KeysAsked::New(args) => new(&config, &args, now).await?,
        KeysAsked::Rotate(args) => rotate(&config, &args, now).await?,
        KeysAsked::Retire(args) => retire(&config, &args, now).await?,
        KeysAsked::Csr(args) => request(&config, &args)?,
    };
    let code = if done.waits { WAITS } else { DONE };
    let text = match json {
        true => format!("{}\n", done.told),
        false => done.words,
    };
    Ok((text, code))
}

/// Carries out `reload`.
///
/// Errors: `HouseLocked` when no house runs here.
pub async fn reload(folder: &Path) -> Result<Reply, Issue> {
    let config = config::House::read_as_far(folder)?;
    match tell(&config).await? {
        Some(lines) => Ok(Reply::Reloaded { lines }),
        None => {
            let detail = "nothing answers at the house's address: a start takes up all files";
            Err(Issue::new(Code::HouseLocked, detail))
        }
    }
}

/// Asks the running house to take up what changed; none where nobody runs it.
async fn tell(config: &config::House) -> Result<Option<Vec<CheckLine>>, Issue> {
    if knock(&config.file.base_url, None).await.is_err() {
        return Ok(None);
    }
    let client = house::operator_client(config, COMMAND_TIMEOUT)?;
    match caller::ask(&client, &Command::Reload {}).await? {
        Reply::Reloaded { lines } => Ok(Some(lines)),
        _ => Err(Issue::new(Code::AnswerUnreadable, "the house answered no reload")),
    }
}

/// Tells the running house, and adds what it said. The files are changed already: a house that does
/// not answer takes them up by itself.
async fn told(config: &config::House, mut done: Done) -> Done {
    let (words, heard) = match tell(config).await {
        Ok(None) => ("No house runs here: a start takes it up.\n".to_owned(), json!(null)),
        Err(issue) => {
            tracing::debug!(%issue, "reload");
            let words = "The running house did not answer; it takes this up within a minute.\n";
            (words.to_owned(), json!(false))
        }
        Ok(Some(lines)) => {
            let wrong: Vec<CheckLine> =
                lines.into_iter().filter(|line| line.issue.is_some()).collect();
            if wrong.is_empty() {
                ("The running house has taken it up.\n".to_owned(), json!(true))
            } else {
                done.waits = true;
                let lines = json!(wrong);
                let words = render::reply(&Reply::Reloaded { lines: wrong });
                (format!("The running house keeps something as it was:\n{words}"), lines)
            }
        }
    };
    done.words.push_str(&words);
    done.told["running_house"] = heard;
    done
}

/// The public file, where partners need the new one.
fn published(config: &config::House, mut done: Done) -> Result<Done, Issue> {
    if rotate::publish(config)? {
        done.words.push_str(
            "public.json has changed: give it to the EHR and to partners who keep your keys in a file \
             of theirs.\n",
        );
        done.told["public_file"] = json!("changed");
    }
    Ok(done)
}

async fn new(config: &config::House, args: &NewArgs, now: Timestamp) -> Result<Done, Issue> {
    match args.usage {
        KeyUse::Server | KeyUse::Client | KeyUse::Udap => {
            let files = certified(config, args.usage, args.community.as_deref())?;
            let kind = kind_for(args.usage, args.kind);
            let key = pair::draw_next(&config.path(&files.key), kind, now)?;
            let id = key.kid().to_owned();
            let usage = args.usage.word();
            let words = format!(
                "The next key is there: {id}.\n`handover keys csr {usage}` writes a request for its \
                 certificate, `handover keys rotate {usage} --certificate FILE` takes that up.\n"
            );
            Ok(Done::of(words, json!({ "step": "announced", "id": id })))
        }
        usage => {
            let staged = Staged::of(config, usage)?;
            prepare(config, usage)?;
            let step = staged.announce(args.kind.into(), now)?;
            Ok(told(config, published(config, said(usage, &step))?).await)
        }
    }
}

async fn rotate(
    config: &Arc<config::House>,
    args: &RotateArgs,
    now: Timestamp,
) -> Result<Done, Issue> {
    match args.usage {
        KeyUse::Ledger => {
            let (old, new) = ledger::rotate(config, now).await?;
            let config = config::House::read_as_far(&config.folder)?;
            let words = format!(
                "The ledger is signed to its end by {old}, which is retired now; {new} signs from here \
                 on.\n"
            );
            let done = Done::of(words, json!({ "step": "begun", "id": new, "retired": old }));
            published(&config, done)
        }
        KeyUse::Server | KeyUse::Client | KeyUse::Udap => certificate(config, args, now).await,
        usage => staged(config, usage, args, now).await,
    }
}

/// Another key for a use that has stages.
async fn staged(
    config: &config::House,
    usage: KeyUse,
    args: &RotateArgs,
    now: Timestamp,
) -> Result<Done, Issue> {
    let staged = Staged::of(config, usage)?;
    prepare(config, usage)?;
    let at_once = args.now || usage == KeyUse::Operator;
    let step = staged.announce(args.kind.into(), now)?;
    match step {
        Step::Announced { .. } => {
            let done = told(config, published(config, said(usage, &step))?).await;
            if !at_once {
                return Ok(done);
            }
            // The house knows the next one before anybody uses it; where it cannot be told, nobody does.
            if usage == KeyUse::Operator && done.told["running_house"] == json!(false) {
                return Ok(done);
            }
        }
        _ => drop(step),
    }
    let step = staged.begin(at_once, now)?;
    Ok(told(config, published(config, said(usage, &step))?).await)
}

/// What must stand before a secret changes for the first time.
fn prepare(config: &config::House, usage: KeyUse) -> Result<(), Issue> {
    match usage {
        KeyUse::Tokens => rotate::keep_members(&config.path(&config.file.keys.tokens)),
        _ => Ok(()),
    }
}

/// A step in words.
fn said(usage: KeyUse, step: &Step) -> Done {
    let word = usage.word();
    let time = |time: &Timestamp| time.strftime("%F %H:%M UTC").to_string();
    match step {
        Step::Announced { id, from } => {
            let words = format!(
                "The next key is announced: {id}.\nFrom {} on, `handover keys rotate {word}` uses it.\n",
                time(from)
            );
            let told = json!({ "step": "announced", "id": id, "from": from });
            Done { words, told, waits: true }
        }
        Step::Waits { id, from } => {
            let words = format!(
                "The key {id} is announced, and partners may not know it yet. From {} on, `handover keys \
                 rotate {word}` uses it; with --now it does so at once.\n",
                time(from)
            );
            let told = json!({ "step": "waits", "id": id, "from": from });
            Done { words, told, waits: true }
        }
        Step::Begun { id, until } => {
            let words = format!(
                "The key {id} is in use. The one before it is honoured; after {} `handover keys retire \
                 {word}` removes it.\n",
                time(until)
            );
            Done::of(words, json!({ "step": "begun", "id": id, "until": until }))
        }
    }
}

/// Another certificate, and another key where the next one is what it is for.
async fn certificate(
    config: &config::House,
    args: &RotateArgs,
    now: Timestamp,
) -> Result<Done, Issue> {
    let files = certified(config, args.usage, args.community.as_deref())?;
    let chain = match &args.certificate {
        Some(file) => config::read_text(file)?,
        None => pair::issue(config, &files, kind_for(args.usage, args.kind), now)?,
    };
    pair::renew(config, &files, &chain, now)?;
    let left = tls::certificate_days_left(chain.as_bytes(), now)?;
    let words = format!("The certificate is renewed, for {left} days.\n");
    let done = Done::of(words, json!({ "step": "renewed", "days_left": left }));
    Ok(told(config, published(config, done)?).await)
}

async fn retire(config: &config::House, args: &RetireArgs, now: Timestamp) -> Result<Done, Issue> {
    let retired = Staged::of(config, args.usage)?.retire(args.now, now)?;
    let mut words = String::new();
    for id in &retired.gone {
        words.push_str(&format!("Removed: {id}.\n"));
    }
    for (id, until) in &retired.kept {
        let until = until.strftime("%F %H:%M UTC");
        words.push_str(&format!("Honoured until {until}: {id}. With --now it goes at once.\n"));
    }
    if words.is_empty() {
        words.push_str("There is none to remove.\n");
    }
    let kept = retired.kept.iter().map(|(id, until)| json!({ "id": id, "until": until }));
    let kept: Vec<serde_json::Value> = kept.collect();
    let mut done = Done::of(words, json!({ "gone": retired.gone, "kept": kept }));
    done.waits = !retired.kept.is_empty();
    if retired.gone.is_empty() {
        return Ok(done);
    }
    Ok(told(config, published(config, done)?).await)
}

fn request(config: &config::House, args: &CsrArgs) -> Result<Done, Issue> {
    let files = certified(config, args.usage, args.community.as_deref())?;
    let stages = place::stages(&config.path(&files.key));
    let path = if stages.has_next { &stages.next } else { &stages.now };
    let key = SigningKey::read(path)?;
    let pem = tls::request_like(config.text(&files.certificate)?.as_bytes(), &key)?;
    let told = json!({ "id": key.kid(), "request": pem });
    match &args.out {
        None => Ok(Done::of(pem, told)),
        Some(file) => {
            config::write_text(file, &pem)?;
            Ok(Done::of(format!("The request is in {}.\n", file.display()), told))
        }
    }
}

/// Certificate and key of a use, as the configuration names them.
///
/// Errors: `CommandInvalid` where it names none, or several communities and nobody said which.
fn certified(
    config: &config::House,
    usage: KeyUse,
    community: Option<&str>,
) -> Result<Files, Issue> {
    let meant = |files: &Files| {
        files.usage == usage && community.is_none_or(|uri| files.community.as_deref() == Some(uri))
    };
    let mut found = pair::all(config).into_iter().filter(meant);
    let first = found.next().ok_or_else(|| none_of(usage))?;
    if found.next().is_some() {
        let detail = "there are several communities: name the one that is meant, with --community";
        return Err(Issue::new(Code::CommandInvalid, detail).at("--community"));
    }
    Ok(first)
}

/// A community's keys are RSA: receiving houses sign RS256 (FAST Security, JWT headers), and every
/// server there must read that.
fn kind_for(usage: KeyUse, kind: KindWord) -> KeyKind {
    match usage {
        KeyUse::Udap => KeyKind::Rs384,
        _ => kind.into(),
    }
}
