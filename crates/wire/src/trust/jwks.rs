//! Key set: a partner's public keys where the partner publishes them.
//!
//! Comes in   the URL of a registration, a transport that trusts the partner's authority, a clock.
//! Goes out   the keys that may sign, with an id each; words on why there are none, for this house.
//! Never      follows a redirect, asks a URL that a token brings (`jku`), asks twice at once, or keeps
//!            a key that its partner has removed.
//!
//! Why no redirect at all: SMART App Launch 2.2 registers one URL and knows no other, and whoever can
//! redirect it could as well name the new one in the registration. Why strangers cannot make us ask:
//! between two fetches there is a floor, whatever key ids come, while the set is as its partner wants it
//! or its URL is away. Why an old set verifies nobody, even then: SMART App Launch 2.2 (registering a
//! client, JWKS URL) lets it be kept no longer than its headers say. A token that was given for a key
//! stands as long as the newest set that is known has the key.

use crate::clock::Clock;
use crate::limits::{
    JWKS_BYTES_MAX, JWKS_KEEP, JWKS_KEEP_MAX, JWKS_KEYS_MAX, JWKS_REFRESH_FLOOR, JWKS_WAIT_MAX,
    KID_BYTES_MAX,
};
use crate::transport::{Transport, TransportError};
use bytes::Bytes;
use exchange::{Code, Issue};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Members of a JWK that are private or secret (RFC 7518 §6): whoever publishes one has lost the key.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/// The keys behind one URL.
pub struct KeySet {
    url: String,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    /// How long a request waits for a fetch.
    wait: Duration,
    kept: Mutex<Kept>,
    /// One fetch at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What the last fetches brought.
#[derive(Default)]
struct Kept {
    keys: Option<Arc<Value>>,
    /// Until when the set may be used.
    fresh_until: Timestamp,
    /// When the URL was asked last, whatever came of it.
    asked: Option<Timestamp>,
    /// How often it was asked.
    rounds: u64,
    trouble: Option<String>,
}

impl Kept {
    fn fresh(&self, now: Timestamp) -> Option<Arc<Value>> {
        self.keys.clone().filter(|_| self.is_fresh(now))
    }

    /// What was asked for later than now was so before the clock was set back: how old it is cannot be
    /// said any more.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.asked.is_some_and(|asked| asked <= now) && now < self.fresh_until
    }

    fn holds(&self, kid: &str) -> bool {
        self.keys.as_ref().is_some_and(|keys| has_key(keys, kid))
    }

    /// Whether the URL should be asked for this key, and may be: at once where the time of a good set
    /// is over, else not again before the floor.
    fn wants(&self, kid: &str, now: Timestamp) -> bool {
        let fresh = self.is_fresh(now);
        let over = !fresh && self.trouble.is_none();
        let floor = |asked| now < asked || now >= later(asked, JWKS_REFRESH_FLOOR);
        !(fresh && self.holds(kid)) && (over || self.asked.is_none_or(floor))
    }
}

