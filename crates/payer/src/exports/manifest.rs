//! Manifest: how an export stands, as its reader is told (Bulk Data 1.0.0 to 3.0.0, status request).
//!
//! Comes in   an export, and what its reader asked for in words; the time.
//! Goes out   progress; the manifest with its pages; an OperationOutcome for what is not given.
//! Never      quotes a value of what was asked, but for the URL, which is its reader's own.

use super::Exports;
use crate::limits::{EXPORT_MANIFEST_FILES, EXPORT_POLL, EXPORT_POLL_SECONDS};
use exchange::export::parameters;
use exchange::export::{Beyond, Export, ExportFile, ExportState};
use exchange::{Code, Issue};
use http::header::{CONTENT_TYPE, EXPIRES};
use jiff::Timestamp;
use repository::http_date;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wire::Answer;

/// The file of a manifest that holds messages.
pub(super) const MESSAGES: &str = "messages.ndjson";

/// The names of the pages behind the first.
const PAGE: (&str, &str) = ("manifest-", ".json");

/// What a poll gets of an export that is still being listed: 202, or that status in a header.
pub(super) fn waiting(exports: &Exports, export: &Export, now: Timestamp) -> Answer {
    if exports.polls.too_soon(&export.id, now, EXPORT_POLL) {
        return Answer::polled_too_soon(EXPORT_POLL_SECONDS);
    }
    let words = match exports.counted().get(&export.id) {
        None | Some(0) => "waiting for its turn".to_owned(),
        Some(counted) => format!("{counted} records looked at"),
    };
    Answer::in_progress(words, EXPORT_POLL_SECONDS).with_status_apart(export.asked.status_apart)
}

/// The manifest, or a page behind its first; `None` where there is no such page.
pub(super) fn complete(place: &str, export: &Export, request: &str, page: usize) -> Option<Answer> {
    let ExportState::Ready { expires, .. } = &export.state else { return None };
    let manifest = manifest(place, export, request, page)?.to_string();
    let first = page == 0;
    let answer = Answer::new(200, manifest);
    let answer = answer.with_status_apart(export.asked.status_apart && first);
    Some(answer.with(CONTENT_TYPE, "application/json").with(EXPIRES, http_date(*expires)))
}

/// The page that a file's name means, counted from 0.
pub(super) fn page(name: &str) -> Option<usize> {
    let number = name.strip_prefix(PAGE.0)?.strip_suffix(PAGE.1)?.parse::<usize>().ok()?;
    number.checked_sub(1).filter(|page| *page > 0)
}

fn manifest(place: &str, export: &Export, request: &str, page: usize) -> Option<Value> {
    let ExportState::Ready { as_of, files, .. } = &export.state else { return None };
    let most = if export.asked.in_pages { EXPORT_MANIFEST_FILES } else { usize::MAX };
    let mut pages = files.chunks(most.min(files.len().max(1)));
    let shown = if page == 0 { pages.next().unwrap_or_default() } else { pages.nth(page)? };
    let url = |name: &str| format!("{place}/{name}");
    let item = |(file, next): (&ExportFile, Option<&ExportFile>)| {
        let mut item = json!({ "url": url(&file.name), "count": file.count });
        if file.deleted {
            item["type"] = "Bundle".into();
        } else if !file.kind.is_empty() {
            item["type"] = file.kind.as_str().into();
        }
        if let Some(next) = next.filter(|_| file.goes_on) {
            item["continuesInFile"] = url(&next.name).into();
        }
        item
    };
    let begun = page.saturating_mul(most.min(files.len()));
    let behind = |at: usize| files.get(begun + at + 1);
    let list = |deleted: bool| -> Value {
        let shown = shown.iter().enumerate().filter(|(_, file)| file.deleted == deleted);
        shown.map(|(at, file)| item((file, behind(at)))).collect()
    };
    let error = match messages(export).len() {
        0 => json!([]),
        _ if page > 0 => json!([]),
        count => json!([{ "type": "OperationOutcome", "url": url(MESSAGES), "count": count }]),
    };
    let mut manifest = json!({
        "transactionTime": as_of.to_string(),
        "request": request,
        "requiresAccessToken": true,
        "output": list(false),
        "deleted": list(true),
        "error": error,
    });
    if export.asked.by_patient {
        manifest["outputOrganizedBy"] = "Patient".into();
    }
    if begun + shown.len() < files.len() {
        let next = url(&format!("{}{}{}", PAGE.0, page + 2, PAGE.1));
        manifest["link"] = json!([{ "relation": "next", "url": next }]);
    }
    Some(manifest)
}

