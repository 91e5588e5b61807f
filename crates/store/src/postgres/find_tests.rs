//! Goal: what is looked for by patient, identifier or id touches few pages, however many records
//! there are and whatever the server believes about its tables.
//!
//! How: a hundred thousand records put in by SQL; every shape of query explained with what it
//! really touched, uncounted (no statistics) and counted, with custom and with generic plans.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::house::Compare;
use crate::house::DateSpan;
use crate::postgres::record::heads_of;
use crate::postgres::{pool, schema};

/// Five hundred patients with two hundred results each, in one house of two; most are of one
/// category, each has one of three hundred codes and an identifier of its own.
const FILL: &str = "
    INSERT INTO subjects SELECT 1, n, 'p' || n FROM generate_series(1, 500) n;
    INSERT INTO subjects SELECT 1, 500 + n, 'e' || n FROM generate_series(1, 10000) n;
    INSERT INTO records SELECT 1, n, CASE n % 10 WHEN 0 THEN 'Condition' ELSE 'Observation' END,
            md5(n::text), 1, false, n, 'hospital', n % 500 + 1, 501 + n % 10000, n * 1000,
            n * 1000 + 999, CASE n % 50 WHEN 1 THEN 'amended' ELSE 'final' END
        FROM generate_series(1, 100000) n;
    INSERT INTO records SELECT 2, n, 'Observation', md5(n::text), 1, false, n, 'hospital',
            n % 500 + 1, 501 + n % 10000, n * 1000, n * 1000 + 999, 'final'
        FROM generate_series(1, 10000) n;
    INSERT INTO tokens SELECT 1, CASE n % 10 WHEN 0 THEN 'Condition' ELSE 'Observation' END, t, n
        FROM generate_series(1, 100000) n, unnest(ARRAY['category:lab|s', 'code:' || n % 300 || '|l',
            n || '|urn:ids']) t;
    INSERT INTO versions SELECT 1, n, 1, n, 'hospital', 's', NULL, NULL, '\\x00', false, false,
            false, NULL, convert_to(repeat(md5(n::text), 12), 'UTF8')
        FROM generate_series(1, 100000) n;";

fn literal(value: &Value) -> String {
    let quoted = |text: &String| format!("'{text}'");
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Texts(texts) => {
            format!("ARRAY[{}]::text[]", texts.iter().map(quoted).collect::<Vec<_>>().join(","))
        }
    }
}

/// Has the server plan a statement once and for all; how to have it explained.
async fn prepare(db: &impl GenericClient, name: &str, search: &Search) -> String {
    let types: Vec<_> = search.values.iter().map(|it| it.of_type().name().to_owned()).collect();
    let values: Vec<_> = search.values.iter().map(literal).collect();
    // `_text` is how PostgreSQL names an array of it.
    let prepare = format!("PREPARE {name} ({}) AS {}", types.join(", "), search.text);
    db.batch_execute(&prepare).await.unwrap();
    format!(
        "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE {name} ({})",
        values.join(", ")
    )
}

