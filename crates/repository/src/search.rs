//! Search: FHIR search parameters of one type, and the Bundle that answers them.
//!
//! Comes in   decoded parameters in their order; how to treat unknown ones.
//! Goes out   a searchset Bundle: `self`, `next`, `total`, entries in the order of their ids.
//! Never      ignores a parameter it does not understand, unless the caller asked for that; never
//!            quotes a value.
//!
//! Why strict: a filter that is passed over in silence answers with other patients' records
//! (R4 §3.1.1.1 lets the client choose by `Prefer: handling`).

use crate::desk::{Desk, store_issue};
use crate::keys::{ANY_SYSTEM, local_id, token};
use crate::kinds::{self, Finds};
use crate::limits::{
    ALTERNATIVES_MAX, PAGE_BYTES_MAX, PAGE_STEP_RECORDS, PARAMETERS_MAX, QUOTED_NAME_MAX,
};
use crate::serve::serve;
use crate::when::Span;
use bytes::Bytes;
use exchange::{Code, Issue};
use fhir::{BundleType, BundleWriter, EntryToWrite, is_id};
use store::{Compare, House, Record, RecordQuery};

/// What becomes of parameters that the type does not have (`Prefer: handling=…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handling {
    /// They are refused.
    #[default]
    Strict,
    /// They are passed over; the `self` link shows what was understood.
    Lenient,
}

/// A search that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What the store is asked; `owner` and `limit` are the desk's to set.
    pub query: RecordQuery,
    /// Two conditions exclude each other: nothing fits, and the store is not asked.
    pub impossible: bool,
    /// Only the number is wanted (`_summary=count`, or `_count=0`).
    pub count_only: bool,
    /// `_count`, when the caller gave one.
    pub count: Option<u32>,
    /// The parameters that were understood, as they came, without paging.
    pub understood: Vec<(String, String)>,
}

/// Our parameter in `next` links: continue behind this id.
const AFTER: &str = "_after";

impl Search {
    /// Reads the parameters of a search for one type. `base` is the base URL by which callers may
    /// name records of this house.
    ///
    /// Errors: `ResourceUnknown` for a type that is not held here, `ParameterUnsupported`,
    /// `ParameterInvalid`.
    pub fn parse(
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
            count: None,
            understood: Vec::new(),
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
                (None, _) if handling == Handling::Lenient => continue,
                (None, _) => return Err(unsupported(kind, name)),
            }
            search.understood.push((name.clone(), value.clone()));
        }
        Ok(search)
    }

    /// Parameters about the answer, and not about the records. Says whether it was one.
    fn control(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        match name {
            "_count" => {
                let count = value.parse().map_err(|_| invalid(name, "a count is a number"))?;
                self.count = Some(count);
                self.count_only |= count == 0;
            }
            "_summary" => match value {
                "count" => self.count_only = true,
                "false" => {}
                _ => return Err(invalid(name, "only _summary=count is offered")),
            },
            "_format" => match value {
                "json" | "application/json" | "application/fhir+json" => {}
                _ => return Err(Issue::new(Code::NotAcceptable, "only JSON is offered").at(name)),
            },
            // The total is always exact, so whoever chooses how it is counted has what they want.
            // The second name is a dialect: fhirpy's count, after Aidbox.
            "_total" | "_totalMethod" => {}
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
            Finds::Date => {
                let (compare, span) = compared(name, value)?;
                self.query.date.push((compare, span.dates()));
            }
            Finds::LastUpdated => {
                let bounds = Bounds::parse(name, value)?;
                let time = |edge: Edge| match edge {
                    Edge::Start => Some(bounds.span.start),
                    Edge::End => bounds.span.end,
                };
                let (from, to) = (bounds.from.map(time), bounds.to.map(time));
                self.impossible |= raise(&mut self.query.last_updated.0, from);
                lower(&mut self.query.last_updated.1, to);
            }
        }
        Ok(())
    }
}

/// A date with its prefix (R4 §3.1.1.4.5).
fn compared(name: &str, value: &str) -> Result<(Compare, Span), Issue> {
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
    let span = Span::parse(date).ok_or_else(|| invalid(name, "this is no FHIR date"))?;
    Ok((compare, span))
}

/// Which bounds a prefix makes of a date: each is the beginning or the end of its span.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    span: Span,
    from: Option<Edge>,
    to: Option<Edge>,
}

#[derive(Debug, Clone, Copy)]
enum Edge {
    Start,
    End,
}

impl Bounds {
    /// R4 §3.1.1.4.5 (date): the prefixes `eq ge gt le lt`. Records are compared by their
    /// beginning.
    fn parse(name: &str, value: &str) -> Result<Bounds, Issue> {
        if value.contains(',') {
            return Err(invalid(name, "alternatives of dates are not offered"));
        }
        let (prefix, date) = match value.as_bytes() {
            [first, second, ..] if first.is_ascii_lowercase() && second.is_ascii_lowercase() => {
                value.split_at(2)
            }
            _ => ("eq", value),
        };
        let (from, to) = match prefix {
            "eq" => (Some(Edge::Start), Some(Edge::End)),
            "ge" => (Some(Edge::Start), None),
            "gt" => (Some(Edge::End), None),
            "le" => (None, Some(Edge::End)),
            "lt" => (None, Some(Edge::Start)),
            _ => return Err(invalid(name, "only the prefixes eq, ge, gt, le and lt are offered")),
        };
        let span = Span::parse(date).ok_or_else(|| invalid(name, "this is no FHIR date"))?;
        Ok(Bounds { span, from, to })
    }
}

