//! Who may not, who asks for more than was agreed, and who speaks another form is refused.
//!
//! How: a table whose rows complete the sentence "the door refuses …". Their bodies are all the same
//! good Bundle, which is taken at the end.

use crate::door::Place::{At, Nowhere};
use crate::door::{Door, Refusal, post};
use crate::sender::{FHIR_JSON, Sender};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use exchange::Digest;
use http::request::Builder;
use serde_json::{Value, json};
use wire::trust::smart::access_token::{Content, Mint};

/// Builds a request that has something wrong beside its body.
type Ask = fn(&Door) -> Builder;

/// A token of the payer's own making, as somebody who stole its secret could make it.
fn minted(door: &Door, key: &str, expiry_in: i64) -> String {
    let secret: Digest = door.payer().read("keys/tokens.hex").trim().parse().unwrap();
    let kid = door.stage.provider.public().jwks["keys"][0]["kid"].as_str().unwrap().to_owned();
    Mint::new(&secret.0, &door.sender.base_url).issue(&Content {
        client_id: "hospital".to_owned(),
        kid: if key.is_empty() { kid } else { key.to_owned() },
        scope: "system/*.cruds".to_owned(),
        expiry: jiff::Timestamp::now().as_second() + expiry_in,
        purposes: None,
        certificate: None,
    })
}

/// The token with more scopes in it, under the old authentication.
fn widened(token: &str) -> String {
    let mut parts = token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let note = URL_SAFE_NO_PAD.decode(&parts[1]).unwrap();
    let mut note: Value = serde_json::from_slice(&note).unwrap();
    note["s"] = json!("system/*.cruds handover/operate");
    parts[1] = URL_SAFE_NO_PAD.encode(note.to_string());
    parts.join(".")
}

const SIGN_IN: Refusal = Refusal(401, "sign-in-required", At("Authorization"));
const UNREAD: Refusal = Refusal(415, "media-type-unsupported", At("Content-Type"));

const ASKED: &[(&str, Ask, Refusal)] = &[
    ("no token", |door| post(door, ""), SIGN_IN),
    ("a token that is none", |door| post(door, "letmein"), SIGN_IN),
    ("a token that has been widened", |door| post(door, &widened(&door.token)), SIGN_IN),
    ("a token cut short", |door| post(door, &door.token[..door.token.len() - 2]), SIGN_IN),
    ("a token that has expired", |door| post(door, &minted(door, "", -1)), SIGN_IN),
    ("a token of a key that is not registered", |door| post(door, &minted(door, "k", 60)), SIGN_IN),
    (
        "a password",
        |door| post(door, "").header("authorization", "Basic aG9zcGl0YWw6c2VjcmV0"),
        SIGN_IN,
    ),
    (
        "a token for reading",
        |door| post(door, &door.sender.token("system/*.rs").unwrap()),
        Refusal(403, "scope-missing", At("Bundle.entry[0].request")),
    ),
    (
        "a token for Patients only",
        |door| post(door, &door.sender.token("system/Patient.cruds").unwrap()),
        Refusal(403, "scope-missing", At("Bundle.entry[1].request")),
    ),
    (
        "the token of the payer's own operator",
        |door| {
            let said = door.payer().run(&["token"]);
            post(door, said.stdout.trim())
        },
        Refusal(403, "scope-missing", At("Authorization")),
    ),
    ("a body without a media type", |door| door.sender.request("POST", "", &door.token), UNREAD),
    (
        "XML",
        |door| {
            let request = door.sender.request("POST", "", &door.token);
            request.header("content-type", "application/fhir+xml")
        },
        UNREAD,
    ),
    (
        "FHIR R5",
        |door| {
            let request = door.sender.request("POST", "", &door.token);
            request.header("content-type", "application/fhir+json; fhirVersion=5.0")
        },
        UNREAD,
    ),
    (
        "another character set",
        |door| {
            let request = door.sender.request("POST", "", &door.token);
            request.header("content-type", "application/fhir+json; charset=iso-8859-1")
        },
        UNREAD,
    ),
    (
        "a compressed body",
        |door| post(door, &door.token).header("content-encoding", "gzip"),
        Refusal(415, "media-type-unsupported", At("Content-Encoding")),
    ),
    (
        "an answer wanted as XML",
        |door| post(door, &door.token).header("accept", "application/fhir+xml"),
        Refusal(406, "not-acceptable", At("Accept")),
    ),
    (
        "a Bundle put and not posted",
        |door| {
            let request = door.sender.request("PUT", "", &door.token);
            request.header("content-type", FHIR_JSON)
        },
        Refusal(405, "interaction-unsupported", Nowhere),
    ),
    (
        "a Bundle posted to a type",
        |door| {
            let request = door.sender.request("POST", "Patient", &door.token);
            request.header("content-type", FHIR_JSON)
        },
        Refusal(400, "entry-invalid", At("Patient.resourceType")),
    ),
    (
        "a Bundle posted to nowhere",
        |door| {
            let request = door.sender.request("POST", "elsewhere", &door.token);
            request.header("content-type", FHIR_JSON)
        },
        Refusal(404, "resource-unknown", Nowhere),
    ),
];

