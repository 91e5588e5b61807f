//! Server: manifests and files of submissions, for the payer they are for (Bulk Data 4.0.0-ballot,
//! Submission File Server).
//!
//! Comes in   a payer that has signed in, or a URL or a header that nobody can guess; which file, from
//!            which byte on.
//! Goes out   the manifest; a file, made of stored payloads while it is fetched, the same bytes each time.
//! Never      tells whether there is a submission of another payer, serves what is over or taken back (from
//!            the next piece on of a file that was begun), or sends a byte before the ledger says who fetches
//!            it; says that a file is fetched where none is.

use super::given::{Giving, note};
use super::pull::messages;
use super::tell::{MESSAGES, file_name, manifest_name};
use super::{access_to, read, terms_of};
use crate::road::Road;
use crate::turn;
use bytes::Bytes;
use exchange::agreement::FileAccess;
use exchange::bulk::NDJSON;
use exchange::sending::Sending;
use exchange::sending::plan::{File, Piece, Plan};
use exchange::{Code, Digest, Event, Issue, Level, SubmissionId};
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use repository::store_issue;
use std::sync::Arc;
use store::{Commit, House, Unit, WorkKind};
use tokio::sync::OwnedSemaphorePermit;
use wire::flow::{Flow, Pieces};
use wire::rest::{Capability, FileAsk, NothingThere};
use wire::{Answer, BoxFuture, Caller, Clock as _};

/// What is asked for of a submission.
enum Name<'n> {
    Manifest(u32),
    File(u32, &'n str),
}

impl Road {
    /// Answers a request for a manifest or a file.
    ///
    /// Errors: `StatusUnknown` where it is not there for this caller, `SignInRequired` for whoever shows a
    /// header that is not its submission's, `ScopeMissing`, `HouseBusy`, `PartnerSuspended`.
    pub async fn bulk_file(
        self: &Arc<Road>,
        caller: Option<&Caller>,
        ask: FileAsk<'_>,
    ) -> Result<Answer, Issue> {
        let stored = self.house.work(ask.submission).await.map_err(store_issue)?;
        let stored = stored.filter(|row| row.work.kind == WorkKind::BulkSent);
        let sending = stored.and_then(|row| read(&row.work));
        let sending = sending.filter(|it| self.is_for(caller, &ask, it));
        // Whoever has no right is told the same of what is there and of what is not.
        let sending = sending.ok_or_else(|| match ask.capability {
            Some(Capability::InHeader(_)) => not_let_in(),
            Some(Capability::InUrl(_)) | None => unknown(),
        })?;
        if !sending.serves() {
            return Err(unknown());
        }
        repository::Suspensions::check(&self.house, &sending.payer).await?;
        if let Some(pulled) = sending.pulled.as_deref().filter(|_| ask.name == MESSAGES) {
            let lines: Vec<u8> =
                messages(pulled).into_iter().flat_map(|it| [it, b"\n".to_vec()].concat()).collect();
            return match lines.is_empty() {
                true => Err(unknown()),
                false => Ok(Answer::new(200, lines).with(CONTENT_TYPE, NDJSON)),
            };
        }
        let name = named(ask.name).ok_or_else(unknown)?;
        let (Name::Manifest(number) | Name::File(number, _)) = name;
        let manifest = sending.standing().find(|it| it.number == number).ok_or_else(unknown)?;
        let plan = self.plan(&manifest.plan).await.map_err(|_| {
            Issue::new(Code::InternalError, "the plan of a submission cannot be read")
        })?;
        match name {
            Name::Manifest(_) => self.manifest(&sending, number, &plan, &ask),
            Name::File(_, file) => {
                let file = plan.files.into_iter().find(|it| it.name == file);
                let file = file.ok_or_else(unknown)?;
                if let Some(caller) = caller {
                    caller.require(
                        file.kind.as_deref().filter(|_| !file.deleted).unwrap_or("*"),
                        'r',
                    )?;
                }
                self.file(&sending, (number, file), &ask).await
            }
        }
    }

