//! Records: versions filed one behind the other, and searches over the newest.
//!
//! Comes in   versions with what they are found by; queries.
//! Goes out   records, with content where it was asked for.
//! Never      changes a version that is filed; never finds a deleted or purged record by a search.
//!
//! Why a query names its index: SQLite guesses by counts it does not have, and the order by id
//! tempts it to walk through every record of a type. Who is named by patient is found by patient.

use exchange::{Digest, PartnerId};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Params, Row, ToSql, params, params_from_iter};
use serde_json::json;
use std::collections::HashMap;

use super::row::{all, digest, first, int, list, micros, number, run, some_number, time};
use super::{bringers, content};
use crate::blob::{Kept, Stored};
use crate::house::{AboutQuery, Error, NewVersion, Raise, Record, RecordQuery};
use crate::token;

/// The columns of a head; those of its content come on top.
pub(super) const COLUMNS: &str = "r.kind, r.id, v.version, v.updated, v.owner, v.receipt, v.lane, v.number, \
    v.digest, v.deleted, v.purged";

pub(super) fn read_head(row: &Row<'_>) -> Result<Record, Error> {
    Ok(Record {
        kind: row.get("kind")?,
        id: row.get("id")?,
        version: number(row, "version")?,
        last_updated: time(row.get("updated")?)?,
        owner: PartnerId(row.get("owner")?),
        receipt: row.get("receipt")?,
        lane: row.get("lane")?,
        number: some_number(row, "number")?,
        digest: digest(row, "digest")?,
        content: None,
        deleted: row.get("deleted")?,
        purged: row.get("purged")?,
    })
}

/// The columns of a content.
const CONTENT: &str = "v.content, v.file, v.packed";

fn read_whole(row: &Row<'_>) -> Result<(Record, Stored), Error> {
    Ok((read_head(row)?, content::stored(row)?))
}

/// Says that a record's newest version was brought again.
pub(super) fn raise(db: &Connection, house: i64, raise: &Raise) -> Result<(), Error> {
    bringers::remember(db, house, raise)?;
    let update = "UPDATE versions SET number = CASE WHEN ?4 IS NULL THEN number
                ELSE max(coalesce(number, 0), ?4) END, receipt = ?5
        FROM records r WHERE r.house = ?1 AND r.kind = ?2 AND r.id = ?3
            AND versions.house = r.house AND versions.record = r.record
            AND versions.version = r.newest";
    let number = raise.number.map(int);
    run(db, update, params![house, raise.kind, raise.id, number, raise.receipt])?;
    Ok(())
}

/// The filing of one unit's versions. What is the same for many of them is asked once.
pub(super) struct Filing<'d> {
    db: &'d Connection,
    house: i64,
    at: i64,
    /// Patients and Encounters met so far.
    subjects: HashMap<String, i64>,
    records: CachedStatement<'d>,
    versions: CachedStatement<'d>,
    tokens: CachedStatement<'d>,
}