/// What is to be said of an export: an OperationOutcome a line.
pub(super) fn messages(export: &Export) -> Vec<Vec<u8>> {
    let (no_kinds, nothing) = (BTreeMap::new(), BTreeMap::new());
    let (left_out, beyond) = match &export.state {
        ExportState::Ready { left_out, beyond, .. } => (left_out, beyond),
        _ => (&no_kinds, &nothing),
    };
    let left_out = left_out.iter().map(|(kind, count)| {
        let detail = format!("{count} records of the type {kind} are not in this export");
        Issue::new(Code::ContentPurged, detail)
    });
    let beyond = beyond.iter().map(|(what, count)| match what {
        Beyond::Members => {
            let detail = format!("{count} members of the Group are no Patients of this house");
            Issue::new(Code::ReferenceUnresolved, detail).at("Group.member")
        }
        Beyond::Referred => {
            let detail = format!(
                "{count} references lead to more records than are looked up for one export; ask for \
                 their types with $export"
            );
            Issue::new(Code::TooManyEntries, detail)
        }
    });
    let passed_over = export.asked.passed_over.iter().map(|name| parameters::passed_over(name));
    left_out.chain(beyond).chain(passed_over).map(|issue| Issue::outcome([&issue])).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: a manifest in pages names every file once, and each page but the last names the next.
    #![allow(clippy::unwrap_used)]
    use super::*;
    use exchange::export::Asked;

    fn export(files: usize, in_pages: bool) -> Export {
        let file = |number: usize| ExportFile {
            name: format!("Patient.{number}.ndjson"),
            kind: "Patient".to_owned(),
            deleted: number.is_multiple_of(7),
            after: None,
            through: String::new(),
            listed: None,
            goes_on: number.is_multiple_of(5),
            count: 1,
        };
        Export {
            id: "e".to_owned(),
            reader: "platform".to_owned(),
            asked: Asked { in_pages, ..Asked::default() },
            at: Timestamp::UNIX_EPOCH,
            state: ExportState::Ready {
                as_of: Timestamp::UNIX_EPOCH,
                expires: Timestamp::UNIX_EPOCH,
                files: (0..files).map(file).collect(),
                left_out: BTreeMap::new(),
                beyond: [(Beyond::Members, 2)].into(),
            },
        }
    }

    #[test]
    fn pages_name_every_file_once_and_the_next_page() {
        for count in [0, 1, EXPORT_MANIFEST_FILES, 2 * EXPORT_MANIFEST_FILES + 1] {
            let export = export(count, true);
            let (mut names, mut number, mut pages) = (Vec::new(), 0, 0);
            loop {
                let told = manifest("p", &export, "r", number).unwrap();
                pages += 1;
                assert_eq!(told["request"], "r");
                assert_eq!(told["error"].as_array().unwrap().len(), usize::from(number == 0));
                for item in ["output", "deleted"].iter().flat_map(|it| told[it].as_array().unwrap())
                {
                    names.push(item["url"].as_str().unwrap().to_owned());
                }
                let Some(next) = told["link"][0]["url"].as_str() else { break };
                assert_eq!(told["link"][0]["relation"], "next");
                number = page(next.strip_prefix("p/").unwrap()).unwrap();
            }
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "each once");
            assert_eq!(pages, count.div_ceil(EXPORT_MANIFEST_FILES).max(1));
            assert_eq!(manifest("p", &export, "r", number + 1), None, "nothing behind the last");
        }
        let whole = manifest("p", &export(2 * EXPORT_MANIFEST_FILES, false), "r", 0).unwrap();
        assert!(whole.get("link").is_none(), "whoever did not ask for pages gets one");
        assert_eq!(whole["output"][4]["continuesInFile"], "p/Patient.6.ndjson");
    }

    #[test]
    fn other_names_are_no_page() {
        for name in ["manifest-1.json", "manifest-0.json", "manifest-.json", "manifest-2", "x"] {
            assert_eq!(page(name), None, "{name}");
        }
        assert_eq!(page("manifest-2.json"), Some(1));
    }
}
