//! Goal: a person can run a foreign payer, see a planned fault, and read at the end what arrived;
//! what is mistyped is refused in words.

#![allow(clippy::unwrap_used)]

use crate::common::{Process, free_address, run};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use wire::{FhirClient, HttpTransport};

#[tokio::test]
async fn a_foreign_payer_runs_by_hand_and_tells_at_its_end_what_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("plan");
    let address = free_address();
    let listen = address.to_string();
    let words = ["sim", "payer", place.to_str().unwrap(), "--profile", "post-only"];
    let more = ["--listen", &listen, "--fault", "write:2=server-error", "--tethered"];
    let process = Process::until_ready(&[&words[..], &more].concat(), &[]);
    let transport = HttpTransport::new(&[], Duration::from_secs(60), 1 << 20).unwrap();
    let client = FhirClient::new(&format!("http://{address}/r4"), Arc::new(transport), None);
    let body = || Bytes::from_static(br#"{"resourceType":"Patient","active":true}"#);
    for status in [201, 500, 201] {
        let told = client.post("Patient", "application/fhir+json", body()).await.unwrap();
        assert_eq!(told.status(), status);
    }
    let said = process.stop();
    assert_eq!(said.code, 0, "{}", said.stderr);
    let arrived = std::fs::read_to_string(place.join("arrived.json")).unwrap();
    assert!(!arrived.contains("active"), "what was sent stands in no file");
    let arrived: Value = serde_json::from_str(&arrived).unwrap();
    assert_eq!(arrived["requests"].as_array().unwrap().len(), 3);
    assert_eq!(arrived["requests"][1]["fault"], "server-error");
    assert_eq!(arrived["twins"], serde_json::json!([["Patient/f1001", "Patient/f1002"]]));
}

#[test]
fn what_is_mistyped_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let table = [
        (vec!["--profile", "generous"], "put-refused"),
        (vec!["--profile", "strict", "--fault", "write:1=rain"], "answered-twice"),
        (vec!["--profile", "strict", "--listen", "0.0.0.0:0"], "loopback"),
    ];
    for (words, named) in table {
        let said = run(&[&["sim", "payer", folder], &words[..]].concat(), &[]);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(named), "{words:?}: {}", said.stderr);
        assert!(!said.stderr.contains("generous"), "what was typed is not repeated");
    }
}
