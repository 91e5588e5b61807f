//! Cuts: what stays behind of a resource that travels.
//!
//! Comes in   a permitted resource, the terms, and the fate of everything it refers to.
//! Goes out   byte positions with their rule, sorted, none within another; the targets of the
//!            references that are kept.
//! Never      a cut inside another, or a reference to something the payer will not have.

use super::addresses::OfSource;
use super::{
    Audience, Chart, FINANCIAL, FOREIGN_ATTACHMENT, LOGICAL_REFERENCE, NARRATIVE, NOT_AGREED,
    ORPHANED, OTHER_PATIENT, OTHER_PAYER, OTHERS_NUMBER, Pointer, REFERENCE_UNREADABLE, UNRESOLVED,
    WORDS, Withheld, addresses, around, judge_node, loose, opaque, pointer, target, traces, whose,
};
use crate::disclosure::Cut;
use crate::path::is_resource_type;
use crate::restriction::tail;
use fhir::{Doc, Node, ReferenceElement, ReferenceSpan, Resource};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// What becomes of one resource that travels.
pub(super) struct Outcome {
    /// Sorted by position.
    pub(super) cuts: Vec<Cut>,
    /// `Type/id` that kept references point to.
    pub(super) kept: Vec<String>,
    /// What was referred to and not collected, by reference, with the rule that names it.
    pub(super) absent: BTreeMap<String, Withheld>,
}

pub(super) fn of(resource: &Resource, audience: &Audience<'_>, chart: &Chart<'_>) -> Outcome {
    let doc = resource.doc();
    let mut cutting = Cutting { audience, chart, cuts: Vec::new(), absent: BTreeMap::new() };
    cutting.by_rules(doc.root());
    cutting.who_else_pays(doc.root());
    for node in chart.numbers.of_others(&doc) {
        cutting.cut(node, OTHERS_NUMBER);
    }
    let contained = Contained::of(doc.root());
    cutting.contained(resource, doc.root(), &contained);
    if let Some(withheld) = chart.opaque(resource) {
        for node in loose::attachments(&doc).chain(opaque::free_narratives(&doc)) {
            cutting.cut(node, &withheld.rule);
        }
    }
    let references = references(resource, &doc);
    let kept = cutting.references(&doc, &references);
    for node in loose::logical_references(&doc, audience) {
        cutting.cut(node, LOGICAL_REFERENCE);
    }
    for node in loose::foreign_attachments(&doc, audience) {
        cutting.cut(node, FOREIGN_ATTACHMENT);
    }
    cutting.addresses(&doc);
    cutting.orphans(&contained, &references);
    cutting.narratives(doc.root());
    // Another cut may have taken what held a reference, so what is kept is known only now.
    let kept = kept.into_iter().filter(|(span, _)| !cutting.covers(span)).map(|(_, to)| to);
    let kept = kept.collect();
    Outcome { cuts: outermost(cutting.cuts), kept, absent: cutting.absent }
}

struct Cutting<'c> {
    audience: &'c Audience<'c>,
    chart: &'c Chart<'c>,
    cuts: Vec<Cut>,
    absent: BTreeMap<String, Withheld>,
}

/// An element that points elsewhere: a Reference, or an Attachment with the URL of a Binary.
struct Pointing<'d, 'a> {
    element: Node<'d, 'a>,
    /// The string that holds the address.
    address: Node<'d, 'a>,
    is_attachment: bool,
}

struct Contained<'d, 'a> {
    items: Vec<(String, Node<'d, 'a>)>,
}

impl<'d, 'a> Contained<'d, 'a> {
    fn of(root: Node<'d, 'a>) -> Contained<'d, 'a> {
        let list = root.get("contained").into_iter().flat_map(|list| list.items());
        let named = |item: Node<'d, 'a>| {
            let id = item.get("id").and_then(|id| id.text()).unwrap_or_default();
            (id.into_owned(), item)
        };
        Contained { items: list.map(named).collect() }
    }
}

