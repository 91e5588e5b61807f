//! Goal: a certificate speaks for the one partner that registered it, a token for the connection it
//! was got over; and no partner's URL leads into this house's own network.
//!
//! How: real handshakes on loopback with certificates of several authorities.

use crate::town::{NOW, Records, SCOPES, SetClock, claims, credential, token_form};
use bytes::Bytes;
use exchange::partner::ClientCertificate;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response};
use jiff::Timestamp;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wire::reach::Network;
use wire::server::{Bounds, serve_within};
use wire::transport::Lines;
use wire::trust::mutual::{Certificates, asking};
use wire::{Gate, HttpTransport, MemoryReplay, SigningKey, Transport, TransportError, tls};

/// An authority, and what it issues.
struct Authority {
    pem: String,
    key: String,
}

/// Chain and key, as a transport takes them.
type Identity = Vec<u8>;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

impl Authority {
    fn new(name: &str) -> Authority {
        let (pem, key) = tls::make_authority_at(name, now()).unwrap();
        Authority { pem, key }
    }

    fn client(&self, uri: &str) -> Identity {
        let key = SigningKey::generate().unwrap();
        let issued = tls::issue_client_certificate_at(&self.pem, &self.key, uri, &key, now());
        [issued.unwrap(), key.to_pem()].concat().into_bytes()
    }

    /// A certificate that is spoilt in one way.
    fn spoilt(&self, uri: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
        spoil(&mut params);
        let issuer = Issuer::from_ca_cert_pem(&self.pem, KeyPair::from_pem(&self.key).unwrap());
        let certificate = params.signed_by(&key, &issuer.unwrap()).unwrap();
        [certificate.pem(), key.serialize_pem()].concat().into_bytes()
    }
}

fn by_san(authority: &Authority, san: &str) -> ClientCertificate {
    let (authority, san) = (authority.pem.clone(), san.to_owned());
    ClientCertificate { authority, san, ..ClientCertificate::default() }
}

/// A self-signed certificate, and what registers it.
fn pinned(from: (i32, u8, u8), until: (i32, u8, u8)) -> (Identity, ClientCertificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    let certificate = params.self_signed(&key).unwrap();
    let digest: [u8; 32] = Sha256::digest(certificate.der()).into();
    let sha256 = exchange::Digest(digest).to_string();
    let registered = ClientCertificate { sha256, ..ClientCertificate::default() };
    ([certificate.pem(), key.serialize_pem()].concat().into_bytes(), registered)
}

/// A plan with three partners: `alone` signs in by its certificate, `clinic` by SMART, `strict` by
/// SMART over its certificate only.
struct Plan {
    base: String,
    ca: String,
    clock: Arc<SetClock>,
    keys: HashMap<&'static str, SigningKey>,
    gate: Arc<Gate>,
    /// Whether the exchange with `alone` is suspended.
    suspended: Arc<AtomicBool>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.served.abort();
    }
}

fn known(registered: &[(&str, ClientCertificate, bool)], revoked: &[Vec<u8>]) -> Certificates {
    let mut certificates = Certificates::default();
    for (client_id, certificate, alone) in registered {
        certificates.register(client_id, certificate, *alone, revoked).unwrap();
    }
    certificates
}

