//! Find: the SQL of searches over the newest records.
//!
//! Comes in   queries.
//! Goes out   a statement with its values.
//! Never      puts a value into the text of a statement.
//!
//! Why a query fences what leads the way (`OFFSET 0`): the order by id, with a limit, tempts the
//! planner to walk through every record of a type until enough fit. Who is named by patient is
//! found by patient, whatever the server believes about the tables.
//!
//! Whoever runs these has `SETTINGS`: a table that nobody has counted yet looks small to the
//! planner, and it would read all of it.

use deadpool_postgres::GenericClient;
use exchange::PartnerId;
use jiff::Timestamp;
use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};

use super::record::{COLUMNS, CONTENT, NEWEST};
use super::row::{micros, token};
use crate::house::{AboutQuery, Error, RecordQuery};
use crate::limits::LEAD_TOKENS;
use crate::token;

/// Settings of connections that search: by indexes, row by row, and in an index's own order
/// where it has the one that is asked for (a bitmap has none).
pub(super) const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
     SET jit = off; SET max_parallel_workers_per_gather = 0;";

/// A value of a statement.
#[derive(Debug)]
enum Value {
    Int(i64),
    Text(String),
    Texts(Vec<String>),
}

impl Value {
    fn of_type(&self) -> Type {
        match self {
            Value::Int(_) => Type::INT8,
            Value::Text(_) => Type::TEXT,
            Value::Texts(_) => Type::TEXT_ARRAY,
        }
    }

    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Value::Int(value) => value,
            Value::Text(value) => value,
            Value::Texts(value) => value,
        }
    }
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Search {
    text: String,
    values: Vec<Value>,
    /// Whether it is one of few: then it is worth keeping prepared.
    common: bool,
}

impl Search {
    /// Has it prepared by the server.
    pub(super) async fn prepare(&self, db: &impl GenericClient) -> Result<Statement, Error> {
        let types: Vec<Type> = self.values.iter().map(Value::of_type).collect();
        Ok(match self.common {
            true => db.prepare_typed_cached(&self.text, &types).await?,
            false => db.prepare_typed(&self.text, &types).await?,
        })
    }

    /// Its values, in order.
    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(Value::as_sql).collect()
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;

/// Newest, undeleted versions that fit, with content, in the order of their ids. `walk`: through
/// the ids of the type until there are enough, since most fit.
pub(super) fn search(house: i64, query: &RecordQuery, walk: bool) -> Search {
    let way = if walk { Way::Order } else { Way::of(query) };
    let mut sql = Sql::over(house, query, way);
    let mut text = sql.closed();
    if let Some(after) = &query.after {
        // Behind the fence: a bound of ids would lead past it.
        let word = if sql.way == Way::Order { "AND" } else { "WHERE" };
        text.push_str(&format!(" {word} r.id > {}", sql.hold(Value::Text(after.clone()))));
    }
    let limit = sql.hold(Value::Int(query.limit.into()));
    sql.text = with_versions(&format!("{text} ORDER BY r.id LIMIT {limit}"), "r.id");
    sql.done(query)
}

/// The records of a statement with their newest versions, in its order.
fn with_versions(records: &str, order: &str) -> String {
    format!("SELECT {COLUMNS}, {CONTENT} FROM ({records}) r {NEWEST} ORDER BY {order}")
}

/// Whether tokens lead, and nothing better does.
pub(super) fn by_tokens(query: &RecordQuery) -> bool {
    Way::of(query) == Way::Tokens
}

/// How many tokens fit some of these, at most `LEAD_TOKENS`.
pub(super) fn weigh(house: i64, kind: &str, tokens: &[String]) -> Search {
    let (low, high) = ranges(tokens);
    let text = format!(
        "SELECT count(*) AS number FROM (
            SELECT FROM unnest($3::text[], $4::text[]) a (low, high) CROSS JOIN LATERAL (
                SELECT FROM tokens t WHERE t.house = $1 AND t.kind = $2
                    AND t.token BETWEEN a.low AND a.high OFFSET 0) t
            LIMIT {LEAD_TOKENS}) t"
    );
    let kind = Value::Text(kind.to_owned());
    let values = vec![Value::Int(house), kind, Value::Texts(low), Value::Texts(high)];
    Search { text, values, common: true }
}

