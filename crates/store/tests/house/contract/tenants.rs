//! Two houses with the same ids in one database: neither sees or touches the other's anything.
//!
//! Comes in   two houses; what the second holds does not matter.
//! Goes out   nothing, or a panic with the method that leaked.
//! Never      leaves out a method of `House`: every reading and every writing has its line here.

use exchange::{Digest, PartnerId};

use super::*;
use store::proof::LedgerKey;

const BODY: &[u8] = b"tenant";

fn hospital() -> PartnerId {
    PartnerId::from("hospital")
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn keyed(content: &[u8]) -> NewVersion {
    let keys = RecordKeys {
        patient: text("tenant"),
        encounter: text("visit"),
        date: Some(DateSpan { from: at(0), to: at(60) }),
        status: text("final"),
        tokens: vec!["tenant|1".to_owned()],
    };
    NewVersion {
        receipt: "tenant".to_owned(),
        lane: text("lane"),
        number: Some(1),
        content: Some(Bytes::copy_from_slice(content)),
        keys,
        ..version("Patient", "tenant", "")
    }
}

/// A unit with everything a unit can carry.
fn full() -> Unit {
    let large = vec![b'l'; store::limits::INLINE_BYTES_MAX + 1];
    let row = Work {
        partner: Some(hospital()),
        dossier: text("dossier"),
        trigger: text("trigger"),
        label: text("tenant"),
        number: Some(7),
        ..work("tenant", "lane", Some(at(1)))
    };
    let rest = Work { partner: Some(hospital()), ..work("tenant-rest", "rest", None) };
    Unit {
        works: vec![row, rest],
        lines: vec![(Chain::House, opened("1")), (submission("tenant"), opened("2"))],
        records: vec![keyed(b"{}"), NewVersion { id: "tenant-large".to_owned(), ..keyed(&large) }],
        blobs: vec![blob(BODY), blob(&large)],
        first_answer: Some(answer("tenant", BODY)),
        ..unit(0)
    }
}

fn query() -> RecordQuery {
    RecordQuery { kind: "Patient".to_owned(), limit: 9, ..RecordQuery::default() }
}

fn about() -> AboutQuery {
    AboutQuery { patient: "tenant".to_owned(), limit: 9, ..AboutQuery::default() }
}

/// What every reading says, asked by the ids of the full unit.
#[derive(Debug, PartialEq)]
struct Readings {
    picture: Picture,
    works: Vec<Option<StoredWork>>,
    listed: Vec<Vec<StoredWork>>,
    at_rest: Vec<StoredWork>,
    lane_number: u64,
    stories: Vec<Vec<exchange::Entry>>,
    unsigned: u64,
    checkpoint: Option<Checkpoint>,
    heads: Vec<Option<Record>>,
    records: Vec<Option<Record>>,
    history: Vec<Record>,
    found: Vec<Vec<Record>>,
    counts: Vec<u64>,
    about: Vec<Record>,
    blobs: Vec<Option<Bytes>>,
    first_answer: Option<FirstAnswer>,
    rekey_next: Vec<Record>,
}

impl Readings {
    async fn of(house: &impl House) -> Readings {
        let one = || vec!["tenant".to_owned()];
        let works = || WorkQuery { limit: 9, ..WorkQuery::default() };
        let work_queries = [
            works(),
            WorkQuery { kind: Some(WorkKind::Push), ..works() },
            WorkQuery { states: vec!["due".to_owned()], ..works() },
            WorkQuery { partner: Some(hospital()), ..works() },
            WorkQuery { dossier: text("dossier"), ..works() },
            WorkQuery { lane: text("lane"), ..works() },
            WorkQuery { trigger: text("trigger"), ..works() },
            WorkQuery { prefix: text("ten"), ..works() },
        ];
        let span = DateSpan { from: at(0), to: at(60) };
        let queries = [
            query(),
            RecordQuery { ids: one(), ..query() },
            RecordQuery { patients: one(), ..query() },
            RecordQuery { encounters: vec!["visit".to_owned()], ..query() },
            RecordQuery { tokens: vec![vec!["tenant|1".to_owned()]], ..query() },
            RecordQuery { patients: one(), tokens: vec![vec!["tenant|1".to_owned()]], ..query() },
            RecordQuery { statuses: vec!["final".to_owned()], ..query() },
            RecordQuery { date: vec![(Compare::Ap, span)], ..query() },
            RecordQuery { last_updated: (Some(at(0)), None), ..query() },
            RecordQuery { owner: Some(hospital()), ..query() },
        ];
        let (mut listed, mut found, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for query in work_queries {
            listed.push(house.works(query).await.unwrap());
        }
        for query in queries {
            found.push(house.search(query.clone()).await.unwrap());
            counts.push(house.count(query).await.unwrap());
        }
        let large = vec![b'l'; store::limits::INLINE_BYTES_MAX + 1];
        let pair = [("Patient".to_owned(), "tenant".to_owned())];
        let edition = house.keys_edition().await.unwrap() + 1;
        Readings {
            picture: Picture::of(house).await,
            works: vec![
                house.work("tenant").await.unwrap(),
                house.work("tenant-rest").await.unwrap(),
            ],
            listed,
            at_rest: house.at_rest(&hospital(), at(9_999), None, 9).await.unwrap(),
            lane_number: house.lane_number("lane").await.unwrap(),
            stories: vec![
                house.story(&Chain::House).await.unwrap(),
                house.story(&submission("tenant")).await.unwrap(),
            ],
            unsigned: house.unsigned().await.unwrap(),
            checkpoint: house.checkpoint_numbered(1).await.unwrap(),
            heads: house.heads(&pair).await.unwrap(),
            records: vec![
                house.record("Patient", "tenant", None).await.unwrap(),
                house.record("Patient", "tenant", Some(1)).await.unwrap(),
            ],
            history: house.history("Patient", "tenant", None, 9).await.unwrap(),
            found,
            counts,
            about: house.about(about()).await.unwrap(),
            blobs: vec![
                house.blob(&Digest::of(BODY)).await.unwrap(),
                house.blob(&Digest::of(&large)).await.unwrap(),
            ],
            first_answer: house.first_answer(&hospital(), "tenant").await.unwrap(),
            rekey_next: house.rekey_next(edition, 9).await.unwrap(),
        }
    }
}

pub(super) async fn neither_sees_nor_touches_the_other<H: House>(one: &H, other: &H) {
    let (key, _) = LedgerKey::generate().unwrap();
    let before = Readings::of(other).await;
    // Everything is written to one of them …
    assert_eq!(one.commit(full()).await.unwrap(), done(&[1, 1]));
    one.checkpoint(at(1), &key).await.unwrap();
    let fence = one.claim(Clock::At(at(1)), MINUTE, 9).await.unwrap().remove(0).fence;
    let breaker = Breaker { failures: 1, rest: MINUTE, rest_max: MINUTE };
    one.approach(Clock::At(at(1)), &hospital(), MINUTE).await.unwrap();
    one.report(Clock::At(at(1)), &hospital(), false, breaker).await.unwrap();
    assert!(one.first_use("scope", "token", at(9), at(0)).await.unwrap());
    assert_eq!(Readings::of(other).await, before, "nothing of it is seen from the other");
    units::an_empty_house_holds_nothing(other).await;

    // … and what the other does with the same ids, and with what it was shown, touches nothing.
    let written = Readings::of(one).await;
    assert!(!other.renew(Clock::At(at(2)), &fence, MINUTE * 9).await.unwrap());
    other.release(fence.clone()).await.unwrap();
    let foreign = Unit { fence: Some(fence.clone()), ..unit(2) };
    assert_eq!(other.commit(foreign).await.unwrap(), Commit::Overtaken, "a fence of one house");
    assert_eq!(one.claim(Clock::At(at(2)), MINUTE, 9).await.unwrap(), [], "it is still held");
    let expects = vec![
        Expect::Found { query: Box::new(query()), ids: Vec::new() },
        Expect::WorkRevision { id: "tenant".to_owned(), revision: None },
        Expect::Version { kind: "Patient".into(), id: "tenant".into(), version: None },
        Expect::LaneNumber { lane: "lane".to_owned(), number: 0 },
    ];
    let unit = Unit { expects, ..full() };
    assert_eq!(other.commit(unit).await.unwrap(), done(&[1, 1]), "the same ids are free here");
    assert!(other.first_use("scope", "token", at(9), at(0)).await.unwrap(), "and tokens");
    assert_eq!(other.approach(Clock::At(at(2)), &hospital(), MINUTE).await.unwrap(), Approach::Now);
    assert_eq!(other.claim(Clock::At(at(2)), MINUTE, 9).await.unwrap().len(), 1);
    let unit = |records| Unit { records, ..self::unit(3) };
    let ids = || vec!["tenant".to_owned(), "tenant-rest".to_owned()];
    let raise = Raise {
        kind: "Patient".to_owned(),
        id: "tenant".to_owned(),
        number: Some(99),
        receipt: "other".to_owned(),
    };
    let gone = NewVersion { content: None, ..keyed(b"") };
    super::holdings::nothing_is_known(other).await;
    write(other, Unit { raises: vec![raise], ..unit(Vec::new()) }).await;
    write(other, unit(vec![keyed(b"second")])).await;
    write(other, unit(vec![gone])).await;
    let revision = other.work("tenant").await.unwrap().map(|row| row.revision);
    let looked = Expect::WorkRevision { id: "tenant".to_owned(), revision };
    let works = vec![work("tenant", "lane", None)];
    write(other, Unit { expects: vec![looked], works, ..unit(Vec::new()) }).await;
    other.checkpoint(at(3), &key).await.unwrap();
    other.report(Clock::At(at(3)), &hospital(), true, breaker).await.unwrap();
    other.report(Clock::At(at(3)), &PartnerId::from("other"), false, breaker).await.unwrap();
    let lines = vec![(submission("tenant"), opened("purged"))];
    other.purge(Purge { at: at(4), works: ids(), lines }).await.unwrap();
    other.scrub().await.unwrap();
    let edition = other.keys_edition().await.unwrap() + 1;
    let page = other.rekey_next(edition, 9).await.unwrap();
    let rekey = Rekey {
        kind: "Patient".to_owned(),
        id: "tenant".to_owned(),
        version: 1,
        keys: RecordKeys::default(),
    };
    let keys = page.iter().map(|record| Rekey { version: record.version, ..rekey.clone() });
    other.rekey(edition, keys.chain([rekey.clone()]).collect()).await.unwrap();
    other.rekey(edition, Vec::new()).await.unwrap();
    assert_eq!(Readings::of(one).await, written, "nothing of one was touched");
}

async fn write(house: &impl House, unit: Unit) {
    assert!(matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }));
}
