//! Conditions: the searches by which entries and references name records.
//!
//! Comes in   a Bundle's conditions, and whose records they are asked of.
//! Goes out   the ids that fit each, in the house and in the Bundle; what they rely on.
//! Never      asks the same question twice, and never more than it must: two that fit are too many.

use super::Sent;
use crate::desk::store_issue;
use crate::keys::keys;
use crate::limits::{CONDITION_BYTES_MAX, CONDITIONS_MAX, CONDITIONS_TOGETHER};
use crate::search::{Handling, Search};
use exchange::read::{self, Action, Condition, LinkTo, Target};
use exchange::{Code, Issue};
use fhir::Resource;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use store::{Expect, House, RecordKeys, RecordQuery, token};

/// Every condition of a Bundle, and what fits it.
pub(super) struct Conditions {
    asked: HashMap<Condition, Asked>,
    expects: Vec<Expect>,
}

/// One condition: what the store is asked, and the ids that fit.
struct Asked {
    query: RecordQuery,
    found: Result<Vec<String>, Issue>,
}

impl Conditions {
    /// Looks for all of them. Errors: those of the store.
    pub(super) async fn look<H: House>(
        house: &H,
        sent: Sent<'_>,
        incoming: &read::Incoming,
    ) -> Result<Conditions, Issue> {
        let mut conditions = Conditions { asked: HashMap::new(), expects: Vec::new() };
        let mut together: BTreeMap<String, Vec<(String, Condition)>> = BTreeMap::new();
        for condition in distinct(incoming) {
            let asked = Asked::of(&condition, sent, conditions.asked.len());
            match asked.one_token().map(str::to_owned) {
                Some(token) => {
                    let of_kind = together.entry(condition.kind.clone()).or_default();
                    of_kind.push((token, condition.clone()));
                }
                None => conditions.look_for(house, &condition, asked).await?,
            }
        }
        for (kind, tokens) in together {
            for some in tokens.chunks(CONDITIONS_TOGETHER) {
                conditions.look_together(house, sent, &kind, some).await?;
            }
        }
        Ok(conditions)
    }

    /// One condition on its own.
    async fn look_for<H: House>(
        &mut self,
        house: &H,
        condition: &Condition,
        mut asked: Asked,
    ) -> Result<(), Issue> {
        if asked.found.as_ref().is_ok_and(Vec::is_empty) && !asked.query.kind.is_empty() {
            let query = RecordQuery { limit: 2, ..asked.query.clone() };
            let records = house.search(query).await.map_err(store_issue)?;
            let ids: Vec<_> = records.into_iter().map(|record| record.id).collect();
            if ids.len() < 2 {
                let query = Box::new(asked.query.clone());
                self.expects.push(Expect::Found { query, ids: ids.clone() });
            }
            asked.found = Ok(ids);
        }
        self.asked.insert(condition.clone(), asked);
        Ok(())
    }

    /// Several conditions for one token each, of one type: one question.
    async fn look_together<H: House>(
        &mut self,
        house: &H,
        sent: Sent<'_>,
        kind: &str,
        tokens: &[(String, Condition)],
    ) -> Result<(), Issue> {
        let wanted: BTreeSet<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
        let limit = u32::try_from(wanted.len() * 2 + 1).unwrap_or(u32::MAX);
        let query = RecordQuery {
            kind: kind.to_owned(),
            tokens: vec![wanted.iter().map(|token| (*token).to_owned()).collect()],
            owner: Some(sent.owner.clone()),
            limit,
            bytes: CONDITION_BYTES_MAX,
            ..RecordQuery::default()
        };
        let records = house.search(query.clone()).await.map_err(store_issue)?;
        let bytes: usize = records.iter().flat_map(|one| &one.content).map(|one| one.len()).sum();
        // More may fit than were read: then each is asked alone.
        if records.len() >= limit as usize || bytes as u64 >= CONDITION_BYTES_MAX {
            for (_, condition) in tokens {
                let asked = Asked::of(condition, sent, 0);
                self.look_for(house, condition, asked).await?;
            }
            return Ok(());
        }
        let ids = records.iter().map(|record| record.id.clone()).collect();
        self.expects.push(Expect::Found { query: Box::new(query), ids });
        let mut fitting: HashMap<String, Vec<String>> = HashMap::new();
        for record in records {
            let resource = record.content.and_then(|content| Resource::parse(content).ok());
            let found = resource.map(|resource| keys(&resource).tokens).unwrap_or_default();
            for token in found.into_iter().filter(|token| wanted.contains(token.as_str())) {
                fitting.entry(token).or_default().push(record.id.clone());
            }
        }
        for (token, condition) in tokens {
            let mut asked = Asked::of(condition, sent, 0);
            asked.found = Ok(fitting.get(token).cloned().unwrap_or_default());
            self.asked.insert(condition.clone(), asked);
        }
        Ok(())
    }

    /// The ids that fit, among the sender's records in the house; at least two where more do.
    pub(super) fn matches(&self, condition: &Condition) -> Result<Vec<String>, Issue> {
        match self.asked.get(condition) {
            Some(asked) => asked.found.clone(),
            None => Ok(Vec::new()),
        }
    }

    /// That the same ids fit when the unit is written.
    pub(super) fn expects(&self) -> Vec<Expect> {
        self.expects.clone()
    }
}