/// Takes the higher lower bound; a bound beyond the calendar fits nothing.
fn raise<T: Ord>(bound: &mut Option<T>, from: Option<Option<T>>) -> bool {
    match from {
        None => false,
        Some(None) => true,
        Some(Some(from)) => {
            *bound = Some(match bound.take() {
                Some(bound) => bound.max(from),
                None => from,
            });
            false
        }
    }
}

/// Takes the lower upper bound; one beyond the calendar bounds nothing.
fn lower<T: Ord>(bound: &mut Option<T>, to: Option<Option<T>>) {
    if let Some(to) = to.flatten() {
        *bound = Some(match bound.take() {
            Some(bound) => bound.min(to),
            None => to,
        });
    }
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
        let local = value.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        let local = local.unwrap_or(&value);
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
        code => Ok(token(parameter, system.as_deref().unwrap_or(ANY_SYSTEM), code)),
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

fn invalid(name: &str, detail: &str) -> Issue {
    Issue::new(Code::ParameterInvalid, detail).at(name)
}

/// Names a parameter only where it has the form of one, without modifier and chain: a mistaken
/// name may hold anything.
fn unsupported(kind: &str, name: &str) -> Issue {
    let base = name.split([':', '.']).next().unwrap_or_default();
    let shown = (1..=QUOTED_NAME_MAX).contains(&base.len())
        && base.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    match shown {
        true => {
            let detail = format!("{kind} is not searched by '{base}' in this way here");
            Issue::new(Code::ParameterUnsupported, detail).at(base)
        }
        false => {
            let detail = format!("{kind} is not searched by one of the parameters here");
            Issue::new(Code::ParameterUnsupported, detail)
        }
    }
}

impl<H: House> Desk<'_, H> {
    /// Answers a search with a searchset Bundle.
    ///
    /// Errors: those of `Search::parse`, and of the store.
    pub async fn search(
        &self,
        kind: &str,
        parameters: &[(String, String)],
        handling: Handling,
    ) -> Result<Bytes, Issue> {
        let search = Search::parse(self.base, kind, parameters, handling)?;
        let query = RecordQuery { owner: self.owner.clone(), ..search.query.clone() };
        let total = match search.impossible {
            true => 0,
            false => self.house.count(query.clone()).await.map_err(store_issue)?,
        };
        let mut bundle = BundleWriter::new(BundleType::Searchset)
            .total(total)
            .link("self", &self.link(&search, search.query.after.as_deref()));
        if search.count_only || search.impossible {
            return Ok(bundle.finish().into());
        }
        let (usual, most) = self.page;
        let size = search.count.unwrap_or(usual).clamp(1, most.max(1));
        let search_house = |query| self.house.search(query);
        let (records, last) = page(query, size, search_house).await.map_err(store_issue)?;
        if let Some(last) = last {
            bundle = bundle.link("next", &self.link(&search, Some(&last)));
        }
        for record in &records {
            let (url, content) = (self.full_url(record), serve(record)?);
            bundle.entry(EntryToWrite {
                full_url: Some(&url),
                resource: content.as_deref(),
                search_mode: Some("match"),
                ..EntryToWrite::default()
            });
        }
        Ok(bundle.finish().into())
    }

    fn link(&self, search: &Search, after: Option<&str>) -> String {
        let mut url = format!("{}/{}", self.base, search.query.kind);
        let mut add = |name: &str, value: &str| {
            url.push(if url.contains('?') { '&' } else { '?' });
            encode(&mut url, name);
            url.push('=');
            encode(&mut url, value);
        };
        search.understood.iter().for_each(|(name, value)| add(name, value));
        if let Some(count) = search.count {
            add("_count", &count.to_string());
        }
        if search.count_only && search.count != Some(0) {
            add("_summary", "count");
        }
        if let Some(after) = after {
            add(AFTER, after);
        }
        url
    }
}

/// The records of one page, and the last id of it when there are more. They are read a few at a
/// time, and no more of them once their content fills the page.
async fn page<F: Future<Output = Result<Vec<Record>, store::Error>>>(
    query: RecordQuery,
    size: u32,
    mut search: impl FnMut(RecordQuery) -> F,
) -> Result<(Vec<Record>, Option<String>), store::Error> {
    let (size, mut records, mut bytes) = (size as usize, Vec::<Record>::new(), 0);
    loop {
        // One more than the page holds says whether there is a next one.
        let limit = (size + 1 - records.len()).min(PAGE_STEP_RECORDS as usize) as u32;
        let last = records.last().map(|record| record.id.clone());
        let after = last.or_else(|| query.after.clone());
        let found = search(RecordQuery { after, limit, ..query.clone() }).await?;
        let ends = found.len() < limit as usize;
        for record in found {
            bytes += record.content.as_ref().map_or(0, Bytes::len);
            let full = bytes > PAGE_BYTES_MAX && !records.is_empty();
            if full || records.len() == size {
                let last = records.last().map(|record| record.id.clone());
                return Ok((records, last));
            }
            records.push(record);
        }
        if ends {
            return Ok((records, None));
        }
    }
}

/// Percent-encoding of a query's names and values (RFC 3986 §3.4; unreserved characters stay).
fn encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests;
