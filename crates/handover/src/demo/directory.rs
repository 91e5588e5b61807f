//! Directory: the one in which the demo's hospitals find the plans' doors, a process of its own.
//!
//! Comes in   the plans, with the addresses of their doors.
//! Goes out   a running directory; the lines of a hospital's configuration that name it.
//! Never      tells a hospital where a door is by another way: what is pushed went where it says.

use crate::config::{read_text, unwritable, write_text};
use crate::ehr::AUTHORITY;
use crate::limits::{DEMO_READY_MAX, DEMO_STOP_MAX};
use exchange::partner::PublicFile;
use exchange::{Code, Issue};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const NDH: &str = "http://hl7.org/fhir/us/ndh/StructureDefinition/base-ext-";

/// A running directory.
pub(super) struct Listed {
    pub(super) base_url: String,
    /// Endpoints that it lists.
    pub(super) endpoints: usize,
    folder: PathBuf,
    child: Child,
    tether: Option<ChildStdin>,
    // Kept open, so that the child can always write its last words.
    _words: BufReader<ChildStdout>,
}

impl Listed {
    /// Starts it, with an entry of each plan.
    pub(super) async fn start(folder: &Path, plans: &[PublicFile]) -> Result<Listed, Issue> {
        fs::create_dir_all(folder).map_err(|_| unwritable(folder))?;
        let entries: Vec<Value> = plans.iter().flat_map(entries).collect();
        let endpoints = entries.iter().filter(|it| it["resourceType"] == "Endpoint").count();
        let lines: Vec<String> = entries.iter().map(ToString::to_string).collect();
        write_text(&folder.join("plans.ndjson"), &format!("{}\n", lines.join("\n")))?;
        let failed = |detail: &str| {
            let issue = Issue::new(Code::InternalError, detail);
            issue.at(folder.join("serve.log").display().to_string())
        };
        let log = fs::File::create(folder.join("serve.log")).map_err(|_| unwritable(folder))?;
        let program = std::env::current_exe()
            .map_err(|_| Issue::new(Code::InternalError, "this program cannot find itself"))?;
        let mut child = Command::new(program)
            .args(["directory", "serve"])
            .arg(folder)
            .args(["--tethered", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|_| failed("the directory's process cannot be started"))?;
        let tether = child.stdin.take();
        let words = child.stdout.take().ok_or_else(|| failed("the directory has no voice"))?;
        let mut words = BufReader::new(words);
        let mut line = String::new();
        let ready = timeout(DEMO_READY_MAX, words.read_line(&mut line)).await;
        let base_url = line.trim().strip_prefix("ready ").map(str::to_owned);
        let base_url = base_url.filter(|_| matches!(ready, Ok(Ok(_))));
        let base_url = base_url.ok_or_else(|| failed("the directory did not open; see its log"))?;
        let folder = folder.to_owned();
        Ok(Listed { base_url, endpoints, folder, child, tether, _words: words })
    }

    /// Lets a hospital look for its payers here.
    pub(super) fn tell(&self, hospital: &Path) -> Result<(), Issue> {
        let authority = hospital.join("tls/directory-authority.pem");
        fs::copy(self.folder.join(AUTHORITY), &authority).map_err(|_| unwritable(&authority))?;
        let place = hospital.join(crate::config::FILE);
        let lines = format!(
            "\n[[directory]]\nkind = \"national\"\nurl = {}\nauthority = \"tls/directory-authority.pem\"\n",
            toml::Value::from(self.base_url.as_str())
        );
        write_text(&place, &(read_text(&place)? + &lines))
    }

    /// Lets it end by itself; ends it when it does not.
    pub(super) async fn stop(mut self) {
        drop(self.tether.take());
        if timeout(DEMO_STOP_MAX, self.child.wait()).await.is_err() {
            self.child.kill().await.ok();
        }
    }
}

/// What a directory has of a plan: its organization, the door, and two that are not to be taken.
fn entries(plan: &PublicFile) -> Vec<Value> {
    let name = plan.name.as_str();
    let identifiers = plan.payer_identifiers.iter();
    let identifiers: Vec<Value> =
        identifiers.map(|it| json!({ "system": it.system, "value": it.value })).collect();
    let organization = json!({ "resourceType": "Organization", "id": name, "active": true,
        "name": plan.title, "identifier": identifiers });
    let endpoint = |id: &str, status: &str, environment: &str, address: &str| {
        let environment = json!({ "url": format!("{NDH}endpoint-environment-type"),
            "valueCodeableConcept": { "coding": [{ "code": environment }] } });
        let guide = json!({ "url": format!("{NDH}implementation-guide"), "extension": [
            { "url": "ig-usecase", "valueCodeableConcept": { "coding":
                [{ "code": "provider-payer-data-exchange" }] } }] });
        json!({ "resourceType": "Endpoint", "id": format!("{name}-{id}"), "status": status,
            "extension": [environment, guide],
            "connectionType": { "code": "hl7-fhir-rest",
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type" },
            "managingOrganization": { "reference": format!("Organization/{name}") },
            "payloadType": [{ "coding": [{ "code": "not-applicable" }] }],
            "payloadMimeType": ["application/fhir+json"], "address": address })
    };
    vec![
        organization,
        endpoint("door", "active", "prod", &plan.base_url),
        endpoint("trial", "active", "test", &format!("https://trial.{name}.example/fhir")),
        endpoint("old", "off", "prod", &format!("https://old.{name}.example/fhir")),
    ]
}
