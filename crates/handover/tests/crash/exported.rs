//! The plan's own platform exports what was filed, and a house that is ended meanwhile loses none of it.

use crate::common::{House, RUNTIME, Said, Stage, run};
use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::Value;
use sim::TownPlan;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::WorkKind;
use wire::{HttpTransport, KeyRing, SigningKey, SmartClient, SystemClock, Transport};

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A platform with a key of its own.
struct Platform {
    folder: tempfile::TempDir,
    transport: Arc<HttpTransport>,
    sign_in: SmartClient,
    base: String,
}

impl Platform {
    /// Known to a house that runs already.
    fn of(house: &House) -> Platform {
        let key = SigningKey::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        key.write(&folder.path().join("key.pem")).unwrap();
        std::fs::write(folder.path().join("authority.pem"), house.read("tls/authority.pem"))
            .unwrap();
        std::fs::create_dir(house.folder.join("readers")).unwrap();
        house.write("readers/platform.json", &key.jwks().to_string());
        let reader = "\n[[reader]]\nclient_id = \"platform\"\njwks = \"readers/platform.json\"\n";
        let text = house.read("house.toml");
        house.write("house.toml", &(text + reader));
        let said = house.run(&["reload"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let base = house.public().base_url;
        let root = house.read("tls/authority.pem").into_bytes();
        let transport = HttpTransport::new(&[root], PATIENCE, 64 * 1024 * 1024).unwrap();
        let transport = Arc::new(transport);
        let sign_in = SmartClient::signing(
            Arc::clone(&transport) as _,
            &base,
            "platform",
            KeyRing::new(key),
            "system/*.read".to_owned(),
            Arc::new(SystemClock),
        );
        Platform { folder, transport, sign_in, base }
    }

    /// `None` where the house was ended meanwhile.
    fn ask(&self, method: Method, url: &str) -> Option<Response<Bytes>> {
        RUNTIME.block_on(async {
            let token = self.sign_in.token().await.ok()?;
            let request = self.asked(method, url, secrecy::ExposeSecret::expose_secret(&token));
            self.transport.send(request).await.ok()
        })
    }

    fn asked(&self, method: Method, url: &str, token: &str) -> Request<Bytes> {
        let request = Request::builder().method(method).uri(url).header("prefer", "respond-async");
        let request = request.header("authorization", format!("Bearer {token}"));
        request.body(Bytes::new()).unwrap()
    }

    fn kick_off(&self) -> Option<String> {
        let answer = self.ask(Method::GET, &format!("{}/$export", self.base))?;
        assert_eq!(answer.status(), 202, "{answer:?}");
        Some(answer.headers()["content-location"].to_str().unwrap().to_owned())
    }

    /// The manifest, once it is there.
    fn manifest(&self, place: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(Method::GET, place).unwrap();
            match answer.status().as_u16() {
                200 => return serde_json::from_slice(answer.body()).unwrap(),
                202 | 429 => assert!(Instant::now() < end, "waited for {place} in vain"),
                _ => panic!("{answer:?}"),
            }
            let seconds = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            std::thread::park_timeout(Duration::from_secs(seconds));
        }
    }

    /// `Type/id` with its version, of all files.
    fn fetched(&self, manifest: &Value) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for file in manifest["output"].as_array().unwrap() {
            let answer = self.ask(Method::GET, file["url"].as_str().unwrap()).unwrap();
            assert_eq!(answer.status(), 200, "{answer:?}");
            let text = String::from_utf8(answer.body().to_vec()).unwrap();
            assert_eq!(file["count"], text.lines().count());
            for line in text.lines() {
                let one: Value = serde_json::from_str(line).unwrap();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let name = format!("{}/{}", text(&one["resourceType"]), text(&one["id"]));
                let before = found.insert(name, text(&one["meta"]["versionId"]));
                assert_eq!(before, None, "each record once");
            }
        }
        found
    }
}

/// A plan that was pushed to, and what it holds: `Type/id` with its version.
fn filed() -> (Stage, BTreeMap<String, String>) {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(9, &plan);
    stage.serve();
    let encounters = stage.finished();
    stage.provider.push_all(&encounters);
    stage.provider.stop();
    let records = stage.payers[0].records().into_iter();
    let filed: BTreeMap<_, _> = records.map(|(id, it)| (id, it.version.to_string())).collect();
    assert!(filed.len() > 50, "{}", filed.len());
    (stage, filed)
}

