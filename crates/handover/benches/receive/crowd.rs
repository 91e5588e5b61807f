//! Crowd: whether ordinary callers are served beside thousands who only hold connections.
//!
//! Comes in   a town; how many idle connections and slow senders another process holds.
//! Goes out   a table: ordinary callers alone, then beside the crowd: their times and failures, and
//!            the house's memory.
//! Never      spares the callers: the crowd comes from their own address as well, and whoever of it
//!            is sent away comes back.

use crate::bundles::Series;
use crate::gauge;
use crate::house::{Database, House, Scheme, Town, runtime};
use crate::load;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The word that makes this program the crowd.
pub(crate) const WORD: &str = "--crowd-process";

const IDLE: u64 = 10_000;
const SLOW: u64 = 1_000;

/// The crowd comes from so many addresses, 127.0.0.1 among them.
const ADDRESSES: u64 = 41;

/// Whoever was sent away comes back after that.
const BACK_AFTER: Duration = Duration::from_secs(5);

/// A slow sender's pause between two bytes.
const BYTE_EVERY: Duration = Duration::from_millis(500);

/// How long ordinary callers are watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Prints the table.
pub(crate) fn show(town: &Town) {
    let mut house = town.house(Scheme::Http, Database::Sqlite);
    house.serve();
    println!(
        "{:34} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}",
        "ordinary callers over plain HTTP",
        "a second",
        "p50 ms",
        "p99 ms",
        "max ms",
        "failed",
        "MB"
    );
    rows(town, &house, "alone", 0);
    let token = house.token();
    let mut crowd = Command::new(std::env::current_exe().expect("this program"))
        .args([WORD, &house.address.to_string(), &token])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the crowd starts");
    let mut said = BufReader::new(crowd.stdout.take().expect("its output")).lines();
    said.next();
    rows(town, &house, "beside the crowd", 100_000);
    drop(crowd.stdin.take());
    for line in said.map_while(Result::ok) {
        println!("{line}");
    }
    crowd.wait().ok();
    house.stop();
}

fn rows(town: &Town, house: &House<'_>, case: &str, from: u64) {
    gauge::forget_peak(house.pid());
    let token = house.token();
    let (times, failed) = newcomers(house.address, &token);
    row(&format!("{case}: a connection each"), &times, WATCHED, failed, house);
    let series = Series { namespace: town.namespace.clone(), resources: 50, name: "c" };
    let done = load::run(house, series.bundles(from, 1_000), 8, WATCHED);
    row(&format!("{case}: 8 clients, 50 resources"), &done.times, done.wall, 0, house);
}

fn row(case: &str, times: &[Duration], wall: Duration, failed: u64, house: &House<'_>) {
    let rate = times.len() as f64 / wall.as_secs_f64();
    let max = gauge::quantile(times, 1.0);
    let (p50, p99) = (gauge::quantile(times, 0.5), gauge::quantile(times, 0.99));
    let memory = gauge::peak_mb(house.pid());
    println!("{case:34} {rate:8.0} {p50:8.1} {p99:8.1} {max:8.1} {failed:6} {memory:6.0}");
}

/// Eight callers, each with a new connection for each question: sorted times, and failures.
fn newcomers(address: SocketAddr, token: &str) -> (Vec<Duration>, u64) {
    let request = format!(
        "GET /fhir/Patient?_count=1 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    );
    let request: Arc<str> = request.into();
    runtime().block_on(async {
        let callers = (0..8).map(|_| {
            let request = Arc::clone(&request);
            tokio::spawn(async move {
                let (mut times, mut failed, begun) = (Vec::new(), 0, Instant::now());
                while begun.elapsed() < WATCHED {
                    let asked = Instant::now();
                    match ask(address, &request).await {
                        Some(()) => times.push(asked.elapsed()),
                        None => failed += 1,
                    }
                    pause(Duration::from_millis(10)).await;
                }
                (times, failed)
            })
        });
        let (mut times, mut failed) = (Vec::new(), 0);
        for caller in callers.collect::<Vec<_>>() {
            let (took, failures) = caller.await.expect("a caller");
            times.extend(took);
            failed += failures;
        }
        times.sort();
        (times, failed)
    })
}

async fn ask(address: SocketAddr, request: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    answer.starts_with(b"HTTP/1.1 200 ").then_some(())
}

// ---- the crowd, in a process of its own ---------------------------------------------------------

#[derive(Default)]
struct Tally {
    held: AtomicU64,
    opened: AtomicU64,
    sent_away: AtomicU64,
}

/// Holds the connections until the standard input ends.
pub(crate) fn process(words: &[String]) {
    let [address, token] = words else { return };
    let address: SocketAddr = address.parse().expect("an address");
    let head: Arc<str> = format!(
        "POST /fhir HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/fhir+json\r\ncontent-length: 100000\r\n\r\n"
    )
    .into();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let tally = Arc::new(Tally::default());
        for one in 0..IDLE {
            tokio::spawn(idle(one, address, Arc::clone(&tally)));
        }
        for one in 0..SLOW {
            tokio::spawn(slow(one, address, Arc::clone(&head), Arc::clone(&tally)));
        }
        while tally.opened.load(Ordering::Relaxed) < IDLE + SLOW {
            pause(Duration::from_millis(50)).await;
        }
        println!("all have come");
        std::io::stdout().flush().ok();
        let end = tokio::task::spawn_blocking(|| {
            std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok()
        });
        end.await.ok();
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "the crowd opened {} connections, was sent away {} times, and holds {} now",
            number(&tally.opened),
            number(&tally.sent_away),
            number(&tally.held)
        );
        // Tasks are not waited for.
        std::process::exit(0);
    });
}

/// A crowd has nothing to wait for but the time.
async fn pause(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.ok();
}

async fn connect(one: u64, address: SocketAddr, tally: &Tally) -> Option<TcpStream> {
    let octet = u8::try_from(1 + one % ADDRESSES).unwrap_or(1);
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, octet), 0))).ok()?;
    let stream = socket.connect(address).await;
    tally.opened.fetch_add(1, Ordering::Relaxed);
    stream.ok()
}

/// Opens a connection and says nothing.
async fn idle(one: u64, address: SocketAddr, tally: Arc<Tally>) {
    loop {
        if let Some(mut stream) = connect(one, address, &tally).await {
            tally.held.fetch_add(1, Ordering::Relaxed);
            stream.read_to_end(&mut Vec::new()).await.ok();
            tally.held.fetch_sub(1, Ordering::Relaxed);
        }
        tally.sent_away.fetch_add(1, Ordering::Relaxed);
        pause(BACK_AFTER).await;
    }
}

/// Sends a byte now and then: every second one of a head, the others of a body.
async fn slow(one: u64, address: SocketAddr, head: Arc<str>, tally: Arc<Tally>) {
    loop {
        if let Some(mut stream) = connect(one, address, &tally).await {
            tally.held.fetch_add(1, Ordering::Relaxed);
            if one.is_multiple_of(2) {
                stream.write_all(head.as_bytes()).await.ok();
            }
            while stream.write_all(b"P").await.is_ok() {
                pause(BYTE_EVERY).await;
            }
            tally.held.fetch_sub(1, Ordering::Relaxed);
        }
        tally.sent_away.fetch_add(1, Ordering::Relaxed);
        pause(BACK_AFTER).await;
    }
}
