//! Goal: two houses talk over real TLS, and nothing a peer does or leaves undone stops the others.
//!
//! How: a house on a port of its own, a client that trusts its authority, and raw connections.

use crate::town::{House, PATIENT, SCOPES};
use bytes::Bytes;
use http::Request;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use wire::form::transaction::deliver;
use wire::server::Bounds;
use wire::{
    ClientError, Clock, FhirClient, HttpTransport, SignInError, SmartClient, Transport,
    TransportError,
};

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_partner_signs_in_and_reads_over_tls() {
    let mut house = House::open(Bounds::default()).await;
    let client = house.client("system/Patient.rs");
    for _ in 0..3 {
        let answer = client.get("Patient/1").await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, PATIENT.as_bytes()));
    }
    assert_eq!(client.get("Encounter/1").await.unwrap().status(), 403, "not in its token");
    assert_eq!(client.get_open("metadata").await.unwrap().status(), 200);

    house.stop.take().unwrap().send(()).unwrap();
    (&mut house.served).await.unwrap().unwrap();
    let gone = house.transport().send(get(&house.base)).await.unwrap_err();
    assert!(matches!(gone, TransportError::NotSent(_)), "{gone:?}");
}

#[tokio::test]
async fn a_transaction_comes_back_with_its_place_to_poll() {
    let house = House::open(Bounds::default()).await;
    let client = house.client(SCOPES);
    let reply = deliver(&client, Bytes::from_static(b"{}"), house.clock.now()).await.unwrap();
    assert_eq!((reply.status, reply.content_location.as_deref()), (202, Some("/fhir/status/s-1")));
    let polled = client.get_absolute(&reply.content_location.unwrap()).await.unwrap();
    assert_eq!(
        (polled.status().as_u16(), &polled.headers()["retry-after"]),
        (202, &"5".parse().unwrap())
    );
    let calls = house.records.calls();
    assert_eq!(calls, ["transaction by partner of clinic of 2 bytes", "status s-1"]);
}

/// Proves: smart 263
#[tokio::test]
async fn a_token_that_ran_out_is_renewed_once() {
    let house = House::open(Bounds::default()).await;
    let client = house.client(SCOPES);
    assert_eq!(client.get("Patient/1").await.unwrap().status(), 200);
    house.clock.advance(600);
    assert_eq!(client.get("Patient/1").await.unwrap().status(), 200, "the client's clock says so");
    house.gate.register(Vec::new());
    let refused = client.get("Patient/1").await.unwrap_err();
    assert!(matches!(refused, ClientError::SignIn(SignInError::Refused(_))), "{refused:?}");
    assert_eq!(house.records.calls().len(), 2);
}

