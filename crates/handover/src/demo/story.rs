//! Story: what became of the pushes, in plain sentences.
//!
//! Comes in   rows, as the houses list them.
//! Goes out   paragraphs for somebody who has read nothing before.
//! Never      a patient's name: the story knows encounters by their ids.

use super::houses::{Houses, Place, Running};
use super::pushing::{Pushed, await_word, is_taken, list};
use super::scene::{Scene, role_word};
use super::teller::Teller;
use crate::caller::ask;
use crate::config::write_text;
use crate::limits::DEMO_STORY_MAX;
use crate::render::{self, counted, withholding_words};
use crate::table;
use exchange::desk::{Command, Reply, Row};
use exchange::{Issue, Who, Withholding};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Introduces the houses.
pub(super) fn cast(teller: &mut Teller, scene: &Scene, houses: &Houses, took: Duration) {
    let row = |house: &Running| {
        let role = role_word(house.config.file.role).to_owned();
        vec![house.title.clone(), role, house.config.file.base_url.clone()]
    };
    let rows: Vec<_> = houses.hospitals.iter().chain(&houses.plans).map(row).collect();
    teller.put(&[String::new()]);
    teller.put(&table::lines(2, &rows));
    teller.put(&[String::new()]);
    teller.say(&format!(
        "The hospitals look for the plans' doors in a directory, a process of its own at {}: it \
         lists {} endpoints, of which one of each plan is active and for use.",
        houses.directory.base_url, houses.directory.endpoints
    ));
    teller.fact("directory", houses.directory.base_url.as_str());
    teller.say(&format!(
        "They were made and opened in {}. Now every finished encounter is pushed: {} of them.",
        seconds(took),
        scene.encounters()
    ));
}

/// What was pushed, by hospital and plan.
pub(super) fn pushed(teller: &mut Teller, houses: &Houses, pushed: &Pushed, took: Duration) {
    teller.heading("What became of them");
    for (house, rows) in houses.hospitals.iter().zip(&pushed.rows) {
        teller.put(&[format!("  {}", house.title)]);
        let mut lines = Vec::new();
        for plan in &houses.plans {
            let own = |row: &&Row| row.partner.as_ref().is_some_and(|it| it.as_str() == plan.name);
            let own: Vec<&Row> = rows.iter().filter(own).collect();
            lines.push(vec![format!("to {}:", plan.title), outcome_words(&own)]);
        }
        teller.put(&table::lines(4, &lines));
        let held: Vec<&Row> = rows.iter().filter(|row| row.partner.is_none()).collect();
        for row in held {
            let issues: Vec<_> = row.issues.iter().map(|it| it.issue.to_string()).collect();
            teller.put(&[format!("    {} waits here: {}", row.id, issues.join("; "))]);
        }
    }
    let mut rules: BTreeMap<String, Withholding> = BTreeMap::new();
    for withheld in pushed.all().flat_map(|row| &row.withheld) {
        let sum = rules.entry(withheld.rule.clone()).or_insert_with(|| Withholding {
            rule: withheld.rule.clone(),
            resources: 0,
            elements: 0,
        });
        sum.resources += withheld.resources;
        sum.elements += withheld.elements;
    }
    if !rules.is_empty() {
        teller.put(&["  This stayed at home:".to_owned()]);
        let lines: Vec<_> =
            rules.values().map(|it| format!("    {}", withholding_words(it))).collect();
        teller.put(&lines);
    }
    let settled = pushed.all().filter(|row| row.state == "settled").count();
    teller.fact("triggered", pushed.triggered);
    teller.fact("pushes", pushed.all().count());
    teller.fact("settled", settled);
    teller.fact("push_seconds", took.as_secs_f64());
}

type Test = fn(&Row) -> bool;

/// `7 filed with 190 resources, 1 withheld`.
fn outcome_words(rows: &[&Row]) -> String {
    let mut words = Vec::new();
    let of = |wanted: Test| -> (u64, u64) {
        let rows = rows.iter().filter(|row| wanted(row));
        rows.fold((0, 0), |(count, sum), row| (count + 1, sum + row.resources))
    };
    let (filed, resources) = of(|row| row.state == "settled");
    words.push(format!("{filed} filed, with {}", counted(resources, "resource")));
    let others: [(Test, &str); 5] = [
        (|row| row.state == "withheld", "withheld, as a rule says"),
        (is_taken, "held by the plan for a person there"),
        (|row| row.state == "held", "waiting for a person here"),
        (|row| row.state == "refused", "refused"),
        (|row| row.state == "due" && !is_taken(row), "waiting behind it, in their order"),
    ];
    for (wanted, what) in others {
        let (count, _) = of(wanted);
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    }
    words.join("; ")
}

/// The planted restriction.
pub(super) fn restriction(teller: &mut Teller, scene: &Scene, houses: &Houses, pushed: &Pushed) {
    let Some(planted) = &scene.restriction else { return };
    let Some(house) = houses.hospitals.get(planted.hospital) else { return };
    let rows = pushed.rows.get(planted.hospital).map(Vec::as_slice).unwrap_or_default();
    let about = |row: &&Row| row.subject.as_deref() == Some(planted.encounter.as_str());
    let rows: Vec<&Row> = rows.iter().filter(about).collect();
    let kept = !rows.is_empty() && rows.iter().all(|row| row.state == "withheld");
    teller.fact("restriction_kept", kept);
    teller.heading("A patient's wish");
    teller.say(&format!(
        "One patient of {} paid for {} and asked that no plan be told. The law binds the hospital \
         to that (45 CFR 164.522(a)(1)(vi)), so it stands in its table of restrictions:",
        house.title, planted.encounter
    ));
    put_rows(teller, &rows);
    teller.say(match kept {
        true => "Nothing of that encounter has left the hospital.",
        false => "That encounter was not withheld. This should not be.",
    });
}

