//! Command: from what was typed to an exit code.
//!
//! Comes in   the command line and the environment.
//! Goes out   text or JSON on stdout, failures on stderr (or as JSON on stdout), an exit code.
//! Never      prints a patient, except where a person asked for one (`find`, `show --page`).

use crate::args::{
    Asked, CommandLine, DbAsked, DoorArgs, ExplainAsked, ExportArgs, InitArgs, LedgerAsked,
    PageForm, PartnerAsked, ProbeArgs, PushAsked, RetentionAsked, RoleWord, SimAsked,
};
use crate::community::{self, CommunityAsked, Stage};
use crate::directory::{self, DirectoryAsked};
use crate::limits::{COMMAND_TIMEOUT, KEEPING_SECONDS_MAX, LIST_ROWS_MAX, WORKER_THREADS};
use crate::render::{self, COULD_NOT, DONE};
use crate::{
    arenas, caller, check, config, database, demo, ehr, export, foreign, house, init, keys, page,
    partner, restore, roster, serve, suspended, tables,
};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use exchange::desk::{Command, IssueWords, RegistrationCommand, Reply};
use exchange::partner::Role;
use exchange::payload::Kind;
use exchange::{Code, Issue, Phi};
use indicatif::ProgressBar;
use secrecy::ExposeSecret;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The program.
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return misread(&without_values(error)),
    };
    if matches!(line.asked, Asked::Serve(_)) {
        arenas::in_few();
    }
    start_logging();
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", words_of_panic(panic))));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build();
    let json = line.json;
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(carry_out(line));
            // A blocked reader of stdin must not keep a finished program alive.
            runtime.shutdown_background();
            result
        }
        Err(_) => Err(Issue::new(Code::InternalError, "the program cannot start its threads")),
    };
    ExitCode::from(result.unwrap_or_else(|issue| refuse(&issue, json)))
}

/// The log goes to stderr: `HANDOVER_LOG=info`, or as fine as `wire=debug,warn`.
pub fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HANDOVER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// The complaint without what was typed: a name or a record number may stand in a wrong place, and
/// what is printed ends in somebody's log. Names of options are kept, and what was possible.
fn without_values(mut error: clap::Error) -> clap::Error {
    let is_option = |word: &str| {
        let name = word.trim_start_matches('-');
        let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        word.starts_with('-') && !name.is_empty() && letters
    };
    let kept = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if error.kind() == ErrorKind::UnknownArgument => {
            is_option(word)
        }
        _ => true,
    };
    if !kept {
        error.insert(ContextKind::InvalidArg, ContextValue::String("…".to_owned()));
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidSubcommand] {
        // An empty value is no secret, and clap says so in words of its own.
        if matches!(error.get(kind), Some(ContextValue::String(word)) if !word.is_empty()) {
            error.insert(kind, ContextValue::String("…".to_owned()));
        }
    }
    error
}

/// Where the program failed, and never with which words: they may quote a chart.
fn words_of_panic(panic: &std::panic::PanicHookInfo<'_>) -> String {
    match panic.location() {
        Some(at) => format!("a part of the program failed at {}:{}", at.file(), at.line()),
        None => "a part of the program failed".to_owned(),
    }
}

/// What the command line could not make sense of. Asking for help is no failure.
fn misread(error: &clap::Error) -> ExitCode {
    let asked_for_json = std::env::args_os().any(|word| word == "--json");
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) || !asked_for_json
    {
        error.print().ok();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(COULD_NOT));
    }
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    ExitCode::from(refuse(&Issue::new(Code::CommandInvalid, first), true))
}

/// Shows a failure where it belongs.
fn refuse(issue: &Issue, json: bool) -> u8 {
    if json {
        print(&format!("{}\n", json!({ "issue": IssueWords::from(issue) })));
    } else {
        eprint!("{}", render::issue(issue));
    }
    COULD_NOT
}

/// Prints; a reader who has gone away is no failure of ours.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

