#![allow(clippy::unwrap_used)]
use super::*;

fn whole() -> StatusManifest {
    let severities = BTreeMap::from([("error".to_owned(), 2), ("information".to_owned(), 1)]);
    let file = |url: &str| StatusFile {
        url: url.to_owned(),
        kind: Some("OperationOutcome".to_owned()),
        manifest_url: Some("https://c.example/m".to_owned()),
        severities: severities.clone(),
    };
    StatusManifest {
        submission_id: Some("s-1".to_owned()),
        transaction_time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        requires_access_token: true,
        outcome: vec![file("https://p.example/1"), file("https://p.example/2")],
        output: vec![file("https://p.example/3")],
        deleted: Vec::new(),
        next: Some("https://p.example/next".to_owned()),
    }
}

#[test]
fn a_status_is_read_as_it_is_written_in_both_dialects() {
    for dialect in [Dialect::Ballot, Dialect::Argonaut] {
        let written = whole().write(dialect, "https://p.example/$bulk-submit-status");
        assert_eq!(StatusManifest::read(&written).unwrap(), whole(), "{dialect:?}");
    }
    let ballot: Value = serde_json::from_slice(&whole().write(Dialect::Ballot, "r")).unwrap();
    assert!(ballot.get("error").is_none() && ballot.get("request").is_none(), "{ballot}");
    let draft: Value = serde_json::from_slice(&whole().write(Dialect::Argonaut, "r")).unwrap();
    assert!(draft.get("outcome").is_none() && draft.get("submissionId").is_none(), "{draft}");
    assert_eq!(draft["error"][0]["extension"]["countSeverity"]["error"], 2);
}

#[test]
fn nothing_to_say_is_an_answer_and_nonsense_is_none() {
    assert_eq!(StatusManifest::read(b"{}").unwrap(), StatusManifest::default());
    let odd =
        br#"{"outcome":[{"url":"u","countSeverity":[1,{"code":"error"}]}],"submissionId":"s"}"#;
    let odd = StatusManifest::read(odd).unwrap();
    assert!(odd.outcome[0].severities.is_empty());
    // The same counts in both shapes; a code that nobody knows is none.
    for counts in [
        r#"[0,{"code":"x","count":7},{"code":"error","count":"2"},{"code":"warning","count":3}]"#,
        r#"{"x":7,"error":"2","warning":3,"fatal":null,"information":[1]}"#,
    ] {
        let body = format!(r#"{{"outcome":[{{"url":"u","countSeverity":{counts}}}]}}"#);
        let read = StatusManifest::read(body.as_bytes()).unwrap();
        assert_eq!(read.outcome[0].severities, BTreeMap::from([("warning".to_owned(), 3)]));
    }
    for body in [
        &b"no"[..],
        b"[]",
        br#"{"outcome":1}"#,
        br#"{"error":[{}]}"#,
        br#"{"link":[{"relation":"next"}]}"#,
    ] {
        assert_eq!(StatusManifest::read(body).unwrap_err().code, crate::Code::ManifestInvalid);
    }
}