/// What points elsewhere: the same places that *collect* follows and *assemble* rewrites.
fn references<'d, 'a>(resource: &Resource, doc: &'d Doc<'a>) -> Vec<Pointing<'d, 'a>> {
    let pointing = |reference: &ReferenceSpan| {
        let address = doc.node_at(&(reference.span.start - 1..reference.span.end + 1))?;
        let is_attachment = reference.element == ReferenceElement::AttachmentUrl;
        Some(Pointing { element: doc.parent(address)?, address, is_attachment })
    };
    resource.references().iter().filter_map(pointing).collect()
}

impl Cutting<'_> {
    fn cut(&mut self, node: Node<'_, '_>, rule: &str) {
        let (span, expression) = (node.span(), node.expression());
        self.cuts.push(Cut { span, expression, rule: rule.to_owned() });
    }

    fn covers(&self, span: &Range<usize>) -> bool {
        self.covering(span).is_some()
    }

    fn covering(&self, span: &Range<usize>) -> Option<&Cut> {
        self.cuts.iter().find(|cut| within(span, &cut.span))
    }

    /// Elements that the agreement cuts, from the resource and from those contained.
    fn by_rules(&mut self, root: Node<'_, '_>) {
        for resource in std::iter::once(root).chain(held(root)) {
            for (node, rule) in self.audience.terms.cuts(resource, self.audience.purpose) {
                self.cut(node, rule);
            }
        }
    }

    /// Contained resources that could not travel on their own.
    fn contained(
        &mut self,
        resource: &Resource,
        root: Node<'_, '_>,
        contained: &Contained<'_, '_>,
    ) {
        let deeper = held(root).into_iter().filter(|node| {
            let span = node.span();
            contained.items.iter().all(|(_, item)| item.span() != span)
        });
        let deeper: Vec<_> = deeper.map(|node| (String::new(), node)).collect();
        if contained.items.is_empty() && deeper.is_empty() {
            return;
        }
        let answers = self.chart.visited.of(resource);
        let around = around(resource, self.audience, answers.visits());
        let whose = &self.chart.whose;
        for (id, item) in contained.items.iter().chain(&deeper) {
            let kind = item.get("resourceType").and_then(|kind| kind.text()).unwrap_or_default();
            // A contained resource has no identity of its own in the source (R4 §2.3.0.1).
            let reference = match kind.as_ref() {
                // The one the resource is about, which must be this one; who else would it be but
                // another person?
                "Patient" if !id.is_empty() && is_owner(root, id) && whose.is_ours(*item) => {
                    format!("Patient/{}", self.audience.patient)
                }
                kind => format!("{kind}/#"),
            };
            let verdict = judge_node(&kind, &reference, *item, self.audience, &around);
            if let Err(withheld) = verdict {
                self.cut(*item, &withheld.rule);
            } else if whose.may_be_of_another(&kind, *item, root, self.audience) {
                self.cut(*item, OTHER_PATIENT);
            }
        }
    }

    /// References to what the payer will not have. Answers the others, with their positions.
    fn references(
        &mut self,
        doc: &Doc<'_>,
        references: &[Pointing<'_, '_>],
    ) -> Vec<(Range<usize>, String)> {
        let mut kept = Vec::new();
        for pointing in references {
            let text = pointing.address.text().unwrap_or_default();
            match pointer(&text, self.audience.source_base) {
                Pointer::Source(kind, _) if pointing.is_attachment && kind != "Binary" => {}
                Pointer::Source(kind, id) => {
                    let to = format!("{kind}/{id}");
                    let (fate, absent) = self.chart.fate(&to, self.audience);
                    match fate {
                        Ok(()) => kept.push((pointing.element.span(), to)),
                        Err(withheld) => {
                            let named = absent && !self.cut_by_another(pointing);
                            self.cut_pointing(pointing, &withheld.rule);
                            if self.audience.is_sensitive(&withheld.rule) {
                                self.cut_traces(doc, pointing, &to, &withheld.rule);
                            }
                            if named {
                                self.absent.insert(to, withheld);
                            }
                        }
                    }
                }
                Pointer::Unreadable => self.cut_pointing(pointing, REFERENCE_UNREADABLE),
                Pointer::Foreign => self.foreign(doc, pointing, &text),
                Pointer::Inner(_) => {}
            }
        }
        kept
    }

    /// A reference to another server, where it may mean what stays here under another address of the
    /// source, or is to something that never travels from anywhere.
    fn foreign(&mut self, doc: &Doc<'_>, pointing: &Pointing<'_, '_>, text: &str) {
        let to = tail(text).filter(|to| is_resource_type(kind_of(to)));
        let Some(to) = to else { return self.nowhere(doc, pointing, text) };
        let Some(rule) = self.rule_elsewhere(&to) else {
            let kind = Some(kind_of(&to));
            if !pointing.is_attachment
                && !loose::may_keep_words(doc, pointing.element, kind, self.audience)
            {
                loose::words(pointing.element).for_each(|node| self.cut(node, LOGICAL_REFERENCE));
            }
            return;
        };
        self.cut_pointing(pointing, &rule);
        if self.audience.is_sensitive(&rule) {
            self.cut_traces(doc, pointing, &to, &rule);
        }
    }

    /// The rule by which `Type/id` goes, under whichever address.
    fn rule_elsewhere(&self, to: &str) -> Option<String> {
        match self.audience.could_travel(to) {
            Err(withheld) if withheld.rule != NOT_AGREED => Some(withheld.rule),
            _ => {
                let withheld = self.chart.fate(to, self.audience).0.err();
                withheld.map(|why| why.rule).filter(|rule| self.audience.is_sensitive(rule))
            }
        }
    }

    /// A reference that names no type: a portal's page tells by itself, a urn by what stands beside it.
    fn nowhere(&mut self, doc: &Doc<'_>, pointing: &Pointing<'_, '_>, text: &str) {
        if pointing.is_attachment
            || loose::may_keep_words(doc, pointing.element, None, self.audience)
        {
            return;
        }
        let is_urn = text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
        if !is_urn {
            self.cut(pointing.element, REFERENCE_UNREADABLE);
        } else if loose::words(pointing.element).next().is_some() {
            self.cut(pointing.element, LOGICAL_REFERENCE);
        }
    }

    /// Addresses of records that are no references, and the numbers of visits that stay.
    fn addresses(&mut self, doc: &Doc<'_>) {
        for address in addresses::of(doc, self.audience) {
            let mut to = address.to.iter();
            let rule = match address.of_source {
                Some(OfSource::More) => Some(REFERENCE_UNREADABLE.to_owned()),
                Some(OfSource::Record) => {
                    to.find_map(|to| self.chart.fate(to, self.audience).0.err()).map(|why| why.rule)
                }
                None => to.find_map(|to| {
                    self.rule_elsewhere(to).filter(|rule| self.audience.is_sensitive(rule))
                }),
            };
            if let Some(rule) = rule {
                self.cut(address.node, &rule);
            }
        }
        let chart = self.chart;
        for (node, why) in chart.visit_numbers.within(doc) {
            self.cut(node, &why.rule);
        }
    }

    /// Whether an element or contained resource around it goes by a rule of its own.
    fn cut_by_another(&self, pointing: &Pointing<'_, '_>) -> bool {
        let span = pointing.element.span();
        self.cuts.iter().any(|cut| cut.span != span && within(&span, &cut.span))
    }

    fn cut_pointing(&mut self, pointing: &Pointing<'_, '_>, rule: &str) {
        // An attachment that brings its data along loses only an address that leads nowhere.
        let has_data = pointing.is_attachment && pointing.element.get("data").is_some();
        let node = if has_data && rule == UNRESOLVED { pointing.address } else { pointing.element };
        self.cut(node, rule);
    }

    /// The component around a reference to a sensitive record, and the words beside it.
    fn cut_traces(&mut self, doc: &Doc<'_>, pointing: &Pointing<'_, '_>, to: &str, rule: &str) {
        if !pointing.is_attachment {
            let span = traces::component(doc, pointing.element).span();
            doc.node_at(&span).into_iter().for_each(|node| self.cut(node, rule));
        }
        if !traces::is_told_of(to) {
            return;
        }
        for node in traces::words(doc.root(), &pointing.element.span()) {
            self.cut(node, WORDS);
        }
    }

    /// Of an Account, coverages that are not with this payer, and who answers for the rest.
    fn who_else_pays(&mut self, root: Node<'_, '_>) {
        for resource in std::iter::once(root).chain(held(root)) {
            let kind = resource.get("resourceType").and_then(|kind| kind.text());
            if kind.as_deref() != Some("Account") {
                continue;
            }
            let each = |name| resource.get(name).into_iter().flat_map(|node| node.each());
            for coverage in each("coverage") {
                if !self.is_own(coverage) {
                    self.cut(coverage, OTHER_PAYER);
                }
            }
            resource.get("guarantor").into_iter().for_each(|node| self.cut(node, FINANCIAL));
        }
    }

    /// Whether a component of an Account names a coverage with this payer.
    fn is_own(&self, component: Node<'_, '_>) -> bool {
        let text = component.get("coverage").and_then(|coverage| coverage.get("reference")?.text());
        let found = text.and_then(|text| target(&text, self.audience.source_base));
        found
            .is_some_and(|(kind, id)| self.audience.own_coverages.contains(&format!("{kind}/{id}")))
    }

    /// References to contained resources that go, and contained resources that only what goes
    /// referred to; again until nothing changes, since contained resources refer to each other.
    fn orphans(&mut self, contained: &Contained<'_, '_>, references: &[Pointing<'_, '_>]) {
        let inner: Vec<(String, Range<usize>, Node<'_, '_>)> = references
            .iter()
            .filter_map(|pointing| match pointing.address.text()?.strip_prefix('#') {
                Some(id) if !id.is_empty() => {
                    Some((id.to_owned(), pointing.element.span(), pointing.element))
                }
                _ => None,
            })
            .collect();
        loop {
            let before = self.cuts.len();
            for (id, span, element) in &inner {
                let item = contained.items.iter().find(|(known, _)| known == id);
                let rule = match item {
                    Some((_, item)) => self.covering(&item.span()).map(|cut| cut.rule.clone()),
                    None => Some(UNRESOLVED.to_owned()),
                };
                if let Some(rule) = rule.filter(|_| !self.covers(span)) {
                    self.cut(*element, &rule);
                }
            }
            for (id, item) in contained.items.iter().filter(|(id, _)| !id.is_empty()) {
                let place = item.span();
                let from_outside =
                    inner.iter().filter(|(to, span, _)| to == id && !within(span, &place));
                let (gone, left): (Vec<_>, Vec<_>) =
                    from_outside.partition(|(_, span, _)| self.covers(span));
                if !gone.is_empty() && left.is_empty() && !self.covers(&place) {
                    self.cut(*item, ORPHANED);
                }
            }
            if self.cuts.len() == before {
                return;
            }
        }
    }

    /// Every narrative of a resource that lost something.
    fn narratives(&mut self, root: Node<'_, '_>) {
        if self.cuts.is_empty() {
            return;
        }
        for node in root.descendants().filter(|node| node.get("div").is_some()) {
            self.cut(node, NARRATIVE);
        }
    }
}

