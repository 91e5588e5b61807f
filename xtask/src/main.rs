//! The command line of `xtask`: `cargo xtask test`, `tidy`, `conformance`, `bench` and `crash`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test     everything: tidy, format, lints, all tests; installs what it can
cargo xtask tidy     only the rules of the repository, in seconds
cargo xtask conformance
                     writes docs/CONFORMANCE.md: which test proves which sentence of the guides
cargo xtask bench    the receive path beside its ceiling; `--quick` in under three minutes,
                     `--ten-million` with a very full house, `--only WORD…` some lines of
                     it, `--crowd` callers beside a crowd that holds connections,
                     `--instructions` what the pure parts cost, counted by valgrind; `push`
                     charts pushed to two plans, by stop: `--patients N`, `--quick`,
                     `--mode certified-minimum`
cargo xtask crash    houses killed and cut off power by 200 seeds; --seeds N, or --seed S for one;
                     --sqlite or --postgres for one database
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => xtask::steps::test(&root()),
        ["tidy"] => xtask::steps::tidy(&root()),
        ["conformance"] => xtask::steps::conformance(&root()),
        ["bench", words @ ..] => xtask::bench::run(&root(), words),
        ["crash", words @ ..] => xtask::crash::run(&root(), words),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("unknown command: {}\n\n{HELP}", words.join(" "));
            ExitCode::from(2)
        }
    }
}

/// The root of the repository: the parent of this crate's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
