//! `handover keys`: what it lists, what each step leaves in the folder, and what it refuses.

use crate::common::{House, Stage};
use jiff::ToSpan;
use serde_json::Value;
use sim::TownPlan;
use std::fs;
use wire::SigningKey;
use wire::keys::write_private;
use wire::pki::{self, Chain, make};
use wire::tls;

fn stage() -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 2,
        encounters_per_patient: 1..=1,
    };
    let stage = Stage::of_town(5, &plan).0;
    // Nobody is there to look for a member who is not found.
    stage.payers[0].replace("agreements/hospital.toml", "\"hold\"", "\"refuse\"");
    stage
}

/// The rows of `keys list` for a use: stage and kind.
fn listed(house: &House, usage: &str) -> Vec<(String, String)> {
    let (code, told) = house.json(&["keys", "list"]);
    assert_eq!(code, 0, "{told}");
    let rows = told["keys"].as_array().unwrap().iter().filter(|row| row["use"] == usage);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["stage"]), text(&row["kind"]))).collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(stage, kind)| ((*stage).to_owned(), (*kind).to_owned())).collect()
}

/// Proves: smart 290, 291, 293, 295
#[test]
fn every_key_is_listed_at_its_stage_and_shows_nothing_private() {
    let stage = stage();
    let house = &stage.provider;
    assert_eq!(listed(house, "signing"), pairs(&[("in use", "es384")]));
    assert_eq!(house.run(&["keys", "new", "signing", "--kind", "rs384"]).code, 1);
    let both = pairs(&[("in use", "es384"), ("announced", "rs384")]);
    assert_eq!(listed(house, "signing"), both);
    let kids: Vec<Value> = house.public().jwks["keys"].as_array().unwrap().clone();
    assert_eq!(kids.len(), 2, "the public file announces it");
    assert_eq!(house.run(&["keys", "rotate", "signing"]).code, 1, "partners may not know it yet");
    assert_eq!(house.run(&["keys", "rotate", "signing", "--now"]).code, 0);
    let both = pairs(&[("in use", "rs384"), ("honoured", "es384")]);
    assert_eq!(listed(house, "signing"), both);
    assert_eq!(house.run(&["keys", "retire", "signing"]).code, 1, "somebody may rely on it");
    assert_eq!(house.run(&["keys", "retire", "signing", "--now"]).code, 0);
    assert_eq!(listed(house, "signing"), pairs(&[("in use", "rs384")]));
    assert_eq!(listed(house, "tokens"), pairs(&[("in use", "mac")]));
    assert_eq!(listed(house, "ledger"), pairs(&[("in use", "ed25519")]));

    let text = house.run(&["keys", "list"]).stdout;
    for part in ["signing", "operator", "tokens", "ledger", "server", "the EHR", "days left"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let said = house.said.lock().unwrap();
    let words: String = said.iter().map(|said| [&*said.stdout, &*said.stderr].concat()).collect();
    assert!(!words.contains("PRIVATE"), "{words}");
    drop(said);
    assert!(!words.contains(house.read("keys/tokens.hex").trim()));
    for file in fs::read_dir(house.folder.join("keys")).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[test]
fn the_ledger_gets_another_key_while_nobody_runs_the_house() {
    let mut stage = stage();
    stage.serve();
    let settles = |encounter: &String| stage.provider.push(encounter)[0].state == "settled";
    let encounter = stage.finished().into_iter().find(settles).unwrap();
    let running = stage.provider.run(&["keys", "rotate", "ledger"]);
    assert_eq!(running.code, 2);
    assert!(running.stderr.contains("house-locked"), "{}", running.stderr);
    stage.stop();
    let old = stage.provider.public().ledger_key;
    assert_eq!(stage.provider.run(&["keys", "rotate", "ledger"]).code, 0);
    assert_ne!(stage.provider.public().ledger_key, old);
    assert!(stage.provider.read("house.toml").contains(&old), "the old one is listed as retired");
    let stages = pairs(&[("in use", "ed25519"), ("retired", "ed25519")]);
    assert_eq!(listed(&stage.provider, "ledger"), stages);
    assert_eq!(stage.provider.run(&["ledger", "verify"]).code, 0);
    stage.serve();
    assert_eq!(stage.provider.push(&encounter)[0].state, "unchanged");
    stage.stop();
    let (code, told) = stage.provider.json(&["ledger", "verify"]);
    assert_eq!(
        (code, &told["proved_to"]),
        (0, &told["last"]),
        "both keys prove their part: {told}"
    );
}

#[test]
fn a_certificate_from_elsewhere_is_asked_for_and_taken_up_with_its_key() {
    let stage = stage();
    let house = &stage.payers[0];
    let authority = house.read("tls/authority.pem");
    let authority_key = house.read("tls/authority-key.pem");
    // An authority that others run.
    fs::remove_file(house.folder.join("tls/authority-key.pem")).unwrap();
    let said = house.run(&["keys", "rotate", "server"]);
    assert!(said.code == 2 && said.stderr.contains("--certificate"), "{}", said.stderr);

    assert_eq!(house.run(&["keys", "new", "server"]).code, 0);
    let request = house.run(&["keys", "csr", "server"]).stdout;
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
    let next = SigningKey::from_pem(&house.read("tls/server-key.next.pem")).unwrap();
    let hosts = tls::hosts_of(house.read("tls/server.pem").as_bytes()).unwrap();
    let now = jiff::Timestamp::now();
    let issued = tls::issue_certificate_at(&authority, &authority_key, &hosts, &next, now).unwrap();
    let file = stage.folder.path().join("issued.pem");
    // One that is for none of its keys changes nothing.
    let stranger = SigningKey::generate().unwrap();
    let other = tls::issue_certificate_at(&authority, &authority_key, &hosts, &stranger, now);
    let before = house.read("tls/server.pem");
    fs::write(&file, other.unwrap()).unwrap();
    let words = ["keys", "rotate", "server", "--certificate", file.to_str().unwrap()];
    let said = house.run(&words);
    assert!(said.code == 2 && said.stderr.contains("key-unusable"), "{}", said.stderr);
    assert_eq!(house.read("tls/server.pem"), before);

    // Copied by hand, the certificate finds the next key by itself.
    house.write("tls/server.pem", &issued);
    let check = house.run(&["check"]).stdout;
    assert!(check.contains("certificate and key belong together"), "{check}");
    house.write("tls/server.pem", &before);
    fs::write(&file, &issued).unwrap();
    assert_eq!(house.run(&words).code, 0);
    assert_eq!(house.read("tls/server.pem"), issued);
    let kept = SigningKey::from_pem(&house.read("tls/server-key.pem")).unwrap();
    assert_eq!(kept.kid(), next.kid());
    assert!(!house.folder.join("tls/server-key.next.pem").exists());
}

#[test]
fn the_certificate_for_partners_doors_is_renewed_by_the_houses_own_authority() {
    let stage = stage();
    let house = &stage.provider;
    let before = (house.read("tls/client.pem"), house.read("tls/client-key.pem"));
    assert_eq!(listed(house, "client"), pairs(&[("in use", "certificate")]));
    assert_eq!(house.run(&["keys", "rotate", "client"]).code, 0);
    let after = (house.read("tls/client.pem"), house.read("tls/client-key.pem"));
    assert!(before.0 != after.0 && before.1 != after.1, "both are new");
    let uris = |pem: &str| pki::uris(Chain::from_pem(pem.as_bytes()).unwrap().leaf());
    assert_eq!(uris(&before.0), uris(&after.0), "partners know it by this name");
    assert!(!house.folder.join("tls/client-key.next.pem").exists());
    let check = house.run(&["check"]).stdout;
    assert!(check.contains("TLS: at partners' doors") && check.contains("client certificate"));
}

#[test]
fn a_communitys_certificate_is_asked_for_and_taken_up_with_its_key() {
    let stage = stage();
    let house = &stage.payers[0];
    let now = jiff::Timestamp::now();
    let town = make::community("town", now).unwrap();
    let county = make::community("county", now).unwrap();
    let issued =
        |authority| make::application(authority, "plan", &[house.public().base_url], now).unwrap();
    let lists = [
        ("town", &town, make::revoked(&town, &[], now).unwrap()),
        ("county", &county, make::revoked(&county, &[], now - 24.hours() * 40).unwrap()),
    ];
    let mut table = String::from(
        "\n[udap]\norganization_id = \"https://plan.example\"\ncontacts = [\"mailto:it@plan.example\"]\n",
    );
    for (name, authority, list) in &lists {
        let own = issued(*authority);
        house.write(&format!("tls/{name}.pem"), &authority.certificate);
        house.write(&format!("tls/{name}.crl"), list);
        house.write(&format!("tls/{name}-own.pem"), &own.certificate);
        write_private(&house.folder.join(format!("keys/{name}.pem")), own.key.as_bytes()).unwrap();
        table.push_str(&format!(
            "[[udap.community]]\nuri = \"urn:{name}\"\nanchors = \"tls/{name}.pem\"\n\
             revoked = [\"tls/{name}.crl\"]\ncertificate = \"tls/{name}-own.pem\"\n\
             key = \"keys/{name}.pem\"\n"
        ));
    }
    let text = house.read("house.toml");
    house.write("house.toml", &format!("{text}{table}"));

    let check = house.run(&["check"]).stdout;
    for words in [
        "ok     community urn:town ",
        "ok     community urn:town: tls/town.crl",
        "ok     community urn:town: certificate",
        "WAITS  community urn:county: tls/county.crl",
        "out of date since",
    ] {
        assert!(check.contains(words), "{words}: {check}");
    }
    let said = house.run(&["keys", "csr", "udap"]);
    assert!(said.code == 2 && said.stderr.contains("--community"), "{}", said.stderr);
    let of = |words: &[&'static str]| [words, &["udap", "--community", "urn:county"]].concat();
    assert_eq!(house.run(&of(&["keys", "new"])).code, 0);
    let request = house.run(&of(&["keys", "csr"])).stdout;
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
    let said = house.run(&of(&["keys", "rotate"]));
    assert!(said.code == 2 && said.stderr.contains("--certificate"), "{}", said.stderr);

    // What the community issued, next to the key it issued it for.
    let next = house.folder.join("keys/county.next.pem");
    assert!(house.read("keys/county.next.pem").contains("PRIVATE KEY"));
    fs::remove_file(&next).unwrap();
    let renewed = issued(&county);
    write_private(&next, renewed.key.as_bytes()).unwrap();
    let file = stage.folder.path().join("issued.pem");
    fs::write(&file, &renewed.certificate).unwrap();
    let mut words = of(&["keys", "rotate"]);
    words.extend(["--certificate", file.to_str().unwrap()]);
    let said = house.run(&words);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(house.read("tls/county-own.pem"), renewed.certificate);
    assert!(!next.exists());
    let stages = pairs(&[("in use", "certificate"), ("in use", "certificate")]);
    assert_eq!(listed(house, "udap"), stages);
}

#[test]
fn what_no_house_has_is_not_rotated() {
    let stage = stage();
    let house = &stage.provider;
    let table = [
        (&["keys", "new", "ledger"][..], "command-invalid"),
        (&["keys", "retire", "server"], "command-invalid"),
        (&["keys", "csr", "udap"], "command-invalid"),
        (&["keys", "rotate", "udap"], "command-invalid"),
        (&["keys", "retire", "client"], "command-invalid"),
        (&["keys", "csr", "signing"], "command-invalid"),
        (&["reload"], "house-locked"),
    ];
    for (words, code) in table {
        let said = house.run(words);
        assert!(said.code == 2 && said.stderr.contains(code), "{words:?}: {}", said.stderr);
    }
}

#[test]
fn a_house_is_restored_with_its_keys_at_whatever_stage() {
    let stage = stage();
    let house = &stage.payers[0];
    assert_eq!(house.run(&["keys", "rotate", "tokens", "--now"]).code, 0);
    assert_eq!(house.run(&["keys", "new", "signing"]).code, 1);
    assert!(house.folder.join("keys/members.hex").exists(), "members keep their names");
    let copy = stage.folder.path().join("copy");
    assert_eq!(house.run(&["backup", copy.to_str().unwrap()]).code, 0);
    assert!(!copy.join("keys/signing.next.pem").exists(), "no backup holds a private key");
    assert!(!copy.join("tls/client-key.pem").exists(), "no backup holds a private key");
    let fresh = stage.folder.path().join("fresh");
    for folder in ["keys", "tls"] {
        fs::create_dir_all(fresh.join(folder)).unwrap();
    }
    let mut files = vec!["tls/server-key.pem".to_owned(), "tls/client-key.pem".to_owned()];
    for file in fs::read_dir(house.folder.join("keys")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        files.extend((!name.ends_with(".anchor")).then(|| format!("keys/{name}")));
    }
    assert!(files.len() >= 7, "{files:?}");
    for file in &files {
        fs::copy(house.folder.join(file), fresh.join(file)).unwrap();
    }
    let words = ["--house", fresh.to_str().unwrap(), "restore", copy.to_str().unwrap()];
    let said = house.run_anywhere(&words);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = house.run_anywhere(&["--house", fresh.to_str().unwrap(), "keys", "list"]);
    assert!(said.stdout.contains("announced"), "{}", said.stdout);
}
