//! What the tests share: a clock that stands still, two communities, a payer's gate, JWTs to spoil.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use exchange::registration::{Registration, Said};
use exchange::{Issue, Purpose};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use wire::pki::make::{self, Made};
use wire::pki::{Trust, read_pem};
use wire::trust::udap::{Community, Decided, Identity, Membership, Registry, Standing, Udap};
use wire::{Answer, BoxFuture, Clock, Credential, Gate, MemoryReplay, SigningKey};

pub(crate) const NOW: &str = "2026-11-22T12:00:00Z";
pub(crate) const BASE: &str = "https://plan.example/fhir";
pub(crate) const CLIENT: &str = "https://clinic.example/app";
pub(crate) const TOWN: &str = "urn:example:town";
pub(crate) const COUNTY: &str = "urn:example:county";

pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        now()
    }
}

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Certificates are drawn once: RSA keys take their time.
pub(crate) struct Papers {
    pub(crate) town: Made,
    pub(crate) county: Made,
    pub(crate) server_town: Made,
    pub(crate) server_county: Made,
    pub(crate) client: Made,
    pub(crate) other: Made,
    pub(crate) client_county: Made,
    pub(crate) revoked: Made,
}

pub(crate) static PAPERS: LazyLock<Papers> = LazyLock::new(|| {
    let (town, county) = (make::community("Town", now()), make::community("County", now()));
    let (town, county) = (town.unwrap(), county.unwrap());
    let leaf = |authority: &Made, uri: &str| {
        make::application(authority, "application", &[uri.to_owned()], now()).unwrap()
    };
    Papers {
        server_town: leaf(&town, BASE),
        server_county: leaf(&county, BASE),
        client: leaf(&town, CLIENT),
        other: leaf(&town, "https://other.example/app"),
        client_county: leaf(&county, CLIENT),
        revoked: leaf(&town, "https://revoked.example/app"),
        town,
        county,
    }
});

pub(crate) fn serial(made: &Made) -> Vec<u8> {
    let der = read_pem(made.certificate.as_bytes()).unwrap().remove(0);
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    read.raw_serial().to_vec()
}

pub(crate) fn trust(authority: &Made) -> Arc<Trust> {
    let revoked = [serial(&PAPERS.revoked)];
    let revoked = if authority.key == PAPERS.town.key { &revoked[..] } else { &[] };
    let list = make::revoked(authority, revoked, now()).unwrap();
    Arc::new(Trust::read(authority.certificate.as_bytes(), &[list.into_bytes()], true).unwrap())
}

pub(crate) fn community(uri: &str, authority: &Made, own: &Made) -> Community {
    let identity = Identity::from_pem(own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
    Community::new(uri, Membership { trust: trust(authority), identity: Arc::new(identity) })
}

/// Registrations in memory; `named`: whom a partner's file names, in the town.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) rows: Mutex<BTreeMap<String, (Said, Option<Standing>)>>,
    pub(crate) writes: AtomicU64,
    pub(crate) editions: Mutex<BTreeMap<String, u64>>,
}

impl Book {
    fn stand(said: &Said) -> Standing {
        Standing {
            client_id: Registration::client_of(&said.community, &said.uri),
            partner: "clinic".into(),
            community: said.community.clone(),
            uri: said.uri.clone(),
            scopes: said.scope.split(' ').map(str::to_owned).collect(),
            purposes: [Purpose::Payment, Purpose::Treatment].into(),
        }
    }
}

impl Registry for Book {
    fn register(&self, said: Said) -> BoxFuture<'_, Result<Decided, Issue>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let named = said.uri == CLIENT;
        let standing = Book::stand(&said);
        let held = named.then(|| standing.clone());
        *self.editions.lock().unwrap().entry(standing.client_id.clone()).or_default() += 1;
        let before = self.rows.lock().unwrap().insert(standing.client_id.clone(), (said, held));
        Box::pin(async move {
            Ok(match (named, before) {
                (false, _) => Decided::Waiting,
                (true, Some((_, Some(_)))) => Decided::Changed(standing),
                (true, _) => Decided::New(standing),
            })
        })
    }

    fn cancel<'a>(
        &'a self,
        community: &'a str,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Issue>> {
        let client = Registration::client_of(community, uri);
        let gone = self.rows.lock().unwrap().remove(&client);
        Box::pin(async move { Ok(gone.map(|_| client)) })
    }

    fn current<'a>(&'a self, client_id: &'a str) -> BoxFuture<'a, Result<Option<Standing>, Issue>> {
        let standing = self.standing(client_id);
        Box::pin(async move { Ok(standing) })
    }

    fn standing(&self, client_id: &str) -> Option<Standing> {
        self.rows.lock().unwrap().get(client_id)?.1.clone()
    }

    fn edition(&self, client_id: &str) -> Option<u64> {
        self.editions.lock().unwrap().get(client_id).copied()
    }
}

pub(crate) struct Village {
    pub(crate) gate: Gate,
    pub(crate) book: Arc<Book>,
}

