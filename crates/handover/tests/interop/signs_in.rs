//! Goal: clients that we did not write sign in at a payer's door, by SMART and by UDAP, write and
//! read there; and what they sign wrongly is refused with the right answer and gets no token.
//!
//! How: a payer as a process over TLS; PyJWT and cryptography make keys, certificates, assertions and
//! statements, and tell what came. What is not installed is skipped with one line.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use crate::common::{House, free_address};
use crate::others::{Server, partners, town};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const COMMUNITY: &str = "urn:example:community";

/// A payer that knows the clients of a program, and the program's folder.
pub(crate) struct Scene {
    pub(crate) payer: House,
    pub(crate) program: PathBuf,
    script: &'static str,
    folder: TempDir,
    port: u16,
}

impl Scene {
    /// None where the program is not installed.
    pub(crate) fn set() -> Option<Scene> {
        let program = partners("bin/python")?.join("bin/python");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/signs_in.py");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("clients")).unwrap();
        let (_, plans) = town();
        let payer = House::payer(&folder.path().join("plan"), &plans[0]);
        let port = free_address().port();
        let scene = Scene { payer, program, script, folder, port };
        scene.run("make");
        for client in ["file", "url", "udap"] {
            scene.add(client);
        }
        scene.found_community();
        let mut scene = scene;
        scene.payer.serve();
        Some(scene)
    }

    pub(crate) fn clients(&self) -> PathBuf {
        self.folder.path().join("clients")
    }

    pub(crate) fn authority(&self) -> String {
        self.payer.folder.join("tls/authority.pem").display().to_string()
    }

    /// What the program says of this act.
    fn run(&self, act: &str) -> Value {
        let clients = self.clients();
        let more = [format!("port={}", self.port), format!("authority={}", self.authority())];
        let words = [self.script, act, clients.to_str().unwrap(), &self.payer.public().base_url];
        said(&self.program, &words, &more)
    }

    /// Makes a client known as people do: by its public file.
    fn add(&self, client: &str) {
        let read = |file: &str| std::fs::read_to_string(self.clients().join(file)).unwrap();
        let mut file = json!({
            "name": format!("by-{client}"), "role": "provider", "title": format!("By {client}"),
            "base_url": format!("https://{client}.clinic.example/fhir"), "client_id": client,
            "authority": read(&format!("{client}-authority.pem")),
            "ledger_key": hex(client),
        });
        match client {
            "url" => {
                file["jwks_url"] = format!("https://127.0.0.1:{}/jwks.json", self.port).into();
            }
            _ => file["jwks"] = serde_json::from_str(&read(&format!("{client}.json"))).unwrap(),
        }
        if client == "udap" {
            file["udap"] = json!({ "uri": "https://clinic.example/app", "community": COMMUNITY });
        }
        let path = self.folder.path().join("public.json");
        std::fs::write(&path, file.to_string()).unwrap();
        let told = self.payer.run(&["partner", "add", path.to_str().unwrap()]);
        assert_eq!(told.code, 0, "{}", told.stderr);
    }

    /// The payer is a member of the program's community.
    fn found_community(&self) {
        for (from, to) in [
            ("community.pem", "tls/community.pem"),
            ("community-payer.pem", "tls/community-payer.pem"),
            ("community-payer-key.pem", "keys/community.pem"),
        ] {
            std::fs::copy(self.clients().join(from), self.payer.folder.join(to)).unwrap();
        }
        let table = format!(
            "\n[udap]\norganization_id = \"https://plan.example\"\n\
             contacts = [\"mailto:it@plan.example\"]\n[[udap.community]]\nuri = \"{COMMUNITY}\"\n\
             anchors = \"tls/community.pem\"\ncertificate = \"tls/community-payer.pem\"\n\
             key = \"keys/community.pem\"\n"
        );
        self.payer.write("house.toml", &(self.payer.read("house.toml") + &table));
    }
}

