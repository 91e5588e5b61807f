//! A file server that says what it is told to: raw answers, whole, cut or lying, one per request.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::fetch::{Bounds, Fetcher, Origins};
use wire::reach::Network;
use wire::transport::Lines;

use crate::town::SetClock;

/// One answer.
#[derive(Clone)]
pub(crate) struct Step {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
    cut: usize,
    /// Answers parts where a request asks for them under this tag.
    parts_of: Option<String>,
}

impl Step {
    /// 200 with a body of NDJSON.
    pub(crate) fn file(body: impl Into<Vec<u8>>) -> Step {
        Step::of(200, body).with("content-type", "application/fhir+ndjson")
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Step {
        Step::of(200, body).with("content-type", "application/json")
    }

    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Step {
        let body = body.into();
        Step {
            status,
            headers: Vec::new(),
            length: Some(body.len() as u64),
            cut: body.len(),
            body,
            chunked: false,
            parts_of: None,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Step {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn gzip(body: &[u8]) -> Step {
        Step::file(gzip(body)).with("content-encoding", "gzip")
    }

    /// Claims another length than it has.
    pub(crate) fn claiming(mut self, length: u64) -> Step {
        self.length = Some(length);
        self
    }

    /// Claims none: its end is the connection's.
    pub(crate) fn endless(mut self) -> Step {
        self.length = None;
        self
    }

    pub(crate) fn chunked(mut self) -> Step {
        (self.length, self.chunked) = (None, true);
        self
    }

    /// Ends the connection after so many bytes of the body.
    pub(crate) fn cut(mut self, at: usize) -> Step {
        self.cut = at;
        self
    }

    /// Has this `ETag`, and gives parts under it.
    pub(crate) fn in_parts(mut self, tag: &str) -> Step {
        self.parts_of = Some(tag.into());
        self.with("etag", tag)
    }

    async fn write(mut self, head: &str, stream: &mut TcpStream) -> std::io::Result<()> {
        let asked = header(head, "range").and_then(|range| {
            let from = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()?;
            (header(head, "if-range") == self.parts_of).then_some(from)
        });
        if let Some(from) = asked.filter(|_| self.parts_of.is_some()) {
            let whole = self.body.len();
            if from >= whole {
                self = Step::of(416, "").with("content-range", &format!("bytes */{whole}"));
            } else {
                self.status = 206;
                let range = format!("bytes {from}-{}/{whole}", whole - 1);
                self.headers.push(("content-range".into(), range));
                self.body.drain(..from);
                self.length = Some(self.body.len() as u64);
                self.cut = self.cut.saturating_sub(from);
            }
        }
        let mut head = format!("HTTP/1.1 {} So\r\nconnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = self.length {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        if self.chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        let whole = self.cut >= self.body.len();
        let body = &self.body[..self.cut.min(self.body.len())];
        if !self.chunked {
            stream.write_all(body).await?;
        } else {
            for chunk in body.chunks(7) {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
                stream.write_all(chunk).await?;
                stream.write_all(b"\r\n").await?;
            }
            if whole {
                stream.write_all(b"0\r\n\r\n").await?;
            }
        }
        stream.shutdown().await
    }
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// The value of a header in the head of a request.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

#[derive(Default)]
struct Script {
    steps: HashMap<String, VecDeque<Step>>,
    heads: Vec<String>,
}

/// Answers each path by its steps, in order; the last one stands for all that follow.
#[derive(Clone)]
pub(crate) struct FileServer {
    pub(crate) origin: String,
    script: Arc<Mutex<Script>>,
}

impl FileServer {
    pub(crate) async fn open() -> FileServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let script: Arc<Mutex<Script>> = Arc::default();
        let server = FileServer { origin, script: Arc::clone(&script) };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&script);
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await;
                    let step = next(&script, &head);
                    step.write(&head, &mut stream).await.ok();
                });
            }
        });
        server
    }

    /// What a path answers from now on.
    pub(crate) fn serve(&self, path: &str, steps: impl IntoIterator<Item = Step>) -> String {
        let mut script = self.script.lock().unwrap();
        script.steps.insert(path.into(), steps.into_iter().collect());
        format!("{}{path}", self.origin)
    }

    /// The heads of all requests since this was last asked.
    pub(crate) fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().heads)
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        self.fetcher_within(Bounds::default())
    }

    pub(crate) fn fetcher_within(&self, bounds: Bounds) -> Fetcher {
        fetcher(&[&self.origin], &["127.0.0.1"], bounds)
    }
}

/// A fetcher of these origins that may connect to these addresses.
pub(crate) fn fetcher(origins: &[&str], allowed: &[&str], bounds: Bounds) -> Fetcher {
    let allowed: Vec<String> = allowed.iter().map(|block| (*block).to_owned()).collect();
    let network = Network::allowing(&allowed).unwrap();
    let lines = Lines {
        roots: &[],
        identity: None,
        network: Some(&network),
        timeout: Duration::from_secs(30),
        answer_limit: 1_000_000,
    };
    let origins = Origins::of(origins.iter().copied()).unwrap();
    Fetcher::over(lines, origins, SetClock::new(), bounds).unwrap()
}

fn next(script: &Mutex<Script>, head: &str) -> Step {
    let mut script = script.lock().unwrap();
    script.heads.push(head.to_owned());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    match script.steps.get_mut(&path) {
        Some(steps) if steps.len() > 1 => steps.pop_front().unwrap(),
        Some(steps) => steps.front().cloned().unwrap_or_else(|| Step::of(404, "")),
        None => Step::of(404, ""),
    }
}

/// A request's head; a form's body is read and left out.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok();
    head
}
