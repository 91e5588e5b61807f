//! Commands about payers' endpoints, and what is answered.
//!
//! Comes in   a payer by its name in this house, by `system|value`, or by a name of directories.
//! Goes out   the endpoint chosen, the rejected ones with their reasons, who vouches, what the door says.
//! Never      a patient.

use super::IssueWords;
use crate::desk::Door;
use crate::directory::{Standing, Vouched};
use crate::endpoint::{Choice, Sought};
use crate::id::{Digest, PartnerId};
use crate::ledger::Who;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `{"command": "directory", "directory": …}`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "directory", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DirectoryCommand {
    /// Ask the directories now, whatever is remembered.
    Find {
        /// Whom.
        payer: String,
        /// Who looks.
        who: Who,
    },
    /// The endpoint that was found is the payer's: a person says so.
    Approve {
        /// Which partner.
        payer: String,
        /// Its identity as `find` showed it; absent: the one in use.
        #[serde(default)]
        identity: Option<Digest>,
        /// Who says so, why.
        who: Who,
    },
}

/// To `directory find`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DirectoryFound {
    /// Whom the directories were asked for.
    pub sought: Sought,
    /// What each directory answered, in the order in which they were asked.
    pub asked: Vec<(String, String)>,
    /// Which one the choice is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The choice.
    pub choice: Choice,
    /// The identity of the endpoint chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Digest>,
    /// The identity before it, where it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Who vouches for it; for a partner of this house alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
    /// Until when the answer is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the door says; for a partner of this house alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<Result<Door, IssueWords>>,
}

/// To `directory approve`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointApproved {
    /// Which partner.
    pub payer: PartnerId,
    /// The endpoint.
    pub endpoint: String,
    /// Its identity.
    pub identity: Digest,
    /// Pushes that waited for it and go on.
    pub released: u64,
}

/// How an endpoint came to be used, as `explain` and `check` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointTold {
    /// The directory that named it.
    pub directory: String,
    /// When, and until when it is used.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who vouches for it.
    pub vouched: Vouched,
    /// The choice.
    pub choice: Choice,
    /// Why it is used beyond its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<IssueWords>,
}

impl EndpointTold {
    /// Of a standing that somebody vouches for.
    pub fn of(standing: &Standing, vouched: Vouched) -> EndpointTold {
        EndpointTold {
            directory: standing.answer.directory.clone(),
            since: standing.since,
            until: standing.until,
            vouched,
            choice: standing.answer.choice.clone(),
            stale: standing.stale.as_ref().map(IssueWords::from),
        }
    }

    /// In one sentence.
    pub fn words(&self) -> String {
        let chosen = self.choice.chosen.as_ref();
        let known = chosen.map(|it| format!(", known by {}", it.known_by)).unwrap_or_default();
        let stale = match self.stale {
            Some(_) => format!("; no directory answers, so it is used until {}", self.until),
            None => String::new(),
        };
        let through = chosen.and_then(|it| it.endpoint.through.as_ref());
        let through = through.map(|it| format!(", through {it}")).unwrap_or_default();
        format!(
            "directory {} names it{known}{through}; {}{stale}",
            self.directory,
            self.vouched.words()
        )
    }
}
