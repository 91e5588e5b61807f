//! Goal: a file that needs a token gets one, from where metadata says and people agreed, and no other
//! place ever sees it.
//!
//! How: a house that signs partners in over TLS, and a file server by a script.

use crate::file_server::{FileServer, Step, fetcher, header};
use crate::town::{House, SCOPES};
use std::sync::Arc;
use std::time::Duration;
use wire::fetch::{Access, Bounds, Fault, Fetcher, FileHeaders, Origins, OwnCredential, Place};
use wire::server::Bounds as DoorBounds;
use wire::transport::Lines;
use wire::{KeyRing, SigningKey};

/// A fetcher of these origins that trusts the house's authority.
fn trusting(house: &House, origins: &[&str]) -> Fetcher {
    let roots = [house.ca.clone().into_bytes()];
    let lines = Lines {
        roots: &roots,
        identity: None,
        network: None,
        timeout: Duration::from_secs(30),
        answer_limit: 1_000_000,
    };
    let origins = Origins::of(origins.iter().copied()).unwrap();
    Fetcher::over(lines, origins, house.clock.clone(), Bounds::default()).unwrap()
}

fn credential(house: &House) -> OwnCredential {
    let key = SigningKey::from_pem(&house.key.to_pem()).unwrap();
    OwnCredential { client_id: "clinic".into(), keys: KeyRing::new(key), jku: None }
}

async fn count(fetcher: &Fetcher, url: &str, access: &Access) -> Result<usize, Fault> {
    let mut download = fetcher.open(url, access, Place::default()).await?;
    let mut lines = 0;
    while download.next().await?.is_some() {
        lines += 1;
    }
    Ok(lines)
}

#[tokio::test]
async fn a_file_behind_sign_in_is_read_over_tls() {
    let house = House::open(DoorBounds::default()).await;
    let fetcher = trusting(&house, &[&house.base]);
    let metadata = [format!("{}/.well-known/smart-configuration", house.base)];
    let sign_in = fetcher.sign_in(&metadata, &credential(&house), SCOPES).await.unwrap();
    let access = Access::signed(FileHeaders::default(), sign_in);
    let url = format!("{}/status/s-1/outcomes.ndjson", house.base);
    assert_eq!(count(&fetcher, &url, &access).await, Ok(1));
    assert_eq!(count(&fetcher, &url, &Access::default()).await, Err(Fault::Refused(401)));
    // An authority that nobody named is not trusted.
    let untrusting = self::fetcher(&[&house.base], &["127.0.0.1"], Bounds::default());
    let fault = count(&untrusting, &url, &access).await.unwrap_err();
    assert!(matches!(fault, Fault::Untrusted(_)), "{fault:?}");
}