    /// A file may be fetched long after it was offered: it is given while the restrictions are those that
    /// its pushes were shaped by, and nobody has taken back one of them.
    ///
    /// Errors: `RestrictionsStale`, `RestrictionsUnreadable`, `StatusUnknown`.
    async fn check_restrictions(&self, sending: &Sending, file: &File) -> Result<(), Issue> {
        if file.deleted {
            return Ok(());
        }
        let now = self.mark_now(sending)?;
        for piece in &file.pieces {
            self.check_piece(piece, now).await?;
        }
        Ok(())
    }

    fn mark_now(&self, sending: &Sending) -> Result<Digest, Issue> {
        let narrowed = self.restrictions(Some(sending.purpose))?;
        Ok(self.mark(sending.purpose, &sending.payer, &narrowed))
    }

    async fn check_piece(&self, piece: &Piece, now: Digest) -> Result<(), Issue> {
        let stored = self.house.work(piece.walk.as_str()).await.map_err(store_issue)?;
        let push = stored.and_then(|stored| turn::read(&stored.work));
        // Nothing may stop what takes back.
        let Some(push) = push.filter(|push| push.withdraws.is_none()) else { return Ok(()) };
        if push.withdrawn_by.is_some() {
            let detail = "somebody's records in this file were taken back since it was offered";
            return Err(Issue::new(Code::StatusUnknown, detail));
        }
        let then = push.assembled.and_then(|made| made.restrictions);
        if then.is_some_and(|then| then != now) {
            let again = "their pushes go anew, or the export is asked for again";
            let detail = format!("restrictions have changed since the file was made; {again}");
            return Err(Issue::new(Code::RestrictionsStale, detail));
        }
        Ok(())
    }

    /// Writes down that this house did not give a file: that is no fault of what else is in it.
    async fn note_refused(
        &self,
        sending: &Sending,
        file: &str,
        issue: &Issue,
    ) -> Result<(), Issue> {
        if sending.pulled.is_some() || sending.end.is_some() {
            return Ok(());
        }
        let known = |it: &Sending| it.refused.contains(file) || it.end.is_some();
        let event = Event::FileRefused { file: file.to_owned(), issue: issue.clone() };
        note(&self.house, &self.clock, &sending.id, event, known).await
    }

    /// Whether a request has the right that was agreed on.
    fn is_for(&self, caller: Option<&Caller>, ask: &FileAsk<'_>, sending: &Sending) -> bool {
        let Ok(terms) = self.payer(&sending.payer).and_then(terms_of) else { return false };
        match (access_to(terms, sending), caller, ask.capability) {
            (FileAccess::Token, Some(caller), None) => caller.partner == sending.payer.as_str(),
            (FileAccess::Capability, None, Some(Capability::InUrl(given)))
            | (FileAccess::Header, None, Some(Capability::InHeader(given))) => {
                same(given, &self.capability(sending).to_string())
            }
            _ => false,
        }
    }

    fn manifest(
        &self,
        sending: &Sending,
        number: u32,
        plan: &Plan,
        ask: &FileAsk<'_>,
    ) -> Result<Answer, Issue> {
        let terms = terms_of(self.payer(&sending.payer)?)?;
        let url = |name: &str| self.file_url(terms, sending, &file_name(number, name));
        let drafted = terms.dialect == exchange::bulk::Dialect::Argonaut;
        let request = self.file_url(terms, sending, &manifest_name(number));
        let request = drafted.then_some(request.as_str());
        let body = plan.manifest(access_to(terms, sending) == FileAccess::Token, request, url);
        let etag = format!("\"{}\"", Digest::of(&body));
        if ask.is_known(&etag) {
            return Ok(Answer::new(304, Bytes::new()).with(ETAG, etag));
        }
        Ok(Answer::new(200, body).with(CONTENT_TYPE, "application/json").with(ETAG, etag))
    }