impl<'d> Filing<'d> {
    /// Begins; every version is filed at this time.
    pub(super) fn begin(db: &'d Connection, house: i64, at: Timestamp) -> Result<Self, Error> {
        let records = "INSERT INTO records (house, kind, id, newest, deleted, updated, owner,
                patient, encounter, date_from, date_to, status, tokens)
            VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            ON CONFLICT DO NOTHING";
        let versions = "INSERT INTO versions (house, record, version, updated, owner, receipt,
                lane, number, digest, deleted, file, content, packed)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        let tokens = "INSERT INTO tokens (house, kind, token, record) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING";
        Ok(Filing {
            db,
            house,
            at: micros(at),
            subjects: HashMap::new(),
            records: db.prepare_cached(records)?,
            versions: db.prepare_cached(versions)?,
            tokens: db.prepare_cached(tokens)?,
        })
    }

    /// Files a version as the newest of its record; its number.
    pub(super) fn file(
        &mut self,
        version: &NewVersion,
        content: Option<&Kept>,
    ) -> Result<u64, Error> {
        let (record, newest) = self.head(version, content.is_none())?;
        self.versions.execute(params![
            self.house,
            record,
            int(newest),
            self.at,
            version.owner.as_str(),
            version.receipt,
            version.lane,
            version.number.map(int),
            content.map_or_else(|| Digest::of(b""), |kept| kept.digest).0,
            content.is_none(),
            content.and_then(|kept| kept.file),
            content.and_then(Kept::inline),
            content.is_some_and(|kept| kept.packed),
        ])?;
        Ok(newest)
    }

    /// Brings the record's row and tokens to the new version.
    fn head(&mut self, version: &NewVersion, deleted: bool) -> Result<(i64, u64), Error> {
        let keys = &version.keys;
        let patient = self.subject(keys.patient.as_deref())?;
        let encounter = self.subject(keys.encounter.as_deref())?;
        let date = keys.date.map(|date| (micros(date.from), micros(date.to))).unzip();
        let columns = params![
            self.house,
            version.kind,
            version.id,
            deleted,
            self.at,
            version.owner.as_str(),
            patient,
            encounter,
            date.0,
            date.1,
            keys.status,
            (!deleted).then(|| list_of(&keys.tokens)).flatten(),
        ];
        // Most are new: those that are not are found by the same index a second time.
        let (record, newest) = match self.records.execute(columns)? {
            1 => (self.db.last_insert_rowid(), 1),
            _ => self.next(version, columns)?,
        };
        for token in keys.tokens.iter().filter(|_| !deleted) {
            self.tokens.execute(params![self.house, version.kind, token, record])?;
        }
        Ok((record, newest))
    }

    /// Brings the row of a record that is there to the new version, and forgets its tokens.
    fn next(&self, version: &NewVersion, columns: &[&dyn ToSql]) -> Result<(i64, u64), Error> {
        let select = "SELECT record, newest + 1 AS newest FROM records
            WHERE house = ?1 AND kind = ?2 AND id = ?3";
        let key = params![self.house, version.kind, version.id];
        let head = first(self.db, select, key, |row| Ok((row.get(0)?, number(row, "newest")?)))?;
        let head = head.ok_or_else(|| Error::Unavailable("a record was not written".into()))?;
        forget_tokens(self.db, self.house, head.0)?;
        let update = "UPDATE records SET newest = newest + 1, deleted = ?4, updated = ?5,
                owner = ?6, patient = ?7, encounter = ?8, date_from = ?9, date_to = ?10,
                status = ?11, tokens = ?12
            WHERE house = ?1 AND kind = ?2 AND id = ?3";
        run(self.db, update, columns)?;
        Ok(head)
    }

    /// The integer that stands for a Patient's or Encounter's id.
    fn subject(&mut self, id: Option<&str>) -> Result<Option<i64>, Error> {
        let Some(id) = id else { return Ok(None) };
        if let Some(known) = self.subjects.get(id) {
            return Ok(Some(*known));
        }
        let subject = subject(self.db, self.house, Some(id))?;
        self.subjects.extend(subject.map(|found| (id.to_owned(), found)));
        Ok(subject)
    }
}

/// A record's tokens as its row has them.
pub(super) fn list_of(tokens: &[String]) -> Option<String> {
    (!tokens.is_empty()).then(|| list(tokens))
}

/// Removes the tokens that a record's row lists.
pub(super) const FORGET_TOKENS: &str = "DELETE FROM tokens WHERE house = ?1 AND record = ?2
    AND kind = (SELECT kind FROM records WHERE record = ?2)
    AND token IN (SELECT value FROM json_each((SELECT tokens FROM records WHERE record = ?2)))";

/// Removes the tokens that a record's row lists; the list itself is for the caller to change.
pub(super) fn forget_tokens(db: &Connection, house: i64, record: i64) -> Result<(), Error> {
    run(db, FORGET_TOKENS, params![house, record])?;
    Ok(())
}

/// Writes the tokens of a record's newest version.
pub(super) fn write_tokens(
    db: &Connection,
    house: i64,
    kind: &str,
    record: i64,
    tokens: &[String],
) -> Result<(), Error> {
    for token in tokens {
        let insert = "INSERT INTO tokens (house, kind, token, record) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING";
        run(db, insert, params![house, kind, token, record])?;
    }
    Ok(())
}

/// The integer that stands for a Patient's or Encounter's id.
pub(super) fn subject(db: &Connection, house: i64, id: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(id) = id else { return Ok(None) };
    let select = "SELECT subject FROM subjects WHERE house = ?1 AND id = ?2";
    let found = first(db, select, params![house, id], |row| Ok(row.get(0)?))?;
    if found.is_some() {
        return Ok(found);
    }
    run(db, "INSERT INTO subjects (house, id) VALUES (?1, ?2)", params![house, id])?;
    Ok(Some(db.last_insert_rowid()))
}

