//! Records and contents: the promises.
//!
//! Comes in   a house.
//! Goes out   nothing, or a panic with the promise that was broken.
//! Never      searches without a type.

use exchange::{Digest, PartnerId};

use super::*;
use store::limits::{INLINE_BYTES_MAX, PACK_BYTES_MIN};

async fn file(house: &impl House, seconds: i64, records: Vec<NewVersion>) -> Vec<u64> {
    match house.commit(Unit { records, ..unit(seconds) }).await.unwrap() {
        Commit::Done { versions } => versions,
        refused => panic!("a version was refused: {refused:?}"),
    }
}

pub(super) async fn versions_are_counted(house: &impl House) {
    let first = version("Goal", "counted", "first");
    let gone = NewVersion { content: None, ..version("Goal", "counted", "") };
    let third = NewVersion {
        owner: PartnerId::from("clinic"),
        receipt: "submission-2".to_owned(),
        lane: Some("lane".to_owned()),
        number: Some(u64::MAX),
        ..version("Goal", "counted", "third")
    };
    assert_eq!(file(house, 1, vec![first]).await, [1]);
    assert_eq!(file(house, 2, vec![gone.clone()]).await, [2], "a deletion is a version");
    assert_eq!(file(house, 3, vec![third.clone(), third.clone()]).await, [3, 4], "in one unit");

    let read = async |version| house.record("Goal", "counted", version).await.unwrap();
    let newest = read(None).await.unwrap();
    let expected = Record {
        kind: "Goal".to_owned(),
        id: "counted".to_owned(),
        version: 4,
        last_updated: at(3),
        owner: PartnerId::from("clinic"),
        receipt: "submission-2".to_owned(),
        lane: Some("lane".to_owned()),
        number: Some(u64::MAX),
        digest: Digest::of(b"third"),
        content: Some(Bytes::from_static(b"third")),
        deleted: false,
        purged: false,
    };
    assert_eq!(newest, expected, "a version is read as it was filed");
    assert_eq!(read(Some(1)).await.unwrap().content.as_deref(), Some(&b"first"[..]));
    let gone = read(Some(2)).await.unwrap();
    assert_eq!((gone.deleted, gone.content, gone.digest), (true, None, Digest::of(b"")));
    for none in [0, 5, u64::MAX] {
        assert_eq!(read(Some(none)).await, None, "no such version");
    }
    let history = house.history("Goal", "counted", None, 9).await.unwrap();
    let versions: Vec<_> = history.iter().map(|record| record.version).collect();
    assert_eq!(versions, [4, 3, 2, 1], "newest first");
    let page = house.history("Goal", "counted", Some(4), 2).await.unwrap();
    let versions: Vec<_> = page.iter().map(|record| record.version).collect();
    assert_eq!(versions, [3, 2], "a page of it");
    assert!(history.iter().all(|record| record.content.is_none()), "without content");
    assert_eq!(house.history("Goal", "nobody", None, 9).await.unwrap(), []);

    file(house, 4, vec![NewVersion { content: None, ..version("Goal", "deleted", "") }]).await;
    let asked = [("Goal", "deleted"), ("Goal", "nobody"), ("Goal", "counted"), ("Plan", "counted")];
    let asked = asked.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
    let heads = house.heads(&asked).await.unwrap();
    let found: Vec<_> = heads.iter().map(|head| head.as_ref().map(|head| head.version)).collect();
    assert_eq!(found, [Some(1), None, Some(4), None], "in the order asked");
    assert_eq!(heads[2], Some(Record { content: None, ..expected }));

    let dump = house.dump(None, 9_999).await.unwrap();
    let order = |record: &Record| (record.kind.clone(), record.id.clone(), record.version);
    assert!(dump.is_sorted_by_key(order), "the dump has one order");
    assert_eq!(dump.iter().filter(|record| record.kind == "Goal").count(), 5, "every version");
}

