//! Goal: once a receipt is taken out, the records are read as if it had never come: what others brought
//! stays or comes back, and nothing that was taken out does.
//!
//! How: receipts that put and delete a few records in every order that a seed draws, some withdrawn on
//! the way; a second house gets the same without them. In both databases.

#![allow(clippy::unwrap_used)]

use exchange::{Issue, PartnerId};
use jiff::Timestamp;
use repository::limits::TAKEN_OUT_BYTES;
use repository::take_out::{Part, TakenOut, take_out};
use repository::{Fate, Fates, Filing, Incoming, Standing, plan_transaction, put_beneath};
use std::collections::BTreeSet;
use store::{
    AnyHouse, Commit, House, PostgresHouse, PostgresPlace, RecordQuery, SqliteHouse, Unit,
};

const RECORDS: u64 = 4;
const RECEIPTS: u64 = 4;

/// What happens to a house.
#[derive(Debug, Clone)]
enum Happens {
    /// A receipt brings some records: which content, or a deletion.
    Brings { receipt: u64, number: Option<u64>, records: Vec<(u64, Option<u64>)> },
    /// A receipt is withdrawn.
    Withdrawn { receipt: u64 },
}

/// Numbers out of a seed, one behind the other.
struct Drawn(u64);

impl Drawn {
    /// Below this one.
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// A story; pushes have no numbers, or come in the order of those, or in any other and delete nothing.
fn story(seed: u64) -> Vec<Happens> {
    let mut drawn = Drawn(seed);
    let (numbered, mixed) = [(false, false), (true, false), (true, true)][drawn.below(3) as usize];
    let mut story = Vec::new();
    let mut over = BTreeSet::new();
    for step in 1..=14 {
        let receipt = drawn.below(RECEIPTS);
        if over.contains(&receipt) {
            continue;
        }
        if step > 5 && drawn.below(5) == 0 {
            over.insert(receipt);
            story.push(Happens::Withdrawn { receipt });
            continue;
        }
        let mut records = Vec::new();
        for id in 0..RECORDS {
            if drawn.below(2) == 0 {
                let content = (mixed || drawn.below(4) > 0).then(|| drawn.below(2));
                records.push((id, content));
            }
        }
        let number = if mixed { 1 + drawn.below(14) } else { step };
        story.push(Happens::Brings { receipt, number: numbered.then_some(number), records });
    }
    story.push(Happens::Withdrawn { receipt: drawn.below(RECEIPTS) });
    story
}

fn filing(receipt: u64, number: Option<u64>) -> Filing {
    Filing {
        owner: PartnerId::from("clinic"),
        receipt: format!("receipt-{receipt}"),
        lane: number.map(|_| "lane".to_owned()),
        number,
        as_of: None,
    }
}

fn incoming(entry: usize, id: u64, content: Option<u64>) -> Incoming {
    let Some(content) = content else { return Incoming::delete(entry, "Basic", &id.to_string()) };
    let identifier = format!(r#"[{{"system":"urn:c","value":"{content}"}}]"#);
    let json = format!(r#"{{"resourceType":"Basic","id":"{id}","identifier":{identifier}}}"#);
    Incoming::put(entry, &fhir::Resource::parse(json).unwrap()).unwrap()
}

fn at() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

/// What becomes of every receipt, but for those that were taken out.
struct All<'g>(Fate, &'g [&'g str]);

/// Every receipt may be withdrawn.
const MAY_GO: All<'_> = All(Fate::MayGo, &[]);

impl Fates for All<'_> {
    async fn fate(&mut self, receipt: &str) -> Result<Fate, Issue> {
        Ok(if self.1.contains(&receipt) { Fate::Gone } else { self.0 })
    }
}

async fn bring(house: &AnyHouse, filing: &Filing, records: &[(u64, Option<u64>)]) {
    let entries =
        |(entry, (id, content)): (usize, &(u64, Option<u64>))| incoming(entry, *id, *content);
    let entries: Vec<_> = records.iter().enumerate().map(entries).collect();
    loop {
        let unit = planned(house, filing, entries.clone(), MAY_GO).await;
        if matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }) {
            return;
        }
    }
}

async fn planned(
    house: &AnyHouse,
    filing: &Filing,
    entries: Vec<Incoming>,
    mut fates: All<'_>,
) -> Unit {
    let places: Vec<_> = entries.iter().map(|one| (one.kind.clone(), one.id.clone())).collect();
    let marks = places.iter().filter_map(|(kind, id)| filing.mark(kind, id));
    let marks = house.heads(&marks.collect::<Vec<_>>()).await.unwrap();
    let heads = house.heads(&places).await.unwrap();
    let standing = Standing { heads: &heads, marks: &marks };
    let mut plan = plan_transaction(entries, filing, standing).unwrap();
    put_beneath(house, &mut plan, &mut fates).await.unwrap();
    let (records, raises, expects) = (plan.records, plan.raises, plan.expects);
    Unit { at: at(), records, raises, expects, ..Unit::default() }
}

fn unit_of(page: TakenOut) -> Unit {
    let TakenOut { records, withdrawals, expects, .. } = page;
    Unit { at: at(), records, withdrawals, expects, ..Unit::default() }
}

/// Withdraws as a worker does: page by page, again where something came between.
async fn withdraw(house: &AnyHouse, receipt: u64, limit: u32) {
    let (receipt, mut after) = (format!("receipt-{receipt}"), 0);
    loop {
        let page = take_out(house, &receipt, Part::Records, after, limit).await.unwrap();
        let next = page.after;
        if house.commit(unit_of(page)).await.unwrap() == Commit::Stale {
            continue;
        }
        let Some(next) = next else { return };
        after = next;
    }
}

async fn play(house: &AnyHouse, story: &[Happens], without: &BTreeSet<u64>, limit: u32) {
    for happens in story {
        match happens {
            Happens::Brings { receipt, .. } | Happens::Withdrawn { receipt }
                if without.contains(receipt) => {}
            Happens::Brings { receipt, number, records } => {
                bring(house, &filing(*receipt, *number), records).await;
            }
            Happens::Withdrawn { receipt } => withdraw(house, *receipt, limit).await,
        }
    }
}

/// What each record holds now, by whose receipt and number.
type View = Vec<(String, String, String, Option<u64>)>;

async fn view(house: &AnyHouse) -> View {
    let query = RecordQuery { kind: "Basic".to_owned(), limit: 99, ..RecordQuery::default() };
    let found = house.search(query).await.unwrap();
    let content = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().into()).unwrap();
    let rows = found.into_iter().map(|it| (it.id, content(it.content), it.receipt, it.number));
    rows.collect()
}

