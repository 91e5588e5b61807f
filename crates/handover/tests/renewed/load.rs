//! Every key and certificate of two houses is changed under a load of pushes: nothing is refused, nothing
//! is lost, all is settled; what is old is refused afterwards.

use crate::common::{House, RUNTIME, Stage, who};
use exchange::desk::{Command, Reply, Row};
use exchange::{Code, Digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use sim::TownPlan;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use wire::{HttpTransport, KeyRing, SignInError, SigningKey, SmartClient, SystemClock, Transport};

const PATIENTS: usize = 60;

/// Pushes on their way at once.
const LANES: usize = 4;

/// Pushes that are on their way while a step is taken.
const SOME: usize = 6;

/// A house that has not answered by then has something wrong with it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Pushes that go on, encounter by encounter. Some are always on their way while a step is taken.
struct Load {
    ended: Arc<AtomicUsize>,
    begun: AtomicUsize,
    more: Arc<Semaphore>,
    all: usize,
    lanes: Vec<JoinHandle<BTreeMap<String, Vec<Row>>>>,
}

impl Load {
    fn start(provider: &House, encounters: &[String]) -> Load {
        let client = handover::house::operator_client(&provider.config(), PATIENCE).unwrap();
        let (client, ended) = (Arc::new(client), Arc::new(AtomicUsize::new(0)));
        let more = Arc::new(Semaphore::new(0));
        let lane = |lane: usize| {
            let mine: Vec<String> = encounters.iter().skip(lane).step_by(LANES).cloned().collect();
            let (client, ended, more) =
                (Arc::clone(&client), Arc::clone(&ended), Arc::clone(&more));
            RUNTIME.spawn(async move {
                let mut rows = BTreeMap::new();
                for subject in mine {
                    more.acquire().await.unwrap().forget();
                    let push = Command::Push {
                        subject: subject.clone(),
                        purpose: None,
                        who: who("a test pushes while keys change"),
                        wait: 120,
                        asynchronous: false,
                    };
                    match handover::caller::ask(&client, &push).await.unwrap() {
                        Reply::Pushed { rows: found, .. } => drop(rows.insert(subject, found)),
                        other => panic!("no answer to a push: {other:?}"),
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                }
                rows
            })
        };
        let (lanes, begun) = ((0..LANES).map(lane).collect(), AtomicUsize::new(0));
        Load { ended, begun, more, all: encounters.len(), lanes }
    }

    /// Sends some more on their way; returns once those of the last time have ended.
    fn some_more(&self) {
        let before = self.begun.fetch_add(SOME, Ordering::SeqCst);
        assert!(before + SOME < self.all, "the load ended before the keys had changed");
        self.more.add_permits(SOME);
        let since = Instant::now();
        while self.ended.load(Ordering::SeqCst) < before {
            assert!(since.elapsed() < PATIENCE, "the pushes stand still");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn end(self) -> BTreeMap<String, Vec<Row>> {
        self.more.add_permits(self.all);
        let lanes = self.lanes.into_iter();
        lanes.flat_map(|lane| RUNTIME.block_on(lane).unwrap()).collect()
    }
}

/// Carries out a command that must end so.
fn said(house: &House, code: i32, words: &[&str]) -> Value {
    let (found, told) = house.json(words);
    assert_eq!(found, code, "{words:?}: {told}");
    told
}

/// The certificate that a new connection is shown.
fn shown(house: &House) -> CertificateDer<'static> {
    let mut roots = rustls::RootCertStore::empty();
    let authority = house.read("tls/authority.pem");
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address: SocketAddr = house.config().file.listen;
    RUNTIME.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(address.ip().to_string()).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    })
}

fn lies(house: &House) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(house.read("tls/server.pem").as_bytes()).unwrap()
}

/// Whether a token is honoured at a house's door.
fn honoured(house: &House, token: &str) -> u16 {
    let roots = [house.read("tls/authority.pem").into_bytes()];
    let transport = HttpTransport::new(&roots, PATIENCE, 1_000_000).unwrap();
    let request = http::Request::get(format!("{}/Patient?_count=1", house.public().base_url))
        .header("authorization", format!("Bearer {token}"))
        .body(bytes::Bytes::new())
        .unwrap();
    RUNTIME.block_on(transport.send(request)).unwrap().status().as_u16()
}