impl Asked {
    /// Reads a condition; `before`: how many the Bundle has given already.
    fn of(condition: &Condition, sent: Sent<'_>, before: usize) -> Asked {
        match read(condition, sent, before) {
            // `None`: two parts exclude each other, and nothing can fit.
            Ok(query) => Asked { query: query.unwrap_or_default(), found: Ok(Vec::new()) },
            Err(issue) => Asked { query: RecordQuery::default(), found: Err(issue) },
        }
    }

    /// The token, with its system, where that is all it asks for.
    fn one_token(&self) -> Option<&str> {
        let [alternatives] = &self.query.tokens[..] else { return None };
        let [token] = &alternatives[..] else { return None };
        let alone = RecordQuery {
            kind: self.query.kind.clone(),
            tokens: self.query.tokens.clone(),
            owner: self.query.owner.clone(),
            ..RecordQuery::default()
        };
        (self.query == alone && token::is_whole(token)).then_some(token)
    }
}

fn read(
    condition: &Condition,
    sent: Sent<'_>,
    before: usize,
) -> Result<Option<RecordQuery>, Issue> {
    if before >= CONDITIONS_MAX {
        let detail = format!("a Bundle has at most {CONDITIONS_MAX} different conditions");
        return Err(Issue::new(Code::ParameterInvalid, detail));
    }
    let about_answer =
        |name: &str| name.starts_with('_') && !matches!(name, "_id" | "_lastUpdated");
    if condition.parameters.iter().any(|(name, _)| about_answer(name)) {
        let detail = "a condition asks about the record, not about an answer";
        return Err(Issue::new(Code::ParameterUnsupported, detail));
    }
    let parameters = &condition.parameters;
    let search = Search::parse(sent.base, &condition.kind, parameters, Handling::Strict);
    let search = search.map_err(|issue| match issue.code {
        Code::ResourceUnknown => Issue { code: Code::ParameterUnsupported, ..issue },
        _ => issue,
    })?;
    let query = RecordQuery { owner: Some(sent.owner.clone()), ..search.query };
    Ok((!search.impossible).then_some(query))
}

/// The different conditions of a Bundle, in their order.
fn distinct(incoming: &read::Incoming) -> Vec<Condition> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    let mut take = |condition: &Condition| {
        if !seen.contains(condition) {
            seen.insert(condition.clone());
            all.push(condition.clone());
        }
    };
    for entry in &incoming.entries {
        if let Target::Fits(condition) = &entry.target {
            take(condition);
        }
        entry.unless.iter().for_each(&mut take);
        for link in &entry.links {
            if let LinkTo::Fits(condition) = &link.to {
                take(condition);
            }
        }
    }
    all
}

/// What the Bundle's own resources are found by, of types that conditions ask about.
pub(super) struct Fitting {
    keys: Vec<(usize, String, Option<String>, RecordKeys)>,
    by_token: HashMap<(String, String), Vec<usize>>,
    by_words: HashMap<Condition, Vec<usize>>,
}

impl Fitting {
    pub(super) fn of(incoming: &read::Incoming, conditions: &Conditions) -> Fitting {
        let kinds: BTreeSet<&str> =
            conditions.asked.keys().map(|condition| condition.kind.as_str()).collect();
        let mut fitting =
            Fitting { keys: Vec::new(), by_token: HashMap::new(), by_words: HashMap::new() };
        for entry in incoming.entries.iter().filter(|entry| kinds.contains(entry.kind.as_str())) {
            if let Some(condition) = &entry.unless {
                fitting.by_words.entry(condition.clone()).or_default().push(entry.index);
            }
            let (Action::Create(resource) | Action::Put(resource)) = &entry.action else {
                continue;
            };
            let keys = keys(resource);
            for token in &keys.tokens {
                let of_token = (entry.kind.clone(), token.clone());
                fitting.by_token.entry(of_token).or_default().push(entry.index);
            }
            let id = entry.id().map(str::to_owned);
            fitting.keys.push((entry.index, entry.kind.clone(), id, keys));
        }
        fitting
    }

    /// The entries whose resource fits, by their positions in the Bundle.
    pub(super) fn of_condition(
        &self,
        conditions: &Conditions,
        condition: &Condition,
    ) -> Vec<usize> {
        let Some(asked) = conditions.asked.get(condition) else { return Vec::new() };
        if asked.query.kind.is_empty() {
            return Vec::new();
        }
        if let Some(token) = asked.one_token() {
            let of_token = (condition.kind.clone(), token.to_owned());
            return self.by_token.get(&of_token).cloned().unwrap_or_default();
        }
        let of_kind = self.keys.iter().filter(|(_, kind, ..)| *kind == condition.kind);
        // What asks when a record was filed, no resource fits that is about to be.
        let query = Some(&asked.query).filter(|query| query.last_updated == (None, None));
        let fitting = of_kind
            .filter(|(_, _, id, keys)| query.is_some_and(|query| query.fits(id.as_deref(), keys)));
        fitting.map(|(index, ..)| *index).collect()
    }

    /// The entries that are created on the same condition.
    pub(super) fn alike(&self, condition: &Condition) -> impl Iterator<Item = usize> + '_ {
        self.by_words.get(condition).into_iter().flatten().copied()
    }
}
