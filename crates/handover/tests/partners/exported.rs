//! Two clients of Bulk Data that we did not write export from both houses: as the plan's platform what was
//! filed, and as the plan itself what the hospital may give of its members.

use crate::common::Stage;
use serde_json::Value;
use sim::TownPlan;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is exported where a client has to name types.
const TYPES: [&str; 4] = ["Patient", "Encounter", "Observation", "Condition"];

/// bulk-data-client asks for Node before 19; its HTTP cache waits for ever under a later one.
const NODE: &str = "node18/bin/node";

/// A door with an export, and who is known there.
struct Door {
    base: String,
    authority: PathBuf,
    client: String,
    /// A private JWK Set.
    key: PathBuf,
    /// Whose records: everybody's, or a Group's.
    group: Option<String>,
}

/// Resources by `Type/id`, as they stand in the files of an export.
type Exported = BTreeMap<String, Value>;

/// The folder of partners, where this one is there.
fn partners(wanted: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HANDOVER_PARTNERS").map(PathBuf::from);
    let folder = folder.filter(|it| it.join(wanted).exists());
    if folder.is_none() {
        eprintln!("skipped: HANDOVER_PARTNERS names no folder with {wanted} in it");
    }
    folder
}

/// A key as the clients sign in with it; the private set, and the public one.
fn key(partners: &Path, folder: &Path) -> (PathBuf, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/partners/keys.py");
    let (private, public) = (folder.join("private.jwks"), folder.join("public.jwks"));
    let python = partners.join("bin/python");
    let made = Command::new(python).arg(script).args([&private, &public]).status();
    assert!(made.unwrap().success(), "the partners' Python makes a key");
    (private, std::fs::read_to_string(public).unwrap())
}

/// smart-fetch (Python), with these types.
fn smart_fetch(partners: &Path, door: &Door, out: &Path) -> Exported {
    let mut command = Command::new(partners.join("bin/smart-fetch"));
    command.args(["bulk", "--no-default-filters", "--no-compression", "--fhir-url", &door.base]);
    command.args(["--type", &TYPES.join(","), "--smart-client-id", &door.client, "--smart-key"]);
    command.arg(&door.key);
    if let Some(group) = &door.group {
        command.args(["--group", group]);
    }
    run(command.arg(out).env("SSL_CERT_FILE", &door.authority));
    exported(out)
}

/// bulk-data-client (TypeScript), with everything that is offered.
fn bulk_data_client(partners: &Path, door: &Door, out: &Path) -> Exported {
    std::fs::create_dir(out).unwrap();
    let keys: Value = serde_json::from_slice(&std::fs::read(&door.key).unwrap()).unwrap();
    let config = serde_json::json!({
        "fhirUrl": door.base, "tokenUrl": "", "clientId": door.client, "privateKey": keys["keys"][0],
        "global": door.group.is_none(), "group": door.group.as_deref().unwrap_or_default(),
        "lenient": false, "reporter": "text", "destination": out, "saveManifest": true,
        "log": { "enabled": false }, "fileDownloadRetry": { "limit": 0 },
    });
    let file = out.join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(partners.join(NODE));
    command.arg(partners.join("bulk-data-client")).arg("--config").arg(&file);
    let said = run(command.env("NODE_EXTRA_CA_CERTS", &door.authority));
    // It ends with 0 whatever a download comes to.
    let manifest = std::fs::read(out.join("manifest.json")).expect(&said);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let files = manifest["output"].as_array().unwrap();
    let counted: u64 = files.iter().map(|file| file["count"].as_u64().unwrap()).sum();
    let found = exported(out);
    assert_eq!(found.len() as u64, counted, "{said}");
    found
}

/// What a client says; it must end well.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// The resources of all files of NDJSON below a folder.
fn exported(folder: &Path) -> Exported {
    let mut found = Exported::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut exported(&path));
        }
        // The log of an export has another form, and another name.
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".ndjson") || name.starts_with("log") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let one: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let name = format!("{}/{}", text(&one["resourceType"]), text(&one["id"]));
            assert!(found.insert(name.clone(), one).is_none(), "{name} came twice");
        }
    }
    found
}

/// A resource without what a server says of its own record.
fn plain(mut resource: Value) -> Value {
    if let Some(meta) = resource["meta"].as_object_mut() {
        meta.remove("versionId");
        meta.remove("lastUpdated");
    }
    if resource["meta"].as_object().is_some_and(serde_json::Map::is_empty) {
        resource.as_object_mut().unwrap().remove("meta");
    }
    resource
}