async fn carry_out(line: CommandLine) -> Result<u8, Issue> {
    let CommandLine { house, json, asked } = line;
    let folder = house
        .or_else(|| std::env::var_os("HANDOVER_HOUSE").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("."));
    match asked {
        Asked::Demo(args) => demo::run(args, json).await,
        Asked::Init(args) => make(&args, json),
        Asked::Partner(PartnerAsked::Add { file, door }) if partner::is_url(&file) => {
            add_by_url(&folder, &file, door, json).await
        }
        Asked::Partner(PartnerAsked::Add { file, .. }) => add_partner(&folder, &file, json),
        Asked::Community(asked) => community_of(&folder, &asked, json),
        Asked::Sim(SimAsked::Ehr(args)) => ehr::serve(args).await.map(|()| DONE),
        Asked::Sim(SimAsked::Payer(args)) => foreign::serve(args).await.map(|()| DONE),
        Asked::Directory(DirectoryAsked::Serve(args)) => {
            directory::serve(args).await.map(|()| DONE)
        }
        Asked::Directory(DirectoryAsked::Import { from }) => import(&folder, &from, json),
        Asked::Serve(args) => {
            let mut config = config::House::read(&folder)?;
            config.file.listen = args.listen.unwrap_or(config.file.listen);
            serve::serve(Arc::new(config), args.tethered).await.map(|()| DONE)
        }
        Asked::Token => token(&folder, json).await,
        Asked::Keys(asked) => {
            let (text, code) = keys::carry_out(&folder, asked, json).await?;
            print(&text);
            Ok(code)
        }
        Asked::Reload => show(&keys::reload(&folder).await?, json, None),
        Asked::Check => {
            let checked = check::check(&folder).await;
            show(&Reply::Checked { lines: checked.lines }, json, None)?;
            Ok(checked.code)
        }
        Asked::Restore(args) => {
            let into =
                if args.database { restore::Target::Database } else { restore::Target::Folder };
            show(&restore::restore(&folder, &args.folder, into).await?, json, None)
        }
        Asked::Db(DbAsked::Migrate) => {
            let config = config::House::read_as_far(&folder)?;
            show(&database::migrate(&config).await?, json, None)
        }
        Asked::Db(DbAsked::Check) => {
            let config = config::House::read_as_far(&folder)?;
            show(&database::check(&config).await, json, None)
        }
        Asked::Push(PushAsked::History(args)) if args.roster.is_some() => {
            roster::push(&folder, args, json).await
        }
        Asked::Probe(args) => probe(&folder, &args, json).await,
        Asked::Export(args) => fetch(&args, json).await,
        asked => house_command(&folder, asked, json).await,
    }
}

/// The commands that are a house's own.
async fn house_command(folder: &Path, asked: Asked, json: bool) -> Result<u8, Issue> {
    let (command, wait, page) = command(asked)?;
    let explained = match &command {
        Command::Explain { subject, .. } if !json => Some(subject.clone()),
        _ => None,
    };
    let config = Arc::new(config::House::read_as_far(folder)?);
    let command = by_id(&config, command).await?;
    // What copies or purges a whole house takes as long as it takes.
    let wait = match command {
        Command::Backup { .. } | Command::Retention { .. } => KEEPING_SECONDS_MAX,
        _ => wait,
    };
    let spinner = (wait > 0 && !json && std::io::stderr().is_terminal()).then(waiting);
    let reply = caller::carry_out(&config, command, Duration::from_secs(wait.into())).await;
    spinner.iter().for_each(ProgressBar::finish_and_clear);
    let reply = reply?;
    let code = show(&reply, json, page)?;
    let stays = explained.and_then(|subject| render::stays_whole(&reply, &subject));
    stays.iter().for_each(|line| print(line));
    Ok(code)
}

