//! Pieces: a body as it comes, bridged to a thread that decodes it, and back as lines.
//!
//! Comes in   an answer whose body has not been read, and how it is encoded.
//! Goes out   lines in batches; or a small body whole.
//! Never      takes a body for whole whose length, last chunk or last frame, or whose gzip trailer is missing.
//!            HTTP lets a plain body have none of these: it ends with its connection, and only the `count`
//!            of its manifest tells whether all came. Holds more than some pieces.
//!
//! Why a thread: decompression takes as long as reading the JSON does, and a runtime's threads are for
//! waiting.

use super::Fault;
use super::answer::Coding;
use super::split::{Line, Splitter};
use crate::limits::{
    BATCHES_AHEAD, BODY_PACE_GRACE, BODY_PACE_MIN, PIECES_AHEAD, RATIO_FROM_BYTES,
};
use crate::transport::causes;
use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use reqwest::Response;
use std::io::{self, BufRead, Read};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What a thread tells: lines, and at the end that it was the end.
pub(super) enum Told {
    Lines(Vec<Line>),
    /// So many decoded bytes came.
    End(u64),
}

/// A body being read. It ends when this is dropped.
pub(super) struct Run {
    pub(super) told: Receiver<Result<Told, Fault>>,
    carrier: AbortHandle,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// What bounds a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Decoded bytes from here on.
    pub(super) bytes: u64,
    /// Decoded bytes for each that came.
    pub(super) ratio: u64,
}

impl Run {
    /// Begins to read an answer's body.
    pub(super) fn begin(answer: Response, coding: Coding, splitter: Splitter, most: Most) -> Run {
        let (pieces, coming) = channel(PIECES_AHEAD);
        let (telling, told) = channel(BATCHES_AHEAD);
        let carrier = tokio::spawn(carry(answer, pieces)).abort_handle();
        let pieces = Pieces { coming, piece: Bytes::new(), came: 0, ended: false, fault: None };
        tokio::task::spawn_blocking(move || match coding {
            Coding::Plain => read(&mut Plain(pieces), splitter, most, &telling),
            Coding::Gzip => read(&mut MultiGzDecoder::new(pieces), splitter, most, &telling),
        });
        Run { told, carrier }
    }
}

/// One piece of a body, or its end.
type Piece = Result<Option<Bytes>, Fault>;

/// Carries a body into the thread.
async fn carry(mut answer: Response, pieces: Sender<Piece>) {
    let (mut bytes, mut waited) = (0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let piece = match answer.chunk().await {
            Ok(piece) => Ok(piece),
            Err(error) => Err(Fault::Cut(causes(&error))),
        };
        waited += asked.elapsed();
        bytes += piece.as_ref().map_or(0, |piece| piece.as_ref().map_or(0, Bytes::len)) as u64;
        let piece = match is_too_slow(bytes, waited) {
            true => Err(Fault::Cut("it came too slowly".into())),
            false => piece,
        };
        let more = matches!(piece, Ok(Some(_)));
        if pieces.send(piece).await.is_err() || !more {
            return;
        }
    }
}

/// Whether a body has brought too few bytes for the time that was spent waiting for it.
fn is_too_slow(bytes: u64, waited: Duration) -> bool {
    waited > BODY_PACE_GRACE + Duration::from_secs(bytes / BODY_PACE_MIN)
}