/// What a statement touches: pages, and its plan.
async fn touched(db: &impl GenericClient, explain: &str) -> (u64, String) {
    let rows = db.query(explain, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let buffers = plan.iter().find(|line| line.contains("Buffers:")).unwrap();
    // Read, from memory or disk. What else is counted (dirtied, written) says what the pages were
    // like before, and not what the search looks at.
    let counts = buffers.split_whitespace().filter_map(|word| word.split_once('='));
    let looked = counts.filter(|(what, _)| matches!(*what, "hit" | "read"));
    let pages = looked.filter_map(|(_, count)| count.parse::<u64>().ok());
    (pages.sum(), plan.join("\n"))
}

fn observations() -> RecordQuery {
    RecordQuery { kind: "Observation".to_owned(), limit: 50, ..RecordQuery::default() }
}

#[tokio::test]
async fn searches_touch_what_they_find_and_little_more() {
    let Some(server) = testdb::Server::start_with(&[("autovacuum", "off")]) else { return };
    let url = server.create_database("plans");
    let place = crate::PostgresPlace { url, ..crate::PostgresPlace::default() };
    let mut db = pool::Pool::new(&place).unwrap().get().await.unwrap();
    schema::bring_up(&mut db).await.unwrap();

    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let span = DateSpan {
        from: Timestamp::from_microsecond(500_000).unwrap(),
        to: Timestamp::from_microsecond(600_000).unwrap(),
    };
    let patient = || RecordQuery { patients: list(&["p7"]), ..observations() };
    let lab = vec![list(&["category:lab|s"])];
    let about = AboutQuery { patient: "p7".to_owned(), limit: 50, ..AboutQuery::default() };
    let heads = Search {
        text: heads_of(),
        values: vec![
            Value::Int(1),
            Value::Texts(list(&["Observation"; 50])),
            Value::Texts((1..51).map(|n| format!("none-{n}")).collect()),
        ],
        common: true,
    };
    let table = [
        ("heads", heads, 400),
        ("a page of a type", search(1, &observations(), false), 400),
        (
            "a later page",
            search(1, &RecordQuery { after: Some("8".to_owned()), ..observations() }, false),
            400,
        ),
        ("by id", search(1, &RecordQuery { ids: list(&["a", "b"]), ..observations() }, false), 50),
        ("by patient", search(1, &patient(), false), 800),
        (
            "more by patient",
            search(1, &RecordQuery { after: Some("8".to_owned()), ..patient() }, false),
            800,
        ),
        (
            "by patient and category",
            search(1, &RecordQuery { tokens: lab.clone(), ..patient() }, false),
            2000,
        ),
        (
            "by patient and date",
            search(
                1,
                &RecordQuery { date: vec![(Compare::Ge, span), (Compare::Lt, span)], ..patient() },
                false,
            ),
            800,
        ),
        (
            "by encounter",
            search(1, &RecordQuery { encounters: list(&["e7"]), ..observations() }, false),
            200,
        ),
        (
            "by identifier",
            search(
                1,
                &RecordQuery { tokens: vec![list(&["77|urn:ids"])], ..observations() },
                false,
            ),
            50,
        ),
        (
            "a page of a category",
            search(1, &RecordQuery { tokens: lab.clone(), ..observations() }, true),
            2_000,
        ),
        ("whether there are many", weigh(1, "Observation", &lab[0]), 6_000),
        (
            "by an identifier of any system",
            search(1, &RecordQuery { tokens: vec![list(&["77"])], ..observations() }, false),
            50,
        ),
        (
            "by patient and category of any system",
            search(1, &RecordQuery { tokens: vec![list(&["category:lab"])], ..patient() }, false),
            2500,
        ),
        (
            "by code",
            search(1, &RecordQuery { tokens: vec![list(&["code:7|l"])], ..observations() }, false),
            2500,
        ),
        (
            "by date",
            search(1, &RecordQuery { date: vec![(Compare::Eq, span)], ..observations() }, false),
            // The index begins where the span does.
            8_000,
        ),
        (
            "by update",
            search(
                1,
                &RecordQuery {
                    last_updated: (Some(Timestamp::from_microsecond(99_900).unwrap()), None),
                    ..observations()
                },
                false,
            ),
            800,
        ),
        (
            "whether an identifier is new",
            fitting(1, &RecordQuery { tokens: vec![list(&["0|urn:ids"])], ..observations() }, 0),
            20,
        ),
        ("how many a patient has", count(1, &patient()), 400),
        ("about a patient", super::about(1, &about), 1000),
        (
            "more about a patient",
            super::about(
                1,
                &AboutQuery {
                    after: Some(("Observation".to_owned(), "8".to_owned())),
                    kinds: list(&["Observation", "Condition"]),
                    ..about.clone()
                },
            ),
            1000,
        ),
    ];
    // A connection of the first hour keeps its plans while the house grows.
    db.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let mut early = Vec::new();
    for (place, (case, search, most)) in table.iter().enumerate() {
        let explain = prepare(&db, &format!("early_{place}"), search).await;
        touched(&db, &explain).await;
        early.push((case, explain, most));
    }
    db.batch_execute(FILL).await.unwrap();
    for (case, explain, most) in early {
        let (pages, plan) = touched(&db, &explain).await;
        assert!(pages <= *most, "{case}, planned on nothing, touches {pages} pages\n{plan}");
    }
    for counted in [false, true] {
        if counted {
            db.batch_execute("ANALYZE").await.unwrap();
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            db.batch_execute(&format!("SET plan_cache_mode = {mode}")).await.unwrap();
            for (case, search, most) in &table {
                let explain = prepare(&db, "asked", search).await;
                let (pages, plan) = touched(&db, &explain).await;
                db.batch_execute("DEALLOCATE asked").await.unwrap();
                assert!(
                    pages <= *most,
                    "{case} ({mode}, counted: {counted}) touches {pages} pages\n{plan}"
                );
            }
        }
    }
}

#[test]
fn long_tokens_are_found_by_their_names() {
    let (short, long) = ("short".to_owned(), "x".repeat(3_000));
    for (name, system) in [(&short, &short), (&short, &long), (&long, &short), (&long, &long)] {
        let stored = token(&format!("{name}|{system}")).into_owned();
        assert!(stored.len() < 2_100, "an index takes it");
        let (first, last) = ranges(&[format!("{name}|{system}"), name.clone(), "s".to_owned()]);
        let fits = |place: usize| first[place] <= stored && stored <= last[place];
        let (own, any, other) = (fits(0), fits(1), fits(2));
        assert_eq!((own, any, other), (true, true, false), "{} and {}", name.len(), system.len());
    }
}
