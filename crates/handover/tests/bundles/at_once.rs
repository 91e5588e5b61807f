//! Many clients at once decide by what stands when they are written, not by what stood before.

use crate::common::RUNTIME;
use crate::sender::{FHIR_JSON, Told};
use crate::stranger::{ADA, Door, ada, bundle, entry, observation, practitioner, statuses};
use serde_json::Value;

/// Clients at work at the same time.
const CLIENTS: usize = 8;

/// Rounds, each about another record.
const ROUNDS: usize = 10;

/// Sends the same request from all clients at once.
fn all_at_once(door: &Door, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<Told> {
    let request = || {
        let request = door.sender.request("POST", path, &door.token);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.header("content-type", FHIR_JSON).body(body.to_owned().into()).unwrap()
    };
    let clients = (0..CLIENTS).map(|_| door.sender.send_later(request()));
    RUNTIME.block_on(futures_util::future::join_all(clients))
}

#[test]
fn of_many_conditional_creates_of_one_resource_one_creates_it() {
    let door = Door::open(&[]);
    for round in 0..ROUNDS {
        let (number, condition) = (format!("{round}"), format!("identifier=urn:npi|{round}"));
        let told = match round % 3 {
            0 => {
                let body = practitioner(&number).to_string();
                let headers = [("if-none-exist", condition.as_str())];
                let told = all_at_once(&door, "Practitioner", &headers, &body);
                told.iter().map(|one| one.status).collect::<Vec<_>>()
            }
            form => {
                let mut create = entry("POST", "Practitioner", Some(practitioner(&number)));
                create["request"]["ifNoneExist"] = condition.as_str().into();
                let kind = if form == 1 { "transaction" } else { "batch" };
                let told = all_at_once(&door, "", &[], &bundle(kind, vec![create]));
                told.iter().flat_map(statuses).collect()
            }
        };
        let of = |status: u16| told.iter().filter(|found| **found == status).count();
        assert_eq!((of(201), of(200)), (1, CLIENTS - 1), "round {round}: {told:?}");
        assert_eq!(door.count(&format!("Practitioner?{condition}")), 1, "round {round}");
    }
    assert_eq!(door.payer.dump().len(), ROUNDS, "no version too many");
}

#[test]
fn of_many_updates_of_one_version_one_is_made() {
    let door = Door::open(&[]);
    let mut body = practitioner("1");
    body["id"] = "p".into();
    assert_eq!(door.ask("PUT", "Practitioner/p", &[], Some(&body)).status, 201);
    let request = |client: usize| {
        let mut body = body.clone();
        body["name"][0]["family"] = format!("Healer{client}").into();
        let request = door.sender.request("PUT", "Practitioner/p", &door.token);
        let request = request.header("if-match", "W/\"1\"").header("content-type", FHIR_JSON);
        request.body(body.to_string().into()).unwrap()
    };
    let clients = (0..CLIENTS).map(|client| door.sender.send_later(request(client)));
    let told = RUNTIME.block_on(futures_util::future::join_all(clients));
    let of = |status: u16| told.iter().filter(|one| one.status == status).count();
    assert_eq!((of(200), of(412)), (1, CLIENTS - 1), "{told:?}");
    let versions: Vec<Value> = door.payer.dump().into_iter().map(|it| it.2.into()).collect();
    assert_eq!(versions, [1, 2]);
}

#[test]
fn a_patient_goes_or_a_record_about_it_is_filed_but_never_both() {
    let door = Door::open(&[ADA.to_owned()]);
    for round in 0..ROUNDS * 3 {
        let (patient, record) = (format!("Patient/p{round}"), format!("Observation/o{round}"));
        let person = ada(patient.strip_prefix("Patient/"));
        assert_eq!(door.ask("PUT", &patient, &[], Some(&person)).status, 201);
        let mut about = observation(&patient);
        about["id"] = format!("o{round}").into();
        let request = |method: &str, path: &str, body: String| {
            let request = door.sender.request(method, path, &door.token);
            request.header("content-type", FHIR_JSON).body(body.into()).unwrap()
        };
        let withdraws = door.sender.send_later(request("DELETE", &patient, String::new()));
        let files = door.sender.send_later(request("PUT", &record, about.to_string()));
        let told = RUNTIME.block_on(futures_util::future::join(withdraws, files));
        let found = [&patient, &record].map(|path| door.get(path).status);
        let expected = match (told.0.status, told.1.status) {
            (204, 422) => [410, 404],
            (422, 201) => [200, 200],
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(found, expected, "round {round}");
    }
}
