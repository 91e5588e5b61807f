//! Narrowed: what a scope with a query opens (SMART App Launch 2.2, finer-grained resource constraints).
//!
//! Comes in   a caller whose token has such scopes, and a read or a search.
//! Goes out   the search within what its scope's query finds; whether a record is among that.
//! Never      anything else of the type: no history, no inclusion, no content, no operation. Never lets a
//!            parameter of the scope be passed over: where the door does not know it, nothing is found.
//!
//! Why a read is a search first: the door's own search says what a query finds, so that the two can
//! never differ.

use crate::rest::Rest;
use crate::trust::Caller;
use crate::urlencoded;
use exchange::query::{Ask, Handling};
use exchange::{Code, Issue};
use serde::Deserialize;
use std::sync::Arc;

/// A search, as far as it may see.
pub(crate) fn search<'a>(
    caller: &Caller,
    kind: &'a str,
    mut parameters: Vec<(String, String)>,
    handling: Handling,
) -> Result<Ask<'a>, Issue> {
    if caller.may(&format!("system/{kind}.s")) {
        return Ok(Ask::Search { kind, parameters, handling });
    }
    let query = match *caller.narrowed(kind, 's') {
        [] => return Err(missing(kind, 's')),
        [query] => query,
        _ => {
            let detail = format!(
                "the token has several scopes with a query for {kind}: search with a token that has one"
            );
            return Err(Issue::new(Code::ScopeMissing, detail));
        }
    };
    for parameter in urlencoded::decode(query.as_bytes())? {
        // The links of a page bring them along.
        if !parameters.contains(&parameter) {
            parameters.push(parameter);
        }
    }
    Ok(Ask::Search { kind, parameters, handling: Handling::Strict })
}

/// Whether a record may be read.
///
/// Errors: `ScopeMissing` where nothing of the type may be; `ResourceUnknown` where this one may not,
/// whether it is there or not.
pub(crate) async fn may_read(
    rest: &Arc<dyn Rest>,
    caller: &Caller,
    kind: &str,
    id: &str,
) -> Result<(), Issue> {
    if caller.may(&format!("system/{kind}.r")) {
        return Ok(());
    }
    let queries = caller.narrowed(kind, 'r');
    if queries.is_empty() {
        return Err(missing(kind, 'r'));
    }
    for query in queries {
        let mut parameters = urlencoded::decode(query.as_bytes())?;
        parameters.push(("_id".to_owned(), id.to_owned()));
        let ask = Ask::Search { kind, parameters, handling: Handling::Strict };
        let found = rest.ask(caller, ask).await?;
        let page: Page<'_> = serde_json::from_slice(&found.body).map_err(|error| {
            tracing::error!(%error, "a search's own answer");
            Issue::new(Code::InternalError, "the search for a narrowed scope cannot be read")
        })?;
        if page.entry.iter().any(|entry| entry.search.mode == "match") {
            return Ok(());
        }
    }
    Err(Issue::new(Code::ResourceUnknown, "there is no such record within the token's scopes"))
}

/// The one scope that opens it all.
fn missing(kind: &str, letter: char) -> Issue {
    let detail = format!("this request needs the scope system/{kind}.{letter}");
    Issue::new(Code::ScopeMissing, detail)
}

/// What of a searchset says what was found.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    search: How<'a>,
}

#[derive(Deserialize, Default)]
struct How<'a> {
    #[serde(default, borrow)]
    mode: &'a str,
}
