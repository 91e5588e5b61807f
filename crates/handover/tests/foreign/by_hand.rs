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

#[tokio::test]
async fn a_foreign_payer_that_keeps_what_is_written_has_it_again_however_it_was_ended() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("plan");
    let address = free_address();
    let listen = address.to_string();
    let words = ["sim", "payer", place.to_str().unwrap(), "--profile", "post-only", "--keep"];
    let words = [&words[..], &["--listen", &listen, "--tethered"]].concat();
    let mut process = Process::until_ready(&words, &[]);
    for (number, status) in [(1, "true"), (2, "false")] {
        let transport = HttpTransport::new(&[], Duration::from_secs(60), 1 << 20).unwrap();
        let client = FhirClient::new(&format!("http://{address}/r4"), Arc::new(transport), None);
        let body = format!(r#"{{"resourceType":"Patient","active":{status}}}"#);
        let told = client.post("Patient", "application/fhir+json", body.into()).await.unwrap();
        assert_eq!(told.status(), 201);
        let place = told.headers()["location"].to_str().unwrap();
        assert!(place.contains(&format!("/Patient/f100{number}/")), "{place}");
        process.kill();
        // Of a line that was not written to its end, nothing was ever answered.
        let kept = folder.path().join("plan").join("kept.ndjson");
        let text = std::fs::read_to_string(&kept).unwrap();
        std::fs::write(&kept, text + "{\"at\":\"2026").unwrap();
        process = Process::until_ready(&words, &[]);
    }
    assert_eq!(process.stop().code, 0);
    let arrived = std::fs::read_to_string(place.join("arrived.json")).unwrap();
    let arrived: Value = serde_json::from_str(&arrived).unwrap();
    assert_eq!(arrived["versions"], serde_json::json!({ "Patient/f1001": 1, "Patient/f1002": 1 }));
    assert_eq!(arrived["requests"].as_array().unwrap().len(), 2);
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

#[test]
fn a_sending_house_gets_to_know_one_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let house = free_address().to_string();
    let ehr = ["--source", "https://127.0.0.1:1/fhir", "--listen", &house];
    let said = run(&[&["init", "provider", &at("mercy")], &ehr[..]].concat(), &[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let client = format!("{}/public.json", at("mercy"));
    for (profile, clients) in [("strict", vec!["--client", &client]), ("silent", vec![])] {
        let (place, listen) = (at(profile), free_address().to_string());
        let words = ["sim", "payer", &place, "--profile", profile, "--listen", &listen];
        let more = ["--payer-id", "urn:naic|99001", "--tethered"];
        let process = Process::until_ready(&[&words[..], &more, &clients].concat(), &[]);
        let file = format!("{place}/public.json");
        let said = run(&["--house", &at("mercy"), "partner", "add", &file], &[]);
        assert_eq!(said.code, 0, "{profile}: {}", said.stderr);
        let agreement = format!("{}/agreements/{profile}.toml", at("mercy"));
        let agreement = std::fs::read_to_string(agreement).unwrap();
        assert!(agreement.contains("99001"), "{profile}: {agreement}");
        assert_eq!(process.stop().code, 0);
    }
}
