//! What comes twice is filed once, and what does not come whole is not filed at all.

use crate::common::RUNTIME;
use crate::door::Place::{At, Byte};
use crate::door::{Door, Refusal, post};
use crate::outcome::all_submissions;
use crate::sender::{FHIR_JSON, Told};
use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[test]
fn a_key_is_answered_once_and_for_all() {
    let door = Door::open();
    let first = door.sender.post(&door.token, door.bundle(1).to_string());
    assert_eq!(first.status, 200);
    let records = door.payer().dump();

    let again = door.sender.post(&door.token, door.bundle(1).to_string());
    assert_eq!((again.status, &again.body), (200, &first.body), "byte for byte");
    assert_eq!(door.payer().dump(), records);
    assert_eq!(all_submissions(door.payer()).len(), 1, "a repeat is no second submission");

    let mut other = door.bundle(1);
    other["entry"][2]["resource"]["status"] = json!("cancelled");
    let told = door.sender.post(&door.token, other.to_string());
    let refusal = Refusal(409, "key-conflict", At("Bundle.identifier"));
    door.assert_refused("the same key with other content", &told, refusal, &records);

    let spaced = format!("{} ", door.bundle(1));
    let told = door.sender.post(&door.token, spaced);
    door.assert_refused("the same key with one more space", &told, refusal, &records);
}

#[test]
fn the_same_push_sent_many_times_at_once_is_filed_once() {
    let door = Door::open();
    let body = Bytes::from(door.bundle(1).to_string());
    let told: Vec<Told> = RUNTIME.block_on(async {
        let one = || {
            let request = post(&door, &door.token).body(body.clone()).unwrap();
            door.sender.send_later(request)
        };
        let all: Vec<_> = (0..16).map(|_| one()).collect();
        futures_util::future::join_all(all).await
    });
    for one in &told {
        assert_eq!((one.status, &one.body), (200, &told[0].body));
    }
    assert_eq!(all_submissions(door.payer()).len(), 1);
    let versions: Vec<u64> = door.payer().dump().into_iter().map(|line| line.2).collect();
    assert_eq!(versions, [1, 1, 1]);
}

#[test]
fn a_body_larger_than_the_door_takes_is_refused() {
    let door = Door::open();
    let body = Bytes::from(vec![b' '; wire::limits::BODY_BYTES_MAX + 1]);
    let told = door.sender.send(post(&door, &door.token).body(body).unwrap());
    let refusal = Refusal(413, "body-too-large", Byte(wire::limits::BODY_BYTES_MAX));
    door.assert_refused("a byte too many", &told, refusal, &[]);
}

/// What a caller at the door says before it falls silent, and whether it waits for an answer.
const CUT: [(&str, &str, bool); 5] = [
    ("half a body, then the end", "Content-Length: 2000\r\n\r\nHALF", true),
    ("half a body, then nothing", "Content-Length: 2000\r\n\r\nHALF", false),
    ("a chunk and no end", "Transfer-Encoding: chunked\r\n\r\n4\r\nHALF\r\n", false),
    ("a chunk longer than it says", "Transfer-Encoding: chunked\r\n\r\n2\r\nHALF", true),
    ("half a header", "Content-Le", false),
];

#[test]
fn a_body_that_does_not_arrive_whole_is_not_filed() {
    let door = Door::open();
    let whole = door.bundle(1).to_string();
    let half = &whole[..whole.len() / 2];
    for (case, rest, waits) in CUT {
        let rest = rest.replace("HALF", half);
        let head = format!(
            "POST /fhir HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {FHIR_JSON}\r\n{rest}",
            door.token
        );
        let told = RUNTIME.block_on(door.sender.speak(head.as_bytes(), waits));
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!told.starts_with("HTTP/1.1 2"), "{case}: {told}");
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 400"), "{case}: {told}");
        assert_eq!(door.payer().dump(), [], "{case}: something was filed");
        assert_eq!(all_submissions(door.payer()), [], "{case}");
    }
    assert_eq!(door.sender.post(&door.token, whole).status, 200, "the whole body is taken");
}

#[test]
fn a_caller_who_speaks_no_tls_or_no_http_hurts_nobody() {
    let door = Door::open();
    let address = door.payer().config().file.listen;
    let told = RUNTIME.block_on(async {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"POST /fhir HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        plain.read_to_end(&mut told).await.ok();
        told
    });
    assert!(!told.starts_with(b"HTTP/"), "nothing is said in the clear");
    let told = RUNTIME.block_on(door.sender.speak(b"HELO mail.example\r\n\r\n", true));
    assert!(!told.starts_with(b"HTTP/1.1 2"));
    assert_eq!(door.sender.get("", "metadata").status, 200, "the door serves on");
}
