//! Compare: what became of real charts against a second opinion.
//!
//! Comes in   the houses' own words on every push; the expectation, made without their code.
//! Goes out   one line per payer and question: equal, or the difference.
//! Never      takes a count for granted: what the plan says it holds is asked for at its door.

use super::find;
use super::houses::{Houses, Running};
use super::pushing::Pushed;
use super::scene::{Charts, Scene};
use super::teller::Teller;
use crate::caller::ask;
use crate::house::operator_sign_in;
use crate::limits::{COMMAND_TIMEOUT, DEMO_TRIGGERS};
use crate::table;
use exchange::desk::{Command, Reply, Row};
use exchange::{Code, DecisionRow, Issue};
use serde_json::{Value, json};
use sim::overlay::{PayerExpectation, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;
use wire::FhirClient;
use wire::api::OPERATE;

/// What became of a chart for one payer. References are `Type/id` of the chart.
#[derive(Default)]
struct Became {
    pushes: usize,
    pushes_withheld: usize,
    filed: BTreeSet<String>,
    held: BTreeSet<String>,
    withheld: BTreeMap<String, String>,
    unresolved: BTreeSet<String>,
}

/// Compares; answers whether everything is equal.
pub(super) async fn compare(
    teller: &mut Teller,
    charts: &Charts,
    scene: &Scene,
    houses: &Houses,
    pushed: &Pushed,
) -> Result<bool, Issue> {
    teller.heading("Against a second opinion that shares no code with the houses");
    let mut equal = true;
    let mut facts = Vec::new();
    for (payer, expected) in scene.plans.iter().zip(&charts.expectation.payers) {
        let mut became = Became::default();
        for (house, rows) in houses.hospitals.iter().zip(&pushed.rows) {
            let own = |row: &&Row| row.partner.as_ref().is_some_and(|it| it.as_str() == payer.name);
            let own: Vec<Row> = rows.iter().filter(own).cloned().collect();
            became.take(shown(house, own).await?);
        }
        let records = match find(houses, &payer.name) {
            Some(plan) => records(plan, &became.filed).await?,
            None => 0,
        };
        let lines = lines(charts, expected, &became, records);
        equal &= lines.iter().all(|line| line.expected == line.found);
        teller.put(&[format!("  {}", payer.plan.name)]);
        let cells: Vec<Vec<String>> = lines.iter().map(Line::cells).collect();
        teller.put(&table::lines(4, &cells));
        if let Some(first) = first_difference(expected, &became) {
            equal = false;
            teller.put(&[format!("    differs first at {first}")]);
        }
        facts.push(json!({
            "payer": payer.name,
            "lines": lines.iter().map(Line::json).collect::<Vec<_>>(),
        }));
    }
    teller.say(match equal {
        true => "Equal, line by line.",
        false => {
            "There are differences. One of the two is wrong, and it should be found out which."
        }
    });
    teller.fact("comparison", facts);
    teller.fact("equal", equal);
    Ok(equal)
}

/// One question and its two answers.
struct Line {
    what: String,
    expected: usize,
    found: usize,
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let verdict = match self.expected == self.found {
            true => "equal".to_owned(),
            false => format!("expected {}", self.expected),
        };
        vec![self.what.clone(), self.found.to_string(), verdict]
    }

    fn json(&self) -> Value {
        json!({ "what": self.what, "found": self.found, "expected": self.expected })
    }
}

fn lines(
    charts: &Charts,
    expected: &PayerExpectation,
    became: &Became,
    records: usize,
) -> Vec<Line> {
    let line =
        |what: &str, expected: usize, found: usize| Line { what: what.to_owned(), expected, found };
    let withheld = |reason: Reason| {
        let fits = |rule: &&String| category(rule) == Some(reason);
        became.withheld.values().filter(fits).count()
    };
    let near = became.filed.len() + became.held.len() + became.withheld.len();
    let others = became.withheld.values().filter(|rule| category(rule).is_none()).count();
    let mut lines = vec![
        line("encounters pushed", expected.pushes.len(), became.pushes),
        line("encounters withheld", expected.pushes_withheld.len(), became.pushes_withheld),
        line("resources filed", expected.filed.len(), became.filed.len()),
        line("records at the plan", expected.filed.len(), records),
        line("resources held", expected.held.len(), became.held.len()),
    ];
    let reasons = [
        Reason::PatientRestriction,
        Reason::OtherPayer,
        Reason::OpaqueInSensitivePeriod,
        Reason::NotAgreed,
    ];
    for reason in reasons {
        let what = format!("withheld by {reason}");
        lines.push(line(&what, expected.withheld_for(reason), withheld(reason)));
    }
    lines.push(line("withheld by other rules", 0, others));
    lines.push(line(
        "referred to, not in the chart",
        expected.unresolved.len(),
        became.unresolved.len(),
    ));
    let not_asked = charts.resources.saturating_sub(near);
    lines.push(line("not asked for", expected.not_asked, not_asked));
    lines
}

