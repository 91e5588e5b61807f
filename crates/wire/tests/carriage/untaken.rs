//! Goal: an answer that its caller does not take costs the others nothing, and ends.
//!
//! How: a house without TLS on a port of its own, small room, and callers that ask and do not read.

use crate::town::{HUGE, Records, SCOPES, SetClock, credential, gate, token};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::rest::{Room, Rooms};
use wire::server::{Bounds, serve_within};
use wire::{Gate, SigningKey};

struct House {
    address: std::net::SocketAddr,
    gate: Arc<Gate>,
    key: SigningKey,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl House {
    /// One with partners `clinic` and `lab`; one answer that is huge fills the share of either.
    async fn open(bounds: Bounds, wait: Duration) -> House {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (base, key) = (format!("http://{address}"), SigningKey::generate().unwrap());
        let partners = ["clinic", "lab"].map(|name| credential(name, &key, SCOPES)).to_vec();
        let gate = gate(&base, partners, &SetClock::new());
        let answers = Room { bytes: 4 * HUGE, share: HUGE, wait };
        let rooms = Rooms { answers, ..Rooms::default() };
        let records = Arc::new(Records::default());
        let router = wire::rest::router_with(rooms, records, gate.clone());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(serve_within(bounds, listener, None, router, async {
            stopped.await.ok();
        }));
        House { address, gate, key, _stop: stop }
    }

    /// Asks for a record, and reads nothing.
    async fn ask(&self, partner: &str, id: &str) -> TcpStream {
        let token = token(&self.gate, partner, &self.key, SCOPES).await;
        let head = format!(
            "GET /Patient/{id} HTTP/1.1\r\nhost: plan\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Asks, and has begun to be answered.
    async fn begin(&self, partner: &str, id: &str) -> TcpStream {
        let mut stream = self.ask(partner, id).await;
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        stream
    }

    /// The whole answer: its status line, and how many bytes its body has.
    async fn read(&self, partner: &str, id: &str) -> (String, usize) {
        rest(self.ask(partner, id).await).await.unwrap()
    }
}

async fn rest(mut stream: TcpStream) -> std::io::Result<(String, usize)> {
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).await?;
    let end =
        whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(whole.len(), |it| it + 4);
    let head = String::from_utf8_lossy(&whole[..end]).to_lowercase();
    Ok((head, whole.len() - end))
}

#[tokio::test]
async fn who_leaves_an_answer_untaken_gets_no_more_and_others_are_served() {
    let house = House::open(Bounds::default(), Duration::ZERO).await;
    let untaken = house.begin("clinic", "huge").await;
    let (head, body) = house.read("clinic", "1").await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert!(head.contains("\r\nretry-after: 1\r\n") && body > 0, "{head}");
    assert!(house.read("lab", "1").await.0.starts_with("http/1.1 200 "));
    assert_eq!(house.read("lab", "huge").await.1, HUGE, "and as much at once");
    let (_, rest) = rest(untaken).await.unwrap();
    assert_eq!(rest, HUGE, "it is there whenever it is read");
    assert!(house.read("clinic", "1").await.0.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn what_nobody_takes_ends_and_gives_its_room_back() {
    let bounds = Bounds { take: Duration::from_millis(200), ..Bounds::default() };
    let house = House::open(bounds, Duration::from_secs(60)).await;
    let untaken = house.begin("clinic", "huge").await;
    // It waits for room, and gets it when the other one ends.
    assert!(house.read("clinic", "1").await.0.starts_with("http/1.1 200 "));
    let rest = rest(untaken).await;
    assert!(rest.is_err() || rest.is_ok_and(|(_, body)| body < HUGE), "it was cut off");
}

#[tokio::test]
async fn an_answer_whose_caller_has_gone_gives_its_room_back() {
    let house = House::open(Bounds::default(), Duration::from_secs(60)).await;
    for _ in 0..3 {
        drop(house.begin("clinic", "huge").await);
    }
    assert_eq!(house.read("clinic", "huge").await.1, HUGE);
}