#[test]
fn an_export_that_a_house_was_ended_in_goes_on_when_it_is_started_again() {
    let (mut stage, filed) = filed();
    let platform = Platform::of(&stage.payers[0]);
    let place = platform.kick_off().unwrap();
    let manifest = platform.manifest(&place);
    assert_eq!(platform.fetched(&manifest), filed, "all that stands, and nothing else");

    for point in ["export-asked", "export-listed"] {
        let payer = &mut stage.payers[0];
        payer.stop();
        payer.serve_with(&[("HANDOVER_HALT_AFTER", point)]);
        let before = exports(payer);
        std::thread::scope(|scope| {
            let kicked_off = scope.spawn(|| platform.kick_off());
            payer.process().wait_halted();
            payer.kill();
            kicked_off.join().unwrap();
        });
        payer.serve();
        let after = exports(payer);
        let new: Vec<_> = after.iter().filter(|id| !before.contains(id)).collect();
        assert_eq!(new.len(), 1, "{point}");
        let again = platform.manifest(&format!("{}/status/{}", platform.base, new[0]));
        assert_eq!(platform.fetched(&again), filed, "{point}");
        assert_eq!(platform.manifest(&place), manifest, "{point}: the first one stands");
        assert_eq!(platform.fetched(&manifest), filed, "{point}: and can be fetched");
    }
    let ended = platform.ask(Method::DELETE, &place).unwrap();
    assert_eq!(ended.status(), 202);
    assert_eq!(platform.ask(Method::GET, &place).unwrap().status(), 404);
    stage.stop();
}

/// What `handover export` says, and the resources in its folder by name, each with its version.
fn fetched_by_the_program(
    platform: &Platform,
    name: &str,
    more: &[&str],
) -> (Said, BTreeMap<String, String>) {
    let path = |name: &str| platform.folder.path().join(name).display().to_string();
    let (key, authority, out) = (path("key.pem"), path("authority.pem"), path(name));
    let fixed = ["export", platform.base.as_str(), "--json", "--client-id", "platform"];
    let files = ["--key", key.as_str(), "--authority", authority.as_str(), "--out", out.as_str()];
    let run = run(&[&fixed[..], &files[..], more].concat(), &[]);
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(&out).into_iter().flatten().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("output-") || !name.ends_with(".ndjson") {
            continue;
        }
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let one: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let name = format!("{}/{}", text(&one["resourceType"]), text(&one["id"]));
            let before = found.insert(name, text(&one["meta"]["versionId"]));
            assert_eq!(before, None, "each record once");
        }
    }
    (run, found)
}

/// Proves: bulk 15-18, 201, 295
#[test]
fn the_program_fetches_an_export_and_goes_on_with_what_was_begun() {
    let (mut stage, filed) = filed();
    let payer = &mut stage.payers[0];
    let platform = Platform::of(payer);
    let (run, found) = fetched_by_the_program(&platform, "all", &[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(found, filed);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["resources"], filed.len());
    let of_all = exports(payer);
    assert_eq!(of_all.len(), 1);
    let place = format!("{}/status/{}", platform.base, of_all[0]);
    assert_eq!(
        platform.ask(Method::GET, &place).unwrap().status(),
        404,
        "it was deleted at the end"
    );
    let since = ["--since", told["transaction_time"].as_str().unwrap()];
    let (run, found) = fetched_by_the_program(&platform, "since", &since);
    assert_eq!((run.code, found.len()), (0, 0), "nothing has changed since: {}", run.stderr);
    // The folder of a whole export is left alone.
    let (run, found) = fetched_by_the_program(&platform, "all", &[]);
    assert_eq!((run.code, found == filed), (2, true));
    // One that the server knows no more cannot go on, and says so.
    let begun = platform.folder.path().join("all/export.json");
    let mut state: Value = serde_json::from_str(&std::fs::read_to_string(&begun).unwrap()).unwrap();
    assert_eq!(state["ended"].take(), Value::Bool(true));
    state["ended"] = Value::Bool(false);
    std::fs::write(&begun, state.to_string()).unwrap();
    let (run, _) = fetched_by_the_program(&platform, "all", &[]);
    assert!(run.code == 2 && run.stdout.contains("name a new one"), "{}", run.stdout);

    // The house is ended once the export is listed; the folder knows of the place.
    payer.stop();
    payer.serve_with(&[("HANDOVER_HALT_AFTER", "export-listed")]);
    let types = ["--type", "Patient,Encounter"];
    let of_types = |name: &String| ["Patient/", "Encounter/"].iter().any(|it| name.starts_with(it));
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetched_by_the_program(&platform, "types", &types));
        payer.process().wait_halted();
        payer.kill();
        payer.serve();
        let (run, found) = fetching.join().unwrap();
        // Whether it met the dead house or the new one, the folder can be taken up.
        let (run, found) = match run.code {
            0 => (run, found),
            _ => fetched_by_the_program(&platform, "types", &types),
        };
        assert_eq!(run.code, 0, "{}", run.stderr);
        let expected: BTreeMap<_, _> =
            filed.clone().into_iter().filter(|(id, _)| of_types(id)).collect();
        assert_eq!(found, expected);
    });
    stage.stop();
}

fn exports(house: &House) -> Vec<String> {
    house.works(WorkKind::Export).into_iter().map(|row| row.work.id).collect()
}
