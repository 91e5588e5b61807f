//! Goal: the page on findings says what the program looks at, all of it and nothing else.
//!
//! How: the page's table is made anew from the program's and compared. `HANDOVER_WRITE=1` writes it
//! into the page.

#![allow(clippy::unwrap_used)]

use exchange::usability::{Demand, FindingCode, demands};
use std::path::Path;

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
    let rows: String = demands().map(|demand| row(&demand)).collect();
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
