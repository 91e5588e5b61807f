//! Submissions in words: the bulk submissions of a sending house.
//!
//! Comes in   the rows, and the story of one.
//! Goes out   text for a terminal.
//! Never      a URL of a file: it may be a right to fetch it.

use exchange::desk::SubmissionsTold;
use std::fmt::Write;

/// One line per submission, with what it waits for; then the story, where there is one.
pub(super) fn submissions(told: &SubmissionsTold) -> String {
    if told.rows.is_empty() {
        return "no bulk submission\n".to_owned();
    }
    let mut text = String::new();
    for row in &told.rows {
        // A text cannot refuse to be written to.
        let _ = write!(
            text,
            "{}  {} to {}, opened {}\n  {} pushes, {} resources, {} files, {} bytes\n",
            row.id,
            row.state,
            row.payer,
            row.opened,
            row.pushes,
            row.resources,
            row.files,
            row.bytes
        );
        if let Some((files, errors)) = row.partly {
            let _ =
                writeln!(text, "  said so far: {files} files of outcomes, {errors} errors in them");
        }
        if !row.back.is_empty() {
            let _ = writeln!(text, "  the payer has done with it{}", row.back);
        }
        for words in &row.issues {
            words.issue.to_string().lines().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    }
    if let Some(released) = told.released {
        let _ = writeln!(text, "  {} on", go(released));
    }
    for line in &told.timeline {
        let _ = writeln!(text, "  {}  {}", line.at, line.what);
    }
    text
}

fn go(pushes: u64) -> String {
    match pushes {
        1 => "1 push goes".to_owned(),
        many => format!("{many} pushes go"),
    }
}
