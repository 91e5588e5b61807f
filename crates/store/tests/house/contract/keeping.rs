//! House-keeping: the promises about what goes, what stays, and what is found.
//!
//! Comes in   a house.
//! Goes out   nothing, or a panic with the promise that was broken.
//! Never      purges, or names, what another promise relies on.

use exchange::{Digest, PartnerId};

use super::*;
use store::limits::INLINE_BYTES_MAX;

const DAY: Duration = Duration::from_secs(86_400);

async fn write(house: &impl House, unit: Unit) {
    assert!(matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }));
}

/// Content that nothing else has, small or large.
fn content(name: &str, large: bool) -> Bytes {
    let size = if large { INLINE_BYTES_MAX + 1 } else { 100 };
    name.bytes().cycle().take(size).collect::<Vec<u8>>().into()
}

/// What a submission leaves behind: its row, a record, the body as it came, the answer.
fn brought(id: &str, seconds: i64, record: NewVersion, body: &Bytes) -> Unit {
    let digest = Digest::of(body);
    let label = format!("key of {id}");
    let row = Work {
        kind: WorkKind::Submission,
        partner: Some(PartnerId::from("hospital")),
        label: Some(label.clone()),
        state: "filed".to_owned(),
        ..work(id, id, None)
    };
    let answer =
        FirstAnswer { body: content(&format!("answer to {id}"), false), ..answer(&label, body) };
    Unit {
        lines: vec![(submission(id), opened("1"))],
        works: vec![row],
        records: vec![NewVersion { receipt: id.to_owned(), ..record }],
        blobs: vec![(digest, body.clone())],
        first_answer: Some(answer),
        ..unit(seconds)
    }
}

fn keyed(kind: &str, id: &str, content: Bytes) -> NewVersion {
    let keys = RecordKeys {
        patient: Some("kept-patient".to_owned()),
        encounter: Some("kept-encounter".to_owned()),
        date: Some(DateSpan { from: at(0), to: at(60) }),
        status: Some("final".to_owned()),
        tokens: vec!["kept|1".to_owned()],
    };
    NewVersion { content: Some(content), keys, ..version(kind, id, "") }
}

fn purge(works: &[&str]) -> Purge {
    Purge {
        at: at(500),
        works: works.iter().map(|id| (*id).to_owned()).collect(),
        lines: works.iter().map(|id| (submission(id), opened("purged"))).collect(),
    }
}

/// All ways of asking for records of a type that were filed with the keys above.
fn ways(kind: &str, id: &str) -> Vec<RecordQuery> {
    let query = || RecordQuery { kind: kind.to_owned(), limit: 99, ..RecordQuery::default() };
    let one = |text: &str| vec![text.to_owned()];
    vec![
        query(),
        RecordQuery { ids: one(id), ..query() },
        RecordQuery { patients: one("kept-patient"), ..query() },
        RecordQuery { encounters: one("kept-encounter"), ..query() },
        RecordQuery { tokens: vec![one("kept|1")], ..query() },
        RecordQuery { statuses: one("final"), ..query() },
        RecordQuery { date: vec![(Compare::Ap, DateSpan { from: at(0), to: at(60) })], ..query() },
        RecordQuery { last_updated: (Some(at(0)), None), ..query() },
        RecordQuery { owner: Some(PartnerId::from("hospital")), ..query() },
    ]
}

