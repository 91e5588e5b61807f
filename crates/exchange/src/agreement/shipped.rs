//! The agreement that is shipped: a sensible minimum, whose comments are the documentation.
//!
//! Comes in   the partner's name, the purposes agreed, the identifiers charts know the payer by.
//! Goes out   the text of an agreement to be written, and of the value sets it names.
//! Never      writes a file.

use super::PayerIdentifier;
use crate::agreement::Agreement;
use crate::id::PartnerId;
use crate::partner::{PublicFile, PublicIdentifier};
use crate::purpose::Purpose;
use std::fmt::Write as _;

static TEXT: &str = include_str!("default.toml");

/// The shipped value sets: name and text, to be written beside the agreement as
/// `valuesets/<name>.txt`.
pub const DEFAULT_VALUE_SETS: [(&str, &str); 2] = [
    ("psychotherapy-notes", include_str!("valuesets/psychotherapy-notes.txt")),
    ("substance-use", include_str!("valuesets/substance-use.txt")),
];

/// The shipped agreement for a partner, by its public file: for payment and operations.
pub fn default_text(public: &PublicFile) -> String {
    let identifier = |found: &PublicIdentifier| PayerIdentifier {
        system: Some(found.system.clone()),
        value: found.value.clone(),
    };
    let identifiers: Vec<_> = public.payer_identifiers.iter().map(identifier).collect();
    let purposes = [Purpose::Payment, Purpose::Operations];
    let text = Agreement::default_text(&public.name, &purposes, &identifiers);
    match public.foreign {
        Some(_) => text.replace("\nform = \"transaction\"\n", "\nform = \"best\"\n"),
        None => text,
    }
}

impl Agreement {
    /// The shipped agreement for this partner. The value sets it names are
    /// [`DEFAULT_VALUE_SETS`].
    pub fn default_text(
        partner: &PartnerId,
        purposes: &[Purpose],
        payer_identifiers: &[PayerIdentifier],
    ) -> String {
        let purposes: Vec<String> =
            purposes.iter().map(|purpose| format!("\"{purpose}\"")).collect();
        let mut identifiers = String::new();
        for PayerIdentifier { system, value } in payer_identifiers {
            identifiers.push_str("\n[[payer_identifiers]]\n");
            if let Some(system) = system {
                let _ = writeln!(identifiers, "system = {}", quoted(system));
            }
            let _ = writeln!(identifiers, "value = {}", quoted(value));
        }
        // Placeholders stand in values, so that the template is itself an agreement that can be read.
        TEXT.replace("\"PARTNER\"", &quoted(partner.as_str()))
            .replace("[\"HPAYMT\"] # PURPOSES", &format!("[{}]", purposes.join(", ")))
            .replace("# PAYER IDENTIFIERS\n", identifiers.trim_start())
    }
}

/// The text of a shipped value set.
pub fn default_value_set(name: &str) -> Option<String> {
    DEFAULT_VALUE_SETS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
