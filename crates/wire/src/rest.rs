//! Rest: one FHIR REST router over a trait, for the payer's house and for the simulated EHR.
//!
//! Comes in   HTTP requests below a base URL.
//! Goes out   calls of `Rest` with a caller whose scopes cover them; answers, or issues as
//!            `OperationOutcome`.
//! Never      knows what is filed; never calls the trait for somebody who has not signed in.
//!
//! Why one match and not a table of routes: every interaction, its method and its scope stand in
//! one place and read down, and what is not there is refused with the reason (FHIR R4 §3.1.0).

mod files;
mod kick_off;
mod offered;
mod polls;
mod posted;
mod prefer;
mod write;

pub use kick_off::KickOff;
pub use offered::{Capability, FileAsk, NothingThere};
pub use polls::Polls;
pub use prefer::{PREFERENCE_APPLIED, Prefer, Returning};
pub use write::{Condition, Write, WriteAction};

use crate::door::{self, content_type, not_offered};
use crate::limits::{
    ANSWER_ROOM, BODY_BYTES_MAX, BULK_REQUEST_BYTES_MAX, FORM_BYTES_MAX, PATH_ID_MAX,
    REGISTRATION_BYTES_MAX, REPRESENTATIONS_ROOM, WRITTEN_ROOM,
};
use crate::media::{self, Media};
use crate::narrowed;
use crate::peers::Visit;
use crate::refusal::Answer;
use crate::room::Free;
pub use crate::room::{Room, Rooms};
use crate::server::Line;
use crate::shape::open_to_all;
use crate::transport::BoxFuture;
use crate::trust::Caller;
use crate::trust::smart::server::Gate;
use crate::urlencoded;
use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use exchange::query::Ask;
use exchange::query::Handling;
use exchange::{Code, Issue};
use fhir::{Versions, is_id};
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, Method};
use posted::{plain_text, posted};
use std::sync::Arc;
use write::Asks;

/// What an implementer answers, or why not.
pub type Outcome<'a> = BoxFuture<'a, Result<Answer, Issue>>;

