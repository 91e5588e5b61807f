//! Registrations in words: clients that registered by UDAP.
//!
//! Comes in   the rows.
//! Goes out   text for a terminal.
//! Never      a certificate: its digest says enough to compare.

use exchange::desk::RegistrationsTold;
use std::fmt::Write;

/// One block per client.
pub(super) fn registrations(told: &RegistrationsTold) -> String {
    if told.rows.is_empty() {
        return "no client registered by UDAP\n".to_owned();
    }
    let mut text = String::new();
    for row in &told.rows {
        let partner = row.partner.as_ref().map(|name| format!(" as {name}")).unwrap_or_default();
        let said = &row.said;
        let word = match row.state.as_str() {
            "registration-waits" => "waits for a person: partner approve or partner refuse",
            "registered" if row.partner.is_none() => "named or agreed no more; it may not sign in",
            "registered" => "may sign in",
            "registration-refused" => "refused",
            _ => "cancelled itself",
        };
        // A text cannot refuse to be written to.
        let _ = write!(
            text,
            "{}  {word}{partner}\n  {} in {}\n  {}, {}\n",
            row.client,
            said.uri,
            said.community,
            said.name,
            said.contacts.join(", ")
        );
    }
    text
}
