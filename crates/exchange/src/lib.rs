//! The law: central types and every *pure* stop of both roads.
//!
//! Comes in   values: resources, agreements, answers, the time as an argument.
//! Goes out   values: decisions, payloads, ledger lines, next steps.
//! Never      reads a clock, draws a number, opens a file or a socket; no async runtime.
//!
//! Why pure: what may leave a house, and what it says about it, must be testable as a table.

pub mod acknowledgement;
pub mod agreement;
pub mod answer;
pub mod assemble;
pub mod bulk;
pub mod capability;
pub mod days;
pub mod desk;
pub mod directory;
pub mod disclosure;
pub mod endpoint;
pub mod export;
pub mod id;
pub mod issue;
pub mod issues;
pub mod ladder;
pub mod ledger;
pub mod limits;
pub mod member;
pub mod partner;
pub mod parts;
pub mod path;
pub mod payload;
pub mod place;
pub mod probe;
pub mod provenance;
pub mod purpose;
pub mod push;
pub mod query;
pub mod read;
pub mod registration;
pub mod restriction;
pub mod scope;
pub mod sending;
pub mod sentence;
pub mod settle;
pub mod shape;
pub mod submission;
pub mod suspension;
pub mod tomlfile;
pub mod trigger;
pub mod usability;
pub mod valueset;
pub mod watch;

pub use agreement::Agreement;
pub use disclosure::{Cut, Decision, DecisionRow, Disclosure};
pub use id::{Digest, HouseId, PartnerId, Phi, PushId, SubmissionId, TriggerId, WalkId};
pub use issue::{Actor, Code, Issue};
pub use issues::Issues;
pub use ledger::{Chain, Entry, Event, Who};
pub use purpose::{Level, Purpose};
pub use push::{Dossier, Push, State, Stop, Withholding};
pub use trigger::{Subject, Trigger};
pub use usability::{Finding, FindingCode};
