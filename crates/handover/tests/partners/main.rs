//! Goal: programs that we did not write read what was filed, and find TLS as it should be.
//!
//! How: a plan that has been pushed to, as a process; fhirpy, smart-fetch, curl and openssl as the
//! machine has them. What is not there is skipped with one line.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod exported;

use common::{House, Stage};
use exchange::Code;
use serde_json::{Value, json};
use sim::TownPlan;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// One plan with everything of one hospital in it.
fn filed() -> Stage {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(5, &plan);
    stage.serve();
    let encounters = stage.finished();
    stage.provider.push_all(&encounters);
    stage
}

fn token(house: &House) -> String {
    let (exit, json) = house.json(&["token"]);
    assert_eq!(exit, 0, "{json}");
    json["access_token"].as_str().unwrap().to_owned()
}

/// A program's answer to these words and this standard input; `None` where it is not there.
fn told(program: &Path, words: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(program);
    let streams = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = streams.stderr(Stdio::piped()).spawn() else {
        eprintln!("skipped: {} is not here", program.display());
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    Some(child.wait_with_output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Ids of the payer's observations of which a member of the resource refers to this record.
fn observations(payer: &House, member: &str, reference: &str) -> BTreeSet<String> {
    let of_it = |bytes: &[u8]| {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        value[member]["reference"] == reference
    };
    let records = payer.records().into_values().filter(|record| record.kind == "Observation");
    records.filter(|it| of_it(it.content.as_ref().unwrap())).map(|it| it.id).collect()
}

#[test]
fn fhirpy_reads_what_was_filed() {
    let Some(partners) = std::env::var_os("HANDOVER_PARTNERS") else {
        eprintln!("skipped: HANDOVER_PARTNERS names no folder with fhirpy in it");
        return;
    };
    let mut stage = filed();
    let payer = &stage.payers[0];
    let records = payer.records();
    let of_kind = |kind: &'static str| records.values().filter(move |record| record.kind == kind);
    let about = |kind: &str, id: &str| format!("{kind}/{id}");
    let patient = of_kind("Patient")
        .max_by_key(|it| observations(payer, "subject", &about("Patient", &it.id)).len())
        .unwrap();
    let of_patient = observations(payer, "subject", &about("Patient", &patient.id));
    assert!(of_patient.len() > 2, "more than one page: {}", of_patient.len());
    let encounter = of_kind("Encounter")
        .find(|it| !observations(payer, "encounter", &about("Encounter", &it.id)).is_empty())
        .unwrap();

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/partners/reads.py");
    let python = Path::new(&partners).join("bin/python");
    let (base, token) = (payer.public().base_url, token(payer));
    let authority = payer.folder.join("tls/authority.pem");
    let words = [script, &base, &token, authority.to_str().unwrap()];
    let wanted = json!({ "patient": patient.id, "encounter": encounter.id }).to_string();
    let output = self::told(&python, &words, &wanted).expect("the partners' Python starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(told["version"], "4.0.1");
    assert_eq!(told["by_id"], json!([patient.id]));
    assert_eq!(strings(&told["by_patient"]), of_patient);
    assert_eq!(told["by_patient"].as_array().unwrap().len(), of_patient.len(), "each once");
    assert_eq!(told["pages"], of_patient.len().div_ceil(2), "two to a page, next by next");
    let reference = about("Encounter", &encounter.id);
    assert_eq!(strings(&told["by_encounter"]), observations(payer, "encounter", &reference));
    assert_eq!(told["from_the_start"], of_kind("Observation").count());
    assert_eq!(told["from_the_future"], 0);

    let filed: Value = serde_json::from_slice(encounter.content.as_ref().unwrap()).unwrap();
    let mut read = told["encounter"].clone();
    let served = read["meta"].as_object_mut().unwrap();
    assert_eq!(served.remove("versionId"), Some("1".into()));
    assert!(served.remove("lastUpdated").is_some());
    assert_eq!(read, filed, "as it was filed, but for version and time");
    let subject = filed["subject"]["reference"].as_str().unwrap();
    assert_eq!(subject, about("Patient", told["its_patient"].as_str().unwrap()));

    let statuses = (&told["etag"], &told["other_etag"], &told["kept"]);
    assert_eq!(statuses, (&304.into(), &200.into(), &true.into()), "etag, another's, bare version");
    let refusals = [
        ("unknown", Code::ResourceUnknown),
        ("unsupported", Code::ParameterUnsupported),
        ("stranger", Code::SignInRequired),
    ];
    for (name, code) in refusals {
        let coding = &told[name]["issue"][0]["details"]["coding"][0];
        assert_eq!(coding["code"], code.row().slug, "{name}: {}", told[name]);
    }
    stage.stop();
}

#[test]
fn curl_sees_the_open_doors_and_no_old_tls() {
    let mut stage = filed();
    let payer = &stage.payers[0];
    let (base, authority) = (payer.public().base_url, payer.folder.join("tls/authority.pem"));
    let authority = authority.to_str().unwrap();
    let curl = |more: &[&str], path: &str| {
        let url = format!("{base}/{path}");
        let words = ["--silent", "--show-error", "--max-time", "30"];
        told(Path::new("curl"), &[&words, more, &[&url]].concat(), "")
    };
    let trusting = ["--cacert", authority];
    let Some(metadata) = curl(&trusting, "metadata") else { return };
    let statement: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    assert_eq!(statement["resourceType"], "CapabilityStatement");
    assert_eq!(statement["fhirVersion"], "4.0.1");
    let plain = [&trusting[..], &["--header", "Accept: application/json"]].concat();
    let versions = curl(&plain, "$versions").unwrap();
    assert_eq!(text(&versions.stdout), r#"{"versions":["4.0"],"default":"4.0"}"#);

    let bearer = format!("Authorization: Bearer {}", token(payer));
    let signed = [&trusting[..], &["--header", &bearer]].concat();
    let found = curl(&signed, "Patient?_count=1").unwrap();
    let bundle: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(bundle["type"], "searchset", "{bundle}");

    for version in ["1.2", "1.3"] {
        let least = format!("--tlsv{version}");
        let only = [&trusting[..], &["--tls-max", version, &least]].concat();
        let answer = curl(&only, "healthz").unwrap();
        assert_eq!(text(&answer.stdout), "ok", "TLS {version}: {}", text(&answer.stderr));
    }
    let old = [&trusting[..], &["--tls-max", "1.1", "--tlsv1.1"]].concat();
    assert!(!curl(&old, "healthz").unwrap().status.success(), "TLS 1.1");
    let strangers = curl(&[], "metadata").unwrap();
    assert!(!strangers.status.success(), "nobody trusts the authority unasked");
    assert!(text(&strangers.stderr).contains("certificate"), "{}", text(&strangers.stderr));
    stage.stop();
}

#[test]
fn openssl_verifies_chain_and_name_and_is_refused_with_tls_1_1() {
    let openssl = Path::new("openssl");
    let Some(version) = told(openssl, &["version"], "") else { return };
    if !text(&version.stdout).starts_with("OpenSSL") {
        eprintln!("skipped: this openssl is another program, with other options");
        return;
    }
    let mut stage = filed();
    let payer = &stage.payers[0];
    let address = payer.config().file.listen.to_string();
    let authority = payer.folder.join("tls/authority.pem");
    let authority = authority.to_str().unwrap();
    let connect = |more: &[&str]| {
        let words = ["s_client", "-connect", &address, "-CAfile", authority];
        let strict = ["-verify_return_error", "-brief"];
        told(openssl, &[&words, &strict[..], more].concat(), "Q\n").unwrap()
    };
    let said = |output: &Output| text(&output.stdout) + &text(&output.stderr);
    let table: [(&str, &[&str], bool, &str); 7] = [
        ("TLS 1.3", &["-tls1_3"], true, "Protocol version: TLSv1.3"),
        ("TLS 1.2", &["-tls1_2"], true, "Protocol version: TLSv1.2"),
        ("its address", &["-verify_ip", "127.0.0.1"], true, "Verification: OK"),
        ("its name", &["-verify_hostname", "localhost"], true, "Verified peername: localhost"),
        ("another address", &["-verify_ip", "127.0.0.2"], false, "IP address mismatch"),
        ("another name", &["-verify_hostname", "plan.example"], false, "hostname mismatch"),
        // The client is told to offer what it would not offer by itself: the door refuses.
        ("TLS 1.1", &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], false, "SSL alert number"),
    ];
    for (case, more, accepted, words) in table {
        let output = connect(more);
        let said = said(&output);
        assert_eq!(output.status.success(), accepted, "{case}: {said}");
        // A library built without a version refuses it before the door can.
        let refused_itself =
            said.contains("no protocols available") || said.contains("nknown option");
        assert!(said.contains(words) || (!accepted && refused_itself), "{case}: {said}");
    }
    stage.stop();
}