/// What a program says: one line of JSON, or nothing.
pub(crate) fn said(program: &Path, words: &[&str], more: &[String]) -> Value {
    let mut command = Command::new(program);
    let output = command.args(words).args(more).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

/// A ledger key that nobody has.
fn hex(client: &str) -> String {
    exchange::Digest::of(client.as_bytes()).to_string()
}

/// Each case of a table that was told, and no other, came to this.
fn assert_each(told: &Value, table: &[(&str, u16, &str)]) {
    let cases: Vec<&String> = told.as_object().unwrap().keys().collect();
    let wanted: Vec<&str> = table.iter().map(|row| row.0).collect();
    assert_eq!(cases, wanted);
    for (case, status, error) in table {
        assert_eq!(told[case], json!([status, error]), "{case}");
    }
}

#[test]
fn pyjwt_signs_in_by_smart_and_what_it_signs_wrongly_gets_no_token() {
    let Some(mut scene) = Scene::set() else { return };
    let told = scene.run("smart");
    assert_eq!(told["discovery"], json!([200, ["private_key_jwt"]]));
    for client in ["file", "url"] {
        for kind in ["ES384", "RS384"] {
            let case = format!("{client} {kind}");
            assert_eq!(told[&case], json!([200, null]), "{case}");
            let used = &told[&format!("{case} used")];
            assert_eq!(*used, json!([201, 200, true, 403]), "{case}: written, read, not beyond");
        }
    }
    assert_eq!(told["asked for keys"], 1, "the set is kept as long as it says");
    const CLIENT: (u16, &str) = (401, "invalid_client");
    let wrong = [
        "HS256 with the public key as JWK",
        "HS256 with the public key as DER",
        "HS256 with the public key as PEM",
        "alg none",
        "RS256",
        "wrong aud",
        "the base URL as aud",
        "two audiences",
        "expired",
        "lives too long",
        "of the future",
        "no exp",
        "no jti",
        "unknown kid",
        "kid of the other key",
        "another client's key",
        "another client's key and kid",
        "an unknown client",
        "sub is not iss",
        "a key in the header",
        "another jku",
        "no JWT",
        "replayed",
    ];
    assert_each(&told["wrong"], &wrong.map(|case| (case, CLIENT.0, CLIENT.1)));
    let forms = [
        ("another grant", 400, "unsupported_grant_type"),
        ("another kind of assertion", 400, "invalid_request"),
        ("scopes of others", 400, "invalid_scope"),
        ("no scope", 400, "invalid_request"),
        ("another client id", 401, "invalid_client"),
        ("no assertion", 400, "invalid_request"),
    ];
    assert_each(&told["forms"], &forms);
    assert_eq!(told["garbled token"], 401);
    scene.payer.stop();
}

#[test]
fn pyjwt_gets_the_same_answers_from_sekmet_as_from_a_payer_of_ours() {
    let Some(mut scene) = Scene::set() else { return };
    // One key to a client: sekmet tries each key of a set, whatever its kind, and answers 500.
    let known = [("file", 0), ("udap", 1)].map(|(client, nth)| {
        let jwks = std::fs::read_to_string(scene.clients().join(format!("{client}.json")));
        let jwks: Value = serde_json::from_str(&jwks.unwrap()).unwrap();
        let jwks = json!({ "keys": [jwks["keys"][nth]] });
        json!({ "client_id": client, "jwks": jwks, "scopes": "system/*.cruds" })
    });
    let Some(sekmet) = Server::start_signed(&known, Path::new("")) else { return };
    let authority = scene.folder.path().join("sekmet.pem");
    std::fs::write(&authority, sekmet.authority()).unwrap();
    let (clients, base) = (scene.clients(), sekmet.base_url());
    let words = [scene.script, "anywhere", clients.to_str().unwrap(), &base];
    let theirs = said(&scene.program, &words, &[format!("authority={}", authority.display())]);
    let members = ["access_token", "expires_in", "scope", "token_type"];
    for kind in ["ES384", "RS384"] {
        assert_eq!(theirs[kind], json!([200, members, 200, 403]), "{kind}: read, and not beyond");
    }
    assert_eq!(theirs["second use"], json!([401, "invalid_client"]));
    assert_eq!(scene.run("anywhere"), theirs);
    scene.payer.stop();
}

#[test]
fn pyjwt_registers_by_udap_and_its_token_ends_with_its_registration() {
    let Some(mut scene) = Scene::set() else { return };
    let told = scene.run("udap");
    assert_eq!(told["metadata"], json!([200, true, true]), "signed for its base URL");
    const STATEMENT: &str = "invalid_software_statement";
    const METADATA: &str = "invalid_client_metadata";
    let statements = [
        ("a foreign authority", 400, "unapproved_software_statement"),
        ("another's key", 400, STATEMENT),
        ("another's certificate", 400, STATEMENT),
        ("RS512", 400, STATEMENT),
        ("wrong aud", 400, STATEMENT),
        ("expired", 400, STATEMENT),
        ("lives too long", 400, STATEMENT),
        ("sub is not iss", 400, STATEMENT),
        ("two grants", 400, METADATA),
        ("no mail address", 400, METADATA),
        ("no scope", 400, METADATA),
    ];
    assert_each(&told["statements"], &statements);
    assert_eq!(told["registered"], json!([201, true]), "with the statement as it came");
    assert_eq!(told["registered twice by one statement"], json!([400, STATEMENT]));
    assert_eq!(told["registered again"], json!([200, true]), "under the same id");
    assert_eq!(told["token"], json!([200, null]));
    assert_eq!(told["token used"], json!([201, 200, true, 403]), "written, read, not beyond");
    let tokens = [
        ("replayed", 401, "invalid_client"),
        ("a foreign authority", 401, "invalid_client"),
        ("another's key", 401, "invalid_client"),
        ("another's certificate", 401, "invalid_client"),
        ("an unknown client", 401, "invalid_client"),
        ("wrong aud", 401, "invalid_client"),
        ("expired", 401, "invalid_client"),
        ("no hl7-b2b", 400, "invalid_grant"),
        ("version 2", 400, "invalid_grant"),
        ("a purpose of no list", 400, "invalid_grant"),
    ];
    assert_each(&told["tokens"], &tokens);
    assert_eq!(told["another scope"], json!([400, "invalid_scope"]));
    assert_eq!(told["cancelled"], json!([200, []]));
    assert_eq!(told["after the end"], json!([[401, "invalid_client"], 401]));
    scene.payer.stop();
}

#[test]
fn sekmet_as_a_client_gets_a_token_by_either_algorithm() {
    let Some(mut scene) = Scene::set() else { return };
    let sekmet = scene.program.parent().unwrap().join("sekmet");
    for kind in ["ES384", "RS384"] {
        let settings = json!({
            "data_dir": scene.clients(),
            "peers": { "plan": {
                "base_url": scene.payer.public().base_url,
                "auth": {
                    "type": "smart", "client_id": "file", "alg": kind,
                    "kid": format!("file-{kind}"), "scope": "system/Practitioner.cruds",
                    "private_key_path": scene.clients().join(format!("file-{kind}.pem")),
                },
            } },
        });
        let file = scene.clients().join("settings.yaml");
        std::fs::write(&file, settings.to_string()).unwrap();
        let mut command = Command::new(&sekmet);
        command.args(["peers", "test", "plan", "--config"]).arg(&file);
        command.env("SSL_CERT_FILE", scene.authority()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind}: {error}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["token"]["scope"], "system/Practitioner.cruds", "{kind}: {told}");
        assert_eq!(told["token"]["expires_in"], 300, "{kind}: {told}");
        assert_eq!(told["metadata_status"], 200);
        assert_eq!(told["fhirVersion"], "4.0.1");
    }
    scene.payer.stop();
}

