//! Http: HTTP/1.1 on one connection, read and written by hand (RFC 9112).
//!
//! Comes in   bytes of a connection; an answer.
//! Goes out   the head of a request, then its body; the bytes of an answer.
//! Never      more than its limits: a head or a body that is longer ends the connection.
//!
//! Why by hand: a server that has to answer twice, break off or fall silent at a chosen byte needs
//! the connection itself, which servers made to be correct rightly keep to themselves.

use crate::limits::{PAYER_BODY_BYTES_MAX, PAYER_HEAD_BYTES_MAX};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The head of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path, without the query.
    pub(crate) path: String,
    /// What stands behind `?`.
    pub(crate) query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    /// One that was read before.
    pub(crate) fn new(
        method: String,
        path: String,
        query: String,
        headers: Vec<(String, String)>,
    ) -> Head {
        Head { method, path, query, headers }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The headers as the sign-in reads them.
    pub(crate) fn map(&self) -> http::HeaderMap {
        let mut map = http::HeaderMap::new();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
            {
                map.append(name, value);
            }
        }
        map
    }

    fn read(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?);
        // A proxy's form of the target is read as well: only the path counts.
        let target = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => {
                rest.find('/').map_or("/", |at| &rest[at..])
            }
            _ => target,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        });
        let headers = headers.collect::<Option<Vec<_>>>()?;
        Some(Head { method, path: path.to_owned(), query: query.to_owned(), headers })
    }
}

/// One side of a connection, with what has been read and not been used.
pub(crate) struct Line<S> {
    stream: S,
    kept: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(crate) fn new(stream: S) -> Line<S> {
        Line { stream, kept: BytesMut::new() }
    }

    /// The next request's head; `None` when the other side has gone or does not speak HTTP.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.kept.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.kept.len() > PAYER_HEAD_BYTES_MAX {
                return None;
            }
            self.more().await?;
        };
        let head = self.kept.split_to(end + 4);
        Head::read(std::str::from_utf8(&head).ok()?)
    }

    /// The body that belongs to a head, of a length that was said or in chunks.
    pub(crate) async fn body(&mut self, head: &Head) -> Option<Bytes> {
        if head.header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue")) {
            self.say(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let chunked = head.header("transfer-encoding").is_some_and(|it| it.contains("chunked"));
        if chunked {
            return self.chunks().await;
        }
        let length = head.header("content-length").map_or(Some(0), |it| it.parse().ok())?;
        self.exactly(length).await
    }

    async fn chunks(&mut self) -> Option<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                // Trailers, to the empty line.
                while !self.line().await?.is_empty() {}
                return Some(body.freeze());
            }
            if body.len().saturating_add(size) > PAYER_BODY_BYTES_MAX {
                return None;
            }
            body.extend_from_slice(&self.exactly(size).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.kept.windows(2).position(|two| two == b"\r\n") {
                let line = self.kept.split_to(at + 2);
                return String::from_utf8(line[..at].to_vec()).ok();
            }
            if self.kept.len() > PAYER_HEAD_BYTES_MAX {
                return None;
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Bytes> {
        if length > PAYER_BODY_BYTES_MAX {
            return None;
        }
        while self.kept.len() < length {
            self.more().await?;
        }
        Some(self.kept.split_to(length).freeze())
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.kept).await.ok()?;
        (read > 0).then_some(())
    }

    /// Writes; `None` when the other side has gone.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()?;
        self.stream.flush().await.ok()
    }

    /// Waits until the other side gives up.
    pub(crate) async fn until_gone(&mut self) {
        while self.more().await.is_some() {
            self.kept.clear();
        }
    }

    /// Ends the connection in the orderly way.
    pub(crate) async fn close(&mut self) {
        self.stream.shutdown().await.ok();
    }
}

/// What is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }

    /// FHIR JSON.
    pub(crate) fn fhir(status: u16, body: &serde_json::Value) -> Answer {
        Answer::new(status, body.to_string())
            .with("Content-Type", "application/fhir+json;charset=utf-8")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// As it goes over the wire; the answer to HEAD has no body.
    pub(crate) fn bytes(&self, to_head: bool) -> Bytes {
        let reason = http::StatusCode::from_u16(self.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or("Unknown");
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !to_head && self.status != 204 {
            bytes.extend_from_slice(&self.body);
        }
        bytes.into()
    }
}