/// What stands behind a FHIR base URL. Every method but `capability` gets the caller that signed
/// in. What an implementer leaves out, it does not offer: that is refused in the same words
/// everywhere.
pub trait Rest: Send + Sync + 'static {
    /// The CapabilityStatement, for `GET /metadata`: open to everybody.
    fn capability(&self) -> Bytes;

    /// Whether `write` is offered: before a body is read, and for `Allow`.
    fn writes(&self) -> bool {
        false
    }

    /// `POST [base]`: a Bundle as it arrived. The implementer checks scopes entry by entry.
    fn transaction<'a>(&'a self, _: &'a Caller, _body: Bytes, _: Prefer) -> Outcome<'a> {
        not_here()
    }

    /// `POST [type]`, `PUT` and `DELETE` of `[type]/[id]` and `[type]?[condition]`; the scope letter
    /// `c`, `u` or `d` has been checked.
    fn write<'a>(&'a self, _: &'a Caller, _: Write, _: Prefer) -> Outcome<'a> {
        not_here()
    }

    /// `GET [type]/[id]`, `[type]/[id]/_history` and `[type]/[id]/_history/[version]`; `GET [type]?...`
    /// and `POST [type]/_search`; `GET` and `POST [type]/[id]/$everything`. The scope letter (`s` of
    /// a search, else `r`) has been checked for the type asked; the implementer checks it for other
    /// types it answers with. The parameters stand without `_format` and `_pretty`.
    fn ask<'a>(&'a self, _: &'a Caller, _: Ask<'a>) -> Outcome<'a> {
        not_here()
    }

    /// `GET Binary/[id]` of a caller that does not take FHIR: the content itself (R4 §2.37.3). `None`
    /// where that is not offered; the scope letter `r` has been checked.
    fn raw_binary<'a>(&'a self, _: &'a Caller, _id: &'a str) -> Option<Outcome<'a>> {
        None
    }

    /// `GET /status/[id]`: the poll of whatever is answered later (a held or deferred submission, an
    /// export, a bulk submission), in Bulk Data's form (202, then 200 with a manifest). The implementer
    /// answers only to whoever began it.
    fn status<'a>(&'a self, _: &'a Caller, _id: &'a str) -> Outcome<'a> {
        no_submission()
    }

    /// `GET` and `POST [base]/$export`, `[base]/Patient/$export` and `[base]/Group/[id]/$export`: the
    /// kick-off of an export. The implementer checks who may ask, and for which types.
    fn export<'a>(&'a self, _: &'a Caller, _: KickOff) -> Outcome<'a> {
        not_here()
    }

    /// `POST [base]/$bulk-submit`: a bulk submission (Bulk Data 4.0.0-ballot). The implementer checks who
    /// may ask.
    fn bulk_submit<'a>(&'a self, _: &'a Caller, _body: Bytes) -> Outcome<'a> {
        not_here()
    }

    /// `POST [base]/$bulk-submit-status`: how one stands. The implementer checks who may ask.
    fn bulk_status<'a>(&'a self, _: &'a Caller, _body: Bytes, _: Prefer) -> Outcome<'a> {
        not_here()
    }

    /// `DELETE /status/[id]`: nobody wants that answer any more.
    fn status_end<'a>(&'a self, _: &'a Caller, _id: &'a str) -> Outcome<'a> {
        no_submission()
    }

    /// `GET /bulk/[submission]/[name]` of a caller, or of whoever has the header that came with the
    /// submission, or `GET /bulk/[submission]/[capability]/[name]` of whoever has that URL: a manifest or
    /// a file of a bulk submission of this house. The implementer checks whose it is.
    fn bulk_file<'a>(&'a self, _: Option<&'a Caller>, _: FileAsk<'a>) -> Outcome<'a> {
        Box::pin(async { Err(unknown()) })
    }

    /// `GET /status/[id]/[name]`: a file of the manifest, NDJSON.
    fn status_file<'a>(&'a self, _: &'a Caller, _id: &'a str, _name: &'a str) -> Outcome<'a> {
        no_submission()
    }
}

fn not_here<'a>() -> Outcome<'a> {
    let detail = "this door does not offer this interaction";
    Box::pin(async move { Err(Issue::new(Code::InteractionUnsupported, detail)) })
}

fn no_submission<'a>() -> Outcome<'a> {
    let detail = "this door takes no submissions";
    Box::pin(async move { Err(Issue::new(Code::StatusUnknown, detail)) })
}

/// The router below a base URL; the caller mounts it at the base's path with [`mount`].
///
/// Open: `/metadata`, `/$versions`, `/.well-known/smart-configuration`, `/.well-known/jwks.json`,
/// `/token`, `/healthz`.
/// What else is asked for below `.well-known` is not there. Everything else needs an access token
/// first, so that a stranger learns nothing from a 404.
pub fn router(rest: Arc<dyn Rest>, gate: Arc<Gate>) -> Router {
    router_with(Rooms::default(), rest, gate)
}

/// The same router, with room of its own size.
pub fn router_with(rooms: Rooms, rest: Arc<dyn Rest>, gate: Arc<Gate>) -> Router {
    let base = Base { rest, gate, free: Arc::new(Free::new(rooms)) };
    Router::new().fallback(move |request: Request| {
        let base = base.clone();
        door::answer(request, move |request| async move {
            base.handle(request).await.unwrap_or_else(Answer::from)
        })
    })
}

/// Mounts a router at the path of a base URL, with and without a trailing slash, which
/// `Router::nest` does not do; a base without a path (`""` or `"/"`) is the router itself.
pub fn mount(base_path: &str, router: Router) -> Router {
    match base_path.trim_matches('/') {
        "" => router,
        path => Router::new().nest_service(&format!("/{path}"), router),
    }
}

