//! One encounter travels from a hospital to a plan.

use crate::common::Stage;
use sim::TownPlan;

#[test]
fn an_encounter_is_filed_at_the_plan() {
    let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(1, &plan);
    stage.serve();
    let encounter = stage.finished()[0].clone();
    let (code, reply) = stage.provider.json(&["push", "encounter", &encounter]);
    assert_eq!(code, 0, "{reply}");
    assert_eq!(reply["rows"][0]["state"], "settled", "{reply}");
    assert_eq!(reply["rows"][0]["level"], "filed");
    let filed = stage.payers[0].records();
    assert!(filed.keys().any(|reference| reference.starts_with("Encounter/")));
    let reference = filed.keys().next().unwrap();
    assert_eq!(stage.payers[0].get(reference).0, 200);
    stage.stop();
}