/// How many records fit.
pub(super) fn count(house: i64, query: &RecordQuery) -> Search {
    let mut sql = Sql::over(house, query, Way::of(query));
    sql.text = format!("SELECT count(*) AS number FROM ({}) r", sql.closed());
    sql.done(query)
}

/// The ids of records that fit, at most one more than `expected`.
pub(super) fn fitting(house: i64, query: &RecordQuery, expected: usize) -> Search {
    let mut sql = Sql::over(house, query, Way::of(query));
    let limit = sql.hold(Value::Int(i64::try_from(expected).unwrap_or(i64::MAX - 1) + 1));
    sql.text = format!("SELECT r.id FROM ({}) r LIMIT {limit}", sql.closed());
    sql.done(query)
}

/// What is held about a Patient, with content, in the order of type and id.
pub(super) fn about(house: i64, query: &AboutQuery) -> Search {
    let patient = Value::Text(query.patient.clone());
    let mut sql = Sql { text: String::new(), values: vec![Value::Int(house)], way: Way::Patient };
    let patient = sql.hold(patient);
    sql.text = format!(
        "SELECT r.* FROM (SELECT s.subject FROM subjects s
                WHERE s.house = $1 AND s.id = {patient} OFFSET 0) l
            CROSS JOIN LATERAL ({SELECT} FROM records r WHERE r.house = $1
                AND (r.patient, r.kind) >= (l.subject, '') AND r.patient <= l.subject AND {}",
        sql.way.present()
    );
    if !query.kinds.is_empty() {
        sql.and("r.kind = ANY({})", Value::Texts(query.kinds.clone()));
    }
    sql.add_bounds((query.since, None), query.owner.as_ref());
    let mut text = format!("{} OFFSET 0) r", sql.text);
    if let Some((kind, id)) = &query.after {
        let kind = sql.hold(Value::Text(kind.clone()));
        let id = sql.hold(Value::Text(id.clone()));
        text.push_str(&format!(" WHERE (r.kind, r.id) > ({kind}, {id})"));
    }
    let limit = sql.hold(Value::Int(query.limit.into()));
    let text = format!("{text} ORDER BY r.kind, r.id LIMIT {limit}");
    Search { text: with_versions(&text, "r.kind, r.id"), values: sql.values, common: true }
}

/// What of a record leads to its version and its place.
const SELECT: &str = "SELECT r.record, r.kind, r.id, r.newest";

/// What leads to the fewest rows: ids, then patients, encounters, tokens, dates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The type, in the order of ids.
    Order,
    Ids,
    Patient,
    Encounter,
    Tokens,
    Date,
    Updated,
}

impl Way {
    fn of(query: &RecordQuery) -> Way {
        let updated = query.last_updated.0.is_some() || query.last_updated.1.is_some();
        match () {
            () if !query.ids.is_empty() => Way::Ids,
            () if !query.patients.is_empty() => Way::Patient,
            () if !query.encounters.is_empty() => Way::Encounter,
            () if !query.tokens.is_empty() => Way::Tokens,
            () if !query.date.is_empty() => Way::Date,
            () if updated => Way::Updated,
            () => Way::Order,
        }
    }

