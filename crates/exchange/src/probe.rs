//! Probe: what a partner's door was found to be, step by step, and who must mend what.
//!
//! Comes in   one finding for each step, in the order in which a push would meet them.
//! Goes out   a report that can be mailed to the partner as it is: Markdown, or the same as JSON.
//! Never      holds a patient, a token or a key; nothing of the kind is sent by a probe either.
//!
//! Why four verdicts: a step that could not be looked at, because one before it failed, is neither
//! well nor broken; and what a partner need not offer is no fault of its.

use crate::desk::IssueWords;
use crate::id::PartnerId;
use crate::issue::Issue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};

/// What a probe looks at, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The host's name leads to an address.
    Name,
    /// Something listens there.
    Connection,
    /// TLS 1.2 or newer, with a certificate this house trusts.
    Tls,
    /// `.well-known/smart-configuration` (SMART App Launch 2.2, conformance).
    SmartConfiguration,
    /// `.well-known/udap` (FAST Security, discovery).
    UdapMetadata,
    /// `.well-known/davinci-configuration` (HRex, endpoint discovery).
    DavinciConfiguration,
    /// `$versions` (R4, operation of CapabilityStatement).
    Versions,
    /// `/metadata`, read against the agreement.
    CapabilityStatement,
    /// A token is given to this house.
    Token,
    /// And accepted at the door.
    TokenAccepted,
    /// Nobody is let in without one.
    ClosedToStrangers,
    /// `fhirVersion=` of a version that is not spoken (R4 §3.1.0.1.11).
    VersionParameter,
    /// `$validate`, or an empty transaction where there is none.
    DryRun,
    /// A record that is not there.
    ErrorUnknown,
    /// A body that is no JSON.
    ErrorMalformed,
    /// A body of a media type that is not FHIR.
    ErrorMediaType,
    /// How long the answers took.
    Pace,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Step; 17] = [
        Step::Name,
        Step::Connection,
        Step::Tls,
        Step::SmartConfiguration,
        Step::UdapMetadata,
        Step::DavinciConfiguration,
        Step::Versions,
        Step::CapabilityStatement,
        Step::Token,
        Step::TokenAccepted,
        Step::ClosedToStrangers,
        Step::VersionParameter,
        Step::DryRun,
        Step::ErrorUnknown,
        Step::ErrorMalformed,
        Step::ErrorMediaType,
        Step::Pace,
    ];

    /// What was looked at, in words.
    pub const fn title(self) -> &'static str {
        match self {
            Step::Name => "name of the host",
            Step::Connection => "connection",
            Step::Tls => "TLS and certificate",
            Step::SmartConfiguration => "smart-configuration",
            Step::UdapMetadata => "UDAP metadata",
            Step::DavinciConfiguration => "davinci-configuration",
            Step::Versions => "$versions",
            Step::CapabilityStatement => "capability statement and agreement",
            Step::Token => "access token",
            Step::TokenAccepted => "the token opens the door",
            Step::ClosedToStrangers => "no token, no answer",
            Step::VersionParameter => "an unknown fhirVersion",
            Step::DryRun => "a request without effect",
            Step::ErrorUnknown => "answer about an unknown record",
            Step::ErrorMalformed => "answer to a body that is no JSON",
            Step::ErrorMediaType => "answer to a foreign media type",
            Step::Pace => "pace",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Somebody has something to mend.
    Fail,
    /// It could not be looked at, or can be read either way.
    CannotTell,
    /// The partner need not have it.
    DoesNotApply,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::CannotTell => "cannot tell",
            Verdict::DoesNotApply => "does not apply",
        })
    }
}

/// What a step found: well, broken, or nothing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As it should be, and how.
    Pass(String),
    /// What is wrong, with who acts.
    Fail(Issue),
    /// Why nothing can be said.
    CannotTell(String),
    /// Why it is not asked for.
    DoesNotApply(String),
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub step: Step,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, in a sentence.
    pub found: String,
    /// What is wrong, who acts and what is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueWords>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// A partner's door, looked at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The partner's name in this house.
    pub partner: PartnerId,
    /// The base URL that was looked at.
    pub base_url: String,
    /// When.
    pub at: Timestamp,
    /// One finding for each step.
    pub findings: Vec<Finding>,
}

impl Probe {
    /// A probe with nothing looked at yet.
    pub fn new(partner: PartnerId, base_url: &str, at: Timestamp) -> Probe {
        Probe { partner, base_url: base_url.to_owned(), at, findings: Vec::new() }
    }