pub(super) async fn what_is_purged_goes_and_that_it_was_there_stays(house: &impl House) {
    for large in [false, true] {
        let name = |name: &str| format!("{name}-{large}");
        let (kind, first, second) = (name("Purged"), name("purge-1"), name("purge-2"));
        let (old, new, body) = (
            content(&name("old"), large),
            content(&name("new"), large),
            content(&name("body"), large),
        );
        let stays = content(&name("stays"), large);
        write(house, brought(&first, 100, keyed(&kind, "a", old.clone()), &body)).await;
        write(house, brought(&second, 101, keyed(&kind, "a", new.clone()), &stays)).await;
        let before = house.history(&kind, "a", None, 9).await.unwrap();
        let lines = house.story(&submission(&first)).await.unwrap().len();

        let purged = house.purge(purge(&[&first])).await.unwrap();
        assert_eq!(purged, Purged { versions: 1, blobs: 2 }, "a version, the body, the answer");
        let gone = house.record(&kind, "a", Some(1)).await.unwrap().unwrap();
        let expected = Record { purged: true, ..before[1].clone() };
        assert_eq!(gone, expected, "the version stands, with its digest, without content");
        assert_eq!(gone.digest, Digest::of(&old));
        assert_eq!(house.blob(&Digest::of(&body)).await.unwrap(), None);
        let hospital = PartnerId::from("hospital");
        let label = format!("key of {first}");
        let answer = house.first_answer(&hospital, &label).await.unwrap().unwrap();
        assert_eq!((answer.body.len(), answer.status), (0, 200), "that it was answered stays");
        assert_eq!(answer.digest, Digest::of(&body));
        let again = Unit { first_answer: Some(super::answer(&label, &body)), ..unit(501) };
        let repeated = house.commit(again).await.unwrap();
        assert_eq!(repeated, Commit::Repeated(answer), "a key is used for ever");
        let story = house.story(&submission(&first)).await.unwrap();
        assert_eq!(story.len(), lines + 1, "and a line says what went");
        assert!(house.work(&first).await.unwrap().is_some(), "the row of work stays");

        let newest = house.record(&kind, "a", None).await.unwrap().unwrap();
        assert_eq!(newest.content, Some(new), "what came later stays");
        for query in ways(&kind, "a") {
            let found = house.search(query.clone()).await.unwrap();
            assert_eq!(found, std::slice::from_ref(&newest), "{query:?}");
        }
        assert!(house.blob(&Digest::of(&stays)).await.unwrap().is_some());

        house.purge(purge(&[&second])).await.unwrap();
        nothing_is_found(house, &kind, "a").await;
        let history = house.history(&kind, "a", None, 9).await.unwrap();
        let stands: Vec<_> = history.iter().map(|one| (one.version, one.purged)).collect();
        assert_eq!(stands, [(2, true), (1, true)], "the history still tells");
        let head = house.heads(&[(kind.clone(), "a".to_owned())]).await.unwrap();
        assert_eq!(head[0].as_ref(), history.first(), "and so does the head");

        let nothing = house.purge(purge(&[&first, &second, "nobody"])).await.unwrap();
        assert_eq!(nothing, Purged::default(), "nothing goes twice");
        write(house, brought(&name("purge-3"), 102, keyed(&kind, "a", old.clone()), &body)).await;
        let newest = house.record(&kind, "a", None).await.unwrap().unwrap();
        assert_eq!((newest.version, newest.content), (3, Some(old)), "it can come again");
        assert_eq!(house.blob(&Digest::of(&body)).await.unwrap(), Some(body));
        assert_eq!(house.search(ways(&kind, "a").remove(2)).await.unwrap().len(), 1);
    }
    house.scrub().await.unwrap();
    house.scrub().await.unwrap();
}

pub(super) async fn what_was_lost_is_not_taken_for_purged<H: House>(
    house: H,
    lose: impl AsyncFn(H) -> H,
) {
    let body = |id: &str| content(&format!("body of {id}"), false);
    let (hospital, label) = (PartnerId::from("hospital"), |id: &str| format!("key of {id}"));
    for id in ["lost", "purged"] {
        write(&house, brought(id, 100, keyed("Loss", id, body(id)), &body(id))).await;
    }
    house.purge(purge(&["purged"])).await.unwrap();
    let house = lose(house).await;

    let again = |id| Unit { first_answer: Some(answer(&label(id), &body(id))), ..unit(501) };
    let purged = house.first_answer(&hospital, &label("purged")).await.unwrap().unwrap();
    assert_eq!(purged.body, Bytes::new(), "a purged answer is empty");
    let repeated = house.commit(again("purged")).await.unwrap();
    assert_eq!(repeated, Commit::Repeated(purged), "and is given again");
    let record = house.record("Loss", "purged", None).await.unwrap().unwrap();
    assert_eq!((record.purged, record.content), (true, None));

    let damaged = |error: Error| matches!(error, Error::Damaged(_));
    let lost = house.first_answer(&hospital, &label("lost")).await;
    assert!(damaged(lost.unwrap_err()), "a lost answer is none");
    assert!(damaged(house.commit(again("lost")).await.unwrap_err()), "nor is it given again");
    assert!(damaged(house.record("Loss", "lost", None).await.unwrap_err()), "nor a lost version");
    let query = RecordQuery { kind: "Loss".to_owned(), limit: 9, ..RecordQuery::default() };
    assert!(damaged(house.search(query).await.unwrap_err()), "by whatever way");
    assert!(damaged(house.rekey_next(1, 9).await.unwrap_err()), "nor are its keys read anew");
}