/// Resources within a resource, at whatever depth: R4 knows one level of `contained` only, but nobody
/// holds a server to it. Names are never written with escapes here, so most hold none by a look at
/// their bytes.
fn held<'d, 'a>(root: Node<'d, 'a>) -> Vec<Node<'d, 'a>> {
    const NAME: &str = "\"resourceType\"";
    if root.raw().matches(NAME).nth(1).is_none() {
        return Vec::new();
    }
    let span = root.span();
    let is_held = |node: &Node<'d, 'a>| node.get("resourceType").is_some() && node.span() != span;
    root.descendants().filter(is_held).collect()
}

fn kind_of(reference: &str) -> &str {
    reference.split('/').next().unwrap_or_default()
}

/// Whether a contained Patient is the one the resource is about.
fn is_owner(root: Node<'_, '_>, id: &str) -> bool {
    whose::owners(root).any(|owner| {
        let text = owner.get("reference").and_then(|reference| reference.text());
        text.is_some_and(|text| text.strip_prefix('#') == Some(id))
    })
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Sorted by position, without what lies within another; of two for the same place the first.
fn outermost(mut cuts: Vec<Cut>) -> Vec<Cut> {
    cuts.sort_by_key(|cut| (cut.span.start, Reverse(cut.span.end)));
    let mut kept: Vec<Cut> = Vec::with_capacity(cuts.len());
    for cut in cuts {
        if kept.last().is_none_or(|last| !within(&cut.span, &last.span)) {
            kept.push(cut);
        }
    }
    kept
}
