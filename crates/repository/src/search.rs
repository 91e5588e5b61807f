//! Search: FHIR search parameters of one type, read.
//!
//! Comes in   decoded parameters in their order; how to treat unknown ones.
//! Goes out   what the store is asked, and what the answer is to hold; see `page` for that.
//! Never      ignores a parameter it does not understand, unless the caller asked for that; never
//!            quotes a value.
//!
//! Why strict: a filter that is passed over in silence answers with other patients' records
//! (R4 §3.1.1.1 lets the client choose by `Prefer: handling`).

use crate::include::Include;
use crate::keys::{local, local_id, token};
use crate::kinds::{self, Finds};
use crate::limits::{ALTERNATIVES_MAX, PARAMETERS_MAX, QUOTED_NAME_MAX};
use crate::paging::Paging;
use crate::when;
use exchange::query::Handling;
use exchange::{Code, Issue, place};
use fhir::is_id;
use jiff::Timestamp;
use store::{Compare, DateSpan, RecordQuery};

/// A search that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    /// What the store is asked; `owner` and `limit` are the desk's to set.
    pub query: RecordQuery,
    /// Two conditions exclude each other: nothing fits, and the store is not asked.
    pub impossible: bool,
    /// Only the number is wanted (`_summary=count`, or `_count=0`).
    pub count_only: bool,
    /// Whether the number of all that fit is wanted (not by `_total=none`).
    pub total: bool,
    /// `_count`, and the parameters that were understood.
    pub(crate) paging: Paging,
    /// What comes along with the records that fit.
    pub(crate) include: Include,
}

/// Our parameter in `next` links: continue behind this id.
pub(crate) const AFTER: &str = "_after";

impl Search {
    /// Reads the parameters of a search for one type. `base` is the base URL by which callers may
    /// name records of this house.
    ///
    /// Errors: `ResourceUnknown` for a type that is not held here, `ParameterUnsupported`,
    /// `ParameterInvalid`.
    pub(crate) fn parse(
        base: &str,
        kind: &str,
        parameters: &[(String, String)],
        handling: Handling,
    ) -> Result<Search, Issue> {
        let row = kinds::row(kind).ok_or_else(|| {
            Issue::new(Code::ResourceUnknown, "records of this type cannot be searched here")
        })?;
        if parameters.len() > PARAMETERS_MAX {
            let detail = format!("a search has at most {PARAMETERS_MAX} parameters");
            return Err(Issue::new(Code::ParameterInvalid, detail));
        }
        let query = RecordQuery { kind: kind.to_owned(), ..RecordQuery::default() };
        let mut search = Search {
            query,
            impossible: false,
            count_only: false,
            total: true,
            paging: Paging::default(),
            include: Include::default(),
        };
        for (name, value) in parameters {
            if search.control(name, value)? {
                continue;
            }
            let (plain, modifier) = match name.split_once(':') {
                Some((plain, modifier)) => (plain, Some(modifier)),
                None => (name.as_str(), None),
            };
            match (row.parameter(plain), modifier) {
                (Some(finds), None) => search.narrow(base, plain, finds, value)?,
                // A modifier changes the meaning, so it is never passed over (R4 §3.1.1.5.1).
                (Some(_), Some(_)) => return Err(unsupported(kind, name)),
                (None, Some(_)) if Include::is_one(plain) => return Err(unsupported(kind, name)),
                (None, None) if search.include.add(kind, plain, value) => {}
                (None, _) if handling == Handling::Lenient => continue,
                (None, _) => return Err(unsupported(kind, name)),
            }
            search.paging.understood(name, value);
        }
        Ok(search)
    }