fn of_types(found: &Exported) -> Exported {
    let wanted = |name: &str| TYPES.iter().any(|kind| name.split('/').next() == Some(kind));
    found.iter().filter(|(name, _)| wanted(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The plan's platform, which the receiving house knows.
fn platform(stage: &Stage, partners: &Path) -> Door {
    let payer = &stage.payers[0];
    let readers = payer.folder.join("readers");
    std::fs::create_dir(&readers).unwrap();
    let (key, public) = key(partners, &readers);
    payer.write("readers/platform.json", &public);
    let reader = "\n[[reader]]\nclient_id = \"platform\"\njwks = \"readers/platform.json\"\n";
    payer.write("house.toml", &(payer.read("house.toml") + reader));
    assert_eq!(payer.run(&["reload"]).code, 0);
    Door {
        base: payer.public().base_url,
        authority: payer.folder.join("tls/authority.pem"),
        client: "platform".to_owned(),
        key,
        group: None,
    }
}

/// The plan itself, with a key of the client's, which the sending house knows.
fn plan(stage: &Stage, partners: &Path) -> Door {
    let (provider, name) = (&stage.provider, stage.payers[0].public().name);
    let folder = stage.folder.path().join("plans-client");
    std::fs::create_dir(&folder).unwrap();
    let (key, public) = key(partners, &folder);
    let file = format!("partners/{name}.json");
    let mut partner: Value = serde_json::from_str(&provider.read(&file)).unwrap();
    partner["jwks"] = serde_json::from_str(&public).unwrap();
    provider.write(&file, &partner.to_string());
    assert_eq!(provider.run(&["reload"]).code, 0);
    let namespace = provider.public().namespace;
    Door {
        base: provider.public().base_url,
        authority: provider.folder.join("tls/authority.pem"),
        client: partner["client_id"].as_str().unwrap().to_owned(),
        key,
        group: Some(exchange::id::derived_id(&namespace, "Group", name.as_str())),
    }
}

/// A plan that has the histories of all its members, and may ask for them itself.
fn filed() -> Stage {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(5, &plan);
    stage.let_pull(0);
    stage.serve();
    let patients: Vec<_> = stage.chart.of_kind("Patient").iter().map(|it| it.reference()).collect();
    stage.provider.push_all(&patients);
    stage.wait_for_roster();
    stage
}

type Client = fn(&Path, &Door, &Path) -> Exported;

/// Both houses, exported from by one client. The plan's own export holds what is filed, version by version;
/// the hospital's holds the same, and besides only what is about people whom the plan does not know.
fn exports_from_both_houses(wanted: &str, client: Client, whole: bool) {
    let Some(partners) = partners(wanted) else { return };
    let mut stage = filed();
    let filed: BTreeMap<String, u64> =
        stage.payers[0].records().into_iter().map(|(name, it)| (name, it.version)).collect();
    let chosen =
        |name: &&String| whole || TYPES.iter().any(|kind| name.split('/').next() == Some(kind));
    let filed: BTreeMap<String, u64> = filed
        .iter()
        .filter(|(name, _)| chosen(name))
        .map(|(name, it)| (name.clone(), *it))
        .collect();
    assert!(filed.len() > 20, "{}", filed.len());
    let of_payer =
        client(&partners, &platform(&stage, &partners), &stage.folder.path().join("of-payer"));
    let version = |one: &Value| one["meta"]["versionId"].as_str().unwrap().parse().unwrap();
    let versions: BTreeMap<String, u64> =
        of_payer.iter().map(|(name, one)| (name.clone(), version(one))).collect();
    assert_eq!(versions, filed);

    let of_hospital =
        client(&partners, &plan(&stage, &partners), &stage.folder.path().join("of-hospital"));
    let of_hospital = of_types(&of_hospital);
    let mut members = BTreeSet::new();
    for (name, one) in of_types(&of_payer) {
        assert_eq!(of_hospital.get(&name).cloned().map(plain), Some(plain(one)), "{name}");
        members.insert(name);
    }
    let others = of_hospital.iter().filter(|(name, _)| !members.contains(*name));
    for (name, one) in others {
        let subject = one["subject"]["reference"].as_str().unwrap_or(name);
        assert!(subject.starts_with("Patient/") && !members.contains(subject), "{name}");
    }
    stage.stop();
}

#[test]
fn smart_fetch_exports_from_both_houses() {
    exports_from_both_houses("bin/smart-fetch", smart_fetch, false);
}

#[test]
fn bulk_data_client_exports_from_both_houses() {
    exports_from_both_houses("bulk-data-client", bulk_data_client, true);
}
