//! Ledger: another key for the ledger, between two of its checkpoints.
//!
//! Comes in   a house that nobody runs.
//! Goes out   a ledger that is signed to its end by the old key, which is listed as retired; a new key.
//! Never      changes the key of a ledger that does not prove itself, or while somebody signs with it.
//!
//! Why the house must stop: a process that goes on signing with a key that was retired makes a ledger
//! that nobody can prove.

use super::place::{self, Stamps};
use crate::config;
use crate::house::Opened;
use crate::knock::knock;
use exchange::{Code, Digest, Issue};
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::Arc;
use store::LedgerKey;
use toml::Spanned;

/// Gives the ledger another key; answers the ids of the old and the new one.
///
/// Errors: `HouseLocked` while the house runs, `LedgerBroken`, `KeyUnusable`, `ConfigInvalid`.
pub(super) async fn rotate(
    config: &Arc<config::House>,
    now: Timestamp,
) -> Result<(String, String), Issue> {
    let runs = || {
        let detail =
            "the ledger's key is changed while no process of the house runs: stop it first";
        Issue::new(Code::HouseLocked, detail)
    };
    // A database server would let this process in beside the others.
    if config.file.database.is_some() && knock(&config.file.base_url, None).await.is_ok() {
        return Err(runs());
    }
    let opened = Opened::open_memory(Arc::clone(config)).await;
    let opened = opened.map_err(|issue| match issue.code {
        Code::HouseLocked => runs(),
        _ => issue,
    })?;
    opened.confirm_ledger().await?;
    // Signed to its end by the key that is to go.
    opened.checkpoint().await?;

    let (new, pem) = LedgerKey::generate()
        .map_err(|_| Issue::new(Code::KeyUnusable, "a key for the ledger cannot be made"))?;
    let pem = place::Secret::new(pem);
    let path = config.path(&config.file.keys.ledger);
    let stamps = Stamps { made: Some(now), begun: Some(now), ended: None };
    let next = place::stages(&path).next;
    place::replace(&next, &stamps.before(&pem))?;
    retire(config, Digest(opened.ledger.public()))?;
    // The private half of the old key ends here; its public half stands in the configuration.
    place::replace(&path, &stamps.before(&pem))?;
    place::remove(&next)?;
    Ok((opened.ledger.key_id(), new.key_id()))
}

#[derive(Deserialize)]
struct Written {
    keys: KeysWritten,
}

#[derive(Deserialize)]
struct KeysWritten {
    ledger: Spanned<String>,
    retired: Option<Spanned<Vec<String>>>,
}

/// Lists a public key as retired in `house.toml`, which otherwise stays as people wrote it.
fn retire(config: &config::House, public: Digest) -> Result<(), Issue> {
    let place = config.folder.join(config::FILE);
    let text = config::read_text(&place)?;
    match with_retired(&text, &public.to_string()) {
        Some(text) => config::write_text(&place, &text),
        None => {
            let detail = "the key that is retired cannot be added to `retired` here";
            Err(Issue::new(Code::ConfigInvalid, detail).at("house.toml: keys.retired"))
        }
    }
}

fn with_retired(text: &str, public: &str) -> Option<String> {
    let written: Written = toml::from_str(text).ok()?;
    let (range, mut keys) = match written.keys.retired {
        Some(retired) => (retired.span(), retired.into_inner()),
        None => {
            let end = written.keys.ledger.span().end;
            let line = text[end..].find('\n').map_or(text.len(), |at| end + at);
            let mut whole = text.to_owned();
            whole.insert_str(line, &format!("\nretired = [\"{public}\"]"));
            return Some(whole);
        }
    };
    if !keys.iter().any(|key| key == public) {
        keys.push(public.to_owned());
    }
    let list: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    let mut whole = text.to_owned();
    whole.replace_range(range, &format!("[{}]", list.join(", ")));
    // What was written reads as it should.
    let again: Written = toml::from_str(&whole).ok()?;
    (again.keys.retired?.into_inner() == keys).then_some(whole)
}

#[cfg(test)]
mod tests {
    //! Goal: the configuration stays as people wrote it, but for the one key.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_retired_key_is_written_down_where_people_left_room() {
        let table = [
            (
                "[keys]\nledger = \"k\" # ours\nretired = []\n# end\n",
                "[keys]\nledger = \"k\" # ours\nretired = [\"aa\"]\n# end\n",
            ),
            (
                "[keys]\nledger = \"k\"\nretired = [\n  \"bb\", # once\n]\n",
                "[keys]\nledger = \"k\"\nretired = [\"bb\", \"aa\"]\n",
            ),
            (
                "[keys]\nledger = \"k\" # ours\n[tls]\n",
                "[keys]\nledger = \"k\" # ours\nretired = [\"aa\"]\n[tls]\n",
            ),
            (
                "[keys]\nledger = \"k\"\nretired = [\"aa\"]\n",
                "[keys]\nledger = \"k\"\nretired = [\"aa\"]\n",
            ),
        ];
        for (before, after) in table {
            assert_eq!(with_retired(before, "aa").unwrap(), after);
        }
        assert!(with_retired("[keys]\n", "aa").is_none());
    }
}