/// Mounts several routers side by side; what lies outside all of them is refused in the same words.
pub fn mount_all<'a>(rooms: impl IntoIterator<Item = (&'a str, Router)>) -> Router {
    let mut at_root = false;
    let mut all = Router::new();
    for (path, router) in rooms {
        at_root |= path.trim_matches('/').is_empty();
        all = all.merge(mount(path, router));
    }
    // A router at the root refuses in its own way.
    if at_root { all } else { all.fallback(outside) }
}

async fn outside(request: Request) -> axum::response::Response {
    door::answer(request, |_| async { Answer::from(unknown()) }).await
}

#[derive(Clone)]
struct Base {
    rest: Arc<dyn Rest>,
    gate: Arc<Gate>,
    free: Arc<Free>,
}

/// The parts of a request that handlers ask for again and again.
struct Asked {
    method: Method,
    accept: Option<String>,
    format: Option<String>,
    parameters: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Asked {
    fn read(request: &Request) -> Result<Asked, Issue> {
        let query = request.uri().query().unwrap_or_default();
        let mut parameters = urlencoded::decode(query.as_bytes())?;
        let format = take_format(&mut parameters);
        // HEAD is GET whose body stays behind (RFC 9110 §9.3.2).
        let method = match *request.method() {
            Method::HEAD => Method::GET,
            ref method => method.clone(),
        };
        let headers = request.headers().clone();
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept = accept.collect::<Vec<_>>().join(",");
        Ok(Asked { method, accept: Some(accept), format, parameters, headers })
    }

    fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    fn choose(&self, offered: &[Media]) -> Result<Media, Issue> {
        media::choose(self.accept.as_deref(), self.format.as_deref(), offered)
    }
}

impl Base {
    async fn handle(&self, request: Request) -> Result<Answer, Issue> {
        let path = request.uri().path().trim_matches('/').to_owned();
        let segments: Vec<&str> = path.split('/').collect();
        let asked = Asked::read(&request)?;
        let get = asked.is_get();
        match segments.as_slice() {
            ["healthz"] if get => Ok(plain("text/plain", "ok")),
            ["metadata"] if get => {
                Ok(open_to_all(typed(asked.choose(media::FHIR)?, self.capability())?))
            }
            ["$versions"] if get => Ok(open_to_all(versions(asked.choose(media::FHIR)?))),
            [".well-known", "smart-configuration"] if get => {
                let told = self.gate.smart_configuration().to_string();
                Ok(open_to_all(plain("application/json", told)))
            }
            [".well-known", "jwks.json"] if get => {
                self.gate.public_keys().map(open_to_all).ok_or_else(unknown)
            }
            [".well-known", "handover.json"] if get => {
                self.gate.introduction().map(open_to_all).ok_or_else(unknown)
            }
            ["token"] if asked.method == Method::POST => self.token(request).await,
            [".well-known", "udap"] if get => {
                let mut named = asked.parameters.iter().filter(|(name, _)| name == "community");
                let community = named.next().map(|(_, value)| value.as_str());
                self.gate.udap_metadata(community).map(open_to_all)
            }
            ["register"] if asked.method == Method::POST && self.gate.udap().is_some() => {
                self.register(request).await
            }
            [".well-known", "udap"] => Ok(not_offered("GET, HEAD")),
            ["register"] if self.gate.udap().is_some() => Ok(not_offered("POST")),
            ["token"] => Ok(not_offered("POST")),
            ["healthz" | "metadata" | "$versions"]
            | [".well-known", "smart-configuration" | "jwks.json"] => Ok(not_offered("GET, HEAD")),
            [".well-known", "handover.json"] if self.gate.introduction().is_some() => {
                Ok(not_offered("GET, HEAD"))
            }
            // Strangers ask for documents that are not offered, and must learn that they are not (FAST
            // Security, discovery: 404).
            [".well-known", ..] => Err(unknown()),
            ["bulk", submission, capability, name]
                if get && [submission, capability, name].iter().all(|it| is_token(it)) =>
            {
                let shown = Some(Capability::InUrl(capability));
                let ask =
                    FileAsk::read(submission, shown, name, (request.method(), &asked.headers));
                self.by_capability(request.extensions().get(), &asked, ask).await
            }
            ["bulk", submission, name]
                if get
                    && [submission, name].iter().all(|it| is_token(it))
                    && Capability::among(&asked.headers).is_some() =>
            {
                let shown = Capability::among(&asked.headers);
                let ask =
                    FileAsk::read(submission, shown, name, (request.method(), &asked.headers));
                self.by_capability(request.extensions().get(), &asked, ask).await
            }
            segments => {
                let presented = door::presented(&request);
                let caller = self.gate.admit(&asked.headers, presented.as_deref()).await?;
                if let Some(visit) = request.extensions().get::<Arc<Visit>>() {
                    visit.known();
                }
                if let Err(seconds) = self.gate.count(&caller) {
                    return Ok(too_often(seconds));
                }
                self.signed_in(&caller, segments, asked, request).await
            }
        }
    }

