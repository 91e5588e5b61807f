//! Goal: docs/ONBOARDING.md works as it is printed, from the first command to the last.

#![allow(clippy::unwrap_used)]

use crate::readme::as_printed;
use std::path::Path;

/// All blocks of the page, in their order.
fn blocks() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ONBOARDING.md");
    let text = std::fs::read_to_string(page).unwrap();
    let fenced = text.split("```sh\n").skip(1);
    fenced.map(|rest| rest.split_once("```").expect("the block ends").0).collect()
}

#[test]
fn two_houses_of_a_community_exchange_test_data_as_printed() {
    let told = as_printed(blocks());
    for word in [
        "send sunrise/tls/community-request.pem to its founder",
        "/fhir is admitted",
        "nobody has said which authority its certificate comes from",
        "a house of this program, a payer",
        "UDAP, in https://town.example",
        "Nothing was found that would stop a push.",
        "settled, filed",
        "may sign in as mercy",
        "The ledger verifies",
    ] {
        assert!(told.contains(word), "the page shows no {word:?}:\n{told}");
    }
}
