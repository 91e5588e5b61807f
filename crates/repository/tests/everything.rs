//! Goal: all about a Patient comes once, page by page, with what it refers to; nobody else's does.
//! A history is told page by page as well, and a purged content is said to be gone.
//!
//! How: a house on a file, filled by hand.

#![allow(clippy::unwrap_used)]

use exchange::query::Handling;
use exchange::{Code, Issue, PartnerId};
use fhir::{Bundle, Resource};
use jiff::Timestamp;
use repository::{Desk, Loader};
use std::collections::BTreeSet;
use store::{AnyHouse, House, NewVersion, Purge, RecordKeys, SqliteHouse, Unit, Work, WorkKind};

const BASE: &str = "https://plan.example/fhir";

struct Shelf {
    house: AnyHouse,
    _folder: tempfile::TempDir,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_400_000 + second).unwrap()
}

/// A resource of this type and id, with these members.
fn resource(place: &str, members: &str) -> Resource {
    let (kind, id) = place.split_once('/').unwrap();
    let text = format!(r#"{{"resourceType":"{kind}","id":"{id}"{members}}}"#);
    Resource::parse(text.into_bytes()).unwrap()
}

fn about(place: &str, patient: &str, references: &[&str]) -> Resource {
    let references: Vec<_> =
        references.iter().map(|it| format!(r#"{{"reference":"{it}"}}"#)).collect();
    let members = format!(
        r#","subject":{{"reference":"Patient/{patient}"}},"performer":[{}]"#,
        references.join(",")
    );
    resource(place, &members)
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| part.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    query.split('&').filter_map(pair).collect()
}

impl Shelf {
    fn open() -> Shelf {
        let folder = tempfile::tempdir().unwrap();
        let house = AnyHouse::from(SqliteHouse::open(folder.path(), &"plan".into()).unwrap());
        Shelf { house, _folder: folder }
    }

    async fn load(&self, owner: &str, second: i64, resources: impl IntoIterator<Item = Resource>) {
        let loader =
            Loader { house: &self.house, owner: PartnerId::from(owner), receipt: "s-1".into() };
        loader.load(at(second), resources).await.unwrap();
    }

    fn desk(&self, owner: Option<&str>) -> Desk<'_, AnyHouse> {
        Desk::new(&self.house, BASE, owner.map(PartnerId::from))
    }
}

/// What all pages hold, in their order; no link twice.
async fn walk(desk: &Desk<'_, AnyHouse>, id: &str, query: &str) -> Result<Vec<Vec<String>>, Issue> {
    let (mut query, mut pages, mut links) = (query.to_owned(), Vec::new(), BTreeSet::new());
    loop {
        let bundle = desk.everything(id, &pairs(&query), Handling::Strict).await?;
        let bundle = Bundle::parse(bundle).unwrap();
        let place = |entry: &fhir::Entry| entry.resource.as_ref().unwrap().local_reference();
        pages.push(bundle.entries.iter().map(place).collect());
        let Some(next) = bundle.link("next") else { return Ok(pages) };
        assert!(links.insert(next.to_owned()), "a walk goes on");
        let next = next.split_once('?').unwrap().1.replace("%2F", "/");
        query = next.replace("%2C", ",");
    }
}

async fn chart() -> Shelf {
    let shelf = Shelf::open();
    let mine = [
        resource("Patient/p", ""),
        about("Observation/a", "p", &["Practitioner/d", "Practitioner/e", "Patient/q"]),
        about("Observation/b", "p", &["Practitioner/d", "https://plan.example/fhir/Location/l"]),
        about("Procedure/c", "p", &["Practitioner/gone", "https://elsewhere.example/Location/m"]),
        about("Procedure/d", "p", &["Observation/of-q", "Device/mine", "Device/nobodys"]),
        resource("Device/mine", r#","patient":{"reference":"Patient/p"}"#),
        resource("Device/nobodys", ""),
        resource("Practitioner/d", ""),
        resource("Practitioner/e", ""),
        resource("Practitioner/unnamed", ""),
        resource("Location/l", ""),
        resource("Location/m", ""),
    ];
    shelf.load("mercy", 0, mine).await;
    let others = [resource("Patient/q", ""), about("Observation/of-q", "q", &["Practitioner/e"])];
    shelf.load("mercy", 10, others).await;
    shelf
}

const CHART: [&str; 6] =
    ["Device/mine", "Observation/a", "Observation/b", "Patient/p", "Procedure/c", "Procedure/d"];
const REFERRED: [&str; 4] = ["Device/nobodys", "Location/l", "Practitioner/d", "Practitioner/e"];

#[tokio::test]
async fn the_chart_comes_first_and_what_it_names_behind_it_each_once() {
    let shelf = chart().await;
    let desk = shelf.desk(Some("mercy"));
    let all = [&CHART[..], &REFERRED].concat();
    let one = walk(&desk, "p", "").await.unwrap();
    assert_eq!(one, std::slice::from_ref(&all));
    for count in 1..=11 {
        let pages = walk(&desk, "p", &format!("_count={count}")).await.unwrap();
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == count), "{count}: {pages:?}");
        assert_eq!(pages.len(), all.len().div_ceil(count), "{count}: no page is empty");
        assert_eq!(pages.concat(), all, "{count}");
    }
    let bundle = desk.everything("p", &[], Handling::Strict).await.unwrap();
    let bundle = Bundle::parse(bundle).unwrap();
    assert_eq!(bundle.link("self"), Some("https://plan.example/fhir/Patient/p/$everything"));
    assert_eq!(bundle.total, None, "it would have to be counted");
}

#[tokio::test]
async fn types_and_times_hold_for_all_that_comes() {
    let shelf = chart().await;
    shelf.load("mercy", 50, [resource("Practitioner/d", r#","active":true"#)]).await;
    shelf.load("mercy", 60, [about("Observation/new", "p", &["Practitioner/e"])]).await;
    let desk = shelf.desk(Some("mercy"));
    let table = [
        (
            "_type=Observation,Location",
            vec!["Observation/a", "Observation/b", "Observation/new", "Location/l"],
        ),
        ("_type=Practitioner&_count=1", vec!["Practitioner/d", "Practitioner/e"]),
        ("_type=Practitioner,Patient&_type=Patient", vec!["Patient/p"]),
        ("_type=Patient&_type=Practitioner", vec![]),
        ("_type=Appointment", vec![]),
        ("_since=2026-01-03T00:27:30Z", vec!["Observation/new", "Practitioner/d"]),
        ("_since=2026-01-03T00:27:30Z&_type=Practitioner", vec!["Practitioner/d"]),
        ("_since=2027", vec![]),
    ];
    for (query, expected) in table {
        assert_eq!(walk(&desk, "p", query).await.unwrap().concat(), expected, "{query}");
    }
}

#[tokio::test]
async fn nobody_sees_more_than_they_may() {
    let shelf = chart().await;
    let stranger = shelf.desk(Some("lakeside"));
    let unknown = stranger.everything("p", &[], Handling::Strict).await.unwrap_err();
    assert_eq!(unknown, stranger.everything("none", &[], Handling::Strict).await.unwrap_err());
    assert_eq!(unknown.code, Code::ResourceUnknown);

    // A partner's own chart may name another's record; it stays with that one.
    shelf.load("lakeside", 20, [resource("Patient/r", "")]).await;
    shelf.load("lakeside", 20, [about("Observation/r", "r", &["Practitioner/d"])]).await;
    assert_eq!(walk(&stranger, "r", "").await.unwrap().concat(), ["Observation/r", "Patient/r"]);
    shelf.load("lakeside", 20, [about("Observation/on-p", "p", &["Practitioner/d"])]).await;
    let owner = shelf.desk(Some("mercy"));
    assert!(!walk(&owner, "p", "").await.unwrap().concat().contains(&"Observation/on-p".into()));
    let house = shelf.desk(None);
    assert!(walk(&house, "p", "").await.unwrap().concat().contains(&"Observation/on-p".into()));

    let kinds = |kinds: &[&str]| Some(kinds.iter().map(|kind| (*kind).to_owned()).collect());
    let few = Desk { kinds: kinds(&["Patient", "Procedure", "Practitioner"]), ..shelf.desk(None) };
    // Who may not see the observations is not told whom they name.
    let seen = walk(&few, "p", "").await.unwrap().concat();
    assert_eq!(seen, ["Patient/p", "Procedure/c", "Procedure/d"]);
    assert!(walk(&few, "p", "_type=Observation").await.unwrap().concat().is_empty());
    let along = pairs("patient=p&_include=*");
    let found = few.search("Observation", &along, Handling::Strict).await.unwrap();
    let found = Bundle::parse(found).unwrap();
    let along: Vec<_> = found.entries.iter().skip(3).collect();
    let kinds: BTreeSet<_> = along.iter().map(|it| it.resource.as_ref().unwrap().kind()).collect();
    assert_eq!(kinds, BTreeSet::from(["Patient", "Practitioner"]));
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let shelf = chart().await;
    let desk = shelf.desk(None);
    for (query, code) in [
        ("start=2020-01-01", Code::ParameterUnsupported),
        ("end=2020-01-01", Code::ParameterUnsupported),
        ("_sort=date", Code::ParameterUnsupported),
        ("_type=observation", Code::ParameterInvalid),
        ("_type=", Code::ParameterInvalid),
        ("_since=Planted", Code::ParameterInvalid),
        ("_count=Planted", Code::ParameterInvalid),
        ("_after=Planted", Code::ParameterInvalid),
        ("_referred=Planted", Code::ParameterInvalid),
    ] {
        let issue = desk.everything("p", &pairs(query), Handling::Strict).await.unwrap_err();
        assert_eq!(issue.code, code, "{query}");
        assert!(!issue.to_string().contains("Planted"), "{query}");
    }
    let lenient = desk.everything("p", &pairs("start=2020&_count=99"), Handling::Lenient).await;
    let bundle = Bundle::parse(lenient.unwrap()).unwrap();
    assert!(!bundle.link("self").unwrap().contains("start"), "the link shows what was understood");
}

#[tokio::test]
async fn large_charts_and_large_attachments_come_in_short_pages() {
    let shelf = Shelf::open();
    shelf.load("mercy", 0, [resource("Patient/p", "")]).await;
    let note = |id: String| {
        let data = "x".repeat(3 * 1024 * 1024);
        resource(&format!("Binary/{id}"), &format!(r#","data":"{data}""#))
    };
    shelf.load("mercy", 1, (0..5).map(|number| note(format!("n{number}")))).await;
    let named = |number: usize| {
        let url = format!(r#","content":[{{"attachment":{{"url":"Binary/n{number}"}}}}]"#);
        let subject = r#","subject":{"reference":"Patient/p"}"#;
        resource(&format!("DocumentReference/d{number}"), &format!("{subject}{url}"))
    };
    shelf.load("mercy", 2, (0..5).map(named)).await;
    let pages = walk(&shelf.desk(None), "p", "").await.unwrap();
    let all = pages.concat();
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (11, 11), "{pages:?}");
    assert!(
        pages.iter().all(|page| page.iter().filter(|it| it.starts_with("Binary")).count() <= 3)
    );
}

#[tokio::test]
async fn what_would_come_along_with_one_record_alone_is_bounded() {
    let shelf = Shelf::open();
    let notes = (0..6).map(|number| {
        let data = "x".repeat(3 * 1024 * 1024);
        resource(&format!("Device/n{number}"), &format!(r#","note":[{{"text":"{data}"}}]"#))
    });
    shelf.load("mercy", 0, notes).await;
    let using = |id: &str, device: usize| {
        let device = format!(r#","device":{{"reference":"Device/n{device}"}}"#);
        resource(&format!("Observation/{id}"), &device)
    };
    let observations = ["a", "b", "c", "d", "e", "f"].iter().enumerate();
    shelf.load("mercy", 1, observations.map(|(number, id)| using(id, number))).await;
    let desk = shelf.desk(None);
    let (mut query, mut seen) = ("_include=Observation:device".to_owned(), Vec::new());
    loop {
        let page = desk.search("Observation", &pairs(&query), Handling::Strict).await.unwrap();
        let bundle = Bundle::parse(page).unwrap();
        assert_eq!(bundle.total, Some(6));
        let resources = bundle.entries.iter().map(|entry| entry.resource.as_ref().unwrap());
        let (devices, found): (Vec<_>, Vec<_>) = resources.partition(|it| it.kind() == "Device");
        assert_eq!(devices.len(), found.len(), "each comes with its own");
        seen.extend(found.iter().map(|it| it.id().unwrap().to_owned()));
        let Some(next) = bundle.link("next") else { break };
        query = next.split_once('?').unwrap().1.replace("%3A", ":");
    }
    assert_eq!(seen.concat(), "abcdef");
    let list: Vec<_> =
        (0..6).map(|number| format!(r#"{{"item":{{"reference":"Device/n{number}"}}}}"#)).collect();
    shelf
        .load("mercy", 2, [resource("List/l", &format!(r#","entry":[{}]"#, list.join(",")))])
        .await;
    let refused = desk.search("List", &pairs("_include=List:item"), Handling::Strict).await;
    assert_eq!(refused.unwrap_err().code, Code::ParameterInvalid, "said, and not cut off");
}

#[tokio::test]
async fn a_history_is_told_page_by_page_from_the_newest() {
    let shelf = Shelf::open();
    for number in 0..7 {
        let active = resource("Patient/p", &format!(r#","x":{number}"#));
        shelf.load("mercy", number * 10, [active]).await;
    }
    let desk = shelf.desk(Some("mercy"));
    let told = async |query: &str| -> (Vec<String>, Option<u64>, Option<String>) {
        let answer = desk.history("Patient", "p", &pairs(query), Handling::Strict).await.unwrap();
        let bundle = Bundle::parse(answer).unwrap();
        let version = |entry: &fhir::Entry| {
            let response = entry.response.as_ref().unwrap();
            format!("{} {}", response.etag.as_ref().unwrap(), &response.status[..3])
        };
        let next = bundle.link("next").map(|next| next.split_once('?').unwrap().1.to_owned());
        (bundle.entries.iter().map(version).collect(), bundle.total, next)
    };
    let (mut query, mut seen, mut pages) = ("_count=3".to_owned(), Vec::new(), 0);
    loop {
        let (page, total, next) = told(&query).await;
        assert_eq!(total, None, "it is not all in one page");
        seen.extend(page);
        pages += 1;
        // A new version while somebody reads the old ones changes nothing for them.
        let newer = resource("Patient/p", &format!(r#","y":{pages}"#));
        shelf.load("mercy", 100 + pages, [newer]).await;
        match next {
            Some(next) => query = next,
            None => break,
        }
    }
    let expected: Vec<_> = (1..=7)
        .rev()
        .map(|version| format!("W/\"{version}\" {}", if version == 1 { "201" } else { "200" }))
        .collect();
    assert_eq!((seen, pages), (expected, 3));
    let (all, total, _) = told("").await;
    assert_eq!((all.len(), total), (10, Some(10)));
    let (since, total, _) = told("_since=2026-01-03T00:27:30Z").await;
    assert_eq!((since.len(), total), (5, Some(5)), "two of the first seven, three new");
    for query in ["_at=2026", "_count=x", "_since=soon", "_sort=a"] {
        assert!(desk.history("Patient", "p", &pairs(query), Handling::Strict).await.is_err());
    }
}

#[tokio::test]
async fn a_purged_content_is_gone_and_its_version_stands() {
    let shelf = Shelf::open();
    let content = resource("Patient/p", "").bytes().clone();
    let version = NewVersion {
        kind: "Patient".into(),
        id: "p".into(),
        owner: "mercy".into(),
        receipt: "sub".into(),
        lane: None,
        number: None,
        content: Some(content),
        keys: RecordKeys::default(),
    };
    let work = Work {
        id: "sub".into(),
        kind: WorkKind::Submission,
        lane: "l".into(),
        partner: None,
        dossier: None,
        trigger: None,
        label: None,
        gathered: None,
        number: None,
        state: "filed".into(),
        due: None,
        body: Vec::new(),
    };
    let unit = Unit { at: at(0), records: vec![version], works: vec![work], ..Unit::default() };
    shelf.house.commit(unit).await.unwrap();
    let purge = Purge { at: at(5), works: vec!["sub".into()], lines: Vec::new() };
    assert_eq!(shelf.house.purge(purge).await.unwrap().versions, 1);

    let desk = shelf.desk(None);
    assert_eq!(desk.read("Patient", "p").await.unwrap_err().code, Code::ContentPurged);
    assert_eq!(desk.vread("Patient", "p", 1).await.unwrap_err().code, Code::ContentPurged);
    let found = desk.search("Patient", &[], Handling::Strict).await.unwrap();
    let found = Bundle::parse(found).unwrap();
    assert_eq!((found.total, found.entries.len()), (Some(0), 0), "what is gone is not found");
    let everything = desk.everything("p", &[], Handling::Strict).await;
    assert_eq!(everything.unwrap_err().code, Code::ContentPurged);
    let told = desk.history("Patient", "p", &[], Handling::Strict).await.unwrap();
    let bundle = Bundle::parse(told).unwrap();
    assert_eq!(bundle.entries.len(), 1);
    assert!(bundle.entries[0].resource.is_none(), "the line stands without it");
}
