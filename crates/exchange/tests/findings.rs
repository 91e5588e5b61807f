//! Goal: the page on findings says what the program looks at, all of it and nothing else.
//!
//! How: the page's table is made anew from the program's and compared. `HANDOVER_WRITE=1` writes it
//! into the page.

#![allow(clippy::unwrap_used)]

use exchange::usability::{Demand, FindingCode, demands, findings};
use exchange::{Decision, Disclosure, Purpose};
use std::io::Write as _;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- end of table -->\n";

fn row(demand: &Demand) -> String {
    let purposes: Vec<String> = demand.purposes.iter().map(ToString::to_string).collect();
    let purposes = if purposes.len() == 5 { "all".to_owned() } else { purposes.join(", ") };
    let (word, kinds) = (demand.word, demand.kinds.join(", "));
    let Demand { actor, step, source, .. } = demand;
    format!("| `{word}` | {kinds} | {} | {purposes} | {actor}: {step} | {source} |\n", word.title())
}

#[test]
fn the_page_lists_what_is_looked_at() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/FINDINGS.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (table, tail) = rest.split_once(END).unwrap();
    let columns = "| word | of | what it means | for | who can mend it, and how | why |\n\
                   |---|---|---|---|---|---|\n";
    let rows: String = demands().map(row).collect();
    let made = format!("\n{columns}{rows}\n");
    if std::env::var_os("HANDOVER_WRITE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(table, made, "run the test with HANDOVER_WRITE=1");
}

#[test]
fn every_word_is_looked_for_and_every_demand_says_why() {
    for word in FindingCode::ALL {
        assert!(demands().any(|demand| demand.word == *word), "{word}");
    }
    for demand in demands() {
        let told = [demand.step, demand.source, demand.word.title()];
        assert!(told.iter().all(|words| words.len() > 5), "{}", demand.word);
        assert!(!demand.purposes.is_empty() && !demand.kinds.is_empty(), "{}", demand.word);
    }
}

/// Real charts of others: what US Core's own examples lack for payment.
#[test]
fn the_examples_of_us_core_lack_what_they_lack() {
    let data = std::env::var_os("HANDOVER_DATA").map(PathBuf::from);
    let Some(folder) = data.map(|data| data.join("us-core-6.1.0-examples")) else {
        let line =
            b"skipped: HANDOVER_DATA names no folder, so findings are tried on no real charts\n";
        std::io::stderr().write_all(line).unwrap();
        return;
    };
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let read = |path| fhir::Resource::parse(std::fs::read(path).unwrap()).ok();
    let resources = files.filter_map(read).filter(|resource| resource.id().is_some());
    let travels = |resource| Decision::Included { resource, rule: "all".into(), cuts: Vec::new() };
    let disclosure = Disclosure { decisions: resources.map(travels).collect() };
    let found = findings(&disclosure, Purpose::Payment, "https://ehr.example/fhir");
    let counts: Vec<_> = found.iter().map(|it| (it.word.slug(), it.count)).collect();
    assert_eq!(
        counts,
        [
            ("encounter-period-missing", 2),
            ("encounter-period-missing", 1),
            ("encounter-disposition-missing", 1),
            ("visit-number-missing", 3),
            ("encounter-practitioner-missing", 3),
            ("encounter-provider-missing", 3),
            ("diagnosis-not-icd-10-cm", 4),
            ("result-unit-not-ucum", 17), // "unit" without "code"
            ("report-performer-missing", 2),
            ("note-author-missing", 1),
            ("note-authenticator-missing", 2),
            ("note-not-final", 2),
            ("note-content-missing", 1), // its Binary is no example
            ("npi-invalid", 2),
            ("organization-tin-missing", 4),
        ]
    );
}