pub(super) async fn numbers_are_raised_without_a_version(house: &impl House) {
    let numbered = NewVersion {
        number: Some(3),
        lane: Some("l".to_owned()),
        ..version("Goal", "raised", "x")
    };
    file(house, 1, vec![numbered]).await;
    let raise = |number| Raise {
        kind: "Goal".to_owned(),
        id: "raised".to_owned(),
        number,
        receipt: format!("submission-{number:?}"),
    };
    for (number, expected) in [(Some(5), 5), (Some(4), 5), (None, 5)] {
        let unit = Unit { raises: vec![raise(number)], ..unit(2) };
        assert_eq!(house.commit(unit).await.unwrap(), done(&[]));
        let read = house.record("Goal", "raised", None).await.unwrap().unwrap();
        assert_eq!((read.version, read.number), (1, Some(expected)), "raised, never lowered");
        assert_eq!(read.receipt, format!("submission-{number:?}"), "what brought it last");
    }
    let lineage = house.brought("submission-Some(5)", 0, 9).await.unwrap().remove(0);
    let earlier = lineage.versions[0].earlier.iter().map(|it| (it.receipt.as_str(), it.number));
    let expected = [
        ("submission-1", Some(3)),
        ("submission-Some(5)", Some(5)),
        ("submission-Some(4)", Some(5)),
    ];
    assert_eq!(earlier.collect::<Vec<_>>(), expected, "and what brought it before");
    assert!(house.brought("submission-Some(5)", lineage.place, 9).await.unwrap().is_empty());
}

fn keyed(id: &str, keys: RecordKeys) -> NewVersion {
    NewVersion { keys, ..version("Observation", id, id) }
}

fn keys(patient: &str, encounter: &str, date: &str, status: &str, tokens: &[&str]) -> RecordKeys {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    RecordKeys {
        patient: some(patient),
        encounter: some(encounter),
        date: (!date.is_empty()).then(|| day(date)),
        status: some(status),
        tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
    }
}

/// The day of a text as `2026-01-03`.
fn day(text: &str) -> DateSpan {
    let day: jiff::civil::Date = text.parse().unwrap();
    let midnight = |day: jiff::civil::Date| day.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    DateSpan { from: midnight(day).timestamp(), to: midnight(day.tomorrow().unwrap()).timestamp() }
}

fn query() -> RecordQuery {
    RecordQuery { kind: "Observation".to_owned(), limit: 99, ..RecordQuery::default() }
}

async fn found(house: &impl House, query: &RecordQuery) -> String {
    let found = house.search(query.clone()).await.unwrap();
    for record in &found {
        assert_eq!(record.content.as_deref(), Some(record.id.as_bytes()), "with content");
    }
    found.iter().map(|record| record.id.as_str()).collect()
}

