//! Order: which entries can go now.
//!
//! Comes in   the entries still to be sent, and what each refers to.
//! Goes out   those of the next part, in the order in which they go.
//! Never      something before what it refers to, but where they refer to each other.
//!
//! Why a cycle needs two requests outside a transaction: an Encounter names its diagnoses and each
//! Condition its Encounter. Neither can be first, so one goes with its references by identifier,
//! and again with those of the payer once the others are there.

use super::{Ground, Piece, in_part};
use crate::id::Digest;
use crate::ladder::Carrier;
use crate::limits::{AROUND_RESOURCE_BYTES, DELETION_BYTES};
use fhir::Resource;
use std::collections::{BTreeMap, BTreeSet};

/// To which entries, still to be sent and not there, each entry refers.
fn edges(ground: &Ground<'_>, due: &[usize]) -> BTreeMap<usize, BTreeSet<usize>> {
    let pieces = &ground.load.pieces;
    let named: BTreeMap<String, usize> = due
        .iter()
        .filter(|at| pieces[**at].resource.is_some())
        .map(|at| (pieces[*at].name(), *at))
        .filter(|(name, _)| ground.there(name).is_none())
        .collect();
    let targets = |piece: &Piece| -> BTreeSet<usize> {
        let Some(resource) = &piece.resource else { return BTreeSet::new() };
        let texts = resource.references().iter().map(|it| resource.reference_text(it));
        texts.filter_map(|text| named.get(&*text).copied()).collect()
    };
    let own = |at: usize| {
        let mut found = targets(&pieces[at]);
        found.remove(&at);
        found
    };
    due.iter().map(|at| (*at, own(*at))).collect()
}

/// Bytes of an entry, with what a Bundle says around it.
pub(super) fn size(piece: &Piece) -> usize {
    let resource = |it: &Resource| it.bytes().len() + AROUND_RESOURCE_BYTES;
    piece.resource.as_ref().map_or(DELETION_BYTES, resource)
}

/// Entries for a transaction: as many as fit, groups that refer to each other together.
pub(super) fn together(ground: &Ground<'_>, due: &[usize]) -> Vec<usize> {
    let edges = edges(ground, due);
    let pieces = &ground.load.pieces;
    let (puts, deletions): (Vec<usize>, Vec<usize>) =
        due.iter().partition(|at| pieces[**at].resource.is_some());
    let mut groups = components(&puts, &edges);
    // What is there in part comes after what is not: the others then find it.
    for group in &mut groups {
        group.sort_by_key(|at| (ground.there(&pieces[*at].name()).is_some(), *at));
    }
    groups.extend(taken_back_together(ground, &deletions));
    let (mut room, mut bytes) = (ground.entries_max(), ground.bytes_max());
    let mut chosen = Vec::new();
    let size = |at: usize| size(&pieces[at]);
    for group in groups {
        let whole: usize = group.iter().map(|at| size(*at)).sum();
        if group.len() <= room && whole <= bytes {
            (room, bytes) = (room - group.len(), bytes - whole);
            chosen.extend(group);
            continue;
        }
        if chosen.is_empty() {
            // No limit is so small that nothing goes.
            let fits = |at: &usize| {
                let fits = room > 0 && size(*at) <= bytes;
                (room, bytes) = (room.saturating_sub(1), bytes.saturating_sub(size(*at)));
                fits
            };
            let first = group[0];
            chosen = group.into_iter().take_while(fits).collect();
            if chosen.is_empty() {
                chosen.push(first);
            }
        }
        break;
    }
    last_alone(ground, chosen)
}

/// What a transaction came to is told by a record that it was the first to bring. Where there is none,
/// and the push's Provenance cannot be searched for, the Provenance goes by itself: all else may then
/// go again as it is.
fn last_alone(ground: &Ground<'_>, mut chosen: Vec<usize>) -> Vec<usize> {
    let pieces = &ground.load.pieces;
    let tells = |at: &usize| {
        let piece = &pieces[*at];
        let fresh = piece.resource.is_some() && ground.there(&piece.name()).is_none();
        fresh && ground.is_sought(piece)
    };
    let own_is_dark = |at: &usize| ground.is_own(&pieces[*at]) && ground.is_dark(&pieces[*at]);
    if chosen.len() > 1 && !chosen.iter().any(tells) {
        chosen.retain(|at| !own_is_dark(at));
    }
    chosen
}