/// Whether the sending house gets in by this key.
fn signs_in(payer: &House, key: &str) -> Result<(), SignInError> {
    let roots = [payer.read("tls/authority.pem").into_bytes()];
    let transport = Arc::new(HttpTransport::new(&roots, PATIENCE, 1_000_000).unwrap());
    let client = SmartClient::signing(
        transport,
        &payer.public().base_url,
        "hospital",
        KeyRing::new(SigningKey::from_pem(key).unwrap()),
        "system/*.cruds".to_owned(),
        Arc::new(SystemClock),
    );
    RUNTIME.block_on(client.token()).map(drop)
}

/// Hands the sending house's public file on, as people do.
fn hand_on(provider: &House, payer: &House) {
    payer.write("partners/hospital.json", &provider.read("public.json"));
    said(payer, 0, &["reload"]);
}

#[test]
fn keys_and_certificates_change_under_a_load_and_nothing_is_refused_or_lost() {
    let mut stage = town();
    stage.serve();
    let encounters = stage.finished();
    let config = stage.provider.config();
    let old_operator = handover::house::operator_client(&config, PATIENCE).unwrap();
    let load = Load::start(&stage.provider, &encounters);
    let (provider, payer) = (&stage.provider, &stage.payers[0]);
    load.some_more();

    // The secret of the payer's tokens.
    let old_token = payer.run(&["token"]).stdout.trim().to_owned();
    let told = said(payer, 0, &["keys", "rotate", "tokens", "--now"]);
    assert_eq!(told["running_house"], true, "{told}");
    assert_eq!(honoured(payer, &old_token), 200, "the tokens there are hold on");
    load.some_more();

    // The key with which the hospital signs in: announced, handed on, used.
    let old_key = provider.read("keys/signing.pem");
    let told = said(provider, 1, &["keys", "new", "signing"]);
    assert_eq!(told["public_file"], "changed", "{told}");
    hand_on(provider, payer);
    signs_in(payer, &old_key).unwrap();
    said(provider, 1, &["keys", "rotate", "signing"]);
    said(provider, 0, &["keys", "rotate", "signing", "--now"]);
    signs_in(payer, &old_key).unwrap();
    load.some_more();

    // Certificates of both doors.
    for house in [payer, provider] {
        let before = shown(house);
        said(house, 0, &["keys", "rotate", "server"]);
        assert_ne!(lies(house), before, "{}", house.name);
        assert_eq!(shown(house), lies(house), "{}: new connections get the new one", house.name);
        load.some_more();
    }

    // Half a certificate, then another's: what was there stays, and everybody who looks is told.
    let good = payer.read("tls/server.pem");
    let other = provider.read("tls/server.pem");
    for (case, spoilt) in [("half", &good[..good.len() / 2]), ("another's", other.as_str())] {
        let before = shown(payer);
        payer.write("tls/server.pem", spoilt);
        let told = said(payer, 1, &["reload"]).to_string();
        assert!(told.contains("key-unusable"), "{case}: {told}");
        assert_eq!(shown(payer), before, "{case}: the one before stays");
        let Reply::Checked { lines } = payer.ask(&Command::Check {}).unwrap() else { panic!() };
        let kept = lines.iter().find(|line| line.what == "running house: certificate");
        assert!(kept.is_some_and(|line| line.issue.is_some()), "{case}: check says so");
        assert!(figures(payer).contains("reload_refused{what=\"certificate\"} 1"), "{case}");
        load.some_more();
    }
    payer.write("tls/server.pem", &good);
    said(payer, 0, &["reload"]);
    assert!(figures(payer).contains("reload_refused{what=\"certificate\"} 0"));

    // The operators' keys.
    for house in [payer, provider] {
        said(house, 0, &["keys", "rotate", "operator"]);
        said(house, 0, &["list"]);
    }
    let refused = |house: &House| house.process_said().matches("refused").count();
    assert_eq!(refused(payer), 0, "the payer refused nobody: {}", payer.process_said());
    assert_eq!(refused(provider), 0, "nobody refused the hospital: {}", provider.process_said());
    load.some_more();

    // What is old goes, under the load as well.
    said(payer, 0, &["keys", "retire", "tokens", "--now"]);
    assert_eq!(honoured(payer, &old_token), 401, "a token of the old secret is refused");
    load.some_more();
    said(provider, 0, &["keys", "retire", "signing", "--now"]);
    hand_on(provider, payer);
    load.some_more();
    let old = signs_in(payer, &old_key);
    assert!(matches!(old, Err(SignInError::Refused(_))), "the old key is refused: {old:?}");
    signs_in(payer, &provider.read("keys/signing.pem")).unwrap();

    let pushed = load.end();
    assert_eq!(pushed.len(), encounters.len());
    let settled: BTreeSet<String> = ended(&pushed, "settled");
    assert!(settled.len() > encounters.len() / 2, "{} of {}", settled.len(), encounters.len());
    let of_payer = payer.rows().into_iter().filter(|row| row.state == "filed").count();
    assert_eq!(of_payer, settled.len(), "each push was filed once");
    // No push met a refusal on its way, or was tried twice.
    for id in settled.iter().step_by(7) {
        let words: Vec<String> =
            provider.show(id).timeline.into_iter().map(|line| line.what).collect();
        let again = words.iter().filter(|what| what.contains("again") || what.contains("refused"));
        assert_eq!(again.count(), 0, "{words:?}");
    }
    for house in [payer, provider] {
        assert_eq!(house.run(&["ledger", "verify"]).code, 0, "{}", house.name);
    }
    stage.stop();
    let (outcomes, records) = (outcomes(&pushed), filed(&stage.payers[0]));
    // A new start finds everything where the rotation left it; the EHR was given the new key as well.
    stage.ehr.stop();
    let hospital = stage.provider.public();
    stage.ehr.start(&stage.chart, &[hospital]);
    stage.serve();
    let again = pushed.iter().find(|(_, rows)| rows.iter().any(|row| row.state == "settled"));
    assert_eq!(stage.provider.push(again.unwrap().0)[0].state, "unchanged");
    // Those who pushed signed in by the operator's old key all the while.
    said(&stage.provider, 0, &["keys", "retire", "operator", "--now"]);
    said(&stage.provider, 0, &["list"]);
    let old =
        RUNTIME.block_on(handover::caller::ask(&old_operator, &Command::Watch {})).unwrap_err();
    assert_eq!(old.code, Code::CredentialRefused, "the old operator's key is refused");
    stage.stop();

    // The same day without any of this ends the same: with the same answers and the same records.
    let mut quiet = town();
    quiet.serve();
    let undisturbed = quiet.provider.push_all(&encounters);
    quiet.stop();
    assert_eq!(outcomes, self::outcomes(&undisturbed));
    assert_eq!(records, filed(&quiet.payers[0]));
}