impl KeySet {
    /// The keys at a URL; nothing is asked before the first sign-in.
    ///
    /// Errors: `ConfigInvalid` unless the URL is `https` without a user in it.
    pub fn new(
        url: &str,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<KeySet>, Issue> {
        KeySet::waiting(JWKS_WAIT_MAX, url, transport, clock)
    }

    /// The same, for which a request waits so long at most.
    pub fn waiting(
        wait: Duration,
        url: &str,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<KeySet>, Issue> {
        let uri: Option<http::Uri> = url.parse().ok();
        let safe = uri.filter(|uri| {
            let user = uri.authority().is_none_or(|it| it.as_str().contains('@'));
            uri.scheme_str() == Some("https") && !user
        });
        if safe.is_none() {
            let detail = "the keys of a partner are at an https URL";
            return Err(Issue::new(Code::ConfigInvalid, detail).at("jwks_url"));
        }
        let (kept, turn) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Ok(Arc::new(KeySet { url: url.to_owned(), transport, clock, wait, kept, turn }))
    }

    /// The URL, as it was registered.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How long a request waits for a fetch at most.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// What is wrong with the last answer of the URL; none where it was good.
    pub fn trouble(&self) -> Option<String> {
        self.kept().trouble.clone()
    }

    /// Whether a key is in the newest set that is known.
    pub fn holds(&self, kid: &str) -> bool {
        self.kept().holds(kid)
    }

    /// The keys as they are known, without asking for them; none where their time is over.
    pub(crate) fn known(&self) -> Option<Arc<Value>> {
        self.kept().fresh(self.clock.now())
    }

    /// The keys as they are now: asked for where the set's time is over or it has no such key, and the
    /// floor between two fetches permits it. None where none may be used.
    ///
    /// A fetch goes on behind a request that has waited long enough, so that the next one finds it.
    pub async fn keys(self: &Arc<Self>, kid: &str) -> Option<Arc<Value>> {
        if !self.kept().wants(kid, self.clock.now()) {
            return self.known();
        }
        let (set, kid, round) = (Arc::clone(self), kid.to_owned(), self.kept().rounds);
        let fetch = tokio::spawn(async move { set.refresh(&kid, round).await });
        let fetched = tokio::time::timeout(self.wait, fetch).await;
        fetched.ok().and_then(Result::ok).unwrap_or_else(|| self.known())
    }

    /// Asks the URL, unless somebody has just done so. A set that may not be kept at all serves the
    /// requests that came before it was asked for: a queue of strangers would keep its client out.
    async fn refresh(&self, kid: &str, round: u64) -> Option<Arc<Value>> {
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        {
            let mut kept = self.kept();
            if kept.rounds > round && kept.trouble.is_none() {
                return kept.keys.clone();
            }
            if !kept.wants(kid, now) {
                return kept.fresh(now);
            }
            kept.asked = Some(now);
            kept.rounds += 1;
        }
        let fetched = self.fetch().await;
        let mut kept = self.kept();
        match fetched {
            Ok((keys, keep)) => {
                kept.keys = Some(Arc::new(keys));
                kept.fresh_until = later(now, keep);
                kept.trouble = None;
                kept.keys.clone()
            }
            Err(words) => {
                tracing::warn!(%words, "a partner's jwks_url");
                kept.trouble = Some(words);
                kept.fresh(self.clock.now())
            }
        }
    }

    /// The keys at the URL, and how long they may be kept. The error is a sentence for this house.
    async fn fetch(&self) -> Result<(Value, Duration), String> {
        let request = Request::get(&self.url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Bytes::new())
            .map_err(|_| "the URL cannot be used".to_owned())?;
        let answer = self.transport.send(request).await.map_err(|error| match error {
            TransportError::AnswerTooLarge => TOO_LARGE.to_owned(),
            error => error.to_string(),
        })?;
        read_answer(&answer)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TOO_LARGE: &str = "the set of keys is larger than 64 KB";

/// What an answer of the URL holds.
fn read_answer(answer: &Response<Bytes>) -> Result<(Value, Duration), String> {
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            return Err("the URL redirects; register the one it leads to".to_owned());
        }
        status => return Err(format!("the URL answers {}", status.as_u16())),
    }
    let keys = read_keys(answer.body())?;
    Ok((keys, keep(answer.headers())))
}

/// The keys of a set that may sign (RFC 7517 §5: what is of no use is passed over); the error is a
/// sentence.
fn read_keys(body: &[u8]) -> Result<Value, &'static str> {
    if body.len() > JWKS_BYTES_MAX {
        return Err(TOO_LARGE);
    }
    let set: Value = serde_json::from_slice(body).map_err(|_| "the set of keys is not JSON")?;
    let keys = set["keys"].as_array().ok_or("the set has no array of keys")?;
    if keys.len() > JWKS_KEYS_MAX {
        return Err("the set holds more than 50 keys");
    }
    let secret =
        |key: &&Value| key["kty"] == "oct" || PRIVATE.iter().any(|it| key.get(it).is_some());
    if keys.iter().any(|key| secret(&key)) {
        return Err("the set publishes a secret or private key: all of its keys are refused");
    }
    let mut ids = BTreeSet::new();
    let mut usable = Vec::new();
    for key in keys.iter().filter(|key| signs(key)) {
        let kid = key["kid"].as_str().filter(|kid| (1..=KID_BYTES_MAX).contains(&kid.len()));
        let kid = kid.ok_or("a key of the set has no kid, or one of more than 200 bytes")?;
        if !ids.insert(kid) {
            return Err("two keys of the set have one kid: which of them signs is unclear");
        }
        usable.push(key.clone());
    }
    if usable.is_empty() {
        return Err("no key of the set is for signing with RS384 or ES384");
    }
    Ok(json!({ "keys": usable }))
}

/// Whether a key is one that an assertion can be verified with.
fn signs(key: &Value) -> bool {
    let text = |member: &str| key[member].as_str();
    let operations = key.get("key_ops").and_then(Value::as_array);
    let verifies = operations.is_none_or(|operations| operations.iter().any(|it| it == "verify"));
    let used = key.get("use").is_none_or(|used| used == "sig");
    let kind = match text("kty") {
        Some("EC") => text("crv") == Some("P-384") && text("x").is_some() && text("y").is_some(),
        Some("RSA") => text("n").is_some() && text("e").is_some(),
        _ => false,
    };
    kind && used && verifies
}

/// How long a set may be kept (RFC 9111 §5.2.2), within our bounds.
fn keep(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives = values.flat_map(|value| value.split(','));
    let mut keep = JWKS_KEEP;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Duration::ZERO,
            "max-age" => {
                // What cannot be read as seconds is stale (§4.2.1).
                let seconds = value.trim().trim_matches('"').parse().unwrap_or(0);
                keep = Duration::from_secs(seconds).min(JWKS_KEEP_MAX);
            }
            _ => {}
        }
    }
    keep
}

