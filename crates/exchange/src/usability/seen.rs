//! Seen: a resource as its reader will see it, cuts carried out in the mind.
//!
//! Comes in   resources as read from the source, and what *shape* cut from each.
//! Goes out   the elements that travel; of those that do not, the rule that keeps them.
//! Never      an element that stays behind as if it travelled.
//!
//! Why not the edited bytes: there a cut element looks the same as one that never was, and places
//! would be those of the edited resource. People mend the chart, so places are the chart's.

use crate::disclosure::{Cut, Decision, Disclosure};
use crate::shape::{Pointer, pointer};
use crate::valueset::canonical;
use fhir::{Doc, Kind, Node};
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Everything that travels together.
pub(super) struct Travelling<'r> {
    pub(super) all: Vec<Seen<'r>>,
    by_record: HashMap<String, usize>,
    /// What stays, and by which rule.
    pub(super) stays: Vec<(&'r str, &'r str)>,
    source_base: &'r str,
    /// Records that others name, by which elements they were asked for: each asked for once.
    named: OnceCell<BTreeSet<String>>,
    payors: OnceCell<BTreeSet<String>>,
}

/// One resource.
pub(super) struct Seen<'r> {
    /// `Type/id` in the source.
    pub(super) record: String,
    pub(super) kind: &'r str,
    doc: Doc<'r>,
    /// Sorted by position, none within another.
    cuts: &'r [Cut],
}

/// Elements at a path.
pub(super) struct Found<'s, 'r> {
    /// Those that travel, wholly or in part.
    pub(super) here: Vec<Node<'s, 'r>>,
    /// The rule of the first that does not.
    pub(super) cut_by: Option<&'r str>,
}

/// Where a reference leads.
pub(super) enum Leads<'s, 'r> {
    /// To a resource of the same push.
    To(&'s Seen<'r>),
    /// To a contained resource.
    Inside(Node<'s, 'r>),
    /// It is none by its text: an identifier or words only.
    NoText,
    /// To nothing that travels.
    Nowhere,
}

impl<'r> Travelling<'r> {
    pub(super) fn of(disclosure: &'r Disclosure, source_base: &'r str) -> Travelling<'r> {
        let (mut all, mut stays) = (Vec::new(), Vec::new());
        for decision in &disclosure.decisions {
            match decision {
                Decision::Included { resource, cuts, .. } => all.push(Seen {
                    record: resource.local_reference(),
                    kind: resource.kind(),
                    doc: resource.doc(),
                    cuts,
                }),
                Decision::Withheld { reference, rule, .. } => {
                    stays.push((reference.as_str(), rule.as_str()));
                }
            }
        }
        let by_record = all.iter().enumerate().map(|(at, seen)| (seen.record.clone(), at));
        let by_record = by_record.collect();
        let (named, payors) = (OnceCell::new(), OnceCell::new());
        Travelling { by_record, all, stays, source_base, named, payors }
    }

    /// Whether a record is one of the practitioners that `find` finds; it is asked once.
    pub(super) fn is_named(&self, record: &str, find: fn(&Self) -> BTreeSet<String>) -> bool {
        self.named.get_or_init(|| find(self)).contains(record)
    }

    /// Whether a record is the payor of a coverage.
    pub(super) fn is_payor(&self, record: &str) -> bool {
        let all = || {
            let named = self.of_kind("Coverage").flat_map(|it| self.targets(it, "payor"));
            named.map(|seen| seen.record.clone()).collect()
        };
        self.payors.get_or_init(all).contains(record)
    }

    /// What the References at a path lead to.
    pub(super) fn targets<'s>(&'s self, seen: &'s Seen<'r>, path: &str) -> Vec<&'s Seen<'r>> {
        let led = |node| match self.follow(seen, node) {
            Leads::To(target) => Some(target),
            Leads::Inside(_) | Leads::NoText | Leads::Nowhere => None,
        };
        seen.at(path).here.into_iter().filter_map(led).collect()
    }

    /// Whether an address is one of a resource that travels.
    pub(super) fn holds(&self, address: &str) -> bool {
        match pointer(address, self.source_base) {
            Pointer::Source(kind, id) => self.by_record.contains_key(&format!("{kind}/{id}")),
            Pointer::Inner(_) | Pointer::Foreign | Pointer::Unreadable => false,
        }
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Seen<'r>> {
        self.all.iter().filter(move |seen| seen.kind == kind)
    }

    /// Where a Reference of `seen` leads.
    pub(super) fn follow<'s>(&'s self, seen: &'s Seen<'r>, node: Node<'s, 'r>) -> Leads<'s, 'r> {
        let text = seen.child(node, "reference").and_then(|text| text.text());
        let Some(text) = text else { return Leads::NoText };
        match pointer(&text, self.source_base) {
            Pointer::Source(kind, id) => match self.by_record.get(&format!("{kind}/{id}")) {
                Some(at) => Leads::To(&self.all[*at]),
                None => Leads::Nowhere,
            },
            Pointer::Inner(id) => match seen.contained(&id) {
                Some(node) => Leads::Inside(node),
                None => Leads::Nowhere,
            },
            Pointer::Foreign | Pointer::Unreadable => Leads::Nowhere,
        }
    }
}

impl<'r> Seen<'r> {
    pub(super) fn root(&self) -> Node<'_, 'r> {
        self.doc.root()
    }