/// The newest versions of these records, without content.
pub(super) fn heads(
    db: &Connection,
    house: i64,
    records: &[(String, String)],
) -> Result<Vec<Option<Record>>, Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM records r
            JOIN versions v ON v.house = r.house AND v.record = r.record AND v.version = r.newest
            WHERE r.house = ?1 AND r.kind = ?2 AND r.id = ?3"
    );
    records
        .iter()
        .map(|(kind, id)| first(db, &select, params![house, kind, id], read_head))
        .collect()
}

/// A record's newest version, or the one asked for.
pub(super) fn one(
    db: &Connection,
    house: i64,
    (kind, id): (&str, &str),
    version: Option<u64>,
) -> Result<Option<(Record, Stored)>, Error> {
    let select = format!(
        "SELECT {COLUMNS}, {CONTENT} FROM records r
            JOIN versions v ON v.house = r.house AND v.record = r.record
                AND v.version = coalesce(?4, r.newest)
            WHERE r.house = ?1 AND r.kind = ?2 AND r.id = ?3"
    );
    let params = params![house, kind, id, version.map(int)];
    first(db, &select, params, read_whole)
}

/// A record's versions, newest first, without content.
pub(super) fn history(
    db: &Connection,
    house: i64,
    (kind, id): (&str, &str),
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Record>, Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM records r
            JOIN versions v ON v.house = r.house AND v.record = r.record
            WHERE r.house = ?1 AND r.kind = ?2 AND r.id = ?3 AND v.version < ?4
            ORDER BY v.version DESC LIMIT ?5"
    );
    let before = before.map_or(i64::MAX, int);
    all(db, &select, params![house, kind, id, before, limit], read_head)
}

/// How many versions there are.
pub(super) fn version_count(db: &Connection, house: i64) -> Result<u64, Error> {
    let select = "SELECT count(*) AS number FROM versions
        WHERE house = ?1 AND NOT (version = 1 AND deleted = 1)";
    Ok(first(db, select, [house], |row| number(row, "number"))?.unwrap_or(0))
}

/// Every version of every record, without content.
pub(super) fn dump(
    db: &Connection,
    house: i64,
    after: Option<(String, String, u64)>,
    limit: u32,
) -> Result<Vec<Record>, Error> {
    let (kind, id, version) = after.unwrap_or_default();
    let select = format!(
        "SELECT {COLUMNS} FROM records r
            JOIN versions v ON v.house = r.house AND v.record = r.record
            WHERE r.house = ?1 AND (r.kind, r.id) >= (?2, ?3)
                AND (r.kind, r.id, v.version) > (?2, ?3, ?4)
            ORDER BY r.kind, r.id, v.version LIMIT ?5"
    );
    all(db, &select, params![house, kind, id, int(version), limit], read_head)
}

/// Newest, undeleted versions that fit.
pub(super) fn search(
    db: &Connection,
    house: i64,
    query: &RecordQuery,
) -> Result<Vec<(Record, Stored)>, Error> {
    let (select, values) = search_sql(house, query);
    with_contents(db, &select, params_from_iter(values), query.bytes)
}

/// What is held about a Patient.
pub(super) fn about(
    db: &Connection,
    house: i64,
    query: &AboutQuery,
) -> Result<Vec<(Record, Stored)>, Error> {
    let (select, values) = about_sql(house, query);
    with_contents(db, &select, params_from_iter(values), query.bytes)
}