    /// What leads, with `{}` for its words, and which records it leads to.
    fn leader(self) -> Option<(&'static str, &'static str)> {
        const SUBJECTS: &str = "SELECT DISTINCT s.subject AS key
            FROM unnest({}::text[]) a (word) CROSS JOIN LATERAL (SELECT s.subject
                FROM subjects s WHERE s.house = $1 AND s.id = a.word OFFSET 0) s";
        const TOKENS: &str = "SELECT DISTINCT t.record AS key
            FROM unnest({}::text[], {high}::text[]) a (low, high) CROSS JOIN LATERAL (
                SELECT t.record FROM tokens t WHERE t.house = $1 AND t.kind = $2
                    AND t.token BETWEEN a.low AND a.high OFFSET 0) t";
        // Pairs, so that no index serves which begins with the type.
        const PATIENT: &str = "(r.patient, r.kind) >= (l.key, $2)
            AND (r.patient, r.kind) <= (l.key, $2)";
        const ENCOUNTER: &str = "(r.encounter, r.kind) >= (l.key, $2)
            AND (r.encounter, r.kind) <= (l.key, $2)";
        match self {
            Way::Ids => {
                Some(("SELECT DISTINCT unnest({}::text[]) AS key", "r.kind = $2 AND r.id = l.key"))
            }
            Way::Patient => Some((SUBJECTS, PATIENT)),
            Way::Encounter => Some((SUBJECTS, ENCOUNTER)),
            // Tokens are of the type.
            Way::Tokens => Some((TOKENS, "r.record = l.key")),
            Way::Order | Way::Date | Way::Updated => None,
        }
    }

    /// What is not deleted, in words that allow for the indexes of this way only: most leave out
    /// what is deleted, or has no such key, and serve where it is said that this is not asked for.
    fn present(self) -> &'static str {
        match self {
            Way::Order | Way::Ids | Way::Tokens => "r.deleted::int = 0",
            Way::Patient => "NOT r.deleted AND r.patient IS NOT NULL",
            Way::Encounter => "NOT r.deleted AND r.encounter IS NOT NULL",
            Way::Date => "NOT r.deleted AND r.date_from IS NOT NULL",
            Way::Updated => "NOT r.deleted",
        }
    }
}

/// From which token to which each word goes.
fn ranges(words: &[String]) -> (Vec<String>, Vec<String>) {
    words.iter().map(|word| <(String, String)>::from(token::range(&token(word)))).unzip()
}

/// A SELECT of records that grows by conditions; `$1` is the house, `$2` the type, and `{}` in a
/// condition its value.
struct Sql {
    text: String,
    values: Vec<Value>,
    way: Way,
}

impl Sql {
    fn over(house: i64, query: &RecordQuery, way: Way) -> Sql {
        let values = vec![Value::Int(house), Value::Text(query.kind.clone())];
        let mut sql = Sql { text: String::new(), values, way };
        let mut tokens = query.tokens.iter();
        match sql.way {
            Way::Ids => sql.lead(&query.ids),
            Way::Patient => sql.lead(&query.patients),
            Way::Encounter => sql.lead(&query.encounters),
            Way::Tokens => sql.lead(tokens.next().map_or(&[], Vec::as_slice)),
            Way::Order | Way::Date | Way::Updated => sql.lead(&[]),
        }
        sql.add_lists(query);
        tokens.for_each(|tokens| sql.add_tokens(tokens));
        sql.add_dates(query);
        sql.add_bounds(query.last_updated, query.owner.as_ref());
        sql
    }

    /// Begins with what leads the way. Each word is looked up by itself: a list in a condition
    /// looks dearer to the planner than a small table.
    fn lead(&mut self, words: &[String]) {
        let (words, high) = match self.way {
            Way::Tokens => ranges(words),
            _ => (words.to_vec(), Vec::new()),
        };
        if let Some((leader, key)) = self.way.leader() {
            let mut leader = leader.replace("{}", &self.hold(Value::Texts(words)));
            if leader.contains("{high}") {
                leader = leader.replace("{high}", &self.hold(Value::Texts(high)));
            }
            self.text = format!(
                "SELECT r.* FROM ({leader}) l CROSS JOIN LATERAL (
                    {SELECT} FROM records r WHERE r.house = $1 AND {key} AND "
            );
        } else {
            self.text = format!("{SELECT} FROM records r WHERE r.house = $1 AND r.kind = $2 AND ");
        }
        self.text.push_str(self.way.present());
    }

    /// The whole statement of what fits, kept from whatever is done with it: the order itself is
    /// a way, all others are not to be left for it.
    fn closed(&self) -> String {
        match (self.way, self.way.leader()) {
            (_, Some(_)) => format!("{} OFFSET 0) r", self.text),
            (Way::Order, None) => self.text.clone(),
            (_, None) => format!("SELECT * FROM ({} OFFSET 0) r", self.text),
        }
    }

