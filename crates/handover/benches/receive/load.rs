//! Load: clients that bring Bundle after Bundle, each on a connection of its own.
//!
//! Comes in   a house that serves, Bundles, how many clients, a limit of time.
//! Goes out   how long each Bundle took, and what the house used meanwhile.
//! Never      counts a Bundle that was not answered 200; builds nothing while the clock runs.
//!
//! Why HTTP by hand: what the clients cost is taken from the same two cores.

use crate::gauge;
use crate::house::{House, Scheme, runtime};
use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;

/// Whoever is told to come back gives up after so many seconds for each of the limit.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// What one run did.
pub(crate) struct Done {
    /// Bundles that were answered 200.
    pub(crate) bundles: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
    /// CPU time of the house and its database.
    pub(crate) cpu: Duration,
    /// Time of each Bundle, sorted.
    pub(crate) times: Vec<Duration>,
}

/// Either side of TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What the clients share.
struct Work {
    bundles: Vec<Bytes>,
    next: AtomicUsize,
    begin: Barrier,
    head: String,
    limit: Duration,
}

/// Runs the clients to the end of the Bundles or of the time.
pub(crate) fn run(house: &House<'_>, bundles: Vec<Bytes>, clients: usize, limit: Duration) -> Done {
    let head = format!(
        "POST /fhir HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: application/fhir+json\r\naccept: application/fhir+json\r\n",
        house.address,
        house.token()
    );
    let (next, begin) = (AtomicUsize::new(0), Barrier::new(clients + 1));
    let work = Arc::new(Work { bundles, next, begin, head, limit });
    runtime().block_on(async {
        let tls = (house.scheme == Scheme::Https).then(|| connector(&house.authority()));
        let clients = (0..clients).map(|_| {
            let stream = connect(house.address, tls.clone());
            let work = Arc::clone(&work);
            tokio::spawn(async move { client(stream.await, &work).await })
        });
        let clients: Vec<_> = clients.collect();
        // All have shaken hands.
        work.begin.wait().await;
        let (begun, cpu) = (Instant::now(), house.cpu());
        gauge::forget_peak(house.pid());
        work.begin.wait().await;
        let (mut times, mut bytes) = (Vec::new(), 0);
        for client in clients {
            let (took, brought) = client.await.expect("a client");
            times.extend(took);
            bytes += brought;
        }
        let (wall, cpu) = (begun.elapsed(), house.cpu().saturating_sub(cpu));
        times.sort();
        Done { bundles: times.len() as u64, bytes, wall, cpu, times }
    })
}

async fn client(mut stream: Box<dyn Stream>, work: &Work) -> (Vec<Duration>, u64) {
    let (mut times, mut bytes, mut answer) = (Vec::new(), 0, Vec::with_capacity(1 << 18));
    // Known at the door before the clock starts.
    let search = work.head.replacen("POST /fhir ", "GET /fhir/Patient?_count=1 ", 1);
    ask(&mut stream, &search, b"", &mut answer).await;
    work.begin.wait().await;
    work.begin.wait().await;
    let begun = Instant::now();
    while begun.elapsed() < work.limit
        && let Some(bundle) = work.bundles.get(work.next.fetch_add(1, Ordering::Relaxed))
    {
        let asked = Instant::now();
        // Told to come back, it comes back; that too is time.
        while !ask(&mut stream, &work.head, bundle, &mut answer).await {
            if begun.elapsed() > GIVEN_UP * work.limit.as_secs().max(1) as u32 {
                return (times, bytes);
            }
        }
        times.push(asked.elapsed());
        bytes += bundle.len() as u64;
    }
    (times, bytes)
}

async fn ask(
    stream: &mut Box<dyn Stream>,
    head: &str,
    bundle: &[u8],
    answer: &mut Vec<u8>,
) -> bool {
    let head = format!("{head}content-length: {}\r\n\r\n", bundle.len());
    stream.write_all(head.as_bytes()).await.expect("the door takes a request");
    stream.write_all(bundle).await.expect("the door takes a body");
    stream.flush().await.expect("the door takes a body");
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.expect("the door answers");
        assert!(read > 0, "the door closed before it had answered");
        if let Some(length) = whole(answer)
            && answer.len() >= length
        {
            break;
        }
    }
    let good = answer.starts_with(b"HTTP/1.1 200 ");
    let busy = answer.starts_with(b"HTTP/1.1 503 ") || answer.starts_with(b"HTTP/1.1 429 ");
    let words = String::from_utf8_lossy(&answer[..answer.len().min(2_000)]);
    assert!(good || busy, "not filed: {words}");
    good
}

/// Bytes of the whole answer, once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head + 4 + length.expect("answers have a length"))
}

fn connector(authority: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("an authority");
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn connect(address: SocketAddr, tls: Option<TlsConnector>) -> Box<dyn Stream> {
    let stream = TcpStream::connect(address).await.expect("the door is open");
    stream.set_nodelay(true).expect("a socket");
    match tls {
        None => Box::new(stream),
        Some(tls) => {
            let name = ServerName::try_from("127.0.0.1").expect("a name");
            Box::new(tls.connect(name, stream).await.expect("a handshake"))
        }
    }
}
