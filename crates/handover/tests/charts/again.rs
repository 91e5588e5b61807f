//! The same patients' encounters, then their histories, then the results, twice over: no record gains a
//! version unless its content changed, and none that several patients share.

use crate::common::House;
use crate::scene::{Scene, Setting};
use sim::ehr::EhrMode;
use sim::overlay::PushKind;

#[test]
fn encounters_history_and_results_twice_over_make_no_version_of_what_did_not_change() {
    let setting = Setting { patients: 2, ..Setting::new(EhrMode::Full) };
    let Some(mut scene) = Scene::set(&setting) else { return };
    let kinds = [PushKind::Encounter, PushKind::History, PushKind::Results];
    let mut before = Vec::new();
    for round in 0..2 {
        for kind in kinds {
            let subjects = scene.subjects(kind);
            assert!(!subjects.is_empty(), "{kind:?}");
            let pushed = scene.push(&subjects);
            for row in pushed.values().flatten().filter(|row| row.partner.is_some()) {
                let wanted = if round == 0 { "settled" } else { "unchanged" };
                assert!([wanted, "withheld"].contains(&row.state.as_str()), "{kind:?} {row:?}");
            }
        }
        for payer in &scene.stage.payers {
            // One push, one Provenance; of all else the first version is the only one.
            let versions = payer.dump();
            let second = versions.iter().filter(|(_, _, version, _)| *version > 1).count();
            assert_eq!(second, 0, "round {round}");
        }
        let after: Vec<_> = scene.stage.payers.iter().map(House::dump).collect();
        if round == 1 {
            assert!(after == before, "a version was made though nothing had changed");
        }
        before = after;
    }
    scene.stage.stop();
}
