//! Export: fetches what a server gives its readers by `$export` (Bulk Data 1.0.0 to 3.0.0, client).
//!
//! Comes in   the server's base URL, what to ask for, a folder, the reader's key.
//! Goes out   files of NDJSON, and `export.json`, which says how far it has come.
//! Never      takes a part for the whole: a file has its name once it is there to its end. Never sends
//!            its token where the manifest says that none is needed, or to an origin nobody named.
//!
//! Why a folder can be taken up again: an export of a plan takes hours, and a link or a machine fails
//! meanwhile. What was fetched is not fetched twice.

mod asked;
mod fetched;
mod state;

use crate::args::ExportArgs;
use crate::config::read_text;
use crate::limits::{
    EXPORT_ANSWER_MAX, EXPORT_POLL_MAX, EXPORT_POLL_MIN, EXPORT_TIMEOUT, EXPORT_TRIES_MAX,
};
use exchange::bulk::Manifest;
use exchange::{Code, Issue};
use fhir::OperationOutcome;
use http::header::CONTENT_LOCATION;
use http::{Method, Response};
use state::State;
use std::sync::Arc;
use wire::client::Reply;
use wire::fetch::{Access, Bounds, Fetcher, FileHeaders, Origins, beside};
use wire::transport::Lines;
use wire::{
    ClientError, FhirClient, HttpTransport, KeyRing, SignIn, SignInError, SigningKey, SmartClient,
    SystemClock, retry_after,
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// The manifest's time: the next export asks for what changed since.
    pub transaction_time: String,
    /// Files in the folder.
    pub files: u64,
    /// Resources in those of the manifest's `output`.
    pub resources: u64,
    /// Lines in those of `deleted`.
    pub deleted: u64,
    /// Lines in those of `error`: OperationOutcomes.
    pub messages: u64,
}

/// Fetches an export, or goes on with the one that was begun in the folder; `tell` is told how it goes.
///
/// Errors: `CommandInvalid`, `KeyUnusable`; `ServerUnreachable`, `ServerRefused`, `ServerUntrusted`,
/// `AnswerUnreadable`, and those of files.
pub async fn run(args: &ExportArgs, tell: impl Fn(&str)) -> Result<Exported, Issue> {
    let server = Server::of(args)?;
    let mut state = State::open(&args.out, &asked::words(args))?;
    let place = match &state.place {
        Some(place) => place.clone(),
        None => {
            let place = server.kick_off(args).await?;
            state.place = Some(place.clone());
            state.save()?;
            place
        }
    };
    let first = server.wait(&place, &tell).await?.ok_or_else(|| over(args))?;
    let mut told = Exported {
        transaction_time: String::new(),
        files: 0,
        resources: 0,
        deleted: 0,
        messages: 0,
    };
    let (mut page, mut at) = (Some(first), place.clone());
    let mut pages = 0;
    while let Some(body) = page.take() {
        pages += 1;
        let manifest = Manifest::read(&body)?;
        told.transaction_time = manifest.transaction_time.to_string();
        let access = server.access(manifest.requires_access_token);
        let files = [("output", manifest.output), ("deleted", manifest.deleted)];
        for (list, files) in files.into_iter().chain(Manifest::messages(&body)?) {
            for (number, file) in files.into_iter().enumerate() {
                let url = beside(&at, &file.url).unwrap_or_default();
                let name = state::name(list, pages, number, file.kind.as_deref(), &url);
                tell(&format!("{list}: {name}"));
                let lines =
                    fetched::file(&server.fetcher, &access, &url, &name, &mut state).await?;
                // By patient, some servers count the headers of blocks and some do not.
                let counts = |said| said == lines || (args.by_patient && said < lines);
                if !file.count.is_none_or(counts) {
                    let detail = "a file has another number of lines than the manifest says";
                    return Err(
                        Issue::new(Code::FileInvalid, detail).at(format!("{list}[{number}]"))
                    );
                }
                told.files += 1;
                match list {
                    "output" => told.resources += lines,
                    "deleted" => told.deleted += lines,
                    _ => told.messages += lines,
                }
            }
        }
        if let Some(next) = manifest.next.and_then(|next| beside(&at, &next)) {
            if pages >= crate::limits::EXPORT_PAGES_MAX {
                let detail = "its manifest has more pages than are read";
                return Err(Issue::new(Code::AnswerUnreadable, detail).at("link"));
            }
            page = Some(server.wait(&next, &tell).await?.ok_or_else(|| over(args))?);
            at = next;
        }
    }
    state.end()?;
    if !args.keep {
        server.delete(&place, &tell).await;
    }
    Ok(told)
}