/// Entries that refer to nothing that is not there yet; where all wait for each other, the one
/// that most others wait for.
pub(super) fn resolvable(ground: &Ground<'_>, due: &[usize], most: usize) -> Vec<usize> {
    let pieces = &ground.load.pieces;
    let edges = edges(ground, due);
    let (puts, deletions): (Vec<usize>, Vec<usize>) =
        due.iter().partition(|at| pieces[**at].resource.is_some());
    let free: Vec<usize> =
        puts.iter().copied().filter(|at| edges.get(at).is_none_or(BTreeSet::is_empty)).collect();
    if !free.is_empty() {
        // What cannot be asked about goes last, and of single requests one at a time: when no answer
        // comes, nothing but that one is unknown.
        let (dark, sought): (Vec<usize>, Vec<usize>) =
            free.into_iter().partition(|at| ground.is_dark(&pieces[*at]));
        return match sought.is_empty() {
            true if ground.rung.carrier == Carrier::Single => sized(ground, dark, 1),
            true => sized(ground, dark, most),
            false => sized(ground, sought, most),
        };
    }
    if puts.is_empty() {
        let deletions = taken_back(ground, &deletions);
        if deletions.iter().any(|at| ground.load.standing.contains_key(&pieces[*at].name())) {
            return sized(ground, not_referred_to(ground, &deletions), most);
        }
        let first = deletions.first().map(|at| depth(&pieces[*at].kind));
        let level = deletions.into_iter().filter(|at| Some(depth(&pieces[*at].kind)) == first);
        return sized(ground, level.collect(), most);
    }
    let Some(group) = components(&puts, &edges).into_iter().next() else { return Vec::new() };
    let waiting = |at: &usize| {
        group.iter().filter(|other| edges.get(other).is_some_and(|to| to.contains(at))).count()
    };
    let most_wanted = group.iter().copied().max_by_key(|at| (waiting(at), usize::MAX - at));
    most_wanted.into_iter().collect()
}

fn sized(ground: &Ground<'_>, mut chosen: Vec<usize>, most: usize) -> Vec<usize> {
    chosen.truncate(most);
    let mut bytes = ground.bytes_max();
    let fits = |at: &&usize| {
        let size = size(&ground.load.pieces[**at]);
        let fits = size <= bytes;
        bytes = bytes.saturating_sub(size);
        fits
    };
    let count = chosen.iter().take_while(fits).count().max(1);
    chosen.truncate(count);
    chosen
}

/// Deletions in an order in which what refers goes before what it refers to, as far as types tell.
fn taken_back(ground: &Ground<'_>, deletions: &[usize]) -> Vec<usize> {
    let mut order = deletions.to_vec();
    order.sort_by_key(|at| (depth(&ground.load.pieces[*at].kind), *at));
    order
}

/// To which others that are taken back each of these refers, as this house sent it last. What has
/// been sent without its references since then refers to none.
fn standing_edges(ground: &Ground<'_>, deletions: &[usize]) -> BTreeMap<usize, BTreeSet<usize>> {
    let pieces = &ground.load.pieces;
    let named: BTreeMap<String, usize> =
        deletions.iter().map(|at| (pieces[*at].name(), *at)).collect();
    let edge = |at: usize| {
        let name = pieces[at].name();
        let resource = ground.load.standing.get(&name)?;
        let loose = in_part(&Digest(resource.digest()));
        if ground.there(&name).is_some_and(|it| it.digest == Some(loose)) {
            return None;
        }
        let texts = resource.references().iter().map(|it| resource.reference_text(it));
        let targets = texts.filter_map(|text| named.get(&*text).copied());
        Some((at, targets.filter(|target| *target != at).collect()))
    };
    deletions.iter().filter_map(|at| edge(*at)).collect()
}