/// The town of this test: nobody is there to look for a member who is not found.
fn town() -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: PATIENTS,
        encounters_per_patient: 2..=3,
    };
    let stage = Stage::of_town(17, &plan).0;
    stage.payers[0].replace("agreements/hospital.toml", "\"hold\"", "\"refuse\"");
    stage
}

/// The walks that ended so.
fn ended(pushed: &BTreeMap<String, Vec<Row>>, state: &str) -> BTreeSet<String> {
    let rows = pushed.values().flatten().filter(|row| row.state == state);
    rows.map(|row| row.id.clone()).collect()
}

/// How each push ended, and why.
fn outcomes(pushed: &BTreeMap<String, Vec<Row>>) -> BTreeMap<&String, Vec<(String, Vec<Code>)>> {
    let outcome =
        |row: &Row| (row.state.clone(), row.issues.iter().map(|words| words.issue.code).collect());
    pushed.iter().map(|(name, rows)| (name, rows.iter().map(outcome).collect())).collect()
}

/// What the payer holds, but for Provenances, which carry times.
fn filed(payer: &House) -> BTreeMap<String, Digest> {
    let records = payer.records().into_iter().filter(|(_, record)| record.kind != "Provenance");
    records.map(|(name, record)| (name, record.digest)).collect()
}

fn figures(house: &House) -> String {
    let roots = [house.read("tls/authority.pem").into_bytes()];
    let transport = HttpTransport::new(&roots, PATIENCE, 1_000_000).unwrap();
    let (origin, _) = handover::house::split_base(&house.public().base_url).unwrap();
    let request = http::Request::get(format!("{origin}/metrics")).body(bytes::Bytes::new());
    let answer = RUNTIME.block_on(transport.send(request.unwrap())).unwrap();
    assert_eq!(answer.status(), 200);
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(text.contains("handover_certificate_days_left{kind=\"server\"} 39"), "{text}");
    assert!(!text.contains(&house.name) && !text.contains("hospital"), "no names: {text}");
    text
}