/// By what searches find them.
async fn found(house: &AnyHouse, content: u64) -> Vec<String> {
    let tokens = vec![vec![format!("identifier:{content}|urn:c")]];
    let query =
        RecordQuery { kind: "Basic".to_owned(), tokens, limit: 99, ..RecordQuery::default() };
    house.search(query).await.unwrap().into_iter().map(|it| it.id).collect()
}

async fn as_if_it_had_never_come(open: impl AsyncFn(&str) -> AnyHouse, seeds: u64) {
    let mut taken = 0;
    for seed in 0..seeds {
        let story = story(seed);
        let withdrawn = |it: &Happens| match it {
            Happens::Withdrawn { receipt } => Some(*receipt),
            Happens::Brings { .. } => None,
        };
        let without: BTreeSet<u64> = story.iter().filter_map(withdrawn).collect();
        let (one, other) = (open(&format!("one-{seed}")).await, open(&format!("two-{seed}")).await);
        play(&one, &story, &BTreeSet::new(), 1 + (seed % 3) as u32).await;
        play(&other, &story, &without, 9).await;
        let expected = view(&other).await;
        assert_eq!(view(&one).await, expected, "seed {seed}: {story:?}");
        for content in 0..2 {
            assert_eq!(found(&one, content).await, found(&other, content).await, "seed {seed}");
        }
        taken += without.len();
        // Both go on alike: nothing of what was withdrawn holds anything back.
        let more = filing(9, Some(2));
        let all: Vec<_> = (0..RECORDS).map(|id| (id, Some(5))).collect();
        bring(&one, &more, &all).await;
        bring(&other, &more, &all).await;
        assert_eq!(view(&one).await, view(&other).await, "seed {seed}, afterwards");
        // Again: there is nothing left to withdraw.
        for receipt in without {
            let page =
                take_out(&one, &format!("receipt-{receipt}"), Part::Records, 0, 9).await.unwrap();
            assert_eq!(
                (&page.withdrawals[..], page.records.len()),
                (&[][..], 0),
                "seed {seed} {story:?}"
            );
        }
    }
    assert!(taken as u64 >= seeds, "each withdraws something");
}