/// Proves: smart 1
#[tokio::test]
async fn a_token_goes_to_its_own_origin_only() {
    let house = House::open(Bounds::default()).await;
    let client = house.client(SCOPES);
    let port = house.address.port();
    let foreign = [
        "https://127.0.0.1:1/fhir/Patient/1".to_owned(),
        format!("http://127.0.0.1:{port}/fhir/Patient/1"),
        format!("https://localhost:{port}/fhir/Patient/1"),
        format!("https://x@127.0.0.1:{port}/fhir/Patient/1"),
        format!("https://127.0.0.1:{port}@else.example/fhir"),
        format!("https://127.0.0.1:{port}\\@else.example/fhir"),
        "//else.example/fhir".to_owned(),
        "https://127.0.0.1.else.example/fhir".to_owned(),
        "Patient/1".to_owned(),
        String::new(),
    ];
    for url in foreign {
        let refused = client.get_absolute(&url).await;
        assert_eq!(refused.unwrap_err(), ClientError::ForeignUrl, "{url}");
    }
    assert!(house.records.calls().is_empty());
    let own = format!("{}/Patient/1", house.base);
    assert_eq!(client.get_absolute(&own).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let house = House::open(Bounds::default()).await;
    let answer = house.client(SCOPES).get("Patient/moved").await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(house.records.calls(), ["read Patient/moved"]);
}

/// Proves: smart 1, 230, 232, 318
#[tokio::test]
async fn an_authority_nobody_named_is_not_trusted() {
    let house = House::open(Bounds::default()).await;
    let (other, _) = wire::tls::make_authority("plan of invention").unwrap();
    let url = format!("{}/metadata", house.base);
    for roots in [vec![other.into_bytes()], Vec::new()] {
        let stranger = HttpTransport::new(&roots, Duration::from_secs(30), 1_000).unwrap();
        let refused = stranger.send(get(&url)).await.unwrap_err();
        assert!(matches!(refused, TransportError::Untrusted(_)), "{refused:?}");
        let stranger = Arc::new(stranger);
        let clock = house.clock.clone();
        let pem = house.key.to_pem();
        let smart = SmartClient::new(stranger, &house.base, "clinic", &pem, SCOPES.into(), clock);
        let refused = smart.unwrap().token().await.unwrap_err();
        assert!(matches!(refused, SignInError::Untrusted(_)), "{refused:?}");
    }
    assert!(HttpTransport::new(&[b"no PEM".to_vec()], Duration::from_secs(1), 1).is_err());
    // The right authority, another name: the certificate is for 127.0.0.1 and localhost.
    let by_other_name = url.replace("127.0.0.1", "127.0.0.2");
    let refused = house.transport().send(get(&by_other_name)).await.unwrap_err();
    assert!(!matches!(refused, TransportError::Unknown(_)), "{refused:?}");
}

#[tokio::test]
async fn what_is_known_without_an_answer_is_said() {
    let house = House::open(Bounds::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let transport = house.transport();
    let cut = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 64];
        assert!(stream.read(&mut head).await.unwrap() > 0, "the request came");
        // Dropped with the listener: no answer.
    });
    let url = format!("http://127.0.0.1:{port}/");
    let error = transport.send(get(&url)).await.unwrap_err();
    assert!(matches!(error, TransportError::Unknown(_)), "sent, no answer: {error:?}");
    cut.await.unwrap();
    let error = transport.send(get(&url)).await.unwrap_err();
    assert!(matches!(error, TransportError::NotSent(_)), "nobody listens: {error:?}");
    let error = transport.send(get("http://else.example/fhir")).await.unwrap_err();
    assert!(matches!(error, TransportError::NotSent(_)), "plain HTTP abroad: {error:?}");

    let roots = [house.ca.clone().into_bytes()];
    let small = Arc::new(HttpTransport::new(&roots, Duration::from_secs(30), 50_000).unwrap());
    let client = FhirClient::new(&house.base, small, Some(house.smart(SCOPES)));
    let error = client.get("Patient/large").await.unwrap_err();
    assert_eq!(error, ClientError::Transport(TransportError::AnswerTooLarge));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b' '; 1_000]).await.is_ok() {}
    });
    let error = house.transport().send(get(&url)).await.unwrap_err();
    assert_eq!(error, TransportError::AnswerTooLarge, "of no told length");
    endless.await.unwrap();
}

/// Who is to give a file and says nothing, or that there is none without saying so to the end, is waited for
/// no longer than for any answer.
#[tokio::test]
async fn who_gives_nothing_is_waited_for_as_for_any_answer() {
    for head in ["", "HTTP/1.1 503 Busy\r\ncontent-length: 10\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        });
        let transport = HttpTransport::new(&[], Duration::from_millis(300), 50_000).unwrap();
        let answer = transport.send_taking(get(&url), &mut |_| true).await;
        assert!(matches!(answer, Err(TransportError::Unknown(_))), "{head}: {answer:?}");
        silent.await.unwrap();
    }
}

