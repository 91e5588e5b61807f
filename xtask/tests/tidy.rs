//! Goal: the repository keeps its own rules.
//!
//! How: the same reading as `cargo xtask tidy`, so that `cargo test` alone already holds it.

use std::path::Path;

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let findings = xtask::tidy(&root).expect("tidy runs");
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "\n{}\n{} to mend", told.join("\n"), told.len());
}