/// What comes between reading a page and writing it makes it stale.
async fn what_comes_between_is_not_passed_over(open: impl AsyncFn(&str) -> AnyHouse) {
    type Between = Option<(u64, Option<u64>)>;
    let table: [(&str, Between, bool); 4] = [
        ("nothing", None, false),
        ("the same content by another", Some((2, Some(0))), true),
        ("another content", Some((2, Some(1))), true),
        ("a deletion", Some((2, None)), true),
    ];
    for (case, between, stale) in table {
        let house = open(&format!("between-{case}")).await;
        bring(&house, &filing(1, None), &[(0, Some(0))]).await;
        let page = take_out(&house, "receipt-1", Part::Records, 0, 9).await.unwrap();
        if let Some((receipt, content)) = between {
            bring(&house, &filing(receipt, None), &[(0, content)]).await;
        }
        let commit = house.commit(unit_of(page)).await.unwrap();
        assert_eq!(commit == Commit::Stale, stale, "{case}");
        withdraw(&house, 1, 9).await;
        let stands: Vec<_> = view(&house).await.into_iter().map(|row| row.2).collect();
        let expected = between.filter(|(_, content)| content.is_some()).map(|_| "receipt-2");
        assert_eq!(stands, Vec::from_iter(expected), "{case}");
    }
    // Of two receipts that are withdrawn at once, each knows of the other.
    let house = open("between-two").await;
    for receipt in 0..3 {
        bring(&house, &filing(receipt, None), &[(0, Some(0))]).await;
    }
    let one = take_out(&house, "receipt-1", Part::Records, 0, 9).await.unwrap();
    let other = take_out(&house, "receipt-2", Part::Records, 0, 9).await.unwrap();
    assert!(matches!(house.commit(unit_of(one)).await.unwrap(), Commit::Done { .. }));
    assert_eq!(house.commit(unit_of(other)).await.unwrap(), Commit::Stale);
    withdraw(&house, 2, 9).await;
    assert_eq!(view(&house).await[0].2, "receipt-0");
}

/// What stands is brought by others when the unit that goes beneath it is written: it is decided anew.
async fn what_is_beneath_stands_on_what_was_seen(open: impl AsyncFn(&str) -> AnyHouse) {
    let late = || filing(3, Some(6));
    let other = || vec![incoming(0, 0, Some(1))];
    let house = open("beneath-withdrawn").await;
    bring(&house, &filing(1, Some(5)), &[(0, Some(0))]).await;
    bring(&house, &filing(2, Some(7)), &[(0, Some(0))]).await;
    let unit = planned(&house, &late(), other(), MAY_GO).await;
    withdraw(&house, 2, 9).await;
    assert_eq!(house.commit(unit).await.unwrap(), Commit::Stale);
    bring(&house, &late(), &[(0, Some(1))]).await;
    assert_eq!(view(&house).await[0].2, "receipt-3", "it is newer than what is left");

    let house = open("beneath-raised").await;
    bring(&house, &filing(2, Some(7)), &[(0, Some(0))]).await;
    let unit = planned(&house, &late(), other(), MAY_GO).await;
    bring(&house, &filing(1, Some(9)), &[(0, Some(0))]).await;
    assert_eq!(house.commit(unit).await.unwrap(), Commit::Stale);
    bring(&house, &late(), &[(0, Some(1))]).await;
    assert_eq!(view(&house).await[0].3, Some(9), "never lowered");
}

/// A Patient stays under its records though what brought it was taken out; an older one takes its place.
async fn a_patient_that_stayed_gives_way(house: &AnyHouse) {
    let put =
        |json: &str| Incoming::put(0, &fhir::Resource::parse(json.to_owned()).unwrap()).unwrap();
    let of = |gender: &str| {
        put(&format!(r#"{{"resourceType":"Patient","id":"p","gender":"{gender}"}}"#))
    };
    let about = r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"}}"#;
    for (filing, item) in [(filing(1, Some(7)), of("male")), (filing(2, None), put(about))] {
        let unit = planned(house, &filing, vec![item], MAY_GO).await;
        assert!(matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }));
    }
    withdraw(house, 1, 9).await;
    let page = take_out(house, "receipt-1", Part::Patients, 0, 9).await.unwrap();
    assert_eq!((page.kept, page.withdrawals.len()), (1, 0));
    let taken_out = All(Fate::Stays, &["receipt-1"]);
    let unit = planned(house, &filing(3, Some(6)), vec![of("female")], taken_out).await;
    assert!(matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }));
    let stands = house.record("Patient", "p", None).await.unwrap().unwrap();
    assert_eq!((stands.receipt.as_str(), stands.number), ("receipt-3", Some(6)));
    let page = take_out(house, "receipt-1", Part::Records, 0, 9).await.unwrap();
    assert_eq!(
        (page.withdrawals.len(), page.records.len()),
        (1, 0),
        "and nothing falls back to it"
    );
}

