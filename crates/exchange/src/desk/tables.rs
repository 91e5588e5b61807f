//! What people ask of a sending house's two tables, payors and restrictions, and what they are told.
//!
//! Comes in   JSON of `POST /api/payor` and `POST /api/restriction`, or the same from the command line.
//! Goes out   counts, rows, and what waits for a person.
//! Never      a patient; of payors only what the chart says of an Organization.

use super::IssueWords;
use crate::ledger::Who;
use crate::restriction::Restriction;
use crate::scope::{Payor, PayorKey, PayorRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A command about payors, as `{"command": "payor", "do": "map", …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PayorCommand {
    /// Payors that wait to be mapped, each once, and the rows there are.
    List {
        /// Who looks: coverages of charts are read for it.
        who: Who,
    },
    /// Write a row, and let go on what waited for it.
    Map {
        /// A payor of the list; the row then names it as the chart does.
        #[serde(default)]
        payor: Option<PayorKey>,
        /// The row.
        row: Box<PayorRow>,
        /// Who maps it, why.
        who: Who,
    },
}

/// A command about restrictions, as `{"command": "restriction", "do": "add", …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RestrictionCommand {
    /// The rows there are.
    List {},
    /// Add a row.
    Add {
        /// The row.
        row: Restriction,
        /// Who, why.
        who: Who,
    },
    /// Add the rows of a file, all or none.
    Import {
        /// The file, by its whole path on the house's machine: CSV, or TOML as the table is written.
        file: String,
        /// The file is all there is: other rows go.
        #[serde(default)]
        replace: bool,
        /// Most of the rows may go by that.
        #[serde(default)]
        allow_shrink: bool,
        /// Until when its rows are known; the file's own word for it goes first.
        #[serde(default)]
        as_of: Option<Timestamp>,
        /// Who, why.
        who: Who,
    },
    /// Remove the rows about a subject.
    Remove {
        /// `Type/id` in the source.
        subject: String,
        /// Only those with this reason.
        #[serde(default)]
        reason: Option<String>,
        /// Who, why.
        who: Who,
    },
}

/// To `payor list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayorsTold {
    /// Payors that wait, those for which most triggers wait first.
    pub waiting: Vec<WaitingPayor>,
    /// Rows of the table.
    pub rows: Vec<MappedPayor>,
    /// More triggers wait than were looked at.
    #[serde(default)]
    pub more: bool,
}

/// A payor that nobody has mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingPayor {
    /// Tells it apart.
    pub payor: PayorKey,
    /// How many triggers wait for it.
    pub triggers: u64,
    /// What the chart says of it; nothing where the source does not say it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_as: Option<Payor>,
    /// Why the source could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueWords>,
}

/// A row of the table, with its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPayor {
    /// The line it begins at.
    pub line: usize,
    /// The row.
    pub row: PayorRow,
}

/// To `payor map`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayorMapped {
    /// The row as it stands in the table.
    pub row: PayorRow,
    /// It stood there already.
    pub known: bool,
    /// Triggers that go on.
    pub released: u64,
}

/// To `restriction list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictionsTold {
    /// The rows, as they are written.
    pub rows: Vec<Restriction>,
    /// Until when they are known, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// They are older than agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueWords>,
}

/// To `restriction add`, `import` and `remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictionsChanged {
    /// Rows that are new.
    pub added: u64,
    /// Rows that stood there already.
    pub duplicates: u64,
    /// Rows that are gone.
    pub removed: u64,
    /// Rows there are now.
    pub rows: u64,
    /// Pushes that waited for a fresh table, and go on.
    pub released: u64,
}

#[cfg(test)]
mod tests {
    //! Goal: what is asked and told over the API is what was meant.

    #![allow(clippy::unwrap_used)]
    use crate::desk::{Command, Reply};
    use serde_json::Value;

    #[test]
    fn commands_and_replies_come_back_as_they_were_sent() {
        let who = r#""who":{"name":"n","role":"r","why":"w"}"#;
        let commands = [
            format!(r#"{{"command":"payor","do":"list",{who}}}"#),
            format!(
                r#"{{"command":"payor","do":"map","payor":"0123456789ab","row":{{"class":"group|1","from":"2025-01-01","until":"2025-12-31","partner":"sun"}},{who}}}"#
            ),
            r#"{"command":"restriction","do":"list"}"#.to_owned(),
            format!(
                r#"{{"command":"restriction","do":"add","row":{{"subject":"Patient/p","reason":"x","except_purposes":["TREAT"]}},{who}}}"#
            ),
            format!(
                r#"{{"command":"restriction","do":"import","file":"/f.csv","replace":true,"allow_shrink":true,"as_of":"2026-11-22T06:00:00Z",{who}}}"#
            ),
            format!(
                r#"{{"command":"restriction","do":"remove","subject":"Patient/p","reason":null,{who}}}"#
            ),
        ];
        for text in commands {
            let command: Command = serde_json::from_str(&text).unwrap();
            let (sent, back): (Value, Value) = (
                serde_json::from_str(&text).unwrap(),
                serde_json::from_str(&serde_json::to_string(&command).unwrap()).unwrap(),
            );
            assert_eq!(back, sent);
            let more = text.replacen('{', r#"{"surplus":1,"#, 1);
            assert!(serde_json::from_str::<Command>(&more).is_err(), "{more}");
        }
        let replies = [
            r#"{"reply":"explained","payers":[],"issues":[],"coverages":[{"coverage":"Coverage/c","rank":2,"leads_to":"payer","partner":"sun","by":"payors.toml, line 1"},{"coverage":"Coverage/d","leads_to":"not-counted","why":"not-that-day"},{"coverage":"Coverage/e","rank":1,"leads_to":"unmapped","payor":"0123456789ab"}]}"#,
            r#"{"reply":"payors","waiting":[{"payor":"0123456789ab","triggers":2,"known_as":{"identifiers":[{"value":"1"}],"names":["A"],"organization":true}}],"rows":[{"line":3,"row":{"name":"B","none":"x"}}],"more":false}"#,
            r#"{"reply":"restrictions-changed","added":1,"duplicates":0,"removed":0,"rows":1,"released":0}"#,
            r#"{"reply":"pushed","trigger":"t","rows":[],"issues":[],"left_alone":1}"#,
        ];
        for text in replies {
            let reply: Reply = serde_json::from_str(text).unwrap();
            let (sent, back): (Value, Value) =
                (serde_json::from_str(text).unwrap(), serde_json::to_value(&reply).unwrap());
            assert_eq!(back, sent);
        }
    }
}