    /// A file for whoever shows what nobody can guess.
    async fn by_capability(
        &self,
        line: Option<&Line>,
        asked: &Asked,
        ask: FileAsk<'_>,
    ) -> Result<Answer, Issue> {
        if let Err(seconds) = self.gate.count_bearer(line) {
            return Ok(too_often(seconds));
        }
        let answer = self.rest.bulk_file(None, ask).await?;
        Ok(files::packed_whole(&asked.headers, answer))
    }

    async fn signed_in(
        &self,
        caller: &Caller,
        segments: &[&str],
        asked: Asked,
        request: Request,
    ) -> Result<Answer, Issue> {
        if let Some((kind, id, asks)) = self.written(segments, &asked) {
            return self.write(caller, (kind, id, asks), asked, request).await;
        }
        if let ([""], &Method::POST) = (segments, &asked.method) {
            return self.transaction(caller, asked, request).await;
        }
        if let Some(level) = kick_off::level(segments)
            && matches!(*request.method(), Method::GET | Method::POST)
        {
            asked.choose(media::FHIR)?;
            let kick_off = KickOff::read(level, asked.parameters, &asked.headers, request).await?;
            return self.rest.export(caller, kick_off).await;
        }
        if let ([operation @ ("$bulk-submit" | "$bulk-submit-status")], &Method::POST) =
            (segments, &asked.method)
        {
            let media = asked.choose(media::FHIR)?;
            media::check_sent(content_type(&asked.headers))?;
            let body = door::read_body(request, BULK_REQUEST_BYTES_MAX, None).await?;
            let prefer = Prefer::of(&asked.headers);
            let answer = match *operation {
                "$bulk-submit" => self.rest.bulk_submit(caller, body),
                _ => self.rest.bulk_status(caller, body, prefer),
            };
            return typed(media, answer.await?);
        }
        let mut room = self.free.answer(&caller.partner);
        room.keep_own(ANSWER_ROOM).await?;
        room.keep_of_all(ANSWER_ROOM).await?;
        room.hold(self.look(caller, segments, asked, request).await?).await
    }