/// `probe`, and its report in a file where one is wanted.
async fn probe(folder: &Path, args: &ProbeArgs, json: bool) -> Result<u8, Issue> {
    let config = Arc::new(config::House::read_as_far(folder)?);
    let command = Command::Probe { partner: args.partner.as_str().into() };
    let reply = caller::carry_out(&config, command, Duration::ZERO).await?;
    if let (Some(place), Reply::Probed(probe)) = (&args.report, &reply) {
        let text = match place.extension().is_some_and(|ending| ending == "json") {
            true => serde_json::to_string_pretty(probe).unwrap_or_default() + "\n",
            false => probe.to_markdown(),
        };
        config::write_text(place, &text)?;
    }
    show(&reply, json, None)
}

/// `export`, with how it goes on stderr where a person looks.
async fn fetch(args: &ExportArgs, json: bool) -> Result<u8, Issue> {
    let spinner = (!json && std::io::stderr().is_terminal()).then(waiting);
    let tell = |words: &str| {
        spinner.iter().for_each(|bar| bar.set_message(words.to_owned()));
    };
    let done = export::run(args, tell).await;
    spinner.iter().for_each(ProgressBar::finish_and_clear);
    let done = done?;
    match json {
        true => print(&json!(done).to_string()),
        false => print(&format!(
            "{} resources, {} deletions and {} messages in {} files, as of {}\n",
            done.resources, done.deleted, done.messages, done.files, done.transaction_time
        )),
    }
    Ok(DONE)
}

/// Something that moves while a person waits.
fn waiting() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message("on its way; waiting for its end");
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// `show`, `release` and `withdraw` of `Encounter/…` and the like: the newest push about it, when only one payer
/// has one; one that holds the content before those that found it unchanged.
async fn by_id(config: &Arc<config::House>, mut command: Command) -> Result<Command, Issue> {
    let (Command::Show { id, .. } | Command::Release { id, .. } | Command::Withdraw { id, .. }) =
        &mut command
    else {
        return Ok(command);
    };
    if id.split_once('/').is_none_or(|(record, _)| Kind::of_record(record).is_none()) {
        return Ok(command);
    }
    let list = Command::List { states: Vec::new(), limit: Some(LIST_ROWS_MAX) };
    let Reply::Listed { rows, .. } = caller::carry_out(config, list, Duration::ZERO).await? else {
        return Err(Issue::new(Code::AnswerUnreadable, "the house answered no list"));
    };
    let mut about: Vec<_> =
        rows.into_iter().filter(|row| row.subject.as_deref() == Some(id.as_str())).collect();
    // What found the same content again holds none: the one that does is meant.
    about.sort_by_key(|row| (row.state != "unchanged", row.changed));
    let Some(newest) = about.last() else {
        return Err(Issue::new(Code::PushUnknown, "nothing was pushed about this").at("id"));
    };
    if about.iter().any(|row| row.partner != newest.partner) {
        let detail = "several payers have a push about it; name one by its id in `handover list`";
        return Err(Issue::new(Code::CommandInvalid, detail).at("id"));
    }
    *id = newest.id.clone();
    Ok(command)
}

