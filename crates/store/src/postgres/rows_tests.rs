//! Goal: what a group costs does not grow with its house, however the planner was led to plan.
//! Method: the plans of all statements of the writer are read, made while the tables are empty,
//! while nobody has counted them, and while somebody has.

use exchange::HouseId;
use testdb::Server;

use super::*;
use crate::postgres::{PostgresHouse, PostgresPlace};

#[tokio::test]
async fn every_statement_looks_up_what_it_is_given() {
    let Some(database) = Server::shared() else { return };
    let place = PostgresPlace { url: database.url(), ..PostgresPlace::default() };
    let house = PostgresHouse::open(&place, &HouseId::from("hospital")).await.unwrap();
    let fill = "INSERT INTO records (house, record, kind, id, newest, deleted, updated, owner)
            SELECT 1, n, 'Basic', n, 1, false, 0, '' FROM generate_series(1, 5000) n;
        INSERT INTO versions (house, record, version, updated, owner, receipt, digest, deleted)
            SELECT 1, n, 1, 0, '', '', '', false FROM generate_series(1, 5000) n;
        INSERT INTO tokens (house, kind, token, record)
            SELECT 1, 'Basic', n, n FROM generate_series(1, 5000) n;
        INSERT INTO works (house, work, id, kind, lane, state, revision, created, changed, body)
            SELECT 1, n, n, 1, n, 'due', 1, 0, 0, '' FROM generate_series(1, 5000) n;
        INSERT INTO lanes (house, lane, number) SELECT 1, n, 1 FROM generate_series(1, 5000) n;
        INSERT INTO entries (house, seq, at, chain, body, prev, hash)
            SELECT 1, n, 0, n % 9, '', '', '' FROM generate_series(1, 5000) n";
    let (works, answers) = (works(), answers());
    let statements = [
        HOUSE,
        LANES,
        &works,
        &answers,
        ledger::HEADS,
        HEADS,
        SUBJECTS,
        COUNTS,
        NEWER_RECORDS,
        OLD_TOKENS,
        RAISES,
        NEWER_WORKS,
        LOOK_AGAIN,
        NEW_BLOBS,
        NEW_USES,
    ];
    let db = house.shared.pool.open().await.unwrap();
    prepare(&db).await.unwrap();
    for (state, before) in [("empty", ""), ("filled", fill), ("counted", "ANALYZE")] {
        db.batch_execute(before).await.unwrap();
        for sql in statements {
            let plan = plan(&db, sql).await;
            let bad = ["Join Filter", "Seq Scan", "Materialize", "Bitmap"];
            let bad = bad.iter().find(|bad| plan.contains(**bad));
            assert_eq!(bad, None, "{state}\n{sql}\n{plan}");
            // In an empty table one index is as good as another.
            assert!(state == "empty" || !plan.contains("Filter:"), "{state}\n{sql}\n{plan}");
        }
    }
    drop(Client::take(db));
}

/// How the server runs a statement, whatever its values are.
async fn plan(db: &Client, sql: &str) -> String {
    let values = (1..).take_while(|n| sql.contains(&format!("${n}")));
    let values = values.map(|_| "NULL").collect::<Vec<_>>().join(", ");
    db.batch_execute(&format!("PREPARE asked AS {sql}")).await.unwrap();
    let rows = db.query(&format!("EXPLAIN EXECUTE asked ({values})"), &[]).await.unwrap();
    db.batch_execute("DEALLOCATE asked").await.unwrap();
    rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>().join("\n")
}