    /// Parameters about the answer, and not about the records. Says whether it was one.
    fn control(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        if self.paging.counts(name, value)? {
            self.count_only |= self.paging.count == Some(0);
            return Ok(true);
        }
        match name {
            "_summary" => match value {
                "count" => self.count_only = true,
                "false" => {}
                _ => return Err(invalid(name, "only _summary=count is offered")),
            },
            "_format" => match value {
                "json" | "application/json" | "application/fhir+json" => {}
                _ => return Err(Issue::new(Code::NotAcceptable, "only JSON is offered").at(name)),
            },
            // A total is always exact, so whoever chooses how it is counted has what they want. The
            // second name is a dialect: fhirpy's count, after Aidbox.
            "_total" | "_totalMethod" => self.total = value != "none",
            AFTER if is_id(value) => self.query.after = Some(value.to_owned()),
            AFTER => return Err(invalid(name, "use next links as they were given")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn narrow(&mut self, base: &str, name: &str, finds: Finds, value: &str) -> Result<(), Issue> {
        match finds {
            Finds::Id => {
                let ids = ids(name, value)?;
                self.impossible |= intersect(&mut self.query.ids, ids);
            }
            Finds::Patient => {
                let ids = references(base, name, "Patient", value)?;
                self.impossible |= intersect(&mut self.query.patients, ids);
            }
            Finds::Encounter => {
                let ids = references(base, name, "Encounter", value)?;
                self.impossible |= intersect(&mut self.query.encounters, ids);
            }
            Finds::Status => {
                let codes = codes(name, value)?;
                self.impossible |= intersect(&mut self.query.statuses, codes);
            }
            Finds::Token(token) => self.query.tokens.push(tokens(name, token, value)?),
            Finds::Link(token, kind) => {
                let links = links(base, name, (token, kind), value)?;
                self.impossible |= links.is_empty();
                self.query.tokens.push(links);
            }
            Finds::Date => self.query.date.push(compared(name, value)?),
            Finds::LastUpdated => self.updated(name, compared(name, value)?)?,
        }
        Ok(())
    }

    /// `_lastUpdated` is one moment, so every comparison is one or two bounds.
    fn updated(&mut self, name: &str, (compare, span): (Compare, DateSpan)) -> Result<(), Issue> {
        let (from, to) = match compare {
            Compare::Eq | Compare::Ap => (Some(span.from), Some(span.to)),
            Compare::Ge => (Some(span.from), None),
            Compare::Gt | Compare::Sa => (Some(span.to), None),
            Compare::Le => (None, Some(span.to)),
            Compare::Lt | Compare::Eb => (None, Some(span.from)),
            Compare::Ne => return Err(invalid(name, "the prefix ne is not offered here")),
        };
        let (low, high) = &mut self.query.last_updated;
        *low = (*low).max(from);
        let lower = |to: Timestamp| high.map_or(to, |high| high.min(to));
        *high = to.map(lower).or(*high);
        Ok(())
    }
}

/// A date with its prefix (R4 §3.1.1.4.5).
fn compared(name: &str, value: &str) -> Result<(Compare, DateSpan), Issue> {
    if value.contains(',') {
        return Err(invalid(name, "alternatives of dates are not offered"));
    }
    let (prefix, date) = match value.as_bytes() {
        [first, second, ..] if first.is_ascii_lowercase() && second.is_ascii_lowercase() => {
            value.split_at(2)
        }
        _ => ("eq", value),
    };
    let compare = match prefix {
        "eq" => Compare::Eq,
        "ne" => Compare::Ne,
        "gt" => Compare::Gt,
        "lt" => Compare::Lt,
        "ge" => Compare::Ge,
        "le" => Compare::Le,
        "sa" => Compare::Sa,
        "eb" => Compare::Eb,
        "ap" => Compare::Ap,
        _ => return Err(invalid(name, "this prefix is not one of R4")),
    };
    let span = when::span(date).ok_or_else(|| invalid(name, "this is no FHIR date"))?;
    Ok((compare, span))
}

/// Keeps what stands in both lists; an empty `held` list was no condition. Says whether nothing is
/// left.
fn intersect(held: &mut Vec<String>, more: Vec<String>) -> bool {
    if held.is_empty() {
        *held = more;
    } else {
        held.retain(|one| more.contains(one));
    }
    held.is_empty()
}

fn ids(name: &str, value: &str) -> Result<Vec<String>, Issue> {
    let values = alternatives(name, value)?;
    if values.iter().all(|value| is_id(value)) {
        return Ok(values);
    }
    Err(invalid(name, "an id is 1 to 64 characters of letters, digits, '-' and '.'"))
}

/// `id`, `Type/id` or `<base>/Type/id`; a reference to anything else fits nothing.
fn references(base: &str, name: &str, kind: &str, value: &str) -> Result<Vec<String>, Issue> {
    let mut found = Vec::new();
    for value in alternatives(name, value)? {
        let local = place::under(&value, base).unwrap_or(&value);
        if is_id(local) {
            found.push(local.to_owned());
        } else if let Some(id) = local_id(local, kind) {
            found.push(id.to_owned());
        } else if !local.contains('/') {
            return Err(invalid(name, "a reference is an id or Type/id"));
        }
    }
    Ok(found)
}

/// `id` where the type is known, `Type/id` or `<base>/Type/id`, as tokens.
fn links(
    base: &str,
    name: &str,
    (parameter, kind): (&str, &str),
    value: &str,
) -> Result<Vec<String>, Issue> {
    let mut found = Vec::new();
    for value in alternatives(name, value)? {
        let text = place::under(&value, base).unwrap_or(&value);
        let named = match local(text) {
            Some((target, id)) if kind.is_empty() || kind == target => format!("{target}/{id}"),
            Some(_) => continue,
            None if is_id(text) && !kind.is_empty() => format!("{kind}/{text}"),
            None if text.contains('/') => continue,
            None => return Err(invalid(name, "a reference is Type/id")),
        };
        found.push(token(parameter, &named, Some("")));
    }
    Ok(found)
}

fn codes(name: &str, value: &str) -> Result<Vec<String>, Issue> {
    let values = alternatives(name, value)?;
    if values.iter().any(|value| value.contains('|')) {
        return Err(invalid(name, "this code has no system"));
    }
    Ok(values)
}

/// `system|code`, `|code` (no system) and `code` (any system), as `keys` files them.
fn tokens(name: &str, parameter: &str, value: &str) -> Result<Vec<String>, Issue> {
    let read = |(system, code): (Option<String>, String)| match code.as_str() {
        "" => Err(invalid(name, "a code is needed, with or without its system")),
        code => Ok(token(parameter, code, system.as_deref())),
    };
    split(name, value)?.into_iter().map(read).collect()
}

fn alternatives(name: &str, value: &str) -> Result<Vec<String>, Issue> {
    let whole = |(system, code): (Option<String>, String)| match system {
        Some(system) => format!("{system}|{code}"),
        None => code,
    };
    let values: Vec<String> = split(name, value)?.into_iter().map(whole).collect();
    match values.iter().any(String::is_empty) {
        true => Err(invalid(name, "a value is empty")),
        false => Ok(values),
    }
}

/// Splits at commas and at the first bar of each part; `\,` `\|` `\$` `\\` stand for themselves
/// (R4 §3.1.1.5.7 escaping).
fn split(name: &str, value: &str) -> Result<Vec<(Option<String>, String)>, Issue> {
    let mut parts = Vec::new();
    let (mut system, mut text) = (None, String::new());
    let mut chars = value.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some(escaped @ (',' | '|' | '$' | '\\')) => text.push(escaped),
                _ => return Err(invalid(name, "a backslash stands before , | $ or another one")),
            },
            ',' => parts.push((system.take(), std::mem::take(&mut text))),
            '|' if system.is_none() => system = Some(std::mem::take(&mut text)),
            other => text.push(other),
        }
    }
    parts.push((system, text));
    match parts.len() > ALTERNATIVES_MAX {
        true => Err(invalid(name, &format!("at most {ALTERNATIVES_MAX} alternatives"))),
        false => Ok(parts),
    }
}

pub(crate) fn invalid(name: &str, detail: &str) -> Issue {
    Issue::new(Code::ParameterInvalid, detail).at(name)
}

/// Names a parameter only where it has the form of one, without modifier and chain: a mistaken
/// name may hold anything.
pub(crate) fn unsupported(kind: &str, name: &str) -> Issue {
    let base = name.split([':', '.']).next().unwrap_or_default();
    let shown = (1..=QUOTED_NAME_MAX).contains(&base.len())
        && base.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    match shown {
        true => {
            let detail = format!("{kind} is not asked by '{base}' in this way here");
            Issue::new(Code::ParameterUnsupported, detail).at(base)
        }
        false => {
            let detail = format!("{kind} is not asked by one of the parameters here");
            Issue::new(Code::ParameterUnsupported, detail)
        }
    }
}

#[cfg(test)]
mod tests;
