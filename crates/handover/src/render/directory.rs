//! Endpoints of payers in plain words.
//!
//! Comes in   what directories say, what was chosen and why, what the door says.
//! Goes out   text for people: the choice first, then who vouches, then all others.
//! Never      a patient.

use super::{columns, counted, one_line, put_issue, put_lines, put_sentence, when};
use crate::directory::Imported;
use exchange::desk::{DirectoryFound, Door, EndpointApproved};
use std::fmt::Write as _;

/// To `directory find`.
pub(super) fn found(told: &DirectoryFound) -> String {
    let mut text = String::new();
    let cells = told.asked.iter().map(|(name, words)| vec![name.clone(), one_line(words)]);
    let _ = writeln!(text, "Directories asked:");
    put_lines(&mut text, &columns(2, &cells.collect::<Vec<_>>()));
    let _ = writeln!(text);
    match &told.choice.chosen {
        None => {
            let _ = writeln!(text, "No endpoint that a push can go to.");
        }
        Some(chosen) => {
            let endpoint = &chosen.endpoint;
            let _ = writeln!(
                text,
                "Chosen: {} ({})",
                one_line(&endpoint.address),
                one_line(&endpoint.id)
            );
            put_sentence(&mut text, 2, "", &format!("the payer is known by {}", chosen.known_by));
            if let Some(through) = &endpoint.through {
                put_sentence(&mut text, 2, "", &format!("not the payer's own: through {through}"));
            }
            if let Some(by) = chosen.by {
                put_sentence(&mut text, 2, "", &format!("it comes first: {}", by.words()));
            }
            if let Some(identity) = told.identity {
                let _ = writeln!(text, "  identity {identity}");
            }
            if told.before.is_some() {
                let _ = writeln!(text, "  it is not the one that was used before");
            }
            match (told.vouched, told.until) {
                (Some(vouched), _) => put_sentence(&mut text, 2, "", vouched.words()),
                (None, Some(_)) => put_sentence(
                    &mut text,
                    2,
                    "",
                    "nobody vouches for it, so pushes wait: compare it with the plan, then \
                     `handover directory approve`",
                ),
                (None, None) => {}
            }
            if let Some(until) = told.until {
                let _ = writeln!(text, "  used until {}", when(until));
            }
        }
    }
    if !told.choice.rejected.is_empty() {
        let count = counted(told.choice.rejected.len() as u64, "endpoint");
        let _ = writeln!(text, "\n{count} not taken:");
        for one in &told.choice.rejected {
            let address =
                if one.address.is_empty() { String::new() } else { format!(" {}", one.address) };
            put_sentence(&mut text, 2, "", &format!("{}{address}: {}", one.id, one.why.words()));
        }
    }
    told.choice.notes.iter().for_each(|note| put_sentence(&mut text, 2, "note: ", note));
    match &told.door {
        Some(Ok(door)) => {
            let _ = writeln!(
                text,
                "\nThe door speaks FHIR {}, {}, {}:",
                one_line(&door.version),
                one_line(&door.form),
                one_line(&door.mode)
            );
            put_agreed(&mut text, door);
        }
        Some(Err(words)) => {
            let _ = writeln!(text, "\nThe door is shut:");
            put_issue(&mut text, 2, words);
        }
        None => {}
    }
    text
}

/// Why both sides speak what they do.
fn put_agreed(text: &mut String, door: &Door) {
    let reasons = door.agreed.iter().flat_map(|agreed| &agreed.reasons);
    reasons.for_each(|reason| put_sentence(text, 2, "", reason));
}

/// The lines below a door in `explain`: how its address was found, and what is agreed on.
pub(super) fn put_door(text: &mut String, door: &Door) {
    if let Some(endpoint) = &door.endpoint {
        put_sentence(text, 4, "", &endpoint.words());
        for one in &endpoint.choice.rejected {
            put_sentence(text, 4, "", &format!("not {}: {}", one.id, one.why.words()));
        }
        endpoint.stale.iter().for_each(|words| put_issue(text, 4, words));
    }
    let us_core = door.agreed.as_ref().and_then(|agreed| agreed.us_core.as_ref());
    if let Some(version) = us_core {
        let _ = writeln!(text, "    US Core {}", one_line(version));
    }
}

/// To `directory approve`.
pub(super) fn approved(told: &EndpointApproved) -> String {
    let mut text = format!("{} is {}'s from now on.\n", one_line(&told.endpoint), told.payer);
    if told.released > 0 {
        let _ = writeln!(text, "{} that waited for it go on.", counted(told.released, "push"));
    }
    text
}

/// To `directory import`.
pub fn imported(told: &Imported) -> String {
    let counts: Vec<String> =
        told.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut text = format!("{}: {}.\n", told.file.display(), counts.join(", "));
    if told.others > 0 {
        let _ = writeln!(text, "{} of other types left out.", counted(told.others, "resource"));
    }
    for (place, why) in told.faults.iter().take(20) {
        put_sentence(&mut text, 2, "", &format!("{place}: {why}"));
    }
    if told.faults.len() > 20 {
        let _ = writeln!(text, "  and {} more", told.faults.len() - 20);
    }
    if !told.is_asked {
        let _ = writeln!(
            text,
            "No [[directory]] of house.toml asks it yet: add one with kind = \"dump\"."
        );
    }
    text
}