impl Plan {
    async fn open(registered: &[(&str, ClientCertificate, bool)], revoked: &[Vec<u8>]) -> Plan {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}/fhir", listener.local_addr().unwrap());
        let (ca, ca_key) = tls::make_authority("plan").unwrap();
        let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let (chain, key) = tls::issue_server_certificate(&ca, &ca_key, &hosts).unwrap();
        let shown = tls::LiveCertificate::new(chain.as_bytes(), key.as_bytes()).unwrap();
        let tls = tls::live_server_config(Arc::new(shown), Some(asking())).unwrap();
        let mut keys = HashMap::new();
        for name in ["alone", "clinic", "strict", "other"] {
            keys.insert(name, SigningKey::generate().unwrap());
        }
        let credentials = keys.iter().map(|(name, key)| credential(name, key, SCOPES)).collect();
        let clock = SetClock::new();
        let replay = Arc::new(MemoryReplay::new(clock.clone()));
        let gate = Gate::new(&base, credentials, [7; 32], replay, clock.clone());
        let gate = gate.with_certificates(known(registered, revoked));
        let suspended = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&suspended);
        let stopped = move |name: &str| name == "partner of alone" && asked.load(Ordering::SeqCst);
        let gate = Arc::new(gate.with_suspended(Arc::new(stopped)));
        let router = wire::rest::router(Arc::new(Records::default()), Arc::clone(&gate));
        let router = wire::rest::mount("/fhir", router);
        let stop = std::future::pending();
        let served =
            tokio::spawn(serve_within(Bounds::default(), listener, Some(tls), router, stop));
        Plan { base, ca, clock, keys, gate, suspended, served }
    }

    fn transport(&self, identity: Option<&[u8]>) -> HttpTransport {
        HttpTransport::over(Lines {
            roots: &[self.ca.clone().into_bytes()],
            identity,
            network: None,
            timeout: Duration::from_secs(30),
            answer_limit: 1 << 20,
        })
        .unwrap()
    }

    async fn read(&self, identity: Option<&[u8]>, token: Option<&str>) -> Response<Bytes> {
        self.read_over(&self.transport(identity), token).await
    }

    async fn read_over(&self, line: &HttpTransport, token: Option<&str>) -> Response<Bytes> {
        let mut request = Request::get(format!("{}/Patient/1", self.base));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        line.send(request.body(Bytes::new()).unwrap()).await.unwrap()
    }

    /// What the token endpoint answers to a client over a connection.
    async fn sign_in(&self, client: &str, identity: Option<&[u8]>, jti: &str) -> (u16, Value) {
        let endpoint = format!("{}/token", self.base);
        let assertion = self.keys[client].sign(&claims(client, &endpoint, jti)).unwrap();
        let request = Request::post(endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(token_form(&assertion, SCOPES)));
        let answer = self.transport(identity).send(request.unwrap()).await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    async fn token(&self, client: &str, identity: Option<&[u8]>, jti: &str) -> String {
        let (_, told) = self.sign_in(client, identity, jti).await;
        told["access_token"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
    }
}

const URI: &str = "https://alone.example/fhir";

#[tokio::test]
async fn a_certificate_alone_signs_in_for_its_own_partner_and_nobody_else_does() {
    let (ours, theirs) = (Authority::new("alone authority"), Authority::new("other authority"));
    // The same name, another key: a forger's.
    let forged = Authority::new("alone authority");
    let (self_signed, _) = pinned((2026, 1, 1), (2027, 1, 1));
    let other = "https://other.example/fhir";
    let registered = [
        ("alone", by_san(&ours, &format!("uri:{URI}")), true),
        ("other", by_san(&theirs, &format!("uri:{other}")), true),
        ("clinic", by_san(&ours, "uri:https://clinic.example/fhir"), false),
    ];
    let plan = Plan::open(&registered, &[]).await;
    let dates = |from: (i32, u8, u8), until: (i32, u8, u8)| {
        ours.spoilt(URI, |params| {
            params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        })
    };
    let used_for = |usage| ours.spoilt(URI, |params| params.extended_key_usages = vec![usage]);
    let table: Vec<(&str, Option<Identity>, u16)> = vec![
        ("its own", Some(ours.client(URI)), 200),
        ("another partner's own", Some(theirs.client(other)), 200),
        ("none", None, 401),
        ("its name, by another partner's authority", Some(theirs.client(URI)), 401),
        ("another partner's name, by its authority", Some(ours.client(other)), 401),
        ("its name, by an authority of the same name", Some(forged.client(URI)), 401),
        ("its authority, an unknown name", Some(ours.client("https://alone.example/fhir2")), 401),
        ("a slash more", Some(ours.client("https://alone.example/fhir/")), 401),
        ("another case", Some(ours.client("https://Alone.example/fhir")), 401),
        (
            "its name as a DNS name",
            Some(ours.spoilt(URI, |params| {
                params.subject_alt_names =
                    vec![SanType::DnsName("alone.example".try_into().unwrap())];
            })),
            401,
        ),
        (
            "its name in the subject only",
            Some(ours.spoilt(URI, |params| {
                params.subject_alt_names.clear();
                params.distinguished_name.push(rcgen::DnType::CommonName, URI);
            })),
            401,
        ),
        ("expired", Some(dates((2026, 1, 1), (2026, 11, 1))), 401),
        ("not valid yet", Some(dates((2026, 12, 1), (2027, 1, 1))), 401),
        ("for servers", Some(used_for(ExtendedKeyUsagePurpose::ServerAuth)), 401),
        ("for signing mail", Some(used_for(ExtendedKeyUsagePurpose::EmailProtection)), 401),
        ("self-signed", Some(self_signed), 401),
        ("one of who signs in by SMART", Some(ours.client("https://clinic.example/fhir")), 401),
    ];
    for (case, identity, status) in table {
        let answer = plan.read(identity.as_deref(), None).await;
        assert_eq!(answer.status(), status, "{case}");
        if status == 401 {
            let told: Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(told["resourceType"], "OperationOutcome", "{case}");
        }
    }
    let bad = plan.read(Some(&ours.client(URI)), Some("hd1.made.up")).await;
    assert_eq!(bad.status(), 401, "who shows a token is judged by it");
}

#[tokio::test]
async fn a_certificate_of_a_suspended_partner_is_refused_on_the_connection_it_has() {
    let (ours, other) = (Authority::new("alone authority"), "https://other.example/fhir");
    let by = |uri: &str| by_san(&ours, &format!("uri:{uri}"));
    let plan = Plan::open(&[("alone", by(URI), true), ("other", by(other), true)], &[]).await;
    let [line, others] = [URI, other].map(|uri| plan.transport(Some(&ours.client(uri))));
    for (suspended, status) in [(false, 200), (true, 403), (false, 200)] {
        plan.suspended.store(suspended, Ordering::SeqCst);
        assert_eq!(plan.read_over(&line, None).await.status(), status, "suspended: {suspended}");
        assert_eq!(plan.read_over(&others, None).await.status(), 200, "somebody else");
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_that_very_one_and_only_while_it_is_valid() {
    let (good, registered) = pinned((2026, 1, 1), (2027, 1, 1));
    let (expired, old) = pinned((2025, 1, 1), (2026, 1, 1));
    let (other, _) = pinned((2026, 1, 1), (2027, 1, 1));
    let plan = Plan::open(&[("alone", registered, true), ("other", old, true)], &[]).await;
    let table =
        [("that one", good, 200), ("an expired one", expired, 401), ("another", other, 401)];
    for (case, identity, status) in table {
        assert_eq!(plan.read(Some(&identity), None).await.status(), status, "{case}");
    }
}

#[tokio::test]
async fn a_certificate_that_two_clients_registered_is_nobodys() {
    let (identity, registered) = pinned((2026, 1, 1), (2027, 1, 1));
    let both = [("alone", registered.clone(), true), ("other", registered, true)];
    let plan = Plan::open(&both, &[]).await;
    assert_eq!(plan.read(Some(&identity), None).await.status(), 401);
}

#[tokio::test]
async fn a_token_that_was_got_with_a_certificate_is_of_use_with_it_only() {
    let ours = Authority::new("clinic authority");
    let certificate = by_san(&ours, "uri:https://clinic.example/fhir");
    let strict =
        ClientCertificate { required: true, ..by_san(&ours, "uri:https://strict.example/fhir") };
    let registered = [("clinic", certificate, false), ("strict", strict, false)];
    let plan = Plan::open(&registered, &[]).await;
    let own = ours.client("https://clinic.example/fhir");
    let renewed = ours.client("https://clinic.example/fhir");
    let strict = ours.client("https://strict.example/fhir");
    let foreign = Authority::new("foreign").client("https://clinic.example/fhir");
    let bound = plan.token("clinic", Some(&own), "1").await;
    let free = plan.token("clinic", None, "2").await;
    let table: [(&str, &str, Option<&[u8]>, u16); 7] = [
        ("with the certificate", &bound, Some(&own), 200),
        ("stolen, without one", &bound, None, 401),
        ("stolen, with a thief's own", &bound, Some(&foreign), 401),
        ("stolen by another partner", &bound, Some(&strict), 401),
        ("with a newer one of its own", &bound, Some(&renewed), 401),
        ("got without, used without", &free, None, 200),
        ("got without, used with", &free, Some(&own), 200),
    ];
    for (case, token, identity, status) in table {
        assert_eq!(plan.read(identity, Some(token)).await.status(), status, "{case}");
    }
    let table: [(&str, &str, Option<&[u8]>, u16); 5] = [
        ("a token needs the certificate", "strict", None, 401),
        ("and that of a foreign authority is none", "strict", Some(&foreign), 401),
        ("its own", "strict", Some(&strict), 200),
        ("another partner's at the token endpoint", "strict", Some(&own), 401),
        ("another partner's, where none is needed", "clinic", Some(&strict), 401),
    ];
    for (case, client, identity, status) in table {
        let (found, told) = plan.sign_in(client, identity, case).await;
        assert_eq!(found, status, "{case}: {told}");
        assert!(status == 200 || told["error"] == "invalid_client", "{case}: {told}");
    }
    let configuration = format!("{}/.well-known/smart-configuration", plan.base);
    let request = Request::get(configuration).body(Bytes::new()).unwrap();
    let told = plan.transport(None).send(request).await.unwrap();
    let told: Value = serde_json::from_slice(told.body()).unwrap();
    assert_eq!(told["tls_client_certificate_bound_access_tokens"], true);
}

#[tokio::test]
async fn a_revoked_certificate_is_nobodys() {
    let ours = Authority::new("alone authority");
    let mut serial = 0_u8;
    let mut numbered = |number: u8| {
        serial = number;
        ours.spoilt(URI, |params| params.serial_number = Some(vec![number].into()))
    };
    let (good, bad) = (numbered(5), numbered(6));
    let issuer = Issuer::from_ca_cert_pem(&ours.pem, KeyPair::from_pem(&ours.key).unwrap());
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 11, 1),
        next_update: rcgen::date_time_ymd(2027, 11, 1),
        crl_number: vec![1].into(),
        issuing_distribution_point: None,
        revoked_certs: vec![rcgen::RevokedCertParams {
            serial_number: vec![6].into(),
            revocation_time: rcgen::date_time_ymd(2026, 11, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer.unwrap()).unwrap().pem().unwrap().into_bytes();
    let registered = [("alone", by_san(&ours, &format!("uri:{URI}")), true)];
    let plan = Plan::open(&registered, std::slice::from_ref(&list)).await;
    assert_eq!(plan.read(Some(&good), None).await.status(), 200);
    assert_eq!(plan.read(Some(&bad), None).await.status(), 401);

    // The list comes while a connection is open: its next request is refused.
    let plan = Plan::open(&registered, &[]).await;
    let lines = [plan.transport(Some(&good)), plan.transport(Some(&bad))];
    for line in &lines {
        assert_eq!(plan.read_over(line, None).await.status(), 200);
    }
    plan.gate.know_certificates(known(&registered, &[list]));
    assert_eq!(plan.read_over(&lines[0], None).await.status(), 200);
    assert_eq!(plan.read_over(&lines[1], None).await.status(), 401);
    assert_eq!(plan.clock.passed(), 0);
}

#[test]
fn what_is_no_certificate_of_a_partner_is_not_registered() {
    let authority = Authority::new("a").pem;
    let of = |authority: &str, san: &str, sha256: &str| ClientCertificate {
        authority: authority.into(),
        san: san.into(),
        sha256: sha256.into(),
        required: false,
    };
    let table = [
        ("no name", of(&authority, "", "")),
        ("an unknown kind of name", of(&authority, "email:a@b", "")),
        ("no address", of(&authority, "ip:localhost", "")),
        ("no PEM", of("x", "uri:x", "")),
        ("no authority", of("", "uri:x", "")),
        ("no digest", of("", "", "00")),
    ];
    for (case, certificate) in table {
        let mut certificates = Certificates::default();
        assert!(certificates.register("a", &certificate, true, &[]).is_err(), "{case}");
    }
}

#[tokio::test]
async fn a_partners_url_leads_into_no_private_network() {
    // Somebody listens there, so that only the guard can be what refuses.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let mut asked = 0;
        while let Ok((stream, _)) = listener.accept().await {
            asked += 1;
            drop(stream);
            if asked > 100 {
                return;
            }
        }
    });
    let over = |network: &Network| {
        HttpTransport::over(Lines {
            roots: &[],
            identity: None,
            network: Some(network),
            timeout: Duration::from_secs(10),
            answer_limit: 1_000,
        })
        .unwrap()
    };
    let send = async |network: &Network, url: &str| {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        over(network).send(request).await.unwrap_err()
    };
    let closed = Network::default();
    for url in [
        format!("https://127.0.0.1:{port}/jwks"),
        format!("http://127.0.0.1:{port}/jwks"),
        format!("https://localhost:{port}/jwks"),
        format!("https://LOCALHOST:{port}/jwks"),
        format!("https://[::1]:{port}/jwks"),
        format!("https://[::ffff:127.0.0.1]:{port}/jwks"),
        format!("https://2130706433:{port}/jwks"),
        format!("https://0x7f.1:{port}/jwks"),
        format!("https://0177.0.0.1:{port}/jwks"),
        format!("https://127.1:{port}/jwks"),
        format!("https://0.0.0.0:{port}/jwks"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://10.0.0.1/jwks".to_owned(),
        "https://[fd00:ec2::254]/latest".to_owned(),
        "https://[64:ff9b::a9fe:a9fe]/latest".to_owned(),
    ] {
        assert_eq!(send(&closed, &url).await, TransportError::BeyondReach, "{url}");
    }
    let open = Network::allowing(&["127.0.0.0/8".to_owned(), "::1".to_owned()]).unwrap();
    for url in [format!("http://127.0.0.1:{port}/"), format!("http://localhost:{port}/")] {
        let error = send(&open, &url).await;
        assert_ne!(error, TransportError::BeyondReach, "{url}: people named it");
    }
    served.abort();
}
