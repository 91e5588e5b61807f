//! A plan that takes bulk submissions, in memory: it notes what it is told, and says what a test has it
//! say.

use crate::hospital::{Answers, PLAN, Told, status};
use bytes::Bytes;
use exchange::bulk::{StatusFile, StatusManifest, StatusRequest, SubmissionStatus, SubmitRequest};
use http::{Request, Response};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// How often something is answered, and how.
pub(crate) type Spoilt = (u32, fn() -> Told);

/// What the plan was told, and what it says.
#[derive(Default)]
pub(crate) struct BulkPlan {
    pub(crate) told: Mutex<Vec<SubmitRequest>>,
    pub(crate) asked: Mutex<Vec<StatusRequest>>,
    /// Lines of its outcomes.
    pub(crate) says: Mutex<Vec<Vec<u8>>>,
    /// The manifest that those are about, where it says so.
    pub(crate) about: Mutex<Option<String>>,
    /// What it gives back (`output`), and asks for (`deleted`).
    pub(crate) back: Mutex<(Vec<StatusFile>, Vec<StatusFile>)>,
    /// It says what there is so far while it is busy.
    pub(crate) partly: bool,
    /// It counts more errors than a number holds.
    pub(crate) countless: bool,
    /// Its manifest has a second page, with the outcomes.
    pub(crate) paged: bool,
    /// It has not done with the submission yet.
    pub(crate) busy: Mutex<bool>,
    /// It has no bulk submission, by its statement.
    pub(crate) unlisted: bool,
    /// What it answers to the end of a submission, one after the other; then as ever.
    pub(crate) ends: Mutex<Vec<fn() -> Told>>,
    /// The polls that were deleted.
    pub(crate) deleted: Mutex<u32>,
    /// What it answers instead, by how the request begins, so often.
    pub(crate) wrong: Mutex<BTreeMap<String, Spoilt>>,
}

impl BulkPlan {
    /// Every `$bulk-submit` that it took.
    pub(crate) fn told(&self) -> Vec<SubmitRequest> {
        self.told.lock().unwrap().clone()
    }

    /// Manifests in the order in which it was told of them, by the last part of their URL; and which
    /// each takes the place of.
    pub(crate) fn manifests(&self) -> Vec<(String, Option<String>)> {
        let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
        let told = self.told().into_iter();
        let named =
            |it: SubmitRequest| Some((name(&it.manifest?.url), it.replaces.as_deref().map(name)));
        told.filter_map(named).collect()
    }

    /// Every `$bulk-submit-status` that it took.
    pub(crate) fn asked(&self) -> Vec<StatusRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// From now on, requests that begin so are answered so, so many times.
    pub(crate) fn spoil(&self, begins: &str, times: u32, told: fn() -> Told) {
        self.wrong.lock().unwrap().insert(begins.to_owned(), (times, told));
    }

    fn spoilt(&self, line: &str) -> Option<Told> {
        let mut wrong = self.wrong.lock().unwrap();
        let (_, (left, told)) = wrong.iter_mut().find(|(begins, _)| line.starts_with(*begins))?;
        *left = left.checked_sub(1)?;
        Some(told())
    }

    fn statement(&self) -> String {
        let operations = json!([{ "name": "bulk-submit" }, { "name": "bulk-submit-status" }]);
        let operations = if self.unlisted { json!([]) } else { operations };
        json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
            "rest": [{ "interaction": [{ "code": "transaction" }], "operation": operations }] })
        .to_string()
    }

    /// A page of the manifest of a submission: the outcomes are on the last one.
    fn manifest(&self, of: &str, last: bool) -> String {
        let errors = if self.countless { u64::MAX } else { 2 };
        let fatal = u64::from(self.countless);
        let outcome = StatusFile {
            url: "outcomes/1.ndjson".to_owned(),
            manifest_url: self.about.lock().unwrap().clone(),
            severities: BTreeMap::from([
                ("error".to_owned(), errors),
                ("fatal".to_owned(), fatal),
                ("information".to_owned(), 9),
            ]),
            ..StatusFile::default()
        };
        let (output, deleted) = self.back.lock().unwrap().clone();
        let said = !self.says.lock().unwrap().is_empty();
        let manifest = StatusManifest {
            submission_id: Some(of.to_owned()),
            requires_access_token: true,
            outcome: if said && last { vec![outcome] } else { Vec::new() },
            output,
            deleted,
            next: (!last).then(|| format!("b1-2?of={of}")),
            ..StatusManifest::default()
        };
        String::from_utf8(manifest.write(exchange::bulk::Dialect::Ballot, "")).unwrap()
    }
}

impl Answers for BulkPlan {
    fn answer(&self, request: &Request<Bytes>) -> Option<Told> {
        let line = format!("{} {}", request.method(), request.uri());
        let line = line.replace(PLAN, "");
        if let Some(told) = self.spoilt(&line) {
            return Some(told);
        }
        // Each submission has a place of its own.
        let (line, of) = line.split_once("?of=").unwrap_or((&line, ""));
        Some(match line {
            "GET /metadata" => status(200, self.statement()),
            "POST /$bulk-submit" => {
                let told = SubmitRequest::read(request.body().clone()).unwrap();
                let ends = told.status == Some(SubmissionStatus::Completed);
                self.told.lock().unwrap().push(told);
                let mut said = self.ends.lock().unwrap();
                if ends && !said.is_empty() { said.remove(0)() } else { status(200, "") }
            }
            "POST /$bulk-submit-status" => {
                assert_eq!(request.headers()["prefer"], "respond-async");
                assert_eq!(request.headers()["accept"], "application/fhir+json");
                let asked = StatusRequest::read(request.body().clone()).unwrap();
                let place = format!("{PLAN}/status/b1?of={}", asked.submission_id);
                self.asked.lock().unwrap().push(asked);
                let answer = Response::builder().status(202).header("content-location", place);
                Ok(answer.body(Bytes::new()).unwrap())
            }
            "GET /status/b1" if *self.busy.lock().unwrap() => {
                status(202, if self.partly { self.manifest(of, true) } else { String::new() })
            }
            "GET /status/b1" => status(200, self.manifest(of, !self.paged)),
            "GET /status/b1-2" => status(200, self.manifest(of, true)),
            "GET /status/outcomes/1.ndjson" => {
                status(200, [self.says.lock().unwrap().join(&b'\n'), b"\n".to_vec()].concat())
            }
            "DELETE /status/b1" => {
                *self.deleted.lock().unwrap() += 1;
                status(202, "")
            }
            _ => return None,
        })
    }
}