#[tokio::test]
async fn metadata_leads_to_a_token_endpoint_that_was_agreed_on() {
    let house = House::open(DoorBounds::default()).await;
    let (server, other) = (FileServer::open().await, FileServer::open().await);
    let fetcher = trusting(&house, &[&house.base, &server.origin]);
    let token = format!("{}/token", server.origin);
    let smart = |endpoint: &str| Step::json(format!("{{\"token_endpoint\":\"{endpoint}\"}}"));
    let resource =
        |issuer: &str| Step::json(format!("{{\"authorization_servers\":[\"{issuer}\"]}}"));
    let well_known = "/.well-known/oauth-authorization-server/as";
    server.serve(well_known, [smart(&token)]);
    let issuer = format!("{}/as", server.origin);
    let foreign = format!("{}/token", other.origin);
    let table = [
        ("SMART", smart(&token), true),
        ("SMART, relative", smart("/token"), true),
        ("a protected resource", resource(&issuer), true),
        ("SMART elsewhere", smart(&foreign), false),
        ("an issuer elsewhere", resource(&other.origin), false),
        ("an issuer without metadata", resource(&format!("{}/none", server.origin)), false),
        (
            "an issuer whose endpoint is elsewhere",
            resource(&format!("{}/bad", server.origin)),
            false,
        ),
        ("nothing", Step::json("{}"), false),
        ("a page", Step::of(200, "{}").with("content-type", "text/html"), false),
    ];
    server.serve("/.well-known/oauth-authorization-server/bad", [smart(&foreign)]);
    let granted = r#"{"access_token":"t-1","token_type":"bearer","expires_in":300}"#;
    server.serve("/token", [Step::json(granted)]);
    let file = server.serve("/f", [Step::file("{}\n")]);
    for (case, step, leads) in table {
        let metadata = [server.serve("/meta", [step])];
        let sign_in = fetcher.sign_in(&metadata, &credential(&house), "system/*.read").await;
        assert_eq!(sign_in.is_ok(), leads, "{case}");
        server.heads();
        let Ok(sign_in) = sign_in else { continue };
        let access = Access::signed(FileHeaders::default(), sign_in);
        assert_eq!(count(&fetcher, &file, &access).await, Ok(1), "{case}");
        let heads = server.heads();
        assert_eq!(header(heads.last().unwrap(), "authorization").as_deref(), Some("Bearer t-1"));
    }
    assert_eq!(other.heads(), Vec::<String>::new(), "nobody else is asked for anything");
    let metadata = ["/nowhere".to_owned(), server.serve("/meta", [smart(&token)])];
    let second = fetcher.sign_in(&metadata, &credential(&house), "system/*.read").await;
    assert!(second.is_ok(), "the first metadata that can be used");
    assert!(fetcher.sign_in(&[], &credential(&house), "system/*.read").await.is_err());
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_never_sent_on() {
    let house = House::open(DoorBounds::default()).await;
    let (server, other) = (FileServer::open().await, FileServer::open().await);
    let fetcher = trusting(&house, &[&server.origin, &other.origin]);
    let granted = |token: &str| {
        let told = format!(
            "{{\"access_token\":\"{token}\",\"token_type\":\"bearer\",\"expires_in\":300}}"
        );
        Step::json(told)
    };
    server.serve("/token", ["t-1", "t-2", "t-3"].map(granted));
    let told = format!("{{\"token_endpoint\":\"{}/token\"}}", server.origin);
    let metadata = [server.serve("/meta", [Step::json(told)])];
    let sign_in = fetcher.sign_in(&metadata, &credential(&house), "system/*.read").await.unwrap();
    let access = Access::signed(FileHeaders::default(), Arc::clone(&sign_in));
    let sent = |server: &FileServer| -> Vec<String> {
        server.heads().iter().filter_map(|head| header(head, "authorization")).collect()
    };

    let url = server.serve("/f", [Step::of(401, ""), Step::file("{}\n")]);
    assert_eq!(count(&fetcher, &url, &access).await, Ok(1));
    assert_eq!(sent(&server), ["Bearer t-1", "Bearer t-2"]);

    let url = server.serve("/f", [Step::of(401, "")]);
    assert_eq!(count(&fetcher, &url, &access).await, Err(Fault::Refused(401)));
    assert_eq!(sent(&server), ["Bearer t-2", "Bearer t-3"]);

    // Agreed on as well, and yet no place to be redirected to with a token.
    let to = other.serve("/f", [Step::file("{}\n")]);
    let url = server.serve("/moved", [Step::of(302, "").with("location", &to)]);
    assert!(matches!(count(&fetcher, &url, &access).await, Err(Fault::NotAgreed(_))));
    assert_eq!(other.heads(), Vec::<String>::new());
    server.heads();

    // The authorization server's own troubles pass, or do not, by themselves.
    server.serve("/token", [Step::of(503, "")]);
    let away = fetcher.sign_in(&metadata, &credential(&house), "system/*.read").await.unwrap();
    let fault = count(&fetcher, &url, &Access::signed(FileHeaders::default(), away)).await;
    assert!(fault.unwrap_err().is_passing());
    server.serve("/token", [Step::of(400, "{}")]);
    let refusing = fetcher.sign_in(&metadata, &credential(&house), "system/*.read").await.unwrap();
    let fault = count(&fetcher, &url, &Access::signed(FileHeaders::default(), refusing)).await;
    assert!(!fault.unwrap_err().is_passing());
    assert!(sent(&server).is_empty(), "no file was asked for without its token");
}