/// Deletions for a transaction: what refers before what is referred to, those that refer to each other
/// together.
fn taken_back_together(ground: &Ground<'_>, deletions: &[usize]) -> Vec<Vec<usize>> {
    let mut order = taken_back(ground, deletions);
    order.reverse();
    let mut groups = components(&order, &standing_edges(ground, deletions));
    groups.reverse();
    groups
}

/// Of deletions those that no other refers to; where all are referred to, the one of a cycle that
/// refers to most others: it is cut loose first.
fn not_referred_to(ground: &Ground<'_>, deletions: &[usize]) -> Vec<usize> {
    let edges = standing_edges(ground, deletions);
    let referred: BTreeSet<usize> = edges.values().flatten().copied().collect();
    let free: Vec<usize> = deletions.iter().copied().filter(|at| !referred.contains(at)).collect();
    if !free.is_empty() {
        return free;
    }
    // Nothing outside refers to the last group.
    let group = components(deletions, &edges).pop().unwrap_or_default();
    let count = |at: &usize| edges.get(at).map_or(0, BTreeSet::len);
    group.iter().copied().max_by_key(|at| (count(at), usize::MAX - at)).into_iter().collect()
}

/// Whether this one of those that are due is to be taken back, and cannot be while others refer to it
/// to which it refers itself.
pub(super) fn is_cycle(ground: &Ground<'_>, due: &[usize], at: usize) -> bool {
    let taken_back = |at: &usize| ground.load.pieces[*at].resource.is_none();
    let deletions: Vec<usize> = due.iter().copied().filter(taken_back).collect();
    let by_itself = matches!(ground.rung.carrier, Carrier::Single | Carrier::Batch);
    let edges = standing_edges(ground, &deletions);
    by_itself && taken_back(&at) && edges.values().any(|targets| targets.contains(&at))
}

/// How deep below others a type lies: the Patient lies below everything.
fn depth(kind: &str) -> u8 {
    match kind {
        "Provenance" | "DiagnosticReport" | "DocumentReference" | "CareTeam" => 0,
        "Observation" | "MedicationRequest" | "Immunization" | "Procedure" => 1,
        "Condition" | "ServiceRequest" | "Specimen" | "Medication" | "Binary" => 2,
        "Encounter" => 3,
        "Account" | "Coverage" | "RelatedPerson" => 4,
        "Patient" => 6,
        "Practitioner" | "PractitionerRole" | "Location" | "Organization" => 5,
        _ => 1,
    }
}

/// Groups that refer to each other (strongly connected), what is referred to before what refers
/// (Tarjan 1972, without recursion: a chain may be as long as a payload).
fn components(nodes: &[usize], edges: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<Vec<usize>> {
    struct Frame {
        node: usize,
        targets: Vec<usize>,
        next: usize,
    }
    let frame = |node: usize| {
        let targets = edges.get(&node).map(|to| to.iter().copied().collect()).unwrap_or_default();
        Frame { node, targets, next: 0 }
    };
    let mut found: Vec<Vec<usize>> = Vec::new();
    let (mut number, mut low) = (BTreeMap::new(), BTreeMap::new());
    let (mut stack, mut on_stack) = (Vec::new(), BTreeSet::new());
    for start in nodes {
        if number.contains_key(start) {
            continue;
        }
        let mut frames = vec![frame(*start)];
        while let Some(top) = frames.last_mut() {
            let node = top.node;
            if top.next == 0 && !number.contains_key(&node) {
                let count = number.len();
                number.insert(node, count);
                low.insert(node, count);
                stack.push(node);
                on_stack.insert(node);
            }
            if let Some(target) = top.targets.get(top.next).copied() {
                top.next += 1;
                if !number.contains_key(&target) {
                    frames.push(frame(target));
                } else if on_stack.contains(&target) {
                    let least = low[&node].min(number[&target]);
                    low.insert(node, least);
                }
                continue;
            }
            frames.pop();
            if let Some(above) = frames.last() {
                let least = low[&above.node].min(low[&node]);
                low.insert(above.node, least);
            }
            if low[&node] == number[&node] {
                let mut group = Vec::new();
                while let Some(member) = stack.pop() {
                    on_stack.remove(&member);
                    group.push(member);
                    if member == node {
                        break;
                    }
                }
                group.sort_unstable();
                found.push(group);
            }
        }
    }
    found
}