/// Whether a set holds a key with this id.
pub(crate) fn has_key(jwks: &Value, kid: &str) -> bool {
    jwks["keys"].as_array().into_iter().flatten().any(|key| key["kid"] == kid)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    //! Goal: only a set that can be trusted is taken, and it is kept as long as its partner says.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_keys_that_sign_are_taken() {
        let ec = |kid: &str, with: Value| {
            let mut key = json!({ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": kid });
            for (member, value) in with.as_object().unwrap() {
                key[member] = value.clone();
            }
            key
        };
        let plain = |kid: &str| ec(kid, json!({}));
        let rsa = json!({ "kty": "RSA", "n": "AA", "e": "AQAB", "kid": "r" });
        let table: [(&str, Value, Result<usize, &str>); 16] = [
            ("one", json!([plain("a")]), Ok(1)),
            ("two kinds", json!([plain("a"), rsa]), Ok(2)),
            (
                "one for encryption beside",
                json!([plain("a"), ec("b", json!({"use": "enc"}))]),
                Ok(1),
            ),
            ("another curve beside", json!([plain("a"), ec("b", json!({"crv": "P-256"}))]), Ok(1)),
            ("an unknown kind beside", json!([plain("a"), { "kty": "AKP", "kid": "b" }]), Ok(1)),
            ("only for encryption", json!([ec("a", json!({"use": "enc"}))]), Err("no key")),
            (
                "only for encryption by key_ops",
                json!([ec("a", json!({"key_ops": ["encrypt"]}))]),
                Err("no key"),
            ),
            ("only another curve", json!([ec("a", json!({"crv": "P-256"}))]), Err("no key")),
            ("none", json!([]), Err("no key")),
            ("one id twice", json!([plain("a"), plain("a")]), Err("one kid")),
            ("no id", json!([ec("a", json!({ "kid": null }))]), Err("no kid")),
            ("an empty id", json!([plain("")]), Err("no kid")),
            (
                "a symmetric key",
                json!([plain("a"), { "kty": "oct", "k": "c2VjcmV0", "kid": "b" }]),
                Err("secret"),
            ),
            ("a private key", json!([ec("a", json!({ "d": "AA" }))]), Err("secret")),
            ("no list", json!({}), Err("array")),
            (
                "too many",
                json!((0..51).map(|it| plain(&it.to_string())).collect::<Vec<_>>()),
                Err("more than"),
            ),
        ];
        for (case, keys, expected) in table {
            let read = read_keys(json!({ "keys": keys }).to_string().as_bytes());
            match (read, expected) {
                (Ok(set), Ok(count)) => {
                    assert_eq!(set["keys"].as_array().unwrap().len(), count, "{case}")
                }
                (Err(words), Err(part)) => assert!(words.contains(part), "{case}: {words}"),
                (read, _) => panic!("{case}: {read:?}"),
            }
        }
        assert!(read_keys(b"<html>").unwrap_err().contains("not JSON"));
        assert!(read_keys(&vec![b' '; JWKS_BYTES_MAX + 1]).unwrap_err().contains("larger"));
    }

    #[test]
    fn a_set_is_kept_no_longer_than_its_partner_says() {
        let table = [
            ("nothing said", vec![], JWKS_KEEP.as_secs()),
            ("so long", vec!["public, max-age=90"], 90),
            ("longer than we would", vec!["max-age=31536000"], JWKS_KEEP_MAX.as_secs()),
            ("not at all", vec!["max-age=600, no-store"], 0),
            ("never unasked", vec!["no-cache", "max-age=600"], 0),
            ("zero", vec!["max-age=0"], 0),
            ("what is no number", vec!["max-age=-1"], 0),
            ("in capitals", vec!["Max-Age=60"], 60),
            ("of shared caches", vec!["s-maxage=5"], JWKS_KEEP.as_secs()),
        ];
        for (case, values, seconds) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, value.parse().unwrap());
            }
            assert_eq!(keep(&headers).as_secs(), seconds, "{case}");
        }
    }
}
