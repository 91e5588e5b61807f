//! Parts: a payload as the requests that a door takes, one part after the other.
//!
//! Comes in   the stored payload, the rung, what the door holds of ours, what it refused.
//! Goes out   the next part: requests whose references can all be resolved at the payer; or that
//!            nothing is left to send.
//! Never      a part that depends on anything but these: after a crash the same part comes again.
//!            Never an older content over a newer one.
//!
//! Why no list of parts is kept: what is left to send is what the door does not hold yet. Progress
//! is then what was answered, and a restart, a release and a lower rung all go on from there.

mod answer;
mod body;
mod order;
mod sought;

#[cfg(test)]
mod tests;

pub use answer::{Said, Verdict, combine, judge, read_bundle, said_bundle};
pub use body::in_part;
pub use sought::{Search, found, searches};

use crate::id::{Digest, derived_id};
use crate::issue::{Code, Issue};
use crate::ladder::{Carrier, DoorTerms, Identity, Rung, Unoffered};
use crate::limits::SINGLES_MAX;
use bytes::Bytes;
use fhir::{Bundle, BundleType, BundleWriter, EntryToWrite, Method, Resource};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a payer's door holds of ours under one derived id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Resource type.
    pub kind: String,
    /// The derived id.
    pub id: String,
    /// `Type/id` at the payer; `None`: it did not say.
    pub at: Option<String>,
    /// Digest of the resource as it stands in the payload (`in_part` of it: with some references by
    /// identifier yet); `None`: taken back.
    pub digest: Option<Digest>,
    /// When the chart was read that it comes from.
    pub as_of: Timestamp,
}

/// What a door holds, by `Type/derived id`.
pub type Held = BTreeMap<String, Holding>;

/// A payload, read.
#[derive(Debug, Clone)]
pub struct Load {
    /// Its entries, in their order.
    pub pieces: Vec<Piece>,
    /// When the chart was read.
    pub as_of: Timestamp,
    /// The push: `Bundle.identifier.value`.
    pub push: String,
    /// What it takes back, as this house sent it last, by `Type/derived id`: it says what refers to
    /// what. What is not known here goes in the order of its type.
    pub standing: BTreeMap<String, Resource>,
}

/// One entry of a payload.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Resource type.
    pub kind: String,
    /// The derived id.
    pub id: String,
    /// What is filed; `None`: it is taken back.
    pub resource: Option<Resource>,
    /// Its digest.
    pub digest: Option<Digest>,
}

/// One request, or one entry of a Bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Resource type.
    pub kind: String,
    /// The derived id.
    pub id: String,
    /// PUT, POST or DELETE.
    pub method: Method,
    /// Relative to the base.
    pub url: String,
    /// The query of a conditional create.
    pub if_none_exist: Option<String>,
    /// The resource.
    pub body: Option<Bytes>,
    /// Its `fullUrl` in a Bundle.
    pub full_url: String,
    /// How the record is known again.
    pub identity: Identity,
    /// What the door holds once it is filed; see [`Holding::digest`].
    pub digest: Option<Digest>,
}

/// What goes out in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How.
    pub carrier: Carrier,
    /// What.
    pub items: Vec<Item>,
}

/// A record that stays out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `Type/derived id`.
    pub record: String,
    /// Why.
    pub issues: Vec<Issue>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(Part),
    /// These cannot be sent; the others can.
    Refuse(Vec<Refusal>),
    /// Nothing is left.
    Done,
}

/// What the next part is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The payload.
    pub load: &'a Load,
    /// The rung.
    pub rung: &'a Rung,
    /// Limits of the agreement.
    pub terms: &'a DoorTerms,
    /// The house's namespace.
    pub namespace: &'a str,
    /// What the door holds.
    pub held: &'a Held,
    /// What is not sent again until a person lets it go: `Type/derived id`.
    pub refused: &'a BTreeSet<String>,
    /// Something of this push has been filed already.
    pub begun: bool,
    /// How often a request was too large.
    pub halvings: u32,
}

impl Piece {
    /// `Type/derived id`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }
}

impl Item {
    /// `Type/derived id`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// Whether each such request makes a record; any other may go again as it is.
    pub fn makes_anew(&self) -> bool {
        self.method == Method::Post && self.if_none_exist.is_none()
    }
}