async fn nothing_is_found(house: &impl House, kind: &str, id: &str) {
    for query in ways(kind, id) {
        assert_eq!(house.search(query.clone()).await.unwrap(), [], "{query:?}");
        assert_eq!(house.count(query.clone()).await.unwrap(), 0, "{query:?}");
        let ids = Vec::new();
        let none = Expect::Found { query: Box::new(query), ids };
        write(house, Unit { expects: vec![none], ..unit(502) }).await;
    }
    let about = AboutQuery {
        patient: "kept-patient".to_owned(),
        kinds: vec![kind.to_owned()],
        limit: 9,
        ..AboutQuery::default()
    };
    assert_eq!(house.about(about).await.unwrap(), []);
}

pub(super) async fn what_others_use_stays_until_the_last_goes(house: &impl House) {
    for large in [false, true] {
        let name = |name: &str| format!("{name}-{large}");
        let kind = name("Shared");
        let (shared, same) = (content(&name("shared body"), large), content(&name("same"), large));
        let ids = ["share-1", "share-2", "share-3"].map(name);
        for (id, record) in ids.iter().zip(["a", "b", "c"]) {
            write(house, brought(id, 110, keyed(&kind, record, same.clone()), &shared)).await;
        }
        // The second and the third bring the first one's record again.
        for (id, number) in [(&ids[1], Some(7)), (&ids[2], None)] {
            let raise =
                Raise { kind: kind.clone(), id: "a".to_owned(), number, receipt: id.clone() };
            write(house, Unit { raises: vec![raise], ..unit(111) }).await;
        }
        let raised = house.record(&kind, "a", None).await.unwrap().unwrap();
        assert_eq!((raised.number, raised.receipt.as_str()), (Some(7), ids[2].as_str()));

        let first = house.purge(purge(&[&ids[0]])).await.unwrap();
        assert_eq!(first, Purged { versions: 0, blobs: 1 }, "only its own answer");
        assert_eq!(house.blob(&Digest::of(&shared)).await.unwrap(), Some(shared.clone()));
        let second = house.purge(purge(&[&ids[1]])).await.unwrap();
        assert_eq!(second, Purged { versions: 1, blobs: 1 }, "its record, and its answer");
        for id in ["a", "c"] {
            let left = house.record(&kind, id, None).await.unwrap().unwrap();
            assert_eq!(left.content, Some(same.clone()), "equal bytes of others stay: {id}");
        }
        assert_eq!(house.blob(&Digest::of(&shared)).await.unwrap(), Some(shared.clone()));
        let last = house.purge(purge(&[&ids[2]])).await.unwrap();
        assert_eq!(last, Purged { versions: 2, blobs: 2 });
        assert_eq!(house.blob(&Digest::of(&shared)).await.unwrap(), None, "the last one went");
        assert!(house.record(&kind, "a", None).await.unwrap().unwrap().purged);
    }
}