    /// The rule that keeps a place here.
    pub(super) fn rule_over(&self, place: &Range<usize>) -> Option<&'r str> {
        let after = self.cuts.partition_point(|cut| cut.span.start <= place.start);
        let cut = self.cuts.get(after.checked_sub(1)?)?;
        (place.end <= cut.span.end).then_some(cut.rule.as_str())
    }

    /// The first rule that cut something out of an element.
    fn rule_below(&self, place: &Range<usize>) -> Option<&'r str> {
        let first = self.cuts.partition_point(|cut| cut.span.start < place.start);
        let cut = self.cuts.get(first)?;
        (cut.span.end <= place.end).then_some(cut.rule.as_str())
    }

    /// The elements at a path of child steps (`period.start`); `value[x]` is a choice of types.
    pub(super) fn at(&self, path: &str) -> Found<'_, 'r> {
        self.below(self.root(), path)
    }

    /// The same, from an element on.
    pub(super) fn below<'s>(&'s self, from: Node<'s, 'r>, path: &str) -> Found<'s, 'r> {
        let mut found = Found { here: vec![from], cut_by: None };
        for step in path.split('.') {
            let nodes = std::mem::take(&mut found.here);
            let children = nodes.into_iter().flat_map(|node| {
                let named = node.members().filter(|member| is_named(member.name(), step));
                named.flat_map(|member| member.each())
            });
            for child in children {
                match self.rule_over(&child.span()) {
                    Some(rule) => found.cut_by = found.cut_by.or(Some(rule)),
                    None => found.here.push(child),
                }
            }
        }
        found
    }

    /// The elements at a path, whether they travel or not.
    pub(super) fn whole(&self, path: &str) -> Vec<Node<'_, 'r>> {
        path.split('.').fold(vec![self.root()], |nodes, step| {
            let children = nodes.into_iter().filter_map(|node| node.get(step));
            children.flat_map(|child| child.each()).collect()
        })
    }

    /// A member that travels.
    pub(super) fn child<'s>(&'s self, node: Node<'s, 'r>, name: &str) -> Option<Node<'s, 'r>> {
        node.get(name).filter(|child| self.rule_over(&child.span()).is_none())
    }

    /// Whether anything is said in an element that travels: a primitive with content, extensions
    /// aside, since those that give a reason for an absence say nothing.
    pub(super) fn says(&self, node: Node<'_, 'r>) -> bool {
        if self.rule_over(&node.span()).is_some() {
            return false;
        }
        match node.kind() {
            Kind::Object => node.members().any(|member| {
                let name = member.name();
                let aside = matches!(name, "extension" | "id" | "resourceType");
                !aside && !name.starts_with('_') && self.says(member)
            }),
            Kind::Array => node.items().any(|item| self.says(item)),
            Kind::String => node.text().is_some_and(|text| !text.trim().is_empty()),
            Kind::Number | Kind::Boolean => true,
            Kind::Null => false,
        }
    }

    /// Whether any element at a path says something; else the rule that keeps one here.
    pub(super) fn said(&self, found: &Found<'_, 'r>) -> Result<(), Option<&'r str>> {
        if found.here.iter().any(|node| self.says(*node)) {
            return Ok(());
        }
        let below = || found.here.iter().find_map(|node| self.rule_below(&node.span()));
        Err(found.cut_by.or_else(below))
    }

    /// The text of a member that travels.
    pub(super) fn text(&self, node: Node<'_, 'r>, name: &str) -> Option<String> {
        let child = node.get(name).filter(|child| self.rule_over(&child.span()).is_none())?;
        child.primitive().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Whether a CodeableConcept, Coding or code at a path has one of the codes, of any system.
    pub(super) fn has_code(&self, path: &str, codes: &[&str]) -> bool {
        self.at(path).here.iter().any(|node| {
            let coding = [self.below(*node, "coding").here, vec![*node]].concat();
            let mut texts = coding.into_iter().filter_map(|node| match node.kind() {
                Kind::Object => self.text(node, "code"),
                _ => node.primitive().map(|text| text.trim().to_owned()),
            });
            texts.any(|code| codes.iter().any(|known| code.eq_ignore_ascii_case(known)))
        })
    }

    /// Whether a CodeableConcept has a code of one of the systems.
    pub(super) fn is_coded(&self, concept: Node<'_, 'r>, systems: &[&str]) -> bool {
        self.below(concept, "coding").here.iter().any(|coding| {
            self.text(*coding, "code").is_some()
                && self.text(*coding, "system").is_some_and(|system| is_of(&system, systems))
        })
    }

    /// A contained resource that travels.
    fn contained(&self, id: &str) -> Option<Node<'_, 'r>> {
        let all = self.at("contained").here;
        all.into_iter().find(|node| self.text(*node, "id").as_deref() == Some(id))
    }

    /// The place of an element that is not there: FHIRPath.
    pub(super) fn place(&self, path: &str) -> String {
        format!("{}.{}", self.kind, path.replace("[x]", ""))
    }
}

/// Whether a system is one of these, however it is spelt.
pub(super) fn is_of(system: &str, systems: &[&str]) -> bool {
    let system = canonical(system);
    systems.iter().any(|known| canonical(known) == system)
}

/// Whether a member is meant by a step: `value[x]` means `valueQuantity`.
fn is_named(name: &str, step: &str) -> bool {
    match step.strip_suffix("[x]") {
        Some(choice) => name
            .strip_prefix(choice)
            .is_some_and(|of| of.starts_with(|letter: char| letter.is_ascii_uppercase())),
        None => name == step,
    }
}