    /// Notes what a step found.
    pub fn note(&mut self, step: Step, found: Found, millis: u64) {
        let (verdict, words, issue) = match found {
            Found::Pass(words) => (Verdict::Pass, words, None),
            Found::CannotTell(words) => (Verdict::CannotTell, words, None),
            Found::DoesNotApply(words) => (Verdict::DoesNotApply, words, None),
            Found::Fail(issue) => {
                (Verdict::Fail, issue.detail.clone(), Some(IssueWords::from(&issue)))
            }
        };
        self.findings.push(Finding { step, verdict, found: words, issue, millis });
    }

    /// Notes that the steps that were not looked at could not be.
    pub fn close(&mut self, why: &str) {
        for step in Step::ALL {
            if self.findings.iter().all(|finding| finding.step != step) {
                self.note(step, Found::CannotTell(why.to_owned()), 0);
            }
        }
        self.findings.sort_by_key(|finding| finding.step);
    }

    /// Whether somebody has something to mend.
    pub fn fails(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Fail)
    }

    /// How many steps ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// The report as one would mail it.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "# Probe of {}\n", cell(self.partner.as_str()));
        let _ = writeln!(text, "Door: `{}`  ", cell(&self.base_url));
        let _ = writeln!(text, "Looked at: {}  ", self.at);
        let _ = writeln!(
            text,
            "Result: {} pass, {} fail, {} cannot tell, {} do not apply. No patient data was sent.\n",
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::CannotTell),
            self.count(Verdict::DoesNotApply),
        );
        let _ = writeln!(text, "| Step | Verdict | Found | ms |\n|---|---|---|---|");
        for finding in &self.findings {
            let (title, verdict) = (finding.step.title(), finding.verdict);
            let (found, millis) = (cell(&finding.found), finding.millis);
            let _ = writeln!(text, "| {title} | {verdict} | {found} | {millis} |");
        }
        let faults = self.findings.iter().filter_map(|it| Some((it, it.issue.as_ref()?)));
        for (number, (finding, words)) in faults.enumerate() {
            if number == 0 {
                let _ = writeln!(text, "\n## What to mend");
            }
            let slug = words.issue.code.row().slug;
            let _ = writeln!(text, "\n### {}\n", finding.step.title());
            let _ = writeln!(text, "{}: {}.\n", slug, cell(&words.issue.detail));
            if let Some(place) = &words.issue.expression {
                let _ = writeln!(text, "- Place: `{}`", cell(place));
            }
            let _ = writeln!(text, "- Who acts: {}", words.who_acts);
            let _ = writeln!(text, "- Next: {}", words.next);
        }
        text
    }
}

/// Words within a cell of a table: they may be a partner's.
fn cell(words: &str) -> String {
    let plain = |c: char| if c.is_control() || c == '|' || c == '`' { ' ' } else { c };
    words.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn probe() -> Probe {
        Probe::new("sunrise".into(), "https://sunrise.example/fhir", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_was_not_reached_is_neither_well_nor_broken() {
        let mut probe = probe();
        probe.note(Step::Connection, Found::Fail(Issue::new(Code::DoorFaulty, "it is shut")), 3);
        probe.note(Step::Name, Found::Pass("one address".into()), 1);
        probe.close("the door was not reached");
        let steps: Vec<Step> = probe.findings.iter().map(|it| it.step).collect();
        assert_eq!(steps, Step::ALL, "each step once, in its order");
        assert!(probe.fails());
        assert_eq!((probe.count(Verdict::Pass), probe.count(Verdict::Fail)), (1, 1));
        assert_eq!(probe.count(Verdict::CannotTell), Step::ALL.len() - 2);
    }

    #[test]
    fn a_partners_words_do_not_break_out_of_the_report() {
        let mut probe = probe();
        let issue = Issue::new(Code::DoorFaulty, "it said \"a | b\"\n# c `d`");
        probe.note(Step::Token, Found::Fail(issue), 0);
        let text = probe.to_markdown();
        assert!(text.contains("a   b\" # c  d "), "{text}");
        assert!(!text.contains("\n# c"), "{text}");
        assert!(text.contains("- Who acts: the payer"), "{text}");
    }

    #[test]
    fn a_report_reads_back() {
        let mut probe = probe();
        probe.note(Step::Tls, Found::Fail(Issue::new(Code::DoorFaulty, "expired")), 9);
        probe.close("not reached");
        let text = serde_json::to_string(&probe).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Probe>(&text).ok(), Some(probe));
    }
}