impl Load {
    /// Reads a stored payload. Errors: `InternalError` when it is none.
    pub fn read(payload: Bytes) -> Result<Load, Issue> {
        let unreadable = || Issue::new(Code::InternalError, "a stored payload cannot be read");
        let bundle = Bundle::parse(payload).map_err(|_| unreadable())?;
        let as_of = bundle.timestamp.as_deref().and_then(|text| text.parse().ok());
        let push = bundle.identifier.map(|(_, value)| value);
        let piece = |entry: fhir::Entry| {
            let (kind, id) = entry.request.as_ref()?.url.split_once('/')?;
            let digest = entry.resource.as_ref().map(|resource| Digest(resource.digest()));
            let (kind, id) = (kind.to_owned(), id.to_owned());
            Some(Piece { kind, id, resource: entry.resource, digest })
        };
        let pieces: Option<Vec<Piece>> = bundle.entries.into_iter().map(piece).collect();
        let (Some(pieces), Some(as_of), Some(push)) = (pieces, as_of, push) else {
            return Err(unreadable());
        };
        Ok(Load { pieces, as_of, push, standing: BTreeMap::new() })
    }

    /// Whether it takes anything back.
    pub fn takes_back(&self) -> bool {
        self.pieces.iter().any(|piece| piece.resource.is_none())
    }

    /// Learns from an earlier payload how what is taken back stands at the payer; the last one counts.
    pub fn learn(&mut self, earlier: Load) {
        let gone = self.pieces.iter().filter(|piece| piece.resource.is_none());
        let gone: BTreeSet<String> = gone.map(Piece::name).collect();
        for piece in earlier.pieces {
            let name = piece.name();
            if let Some(resource) = piece.resource.filter(|_| gone.contains(&name)) {
                self.standing.insert(name, resource);
            }
        }
    }

    /// Whether it only takes back.
    pub fn is_withdrawal(&self) -> bool {
        self.pieces.iter().all(|piece| piece.resource.is_none() || piece.kind == "Provenance")
    }

    /// Type and id of every record, and of the collection they would travel in.
    pub fn records(&self, namespace: &str) -> Vec<(String, String)> {
        let mut records: Vec<_> =
            self.pieces.iter().map(|piece| (piece.kind.clone(), piece.id.clone())).collect();
        // What a resource refers to may stand at the payer from an earlier push.
        let targets = self.pieces.iter().filter_map(|piece| piece.resource.as_ref());
        let targets = targets.flat_map(|resource| {
            resource.references().iter().filter_map(|reference| {
                let text = resource.reference_text(reference);
                let (kind, id) = crate::place::type_and_id(&text)?;
                Some((kind.to_owned(), id.to_owned()))
            })
        });
        records.extend(targets);
        records.push(("Bundle".to_owned(), self.collection_id(namespace)));
        records.sort();
        records.dedup();
        records
    }

    fn collection_id(&self, namespace: &str) -> String {
        derived_id(namespace, "Bundle", &self.push)
    }
}

