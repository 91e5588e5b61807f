//! What the repository does to itself: one command for all tests, and `tidy`.
//!
//! Comes in   the files of the repository, and what `cargo metadata` says of its crates.
//! Goes out   findings, each with file, line and what to do; the result of a whole test run.
//! Never      changes a source file, and never needs the network to say whether it is tidy.
//!
//! Why a library: `tidy` is a plain test as well as a command, so that `cargo test` alone
//! already holds everyone to the rules that `docs/ARCHITECTURE.md` gives.

pub mod bench;
pub mod catalogue;
pub mod conformance;
pub mod crash;
pub mod links;
pub mod model;
pub mod partners;
pub mod provoked;
pub mod requirements;
pub mod rooms;
pub mod rules;
pub mod source;
pub mod steps;
pub mod tree;

use std::fmt;
use std::path::Path;

use tree::Tree;

/// One thing that is not as it should be, and its way forward.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root of the repository.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it, in the imperative.
    pub mend: String,
}

impl Finding {
    /// A finding at a line counted from 1.
    pub fn new(
        path: impl Into<String>,
        line: usize,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding { path: path.into(), line, what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    do: {}", self.path, self.line, self.what, self.mend)
    }
}

/// Reads the repository at `root` and holds it to every rule that a machine can check.
///
/// The error is a sentence: `tidy` itself could not run.
pub fn tidy(root: &Path) -> Result<Vec<Finding>, String> {
    let tree = Tree::read(root)?;
    let crates = rooms::metadata(root)?;
    let mut findings = rooms::check(&tree, &crates);
    findings.extend(catalogue::check(&tree));
    findings.extend(provoked::check(&tree));
    findings.extend(rules::check(&tree));
    findings.extend(links::check(&tree));
    findings.extend(conformance::check(&tree));
    findings.extend(model::check(&tree));
    findings.sort();
    findings.dedup();
    Ok(findings)
}
