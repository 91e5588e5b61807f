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

use super::record::{COLUMNS, CONTENT};
use super::row::{micros, token};
use crate::house::{AboutQuery, Compare, Error, RecordQuery};

/// Settings of connections that search: by indexes, row by row.
pub(super) const SETTINGS: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
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

    /// Its text, to ask how it would be run.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Newest, undeleted versions that fit, with content, in the order of their ids.
pub(super) fn search(house: i64, query: &RecordQuery) -> Search {
    let mut sql = Sql::over(house, query);
    if let Some(after) = &query.after {
        sql.and("r.id > {}", Value::Text(after.clone()));
    }
    let fence = sql.fence();
    let limit = sql.hold(Value::Int(query.limit.into()));
    let inner = &sql.text;
    let text = match fence {
        false => format!("{inner} ORDER BY r.id LIMIT {limit}"),
        true => format!("SELECT * FROM ({inner} OFFSET 0) r ORDER BY r.id LIMIT {limit}"),
    };
    sql.text = with_versions(&text, "r.id");
    sql.done(query)
}

/// The records of a statement with their newest versions, in its order.
fn with_versions(records: &str, order: &str) -> String {
    format!(
        "SELECT {COLUMNS}, {CONTENT} FROM ({records}) r
            JOIN versions v ON v.house = $1 AND v.record = r.record AND v.version = r.newest
            ORDER BY {order}"
    )
}

/// How many records fit.
pub(super) fn count(house: i64, query: &RecordQuery) -> Search {
    let mut sql = Sql::over(house, query);
    sql.text = format!("SELECT count(*) AS number FROM ({}) r", sql.text);
    sql.done(query)
}

/// The ids of records that fit, at most one more than `expected`.
pub(super) fn fitting(house: i64, query: &RecordQuery, expected: usize) -> Search {
    let mut sql = Sql::over(house, query);
    let fence = if sql.fence() { "OFFSET 0" } else { "" };
    let limit = sql.hold(Value::Int(i64::try_from(expected).unwrap_or(i64::MAX - 1) + 1));
    sql.text = format!("SELECT r.id FROM ({} {fence}) r LIMIT {limit}", sql.text);
    sql.done(query)
}

/// What is held about a Patient, with content, in the order of type and id.
pub(super) fn about(house: i64, query: &AboutQuery) -> Search {
    let patient = Value::Text(query.patient.clone());
    let mut sql = Sql {
        text: format!("{SELECT} FROM records r WHERE r.house = $1 AND NOT r.deleted"),
        values: vec![Value::Int(house)],
        way: Way::Patient,
    };
    sql.and(
        "r.patient IS NOT NULL AND r.patient = (SELECT s.subject FROM subjects s
            WHERE s.house = $1 AND s.id = {})",
        patient,
    );
    if !query.kinds.is_empty() {
        sql.and("r.kind = ANY({})", Value::Texts(query.kinds.clone()));
    }
    sql.add_bounds((query.since, None), query.owner.as_ref());
    if let Some((kind, id)) = &query.after {
        let kind = sql.hold(Value::Text(kind.clone()));
        sql.and(&format!("(r.kind, r.id) > ({kind}, {{}})"), Value::Text(id.clone()));
    }
    let limit = sql.hold(Value::Int(query.limit.into()));
    let text = format!(
        "SELECT * FROM ({} OFFSET 0) r ORDER BY r.kind, r.id LIMIT {limit}",
        sql.text
    );
    let text = with_versions(&text, "r.kind, r.id");
    Search { text, values: sql.values, common: true }
}

/// What of a record leads to its version and its place.
const SELECT: &str = "SELECT r.record, r.kind, r.id, r.newest";

/// What leads to the fewest rows: ids, then patients, encounters, tokens, dates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The type, in the order of ids.
    Id,
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
            () if !query.ids.is_empty() => Way::Id,
            () if !query.patients.is_empty() => Way::Patient,
            () if !query.encounters.is_empty() => Way::Encounter,
            () if !query.tokens.is_empty() => Way::Tokens,
            () if !query.date.is_empty() => Way::Date,
            () if updated => Way::Updated,
            () => Way::Id,
        }
    }

    /// What tells the planner that the index of this way, which leaves out rows without, serves.
    fn present(self) -> &'static str {
        match self {
            Way::Patient => " AND r.patient IS NOT NULL",
            Way::Encounter => " AND r.encounter IS NOT NULL",
            Way::Date => " AND r.date_from IS NOT NULL",
            Way::Id | Way::Tokens | Way::Updated => "",
        }
    }
}

