//! Mutual TLS: the hospital signs in by the certificate of its connection, and by nothing else.

use crate::common::Stage;
use crate::{amend, asked, known, pushed, stage, waits_for};
use serde_json::Value;
use std::fs;

const HOSPITAL: &str = "partners/hospital.json";

/// Both files say so; the plan knows no key of the hospital.
fn by_certificate(seed: u64) -> Stage {
    let stage = stage(seed);
    let plan = format!("partners/{}.json", stage.payers[0].name);
    amend(&stage.provider, &plan, |public| public["sign_in"] = "mtls".into());
    amend(&stage.payers[0], HOSPITAL, |public| {
        public["sign_in"] = "mtls".into();
        public["jwks"] = Value::Null;
    });
    stage
}

#[test]
fn a_push_settles_by_the_certificate_of_its_connection() {
    let mut stage = by_certificate(31);
    stage.serve();
    let finished = known(&stage);
    let before = asked(&stage.payers[0]);
    assert_eq!(pushed(&stage, &finished[0]).state, "settled");
    stage.stop();
    stage.serve();
    assert_eq!(pushed(&stage, &finished[1]).state, "settled");
    assert_eq!(asked(&stage.payers[0]), before, "no token was asked for");
    stage.stop();
}

#[test]
fn a_certificate_of_another_house_lets_nobody_in() {
    let mut stage = by_certificate(32);
    // The plan's own: a proper one, of an authority that is not the hospital's.
    for file in ["tls/client.pem", "tls/client-key.pem"] {
        let (from, to) = (stage.payers[0].folder.join(file), stage.provider.folder.join(file));
        fs::copy(from, to).unwrap();
    }
    stage.serve();
    let (code, words) = waits_for(&pushed(&stage, &known(&stage)[0]));
    assert_eq!(code, "sign-in-refused", "{words}");
    assert!(stage.payers[0].records().is_empty());
    stage.stop();
}

#[test]
fn a_certificate_of_the_right_authority_with_another_name_lets_nobody_in() {
    let mut stage = by_certificate(33);
    amend(&stage.payers[0], HOSPITAL, |public| {
        public["client_certificate"]["san"] = "uri:https://other.example/fhir".into();
    });
    stage.serve();
    let (code, words) = waits_for(&pushed(&stage, &known(&stage)[0]));
    assert_eq!(code, "sign-in-refused", "{words}");
    assert!(stage.payers[0].records().is_empty());
    stage.stop();
}

#[test]
fn without_its_certificate_a_hospital_that_shows_one_is_a_stranger() {
    let mut stage = by_certificate(34);
    let lines = "client_certificate = \"tls/client.pem\"\nclient_key = \"tls/client-key.pem\"\n";
    stage.provider.replace("house.toml", lines, "");
    stage.serve();
    let (code, words) = waits_for(&pushed(&stage, &known(&stage)[0]));
    assert_eq!(code, "sign-in-refused", "{words}");
    assert!(stage.payers[0].records().is_empty());
    stage.stop();
}
