//! smart-fetch, as the plan's platform, exports what was filed.

use crate::filed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

#[test]
fn smart_fetch_exports_what_was_filed() {
    let partners = std::env::var_os("HANDOVER_PARTNERS");
    let folder = partners.as_deref().map(|it| Path::new(it).join("bin"));
    let Some(programs) = folder.filter(|it| it.join("smart-fetch").exists()) else {
        eprintln!("skipped: HANDOVER_PARTNERS names no folder with smart-fetch in it");
        return;
    };
    let mut stage = filed();
    let payer = &stage.payers[0];
    let readers = payer.folder.join("readers");
    std::fs::create_dir(&readers).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/partners/keys.py");
    let (private, public) = (readers.join("private.jwks"), readers.join("platform.json"));
    let keys = Command::new(programs.join("python")).arg(script).args([&private, &public]).status();
    assert!(keys.unwrap().success(), "the partners' Python makes a key");
    let reader = "\n[[reader]]\nclient_id = \"platform\"\njwks = \"readers/platform.json\"\n";
    payer.write("house.toml", &(payer.read("house.toml") + reader));
    assert_eq!(payer.run(&["reload"]).code, 0);

    let taken = payer.folder.join("taken");
    let base = payer.public().base_url;
    let output = Command::new(programs.join("smart-fetch"))
        .args(["bulk", "--no-default-filters", "--no-compression", "--fhir-url", &base])
        .args(["--type", "Patient,Encounter,Observation,Condition"])
        .args(["--smart-client-id", "platform", "--smart-key"])
        .args([&private, &taken])
        .env("SSL_CERT_FILE", payer.folder.join("tls/authority.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");

    let mut filed: BTreeMap<String, u64> = BTreeMap::new();
    for (name, record) in payer.records() {
        if ["Patient", "Encounter", "Observation", "Condition"].contains(&record.kind.as_str()) {
            filed.insert(name, record.version);
        }
    }
    assert!(filed.len() > 20, "{}", filed.len());
    assert_eq!(ndjson(&taken), filed, "{said}");
    stage.stop();
}

/// `Type/id` with its version, of all files of NDJSON below a folder.
fn ndjson(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut ndjson(&path));
        }
        // The log of the export has another form, and another name.
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".ndjson") || name.starts_with("log") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let one: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let name = format!("{}/{}", text(&one["resourceType"]), text(&one["id"]));
            found.insert(name, text(&one["meta"]["versionId"]).parse().unwrap());
        }
    }
    found
}