/// One receipt is withdrawn while another brings the same again.
async fn both_at_once_leave_what_one_of_them_brings(house: &AnyHouse) {
    let all: Vec<_> = (100..160).map(|id| (id, Some(0))).collect();
    bring(house, &filing(1, None), &all).await;
    let again = async {
        for record in &all {
            bring(house, &filing(2, None), std::slice::from_ref(record)).await;
        }
    };
    tokio::join!(withdraw(house, 1, 3), again);
    let stands = view(house).await;
    let rows = stands.iter().filter(|row| row.0.len() == 3);
    assert_eq!(rows.filter(|row| row.2 == "receipt-2").count(), all.len());
}

/// A version that many have brought stays for good, and takes no more room.
async fn what_many_bring_stays(house: &AnyHouse) {
    for receipt in 0..20 {
        bring(house, &filing(receipt, None), &[(200, Some(0))]).await;
    }
    for receipt in 0..20 {
        withdraw(house, receipt, 9).await;
    }
    let stands = view(house).await;
    assert!(stands.iter().any(|row| row.0 == "200"), "{stands:?}");
    let lineage = house.brought("receipt-19", 0, 9).await.unwrap();
    assert_eq!(lineage[0].versions[0].earlier.len(), store::limits::BRINGERS_MAX);
}

/// What stands again is read into memory: a page ends with what is large, and the next one goes on there.
async fn what_is_large_comes_back_in_several_pages(house: &AnyHouse) {
    let large = "x".repeat(TAKEN_OUT_BYTES / 2 + 1);
    let put = |entry: usize, text: &str| {
        let code = format!(r#"{{"text":"{text}"}}"#);
        let json = format!(r#"{{"resourceType":"Basic","id":"{entry}","code":{code}}}"#);
        Incoming::put(entry, &fhir::Resource::parse(json).unwrap()).unwrap()
    };
    for (receipt, text) in [(0, large.as_str()), (1, "small")] {
        let entries = (0..3).map(|entry| put(entry, text)).collect();
        let unit = planned(house, &filing(receipt, None), entries, MAY_GO).await;
        assert!(matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }));
    }
    let page = take_out(house, "receipt-1", Part::Records, 0, 9).await.unwrap();
    assert_eq!((page.records.len(), page.after.is_some()), (2, true));
    withdraw(house, 1, 9).await;
    let rows = view(house).await;
    assert_eq!(rows.iter().filter(|row| row.2 == "receipt-0").count(), 3);
    assert_eq!(rows.len(), 3);
}

async fn check(open: impl AsyncFn(&str) -> AnyHouse, seeds: u64) {
    as_if_it_had_never_come(&open, seeds).await;
    what_comes_between_is_not_passed_over(&open).await;
    both_at_once_leave_what_one_of_them_brings(&open("at-once").await).await;
    what_many_bring_stays(&open("many").await).await;
    what_is_large_comes_back_in_several_pages(&open("large").await).await;
    what_is_beneath_stands_on_what_was_seen(&open).await;
    a_patient_that_stayed_gives_way(&open("stayed").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_file_a_receipt_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |name: &str| {
        let folder = folder.path().join(name);
        AnyHouse::from(SqliteHouse::open(&folder, &"plan".into()).unwrap())
    };
    check(open, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_a_receipt_is_taken_out() {
    let Some(database) = testdb::Server::shared() else { return };
    let place = PostgresPlace { url: database.url(), ..PostgresPlace::default() };
    let open =
        async |name: &str| AnyHouse::from(PostgresHouse::open(&place, &name.into()).await.unwrap());
    check(open, 40).await;
}