    /// Statements of many conditions are of many shapes, and a server keeps what is prepared.
    fn done(self, query: &RecordQuery) -> Search {
        let bounds = query.last_updated;
        let common = query.date.is_empty()
            && query.tokens.len() <= 1
            && bounds.0.is_none()
            && bounds.1.is_none();
        Search { text: self.text, values: self.values, common }
    }

    /// Keeps a value; how the text names it.
    fn hold(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn and(&mut self, condition: &str, value: Value) {
        let name = self.hold(value);
        self.text.push_str(" AND ");
        self.text.push_str(&condition.replace("{}", &name));
    }

    fn add_lists(&mut self, query: &RecordQuery) {
        let conditions = [
            (Way::Ids, "r.id = ANY({})", &query.ids),
            (Way::Order, "r.status = ANY({})", &query.statuses),
            (
                Way::Patient,
                "r.patient = ANY(ARRAY(SELECT s.subject FROM subjects s
                    WHERE s.house = $1 AND s.id = ANY({})))",
                &query.patients,
            ),
            (
                Way::Encounter,
                "r.encounter = ANY(ARRAY(SELECT s.subject FROM subjects s
                    WHERE s.house = $1 AND s.id = ANY({})))",
                &query.encounters,
            ),
        ];
        for (leads, condition, values) in conditions {
            if !values.is_empty() && (leads == Way::Order || leads != self.way) {
                self.and(condition, Value::Texts(values.clone()));
            }
        }
    }

    /// Tokens are looked up row by row, but for those that lead the way: a category has a million
    /// records where a patient has hundreds. (`|| ''` keeps the planner from walking through all of
    /// a name: a record has few tokens.)
    fn add_tokens(&mut self, tokens: &[String]) {
        if tokens.iter().all(|token| token::is_whole(token)) {
            let condition = "EXISTS (SELECT 1 FROM unnest({}::text[]) a (word) CROSS JOIN LATERAL (
                    SELECT 1 FROM tokens t WHERE t.house = $1 AND t.kind = $2
                        AND t.token = a.word AND t.record = r.record OFFSET 0) t
                OFFSET 0)";
            return self
                .and(condition, Value::Texts(tokens.iter().map(|it| token(it).into()).collect()));
        }
        let (low, high) = ranges(tokens);
        let (low, high) = (self.hold(Value::Texts(low)), self.hold(Value::Texts(high)));
        // A record is of one type: the type is not asked again, since an index begins with it.
        self.text.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM unnest({low}::text[], {high}::text[]) a (low, high)
                CROSS JOIN LATERAL (SELECT 1 FROM tokens t
                    WHERE t.house = $1 AND t.record = r.record
                        AND t.token || '' BETWEEN a.low AND a.high OFFSET 0) t
                OFFSET 0)"
        ));
    }

    fn add_dates(&mut self, query: &RecordQuery) {
        for (compare, span) in &query.date {
            // A value that no condition names would have no type; both are named by most.
            let mut condition = compare.condition().to_owned();
            for (place, at) in [("{s}", span.from), ("{e}", span.to)] {
                if condition.contains(place) {
                    let name = self.hold(Value::Int(micros(at)));
                    condition = condition.replace(place, &name);
                }
            }
            self.text.push_str(" AND ");
            self.text.push_str(&condition);
        }
    }

    fn add_bounds(
        &mut self,
        updated: (Option<Timestamp>, Option<Timestamp>),
        owner: Option<&PartnerId>,
    ) {
        let time = |at: Option<Timestamp>| at.map(|at| Value::Int(micros(at)));
        let bounds = [
            ("r.updated >= {}", time(updated.0)),
            ("r.updated < {}", time(updated.1)),
            ("r.owner = {}", owner.map(|owner| Value::Text(owner.to_string()))),
        ];
        for (condition, value) in bounds {
            if let Some(value) = value {
                self.and(condition, value);
            }
        }
    }
}