/// The server, as this reader reaches it.
struct Server {
    client: FhirClient,
    fetcher: Fetcher,
    sign_in: Arc<dyn SignIn>,
}

impl Server {
    fn of(args: &ExportArgs) -> Result<Server, Issue> {
        let roots: Vec<Vec<u8>> = match &args.authority {
            Some(path) => vec![read_text(path)?.into_bytes()],
            None => Vec::new(),
        };
        // The URL is a person's own word, as that of a source is.
        let lines = || Lines {
            roots: &roots,
            identity: None,
            network: None,
            timeout: EXPORT_TIMEOUT,
            answer_limit: EXPORT_ANSWER_MAX,
        };
        let transport = Arc::new(HttpTransport::over(lines())?);
        let sign_in: Arc<dyn SignIn> = Arc::new(SmartClient::signing(
            Arc::clone(&transport) as _,
            &args.url,
            &args.client_id,
            KeyRing::new(SigningKey::read(&args.key)?),
            args.scope.clone(),
            Arc::new(SystemClock),
        ));
        let client = FhirClient::signed_by(&args.url, transport, Some(Arc::clone(&sign_in)));
        let url = std::iter::once(args.url.as_str());
        let wrong = |place: &str| {
            let detail = "an https URL without a user is wanted";
            Issue::new(Code::CommandInvalid, detail).at(place)
        };
        Origins::of(url.clone()).map_err(|_| wrong("URL"))?;
        let urls = args.files_at.iter().map(String::as_str).chain(url);
        let origins = Origins::of(urls).map_err(|_| wrong("--files-at"))?;
        let fetcher = Fetcher::over(lines(), origins, Arc::new(SystemClock), Bounds::default())?;
        Ok(Server { client, fetcher, sign_in })
    }

    fn access(&self, requires_token: bool) -> Access {
        match requires_token {
            true => Access::signed(FileHeaders::default(), Arc::clone(&self.sign_in)),
            false => Access::open(FileHeaders::default()),
        }
    }

    /// Where to ask for the export. By GET, which every edition but the ballot's takes; by POST where
    /// Patients are named, or GET is not taken.
    async fn kick_off(&self, args: &ExportArgs) -> Result<String, Issue> {
        let (path, query) = (asked::path(args), asked::query(args));
        let headers = [("prefer", "respond-async")];
        let mut answer = None;
        if args.patient.is_empty() {
            let path = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
            let told = answered(self.client.write(Method::GET, &path, &headers, None).await)?;
            answer = Some(told).filter(|told| told.status().as_u16() != 405);
        }
        let answer = match answer {
            Some(answer) => answer,
            None => {
                let body = Some(asked::parameters(args));
                answered(self.client.write(Method::POST, &path, &headers, body).await)?
            }
        };
        if answer.status().as_u16() != 202 {
            return Err(refused(&answer));
        }
        let place = answer.headers().get(CONTENT_LOCATION).and_then(|it| it.to_str().ok());
        let missing = || {
            let detail = "it took the export and named no place to ask for it";
            Issue::new(Code::AnswerUnreadable, detail).at("Content-Location")
        };
        let base = format!("{}/", self.client.base_url());
        place.and_then(|place| beside(&base, place)).ok_or_else(missing)
    }