/// A SELECT of records that grows by conditions; `$1` is the house, `$2` the type, and `{}` in a
/// condition its value.
struct Sql {
    text: String,
    values: Vec<Value>,
    way: Way,
}

impl Sql {
    fn over(house: i64, query: &RecordQuery) -> Sql {
        let way = Way::of(query);
        let values = vec![Value::Int(house), Value::Text(query.kind.clone())];
        let mut sql = Sql { text: format!("{SELECT} FROM "), values, way };
        let mut tokens = query.tokens.iter();
        if let (Way::Tokens, Some(lead)) = (way, tokens.next()) {
            let lead = sql.hold(Value::Texts(lead.iter().map(|it| token(it).into()).collect()));
            sql.text.push_str(&format!(
                "(SELECT DISTINCT t.record FROM tokens t
                    WHERE t.house = $1 AND t.kind = $2 AND t.token = ANY({lead})) l
                JOIN records r ON r.house = $1 AND r.record = l.record AND "
            ));
        } else {
            tokens = query.tokens.iter();
            sql.text.push_str("records r WHERE r.house = $1 AND ");
        }
        sql.text.push_str("r.kind = $2 AND NOT r.deleted");
        sql.text.push_str(way.present());
        sql.add_lists(query);
        tokens.for_each(|tokens| sql.add_tokens(tokens));
        sql.add_dates(query);
        sql.add_bounds(query.last_updated, query.owner.as_ref());
        sql
    }

    /// Whether what leads must be kept from the order by id. The order itself is a way.
    fn fence(&self) -> bool {
        self.way != Way::Id
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
            ("r.id = ANY({})", &query.ids),
            ("r.status = ANY({})", &query.statuses),
            (
                "r.patient = ANY(ARRAY(SELECT s.subject FROM subjects s
                    WHERE s.house = $1 AND s.id = ANY({})))",
                &query.patients,
            ),
            (
                "r.encounter = ANY(ARRAY(SELECT s.subject FROM subjects s
                    WHERE s.house = $1 AND s.id = ANY({})))",
                &query.encounters,
            ),
        ];
        for (condition, values) in conditions {
            if !values.is_empty() {
                self.and(condition, Value::Texts(values.clone()));
            }
        }
    }

    /// Tokens are looked up row by row, but for those that lead the way: a category has a million
    /// records where a patient has hundreds.
    fn add_tokens(&mut self, tokens: &[String]) {
        let condition = "EXISTS (SELECT 1 FROM tokens t WHERE t.house = $1 AND t.kind = $2
            AND t.token = ANY({}) AND t.record = r.record OFFSET 0)";
        self.and(condition, Value::Texts(tokens.iter().map(|it| token(it).into()).collect()));
    }

    fn add_dates(&mut self, query: &RecordQuery) {
        const WITHIN: &str = "(r.date_from >= {s} AND r.date_to <= {e})";
        for (compare, span) in &query.date {
            let condition = match compare {
                Compare::Eq => WITHIN.to_owned(),
                Compare::Ne => format!("NOT {WITHIN}"),
                Compare::Gt => "r.date_to > {e}".to_owned(),
                Compare::Lt => "r.date_from < {s}".to_owned(),
                Compare::Ge => format!("(r.date_to > {{e}} OR {WITHIN})"),
                Compare::Le => format!("(r.date_from < {{s}} OR {WITHIN})"),
                Compare::Sa => "r.date_from >= {e}".to_owned(),
                Compare::Eb => "r.date_to <= {s}".to_owned(),
                Compare::Ap => "(r.date_from < {e} AND r.date_to > {s})".to_owned(),
            };
            // A value that no condition names would have no type; both are named by most.
            let mut condition = condition;
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