#[test]
fn a_request_of_somebody_who_may_not_or_in_another_form_is_refused() {
    let door = Door::open();
    let body = Bytes::from(door.bundle(1).to_string());
    for (case, ask, refusal) in ASKED {
        let request = ask(&door).body(body.clone()).unwrap();
        let told = door.sender.send(request);
        door.assert_refused(case, &told, *refusal, &[]);
        let challenge = told.headers.contains_key("www-authenticate");
        assert_eq!(challenge, told.status == 401, "{case}");
    }
    assert_eq!(door.sender.post(&door.token, body).status, 200, "the body was a good one");
}

/// Proves: smart 225, 250
#[test]
fn nobody_signs_in_with_another_key_or_for_more_than_is_registered() {
    let door = Door::open();
    let mut thief = Sender::with_keys_of(&door.stage.provider, door.payer());
    thief.name = "stranger".to_owned();
    assert!(thief.token("system/*.cruds").unwrap_err().contains("invalid_client"));
    thief.name = "nobody".to_owned();
    assert!(thief.token("system/*.cruds").unwrap_err().contains("invalid_client"));
    let operate = door.sender.token(wire::api::OPERATE);
    assert!(operate.unwrap_err().contains("invalid_scope"));
}

/// Proves: smart 119
#[test]
fn nobody_writes_or_reads_the_records_of_another_sender() {
    let door = Door::open();
    let good = door.bundle(1);
    assert_eq!(door.sender.post(&door.token, good.to_string()).status, 200);
    let records = door.payer().dump();
    assert_eq!(records.len(), 3);

    let token = door.stranger.token("system/*.cruds").unwrap();
    let patient = good["entry"][0]["request"]["url"].as_str().unwrap();
    let encounter = &good["entry"][2]["request"]["url"];
    let deletes = json!({ "request": { "method": "DELETE", "url": encounter } });
    let elsewhere = door.stranger.put("Provenance", "v1", json!({}));
    let mut refers = door.stranger.bundle(1, &door.member);
    refers["entry"][2]["resource"]["serviceProvider"] = json!({ "reference": encounter });
    let bundle = |entries: Value| json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let table = [
        (
            "another sender's records, as they stand",
            bundle(good["entry"].clone()),
            Refusal(403, "identity-mismatch", At("Bundle.entry[0].resource.meta.source")),
        ),
        (
            "a reference to another sender's record",
            refers,
            Refusal(
                422,
                "reference-unresolved",
                At("Bundle.entry[2].resource.serviceProvider.reference"),
            ),
        ),
    ];
    for (case, body, refusal) in table {
        let told = door.stranger.post(&token, body.to_string());
        door.assert_refused(case, &told, refusal, &records);
    }
    let told = door.stranger.get(&token, patient);
    door.assert_refused("a look", &told, Refusal(404, "resource-unknown", Nowhere), &records);
    let found = door.stranger.get(&token, "Patient").json();
    assert_eq!(found["total"], 0, "a search finds nothing of another's: {found}");
    assert_eq!(door.sender.get(&door.token, patient).status, 200, "its own sender reads it");

    // Whether there was something to delete is not told; what is another's stays.
    let told = door.stranger.post(&token, bundle(json!([deletes, elsewhere])).to_string());
    assert_eq!(told.json()["entry"][0]["response"]["status"], "204 No Content", "{told:?}");
    let stands = door.payer().dump();
    assert!(records.iter().all(|line| stands.contains(line)), "{stands:?}");
    let encounter = encounter.as_str().unwrap();
    let told = door.sender.get(&door.token, encounter);
    assert_eq!((told.status, &told.json()["meta"]["versionId"]), (200, &json!("1")));
}