    /// What changes nothing.
    async fn look(
        &self,
        caller: &Caller,
        segments: &[&str],
        asked: Asked,
        request: Request,
    ) -> Result<Answer, Issue> {
        let (rest, get) = (&self.rest, asked.is_get());
        let prefer = Prefer::of(&asked.headers);
        let handling = prefer.handling;
        match *segments {
            ["status", id] if get && is_token(id) => {
                asked.choose(media::STATUS)?;
                rest.status(caller, id).await
            }
            ["status", id, name] if get && is_token(id) && is_token(name) => {
                asked.choose(media::STATUS)?;
                files::handed(&asked.headers, || rest.status_file(caller, id, name)).await
            }
            ["status", id] if asked.method == Method::DELETE && is_token(id) => {
                rest.status_end(caller, id).await
            }
            ["bulk", submission, name] if get && is_token(submission) && is_token(name) => {
                let ask = FileAsk::read(submission, None, name, (request.method(), &asked.headers));
                let answer = rest.bulk_file(Some(caller), ask).await?;
                Ok(files::packed_whole(&asked.headers, answer))
            }
            [kind] if get && is_kind(kind) => {
                let media = asked.choose(media::FHIR)?;
                let ask = narrowed::search(caller, kind, asked.parameters, handling)?;
                typed(media, rest.ask(caller, ask).await?)
            }
            [kind, "_search"] if asked.method == Method::POST && is_kind(kind) => {
                self.search_by_form(caller, kind, asked, request).await
            }
            ["Binary", id] if get && is_id(id) && asked.choose(media::FHIR).is_err() => {
                caller.require("Binary", 'r')?;
                match rest.raw_binary(caller, id) {
                    Some(content) => content.await,
                    None => asked.choose(media::FHIR).and_then(|_| Err(unknown())),
                }
            }
            [kind, id] if get && is_kind(kind) && is_id(id) => {
                let media = asked.choose(media::FHIR)?;
                narrowed::may_read(rest, caller, kind, id).await?;
                typed(media, unless_known(&asked, rest.ask(caller, Ask::Read { kind, id }).await?))
            }
            [kind, id, "_history"] if get && is_kind(kind) && is_id(id) => {
                let media = asked.choose(media::FHIR)?;
                caller.require(kind, 'r')?;
                let parameters = asked.parameters;
                let ask = Ask::History { kind, id, parameters, handling };
                typed(media, rest.ask(caller, ask).await?)
            }
            [kind, id, "$everything"] if get && is_kind(kind) && is_id(id) => {
                let media = asked.choose(media::FHIR)?;
                caller.require(kind, 'r')?;
                let parameters = asked.parameters;
                let ask = Ask::Everything { kind, id, parameters, handling };
                typed(media, rest.ask(caller, ask).await?)
            }
            [kind, id, "$everything"]
                if asked.method == Method::POST && is_kind(kind) && is_id(id) =>
            {
                let media = asked.choose(media::FHIR)?;
                caller.require(kind, 'r')?;
                let mut parameters = asked.parameters;
                parameters.append(&mut posted(&asked.headers, request, plain_text).await?);
                let ask = Ask::Everything { kind, id, parameters, handling };
                typed(media, rest.ask(caller, ask).await?)
            }
            [kind, id, "_history", version] if get && is_kind(kind) && is_id(id) => {
                let media = asked.choose(media::FHIR)?;
                caller.require(kind, 'r')?;
                let version = version.parse().map_err(|_| unknown())?;
                let ask = Ask::Vread { kind, id, version };
                typed(media, unless_known(&asked, rest.ask(caller, ask).await?))
            }
            _ => refuse(segments, self.rest.writes()),
        }
    }

    /// What is to be written, where the request is one that writes and the door takes it.
    fn written<'s>(
        &self,
        segments: &[&'s str],
        asked: &Asked,
    ) -> Option<(&'s str, Option<&'s str>, Asks)> {
        let (kind, id) = match *segments {
            [kind] if is_kind(kind) => (kind, None),
            [kind, id] if is_kind(kind) && is_id(id) => (kind, Some(id)),
            _ => return None,
        };
        let asks = Asks::of(&asked.method, id, !asked.parameters.is_empty())?;
        self.rest.writes().then_some((kind, id, asks))
    }

    async fn transaction(
        &self,
        caller: &Caller,
        asked: Asked,
        request: Request,
    ) -> Result<Answer, Issue> {
        let media = asked.choose(media::FHIR)?;
        media::check_sent(content_type(&asked.headers))?;
        // Kept until the body has been worked on.
        let mut filled = self.free.body(&caller.partner);
        let body = door::read_body(request, BODY_BYTES_MAX, Some(&mut filled)).await?;
        let (length, prefer) = (body.len(), Prefer::of(&asked.headers));
        let work = || self.rest.transaction(caller, body, prefer);
        typed(media, self.in_turn(caller, length, prefer, work).await?)
    }