pub(super) async fn searches_find_the_newest(house: &impl House) {
    let lab = &["category:lab|s", "code:1|l"][..];
    file(
        house,
        10,
        vec![
            keyed("a", keys("p1", "e1", "2026-01-01", "final", lab)),
            keyed("b", keys("p1", "e2", "2026-01-02", "amended", &["category:lab|s", "code:2|l"])),
            keyed("c", keys("p2", "e3", "2026-01-03", "final", &["category:vital|s"])),
        ],
    )
    .await;
    let clinic = PartnerId::from("clinic");
    let other = keyed("d", keys("", "", "", "", &["same|", "same|"]));
    file(house, 20, vec![NewVersion { owner: clinic.clone(), ..other }]).await;
    // What was, and what is gone: only newest versions count.
    file(house, 21, vec![keyed("e", keys("p1", "e1", "2026-01-01", "final", lab))]).await;
    file(
        house,
        22,
        vec![NewVersion {
            content: None,
            ..keyed("e", keys("p1", "e1", "2026-01-01", "final", lab))
        }],
    )
    .await;
    file(house, 23, vec![keyed("f", keys("p1", "e1", "2026-01-01", "final", lab))]).await;
    file(
        house,
        24,
        vec![keyed("f", keys("p9", "e9", "2026-09-09", "draft", &["new|", "new%7C|x"]))],
    )
    .await;
    file(
        house,
        25,
        vec![NewVersion {
            keys: keys("p1", "e1", "2026-01-01", "final", lab),
            ..version("Condition", "a", "a")
        }],
    )
    .await;

    let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    let patients = |of: &[&str]| RecordQuery { patients: list(of), ..query() };
    let encounters = |of: &[&str]| RecordQuery { encounters: list(of), ..query() };
    let ids = |of: &[&str]| RecordQuery { ids: list(of), ..query() };
    let tokens = |of: &[&[&str]]| RecordQuery {
        tokens: of.iter().map(|tokens| list(tokens)).collect(),
        ..query()
    };
    let date = |of: &[(Compare, &str)]| RecordQuery {
        date: of.iter().map(|(compare, text)| (*compare, day(text))).collect(),
        ..query()
    };
    let updated = |from: Option<i64>, to: Option<i64>| RecordQuery {
        last_updated: (from.map(at), to.map(at)),
        ..query()
    };
    let table = [
        ("all of a type", query(), "abcdf"),
        ("by id", ids(&["c", "a", "e", "zz"]), "ac"),
        ("by patient", patients(&["p1"]), "ab"),
        ("by one of two patients", patients(&["p1", "p2"]), "abc"),
        ("by no patient there is", patients(&["nobody"]), ""),
        ("an encounter is no patient", patients(&["e1"]), ""),
        ("by encounter", encounters(&["e1"]), "a"),
        ("by token", tokens(&[&["category:lab|s"]]), "ab"),
        ("by either token", tokens(&[&["code:1|l", "category:vital|s"]]), "ac"),
        ("by both tokens", tokens(&[&["category:lab|s"], &["code:2|l"]]), "b"),
        ("a token given twice", tokens(&[&["same|"]]), "d"),
        ("tokens of the newest version", tokens(&[&["new|"]]), "f"),
        ("by a token of any system", tokens(&[&["category:lab"]]), "ab"),
        ("by a token of any system, or of one", tokens(&[&["category:vital", "code:1|l"]]), "ac"),
        ("by two tokens of any system", tokens(&[&["category:lab"], &["code:2"]]), "b"),
        ("by a token without a system", tokens(&[&["code:1|", "same|"]]), "d"),
        ("any system does not lengthen the name", tokens(&[&["ne", "code:", "category"]]), ""),
        ("by none of no tokens", tokens(&[&[]]), ""),
        ("by status", RecordQuery { statuses: list(&["final", "draft"]), ..query() }, "acf"),
        ("dates from, inclusive", date(&[(Compare::Ge, "2026-01-02")]), "bcf"),
        ("dates to, exclusive", date(&[(Compare::Lt, "2026-01-02")]), "a"),
        ("dates between", date(&[(Compare::Ge, "2026-01-02"), (Compare::Lt, "2026-01-03")]), "b"),
        ("updated from, inclusive", updated(Some(20), None), "df"),
        ("updated to, exclusive", updated(None, Some(20)), "abc"),
        ("by owner", RecordQuery { owner: Some(clinic), ..query() }, "d"),
        ("behind an id", RecordQuery { after: text("b"), ..query() }, "cdf"),
        (
            "everything at once",
            RecordQuery {
                ids: list(&["a", "b"]),
                encounters: list(&["e1", "e2"]),
                tokens: vec![list(&["category:lab|s"])],
                statuses: list(&["final"]),
                date: vec![(
                    Compare::Eq,
                    DateSpan { from: day("2026-01-01").from, to: day("2027-01-01").from },
                )],
                last_updated: (Some(at(0)), Some(at(99))),
                owner: Some(PartnerId::from("hospital")),
                ..patients(&["p1"])
            },
            "a",
        ),
        (
            "patient and category",
            RecordQuery {
                patients: list(&["p1"]),
                ..tokens(&[&["category:lab|s"], &["code:1|l"]])
            },
            "a",
        ),
        ("another type", RecordQuery { kind: "Condition".to_owned(), ..patients(&["p1"]) }, "a"),
        ("a type nobody filed", RecordQuery { kind: "Device".to_owned(), ..query() }, ""),
    ];
    for (case, query, expected) in table {
        assert_eq!(found(house, &query).await, expected, "{case}");
        let aside = RecordQuery { after: None, limit: 99, ..query.clone() };
        let count = house.search(aside).await.unwrap().len() as u64;
        let unlimited = RecordQuery { limit: 1, ..query };
        assert_eq!(house.count(unlimited).await.unwrap(), count, "counted: {case}");
    }
}

pub(super) async fn pages_follow_each_other(house: &impl House) {
    let many = (0..25).map(|number| NewVersion {
        keys: keys("pages", "", "", "", &["pages|"]),
        ..version("Claim", &format!("{number:02}"), "{}")
    });
    file(house, 30, many.rev().collect()).await;
    let whole = RecordQuery { kind: "Claim".to_owned(), limit: 10, ..RecordQuery::default() };
    let by_patient = RecordQuery { patients: vec!["pages".to_owned()], ..whole.clone() };
    let by_token = RecordQuery { tokens: vec![vec!["pages|".to_owned()]], ..whole.clone() };
    for (case, query) in [("type", whole), ("patient", by_patient), ("token", by_token)] {
        let (mut seen, mut after) = (Vec::new(), None);
        for size in [10, 10, 5, 0] {
            let page = house.search(RecordQuery { after, ..query.clone() }).await.unwrap();
            assert_eq!(page.len(), size, "a page by {case}");
            seen.extend(page.into_iter().map(|record| record.id));
            after = seen.last().cloned();
        }
        assert!(seen.is_sorted(), "in the order of ids, by {case}");
        assert_eq!(house.count(query).await.unwrap(), 25, "by {case}");
    }
}