/// A body as a stream for a thread.
struct Pieces {
    coming: Receiver<Piece>,
    piece: Bytes,
    /// Bytes that came.
    came: u64,
    ended: bool,
    fault: Option<Fault>,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() && !self.ended {
            match self.coming.blocking_recv() {
                Some(Ok(Some(piece))) => {
                    self.came += piece.len() as u64;
                    self.piece = piece;
                }
                Some(Ok(None)) => self.ended = true,
                Some(Err(fault)) => return Err(self.faulty(fault)),
                // Whoever carried was stopped, which is no end of the file.
                None => return Err(self.faulty(Fault::Cut("it was stopped".into()))),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, bytes: usize) {
        self.piece.advance(bytes);
    }
}

impl Pieces {
    fn faulty(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        io::Error::other("the body broke off")
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let bytes = piece.len().min(into.len());
        into[..bytes].copy_from_slice(&piece[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

/// A stream over pieces.
trait Decoded: Read {
    fn pieces(&mut self) -> &mut Pieces;
}

struct Plain(Pieces);

impl Read for Plain {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Decoded for Plain {
    fn pieces(&mut self) -> &mut Pieces {
        &mut self.0
    }
}

impl Decoded for MultiGzDecoder<Pieces> {
    fn pieces(&mut self) -> &mut Pieces {
        self.get_mut()
    }
}

/// Reads to the end, as long as somebody listens.
fn read(
    stream: &mut impl Decoded,
    mut splitter: Splitter,
    most: Most,
    telling: &Sender<Result<Told, Fault>>,
) {
    let mut decoded = 0;
    loop {
        let (came, result) = splitter.fill(stream);
        decoded += came as u64;
        let mut lines = splitter.ended();
        let fault = match result {
            Err(error) => Some(fault_of(stream.pieces(), &error)),
            Ok(()) => beyond(decoded, stream.pieces().came, most),
        };
        let end = fault.is_none() && came == 0;
        if end {
            lines.extend(splitter.last());
        }
        if !lines.is_empty() && telling.blocking_send(Ok(Told::Lines(lines))).is_err() {
            return;
        }
        let last = match (fault, end) {
            (Some(fault), _) => Err(fault),
            (None, true) => Ok(Told::End(decoded)),
            (None, false) => continue,
        };
        // Whoever does not listen any more has no use for it.
        let _ = telling.blocking_send(last);
        return;
    }
}

/// Why a stream could not be read on.
fn fault_of(pieces: &mut Pieces, error: &io::Error) -> Fault {
    if let Some(fault) = pieces.fault.take() {
        return fault;
    }
    match error.kind() {
        // A body without a length ends like one that was cut off; the trailer of gzip tells.
        io::ErrorKind::UnexpectedEof => Fault::Cut("its gzip stream is not whole".into()),
        _ => Fault::Invalid("it is not the gzip stream that its Content-Encoding names"),
    }
}

fn beyond(decoded: u64, came: u64, most: Most) -> Option<Fault> {
    if decoded > most.bytes {
        return Some(Fault::Invalid("it is larger than this house reads"));
    }
    let swollen = decoded > RATIO_FROM_BYTES && decoded / most.ratio > came;
    swollen.then_some(Fault::Invalid("it unpacks to more than files of its size do"))
}

/// A small body, decoded: a JSON object.
pub(super) async fn whole(
    (mut answer, coding): (Response, Coding),
    most: u64,
) -> Result<Bytes, Fault> {
    let too_large = Fault::Invalid("it is larger than this house reads");
    if answer.content_length().is_some_and(|length| length > most) {
        return Err(too_large);
    }
    let mut body = Vec::new();
    let cut = |error: reqwest::Error| Fault::Cut(causes(&error));
    while let Some(piece) = answer.chunk().await.map_err(cut)? {
        if (body.len() + piece.len()) as u64 > most {
            return Err(too_large);
        }
        body.extend_from_slice(&piece);
    }
    if coding == Coding::Gzip {
        let mut decoded = Vec::new();
        let mut stream = MultiGzDecoder::new(body.as_slice()).take(most + 1);
        stream.read_to_end(&mut decoded).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Cut("its gzip stream is not whole".into()),
            _ => Fault::Invalid("it is not the gzip stream that its Content-Encoding names"),
        })?;
        if decoded.len() as u64 > most {
            return Err(too_large);
        }
        body = decoded;
    }
    match body.trim_ascii_start().first() {
        Some(b'{') => Ok(body.into()),
        _ => Err(Fault::Invalid("it is no JSON object")),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a body that trickles ends, one that is slow in our hands does not.

    use super::*;

    #[test]
    fn a_body_comes_at_a_pace() {
        let seconds = Duration::from_secs;
        let table = [
            ("nothing yet", 0, seconds(9), false),
            ("nothing for long", 0, seconds(11), true),
            ("a byte a second", 600, seconds(600), true),
            ("a modem", 600 * BODY_PACE_MIN, seconds(605), false),
            ("a large file on a good line", 50_000_000_000, seconds(4_000), false),
        ];
        for (case, bytes, waited, slow) in table {
            assert_eq!(is_too_slow(bytes, waited), slow, "{case}");
        }
    }

    #[test]
    fn what_unpacks_too_far_is_told() {
        let most = Most { bytes: 1_000_000_000, ratio: 200 };
        let table = [
            ("a small file of one letter", RATIO_FROM_BYTES, 1, false),
            ("a file as files are", 20 * RATIO_FROM_BYTES, 2 * RATIO_FROM_BYTES, false),
            ("a bomb", 20 * RATIO_FROM_BYTES, RATIO_FROM_BYTES / 50, true),
            ("larger than any", 1_000_000_001, 1_000_000_001, true),
        ];
        for (case, decoded, came, refused) in table {
            assert_eq!(beyond(decoded, came, most).is_some(), refused, "{case}");
        }
    }
}