    async fn write(
        &self,
        caller: &Caller,
        (kind, id, asks): (&str, Option<&str>, Asks),
        asked: Asked,
        request: Request,
    ) -> Result<Answer, Issue> {
        let media = asked.choose(media::FHIR)?;
        // Kept until the body has been worked on.
        let mut filled = self.free.body(&caller.partner);
        let body = match asks.has_body() {
            true => {
                media::check_sent(content_type(&asked.headers))?;
                door::read_body(request, BODY_BYTES_MAX, Some(&mut filled)).await?
            }
            false => Bytes::new(),
        };
        let length = body.len();
        let write = asks.write(kind, id, asked.parameters, &asked.headers, body)?;
        caller.require(kind, write.action.letter())?;
        let prefer = Prefer::of(&asked.headers);
        let work = || self.rest.write(caller, write, prefer);
        typed(media, self.in_turn(caller, length, prefer, work).await?)
    }

    /// What writes, and has so many bytes: in its turn, and where its answer will have room. Once
    /// it has begun, it is not refused for the length of its answer.
    async fn in_turn<'a>(
        &self,
        caller: &Caller,
        length: usize,
        prefer: Prefer,
        work: impl FnOnce() -> Outcome<'a>,
    ) -> Result<Answer, Issue> {
        let answer = match prefer.returning {
            Returning::Representation => REPRESENTATIONS_ROOM,
            Returning::Minimal | Returning::OperationOutcome => WRITTEN_ROOM,
        };
        let mut room = self.free.answer(&caller.partner);
        // A caller with no room of its own waits here, where it keeps no turn from others.
        room.keep_own(answer).await?;
        let _turn = self.free.turn(length).await;
        room.keep_of_all(answer).await?;
        Ok(room.hold_at_once(work().await?))
    }

    async fn search_by_form(
        &self,
        caller: &Caller,
        kind: &str,
        mut asked: Asked,
        request: Request,
    ) -> Result<Answer, Issue> {
        check_form(&asked.headers)?;
        narrowed::search(caller, kind, Vec::new(), Handling::Lenient)?;
        let body = door::read_body(request, FORM_BYTES_MAX, None).await?;
        let mut posted = urlencoded::decode(&body)?;
        asked.format = take_format(&mut posted).or(asked.format);
        asked.parameters.append(&mut posted);
        let media = asked.choose(media::FHIR)?;
        let handling = Prefer::of(&asked.headers).handling;
        let ask = narrowed::search(caller, kind, asked.parameters, handling)?;
        typed(media, self.rest.ask(caller, ask).await?)
    }

    async fn token(&self, request: Request) -> Result<Answer, Issue> {
        if let Err(answer) = self.gate.count_stranger(request.extensions().get()) {
            return Ok(*answer);
        }
        check_form(request.headers())?;
        let authorization = request.headers().contains_key(http::header::AUTHORIZATION);
        let presented = door::presented(&request);
        let form = door::read_body(request, FORM_BYTES_MAX, None).await?;
        Ok(self.gate.token_of(&form, authorization, presented.as_deref()).await)
    }

    /// Dynamic client registration (UDAP), where the house has it.
    async fn register(&self, request: Request) -> Result<Answer, Issue> {
        if let Err(answer) = self.gate.count_stranger(request.extensions().get()) {
            return Ok(*answer);
        }
        if !media::is(content_type(request.headers()), "application/json") {
            let detail = "a registration must be JSON (application/json)";
            return Err(Issue::new(Code::MediaTypeUnsupported, detail).at("Content-Type"));
        }
        let body = door::read_body(request, REGISTRATION_BYTES_MAX, None).await?;
        self.gate.register_udap(&body).await
    }

    fn capability(&self) -> Answer {
        Answer::new(200, self.rest.capability())
    }
}