/// The planted unknown member: held, mended, released, filed.
pub(super) async fn unknown_member(
    teller: &mut Teller,
    scene: &Scene,
    houses: &Houses,
    began: Instant,
) -> Result<(), Issue> {
    let Some(planted) = &scene.unknown else { return Ok(()) };
    let (Some(house), Some(plan)) =
        (houses.hospitals.get(planted.hospital), houses.plans.get(planted.plan))
    else {
        return Ok(());
    };
    let held = list(plan, &["held"]).await?;
    teller.heading("A member the plan does not know");
    teller.say(&format!(
        "One patient of {} has a member id that {} cannot find. Nothing is lost and nobody sends \
         a fax: the hospital has the plan's word that it was taken, and the plan has it on its list:",
        house.title, plan.title
    ));
    put_rows(teller, &held.iter().take(1).collect::<Vec<_>>());
    if held.len() > 1 {
        let more = counted(held.len() as u64 - 1, "push");
        teller.put(&[format!("  and {more} more of the same person, for the same reason")]);
    }
    let Some(payer) = scene.plans.get(planted.plan) else { return Ok(()) };
    let mut mended = payer.plan.clone();
    mended.members.extend(payer.unheard.clone());
    write_text(&plan.folder.join("members.csv"), &mended.member_file())?;
    let mut filed = 0;
    for row in &held {
        let who = Who {
            name: "demo".to_owned(),
            role: "member-services".to_owned(),
            why: "joined this week; the member file has been brought up to date".to_owned(),
        };
        let command = Command::Release { id: row.id.clone(), who, member: None };
        if let Reply::Pushed { rows, .. } = ask(&plan.client, &command).await? {
            filed += rows
                .iter()
                .filter(|row| row.state == "filed")
                .map(|row| row.resources)
                .sum::<u64>();
        }
    }
    teller.fact("held", held.len());
    teller.fact("filed_after_release", filed);
    teller.say(&format!(
        "Somebody at {} finds that the person joined this week, brings the member file up to date \
         and releases what was held: {} filed.",
        plan.title,
        counted(filed, "resource"),
    ));
    let waiting = await_word(house, began + DEMO_STORY_MAX).await?;
    let taken = waiting.iter().filter(|row| is_taken(row));
    let next = taken.filter_map(|row| row.next_at).min().map(render::when);
    teller.fact("still_due", waiting.len());
    match (waiting.len() as u64, next) {
        (0, _) => teller.say(&format!(
            "{} has asked for the plan's word by itself, and settled what was held.",
            house.title,
        )),
        (count, next) => teller.say(&format!(
            "{} will ask for that word by itself at {}; {count} of its pushes wait for that, in \
             their order.",
            house.title,
            next.unwrap_or_default(),
        )),
    }
    Ok(())
}

fn put_rows(teller: &mut Teller, rows: &[&Row]) {
    for row in rows {
        let what = row.subject.clone().or_else(|| row.label.clone()).unwrap_or_default();
        let partner = row.partner.as_ref().map(ToString::to_string).unwrap_or_default();
        teller.put(&[format!("  {what}, {partner}: {}", row.state)]);
        for words in &row.issues {
            let text = words.issue.to_string();
            teller.put(&text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>());
        }
    }
}

/// Counts, time, and what to try next.
pub(super) fn end(
    teller: &mut Teller,
    scene: &Scene,
    folder: &Path,
    places: &[Place],
    pushed: &Pushed,
    took: Duration,
) {
    let seconds_taken = seconds(took);
    teller.fact("seconds", took.as_secs_f64());
    teller.fact("folder", folder.display().to_string());
    let houses: Vec<String> = places.iter().map(|it| it.folder.display().to_string()).collect();
    teller.fact("houses", houses);
    teller.put(&[String::new()]);
    let of = |state: &str| pushed.all().filter(|row| row.state == state).count();
    let (settled, withheld) = (of("settled"), of("withheld"));
    let waiting = pushed.all().count() - settled - withheld;
    teller.say(&format!(
        "{} in, one answer for each plan: {settled} filed at once, {withheld} withheld by a rule, \
         {waiting} held until a person had looked, 0 lost. {seconds_taken} from beginning to end.",
        counted(scene.encounters() as u64, "encounter"),
    ));
    let (Some(hospital), Some(plan)) = (places.first(), places.last()) else { return };
    let (hospital, plan) = (hospital.folder.display(), plan.folder.display());
    let settled = pushed.rows.first().and_then(|rows| rows.iter().find(|it| it.state == "settled"));
    let id = settled.map(|row| row.id.clone()).unwrap_or_default();
    teller.heading("The houses have stopped; their folders stay. Look closer:");
    let program = program();
    teller.put(&[
        format!("  {program} --house {hospital} list"),
        format!("  {program} --house {hospital} show {id}"),
        format!("  {program} --house {hospital} show {id} --page"),
        format!("  {program} --house {plan} list"),
        format!("  {program} --house {plan} ledger verify"),
        String::new(),
        "Two houses of your own: see README.md.".to_owned(),
    ]);
}

/// How this program was called.
fn program() -> String {
    let named = std::env::args().next().unwrap_or_else(|| "handover".to_owned());
    if named.contains("target/") || named.contains('/') { named } else { "handover".to_owned() }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