    async fn file(
        self: &Arc<Road>,
        sending: &Sending,
        (number, file): (u32, File),
        ask: &FileAsk<'_>,
    ) -> Result<Answer, Issue> {
        let (length, etag) = (file.bytes, format!("\"{}\"", file.digest));
        if ask.is_known(&etag) {
            return Ok(Answer::new(304, Bytes::new()).with(ETAG, etag));
        }
        let span = match ask.span(length, &etag) {
            Ok(span) => span,
            Err(NothingThere) => {
                let detail = "no byte of the file lies where the first one was asked for";
                let issue = Issue::new(Code::ParameterInvalid, detail).at("Range");
                let answer = Answer { status: 416, ..Answer::from(issue) };
                return Ok(answer.with(CONTENT_RANGE, format!("bytes */{length}")));
            }
        };
        if let Err(issue) = self.check_restrictions(sending, &file).await {
            if !ask.head {
                self.note_refused(sending, ask.name, &issue).await?;
            }
            return Err(issue);
        }
        let (from, to) = span.unwrap_or((0, length.saturating_sub(1)));
        let left = if length == 0 { 0 } else { to - from + 1 };
        let told = move |answer: Answer| {
            let answer = answer
                .with(CONTENT_TYPE, NDJSON)
                .with(CONTENT_LENGTH, left.to_string())
                .with(ACCEPT_RANGES, "bytes")
                .with(ETAG, etag);
            match span {
                Some(_) => answer.with(CONTENT_RANGE, format!("bytes {from}-{to}/{length}")),
                None => answer,
            }
        };
        let status = if span.is_some() { 206 } else { 200 };
        if ask.head {
            return Ok(told(Answer::new(status, Bytes::new())));
        }
        let place = self.bulk.place(&sending.payer)?;
        let again = sending.refused.contains(ask.name);
        let fetched = Event::FileFetched { file: ask.name.to_owned(), from, again };
        if again {
            note(&self.house, &self.clock, &sending.id, fetched, |_| false).await?;
        } else {
            let lines = vec![(sending.chain(), fetched)];
            let unit = Unit { at: self.clock.now(), lines, ..Unit::default() };
            match self.house.commit(unit).await.map_err(store_issue)? {
                Commit::Done { .. } => {}
                _ => {
                    let detail = "the submission was changed meanwhile";
                    return Err(Issue::new(Code::HouseBusy, detail));
                }
            }
        }
        let (at, skip) = file.piece_at(from);
        // Where nothing but that settles its pushes.
        let taken = self.payer(&sending.payer)?.terms.agreement.settled_by == Level::Taken;
        let giving = (taken || sending.pulled.is_some()).then(|| Giving {
            house: self.house.clone(),
            clock: Arc::clone(&self.clock),
            submission: sending.id.clone(),
            file: ask.name.to_owned(),
        });
        // Whoever begins later and says by the same validator what it holds has the bytes before.
        let whole = to + 1 >= length && (from == 0 || ask.if_range.is_some());
        let giving = giving.filter(|_| whole);
        let serving = Serving {
            road: Arc::clone(self),
            submission: sending.id.clone(),
            manifest: number,
            file,
            at,
            skip,
            left,
            last: Bytes::new(),
            giving,
            _place: place,
        };
        Ok(told(Answer::flowing(status, Flow::of(serving))))
    }
}

/// `manifest-1.json`, or a file's name behind the number of its manifest: `1-patients-1.ndjson`. Not
/// `01-patients-1.ndjson`: of each there is one name, since what was given is counted by names.
fn named(name: &str) -> Option<Name<'_>> {
    if let Some(number) = name.strip_prefix("manifest-").and_then(|it| it.strip_suffix(".json")) {
        let number = number.parse().ok().filter(|number| manifest_name(*number) == name);
        return number.map(Name::Manifest);
    }
    let (number, file) = name.split_once('-')?;
    let number = number.parse().ok().filter(|number| file_name(*number, file) == name);
    number.map(|number| Name::File(number, file))
}

