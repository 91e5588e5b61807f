//! A plan asks a sending house for its members' histories, and the house is ended meanwhile: the export
//! goes on, and what it gives is the same.

use crate::common::{House, Stage};
use crate::sender::Sender;
use bytes::Bytes;
use exchange::id::derived_id;
use serde_json::Value;
use sim::TownPlan;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use store::WorkKind;

/// Where only an export passes.
pub(crate) const OF_A_PULL: [&str; 2] = ["pull-asked", "pull-spread"];

/// Where it passes as every bulk submission does.
const SHARED: [&str; 3] = ["bulk-closed", "bulk-made", "bulk-settled"];

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A hospital whose first plan may pull, and everybody of it on the roster.
fn stage() -> Stage {
    let plan = TownPlan { hospitals: 1, plans: 2, ..TownPlan::default() };
    let (mut stage, _) = Stage::of_town(6, &plan);
    stage.let_pull(0);
    let other = format!("agreements/{}.toml", stage.payers[1].public().name);
    stage.provider.write(&other, &(stage.provider.read(&other) + "\n[bulk]\n"));
    stage.serve();
    stage.wait_for_roster();
    stage
}

fn until<T>(what: &str, mut is_there: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = is_there() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// The plan's program at the hospital's door.
struct Plan {
    sender: Sender,
    token: String,
}

impl Plan {
    fn of(payer: &House, provider: &House) -> Plan {
        let sender = Sender::with_keys_of(payer, provider);
        let token = sender.token("system/*.rs").unwrap();
        Plan { sender, token }
    }

    fn request(&self, path: &str) -> http::Request<Bytes> {
        let request = self.sender.request("GET", path, &self.token);
        request.header("prefer", "respond-async").body(Bytes::new()).unwrap()
    }

    fn path(&self, url: &str) -> String {
        url.strip_prefix(&self.sender.base_url).expect(url).trim_start_matches('/').to_owned()
    }

    /// The manifest, once it is there.
    fn manifest(&self, id: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let told = self.sender.get(&self.token, &format!("status/{id}"));
            match told.status {
                200 => return told.json(),
                202 | 429 => assert!(Instant::now() < end, "waited for {id} in vain"),
                _ => panic!("{told:?}"),
            }
            let seconds = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
            std::thread::park_timeout(Duration::from_secs(seconds));
        }
    }

    /// `Type/id` of all files; what says who sent a push is named by its number, and left out.
    fn fetched(&self, manifest: &Value) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for file in manifest["output"].as_array().unwrap() {
            let path = self.path(file["url"].as_str().unwrap());
            let told = self.sender.get(&self.token, &path);
            assert_eq!(told.status, 200, "{told:?}");
            let text = String::from_utf8(told.body.to_vec()).unwrap();
            assert_eq!(file["count"], text.lines().count());
            for line in text.lines() {
                let one: Value = serde_json::from_str(line).unwrap();
                let (kind, id) = (one["resourceType"].as_str(), one["id"].as_str());
                found.insert(format!("{}/{}", kind.unwrap(), id.unwrap()));
            }
        }
        found.retain(|name| !name.starts_with("Provenance/"));
        found
    }
}

fn exports(provider: &House) -> BTreeSet<String> {
    let rows = provider.works(WorkKind::BulkSent);
    rows.into_iter().map(|row| row.work.id).collect()
}

/// How many histories of an export are in this state.
fn histories(provider: &House, export: &str, state: &str) -> usize {
    let rows = provider.works(WorkKind::Push).into_iter();
    rows.filter(|row| row.work.id.starts_with(export) && row.work.state == state).count()
}

#[test]
fn an_export_of_members_that_a_house_was_ended_in_goes_on_when_it_is_started_again() {
    let mut stage = stage();
    let plan = Plan::of(&stage.payers[0], &stage.provider);
    let name = stage.payers[0].public().name;
    let group = derived_id(&stage.provider.public().namespace, "Group", name.as_str());
    let kick_off = format!("Group/{group}/$export");
    let told = plan.sender.send(plan.request(&kick_off));
    assert_eq!(told.status, 202, "{told:?}");
    let place = plan.path(told.headers["content-location"].to_str().unwrap());
    let first = place.strip_prefix("status/").unwrap().to_owned();
    let manifest = plan.manifest(&first);
    let whole = plan.fetched(&manifest);
    let patients = whole.iter().filter(|name| name.starts_with("Patient/")).count();
    assert!(patients > 1 && whole.len() > 20, "{whole:?}");
    let all = stage.chart.of_kind("Patient").len();
    assert!(patients < all, "not the other plan's {patients} of {all}");
    until("each is taken", || {
        (histories(&stage.provider, &first, "settled") == patients).then_some(())
    });

    let other = Plan::of(&stage.payers[1], &stage.provider);
    assert_eq!(other.sender.send(other.request(&kick_off)).status, 403, "it was not agreed");
    let told = other.sender.get(&other.token, &place);
    assert_eq!(
        (told.status, told.json()["resourceType"].as_str()),
        (404, Some("OperationOutcome"))
    );

    for point in OF_A_PULL.iter().chain(&SHARED) {
        stage.provider.stop();
        stage.provider.serve_with(&[("HANDOVER_HALT_AFTER", *point)]);
        let before = exports(&stage.provider);
        let provider = &mut stage.provider;
        std::thread::scope(|scope| {
            // The house may be ended before it answers, and while a file is fetched.
            scope.spawn(|| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let told = plan.sender.send(plan.request(&kick_off));
                    let place = told.headers["content-location"].to_str().unwrap().to_owned();
                    let id = plan.path(&place).replace("status/", "");
                    plan.fetched(&plan.manifest(&id));
                }))
                .ok();
            });
            provider.process().wait_halted();
            provider.kill();
        });
        stage.provider.serve();
        let after = exports(&stage.provider);
        let new: Vec<_> = after.difference(&before).collect();
        assert_eq!(new.len(), 1, "{point}");
        let manifest = plan.manifest(new[0]);
        assert_eq!(plan.fetched(&manifest), whole, "{point}");
        until(point, || (histories(&stage.provider, new[0], "settled") == patients).then_some(()));
        let told = plan.sender.request("DELETE", &format!("status/{}", new[0]), &plan.token);
        let told = plan.sender.send(told.body(Bytes::new()).unwrap());
        assert_eq!(told.status, 202, "{point}: {told:?}");
        assert_eq!(plan.sender.get(&plan.token, &format!("status/{}", new[0])).status, 404);
    }
    stage.provider.stop();
    let said = stage.provider.run(&["ledger", "verify"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}