/// The command of what was typed, how long it may take, and the form of its page.
fn command(asked: Asked) -> Result<(Command, u32, Option<PageForm>), Issue> {
    Ok(match asked {
        Asked::Push(asked) => {
            let (kind, id, how, since) = match asked {
                PushAsked::Encounter(push) => (Kind::Encounter, push.id, push.how, None),
                PushAsked::Results(push) => (Kind::Results, push.id, push.how, None),
                PushAsked::History(push) => {
                    (Kind::History, push.id.unwrap_or_default(), push.how, push.since)
                }
            };
            let (purpose, wait) = (how.purpose(), how.wait.seconds());
            let (who, asynchronous) = (how.who.person(how.why), how.asynchronous);
            let subject = subject(kind, &id, since.as_deref());
            (Command::Push { subject, purpose, who, wait, asynchronous }, wait, None)
        }
        Asked::Explain(asked) => {
            let (kind, explain, since) = match asked {
                ExplainAsked::Encounter(explain) => (Kind::Encounter, explain, None),
                ExplainAsked::Results(explain) => (Kind::Results, explain, None),
                ExplainAsked::History { explain, since } => (Kind::History, explain, since),
            };
            let purpose = explain.purpose.map(Into::into);
            let who = explain.who.person(explain.why);
            let subject = subject(kind, &explain.id, since.as_deref());
            (Command::Explain { subject, purpose, who }, 0, None)
        }
        Asked::Find(args) => {
            let who = args.who.person(args.why);
            let record_number = args.record_number.map(Phi);
            let (date, results) = (args.date, args.results);
            (Command::Find { record_number, date, results, who }, 0, None)
        }
        Asked::Watch => (Command::Watch {}, 0, None),
        Asked::List(args) => (Command::List { states: args.states, limit: args.limit }, 0, None),
        Asked::Show(args) => {
            (Command::Show { id: args.id, page: args.page.is_some() }, 0, args.page)
        }
        Asked::Release(args) => {
            let (who, wait) = (args.who.person(args.why), args.wait.seconds());
            (Command::Release { id: args.id, who, member: args.member.map(Phi) }, wait, None)
        }
        Asked::Withdraw(args) => {
            let (who, wait) = (args.who.person(args.why), args.wait.seconds());
            (Command::Withdraw { id: args.id, who, wait }, wait, None)
        }
        Asked::Backup(args) => {
            let folder = std::path::absolute(&args.folder).map_err(|_| {
                Issue::new(Code::CommandInvalid, "the folder has no whole path").at("folder")
            })?;
            let folder = folder.into_os_string().into_string().map_err(|_| {
                Issue::new(Code::CommandInvalid, "the folder's path is no text").at("folder")
            })?;
            (Command::Backup { folder }, 0, None)
        }
        Asked::Retention(RetentionAsked::Run { dry_run }) => {
            (Command::Retention { dry_run }, 0, None)
        }
        Asked::Submission(asked) => (Command::Submission(asked.into()), 0, None),
        Asked::Partner(asked) => (registration(asked)?, 0, None),
        Asked::Directory(asked) => (directory::command(asked)?, 0, None),
        Asked::Payor(asked) => (tables::payor(asked), 0, None),
        Asked::Restriction(asked) => (tables::restriction(asked)?, 0, None),
        Asked::Ledger(LedgerAsked::Verify { witness }) => (Command::Verify { witness }, 0, None),
        _ => return Err(Issue::new(Code::InternalError, "this command is no command of a house")),
    })
}

/// What was asked about clients that registered by UDAP.
fn registration(asked: PartnerAsked) -> Result<Command, Issue> {
    if let Some(command) = suspended::command(&asked) {
        return Ok(command);
    }
    Ok(Command::Registration(match asked {
        PartnerAsked::Registrations => RegistrationCommand::List {},
        PartnerAsked::Approve { client, partner, why, who } => {
            let (partner, who) = (partner.as_str().into(), who.person(why));
            RegistrationCommand::Approve { client, partner, who }
        }
        PartnerAsked::Refuse { client, why, who } => {
            RegistrationCommand::Refuse { client, who: who.person(why) }
        }
        _ => {
            let detail = "this command is no command of a house";
            return Err(Issue::new(Code::InternalError, detail));
        }
    }))
}

/// What a push is about, from what was typed: an id alone, or with its type.
fn subject(kind: Kind, id: &str, since: Option<&str>) -> String {
    let record = kind.record();
    let id = id.strip_prefix(record).and_then(|rest| rest.strip_prefix('/')).unwrap_or(id);
    let since = since.map(|day| format!("?since={day}")).unwrap_or_default();
    format!("{record}/{id}{since}")
}

/// Prints a reply; answers the exit code.
fn show(reply: &Reply, json: bool, form: Option<PageForm>) -> Result<u8, Issue> {
    if json {
        let text = serde_json::to_string_pretty(reply)
            .map_err(|_| Issue::new(Code::InternalError, "a reply cannot be written as JSON"))?;
        print(&format!("{text}\n"));
    } else if let (Some(form), Reply::Shown(shown)) = (form, reply) {
        let missing = || match &shown.row.stands_on {
            Some(standing) => {
                let id = &standing.id;
                format!("it sent nothing itself: {id} holds the same; ask for the page of that")
            }
            None => "nothing was sent or filed under this id, so there is no page of it".to_owned(),
        };
        let made = page::page(shown).ok_or_else(|| Issue::new(Code::CommandInvalid, missing()))?;
        print(&match form {
            PageForm::Text => page::text(&made),
            PageForm::Html => page::html(&made),
        });
    } else {
        print(&render::reply(reply));
    }
    Ok(render::exit_code(reply))
}

