//! Goal: each file of a submission has one name.

use crate::bulk::{asked, fetched, hospital, later, plans_own, push_all};
use crate::bulk_manifests::urls;
use crate::bulk_plan::BulkPlan;
use crate::hospital::Hospital;
use exchange::Code;
use exchange::bulk::Manifest;
use http::HeaderMap;

/// The names of the files in the manifest that the plan was told of first.
async fn files(hospital: &Hospital, plan: &BulkPlan) -> Vec<String> {
    let body = fetched(hospital, Some(&plans_own()), &urls(plan)[0]).await;
    Manifest::read(&body).unwrap().output.into_iter().map(|file| file.url).collect()
}

async fn code(hospital: &Hospital, url: &str) -> Option<Code> {
    let told = asked(hospital, Some(&plans_own()), url, &HeaderMap::new()).await;
    told.err().map(|issue| issue.code)
}

#[tokio::test]
async fn each_file_has_one_name() {
    let (hospital, plan) = hospital("organized_by = \"type\"", BulkPlan::default());
    *plan.busy.lock().unwrap() = true;
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    let mut all = files(&hospital, &plan).await;
    all.push(urls(&plan)[0].clone());
    assert!(all.len() > 2, "several files and their manifest");
    for url in all {
        assert_eq!(code(&hospital, &url).await, None, "{url}");
        for other in ["01", "+1", "001"] {
            let (folder, name) = url.rsplit_once('/').unwrap();
            let renamed = format!("{folder}/{}", name.replacen('1', other, 1));
            assert_eq!(code(&hospital, &renamed).await, Some(Code::StatusUnknown), "{renamed}");
        }
    }
}
