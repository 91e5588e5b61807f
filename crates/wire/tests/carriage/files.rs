//! Goal: keys and certificates are usable by their owner only, and say what they are.

use jiff::Timestamp;
use std::path::PathBuf;
use wire::SigningKey;
use wire::tls::{self, certificate_days_left, server_config};

fn place(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::now_v7().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

#[test]
fn a_key_comes_back_from_its_file_and_shows_no_private_part() {
    let key = SigningKey::generate().unwrap();
    let path = place("signing.pem");
    key.write(&path).unwrap();
    let again = SigningKey::read(&path).unwrap();
    assert_eq!(key.kid(), again.kid());
    let jwk = key.public_jwk();
    assert!(jwk.get("d").is_none() && jwk["x"] != jwk["y"]);
    assert!(!format!("{key:?}").contains("PRIVATE"));
    let spki: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk).unwrap();
    let thumbprint = spki.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
    assert_eq!(thumbprint, key.kid(), "a second implementation of RFC 7638 agrees");
    assert!(SigningKey::generate().unwrap().write(&path).is_err(), "a key is never overwritten");
    assert_eq!(SigningKey::read(&path).unwrap().kid(), key.kid());
}

/// Proves: smart 229, 295
#[cfg(unix)]
#[test]
fn a_key_open_to_everybody_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let path = place("signing.pem");
    SigningKey::generate().unwrap().write(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let issue = SigningKey::read(&path).unwrap_err();
    assert_eq!(issue.code, exchange::Code::KeyUnusable);
    assert!(issue.detail.contains("0600"), "it says what to do");
}

#[test]
fn what_is_no_key_is_refused() {
    let (ca, ca_key) = tls::make_authority("a").unwrap();
    let (_, other_key) = tls::make_authority("b").unwrap();
    let hosts = ["localhost".to_owned()];
    let (chain, key) = tls::issue_server_certificate(&ca, &ca_key, &hosts).unwrap();
    let config = |chain: &str, key: &str| server_config(chain.as_bytes(), key.as_bytes()).is_ok();
    assert!(config(&chain, &key));
    assert!(!config(&chain, &other_key), "another key");
    assert!(!config(&key, &chain), "swapped");
    assert!(!config("", &key) && !config(&chain, ""), "empty");
    assert!(!config("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key));
    assert!(tls::issue_server_certificate(&ca, &other_key, &hosts).is_err(), "not its key");
    assert!(tls::issue_server_certificate(&ca, &ca_key, &[]).is_err(), "no host");
    assert!(tls::issue_server_certificate(&ca, &ca_key, &["ä b".to_owned()]).is_err(), "no name");
    assert!(SigningKey::from_pem("").is_err() && SigningKey::from_pem(&ca).is_err());
}

#[test]
fn certificates_say_how_long_they_last() {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let later: Timestamp = "2028-01-01T00:00:00Z".parse().unwrap();
    let (ca, ca_key) = tls::make_authority_at("a", now).unwrap();
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let (chain, _) = tls::issue_server_certificate_at(&ca, &ca_key, &hosts, now).unwrap();
    assert_eq!(certificate_days_left(chain.as_bytes(), now).unwrap(), 396);
    assert!(certificate_days_left(chain.as_bytes(), later).unwrap() < 0);
    assert!(certificate_days_left(ca.as_bytes(), now).unwrap() > 3_650);
    assert!(certificate_days_left(b"", now).is_err());
}
