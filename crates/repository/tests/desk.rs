//! Goal: a partner finds, page by page, exactly its own records, as they were filed; and what was
//! planned is what the store then holds.
//!
//! How: a house on a file, filled by the loader for two partners.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use exchange::query::Handling;
use exchange::{Code, PartnerId};
use fhir::{Bundle, Resource};
use jiff::Timestamp;
use repository::{
    Change, Desk, EntryOutcome, Filing, Incoming, Loader, Standing, plan_transaction,
};
use std::collections::BTreeSet;
use store::{AnyHouse, Commit, House, SqliteHouse, Unit};

const BASE: &str = "https://plan.example/fhir";

struct Shelf {
    house: AnyHouse,
    _folder: tempfile::TempDir,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_400_000 + second).unwrap()
}

fn resource(text: &str) -> Resource {
    Resource::parse(text.as_bytes().to_vec()).unwrap()
}

fn lab(id: &str, patient: &str, code: &str, date: &str) -> Resource {
    resource(&format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final",
            "identifier":[{{"system":"urn:lab","value":"{id}"}}],
            "category":[{{"coding":[{{"system":"urn:c","code":"laboratory"}}]}}],
            "code":{{"coding":[{{"system":"http://loinc.org","code":"{code}"}}]}},
            "subject":{{"reference":"Patient/{patient}"}},
            "encounter":{{"reference":"Encounter/e-{patient}"}},
            "effectiveDateTime":"{date}","valueQuantity":{{"value":1.00}}}}"#
    ))
}

async fn shelf() -> Shelf {
    let folder = tempfile::tempdir().unwrap();
    let house = AnyHouse::from(SqliteHouse::open(folder.path(), &"plan".into()).unwrap());
    let shelf = Shelf { house, _folder: folder };
    let mercy = [
        lab("a", "p", "4548-4", "2026-01-03T10:00:00-05:00"),
        lab("b", "p", "718-7", "2026-01-04"),
        lab("c", "q", "4548-4", "2026-02"),
    ];
    shelf.load("mercy", 0, mercy).await;
    shelf.load("lakeside", 10, [lab("d", "p", "4548-4", "2026-01-03")]).await;
    shelf
}

impl Shelf {
    async fn load(&self, owner: &str, second: i64, resources: impl IntoIterator<Item = Resource>) {
        let loader =
            Loader { house: &self.house, owner: PartnerId::from(owner), receipt: "s-1".into() };
        loader.load(at(second), resources).await.unwrap();
    }

    fn desk(&self, owner: Option<&str>) -> Desk<'_, AnyHouse> {
        Desk::new(&self.house, BASE, owner.map(PartnerId::from))
    }

    /// The ids found, whether `total` says the same, and the `next` link.
    async fn find(&self, owner: Option<&str>, query: &str) -> (Vec<String>, u64, Option<String>) {
        let bundle = self.desk(owner).search("Observation", &pairs(query), Handling::Strict).await;
        let bundle = Bundle::parse(bundle.unwrap()).unwrap();
        let id = |entry: &fhir::Entry| entry.resource.as_ref().unwrap().id().unwrap().to_owned();
        let next = bundle.link("next").map(str::to_owned);
        (bundle.entries.iter().map(id).collect(), bundle.total.unwrap(), next)
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| part.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    query.split('&').filter_map(pair).collect()
}

