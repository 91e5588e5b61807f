//! A plan has moved, and a directory says where to: its certificate in the community names the old
//! address and the new one, and the hospital follows by itself. Another's certificate leads nobody.

use crate::by_community::in_town;
use crate::common::{House, Stage};
use crate::{amend, known, pushed, waits_for};
use serde_json::json;
use std::fs;
use wire::keys::write_private;
use wire::pki::make::{self, Made};

const NAIC: &str = "urn:oid:2.16.840.1.113883.6.300";
const OLD: &str = "https://127.0.0.1:9/fhir";

/// The hospital knows the plan by an address where it is no more; a directory names the one where it
/// is. The plan's certificate in the community names what is given.
fn moved(names: &[&str]) -> Stage {
    let stage = in_town();
    let (hospital, plan) = (&stage.provider, &stage.payers[0]);
    let here = plan.public().base_url;
    amend(hospital, &format!("partners/{}.json", plan.name), |public| {
        public["base_url"] = OLD.into();
        // Signed in at by SMART: the community only says whose door it is.
        public.as_object_mut().unwrap().remove("sign_in");
        public.as_object_mut().unwrap().remove("udap");
    });
    let town = stage.folder.path().join("town");
    let read = |name: &str| fs::read_to_string(town.join(name)).unwrap();
    let authority = Made { certificate: read("authority.pem"), key: read("authority-key.pem") };
    let names: Vec<String> = names.iter().map(|name| name.replace("HERE", &here)).collect();
    let own = make::application(&authority, "plan", &names, jiff::Timestamp::now()).unwrap();
    plan.write("tls/community-certificate.pem", &own.certificate);
    fs::remove_file(plan.folder.join("keys/community.pem")).unwrap();
    write_private(&plan.folder.join("keys/community.pem"), own.key.as_bytes()).unwrap();
    listed(&stage, hospital, &here);
    stage
}

/// The directory of the hospital: one organization and its endpoint.
fn listed(stage: &Stage, hospital: &House, address: &str) {
    let entries = [
        json!({ "resourceType": "Organization", "id": "plan", "active": true, "name": "Plan",
            "identifier": [{ "system": NAIC, "value": "77777" }] }),
        json!({ "resourceType": "Endpoint", "id": "door", "status": "active", "address": address,
            "connectionType": { "code": "hl7-fhir-rest" },
            "managingOrganization": { "reference": "Organization/plan" } }),
    ];
    let dump = stage.folder.path().join("dump.ndjson");
    fs::write(&dump, entries.map(|entry| format!("{entry}\n")).concat()).unwrap();
    let table = format!(
        "[[payer]]\npartner = \"{}\"\nidentifiers = [\"{NAIC}|77777\"]\n",
        stage.payers[0].name
    );
    hospital.write("payers.toml", &table);
    let said = hospital.run(&["directory", "import", dump.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let text = hospital.read("house.toml");
    hospital.write("house.toml", &format!("{text}\n[[directory]]\nkind = \"dump\"\n"));
}

#[test]
fn a_plan_whose_certificate_names_both_addresses_is_followed() {
    let mut stage = moved(&["HERE", OLD]);
    stage.serve();
    let name = stage.payers[0].name.clone();
    let (code, found) = stage.provider.json(&["directory", "find", &name]);
    assert_eq!((code, &found["vouched"]), (0, &"signed-metadata".into()), "{found}");
    assert_eq!(pushed(&stage, &known(&stage)[0]).state, "settled");
    stage.stop();
}

#[test]
fn a_certificate_that_does_not_name_this_plan_alone_leads_nobody() {
    for names in [&["HERE"][..], &["HERE", OLD, "https://other.example/fhir"]] {
        let mut stage = moved(names);
        stage.serve();
        let (code, words) = waits_for(&pushed(&stage, &known(&stage)[0]));
        assert_eq!(code, "endpoint-unconfirmed", "{names:?}: {words}");
        assert!(stage.payers[0].records().is_empty(), "{names:?}");
        stage.stop();
    }
}