/// What is taken as it comes has no bound of the transport's: it ends when it has come, is cut, or when
/// nobody wants more of it.
#[tokio::test]
async fn a_body_of_any_size_is_taken_as_it_comes() {
    let house = House::open(Bounds::default()).await;
    let roots = [house.ca.clone().into_bytes()];
    let small = Arc::new(HttpTransport::new(&roots, Duration::from_secs(30), 50_000).unwrap());
    let client = FhirClient::new(&house.base, small.clone(), Some(house.smart(SCOPES)));
    let (large, missing) = ("Patient/large", "Patient/missing");
    let whole = house.client(SCOPES).get(large).await.unwrap().into_body();
    assert!(whole.len() > 50_000);
    let mut came = Vec::new();
    let mut take = |piece: Bytes| {
        came.extend_from_slice(&piece);
        true
    };
    let url = |path: &str| format!("{}/{path}", house.base);
    let answer = client.take_absolute(&url(large), true, &mut take).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
    let answer = client.take_absolute(&url(missing), true, &mut take).await.unwrap();
    assert!(answer.status() == 404 && !answer.body().is_empty(), "what is no 200 is no file");
    let refused = client.take_absolute("https://else.example/f", true, &mut take).await;
    assert_eq!(refused.unwrap_err(), ClientError::ForeignUrl);
    assert!(came == whole, "and nothing else");

    for (cut, wanted) in [(true, usize::MAX), (false, 100_000)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let gives = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
                .await
                .unwrap();
            let piece = [b' '; 10_000];
            for _ in 0..if cut { 50 } else { 20_000 } {
                if stream.write_all(&piece).await.is_err() {
                    return true;
                }
            }
            false
        });
        let mut came = 0;
        let mut take = |piece: Bytes| {
            came += piece.len();
            came < wanted
        };
        let answer = small.send_taking(get(&url), &mut take).await;
        match cut {
            true => assert!(matches!(answer, Err(TransportError::Unknown(_))), "{answer:?}"),
            false => assert_eq!(answer.unwrap().status(), 200),
        }
        assert_eq!(gives.await.unwrap(), !cut, "nobody takes what nobody wants");
    }
}

/// One place only, so that who blocks it blocks all: silence and garbage must give it back.
#[tokio::test]
async fn silence_and_garbage_stop_nobody() {
    let short = Duration::from_millis(200);
    let bounds = Bounds {
        connections: 1,
        handshake: short,
        header: short,
        idle: short,
        ..Bounds::default()
    };
    let house = House::open(bounds).await;
    let mut garbage = TcpStream::connect(house.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n\0\xff\x16\x03").await.unwrap();
    let _silent = TcpStream::connect(house.address).await.unwrap();
    let mut half = TcpStream::connect(house.address).await.unwrap();
    half.write_all(&hello(0x0303)[..20]).await.unwrap();
    let client = house.client(SCOPES);
    assert_eq!(client.get("Patient/1").await.unwrap().status(), 200);
    let mut rest = Vec::new();
    let ended = garbage.read_to_end(&mut rest).await;
    assert!(ended.is_err() || !rest.starts_with(b"HTTP"), "garbage gets no answer");
    // The client's own idle connection is closed as well, so the next one finds a place.
    let second = house.client(SCOPES);
    assert_eq!(second.get("Patient/1").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_silent_crowd_of_one_address_keeps_nobody_out() {
    let connections = wire::limits::ADDRESS_CONNECTIONS_MAX + 1;
    let house = House::open(Bounds { connections, ..Bounds::default() }).await;
    let mut crowd = Vec::new();
    for _ in 0..2 * connections {
        crowd.push(TcpStream::connect(house.address).await.unwrap());
    }
    // Those who speak at once are served, many of them too, without waiting for a time to be over.
    let asked = (0..64).map(|_| {
        let client = house.client(SCOPES);
        async move { client.get("Patient/1").await.unwrap().status() }
    });
    for status in futures_util::future::join_all(asked).await {
        assert_eq!(status, 200);
    }
    let mut rest = Vec::new();
    assert!(crowd[0].read_to_end(&mut rest).await.is_ok_and(|read| read == 0), "it made room");
}

#[tokio::test]
async fn a_silent_crowd_of_many_addresses_keeps_nobody_out() {
    let bounds = Bounds { connections: 40, ..Bounds::default() };
    let house = House::open(bounds).await;
    let client = house.client(SCOPES);
    assert_eq!(client.get("Patient/1").await.unwrap().status(), 200);
    let mut crowd = Vec::new();
    for one in 0..400u32 {
        let socket = TcpSocket::new_v4().unwrap();
        let octet = u8::try_from(1 + one % 20).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, octet], 0))).unwrap();
        crowd.push(socket.connect(house.address).await.unwrap());
        // Whoever asks is served, on the connection it has or on a new one.
        if one % 50 == 0 {
            assert_eq!(client.get("Patient/1").await.unwrap().status(), 200, "{one}");
        }
    }
    let asked = (0..8).map(|_| {
        let client = house.client(SCOPES);
        async move { client.get("Patient/1").await.unwrap().status() }
    });
    for status in futures_util::future::join_all(asked).await {
        assert_eq!(status, 200);
    }
    let mut rest = Vec::new();
    assert!(crowd[0].read_to_end(&mut rest).await.is_ok_and(|read| read == 0), "it made room");
}