fn make(args: &InitArgs, json: bool) -> Result<u8, Issue> {
    let new = init::NewHouse::from_args(args)?;
    let public = init::init(&args.folder, &new)?;
    if json {
        print(&format!("{}\n", json!({ "folder": args.folder, "public": public })));
        return Ok(DONE);
    }
    let folder = args.folder.display();
    let mut text = format!("{} is ready in {folder}.\n\n", public.title);
    text.push_str(&format!("  {folder}/house.toml    its configuration; every key is explained\n"));
    text.push_str(&format!("  {folder}/public.json   give this file to your partners\n\nNext:\n"));
    if args.role == RoleWord::Provider {
        text.push_str(&format!(
            "  name your EHR under [source] in {folder}/house.toml, and put the authority of its\n  \
             certificate into {folder}/tls/ehr-authority.pem\n"
        ));
    } else {
        text.push_str(&format!("  put your members into {folder}/members.csv\n"));
    }
    text.push_str(&format!(
        "  handover --house {folder} partner add PARTNER/public.json   (or the URL of its door)\n  \
         handover --house {folder} check\n  handover --house {folder} serve\n"
    ));
    print(&text);
    Ok(DONE)
}

fn add_partner(folder: &Path, file: &Path, json: bool) -> Result<u8, Issue> {
    let agreement = init::add_partner(folder, file)?;
    if json {
        print(&format!("{}\n", json!({ "agreement": agreement })));
    } else {
        print(&format!(
            "The partner is known. What may travel is written in {}:\nread it, and narrow it where \
             you agreed on less. A running house takes it up when it is started anew.\n",
            agreement.display()
        ));
    }
    Ok(DONE)
}

/// Takes a partner in by the URL of its door.
async fn add_by_url(folder: &Path, url: &Path, door: DoorArgs, json: bool) -> Result<u8, Issue> {
    let DoorArgs { authority, name, client_id, payer_ids } = door;
    let url = url.to_string_lossy().into_owned();
    let asked = partner::Asked { url, authority, name, client_id, payer_ids };
    let added = partner::add(folder, &asked).await?;
    match json {
        true => print(&format!("{}\n", partner::json(&added))),
        false => print(&partner::words(&added)),
    }
    Ok(if added.waits() { render::WAITS } else { DONE })
}

/// Founds a community, or makes the house a member of one.
fn community_of(folder: &Path, asked: &CommunityAsked, json: bool) -> Result<u8, Issue> {
    let (text, told) = match asked {
        CommunityAsked::New { folder, uri } => {
            community::found(folder, uri)?;
            let text = format!(
                "The community {uri} is founded in {0}. Each house joins by\n  \
                 handover --house HOUSE community join {0}\n",
                folder.display()
            );
            (text, json!({ "community": uri, "folder": folder }))
        }
        CommunityAsked::Join { folder: place, contact, certificate } => {
            let certificate = certificate.as_deref();
            let joined = community::join(folder, place, contact.as_deref(), certificate)?;
            let (of, uri) = (&joined.community, &joined.uri);
            let told =
                json!({ "community": of, "uri": uri, "already": joined.stage == Stage::Already });
            if let Stage::Asks(request) = joined.stage {
                let request = request.display();
                print(&match json {
                    true => format!(
                        "{}\n",
                        json!({ "community": of, "uri": uri,
                        "request": request.to_string() })
                    ),
                    false => format!(
                        "The community's key is elsewhere: send {request} to its founder, who gives\n  \
                         handover community admit FOLDER REQUEST --out CERTIFICATE\nand with the answer \
                         give this command again: --certificate CERTIFICATE\n"
                    ),
                });
                return Ok(render::WAITS);
            }
            let is = if joined.stage == Stage::Member {
                "is a member now"
            } else {
                "was a member already"
            };
            let text = format!(
                "This house {is} of {of}, as {uri}.\n[udap] in house.toml says so, and public.json: give \
                 that to your partners.\nA running house takes it up when it is started anew.\n"
            );
            (text, told)
        }
        CommunityAsked::Admit { folder, request, out } => {
            let (certificate, uris) = community::admit(folder, &config::read_text(request)?)?;
            config::write_text(out, &certificate)?;
            let names = uris.join(", ");
            let text = format!("{names} is admitted: give {} back to its people.\n", out.display());
            (text, json!({ "uris": uris, "certificate": out }))
        }
    };
    print(&if json { format!("{told}\n") } else { text });
    Ok(DONE)
}