#[tokio::test]
async fn each_parameter_finds_what_r4_says() {
    let shelf = shelf().await;
    let table = [
        ("", "abcd"),
        ("_id=a,d,x", "ad"),
        ("patient=p", "abd"),
        ("subject=Patient/q", "c"),
        ("patient=p&encounter=e-q", ""),
        ("encounter=Encounter/e-p", "abd"),
        ("identifier=urn:lab|a", "a"),
        ("identifier=a", "a"),
        ("identifier=|a", ""),
        ("identifier=a,urn:lab|b,urn:other|c", "ab"),
        ("code=http://loinc.org|4548-4", "acd"),
        ("code=4548-4,718-7&patient=p", "abd"),
        ("code=4548-4&code=718-7", ""),
        ("category=laboratory", "abcd"),
        ("status=amended", ""),
        ("date=2026-01-03", "ad"),
        ("date=ge2026-01-03T15:00:00Z&date=lt2026-02", "abd"),
        ("date=sa2026-01-03T14:59:59Z&date=lt2026-02", "ab"),
        ("date=gt2026-01-03", "bc"),
        ("date=2026", "abcd"),
        ("date=ne2026-01-03", "bc"),
        ("date=lt2026-01-04", "ad"),
        ("date=le2026-01-04", "abd"),
        ("date=sa2026-01-03&date=eb2026-02", "b"),
        ("date=ap2026-02-14", "c"),
        ("date=2026-02-14", ""),
        ("date=le9999-12-31", "abcd"),
        ("date=lt9999-12-31T23:59:59Z", "abcd"),
        ("date=ge9999-12-31", ""),
        ("_lastUpdated=le9999-12-31", "abcd"),
        ("_lastUpdated=gt9999-12-31", ""),
        ("_lastUpdated=ge2026-01-03T00:26:45Z", "d"),
        ("patient=p&patient=q", ""),
        ("patient=Group/p", ""),
        ("_lastUpdated=gt2026-01-03T00:26:40Z", "d"),
        ("_lastUpdated=lt2026-01-03T00:26:50Z", "abc"),
        ("_lastUpdated=2026-01-03T00:26:50Z", "d"),
        ("_lastUpdated=2026-01-02", ""),
        ("patient=q&_total=accurate", "c"),
        ("patient=q&_totalMethod=count", "c"),
    ];
    for (query, expected) in table {
        let (found, total, next) = shelf.find(None, query).await;
        assert_eq!((found.concat().as_str(), next), (expected, None), "{query}");
        assert_eq!(total, expected.len() as u64, "{query}");
    }
}

#[tokio::test]
async fn a_partner_sees_its_own_records_and_no_trace_of_others() {
    let shelf = shelf().await;
    let mercy = shelf.desk(Some("mercy"));
    assert_eq!(shelf.find(Some("mercy"), "patient=p").await.0, ["a", "b"]);
    assert_eq!(shelf.find(Some("mercy"), "_id=d").await.1, 0);
    let nobody = mercy.read("Observation", "x").await.unwrap_err();
    let anothers = mercy.read("Observation", "d").await.unwrap_err();
    assert_eq!(nobody, anothers);
    assert_eq!(anothers.code, Code::ResourceUnknown);
    assert_eq!(mercy.vread("Observation", "d", 1).await.unwrap_err(), nobody);
    assert_eq!(mercy.history("Observation", "d", &[], Handling::Strict).await.unwrap_err(), nobody);
    assert!(mercy.read("Observation", "a").await.is_ok());
}

#[tokio::test]
async fn pages_are_stable_while_others_file_and_hold_every_record_once() {
    let shelf = shelf().await;
    let labs = (0..25).map(|number| lab(&format!("n{number:02}"), "r", "1-8", "2026"));
    shelf.load("mercy", 20, labs).await;
    let (mut query, mut pages, mut seen) = ("patient=r&_count=10".to_owned(), 0, BTreeSet::new());
    loop {
        let (found, _, next) = shelf.find(Some("mercy"), &query).await;
        assert!(found.iter().all(|id| seen.insert(id.clone())), "none comes twice");
        pages += 1;
        // A record that sorts before the page makes no later one slip away.
        shelf.load("mercy", 30, [lab(&format!("a{pages}"), "r", "1-8", "2026")]).await;
        match next {
            Some(next) => next.split_once('?').unwrap().1.clone_into(&mut query),
            None => break,
        }
    }
    let old = seen.iter().filter(|id| id.starts_with('n')).count();
    assert_eq!((old, pages), (25, 3));
}

#[tokio::test]
async fn a_count_is_answered_without_records() {
    let shelf = shelf().await;
    for query in ["patient=p&_summary=count", "patient=p&_count=0"] {
        assert_eq!(shelf.find(None, query).await, (vec![], 3, None), "{query}");
    }
}