fn unknown() -> Issue {
    let detail = "no such file of a bulk submission, or none of this caller's";
    Issue::new(Code::StatusUnknown, detail)
}

/// As whoever shows an access token that is none is told.
fn not_let_in() -> Issue {
    let detail = "the header is not the one that came with this submission";
    Issue::new(Code::SignInRequired, detail).at(AUTHORIZATION.as_str())
}

/// Whether two texts are the same, in a time that does not tell how much of them is.
fn same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |found, (a, b)| found | (a ^ b));
    one.len() == other.len() && differs == 0
}

/// A file that is being fetched: one payload in memory at a time.
///
/// Where it is written down that a file was given, its last byte is kept back until everything before it
/// was taken: of a body whose length was told nobody asks for what comes behind its last byte.
struct Serving {
    road: Arc<Road>,
    submission: SubmissionId,
    manifest: u32,
    file: File,
    at: usize,
    skip: u64,
    left: u64,
    last: Bytes,
    giving: Option<Giving>,
    _place: OwnedSemaphorePermit,
}

impl Serving {
    /// What was asked before the first byte is asked again, of all and of this piece: a file may take hours,
    /// and a body that breaks off is taken for the whole by nobody.
    ///
    /// Errors: as of `Road::bulk_file`.
    async fn check(&self, piece: Option<&Piece>) -> Result<(), Issue> {
        let house = &self.road.house;
        let stored = house.work(self.submission.as_str()).await.map_err(store_issue)?;
        let sending = stored.and_then(|row| read(&row.work)).filter(Sending::serves);
        let sending = sending.ok_or_else(unknown)?;
        let manifest = sending.standing().find(|it| it.number == self.manifest);
        let manifest = manifest.ok_or_else(unknown)?;
        repository::Suspensions::check(house, &sending.payer).await?;
        let Some(piece) = piece.filter(|_| !self.file.deleted) else { return Ok(()) };
        let checked = match self.road.mark_now(&sending) {
            Ok(now) => self.road.check_piece(piece, now).await,
            Err(issue) => Err(issue),
        };
        if let Err(issue) = &checked {
            let file = file_name(manifest.number, &self.file.name);
            self.road.note_refused(&sending, &file, issue).await?;
        }
        checked
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Issue> {
        while self.left > 0 {
            let Some(piece) = self.file.pieces.get(self.at).cloned() else { break };
            self.check(Some(&piece)).await?;
            let gone = || Issue::new(Code::ContentPurged, "a payload of the file is gone");
            let payload = self.road.house.blob(&piece.payload).await.map_err(store_issue)?;
            let payload = payload.ok_or_else(gone)?;
            let part = self.file.part();
            let lines = tokio::task::spawn_blocking(move || part.lines(&piece, payload)).await;
            let fault = |_| Issue::new(Code::InternalError, "a piece of a file was not made");
            let lines = lines.map_err(fault)??;
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(lines.len());
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            let mut lines = lines.slice(skip..lines.len().min(skip.saturating_add(most)));
            self.left -= lines.len() as u64;
            (self.at, self.skip) = (self.at + 1, 0);
            if self.giving.is_some() && self.left == 0 {
                self.last = lines.split_off(lines.len().saturating_sub(1));
            }
            // One of which nothing is left but what another says too is not the end.
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
        self.last_byte().await
    }

    /// What was kept back, once the ledger says that the file was given.
    async fn last_byte(&mut self) -> Result<Option<Bytes>, Issue> {
        if self.last.is_empty() {
            return Ok(None);
        }
        if let Some(giving) = &self.giving {
            // The connection writes what it has, or finds that nobody is there any more.
            tokio::task::yield_now().await;
            self.check(None).await?;
            giving.given().await?;
        }
        Ok(Some(std::mem::take(&mut self.last)))
    }
}

impl Pieces for Serving {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
        Box::pin(self.piece())
    }
}
