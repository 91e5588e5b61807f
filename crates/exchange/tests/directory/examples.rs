//! The examples of the National Directory, as one directory.

use crate::*;
use std::fs;
use std::path::PathBuf;

/// All examples that can be read; `None` without the folder of test data.
fn examples() -> Option<Vec<Resource>> {
    let Some(data) = std::env::var_os("HANDOVER_DATA") else {
        println!("skipped: HANDOVER_DATA names no folder of test data");
        return None;
    };
    let folder = PathBuf::from(data).join("ndh/examples");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| Resource::parse(fs::read(&file).unwrap()).expect("an example");
    Some(files.into_iter().map(read).collect())
}

#[test]
fn of_each_example_endpoint_it_is_said_why_no_push_goes_there() {
    let Some(all) = examples() else { return };
    // No organization of the examples manages an endpoint: told so, whoever is sought.
    for organization in all.iter().filter(|it| it.kind() == "Organization") {
        let sought =
            Sought { organization: Some(organization.local_reference()), ..Sought::default() };
        let found = choose(&Listing::of(&all, &sought, now()), &Wanted::default(), now());
        let (chosen, rejected) = told(&found);
        assert_eq!(chosen, None, "{}", organization.local_reference());
        assert!(rejected.iter().all(|it| it.ends_with(": not-of-payer")), "{rejected:?}");
        assert_eq!(rejected.len(), all.iter().filter(|it| it.kind() == "Endpoint").count());
    }
}

#[test]
fn an_example_endpoint_that_were_the_payers_is_judged_by_what_it_says() {
    let Some(all) = examples() else { return };
    let table = [
        ("AcmeOfCTPortalEndpoint", Err("connection")),
        ("CoordinationOfCareEndpoint", Ok("https://example.org/sqlonfhir-r4-azurewebsites/fhir")),
        ("HansSoloDirectTrustEndpointReferrals", Err("connection")),
        ("HansSoloPatientAccessEndpoint", Err("address")),
        ("IheEndpoint", Err("connection")),
    ];
    let endpoints = all.iter().filter(|it| it.kind() == "Endpoint");
    assert_eq!(endpoints.count(), table.len(), "an example that the table does not name");
    for (id, expected) in table {
        let endpoint =
            all.iter().find(|it| it.kind() == "Endpoint" && it.id() == Some(id)).unwrap();
        let mut listing = Listing::of(std::slice::from_ref(endpoint), &Sought::default(), now());
        listing.payers = vec![("Organization/Acme".into(), "the test".into())];
        listing.candidates[0].managing = Some("Organization/Acme".into());
        let found = choose(&listing, &Wanted::default(), now());
        match expected {
            Ok(address) => assert_eq!(found.chosen.unwrap().endpoint.address, address, "{id}"),
            Err(why) => assert_eq!(told(&found).1, [format!("{id}: {why}")]),
        }
    }
}

#[test]
fn what_an_example_says_of_itself_is_read() {
    let Some(all) = examples() else { return };
    let named = |id: &str| all.iter().find(|it| it.id() == Some(id)).cloned().unwrap();
    let read = |id: &str| Listing::of(&[named(id)], &Sought::default(), now()).candidates.remove(0);
    let care = read("CoordinationOfCareEndpoint");
    assert_eq!(care.rank, Some(1));
    assert_eq!(care.verification.as_deref(), Some("incomplete"));
    assert_eq!(
        (care.access, care.frameworks),
        (vec!["mutual-tls".into()], vec!["Commonwell".into()])
    );
    assert_eq!(care.guides[0].version.as_deref(), Some("2.0.0"));
    assert_eq!((care.artifacts.len(), care.artifacts[0].expires.is_some()), (1, true));
    assert_eq!(read("AcmeOfCTPortalEndpoint").environments, ["prod"]);
    assert_eq!(read("IheEndpoint").guides[0].use_cases, ["ihe-xcpd"]);
}

#[test]
fn example_payers_are_known_by_identifier_and_by_name() {
    let Some(all) = examples() else { return };
    let table = [
        (
            "http://example.org/ndh-identifiers|OrgManageNetwork",
            Some("Organization/OrgManageNetwork"),
        ),
        ("Acme of CT", Some("Organization/Acme")),
        ("bluecrossblueshield ct organization", Some("Organization/BlueCrossBlueShield-CT-ORG")),
        ("http://example.org/other|OrgManageNetwork", None),
        ("Nobody", None),
    ];
    for (words, expected) in table {
        let listing = Listing::of(&all, &Sought::of_words(words), now());
        let found = listing.payers.first().map(|(id, _)| id.as_str());
        assert_eq!(found, expected, "{words}");
    }
}
