//! Conditions: the part of a rule that asks something of a resource, read and ready.
//!
//! Comes in   a resource's outermost value, and what is known around it: its days, its encounters.
//! Goes out   whether the rule's conditions hold, and whether its window does.
//! Never      resolves a doubt in favour of travelling: what cannot be told counts against a permit
//!            and for a rule that withholds.

use crate::days::Days;
use crate::path::Path;
use crate::restriction::tail;
use crate::valueset::{CodeSet, Doubt};
use fhir::{Kind, Node};
use jiff::civil::Date;
use jiff::{Span, ToSpan as _};
use std::collections::BTreeSet;

/// What a rule is asked about, beside the resource.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The day of the trigger.
    pub on: Date,
    /// When the resource's content was so; `None` where it does not say.
    pub days: Option<Days>,
    /// The encounters that it belongs to.
    pub visits: Visits<'a>,
}

/// What the conditions on encounters came to, for the encounters of one resource.
#[derive(Debug, Clone, Copy)]
pub enum Visits<'a> {
    /// Nobody has looked: such conditions let everything pass. For *collect*, which only asks what
    /// need not be followed.
    Unasked,
    /// By the number of the condition.
    Asked {
        /// Whether one of the encounters fulfils it.
        surely: &'a [bool],
        /// Whether one of them may: its codes have no system, or it is not known.
        perhaps: &'a [bool],
    },
}

/// All conditions of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditions {
    pub(super) all: Vec<Asked>,
    pub(super) window: Option<Window>,
}

/// One condition: of the resource itself, or the number of one that is asked of encounters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Resource(Box<Condition>),
    Encounter(usize),
}

/// A path and what is looked for there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) path: Path,
    pub(super) codes: CodeSet,
    pub(super) identifiers: CodeSet,
    pub(super) references: BTreeSet<String>,
}

/// Days from which on something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) within_days: Option<u32>,
    pub(super) since: Option<Date>,
}

/// Where a resource lies by a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lies {
    Within,
    Outside,
    /// It says no day.
    Undated,
}

impl Conditions {
    pub(super) fn hold(&self, resource: Node<'_, '_>, around: &Around<'_>, doubt: Doubt) -> bool {
        self.all.iter().all(|asked| match (asked, around.visits) {
            (Asked::Resource(condition), _) => condition.holds(resource, doubt),
            (Asked::Encounter(_), Visits::Unasked) => doubt == Doubt::No,
            (Asked::Encounter(number), Visits::Asked { surely, perhaps }) => {
                let hold = if doubt == Doubt::Yes { perhaps } else { surely };
                hold.get(*number).copied().unwrap_or(false)
            }
        })
    }

    pub(super) fn ask_encounters(&self) -> bool {
        self.all.iter().any(|asked| matches!(asked, Asked::Encounter(_)))
    }

    pub(super) fn lies(&self, around: &Around<'_>) -> Lies {
        match (&self.window, around.days) {
            (None, _) => Lies::Within,
            (Some(_), None) => Lies::Undated,
            (Some(window), Some(days)) if days.last >= window.first_day(around.on) => Lies::Within,
            (Some(_), Some(_)) => Lies::Outside,
        }
    }
}

impl Window {
    /// The later of both beginnings.
    fn first_day(&self, on: Date) -> Date {
        let back = |days: u32| -> Span { i64::from(days).days() };
        let moving = self.within_days.map(|days| on.saturating_sub(back(days)));
        self.since.max(moving).unwrap_or(Date::MIN)
    }
}

impl Condition {
    /// Whether an element of the resource has one of the codes, identifiers or targets.
    pub(super) fn holds(&self, resource: Node<'_, '_>, doubt: Doubt) -> bool {
        let codes_alone = self.references.is_empty() && self.identifiers.is_empty();
        if codes_alone && self.path.is_all_below() && !self.codes.is_named_below(resource) {
            return false;
        }
        self.path.select(resource).iter().any(|node| self.fits(*node, doubt))
    }

    fn fits(&self, node: Node<'_, '_>, doubt: Doubt) -> bool {
        (!self.codes.is_empty() && self.codes.fits(node, doubt))
            || (!self.references.is_empty() && self.refers(node))
            || (!self.identifiers.is_empty() && self.identifies(node, doubt))
    }

    /// A Reference, or its `reference` itself.
    fn refers(&self, node: Node<'_, '_>) -> bool {
        let address = if node.kind() == Kind::Object { node.get("reference") } else { Some(node) };
        let target = address.and_then(|address| tail(&address.text()?));
        target.is_some_and(|target| self.references.contains(&target))
    }

    /// An Identifier, a Reference with one, or a bare value.
    fn identifies(&self, node: Node<'_, '_>, doubt: Doubt) -> bool {
        if node.kind() != Kind::Object {
            return node
                .primitive()
                .is_some_and(|value| self.identifiers.contains(None, &value, Doubt::Yes));
        }
        let identifier = node.get("identifier").filter(|inner| inner.kind() == Kind::Object);
        let identifier = identifier.unwrap_or(node);
        let text = |name| identifier.get(name).and_then(|node| node.primitive());
        let system = text("system");
        text("value")
            .is_some_and(|value| self.identifiers.contains(system.as_deref(), &value, doubt))
    }
}