pub(super) fn about_sql(house: i64, query: &AboutQuery) -> (String, Vec<Value>) {
    let mut sql = Sql {
        text: "SELECT r.record FROM records r INDEXED BY records_by_patient
            WHERE r.house = ?1 AND r.deleted = 0 AND r.patient = (SELECT s.subject FROM subjects s
                WHERE s.house = ?1 AND s.id = ?2)"
            .to_owned(),
        values: vec![Value::from(house), Value::from(query.patient.clone())],
    };
    if !query.kinds.is_empty() {
        let kinds = list(&query.kinds);
        sql.and("r.kind IN (SELECT value FROM json_each({}))", kinds.into());
    }
    if let Some(since) = query.since {
        sql.and("r.updated >= {}", micros(since).into());
    }
    if let Some(owner) = &query.owner {
        sql.and("r.owner = {}", owner.to_string().into());
    }
    if let Some((kind, id)) = &query.after {
        // What was said of the type first bounds the walk through the index.
        sql.and("r.kind >= {}", kind.clone().into());
        let first = sql.values.len();
        sql.and(&format!("(r.kind > ?{first} OR r.id > {{}})"), id.clone().into());
    }
    sql.and("TRUE ORDER BY r.kind, r.id LIMIT {}", i64::from(query.limit).into());
    let select = format!(
        "SELECT {COLUMNS}, v.rowid AS row FROM ({}) f
            CROSS JOIN records r ON r.record = f.record
            CROSS JOIN versions v ON v.house = r.house AND v.record = r.record
                AND v.version = r.newest
            ORDER BY r.kind, r.id",
        sql.text
    );
    (select, sql.values)
}

pub(super) fn search_sql(house: i64, query: &RecordQuery) -> (String, Vec<Value>) {
    let mut sql = Sql::over(house, query);
    if let Some(after) = &query.after {
        sql.and("r.id > {}", after.clone().into());
    }
    sql.and("TRUE ORDER BY r.id LIMIT {}", i64::from(query.limit).into());
    let select = format!(
        "SELECT {COLUMNS}, v.rowid AS row FROM ({}) f
            CROSS JOIN records r ON r.record = f.record
            CROSS JOIN versions v ON v.house = r.house AND v.record = r.record
                AND v.version = r.newest
            ORDER BY r.id",
        sql.text
    );
    (select, sql.values)
}

/// What a query of heads (`COLUMNS`, and `row`: the version's rowid) finds, with where its
/// contents lie, up to the one with which they reach so many bytes (0: all). Contents are read
/// one by one: SQLite would sort them all in memory first.
pub(super) fn with_contents(
    db: &Connection,
    select: &str,
    params: impl Params,
    bytes: u64,
) -> Result<Vec<(Record, Stored)>, Error> {
    let heads = all(db, select, params, |row| Ok((read_head(row)?, row.get::<_, i64>("row")?)))?;
    let select = "SELECT content, file, packed FROM versions WHERE rowid = ?1";
    let (mut found, mut sum) = (Vec::new(), 0);
    for (head, row) in heads {
        let stored = first(db, select, [row], content::stored)?.unwrap_or_default();
        sum += stored.bytes();
        found.push((head, stored));
        if bytes > 0 && sum >= bytes {
            break;
        }
    }
    Ok(found)
}

/// How many records fit.
pub(super) fn count(db: &Connection, house: i64, query: &RecordQuery) -> Result<u64, Error> {
    let sql = Sql::over(house, query);
    let select = format!("SELECT count(*) AS number FROM ({})", sql.text);
    let found = first(db, &select, params_from_iter(sql.values), |row| number(row, "number"))?;
    Ok(found.unwrap_or(0))
}

/// Whether exactly these records fit.
pub(super) fn fits(
    db: &Connection,
    house: i64,
    query: &RecordQuery,
    ids: &[String],
) -> Result<bool, Error> {
    let sql = Sql::over(house, query);
    let select = format!(
        "SELECT r.id FROM ({}) f CROSS JOIN records r ON r.record = f.record LIMIT {}",
        sql.text,
        ids.len() + 1
    );
    let found = all(db, &select, params_from_iter(sql.values), |row| Ok(row.get::<_, String>(0)?))?;
    Ok(found.len() == ids.len() && found.iter().all(|id| ids.contains(id)))
}