/// What the paths that are left mean: a known place with another method, or no place at all.
fn refuse(segments: &[&str], writes: bool) -> Result<Answer, Issue> {
    match *segments {
        [""] => Ok(not_offered("POST")),
        ["status", id] if is_token(id) => Ok(not_offered("DELETE, GET, HEAD")),
        ["$bulk-submit" | "$bulk-submit-status"] => Ok(not_offered("POST")),
        _ if kick_off::level(segments).is_some() => Ok(not_offered("GET, POST")),
        ["status", id, name] if is_token(id) && is_token(name) => Ok(not_offered("GET, HEAD")),
        [kind, "_search"] if is_kind(kind) => Ok(not_offered("POST")),
        [kind] if is_kind(kind) && writes => Ok(not_offered("DELETE, GET, HEAD, POST, PUT")),
        [kind] if is_kind(kind) => Ok(not_offered("GET, HEAD")),
        [kind, id] if is_kind(kind) && is_id(id) && writes => {
            Ok(not_offered("DELETE, GET, HEAD, PUT"))
        }
        [kind, id] | [kind, id, "_history"] | [kind, id, "_history", _]
            if is_kind(kind) && is_id(id) =>
        {
            Ok(not_offered("GET, HEAD"))
        }
        [kind, id, "$everything"] if is_kind(kind) && is_id(id) => {
            Ok(not_offered("GET, HEAD, POST"))
        }
        [.., operation] if operation.starts_with('$') => {
            Err(Issue::new(Code::InteractionUnsupported, "this door does not offer this operation"))
        }
        _ => Err(unknown()),
    }
}

/// 429 (RFC 6585 §4), with the seconds after which it helps to ask again.
fn too_often(seconds: u64) -> Answer {
    let detail = "this client has asked more often than the house takes from one client";
    Answer::from(Issue::new(Code::RateExceeded, detail)).with(RETRY_AFTER, seconds.to_string())
}

fn unknown() -> Issue {
    Issue::new(Code::ResourceUnknown, "there is nothing at this path")
}

/// The version in the caller's hands is the current one: 304 (FHIR R4 §3.1.0.5.1 conditional
/// read). Compared weakly (RFC 9110 §13.1.2); a bare version, as some clients send it, is read too.
fn unless_known(asked: &Asked, answer: Answer) -> Answer {
    fn version(tag: &str) -> &str {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
    }
    let known = door::text(&asked.headers, &IF_NONE_MATCH);
    match (known, answer.header(&ETAG)) {
        (Some(known), Some(tag)) if known.split(',').any(|it| version(it) == version(tag)) => {
            Answer { status: 304, body: Bytes::new(), ..answer }
        }
        _ => answer,
    }
}

/// Says `application/json` to those who asked for it, where the implementer left the type open.
fn typed(media: Media, answer: Answer) -> Result<Answer, Issue> {
    let open = answer.header(&CONTENT_TYPE).is_none() && !answer.body.is_empty();
    Ok(if open && media == Media::Json {
        answer.with(CONTENT_TYPE, "application/json")
    } else {
        answer
    })
}

/// `$versions` (FHIR R4 CapabilityStatement operation): the only version, in either form.
fn versions(media: Media) -> Answer {
    let version = || "4.0".to_owned();
    let spoken = Versions { versions: vec![version()], default: Some(version()) };
    match media {
        Media::Json => plain("application/json", spoken.to_json()),
        _ => Answer::new(200, spoken.to_parameters()),
    }
}

fn plain(content_type: &str, body: impl Into<Bytes>) -> Answer {
    Answer::new(200, body).with(CONTENT_TYPE, content_type)
}

fn check_form(headers: &HeaderMap) -> Result<(), Issue> {
    if media::is(content_type(headers), "application/x-www-form-urlencoded") {
        return Ok(());
    }
    let detail = "this request must be a form (application/x-www-form-urlencoded)";
    Err(Issue::new(Code::MediaTypeUnsupported, detail).at("Content-Type"))
}

/// Takes `_format` out, and `_pretty`, which we do not honour.
fn take_format(parameters: &mut Vec<(String, String)>) -> Option<String> {
    let place = parameters.iter().position(|(name, _)| name == "_format");
    let format = place.map(|place| parameters.remove(place).1);
    parameters.retain(|(name, _)| name != "_pretty" && name != "_format");
    format
}

/// A resource type's form; whether it exists, the implementer knows.
fn is_kind(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// An id of ours in a path, or a file's name: never a dot alone, never a slash.
fn is_token(text: &str) -> bool {
    (1..=PATH_ID_MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}
