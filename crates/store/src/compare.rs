//! Compare: whether what a record is found by fits a query, as every house finds it.
//!
//! Comes in   a query; the keys of a record.
//! Goes out   whether they fit; the same comparison of dates as SQL.
//! Never      asks for what only the house knows: when a record was filed, and whose it is.

use crate::column::micros;
use crate::house::{Compare, DateSpan, RecordKeys, RecordQuery};
use crate::token;

/// Within the span asked for, as SQL.
macro_rules! within {
    () => {
        "(r.date_from >= {s} AND r.date_to <= {e})"
    };
}

impl Compare {
    /// The condition in SQL, over `r.date_from` and `r.date_to`; `{s}` and `{e}` stand for begin and
    /// end of the span asked for, and not every comparison names both. A record without a date
    /// meets none.
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Compare::Eq => within!(),
            Compare::Ne => concat!("NOT ", within!()),
            Compare::Gt => "r.date_to > {e}",
            Compare::Lt => "r.date_from < {s}",
            Compare::Ge => concat!("(r.date_to > {e} OR ", within!(), ")"),
            Compare::Le => concat!("(r.date_from < {s} OR ", within!(), ")"),
            Compare::Sa => "r.date_from >= {e}",
            Compare::Eb => "r.date_to <= {s}",
            Compare::Ap => "(r.date_from < {e} AND r.date_to > {s})",
        }
    }

    /// Whether a record's span meets the one asked for; in microseconds, as it is stored.
    pub fn holds(self, own: DateSpan, asked: DateSpan) -> bool {
        let (f, t) = (micros(own.from), micros(own.to));
        let (s, e) = (micros(asked.from), micros(asked.to));
        let within = f >= s && t <= e;
        match self {
            Compare::Eq => within,
            Compare::Ne => !within,
            Compare::Gt => t > e,
            Compare::Lt => f < s,
            Compare::Ge => t > e || within,
            Compare::Le => f < s || within,
            Compare::Sa => f >= e,
            Compare::Eb => t <= s,
            Compare::Ap => f < e && t > s,
        }
    }
}

impl RecordQuery {
    /// Whether a record of the query's type fits by its logical id (`None`: it has none yet) and
    /// its keys. What is asked about its filing (`last_updated`, `owner`) is left aside.
    pub fn fits(&self, id: Option<&str>, keys: &RecordKeys) -> bool {
        let among = |asked: &[String], own: Option<&str>| {
            asked.is_empty() || own.is_some_and(|own| asked.iter().any(|one| one == own))
        };
        let any = |asked: &[String]| {
            asked.iter().any(|asked| keys.tokens.iter().any(|own| token::fits(asked, own)))
        };
        let dated = |(compare, asked): &(Compare, DateSpan)| {
            keys.date.is_some_and(|own| compare.holds(own, *asked))
        };
        among(&self.ids, id)
            && among(&self.patients, keys.patient.as_deref())
            && among(&self.encounters, keys.encounter.as_deref())
            && among(&self.statuses, keys.status.as_deref())
            && self.tokens.iter().all(|asked| any(asked))
            && self.date.iter().all(dated)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::column::time;
    use rusqlite::{Connection, params};

    const ALL: [Compare; 9] = [
        Compare::Eq,
        Compare::Ne,
        Compare::Gt,
        Compare::Lt,
        Compare::Ge,
        Compare::Le,
        Compare::Sa,
        Compare::Eb,
        Compare::Ap,
    ];

    fn span(from: i64, to: i64) -> DateSpan {
        DateSpan { from: time(from).unwrap(), to: time(to).unwrap() }
    }

    #[test]
    fn dates_are_compared_in_sql_as_here() {
        let db = Connection::open_in_memory().unwrap();
        let own = (0..6).flat_map(|from| (from + 1..7).map(move |to| (from, to)));
        for (compare, (from, to)) in ALL.iter().flat_map(|one| own.clone().map(move |it| (one, it)))
        {
            let asked = (2, 4);
            let condition = compare.condition().replace("{s}", "2").replace("{e}", "4");
            let select = format!("SELECT {condition} FROM (SELECT ?1 date_from, ?2 date_to) r");
            let found = db.query_row(&select, params![from, to], |row| row.get(0));
            let holds = compare.holds(span(from, to), span(asked.0, asked.1));
            assert_eq!(found, Ok(holds), "{compare:?}: {from} to {to}");
            let none: Option<i64> = None;
            let found = db.query_row(&select, params![none, none], |row| row.get(0));
            assert_eq!(found, Ok(None::<bool>), "{compare:?}: no date meets none");
        }
    }

    #[test]
    fn a_record_fits_by_all_that_is_asked() {
        let text = |text: &str| Some(text.to_owned());
        let one = |text: &str| vec![text.to_owned()];
        let keys = RecordKeys {
            patient: text("patient"),
            encounter: None,
            date: Some(span(2, 4)),
            status: text("final"),
            tokens: vec!["code:a|s".to_owned(), "category:b|".to_owned()],
        };
        let query = RecordQuery::default;
        let dated = |compare| RecordQuery { date: vec![(compare, span(2, 4))], ..query() };
        let table = [
            ("nothing", query(), true),
            ("its id", RecordQuery { ids: one("id"), ..query() }, true),
            ("another id", RecordQuery { ids: one("other"), ..query() }, false),
            ("its patient", RecordQuery { patients: one("patient"), ..query() }, true),
            ("another patient", RecordQuery { patients: one("other"), ..query() }, false),
            ("an encounter", RecordQuery { encounters: one("any"), ..query() }, false),
            ("its status", RecordQuery { statuses: one("final"), ..query() }, true),
            ("another status", RecordQuery { statuses: one("draft"), ..query() }, false),
            ("a token", RecordQuery { tokens: vec![one("code:a|s")], ..query() }, true),
            ("all of a name", RecordQuery { tokens: vec![one("code:a")], ..query() }, true),
            ("another system", RecordQuery { tokens: vec![one("code:a|")], ..query() }, false),
            (
                "two tokens, one not there",
                RecordQuery { tokens: vec![one("code:a"), one("code:c")], ..query() },
                false,
            ),
            ("its date", dated(Compare::Eq), true),
            ("a later date", dated(Compare::Gt), false),
            ("filed before", RecordQuery { last_updated: (None, time(0).ok()), ..query() }, true),
        ];
        for (case, query, expected) in table {
            assert_eq!(query.fits(Some("id"), &keys), expected, "{case}");
        }
        let named = RecordQuery { ids: one("id"), ..query() };
        assert!(!named.fits(None, &keys), "who has no id yet has not that one");
        let undated = RecordKeys { date: None, ..keys };
        assert!(ALL.iter().all(|one| !dated(*one).fits(None, &undated)), "nor a date");
    }
}
