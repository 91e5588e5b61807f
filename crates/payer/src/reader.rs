//! Reader: a platform of the plan's own that reads what partners have filed.
//!
//! Comes in   a caller, as the gate found it.
//! Goes out   the reader, where the caller is one.
//! Never      a partner: a reader has no agreement, files nothing, and is in nobody's name.
//!
//! Why a name of its own kind: whoever signs in at the gate has a name in this house, and a partner's
//! sees its own records only. A reader's begins with what no partner's name can hold.

use wire::Caller;

/// Begins the name of every reader; no partner's name holds a slash.
const PREFIX: &str = "reader/";

/// A reader, by its client id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The client id with which it signs in.
    pub client_id: String,
}

impl Reader {
    /// The reader behind a caller; none where it is a partner, or the operator.
    pub fn of(caller: &Caller) -> Option<Reader> {
        let client_id = caller.partner.strip_prefix(PREFIX)?.to_owned();
        Some(Reader { client_id })
    }

    /// The name in this house of the reader with this client id, for its credential.
    pub fn name(client_id: &str) -> String {
        format!("{PREFIX}{client_id}")
    }
}