pub(super) async fn what_rests_is_listed_for_retention(house: &impl House) {
    let clinic = PartnerId::from("resting-clinic");
    let row = |id: &str, due| Work { partner: Some(clinic.clone()), ..work(id, id, due) };
    for (id, seconds) in [("rest-3", 203), ("rest-1", 201), ("rest-2", 201), ("rest-4", 204)] {
        write(house, Unit { works: vec![row(id, None)], ..unit(seconds) }).await;
    }
    let awake = row("rest-awake", Some(at(9_999)));
    write(house, Unit { works: vec![awake], ..unit(200) }).await;
    let other = Work { partner: Some(PartnerId::from("other")), ..work("rest-other", "o", None) };
    let none = work("rest-none", "n", None);
    write(house, Unit { works: vec![other, none], ..unit(200) }).await;

    let listed = async |before: i64, after: Option<(i64, &str)>, limit| {
        let after = after.map(|(seconds, id)| (at(seconds), id.to_owned()));
        let found = house.at_rest(&clinic, at(before), after, limit).await.unwrap();
        found.into_iter().map(|row| row.work.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(204, None, 9).await, ["rest-1", "rest-2", "rest-3"], "oldest first");
    assert_eq!(listed(999, Some((201, "rest-1")), 2).await, ["rest-2", "rest-3"], "a page");
    assert_eq!(listed(201, None, 9).await, [""; 0], "none so old");
    house.purge(purge(&["rest-1", "rest-3"])).await.unwrap();
    assert_eq!(listed(999, None, 9).await, ["rest-2", "rest-4"], "what is purged is done");
    write(house, Unit { works: vec![row("rest-awake", None)], ..unit(205) }).await;
    assert_eq!(listed(999, None, 9).await, ["rest-2", "rest-4", "rest-awake"]);
}

pub(super) async fn all_about_a_patient_is_found_at_once(house: &impl House) {
    let record = |kind: &str, id: &str, seconds: i64| {
        let keys =
            RecordKeys { patient: Some("about-patient".to_owned()), ..RecordKeys::default() };
        let content = Some(Bytes::from(vec![b'x'; 10]));
        (seconds, NewVersion { keys, content, ..version(kind, id, "") })
    };
    let clinic = PartnerId::from("clinic");
    let (seconds, owned) = record("Goal", "about-c", 302);
    let filed = [
        record("Patient", "about-patient", 300),
        record("Goal", "about-b", 300),
        record("Goal", "about-a", 301),
        record("AllergyIntolerance", "about-z", 300),
        (seconds, NewVersion { owner: clinic.clone(), ..owned }),
        record("Goal", "about-gone", 300),
    ];
    for (seconds, version) in filed {
        write(house, Unit { records: vec![version], ..unit(seconds) }).await;
    }
    let (_, gone) = record("Goal", "about-gone", 0);
    let gone = NewVersion { content: None, ..gone };
    let mut other = version("Goal", "about-other", "x");
    other.keys.patient = Some("about-patient-2".to_owned());
    write(house, Unit { records: vec![gone, other], ..unit(303) }).await;

    let query =
        || AboutQuery { patient: "about-patient".to_owned(), limit: 9, ..AboutQuery::default() };
    let after = |kind: &str, id: &str| Some((kind.to_owned(), format!("about-{id}")));
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
    let table = [
        ("all, by type and id", query(), "z a b c patient"),
        ("of one type", AboutQuery { kinds: kinds(&["Goal"]), ..query() }, "a b c"),
        ("of two", AboutQuery { kinds: kinds(&["Patient", "Goal"]), ..query() }, "a b c patient"),
        ("of none there is", AboutQuery { kinds: kinds(&["Device"]), ..query() }, ""),
        ("filed since, inclusive", AboutQuery { since: Some(at(301)), ..query() }, "a c"),
        ("of an owner", AboutQuery { owner: Some(clinic), ..query() }, "c"),
        ("so many", AboutQuery { limit: 2, ..query() }, "z a"),
        ("behind", AboutQuery { after: after("Goal", "a"), ..query() }, "b c patient"),
        (
            "behind the last of a type",
            AboutQuery { after: after("Goal", "zz"), ..query() },
            "patient",
        ),
        ("behind the end", AboutQuery { after: after("Patient", "zz"), ..query() }, ""),
        ("until so many bytes", AboutQuery { bytes: 11, ..query() }, "z a"),
        ("one is always there", AboutQuery { bytes: 1, ..query() }, "z"),
        ("nobody", AboutQuery { patient: "about".to_owned(), ..query() }, ""),
    ];
    for (case, query, expected) in table {
        let found = house.about(query).await.unwrap();
        assert!(found.iter().all(|record| record.content.is_some()), "with content: {case}");
        let ids = found.iter().map(|record| record.id.trim_start_matches("about-"));
        assert_eq!(ids.collect::<Vec<_>>().join(" "), expected, "{case}");
    }
}

pub(super) async fn a_page_ends_where_its_bytes_do(house: &impl House) {
    let records = (0..5).map(|number| version("Bytes", &number.to_string(), "0123456789"));
    write(house, Unit { records: records.collect(), ..unit(310) }).await;
    for (bytes, expected) in [(0, 5), (1, 1), (10, 1), (11, 2), (30, 3), (49, 5), (1_000, 5)] {
        let query =
            RecordQuery { kind: "Bytes".to_owned(), limit: 99, bytes, ..RecordQuery::default() };
        assert_eq!(house.search(query.clone()).await.unwrap().len(), expected, "{bytes} bytes");
        assert_eq!(house.count(query.clone()).await.unwrap(), 5, "counted without them");
        let ids = (0..5).map(|number| number.to_string()).collect();
        let found = Expect::Found { query: Box::new(RecordQuery { limit: 1, ..query }), ids };
        write(house, Unit { expects: vec![found], ..unit(311) }).await;
    }
}

/// R4 §3.1.1.4.5: a record from `f` to `t`, compared with the span from 20 to 30.
pub(super) async fn dates_are_compared_as_spans(house: &impl House) {
    let spans = [
        ("a-before", 0, 10),
        ("b-touches-begin", 10, 20),
        ("c-over-begin", 15, 25),
        ("d-same", 20, 30),
        ("e-within", 22, 24),
        ("f-around", 10, 40),
        ("g-over-end", 25, 35),
        ("h-touches-end", 30, 40),
        ("i-after", 35, 45),
    ];
    let mut records: Vec<NewVersion> = Vec::new();
    for (id, from, to) in spans {
        let mut record = version("Dated", id, "x");
        record.keys.date = Some(DateSpan { from: at(from), to: at(to) });
        records.push(record);
    }
    let mut open = version("Dated", "j-open", "x");
    open.keys.date = Some(DateSpan { from: Timestamp::MIN, to: Timestamp::MAX });
    records.push(open);
    records.push(version("Dated", "k-none", "x"));
    write(house, Unit { records, ..unit(320) }).await;

    let asked = DateSpan { from: at(20), to: at(30) };
    let whole = DateSpan { from: Timestamp::MIN, to: Timestamp::MAX };
    let table = [
        (vec![(Compare::Eq, asked)], "de"),
        (vec![(Compare::Ne, asked)], "abcfghij"),
        (vec![(Compare::Gt, asked)], "fghij"),
        (vec![(Compare::Lt, asked)], "abcfj"),
        (vec![(Compare::Ge, asked)], "defghij"),
        (vec![(Compare::Le, asked)], "abcdefj"),
        (vec![(Compare::Sa, asked)], "hi"),
        (vec![(Compare::Eb, asked)], "ab"),
        (vec![(Compare::Ap, asked)], "cdefgj"),
        (vec![(Compare::Eq, whole)], "abcdefghij"),
        (vec![(Compare::Ge, asked), (Compare::Le, asked)], "defj"),
        (vec![(Compare::Sa, asked), (Compare::Eb, asked)], ""),
    ];
    for (date, expected) in table {
        let query =
            RecordQuery { kind: "Dated".to_owned(), limit: 99, date, ..RecordQuery::default() };
        let found = house.search(query.clone()).await.unwrap();
        let found: String = found.iter().filter_map(|record| record.id.chars().next()).collect();
        assert_eq!(found, expected, "{:?}", query.date);
        assert_eq!(house.count(query).await.unwrap(), expected.len() as u64);
    }
}

pub(super) async fn what_was_decided_by_still_holds(house: &impl House) {
    let file = |id: &str, token: &str| {
        let mut record = version("Found", id, "x");
        record.keys.tokens = vec![token.to_owned()];
        record
    };
    write(house, Unit { records: vec![file("a", "t|1"), file("b", "t|1")], ..unit(330) }).await;
    let found = |token: &str, ids: &[&str]| Expect::Found {
        query: Box::new(RecordQuery {
            kind: "Found".to_owned(),
            tokens: vec![vec![token.to_owned()]],
            ..RecordQuery::default()
        }),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let table = [
        ("both, in any order", found("t|1", &["b", "a"]), true),
        ("one of two", found("t|1", &["a"]), false),
        ("one too many", found("t|1", &["a", "b", "c"]), false),
        ("another", found("t|1", &["a", "c"]), false),
        ("none of two", found("t|1", &[]), false),
        ("none of none", found("t|2", &[]), true),
        ("one of none", found("t|2", &["a"]), false),
    ];
    for (case, expect, holds) in table {
        let commit = house.commit(Unit { expects: vec![expect], ..unit(331) }).await.unwrap();
        assert_eq!(commit, if holds { done(&[]) } else { Commit::Stale }, "{case}");
    }
    // Eight at once create what none of them has found: one does.
    let create = |number: usize| Unit {
        expects: vec![found("race|1", &[])],
        records: vec![file(&format!("race-{number}"), "race|1")],
        ..unit(332)
    };
    let race = futures_util::future::join_all((0..8).map(|number| house.commit(create(number))));
    let race: Vec<Commit> = race.await.into_iter().map(Result::unwrap).collect();
    let made = race.iter().filter(|commit| **commit == done(&[1])).count();
    let stale = race.iter().filter(|commit| **commit == Commit::Stale).count();
    assert_eq!((made, stale), (1, 7), "exactly one");
}

pub(super) async fn a_door_has_its_pace_and_its_rest(house: &impl House) {
    let plan = PartnerId::from("door-plan");
    let second = Duration::from_secs(1);
    let approach =
        async |seconds, every| house.approach(Clock::At(at(seconds)), &plan, every).await.unwrap();
    let breaker = Breaker { failures: 3, rest: MINUTE, rest_max: MINUTE * 3 };
    let report = async |seconds, answered| {
        house.report(Clock::At(at(seconds)), &plan, answered, breaker).await.unwrap();
    };
    let state = async || {
        let doors = house.doors().await.unwrap();
        let door = doors.into_iter().find(|door| door.partner == plan).unwrap();
        (door.failures, door.resting_until)
    };
    assert_eq!(approach(0, second * 10).await, Approach::Now, "nothing is known of it");
    assert_eq!(approach(0, second * 10).await, Approach::Paced(at(10)), "one in ten seconds");
    assert_eq!(approach(9, second * 10).await, Approach::Paced(at(10)));
    assert_eq!(approach(10, second * 10).await, Approach::Now);
    assert_eq!(approach(11, Duration::ZERO).await, Approach::Now, "without a pace");

    report(20, false).await;
    report(20, false).await;
    assert_eq!(state().await, (2, None), "two in a row are bad luck");
    report(21, true).await;
    assert_eq!(state().await, (0, None), "an answer of any kind forgives");
    for _ in 0..3 {
        report(30, false).await;
    }
    assert_eq!(state().await, (3, Some(at(90))), "the third opens the breaker");
    assert_eq!(approach(31, Duration::ZERO).await, Approach::Resting(at(90)));
    assert_eq!(approach(89, second).await, Approach::Resting(at(90)));
    assert_eq!(approach(90, Duration::ZERO).await, Approach::Now, "one goes to see");
    assert_eq!(approach(90, Duration::ZERO).await, Approach::Resting(at(150)), "others wait");
    report(91, false).await;
    assert_eq!(state().await, (4, Some(at(211))), "twice as long");
    assert_eq!(approach(211, Duration::ZERO).await, Approach::Now);
    report(212, false).await;
    assert_eq!(state().await, (5, Some(at(392))), "but never longer than this");
    assert_eq!(approach(392, Duration::ZERO).await, Approach::Now);
    assert_eq!(approach(571, Duration::ZERO).await, Approach::Resting(at(572)));
    assert_eq!(approach(572, Duration::ZERO).await, Approach::Now, "the first one never came back");
    report(573, true).await;
    assert_eq!(state().await, (0, None));
    assert_eq!(approach(574, Duration::ZERO).await, Approach::Now, "open again");

    let other = PartnerId::from("door-other");
    for _ in 0..3 {
        house.report(Clock::At(at(580)), &other, false, breaker).await.unwrap();
    }
    assert_eq!(approach(581, Duration::ZERO).await, Approach::Now, "each door is its own");
    let names: Vec<_> = house.doors().await.unwrap().into_iter().map(|door| door.partner).collect();
    assert!(names.is_sorted() && names.len() >= 2, "by name");
    let far = house.approach(Clock::Database, &PartnerId::from("door-far"), DAY).await.unwrap();
    assert_eq!(far, Approach::Now);
    let far = house.approach(Clock::Database, &PartnerId::from("door-far"), DAY).await.unwrap();
    assert!(matches!(far, Approach::Paced(_)), "by the database's clock as well");
}

pub(super) async fn keys_are_read_anew_and_a_run_goes_on(house: &impl House) {
    let edition = house.keys_edition().await.unwrap() + 1;
    let mut records: Vec<NewVersion> = Vec::new();
    for number in 0..5 {
        let mut record = version("Rekeyed", &number.to_string(), "x");
        record.keys.tokens = vec!["old|1".to_owned()];
        record.keys.patient = Some("old-patient".to_owned());
        records.push(record);
    }
    write(house, Unit { records, ..unit(400) }).await;
    let new = |record: &Record| Rekey {
        kind: record.kind.clone(),
        id: record.id.clone(),
        version: record.version,
        keys: RecordKeys {
            patient: Some("new-patient".to_owned()),
            date: Some(DateSpan { from: at(0), to: at(1) }),
            status: Some("new".to_owned()),
            tokens: vec!["new|1".to_owned()],
            ..RecordKeys::default()
        },
    };
    // What is not `Rekeyed` keeps its keys: other promises rely on them.
    let mut seen = Vec::new();
    let mut cut_off = false;
    loop {
        let page = house.rekey_next(edition, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        let again = house.rekey_next(edition, 3).await.unwrap();
        assert_eq!(again, page, "nothing is done until it is written");
        assert!(page.iter().all(|record| record.content.is_some()), "with content");
        if page.iter().any(|record| record.kind == "Rekeyed") && !cut_off {
            cut_off = true;
            let late = version("Rekeyed", "0", "filed meanwhile");
            write(house, Unit { records: vec![late], ..unit(401) }).await;
        }
        seen.extend(page.iter().map(|record| (record.kind.clone(), record.id.clone())));
        let keys = page.iter().map(|record| match record.kind.as_str() {
            "Rekeyed" => new(record),
            _ => Rekey { version: 0, ..new(record) },
        });
        house.rekey(edition, keys.collect()).await.unwrap();
        assert_eq!(house.keys_edition().await.unwrap(), edition - 1, "not all are done");
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "no record comes twice");
    assert_eq!(seen.iter().filter(|(kind, _)| kind == "Rekeyed").count(), 5, "each comes");
    house.rekey(edition, Vec::new()).await.unwrap();
    assert_eq!(house.keys_edition().await.unwrap(), edition);
    assert_eq!(house.rekey_next(edition, 9).await.unwrap(), [], "all are done");
    let first = house.rekey_next(edition + 1, 1).await.unwrap();
    assert_eq!(first.len(), 1, "another edition begins anew");

    let query = || RecordQuery { kind: "Rekeyed".to_owned(), limit: 99, ..RecordQuery::default() };
    let one = |text: &str| vec![text.to_owned()];
    let count = async |query| house.count(query).await.unwrap();
    assert_eq!(count(RecordQuery { tokens: vec![one("old|1")], ..query() }).await, 0);
    assert_eq!(count(RecordQuery { patients: one("old-patient"), ..query() }).await, 0);
    let found = house.search(RecordQuery { tokens: vec![one("new|1")], ..query() }).await.unwrap();
    let ids: String = found.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids, "1234", "what was filed meanwhile has its own keys");
    assert_eq!(count(RecordQuery { patients: one("new-patient"), ..query() }).await, 4);
    assert_eq!(count(RecordQuery { statuses: one("new"), ..query() }).await, 4);
    let span = DateSpan { from: at(0), to: at(1) };
    assert_eq!(count(RecordQuery { date: vec![(Compare::Eq, span)], ..query() }).await, 4);
    let versions = house.history("Rekeyed", "1", None, 9).await.unwrap();
    assert_eq!(versions.len(), 1, "no version is made");
}

/// A backup is the house as it was at one moment, and nobody else's.
pub(super) async fn a_backup_is_the_house_of_a_moment<C: House>(
    house: &impl House,
    folder: &std::path::Path,
    open: impl AsyncFn(&std::path::Path) -> C,
) {
    let large = content("backup", true);
    write(house, brought("backup-1", 600, keyed("Backup", "a", large.clone()), &large)).await;
    let before = Picture::of(house).await;
    house.backup(folder).await.unwrap();
    let later = keyed("Backup", "later", content("later", false));
    write(house, brought("backup-2", 601, later, &content("later body", true))).await;
    assert!(house.backup(folder).await.is_err(), "the folder exists");
    house.purge(purge(&["backup-1"])).await.unwrap();
    house.scrub().await.unwrap();

    let copy = open(folder).await;
    assert_eq!(Picture::of(&copy).await, before, "as it was");
    let record = copy.record("Backup", "a", None).await.unwrap().unwrap();
    assert_eq!(record.content, Some(large.clone()), "what went since is in the copy");
    assert_eq!(copy.blob(&Digest::of(&large)).await.unwrap(), Some(large));
    write(&copy, Unit { lines: vec![(Chain::House, opened("copy"))], ..unit(602) }).await;
    let lines = house.entries(1, 9_999).await.unwrap();
    assert!(lines.iter().all(|line| !line.body.contains("copy")), "two houses from now on");
}
