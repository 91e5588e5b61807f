//! Door: one running payer, and who stands before it.
//!
//! Comes in   nothing: the town is always the same.
//! Goes out   senders that write their requests by hand; a judge of refusals.
//! Never      takes a refusal for one that does not say place, actor and next step, that names the
//!            member, or after which anything was filed or the door no longer serves.

use crate::common::{House, Stage};
use crate::sender::{FHIR_JSON, Sender, Told};
use http::request::Builder;
use serde_json::Value;
use sim::TownPlan;
use sim::town::MemberRow;

/// A payer at work, and two who are registered there.
pub(crate) struct Door {
    pub(crate) stage: Stage,
    pub(crate) sender: Sender,
    pub(crate) stranger: Sender,
    pub(crate) member: MemberRow,
    pub(crate) token: String,
}

impl Door {
    pub(crate) fn open() -> Door {
        let plan = TownPlan { hospitals: 1, plans: 1, ..TownPlan::default() };
        let (mut stage, town) = Stage::of_town(3, &plan);
        let folder = stage.folder.path().join("stranger");
        let stranger = House::provider(&folder, "https://127.0.0.1:1/fhir");
        stage.payers[0].add_partner(&stranger);
        stage.payers[0].serve();
        let sender = Sender::with_keys_of(&stage.provider, &stage.payers[0]);
        let stranger = Sender::with_keys_of(&stranger, &stage.payers[0]);
        let token = sender.token("system/*.cruds").unwrap();
        let member = town.plans[0].members[0].clone();
        Door { stage, sender, stranger, member, token }
    }

    pub(crate) fn payer(&self) -> &House {
        &self.stage.payers[0]
    }

    pub(crate) fn bundle(&self, push: u64) -> Value {
        self.sender.bundle(push, &self.member)
    }

    /// Fails unless the answer is a refusal of this kind, and the payer is as it was and serves.
    pub(crate) fn assert_refused(
        &self,
        case: &str,
        told: &Told,
        expected: Refusal,
        records: &[Line],
    ) {
        let words = String::from_utf8_lossy(&told.body);
        let Refusal(status, code, place) = expected;
        assert_eq!(told.status, status, "{case}: {words}");
        let outcome = told.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{case}: {words}");
        let issue = &outcome["issue"][0];
        assert_eq!(issue["details"]["coding"][0]["code"], code, "{case}: {words}");
        assert!(issue["details"]["text"].as_str().is_some_and(|text| text.len() > 10), "{case}");
        let diagnostics = issue["diagnostics"].as_str().unwrap();
        let told_how = diagnostics.starts_with("Who acts: ") && diagnostics.contains("Next: ");
        assert!(told_how, "{case}: {words}");
        match place {
            Place::Nowhere => {}
            Place::Byte(byte) => {
                let place = format!("Place: byte {byte}.");
                assert!(diagnostics.contains(&place), "{case}, {place}: {words}");
            }
            Place::At(place) => assert_eq!(issue["expression"][0], place, "{case}: {words}"),
        }
        let MemberRow { member_id, family, given, birth_date, .. } = &self.member;
        for secret in [member_id, family, given, birth_date] {
            assert!(!words.contains(secret.as_str()), "{case}: the answer says who it is about");
        }
        assert_eq!(self.payer().dump(), records, "{case}: something was filed");
        assert_eq!(self.sender.get("", "metadata").status, 200, "{case}: the door serves on");
    }
}

/// A line of a dump.
pub(crate) type Line = (String, String, u64, String);

/// Status, code, place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str, pub(crate) Place);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Nowhere,
    /// The byte in the body.
    Byte(usize),
    /// The element, parameter or header.
    At(&'static str),
}

/// A Bundle's request, without its body.
pub(crate) fn post(door: &Door, token: &str) -> Builder {
    door.sender.request("POST", "", token).header("content-type", FHIR_JSON)
}