/// Which index leads to the fewest rows: ids, then patients, encounters, tokens, dates.
enum Way {
    /// One of the indexes over `records`.
    Index(&'static str),
    /// The rows that hold one of the first tokens.
    Tokens,
}

impl Way {
    fn of(query: &RecordQuery) -> Way {
        let given = |bounds: (bool, bool)| bounds.0 || bounds.1;
        let updated = given((query.last_updated.0.is_some(), query.last_updated.1.is_some()));
        match () {
            () if !query.ids.is_empty() => Way::Index("records_by_id"),
            () if !query.patients.is_empty() => Way::Index("records_by_patient"),
            () if !query.encounters.is_empty() => Way::Index("records_by_encounter"),
            () if !query.tokens.is_empty() => Way::Tokens,
            () if !query.date.is_empty() => Way::Index("records_by_date"),
            () if updated => Way::Index("records_by_update"),
            () => Way::Index("records_by_id"),
        }
    }
}

/// A SELECT of record numbers that grows by conditions; `?1` is the house, `?2` the type, and
/// `{}` in a condition its value.
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn over(house: i64, query: &RecordQuery) -> Sql {
        let way = Way::of(query);
        let from = match way {
            Way::Index(index) => format!("records r INDEXED BY {index}"),
            Way::Tokens => "records r NOT INDEXED".to_owned(),
        };
        let text = format!(
            "SELECT r.record FROM {from} WHERE r.house = ?1 AND r.kind = ?2 AND r.deleted = 0"
        );
        let values = vec![Value::from(house), Value::from(query.kind.clone())];
        let mut sql = Sql { text, values };
        sql.add_lists(query);
        sql.add_tokens(query, matches!(way, Way::Tokens));
        sql.add_dates(query);
        sql.add_bounds(query);
        sql
    }

    fn and(&mut self, condition: &str, value: Value) {
        self.values.push(value);
        self.text.push_str(" AND ");
        self.text.push_str(&condition.replace("{}", &format!("?{}", self.values.len())));
    }

    fn add_lists(&mut self, query: &RecordQuery) {
        let conditions = [
            ("r.id IN (SELECT value FROM json_each({}))", &query.ids),
            ("r.status IN (SELECT value FROM json_each({}))", &query.statuses),
            (
                "r.patient IN (SELECT s.subject FROM subjects s
                    WHERE s.house = ?1 AND s.id IN (SELECT value FROM json_each({})))",
                &query.patients,
            ),
            (
                "r.encounter IN (SELECT s.subject FROM subjects s
                    WHERE s.house = ?1 AND s.id IN (SELECT value FROM json_each({})))",
                &query.encounters,
            ),
        ];
        for (condition, values) in conditions {
            if !values.is_empty() {
                self.and(condition, list(values).into());
            }
        }
    }

    /// The first tokens lead the way where nothing better does; all others are looked up in each
    /// row, since a category has a million records where a patient has hundreds.
    fn add_tokens(&mut self, query: &RecordQuery, lead: bool) {
        for (position, tokens) in query.tokens.iter().enumerate() {
            let condition = match lead && position == 0 {
                true => {
                    "r.record IN (SELECT t.record FROM json_each({}) a CROSS JOIN tokens t
                        WHERE t.house = ?1 AND t.kind = ?2
                            AND t.token BETWEEN a.value ->> 0 AND a.value ->> 1)"
                }
                false => {
                    "EXISTS (SELECT 1 FROM json_each(r.tokens) t CROSS JOIN json_each({}) a
                        WHERE t.value BETWEEN a.value ->> 0 AND a.value ->> 1)"
                }
            };
            let ranges: Vec<_> = tokens.iter().map(|it| token::range(it)).collect();
            self.and(condition, json!(ranges).to_string().into());
        }
    }

    fn add_dates(&mut self, query: &RecordQuery) {
        if !query.date.is_empty() {
            // Said for the index, which holds no others; not every comparison implies it.
            self.text.push_str(" AND r.date_from IS NOT NULL");
        }
        for (compare, span) in &query.date {
            let mut condition = compare.condition().to_owned();
            for (name, bound) in [("{s}", span.from), ("{e}", span.to)] {
                // A value that no condition names would be one too many.
                if condition.contains(name) {
                    self.values.push(micros(bound).into());
                    condition = condition.replace(name, &format!("?{}", self.values.len()));
                }
            }
            self.text.push_str(" AND ");
            self.text.push_str(&condition);
        }
    }

    fn add_bounds(&mut self, query: &RecordQuery) {
        let time = |value: Option<Timestamp>| value.map(|at| Value::from(micros(at)));
        let owner = query.owner.as_ref().map(PartnerId::to_string);
        let bounds = [
            ("r.updated >= {}", time(query.last_updated.0)),
            ("r.updated < {}", time(query.last_updated.1)),
            ("r.owner = {}", owner.map(Value::from)),
        ];
        for (condition, value) in bounds {
            if let Some(value) = value {
                self.and(condition, value);
            }
        }
    }
}
