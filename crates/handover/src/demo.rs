//! Demo: hospitals and plans at work on this machine, told as a story.
//!
//! Comes in   nothing, or a folder of real charts.
//! Goes out   houses as processes of their own, every finished encounter pushed, and what became of
//!            each in plain sentences; the houses' folders stay for a closer look.
//! Never      leaves a process behind, whatever way it ends.
//!
//! Why over the houses' own doors: what is shown here is what an installation does. The demo knows
//! the houses by their addresses and the operator's key, as any other caller.

mod compare;
mod directory;
mod houses;
mod pushing;
mod scene;
mod story;
mod teller;
mod trust;

use crate::args::DemoArgs;
use crate::caller;
use crate::render::{COULD_NOT, DONE};
use crate::serve;
use exchange::desk::{Command, Reply};
use exchange::{Code, Issue};
use houses::{Houses, Running};
use scene::Scene;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use teller::Teller;

/// Runs the demo; answers the exit code.
///
/// Errors: whatever keeps a house from being made or from opening.
pub async fn run(args: DemoArgs, json: bool) -> Result<u8, Issue> {
    tokio::select! {
        ended = play(&args, json) => ended,
        // Dropping the play ends every house with it.
        () = serve::interrupted() => Ok(COULD_NOT),
    }
}

async fn play(args: &DemoArgs, json: bool) -> Result<u8, Issue> {
    let began = Instant::now();
    let mut teller = Teller::new(json);
    let folder = folder(args.keep.as_deref())?;
    let scene = Scene::set(args)?;
    let opening = scene.title.clone();
    teller.say(&opening);
    teller.say(
        "Each house below is a process of its own, with its own keys, certificate authority, \
         store and ledger. They speak HTTPS on this machine only.",
    );
    let houses = Houses::open(&scene, &folder).await?;
    story::cast(&mut teller, &scene, &houses, began.elapsed());

    let pushing = Instant::now();
    let pushed = pushing::push_all(&scene, &houses, &teller).await?;
    let took = pushing.elapsed();
    story::pushed(&mut teller, &houses, &pushed, took);
    trust::told(&mut teller, &houses).await?;
    let mut code = DONE;
    match &scene.charts {
        Some(charts) => {
            let equal = compare::compare(&mut teller, charts, &scene, &houses, &pushed).await?;
            code = if equal { DONE } else { COULD_NOT };
        }
        None => {
            story::restriction(&mut teller, &scene, &houses, &pushed);
            story::unknown_member(&mut teller, &scene, &houses, began).await?;
        }
    }
    let places = houses.places();
    houses.stop().await;
    if !ledgers(&mut teller, &places).await? {
        code = COULD_NOT;
    }
    story::end(&mut teller, &scene, &folder, &places, &pushed, began.elapsed());
    teller.finish();
    Ok(code)
}

/// Where the houses live: kept for the commands that come after.
fn folder(keep: Option<&Path>) -> Result<PathBuf, Issue> {
    let unwritable = |path: &Path| {
        let issue = Issue::new(Code::ConfigInvalid, "the demo's folder cannot be made");
        issue.at(path.display().to_string())
    };
    let Some(keep) = keep else {
        let made = tempfile::Builder::new().prefix("handover-demo-").tempdir();
        return made.map(tempfile::TempDir::keep).map_err(|_| unwritable(&std::env::temp_dir()));
    };
    if keep.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        let detail = "the folder is not empty; name a new one with --keep";
        return Err(Issue::new(Code::ConfigInvalid, detail).at(keep.display().to_string()));
    }
    std::fs::create_dir_all(keep).map_err(|_| unwritable(keep))?;
    Ok(keep.to_owned())
}

/// Verifies every ledger, now that the houses have stopped and signed its end.
async fn ledgers(teller: &mut Teller, places: &[houses::Place]) -> Result<bool, Issue> {
    let mut whole = true;
    let mut entries = 0;
    for place in places {
        let reply = caller::carry_out(
            &place.config,
            Command::Verify { witness: Vec::new() },
            Duration::ZERO,
        )
        .await?;
        if let Reply::Verified { proved_to, last, broken, .. } = reply {
            entries += last;
            if broken.is_some() || proved_to < last {
                whole = false;
                teller.say(&format!("The ledger of {} does not verify.", place.title));
            }
        }
    }
    teller.fact("ledger_entries", entries);
    teller.fact("ledgers_verify", whole);
    if whole {
        teller.heading("Proof");
        teller.say(&format!(
            "All {} ledgers verify: {entries} entries, each proved by a signed checkpoint.",
            places.len()
        ));
    }
    Ok(whole)
}

/// A running house of the play, by its partner name.
fn find<'h>(houses: &'h Houses, name: &str) -> Option<&'h Running> {
    houses.hospitals.iter().chain(&houses.plans).find(|house| house.name == name)
}
