//! Directory: payers' endpoints, on the command line.
//!
//! Comes in   what a person typed after `directory`; a folder of resources.
//! Goes out   the house's command; a copy in the house's folder; a small directory that others ask.
//! Never      decides which endpoint is used: the desk does, by the rules.

use crate::args::{WhoArgs, reason};
use crate::config::{DirectoryKind, House, unwritable};
use crate::directories::DUMP;
use crate::ehr::{AUTHORITY, certificate, listen};
use crate::serve::asked_to_stop;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode, header};
use clap::{Args, Subcommand};
use exchange::desk::{Command, DirectoryCommand};
use exchange::{Code, Digest, Issue};
use provider::directory::dump::{self, Held};
use sim::directory::Shelf;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::refusal::FHIR_JSON;
use wire::{server, tls};

/// The FHIR base of a served directory lies here below its host.
const BASE_PATH: &str = "/fhir";

/// `directory`
#[derive(Debug, Subcommand)]
pub enum DirectoryAsked {
    /// Ask the directories now: the endpoint chosen, every other one with its reason, and what the door
    /// says.
    Find {
        /// A partner's name, an identifier as system|value, or a name as directories have it.
        #[arg(value_name = "PAYER")]
        payer: String,
        /// Why somebody looks.
        #[arg(long, default_value = "looking where a payer's door is", value_parser = reason)]
        why: String,
        /// Who asks.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// Say that the endpoint a directory names is the payer's; what waited for that goes on.
    Approve {
        /// The partner's name.
        #[arg(value_name = "PAYER")]
        payer: String,
        /// The identity that `directory find` showed; the one in use when not given.
        #[arg(long)]
        identity: Option<String>,
        /// Why: how the plan confirmed it.
        #[arg(long, value_parser = reason)]
        why: String,
        /// Who asks.
        #[command(flatten)]
        who: WhoArgs,
    },
    /// Take a copy of a directory into the house: NDJSON, Bundles or single resources.
    Import {
        /// A file or a folder.
        from: PathBuf,
    },
    /// A small directory of what a folder holds, for reading, over TLS.
    Serve(ServeDirectoryArgs),
}

/// `directory serve`
#[derive(Debug, Args)]
pub struct ServeDirectoryArgs {
    /// Its NDJSON and JSON files; where it writes its authority (authority.pem).
    pub folder: PathBuf,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9643")]
    pub listen: SocketAddr,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    pub tethered: bool,
}

/// The house's command; `None` for what needs none.
pub fn command(asked: DirectoryAsked) -> Result<Command, Issue> {
    let command = match asked {
        DirectoryAsked::Find { payer, why, who } => {
            DirectoryCommand::Find { payer, who: who.person(why) }
        }
        DirectoryAsked::Approve { payer, identity, why, who } => {
            let identity = identity.map(|it| it.parse::<Digest>()).transpose().map_err(|_| {
                let detail = "an identity is the 64 digits that `directory find` shows";
                Issue::new(Code::CommandInvalid, detail).at("--identity")
            })?;
            DirectoryCommand::Approve { payer, identity, who: who.person(why) }
        }
        DirectoryAsked::Import { .. } | DirectoryAsked::Serve(_) => {
            return Err(Issue::new(Code::InternalError, "this command is no command of a house"));
        }
    };
    Ok(Command::Directory(command))
}

/// What `directory import` took.
pub struct Imported {
    /// Where the copy is.
    pub file: PathBuf,
    /// How many resources it holds, by type.
    pub counts: Vec<(&'static str, usize)>,
    /// Resources of other types, left out.
    pub others: u64,
    /// What could not be read.
    pub faults: Vec<(String, String)>,
    /// Whether `house.toml` names a directory of the kind `dump`.
    pub is_asked: bool,
}

/// Takes a copy: what is there stays until the new one is whole.
///
/// Errors: `DirectoryUnreachable`, `ConfigInvalid`.
pub fn import(house: &Path, from: &Path) -> Result<Imported, Issue> {
    let config = House::read_as_far(house)?;
    let held = read(from)?;
    if held.resources.is_empty() {
        let detail = "it holds no organization, endpoint or affiliation that can be read";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(from.display().to_string()));
    }
    let dump = config.file.directory.iter().find(|it| it.kind == DirectoryKind::Dump);
    let folder = dump.and_then(|it| it.folder.clone()).unwrap_or_else(|| DUMP.into());
    let folder = config.path(&folder);
    fs::create_dir_all(&folder).map_err(|_| unwritable(&folder))?;
    let (file, new) = (folder.join("imported.ndjson"), folder.join("imported.new"));
    fs::write(&new, held.lines()).map_err(|_| unwritable(&new))?;
    fs::rename(&new, &file).map_err(|_| unwritable(&file))?;
    let (others, faults, is_asked) = (held.others, held.faults, dump.is_some());
    let counts = Shelf::of(held.resources).counts();
    Ok(Imported { file, counts, others, faults, is_asked })
}

fn read(from: &Path) -> Result<Held, Issue> {
    if from.is_dir() {
        return dump::read(from);
    }
    let unreadable =
        |_| Issue::new(Code::ConfigInvalid, "a file cannot be read").at(from.display().to_string());
    let content = fs::read(from).map_err(unreadable)?;
    let mut held = Held::default();
    let name = from.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    held.read(&name, content.into(), from.extension().is_some_and(|it| it == "ndjson"));
    Ok(held)
}

/// Serves a folder until told to stop.
///
/// Errors: `DirectoryUnreachable` for the folder, `BindRefused`, `KeyUnusable`.
pub async fn serve(args: ServeDirectoryArgs) -> Result<(), Issue> {
    let held = dump::read(&args.folder)?;
    for (place, why) in &held.faults {
        tracing::warn!(place, why, "left out");
    }
    let shelf = Arc::new(Shelf::of(held.resources));
    let (chain, key) = certificate(&args.folder, "directory")?;
    let config = tls::server_config(chain.as_bytes(), key.as_bytes())?;
    let listener = listen(args.listen).await?;
    let unknown = |_| Issue::new(Code::BindRefused, "the listener has no address");
    let base = format!("https://{}{BASE_PATH}", listener.local_addr().map_err(unknown)?);
    tracing::info!(authority = AUTHORITY, "a directory opens");
    println!("ready {base}");
    std::io::stdout().flush().ok();
    let router = router(shelf, base);
    let stop = async move { asked_to_stop(args.tethered).await };
    let served = server::serve(listener, Some(config), router, stop).await;
    served.map_err(|_| Issue::new(Code::InternalError, "the directory's door failed"))
}

fn router(shelf: Arc<Shelf>, base: String) -> Router {
    Router::new().fallback(move |request: Request| {
        let (shelf, base) = (Arc::clone(&shelf), base.clone());
        async move { answer(&shelf, &base, &request) }
    })
}

fn answer(shelf: &Shelf, base: &str, request: &Request) -> Response<Body> {
    let told = |status: u16, body: Vec<u8>| {
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(FHIR_JSON));
        answer
    };
    let refused = |code: Code, detail: &str| {
        told(code.row().status, Issue::outcome([&Issue::new(code, detail)]))
    };
    let path = request.uri().path();
    let Some(below) = path.strip_prefix(BASE_PATH) else {
        return refused(Code::ResourceUnknown, "the directory's base ends in /fhir");
    };
    if request.method() != Method::GET {
        return refused(Code::InteractionUnsupported, "this directory is for reading");
    }
    let (status, body) = shelf.answer(base, below, request.uri().query().unwrap_or_default());
    told(status, body)
}