/// A ClientHello that offers one version and no `supported_versions` (RFC 5246 §7.4.1.2).
fn hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([0x11; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xc0, 0x2c, 0xc0, 0x0a]); // ECDHE-ECDSA with GCM, with CBC
    body.extend([1, 0]); // no compression
    let groups = [0, 10, 0, 4, 0, 2, 0, 24]; // secp384r1
    let schemes = [0, 13, 0, 6, 0, 4, 5, 3, 4, 3]; // ecdsa_secp384r1_sha384 and p256
    body.extend([0, 18]);
    body.extend(groups);
    body.extend(schemes);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![0x16, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

/// Proves: smart 231
/// Proves: bulk 2
#[tokio::test]
async fn nothing_below_tls_1_2_is_spoken() {
    let house = House::open(Bounds::default()).await;
    let (handshake, alert) = (0x16, 0x15);
    let table = [
        ("TLS 1.2", 0x0303, handshake),
        ("TLS 1.1", 0x0302, alert),
        ("TLS 1.0", 0x0301, alert),
        ("SSL 3", 0x0300, alert),
    ];
    for (case, version, answer) in table {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(&hello(version)).await.unwrap();
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0], answer, "{case}");
        if answer == alert {
            assert_eq!(head[5..], [2, 70], "{case}: fatal, protocol_version");
        }
    }
}

#[tokio::test]
async fn a_stop_waits_for_requests_in_flight_but_not_for_ever() {
    for drained in [true, false] {
        let drain = Duration::from_millis(if drained { 20_000 } else { 50 });
        let mut house = House::open(Bounds { drain, ..Bounds::default() }).await;
        let client = house.client(SCOPES);
        let reading = tokio::spawn(async move { client.get("Patient/slow").await });
        house.records.begun.notified().await;
        house.stop.take().unwrap().send(()).unwrap();
        if drained {
            house.records.go_on.notify_one();
        }
        (&mut house.served).await.unwrap().unwrap();
        let answer = reading.await.unwrap();
        if drained {
            assert_eq!(answer.unwrap().body(), PATIENT, "it was let finish");
        } else {
            let error = answer.unwrap_err();
            let unknown = matches!(error, ClientError::Transport(TransportError::Unknown(_)));
            assert!(unknown, "cut at the end of the drain: {error:?}");
        }
    }
}

#[tokio::test]
async fn too_large_a_push_is_told_so_over_the_network() {
    let house = House::open(Bounds::default()).await;
    let client = house.client(SCOPES);
    let body = Bytes::from(vec![b' '; wire::limits::BODY_BYTES_MAX + 1]);
    let reply = deliver(&client, body, house.clock.now()).await.unwrap();
    assert_eq!(reply.status, 413);
    assert_eq!(client.get("Patient/1").await.unwrap().status(), 200, "and is served on");
}