impl Ground<'_> {
    fn held(&self, name: &str) -> Option<&Holding> {
        self.held.get(name)
    }

    /// Whether the door holds something under this name.
    fn there(&self, name: &str) -> Option<&Holding> {
        self.held(name).filter(|holding| holding.digest.is_some())
    }

    /// Whether an entry is still to be sent.
    fn is_due(&self, piece: &Piece) -> bool {
        let name = piece.name();
        if self.refused.contains(&name) {
            return false;
        }
        match (self.held(&name), piece.digest) {
            (Some(holding), _) if holding.as_of > self.load.as_of => false,
            (Some(holding), Some(digest)) => holding.digest != Some(digest),
            (Some(holding), None) => holding.digest.is_some(),
            (None, Some(_)) => true,
            // By ids of this house it can be taken back whatever this house remembers.
            (None, None) => self.rung.identity(&piece.kind) == Some(Identity::Put),
        }
    }

    /// Whether a newer content of it stands at the payer.
    pub fn is_older(&self, piece: &Piece) -> bool {
        self.held(&piece.name()).is_some_and(|holding| holding.as_of > self.load.as_of)
    }

    /// Whether it is the push's own Provenance.
    fn is_own(&self, piece: &Piece) -> bool {
        piece.kind == "Provenance"
            && piece.id == derived_id(self.namespace, "Provenance", &self.load.push)
    }

    /// The entries still to be sent, by their position. The push's Provenance goes last, and only
    /// with something that it is about.
    pub fn due(&self) -> Vec<usize> {
        let pieces = || self.load.pieces.iter().enumerate();
        let others = pieces().filter(|(_, it)| !self.is_own(it) && self.is_due(it));
        let mut due: Vec<usize> = others.map(|(at, _)| at).collect();
        let left_out = self.terms.unoffered == Unoffered::LeaveOut
            && self.rung.identity("Provenance").is_none();
        let own = self.terms.provenance && !left_out;
        let own = own && !self.load.is_withdrawal() && self.refused.is_empty();
        if own && (self.begun || !due.is_empty()) {
            let own = pieces().filter(|(_, it)| self.is_own(it) && self.is_due(it));
            due.extend(own.map(|(at, _)| at));
        }
        due
    }

    /// Whether an entry would be made a second time by a second request, and no search could tell
    /// that the first had made it: then it must be sure which request brought no answer.
    fn is_dark(&self, piece: &Piece) -> bool {
        let Some(act) = body::act(self, piece).filter(|_| piece.resource.is_some()) else {
            return false;
        };
        act.makes_anew() && !self.is_sought(piece)
    }

    /// Whether the door can be asked for it.
    fn is_sought(&self, piece: &Piece) -> bool {
        let identity = self.rung.identity(&piece.kind);
        identity.is_some_and(|identity| sought::sought(self, &piece.kind, identity).is_some())
    }

    /// What was too large is halved, and not a limit that is far above it.
    fn entries_max(&self) -> usize {
        (self.terms.entries_max.min(self.load.pieces.len()) >> self.halvings.min(31)).max(1)
    }

    fn bytes_max(&self) -> usize {
        let whole: usize = self.load.pieces.iter().map(order::size).sum();
        (self.terms.bytes_max.min(whole) >> self.halvings.min(31)).max(1)
    }
}

/// The next step of a push at a foreign door.
pub fn next(ground: &Ground<'_>) -> Step {
    if ground.rung.carrier == Carrier::Collection {
        return collection(ground);
    }
    let due = ground.due();
    let refusals: Vec<Refusal> = due.iter().filter_map(|at| refusal(ground, *at)).collect();
    if !refusals.is_empty() {
        return Step::Refuse(refusals);
    }
    if due.is_empty() {
        return Step::Done;
    }
    let chosen = match ground.rung.carrier {
        Carrier::Transaction => order::together(ground, &due),
        carrier => {
            let most = if carrier == Carrier::Single { SINGLES_MAX } else { ground.entries_max() };
            order::resolvable(ground, &due, most)
        }
    };
    let loose = match chosen[..] {
        [only] => order::is_cycle(ground, &due, only).then(|| body::loose(ground, only)).flatten(),
        _ => None,
    };
    Step::Send(loose.unwrap_or_else(|| body::part(ground, &chosen)))
}

/// Why an entry cannot be sent at all.
fn refusal(ground: &Ground<'_>, at: usize) -> Option<Refusal> {
    let piece = &ground.load.pieces[at];
    let record = piece.name();
    let missing = |detail: String| {
        let issue = Issue::new(Code::CapabilityMissing, detail).at(format!("Bundle.entry[{at}]"));
        Some(Refusal { record: record.clone(), issues: vec![issue] })
    };
    let (Some(offer), Some(_)) =
        (ground.rung.offer(&piece.kind), ground.rung.identity(&piece.kind))
    else {
        return missing(format!("the payer's door takes no {}", piece.kind));
    };
    let Some(resource) = &piece.resource else {
        return match offer.delete {
            true => None,
            false => missing(format!("the payer's door takes no {} back", piece.kind)),
        };
    };
    if body::act(ground, piece).is_none() {
        return missing(format!("the payer's door takes no later content of a {}", piece.kind));
    }
    let refused = resource.references().iter().any(|reference| {
        let target = resource.reference_text(reference);
        ground.refused.contains(&*target) && ground.there(&target).is_none()
    });
    refused.then(|| {
        let detail = "what it refers to was refused";
        let issue = Issue::new(Code::PayerRefused, detail).at(format!("Bundle.entry[{at}]"));
        Refusal { record, issues: vec![issue] }
    })
}