/// The second opinion's word for a rule of the houses.
fn category(rule: &str) -> Option<Reason> {
    match rule {
        "patient-restriction" => Some(Reason::PatientRestriction),
        "other-payer" => Some(Reason::OtherPayer),
        "opaque-in-sensitive-period" => Some(Reason::OpaqueInSensitivePeriod),
        "not-agreed" | "financial-never" => Some(Reason::NotAgreed),
        _ => None,
    }
}

/// The first reference on which the two do not agree: equal counts can hide it.
fn first_difference(expected: &PayerExpectation, became: &Became) -> Option<String> {
    let sets = [("filed", &expected.filed, &became.filed), ("held", &expected.held, &became.held)];
    for (what, expected, found) in sets {
        if let Some(first) = expected.symmetric_difference(found).next() {
            let whose = if expected.contains(first) { "expected" } else { "found" };
            return Some(format!("{first}: only {whose} to be {what}"));
        }
    }
    let twice = became.filed.iter().find(|it| became.withheld.contains_key(*it));
    twice.map(|first| format!("{first}: both filed and withheld"))
}

impl Became {
    fn take(&mut self, pushes: Vec<(Row, Vec<DecisionRow>)>) {
        for (row, decisions) in pushes {
            let travels = row.state != "withheld";
            if travels {
                self.pushes += 1;
            } else {
                self.pushes_withheld += 1;
            }
            for decision in decisions {
                match (decision.included, decision.rule.as_str()) {
                    (true, _) if travels && row.state == "settled" => {
                        self.filed.insert(decision.reference);
                    }
                    (true, _) if travels => drop(self.held.insert(decision.reference)),
                    // Permitted, but its encounter may not travel, and it not alone.
                    (true, _) => {}
                    (false, "unresolved-in-source") => {
                        self.unresolved.insert(decision.reference);
                    }
                    (false, _) => drop(self.withheld.insert(decision.reference, decision.rule)),
                }
            }
        }
        self.held = self.held.difference(&self.filed).cloned().collect();
    }
}

/// The decisions of every push, as its house shows them.
async fn shown(house: &Running, rows: Vec<Row>) -> Result<Vec<(Row, Vec<DecisionRow>)>, Issue> {
    let mut looking: JoinSet<Result<(Row, Vec<DecisionRow>), Issue>> = JoinSet::new();
    let mut all = Vec::new();
    let broken = || Issue::new(Code::InternalError, "looking was broken off");
    for row in rows {
        if looking.len() >= DEMO_TRIGGERS {
            let joined = looking.join_next().await.ok_or_else(broken)?;
            all.push(joined.map_err(|_| broken())??);
        }
        let client = Arc::clone(&house.client);
        looking.spawn(async move {
            let command = Command::Show { id: row.id.clone(), page: false };
            match ask(&client, &command).await? {
                Reply::Shown(shown) => Ok((row, shown.decisions)),
                _ => Err(Issue::new(Code::AnswerUnreadable, "a house did not show a push")),
            }
        });
    }
    while let Some(joined) = looking.join_next().await {
        all.push(joined.map_err(|_| broken())??);
    }
    Ok(all)
}

/// How many records of the filed types the plan's own door counts.
async fn records(plan: &Running, filed: &BTreeSet<String>) -> Result<usize, Issue> {
    // Without the operator's own scope a caller sees nothing but what it has sent itself.
    let scope = format!("{OPERATE} system/*.rs");
    let (transport, sign_in) = operator_sign_in(&plan.config, COMMAND_TIMEOUT, &scope)?;
    let client = FhirClient::new(&plan.config.file.base_url, transport, Some(sign_in));
    let kinds: BTreeSet<&str> =
        filed.iter().filter_map(|it| it.split_once('/')).map(|(kind, _)| kind).collect();
    let mut sum = 0;
    for kind in kinds {
        let answer = client.get(&format!("{kind}?_summary=count")).await;
        let answer = answer.map_err(|_| {
            Issue::new(Code::PayerUnreachable, "the plan's door does not answer a count")
        })?;
        let bundle: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let total = bundle["total"].as_u64().ok_or_else(|| {
            Issue::new(Code::AnswerUnreadable, "the plan's door answers a count without a total")
        })?;
        sum += usize::try_from(total).unwrap_or(usize::MAX);
    }
    Ok(sum)
}
