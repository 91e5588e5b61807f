//! Coverages, payors and restrictions in plain words.
//!
//! Comes in   what became of a patient's coverages; the two tables and what was done to them.
//! Goes out   text for people: what waits first.
//! Never      a patient.

use super::{columns, counted, one_line, put_issue, put_lines, put_sentence, when};
use exchange::desk::{
    PayorMapped, PayorsTold, RestrictionsChanged, RestrictionsTold, WaitingPayor,
};
use exchange::scope::{End, Judged, PayorRow};
use std::fmt::Write as _;

/// A trigger whose coverages all are nobody's business.
pub(super) fn nobody(left_alone: u64) -> String {
    let coverages = counted(left_alone, "coverage");
    format!("Nobody is told: {coverages} left alone, as the payor map or an agreement says.\n")
}

/// What became of every coverage.
pub(super) fn coverages(judged: &[Judged]) -> String {
    let mut text = String::new();
    if judged.is_empty() {
        return text;
    }
    let _ = writeln!(text, "Coverages of the patient:");
    let cells: Vec<Vec<String>> = judged
        .iter()
        .map(|one| {
            let rank = one.rank.filter(|_| one.by.is_some());
            let rank = rank.map_or_else(String::new, |rank| format!("number {rank}"));
            let by = one.by.as_ref().map(|by| format!("by {by}"));
            vec![one.coverage.clone(), end(one), rank, by.unwrap_or_default()]
        })
        .collect();
    put_lines(&mut text, &columns(2, &cells));
    let _ = writeln!(text);
    text
}

fn end(one: &Judged) -> String {
    let mut words = match &one.end {
        End::Payer { partner } => partner.to_string(),
        End::Unmapped { payor } => format!("payor {payor}, not mapped"),
        End::LeftAlone { why } => format!("left alone: {why}"),
        End::NotCounted { why } => format!("does not count: {}", why.words()),
        End::Unreadable => "cannot be read".to_owned(),
    };
    if let Some(legal) = &one.legal_payer {
        words.push_str(&format!(", for {legal}"));
    }
    if let Some(delegate) = &one.delegate {
        words.push_str(&format!(", {delegate} acts"));
    }
    words
}

/// `payor list`.
pub(super) fn payors(told: &PayorsTold) -> String {
    let mut text = String::new();
    if told.waiting.is_empty() {
        let _ = writeln!(text, "No payor waits to be mapped.");
    } else {
        let _ = writeln!(text, "Waiting for a person, who maps them:");
        told.waiting.iter().for_each(|one| put_payor(&mut text, one));
        let _ = writeln!(
            text,
            "\nNext: handover payor map KEY --partner NAME --why …, or --none … to leave one alone."
        );
    }
    if told.more {
        let _ = writeln!(text, "More triggers wait than were looked at; look again later.");
    }
    if !told.rows.is_empty() {
        let _ = writeln!(text, "\nMapped:");
        let cells: Vec<Vec<String>> = told
            .rows
            .iter()
            .map(|one| vec![format!("line {}", one.line), names(&one.row), leads_to(&one.row)])
            .collect();
        put_lines(&mut text, &columns(2, &cells));
    }
    text
}

fn put_payor(text: &mut String, one: &WaitingPayor) {
    let waits = if one.triggers == 1 { "waits" } else { "wait" };
    let triggers = counted(one.triggers, "trigger");
    let _ = writeln!(text, "  {}  {triggers} {waits}", one_line(&one.payor.0));
    if let Some(issue) = &one.issue {
        put_issue(text, 4, issue);
    }
    let Some(known) = &one.known_as else { return };
    if known.names.is_empty() && known.identifiers.is_empty() && known.reference.is_none() {
        // Its key leads nowhere: there is nothing that a row could be written with.
        let words = "named in words only, which may be a person's: look in the EHR, then handover payor map";
        let _ = writeln!(
            text,
            "    {words}\n    --name WORDS (or --class, --member-id) --partner NAME --why …"
        );
    }
    for name in &known.names {
        let _ = writeln!(text, "    name        {}", one_line(name));
    }
    for identifier in &known.identifiers {
        let _ = writeln!(text, "    identifier  {}", one_line(&identifier.to_string()));
    }
    if let Some(reference) = &known.reference {
        let _ = writeln!(text, "    reference   {}", one_line(reference));
    }
}

fn names(row: &PayorRow) -> String {
    let days = [row.from, row.until].map(|day| day.map(|day| day.to_string()));
    let [from, until] = days;
    let named = [
        ("identifier", &row.identifier),
        ("reference", &row.reference),
        ("name", &row.name),
        ("class", &row.class),
        ("member id", &row.member_id),
        ("from", &from),
        ("until", &until),
    ];
    let words = named.iter().filter_map(|(key, it)| Some(format!("{key} {}", it.as_ref()?)));
    words.collect::<Vec<_>>().join(", ")
}

fn leads_to(row: &PayorRow) -> String {
    match (&row.partner, &row.none) {
        (Some(partner), _) => format!("to {partner}"),
        (None, why) => format!("left alone: {}", why.as_deref().unwrap_or_default()),
    }
}

/// `payor map`.
pub(super) fn mapped(mapped: &PayorMapped) -> String {
    let mut text = String::new();
    let stands = if mapped.known { "It stood in the map already" } else { "Mapped" };
    let sentence = format!("{stands}: {} {}.", names(&mapped.row), leads_to(&mapped.row));
    put_sentence(&mut text, 0, "", &sentence);
    let goes = if mapped.released == 1 { "goes" } else { "go" };
    let _ = writeln!(text, "{} {goes} on.", counted(mapped.released, "trigger"));
    text
}

/// `restriction list`.
pub(super) fn restrictions(told: &RestrictionsTold) -> String {
    let mut text = String::new();
    if let Some(issue) = &told.issue {
        put_issue(&mut text, 0, issue);
    }
    if let Some(as_of) = told.as_of {
        let _ = writeln!(text, "Known until {}.", when(as_of));
    }
    let all = |words: String| if words.is_empty() { "all payers".to_owned() } else { words };
    let cells: Vec<Vec<String>> = told
        .rows
        .iter()
        .map(|row| {
            let payers: Vec<_> = row.payers.iter().map(ToString::to_string).collect();
            let purposes: Vec<_> = row.except_purposes.iter().map(ToString::to_string).collect();
            let but = match purposes.is_empty() {
                true => String::new(),
                false => format!("not against {}", purposes.join(", ")),
            };
            vec![row.subject.clone(), row.reason.clone(), all(payers.join(", ")), but]
        })
        .collect();
    put_lines(&mut text, &columns(0, &cells));
    let _ = writeln!(text, "In all: {}.", counted(told.rows.len() as u64, "restriction"));
    text
}

/// `restriction add`, `import` and `remove`.
pub(super) fn changed(changed: &RestrictionsChanged) -> String {
    let mut text = String::new();
    let RestrictionsChanged { added, duplicates, removed, rows, released } = changed;
    let sentence = format!(
        "{added} added, {duplicates} known already, {removed} removed; the table now has {}.",
        counted(*rows, "restriction")
    );
    put_sentence(&mut text, 0, "", &sentence);
    if *added > 0 {
        let next = "What was pushed before is taken back when it is pushed again.";
        put_sentence(&mut text, 0, "", next);
    }
    if *released > 0 {
        let pushes = counted(*released, "push");
        let _ = writeln!(text, "{pushes} that waited for a fresh table: released.");
    }
    text
}