    /// The manifest, once it is there: polled as often as the server says, else ever more rarely. None:
    /// the server knows nothing of the export (any more).
    async fn wait(&self, place: &str, tell: &impl Fn(&str)) -> Result<Option<Vec<u8>>, Issue> {
        let (mut pause, mut failed) = (EXPORT_POLL_MIN, 0);
        loop {
            let answer = answered(self.client.get_absolute(place).await);
            let asked = answer.as_ref().ok().and_then(|it| retry_after::read_here(it.headers()));
            match answer {
                Ok(answer) if answer.status().as_u16() == 200 => {
                    return Ok(Some(answer.body().to_vec()));
                }
                Ok(answer) if matches!(answer.status().as_u16(), 404 | 410) => return Ok(None),
                Ok(answer) if answer.status().as_u16() == 202 => {
                    failed = 0;
                    let progress = answer.headers().get("x-progress");
                    let words = progress.and_then(|it| it.to_str().ok()).unwrap_or("in progress");
                    let shown = words.chars().filter(|sign| !sign.is_control()).take(100);
                    tell(&shown.collect::<String>());
                }
                Ok(answer) if answer.status().as_u16() == 429 => {}
                failure => {
                    failed += 1;
                    let (issue, passing) = match failure {
                        Ok(answer) => (refused(&answer), is_transient(&answer)),
                        Err(issue) => {
                            let passing = issue.code == Code::ServerUnreachable;
                            (issue, passing)
                        }
                    };
                    if !passing || failed >= EXPORT_TRIES_MAX {
                        return Err(issue);
                    }
                }
            }
            tokio::time::sleep(asked.unwrap_or(pause).min(EXPORT_POLL_MAX)).await;
            pause = (pause * 2).min(EXPORT_POLL_MAX);
        }
    }

    /// Says that all was fetched. Whether the server listens changes nothing of what is here.
    async fn delete(&self, place: &str, tell: &impl Fn(&str)) {
        let below = place.strip_prefix(self.client.base_url());
        let Some(path) = below else { return };
        let answer = self.client.write(Method::DELETE, path, &[], None).await;
        if !answer.is_ok_and(|answer| answer.status().is_success()) {
            tell("the server did not take the word that all is fetched");
        }
    }
}

fn answered(reply: Reply) -> Result<Response<bytes::Bytes>, Issue> {
    reply.map_err(|error| {
        let code = match &error {
            ClientError::Transport(wire::TransportError::Untrusted(_)) => Code::ServerUntrusted,
            ClientError::SignIn(SignInError::Untrusted(_)) => Code::ServerUntrusted,
            ClientError::SignIn(sign_in) if !sign_in.is_passing() => Code::ServerRefused,
            ClientError::ForeignUrl => Code::AnswerUnreadable,
            _ => Code::ServerUnreachable,
        };
        Issue::new(code, error.to_string())
    })
}

/// What the server says of its refusal, in one sentence of its own.
/// What was begun in the folder cannot be fetched any more.
fn over(args: &ExportArgs) -> Issue {
    let detail =
        "the server knows nothing of the export begun in this folder any more; name a new one";
    Issue::new(Code::CommandInvalid, detail).at(args.out.display().to_string())
}

fn refused(answer: &Response<bytes::Bytes>) -> Issue {
    let status = answer.status().as_u16();
    let outcome = OperationOutcome::parse(answer.body()).ok();
    let words = outcome.iter().flat_map(|it| &it.issues).map(|one| one.sentence()).next();
    let shown = words.unwrap_or_default().chars().filter(|sign| !sign.is_control()).take(200);
    Issue::new(Code::ServerRefused, format!("{status}: {}", shown.collect::<String>()))
}

/// Whether the poll failed and not the export (Bulk Data 2.0.0: a transient code, or 5xx of whatever
/// stands before the server).
fn is_transient(answer: &Response<bytes::Bytes>) -> bool {
    let outcome = OperationOutcome::parse(answer.body()).ok();
    let codes = outcome.iter().flat_map(|it| &it.issues).filter_map(|one| one.code.as_deref());
    let transient =
        ["transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"];
    let mut codes = codes.peekable();
    match codes.peek() {
        None => matches!(answer.status().as_u16(), 502..=504),
        Some(_) => codes.all(|code| transient.contains(&code)),
    }
}
