//! Download: a file's lines, one after the other, across broken connections.
//!
//! Comes in   a file of an agreed origin, the place where reading goes on.
//! Goes out   lines; the place behind the last; at last that it was the end, or the fault.
//! Never      gives a line twice, leaves one out, or goes on in another edition of the file.
//!
//! A connection that breaks after it has brought something is taken up at once, some times; one that
//! brings nothing is the caller's to wait for. Bytes are left out of an answer (`Range`) only where a
//! strong validator vouches for them and they are not encoded; else the file is read again from its
//! beginning, what is known is passed over, and the last line that was given must be there as it was.

use super::answer::{self, Coding, Kind};
use super::pieces::{Most, Run, Told};
use super::split::{Line, Splitter};
use super::{Access, Edition, Fault, Place, Ways};
use crate::limits::RESUMES_MAX;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Url;
use std::collections::VecDeque;
use std::sync::Arc;

/// A file being read.
pub struct Download {
    ways: Arc<Ways>,
    url: Url,
    access: Access,
    /// Behind the last line that was given.
    place: Place,
    /// That line, where it was given by this download.
    last: Option<Bytes>,
    ready: VecDeque<Line>,
    /// Lines up to this place come again, and are passed over.
    known: Option<Place>,
    /// None at the end of the file.
    run: Option<Run>,
    /// Where the connection began to bring what is new.
    begun: u64,
    resumes: u32,
    /// Bytes before the part that is being read; none where what comes is encoded.
    before: Option<u64>,
    /// Bytes of the file, once its end was read.
    length: Option<u64>,
}

impl Download {
    pub(super) async fn open(
        ways: Arc<Ways>,
        url: Url,
        access: Access,
        place: Place,
    ) -> Result<Download, Fault> {
        let mut download = Download {
            ways,
            url,
            access,
            begun: place.bytes,
            place,
            last: None,
            ready: VecDeque::new(),
            known: None,
            run: None,
            resumes: 0,
            before: None,
            length: None,
        };
        download.begin().await?;
        Ok(download)
    }

    /// The next line; none at the end. After an error there is no more: go on by another download from
    /// `place`.
    pub async fn next(&mut self) -> Result<Option<Line>, Fault> {
        loop {
            while let Some(line) = self.ready.pop_front() {
                if self.is_new(&line)? {
                    self.place.lines = line.number;
                    self.place.bytes = line.end;
                    self.place.last = None;
                    self.last = line.text.as_ref().ok().cloned();
                    return Ok(Some(line));
                }
            }
            let Some(run) = &mut self.run else { return Ok(None) };
            let stopped = || Err(Fault::Cut("it was stopped".into()));
            match run.told.recv().await.unwrap_or_else(stopped) {
                Ok(Told::Lines(lines)) => self.ready = lines.into(),
                Ok(Told::End(decoded)) => {
                    self.run = None;
                    self.length = self.before.map(|before| before + decoded);
                    // The file is shorter than what was read of it before.
                    if self.known.is_some() {
                        return Err(Fault::Changed);
                    }
                }
                Err(fault) => {
                    self.run = None;
                    let brought = self.place.bytes > self.begun;
                    if !matches!(fault, Fault::Cut(_)) || !brought || self.resumes >= RESUMES_MAX {
                        return Err(fault);
                    }
                    self.resumes += 1;
                    self.begin().await?;
                }
            }
        }
    }

    /// The place behind the last line that was given, to be written down with what came of it.
    pub fn place(&self) -> Place {
        let last = self.last.as_deref().map(digest_of).or_else(|| self.place.last.clone());
        Place { last, ..self.place.clone() }
    }

    /// How many bytes the file has, once its end was read; of one that came encoded nobody knows.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Asks for the file from its place on.
    async fn begin(&mut self) -> Result<(), Fault> {
        let place = self.place();
        let mut headers = HeaderMap::new();
        let accept = "application/fhir+ndjson, application/x-ndjson;q=0.9, */*;q=0.1";
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let part = place.edition.if_range().filter(|_| place.bytes > 0);
        let part = part.and_then(|edition| HeaderValue::try_from(edition).ok());
        let asked_part = part.is_some();
        if let Some(edition) = part {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            headers.insert(
                RANGE,
                HeaderValue::try_from(format!("bytes={}-", place.bytes))
                    .map_err(|_| Fault::Invalid("its place fits no header"))?,
            );
            headers.insert(IF_RANGE, edition);
        }
        let answer = self.ways.ask(&self.url, &self.access, headers, false).await?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return self.nothing_left(asked_part, answer::unsatisfied_length(answer.headers()));
        }
        let coding = answer::coding(answer.headers(), Kind::File)?;
        let edition = Edition::of(answer.headers(), coding == Coding::Plain);
        if place.bytes > 0 && place.edition.differs(&edition) {
            return Err(Fault::Changed);
        }
        let bounds = self.ways.bounds;
        let (splitter, before) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                let there = answer::range_start(answer.headers())? == place.bytes;
                if !asked_part || !there || coding != Coding::Plain {
                    return Err(Fault::Invalid("it sent another part than was asked for"));
                }
                self.known = None;
                (Splitter::after(place.lines, place.bytes, bounds.line), place.bytes)
            }
            _ => {
                self.known = Some(place.clone()).filter(|place| place.bytes > 0);
                (Splitter::after(0, 0, bounds.line), 0)
            }
        };
        let most = Most { bytes: bounds.file.saturating_sub(before), ratio: bounds.ratio };
        if answer.content_length().is_some_and(|length| length > most.bytes) {
            return Err(Fault::Invalid("it is larger than this house reads"));
        }
        self.place = Place { edition, ..place };
        self.begun = self.place.bytes;
        self.before = Some(before).filter(|_| coding == Coding::Plain);
        self.ready.clear();
        self.run = Some(Run::begin(answer, coding, splitter, most));
        Ok(())
    }

    /// The server has no bytes from the place on: it was the end, or the file is another one.
    fn nothing_left(&mut self, asked_part: bool, length: Option<u64>) -> Result<(), Fault> {
        match length {
            _ if !asked_part => Err(Fault::Refused(416)),
            Some(length) if length == self.place.bytes => {
                self.length = Some(length);
                Ok(())
            }
            _ => Err(Fault::Changed),
        }
    }

    /// Whether a line has not been given yet. Errors: `Changed` where what was given is not there.
    fn is_new(&mut self, line: &Line) -> Result<bool, Fault> {
        let Some(known) = &self.known else { return Ok(true) };
        if line.number < known.lines {
            return Ok(false);
        }
        let text = line.text.as_deref().ok().map(digest_of);
        let same = line.number == known.lines && line.end == known.bytes && text == known.last;
        if !same {
            return Err(Fault::Changed);
        }
        self.known = None;
        Ok(false)
    }
}

fn digest_of(line: &[u8]) -> String {
    digest(&SHA256, line).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