/// What a push would take back beside what it brings: a door for collections keeps it.
fn left_there(ground: &Ground<'_>) -> Step {
    let left = |piece: &&Piece| piece.resource.is_none() && !ground.refused.contains(&piece.name());
    if ground.load.is_withdrawal() || !ground.load.pieces.iter().any(|piece| left(&piece)) {
        return Step::Done;
    }
    let pieces = ground.load.pieces.iter().enumerate().filter(|(_, piece)| left(piece));
    let refusal = |(at, piece): (usize, &Piece)| {
        let issue = Issue::new(Code::CapabilityMissing, KEEPS).at(format!("Bundle.entry[{at}]"));
        Refusal { record: piece.name(), issues: vec![issue] }
    };
    Step::Refuse(pieces.map(refusal).collect())
}

/// Why nothing is taken back at a door for collections.
const KEEPS: &str = "a door for collections takes nothing back; what was sent stays there";

/// The whole push as one Bundle that the payer keeps.
fn collection(ground: &Ground<'_>) -> Step {
    let Load { pieces, push, .. } = ground.load;
    let id = ground.load.collection_id(ground.namespace);
    let name = format!("Bundle/{id}");
    if ground.there(&name).is_some() || ground.refused.contains(&name) {
        return left_there(ground);
    }
    let offer = ground.rung.offer("Bundle").copied().unwrap_or_default();
    if ground.load.is_withdrawal() {
        let issue = Issue::new(Code::CapabilityMissing, KEEPS);
        return Step::Refuse(vec![Refusal { record: name, issues: vec![issue] }]);
    }
    let system = crate::assemble::push_system(ground.namespace);
    let mut writer = BundleWriter::new(BundleType::Collection)
        .identifier(&system, push)
        .timestamp(&ground.load.as_of.to_string());
    let put = offer.update && offer.update_create;
    if put {
        writer = writer.id(&id);
    }
    for piece in pieces.iter().filter(|it| !ground.is_own(it) || ground.terms.provenance) {
        let Some(resource) = &piece.resource else { continue };
        let full_url = format!("{}/{}", ground.namespace, piece.name());
        writer.entry(EntryToWrite {
            full_url: Some(&full_url),
            resource: Some(resource.bytes()),
            ..EntryToWrite::default()
        });
    }
    let body = Bytes::from(writer.finish());
    let unless = (!put && offer.conditional_create).then(|| format!("identifier={system}|{push}"));
    let item = Item {
        kind: "Bundle".to_owned(),
        method: if put { Method::Put } else { Method::Post },
        url: if put { name } else { "Bundle".to_owned() },
        identity: match (put, &unless) {
            (true, _) => Identity::Put,
            (_, Some(_)) => Identity::Conditional,
            _ => Identity::Server,
        },
        if_none_exist: unless,
        digest: Some(Digest::of(&body)),
        body: Some(body),
        full_url: String::new(),
        id,
    };
    Step::Send(Part { carrier: Carrier::Collection, items: vec![item] })
}

impl Part {
    /// The Bundle that carries it; `None` where every item goes by itself.
    pub fn bundle(&self) -> Option<Bytes> {
        let kind = match self.carrier {
            Carrier::Transaction => BundleType::Transaction,
            Carrier::Batch => BundleType::Batch,
            Carrier::Single | Carrier::Collection => return None,
        };
        let mut writer = BundleWriter::new(kind);
        for item in &self.items {
            writer.entry(EntryToWrite {
                full_url: item.body.as_ref().map(|_| item.full_url.as_str()),
                resource: item.body.as_deref(),
                request: Some((item.method, &item.url)),
                if_none_exist: item.if_none_exist.as_deref(),
                ..EntryToWrite::default()
            });
        }
        Some(writer.finish().into())
    }
}