/// Takes a copy of a directory into the house.
fn import(folder: &Path, from: &Path, json: bool) -> Result<u8, Issue> {
    let told = directory::import(folder, from)?;
    if json {
        let counts: serde_json::Map<_, _> =
            told.counts.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
        let faults: Vec<String> =
            told.faults.iter().map(|(place, why)| format!("{place}: {why}")).collect();
        let told = json!({ "file": told.file, "counts": counts, "others": told.others,
            "faults": faults, "is_asked": told.is_asked });
        print(&format!("{told}\n"));
    } else {
        print(&render::imported(&told));
    }
    Ok(DONE)
}

/// Prints an access token of the operator at the running house.
async fn token(folder: &Path, json: bool) -> Result<u8, Issue> {
    let config = config::House::read_as_far(folder)?;
    if config.file.role == Role::Provider {
        tracing::debug!("a sending house offers commands only");
    }
    let scope = format!("{} system/*.rs", wire::api::OPERATE);
    let (_, sign_in) = house::operator_sign_in(&config, COMMAND_TIMEOUT, &scope)?;
    let token = sign_in.token().await.map_err(|error| {
        tracing::debug!(%error, "token");
        let detail = "no token was given; is the house running? `handover serve` starts it";
        Issue::new(Code::SignInRequired, detail)
    })?;
    if json {
        print(&format!("{}\n", json!({ "access_token": token.expose_secret() })));
    } else {
        print(&format!("{}\n", token.expose_secret()));
    }
    Ok(DONE)
}

/// The role as the configuration has it.
impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Role {
        match word {
            RoleWord::Provider => Role::Provider,
            RoleWord::Payer => Role::Payer,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what the command line complains of helps, and repeats nothing that was typed.

    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::{Mutex, PoisonError};

    #[test]
    fn a_complaint_names_options_and_never_what_was_typed() {
        let table = [
            ("an argument too many", "handover list R-12345", "unexpected argument"),
            ("no such command", "handover R-12345", "unrecognized subcommand"),
            ("a value that is none", "handover list --limit R-12345", "--limit"),
            ("a word that is none", "handover push encounter e --purpose R-12345", "payment"),
            ("a number led by a hyphen", "handover show -R-12345", "unexpected argument"),
            ("an option with a slip", "handover list --stat held", "--state"),
        ];
        for (case, line, told) in table {
            let error = CommandLine::try_parse_from(line.split(' ')).unwrap_err();
            let words = without_values(error).render().to_string();
            assert!(words.contains(told), "{case}: {words}");
            assert!(!words.contains("12345"), "{case}: {words}");
        }
    }

    #[test]
    fn a_panic_tells_its_place_and_not_its_words() {
        static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let said = || SAID.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| said().push(words_of_panic(panic))));
        let words = "planted ".to_owned();
        let failed = std::panic::catch_unwind(|| panic!("{words} in a chart"));
        std::panic::set_hook(before);
        assert!(failed.is_err());
        let told = said().join("\n");
        assert!(told.contains("command.rs:") && !told.contains("planted"), "{told}");
    }
}