#[test]
fn authlib_signs_in_where_its_assertions_do_not_live_for_an_hour() {
    let Some(mut scene) = Scene::set() else { return };
    let mut import = Command::new(&scene.program);
    if !import.args(["-c", "import authlib"]).output().unwrap().status.success() {
        eprintln!("skipped: HANDOVER_PARTNERS names no folder with authlib in it");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/authlib_signs_in.py");
    let (clients, base) = (scene.clients(), scene.payer.public().base_url);
    let words = [script, clients.to_str().unwrap(), &base, &scene.authority()];
    let told = said(&scene.program, &words, &[]);
    for kind in ["ES384", "RS384"] {
        assert_eq!(told[kind]["scope"], "system/Practitioner.cruds", "{kind}: {told}");
        assert_eq!((&told[kind]["put"], &told[kind]["read"]), (&json!(201), &json!(true)));
        // It keeps the claims of its first assertion, `jti` among them.
        assert_eq!(told[kind]["again"]["error"], "invalid_client", "{kind}: {told}");
    }
    let hour = &told["an hour, as it would be"];
    assert_eq!(hour["error"], "invalid_client");
    assert!(hour["words"].as_str().unwrap().contains("five minutes"), "it is told: {hour}");
    scene.payer.stop();
}

#[test]
fn openid_client_signs_in_where_its_audience_is_the_token_endpoint() {
    let Some(folder) = partners("node/node_modules/openid-client") else { return };
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: node is not here");
        return;
    }
    let Some(mut scene) = Scene::set() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/openid_client.mjs");
    let mut command = Command::new("node");
    command.arg(script).arg(folder.join("node")).arg(scene.clients());
    command.arg(scene.payer.public().base_url).env("NODE_EXTRA_CA_CERTS", scene.authority());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in ["ES384", "RS384"] {
        assert_eq!(told[kind]["scope"], "system/Practitioner.cruds", "{kind}: {told}");
        assert_eq!((&told[kind]["put"], &told[kind]["read"]), (&json!(201), &json!(true)));
        assert_eq!(told[kind]["again"], "system/Practitioner.cruds", "{kind}: {told}");
    }
    let issuer = &told["the issuer as aud, as it would be"];
    assert_eq!(issuer["error"], "invalid_client");
    assert!(issuer["words"].as_str().unwrap().contains("token endpoint"), "it is told: {issuer}");
    scene.payer.stop();
}