impl Village {
    pub(crate) fn new() -> Village {
        let (book, clock) = (Arc::new(Book::default()), Arc::new(Noon));
        let replay = Arc::new(MemoryReplay::new(clock.clone()));
        let communities = vec![
            community(TOWN, &PAPERS.town, &PAPERS.server_town),
            community(COUNTY, &PAPERS.county, &PAPERS.server_county),
        ];
        let udap =
            Udap::new(BASE, communities, book.clone(), replay.clone(), clock.clone()).unwrap();
        let key = SigningKey::generate().unwrap();
        let credential = Credential {
            client_id: "clinic".into(),
            partner: "clinic".into(),
            jwks: key.jwks(),
            scopes: vec!["system/Encounter.cruds".into(), "system/Patient.rs".into()],
        };
        let gate = Gate::new(BASE, vec![credential], [7; 32], replay, clock);
        Village { gate: gate.with_udap(Arc::new(udap)), book }
    }

    /// One in which the client is registered.
    pub(crate) async fn registered() -> Village {
        let village = Village::new();
        let answer = village.register(&statement(&PAPERS.client, |_| {})).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        village
    }

    pub(crate) async fn register(&self, statement: &str) -> Answer {
        let body = json!({ "software_statement": statement, "udap": "1" });
        self.gate.register_udap(body.to_string().as_bytes()).await.unwrap()
    }

    pub(crate) async fn token(&self, assertion: &str) -> Answer {
        self.gate.token_of(form(assertion, &[]).as_bytes(), false, None).await
    }
}

pub(crate) fn told(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

pub(crate) fn client_id() -> String {
    Registration::client_of(TOWN, CLIENT)
}

/// A token request; a parameter that is named replaces the proper one, an empty one drops it.
pub(crate) fn form(assertion: &str, changed: &[(&str, &str)]) -> String {
    let proper = [
        ("grant_type", "client_credentials"),
        ("scope", "system/Encounter.cruds"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("udap", "1"),
    ];
    let is_changed = |name: &str| changed.iter().any(|(other, _)| *other == name);
    let kept = proper.iter().filter(|(name, _)| !is_changed(name));
    let all = kept.chain(changed).filter(|(_, value)| !value.is_empty());
    wire::urlencoded::encode(all.copied())
}

fn jti() -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    format!("jti-{}", DRAWN.fetch_add(1, Ordering::SeqCst))
}

/// The claims of a proper authentication token.
pub(crate) fn assertion_claims() -> Value {
    let at = now().as_second();
    json!({
        "iss": client_id(), "sub": client_id(), "aud": format!("{BASE}/token"),
        "iat": at, "exp": at + 240, "jti": jti(),
        "extensions": { "hl7-b2b": {
            "version": "1", "organization_id": "https://clinic.example",
            "purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#HPAYMT"],
        }},
    })
}

/// A proper authentication token, spoiled in its claims.
pub(crate) fn assertion(own: &Made, spoil: impl Fn(&mut Value)) -> String {
    let mut claims = assertion_claims();
    spoil(&mut claims);
    sign(own, "RS256", &x5c(own), &claims)
}

/// A proper software statement, spoiled in its claims.
pub(crate) fn statement(own: &Made, spoil: impl Fn(&mut Value)) -> String {
    let at = now().as_second();
    let uri = wire::pki::uris(&read_pem(own.certificate.as_bytes()).unwrap()[0]).remove(0);
    let mut claims = json!({
        "iss": uri, "sub": uri, "aud": format!("{BASE}/register"),
        "iat": at, "exp": at + 240, "jti": jti(),
        "client_name": "Clinic", "contacts": ["mailto:it@clinic.example"],
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": "system/Encounter.cruds system/Patient.rs",
    });
    spoil(&mut claims);
    sign(own, "RS256", &x5c(own), &claims)
}

pub(crate) fn x5c(own: &Made) -> Vec<String> {
    let read = read_pem(own.certificate.as_bytes()).unwrap();
    read.iter().map(|der| STANDARD.encode(der)).collect()
}

/// A JWT by this key, whatever its header says.
pub(crate) fn sign(own: &Made, alg: &str, x5c: &[String], claims: &Value) -> String {
    let header = json!({ "alg": alg, "x5c": x5c });
    let (header, claims) = (header.to_string(), claims.to_string());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(own.key.as_bytes()).unwrap();
    let algorithm = match alg {
        "RS384" => jsonwebtoken::Algorithm::RS384,
        "RS512" => jsonwebtoken::Algorithm::RS512,
        _ => jsonwebtoken::Algorithm::RS256,
    };
    let signature = match alg {
        "none" => String::new(),
        // The public key as the secret of a MAC, as confused verifiers take it.
        "HS256" => {
            let der = read_pem(own.certificate.as_bytes()).unwrap().remove(0);
            let (_, leaf) = x509_parser::parse_x509_certificate(&der).unwrap();
            let secret = jsonwebtoken::EncodingKey::from_secret(leaf.public_key().raw);
            let mac = jsonwebtoken::Algorithm::HS256;
            jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, mac).unwrap()
        }
        _ => jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap(),
    };
    format!("{signed}.{signature}")
}