pub(super) async fn a_page_ends_where_it_is_full(house: &impl House) {
    let sizes = [("a", 1_000), ("b", 20_000), ("c", 100_000), ("d", 1_000), ("e", 1_000)];
    for (id, size) in sizes {
        // Two that are kept as they are, one that is packed, one that lies in a file.
        let content = if id == "b" { Bytes::from(vec![b'b'; size]) } else { noise(size, 1) };
        file(house, 35, vec![NewVersion { content: Some(content), ..version("Media", id, "") }])
            .await;
    }
    let table = [
        (0, "abcde"),
        (1, "a"),
        (1_000, "a"),
        (1_001, "ab"),
        (21_000, "ab"),
        (21_001, "abc"),
        (121_000, "abc"),
        (121_001, "abcd"),
        (u64::MAX, "abcde"),
    ];
    for (bytes, expected) in table {
        let query = RecordQuery { kind: "Media".to_owned(), limit: 9, ..RecordQuery::default() };
        let found = house.search(RecordQuery { bytes, ..query }).await.unwrap();
        let ids: String = found.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, expected, "up to {bytes} bytes");
    }
}

/// Contents around the boundaries between plain and packed, row and file, each with bytes of its
/// own.
fn contents() -> impl Iterator<Item = (String, Bytes)> {
    let pack = [PACK_BYTES_MIN - 1, PACK_BYTES_MIN];
    let row = [INLINE_BYTES_MAX - 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 1 << 20];
    let smooth = [0, 1].into_iter().chain(pack).chain(row);
    let smooth = smooth.map(|size| (size.to_string(), Bytes::from(vec![b'x'; size])));
    let rough = pack.into_iter().chain(row);
    smooth.chain(rough.map(|size| (format!("{size}-of-noise"), noise(size, 1))))
}

pub(super) async fn contents_come_back_as_they_were(house: &impl House) {
    for (name, bytes) in contents() {
        let digest = Digest::of(&bytes);
        let record = NewVersion { content: Some(bytes.clone()), ..version("Binary", &name, "") };
        let first_answer = FirstAnswer { body: bytes.clone(), ..answer(&name, b"") };
        let unit = Unit {
            blobs: vec![(digest, bytes.clone()), (digest, bytes.clone())],
            first_answer: Some(first_answer),
            records: vec![record],
            ..unit(40)
        };
        assert_eq!(house.commit(unit).await.unwrap(), done(&[1]), "{name}");
        let again = Unit { blobs: vec![(digest, bytes.clone())], ..super::unit(41) };
        assert_eq!(house.commit(again).await.unwrap(), done(&[]), "{name} again");
        let first_answer = FirstAnswer { body: Bytes::new(), ..answer(&name, b"") };
        let repeated = Unit { first_answer: Some(first_answer), ..super::unit(41) };
        let answered = FirstAnswer { body: bytes, ..answer(&name, b"") };
        assert_eq!(house.commit(repeated).await.unwrap(), Commit::Repeated(answered), "{name}");
    }
    let wrong = Unit { blobs: vec![(Digest::of(b"a"), Bytes::from_static(b"b"))], ..unit(42) };
    assert!(house.commit(wrong).await.is_err(), "a blob has the digest it comes under");
    assert_eq!(house.blob(&Digest::of(b"a")).await.unwrap(), None);
    contents_are_there(house).await;
}

pub(super) async fn contents_are_there(house: &impl House) {
    for (name, bytes) in contents() {
        let blob = house.blob(&Digest::of(&bytes)).await.unwrap();
        assert!(blob.as_ref() == Some(&bytes), "a blob of {name}");
        let record = house.record("Binary", &name, None).await.unwrap().unwrap();
        assert!(record.content.as_ref() == Some(&bytes), "a record of {name}");
        let hospital = PartnerId::from("hospital");
        let answer = house.first_answer(&hospital, &name).await.unwrap();
        assert!(answer.unwrap().body == bytes, "an answer of {name}");
    }
}