#[tokio::test]
async fn what_was_planned_is_what_stands_and_history_tells_it() {
    let shelf = shelf().await;
    let new = lab("new", "p", "1-8", "2026");
    let items = vec![
        Incoming::put(0, &new).unwrap(),
        Incoming::put(1, &lab("a", "p", "4548-4", "2026-01-03T10:00:00-05:00")).unwrap(),
        Incoming::put(2, &lab("b", "p", "718-7", "2026-01-05")).unwrap(),
        Incoming::delete(3, "Observation", "c"),
    ];
    let names: Vec<_> = items.iter().map(|item| (item.kind.clone(), item.id.clone())).collect();
    let heads = shelf.house.heads(&names).await.unwrap();
    let filing = Filing {
        owner: "mercy".into(),
        receipt: "s-2".into(),
        lane: None,
        number: None,
        as_of: None,
    };
    let plan = plan_transaction(items, &filing, Standing { heads: &heads, marks: &[] }).unwrap();
    let (expects, records) = (plan.expects.clone(), plan.records.clone());
    let unit = Unit { at: at(100), expects, records, ..Unit::default() };
    let done = shelf.house.commit(unit.clone()).await.unwrap();
    assert_eq!(done, Commit::Done { versions: vec![1, 2, 2] });
    assert_eq!(shelf.house.commit(unit).await.unwrap(), Commit::Stale, "a plan holds once");

    let place =
        |it: &EntryOutcome| format!("{}/{}/_history/{}", it.kind, it.id, it.version.unwrap());
    let places: Vec<_> = plan.outcomes.iter().map(place).collect();
    assert_eq!(
        places,
        [
            "Observation/new/_history/1",
            "Observation/a/_history/1",
            "Observation/b/_history/2",
            "Observation/c/_history/2",
        ]
    );
    assert_eq!(plan.count(Change::Unchanged), 1);

    let desk = shelf.desk(Some("mercy"));
    let served = desk.read("Observation", "new").await.unwrap();
    assert_eq!((served.version, served.last_updated), (1, at(100)));
    let record = shelf.house.record("Observation", "new", None).await.unwrap().unwrap();
    assert_eq!(record.content.as_ref(), Some(new.bytes()), "filed byte for byte");
    assert_eq!(desk.read("Observation", "c").await.unwrap_err().code, Code::ResourceDeleted);
    assert!(desk.vread("Observation", "c", 1).await.is_ok(), "the version before can be read");
    assert_eq!(desk.vread("Observation", "c", 9).await.unwrap_err().code, Code::ResourceUnknown);
    assert_eq!(shelf.find(None, "_id=c").await.1, 0, "a deleted record is not found");

    let history =
        Bundle::parse(desk.history("Observation", "c", &[], Handling::Strict).await.unwrap())
            .unwrap();
    let told: Vec<_> = history
        .entries
        .iter()
        .map(|entry| {
            let request = entry.request.as_ref().unwrap();
            (request.method.code(), entry.resource.is_some())
        })
        .collect();
    assert_eq!(told, [("DELETE", false), ("PUT", true)]);
}

#[tokio::test]
async fn loading_the_same_again_is_nothing_and_another_owners_record_stops_it() {
    let shelf = shelf().await;
    let before = shelf.house.dump(None, 9_999).await.unwrap();
    let loader =
        Loader { house: &shelf.house, owner: PartnerId::from("mercy"), receipt: "s-9".into() };
    let again = [lab("b", "p", "718-7", "2026-01-04"), lab("b", "p", "718-7", "2026-01-04")];
    let loaded = loader.load(at(50), again).await.unwrap();
    assert_eq!((loaded.created, loaded.updated, loaded.unchanged), (0, 0, 2));
    let stranger = loader.load(at(60), [lab("d", "p", "1-8", "2026")]).await.unwrap_err();
    assert_eq!(stranger.code, Code::RecordOwnedByAnother);
    let nameless = loader.load(at(60), [resource(r#"{"resourceType":"Patient"}"#)]).await;
    assert_eq!(nameless.unwrap_err().code, Code::EntryInvalid);
    assert_eq!(shelf.house.dump(None, 9_999).await.unwrap(), before);
}

#[tokio::test]
async fn large_records_make_short_pages_and_none_is_left_out() {
    let shelf = shelf().await;
    let note = "x".repeat(3 * 1024 * 1024);
    let large = (0..5).map(|number| {
        resource(&format!(
            r#"{{"resourceType":"Binary","id":"n{number}","contentType":"text/plain","data":"{note}"}}"#
        ))
    });
    shelf.load("mercy", 40, large).await;
    let desk = shelf.desk(None);
    let (mut query, mut found) = (Vec::new(), Vec::new());
    loop {
        let page: Bytes = desk.search("Binary", &query, Handling::Strict).await.unwrap();
        let bundle = Bundle::parse(page).unwrap();
        assert!((1..=3).contains(&bundle.entries.len()));
        found.extend(
            bundle.entries.iter().map(|e| e.resource.as_ref().unwrap().id().unwrap().to_owned()),
        );
        match bundle.link("next") {
            Some(next) => query = pairs(next.split_once('?').unwrap().1),
            None => break,
        }
    }
    assert_eq!(found, ["n0", "n1", "n2", "n3", "n4"]);
}
