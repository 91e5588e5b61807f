//! Goal: the payer's door is found through directories, asked as little as possible, used openly when
//! they are away, and never without somebody who vouches for it.

use crate::hospital::{
    DIRECTORY, Fault, Hospital, MOVED, PLAN, Told, not_sent, statement, status, who,
};
use exchange::desk::{Command, DirectoryCommand, DirectoryFound, Door, Reply};
use exchange::directory::Vouched;
use exchange::endpoint::{Candidate, Sought};
use exchange::partner::{PublicFile, PublicIdentifier};
use exchange::{Chain, Code, Issue};
use fhir::Resource;
use provider::directory::configuration::Configuration;
use provider::directory::dump::Dump;
use provider::directory::national::National;
use provider::directory::pinned::Pinned;
use provider::directory::{Directory, Keeps, Named, Vouches};
use provider::limits::DIRECTORY_RETRY;
use serde_json::{Value, json};
use sim::directory::Shelf;
use std::sync::Arc;
use store::House as _;
use wire::{BoxFuture, Clock as _, FhirClient};

fn organization() -> Value {
    json!({ "resourceType": "Organization", "id": "sunrise", "active": true, "name": "Sunrise",
        "identifier": [{ "system": "urn:naic", "value": "99001" }] })
}

fn endpoint(id: &str, address: &str) -> Value {
    json!({ "resourceType": "Endpoint", "id": id, "status": "active", "address": address,
        "connectionType": { "code": "hl7-fhir-rest" },
        "managingOrganization": { "reference": "Organization/sunrise" } })
}

fn certified(id: &str, address: &str, certificate: &str) -> Value {
    let mut endpoint = endpoint(id, address);
    let ndh = "http://hl7.org/fhir/us/ndh/StructureDefinition/base-ext-secureExchangeArtifacts";
    endpoint["extension"] = json!([{ "url": ndh, "extension": [
        { "url": "secureExchangeArtifactsType", "valueCodeableConcept":
            { "coding": [{ "code": "x509-ssl-tls-certificates" }] } },
        { "url": "certificate", "valueBase64Binary": certificate },
        { "url": "expirationDate", "valueDateTime": "2030-01-01" }] }]);
    endpoint
}

fn shelf(all: &[Value]) -> Shelf {
    Shelf::of(all.iter().map(|it| Resource::parse(it.to_string()).unwrap()))
}

fn national(hospital: &Hospital, name: &str) -> Named {
    let client = FhirClient::new(DIRECTORY, Arc::clone(&hospital.network) as _, None);
    named(name, Arc::new(National { name: name.to_owned(), client }))
}

fn named(name: &str, directory: Arc<dyn Directory>) -> Named {
    let (name, wanted) = (name.to_owned(), Default::default());
    Named { name, directory, wanted, pinned: false, keeps: Keeps::default() }
}

/// A house that finds its payer through the directory, which lists this.
fn listed(all: &[Value]) -> Hospital {
    let hospital = Hospital::open();
    *hospital.network.shelf.lock().unwrap() = shelf(all);
    let order = vec![national(&hospital, "national")];
    hospital.with_directories(order)
}

/// Started anew: nothing is remembered but what was written.
fn restarted(hospital: Hospital) -> Hospital {
    let order = vec![national(&hospital, "national")];
    hospital.with_directories(order)
}

fn at_directory(hospital: &Hospital) -> usize {
    let at = format!("GET {DIRECTORY}");
    hospital.network.asked().iter().filter(|line| line.starts_with(&at)).count()
}

async fn find(hospital: &Hospital, payer: &str) -> Box<DirectoryFound> {
    let find = DirectoryCommand::Find { payer: payer.to_owned(), who: who() };
    match hospital.command(Command::Directory(find)).await.unwrap() {
        Reply::DirectoryFound(found) => found,
        other => panic!("{other:?}"),
    }
}

async fn approve(hospital: &Hospital) -> Result<u64, Issue> {
    let (payer, identity) = ("sunrise".to_owned(), None);
    let approve = DirectoryCommand::Approve { payer, identity, who: who() };
    match hospital.command(Command::Directory(approve)).await? {
        Reply::EndpointApproved(approved) => Ok(approved.released),
        other => panic!("{other:?}"),
    }
}

async fn door(hospital: &Hospital) -> Door {
    hospital.explain().await.unwrap().0.remove(0).door.unwrap()
}

/// What the house's chain says, in words.
async fn lines(hospital: &Hospital) -> Vec<String> {
    let story = hospital.house.story(&Chain::House).await.unwrap();
    story.iter().map(|entry| exchange::sentence::sentence(&entry.event().unwrap())).collect()
}

async fn checked(hospital: &Hospital, what: &str) -> (String, Option<Code>) {
    let Reply::Checked { lines } = hospital.command(Command::Check {}).await.unwrap() else {
        panic!("check is answered with lines")
    };
    let line = lines.into_iter().find(|line| line.what == what);
    let line = line.unwrap_or_else(|| panic!("no line for {what}"));
    (line.found, line.issue.map(|words| words.issue.code))
}

/// The first row's state and where its push went.
async fn pushed(hospital: &Hospital, encounter: &str) -> String {
    let rows = hospital.push_for(encounter, None).await;
    let row =
        rows.iter().find(|row| row.subject.as_deref() == Some(&format!("Encounter/{encounter}")));
    row.unwrap_or_else(|| panic!("no push of {encounter}: {rows:?}")).state.clone()
}

#[tokio::test]
async fn a_cold_first_push_asks_nothing_twice_and_a_warm_one_asks_nothing() {
    let hospital = listed(&[organization(), endpoint("door", PLAN)]);
    assert_eq!(pushed(&hospital, "e1").await, "settled");
    let cold = hospital.network.asked();
    let mut each = cold.clone();
    each.sort();
    each.dedup();
    assert_eq!(each.len(), cold.len(), "asked twice: {cold:#?}");
    assert!(at_directory(&hospital) > 0 && at_directory(&hospital) <= 4, "{cold:#?}");

    assert_eq!(pushed(&hospital, "e2").await, "settled");
    let warm: Vec<String> = hospital.network.asked().split_off(cold.len());
    let other = |line: &&String| !line.contains("ehr.example") && *line != &format!("POST {PLAN}");
    let other: Vec<_> = warm.iter().filter(other).collect();
    assert!(other.is_empty(), "a warm push asks for its chart and is sent: {other:#?}");

    let before = at_directory(&hospital);
    let hospital = restarted(hospital);
    assert_eq!(pushed(&hospital, "e3").await, "settled");
    assert_eq!(at_directory(&hospital), before, "a restart asks no directory");
    hospital.clock.advance(23);
    assert_eq!(pushed(&hospital, "e4").await, "settled");
    assert_eq!(at_directory(&hospital), before, "the answer still holds");
    hospital.clock.advance(2);
    assert_eq!(pushed(&hospital, "e5").await, "settled");
    assert!(at_directory(&hospital) > before, "after its time it is asked anew");
}

#[tokio::test]
async fn an_endpoint_that_nobody_vouches_for_waits_for_a_person() {
    let hospital = listed(&[organization(), certified("door", MOVED, "QUJD")]);
    hospital.push().await;
    let issue = hospital.waits("first seen", "held", Code::EndpointUnconfirmed).await;
    assert_eq!(issue.expression.as_deref(), Some(MOVED));
    assert!(issue.detail.contains("not used before"), "{}", issue.detail);
    let knocked =
        |hospital: &Hospital| hospital.network.asked().iter().any(|it| it.contains(MOVED));
    assert!(!knocked(&hospital), "nobody has knocked there");
    let found = find(&hospital, "sunrise").await;
    assert_eq!((found.vouched, found.door.is_none()), (None, true));
    assert!(!knocked(&hospital), "nor does a look");
    let (_, wrong) = checked(&hospital, "payer sunrise: door").await;
    assert_eq!(wrong, Some(Code::EndpointUnconfirmed));

    assert_eq!(approve(&hospital).await.unwrap(), 1, "what waited goes on");
    assert_eq!(hospital.work().await[0].state, "settled");
    assert!(hospital.network.asked().contains(&format!("POST {MOVED}")));
    let hospital = restarted(hospital);
    assert_eq!(pushed(&hospital, "e2").await, "settled", "an approval is written down");
    assert_eq!(door(&hospital).await.endpoint.unwrap().vouched, Vouched::Person);

    *hospital.network.shelf.lock().unwrap() =
        shelf(&[organization(), certified("door", MOVED, "QUJE")]);
    hospital.clock.advance(25);
    assert_eq!(pushed(&hospital, "e3").await, "held", "a changed certificate");
    let issue = hospital.waits("changed", "held", Code::EndpointUnconfirmed).await;
    assert!(issue.detail.contains("another endpoint than before, or other certificates"));
    assert!(find(&hospital, "sunrise").await.before.is_some());
    assert_eq!(approve(&hospital).await.unwrap(), 1);
    assert_eq!(pushed(&hospital, "e4").await, "settled");
    let told = lines(&hospital).await;
    assert_eq!(told.iter().filter(|line| line.contains("approved")).count(), 2, "{told:#?}");
}

#[tokio::test]
async fn an_approval_counts_for_the_identity_that_was_looked_at() {
    let hospital = listed(&[organization()]);
    let refused = approve(&hospital).await.unwrap_err();
    assert_eq!(refused.code, Code::NotWaiting, "there is nothing to approve");
    *hospital.network.shelf.lock().unwrap() =
        shelf(&[organization(), certified("door", MOVED, "QUJD")]);
    let seen = find(&hospital, "sunrise").await.identity;
    *hospital.network.shelf.lock().unwrap() =
        shelf(&[organization(), certified("door", MOVED, "QUJE")]);
    find(&hospital, "sunrise").await;
    let payer = "sunrise".to_owned();
    let late = DirectoryCommand::Approve { payer, identity: seen, who: who() };
    let refused = hospital.command(Command::Directory(late)).await.unwrap_err();
    assert_eq!(refused.code, Code::NotWaiting);
    assert_eq!(pushed(&hospital, "e1").await, "held");
}

/// Signed metadata that names the payer, whatever the endpoint.
struct Signed;

impl Vouches for Signed {
    fn vouches<'a>(
        &'a self,
        _: &'a PublicFile,
        _: &'a Candidate,
    ) -> BoxFuture<'a, Option<Vouched>> {
        Box::pin(async { Some(Vouched::SignedMetadata) })
    }
}

#[tokio::test]
async fn signed_metadata_that_names_the_payer_vouches_for_its_endpoint() {
    let hospital = listed(&[organization(), endpoint("door", MOVED)]);
    let Hospital { network, clock, folder, desk, house, road, wake } = hospital;
    drop(desk);
    let mut road = Arc::into_inner(road).unwrap();
    road.directories.vouches = Arc::new(Signed);
    let road = Arc::new(road);
    let desk = provider::desk::Desk::new(Arc::clone(&road), Arc::clone(&wake), Vec::new());
    let hospital = Hospital { network, clock, folder, desk, house, road, wake };
    assert_eq!(pushed(&hospital, "e1").await, "settled");
    assert_eq!(door(&hospital).await.endpoint.unwrap().vouched, Vouched::SignedMetadata);
}

#[tokio::test]
async fn while_directories_are_away_an_old_answer_is_used_openly_and_not_for_ever() {
    let hospital = listed(&[organization(), endpoint("door", PLAN)]);
    hospital.network.spoil(&format!("GET {DIRECTORY}"), not_sent);
    hospital.push().await;
    hospital.waits("never asked before", "due", Code::DirectoryUnreachable).await;
    hospital.network.mend();
    hospital.clock.advance(1);
    assert_eq!(hospital.work().await[0].state, "settled", "it goes on by itself");

    hospital.network.spoil(&format!("GET {DIRECTORY}"), || status(500, ""));
    hospital.clock.advance(25);
    assert_eq!(pushed(&hospital, "e2").await, "settled", "the old answer is used");
    let asked = at_directory(&hospital);
    assert_eq!(pushed(&hospital, "e3").await, "settled");
    assert_eq!(
        at_directory(&hospital),
        asked,
        "a directory that is away is left alone for a while"
    );
    let told = door(&hospital).await.endpoint.unwrap();
    assert!(told.stale.is_some(), "explain says so: {}", told.words());
    let (_, wrong) = checked(&hospital, "payer sunrise: endpoint").await;
    assert_eq!(wrong, Some(Code::DirectoryUnreachable), "check says so");
    let said = lines(&hospital).await;
    assert!(said.iter().any(|line| line.contains("no directory answers")), "{said:#?}");
    hospital.clock.advance_by(DIRECTORY_RETRY);
    assert_eq!(pushed(&hospital, "e4").await, "settled");
    assert!(at_directory(&hospital) > asked, "then it is asked again");

    hospital.clock.advance(24 * 8);
    assert_eq!(pushed(&hospital, "e5").await, "due", "beyond its bound it is used no more");
    hospital.network.mend();
    hospital.clock.advance(1);
    hospital.work().await;
    assert!(door(&hospital).await.endpoint.unwrap().stale.is_none());
    assert_eq!(checked(&hospital, "payer sunrise: endpoint").await.1, None);
}

#[tokio::test]
async fn a_payer_that_no_directory_knows_is_not_asked_for_time_and_again() {
    let hospital = listed(&[]);
    hospital.push().await;
    let issue = hospital.waits("unknown", "held", Code::EndpointUnknown).await;
    assert!(issue.detail.contains("no organization that is this payer"), "{}", issue.detail);
    let asked = at_directory(&hospital);
    assert_eq!(pushed(&hospital, "e2").await, "held");
    assert_eq!(at_directory(&hospital), asked, "within the hour nobody asks");

    *hospital.network.shelf.lock().unwrap() =
        shelf(&[organization(), endpoint("a", "mail@sunrise.example")]);
    let found = find(&hospital, "sunrise").await;
    assert!(found.choice.chosen.is_none() && at_directory(&hospital) > asked, "who asks, asks");
    assert_eq!(found.choice.rejected[0].why, exchange::endpoint::Why::Address);
    *hospital.network.shelf.lock().unwrap() = shelf(&[organization(), endpoint("door", PLAN)]);
    find(&hospital, "sunrise").await;
    assert_eq!(pushed(&hospital, "e3").await, "settled");
}

#[tokio::test]
async fn the_table_of_payers_says_by_what_a_directory_knows_a_payer() {
    let plan = json!({ "resourceType": "Organization", "id": "x", "name": "Else",
        "identifier": [{ "system": "urn:clearinghouse", "value": "SUN01" }] });
    let mut door = endpoint("door", PLAN);
    door["managingOrganization"]["reference"] = "Organization/x".into();
    let hospital = listed(&[plan, door]);
    assert_eq!(pushed(&hospital, "e1").await, "held");
    let table = "[[payer]]\npartner = \"sunrise\"\nidentifiers = [\"urn:clearinghouse|SUN01\"]\n";
    std::fs::write(hospital.folder.path().join("payers.toml"), table).unwrap();
    let found = find(&hospital, "urn:clearinghouse|SUN01").await;
    assert_eq!(found.choice.chosen.unwrap().known_by, "identifier urn:clearinghouse|SUN01");
    assert_eq!(found.sought.payer.unwrap().as_str(), "sunrise", "the number leads to the partner");
    assert_eq!(pushed(&hospital, "e2").await, "settled");
    let wrong = table.replace("sunrise", "nobody");
    std::fs::write(hospital.folder.path().join("payers.toml"), wrong).unwrap();
    hospital.clock.advance(25);
    assert_eq!(pushed(&hospital, "e3").await, "held", "a table that cannot be read");
}

#[tokio::test]
async fn a_door_that_is_gone_makes_the_directory_be_asked_anew() {
    fn gone() -> Told {
        status(410, "")
    }
    fn no_host() -> Told {
        Err(wire::TransportError::NotSent("connect: dns error: no such name".into()))
    }
    for (case, place, fault) in [
        ("it says so", format!("GET {PLAN}/metadata"), gone as fn() -> Told),
        ("no such host", format!("GET {PLAN}/"), no_host),
        ("it says so to the push", format!("POST {PLAN} "), gone),
    ] {
        let hospital = listed(&[organization(), endpoint("door", PLAN)]);
        assert_eq!(pushed(&hospital, "e1").await, "settled");
        let asked = at_directory(&hospital);
        hospital.network.spoil(&place, fault);
        *hospital.network.shelf.lock().unwrap() = shelf(&[organization(), endpoint("door", MOVED)]);
        // Long enough for the door to be looked at again, not for the answer to be over.
        hospital.clock.advance(2);
        assert_eq!(pushed(&hospital, "e2").await, "held", "{case}");
        hospital.push_for("e3", None).await;
        assert!(at_directory(&hospital) > asked, "{case}: asked anew");
        let said = lines(&hospital).await;
        assert!(said.iter().any(|line| line.contains("is not at")), "{case}: {said:#?}");
        approve(&hospital).await.unwrap();
        assert_eq!(pushed(&hospital, "e4").await, "settled", "{case}");
        assert!(hospital.network.asked().contains(&format!("POST {MOVED}")), "{case}");
    }
}

#[tokio::test]
async fn a_door_that_stays_gone_does_not_make_the_directory_be_asked_with_every_push() {
    let hospital = listed(&[organization(), endpoint("door", PLAN)]);
    assert_eq!(pushed(&hospital, "e1").await, "settled");
    hospital.network.spoil(&format!("GET {PLAN}/"), || status(404, ""));
    hospital.clock.advance(2);
    pushed(&hospital, "e2").await;
    let asked = at_directory(&hospital);
    for encounter in ["e3", "e4", "e5"] {
        pushed(&hospital, encounter).await;
    }
    assert_eq!(at_directory(&hospital), asked);
}

#[tokio::test]
async fn a_changed_statement_is_a_line_and_shows_in_check() {
    for hospital in [Hospital::open(), listed(&[organization(), endpoint("door", PLAN)])] {
        assert_eq!(pushed(&hospital, "e1").await, "settled");
        assert_eq!(pushed(&hospital, "e2").await, "settled");
        let first = lines(&hospital).await;
        let stated = |lines: &[String]| lines.iter().filter(|it| it.contains("statement")).count();
        assert_eq!(stated(&first), 1, "{first:#?}");
        let (found, _) = checked(&hospital, "payer sunrise: statement").await;
        assert!(found.starts_with("as it was first seen"), "{found}");

        hospital.network.spoil(&format!("GET {PLAN}/metadata"), || {
            let guide = "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0";
            let mut all: Value = serde_json::from_str(&statement("transaction")).unwrap();
            all["implementationGuide"] = json!([guide]);
            status(200, all.to_string())
        });
        hospital.clock.advance(1);
        assert_eq!(pushed(&hospital, "e3").await, "settled");
        assert_eq!(pushed(&hospital, "e4").await, "settled");
        let said = lines(&hospital).await;
        assert_eq!(stated(&said), 2, "one line for one change: {said:#?}");
        let (found, wrong) = checked(&hospital, "payer sunrise: statement").await;
        assert!(found.contains("now guide") && wrong.is_none(), "{found}");
        assert_eq!(door(&hospital).await.agreed.unwrap().us_core.as_deref(), Some("6.1.0"));
    }
}

#[tokio::test]
async fn directories_are_asked_in_their_order_until_one_names_an_endpoint() {
    let hospital = Hospital::open();
    *hospital.network.shelf.lock().unwrap() =
        shelf(&[organization(), endpoint("door", PLAN), endpoint("mail", "m@sunrise.example")]);
    let copy = tempfile::tempdir().unwrap();
    let suspended = {
        let mut it = endpoint("old", "https://old.example/fhir");
        it["status"] = "suspended".into();
        it
    };
    let lines = format!("{}\n{suspended}\n", organization());
    std::fs::write(copy.path().join("copy.ndjson"), lines).unwrap();
    let dump = Dump { name: "copy".into(), folder: copy.path().to_owned() };
    let order = vec![named("copy", Arc::new(dump)), national(&hospital, "national")];
    let hospital = hospital.with_directories(order);
    assert_eq!(pushed(&hospital, "e1").await, "settled");
    let found = find(&hospital, "sunrise").await;
    let asked: Vec<_> = found.asked.iter().map(|(name, words)| format!("{name} {words}")).collect();
    assert_eq!(
        asked,
        ["copy lists 1 endpoints, none that would do", &format!("national names {PLAN}")]
    );
    assert_eq!(found.choice.rejected[0].id, "Endpoint/mail");

    // The first one is away: what the second says counts, where nothing is known by the first.
    std::fs::remove_dir_all(copy.path()).unwrap();
    let found = find(&hospital, "sunrise").await;
    assert_eq!(found.directory.as_deref(), Some("national"));
    // A stranger by name: no partner of this house, so nothing is written down.
    let found = find(&hospital, "Sunrise").await;
    assert_eq!((found.until, found.choice.chosen.is_some()), (None, true));
}

/// All directories of this house, each holding the same payer.
fn every_one(
    hospital: &Hospital,
    folder: &std::path::Path,
) -> Vec<(&'static str, Arc<dyn Directory>)> {
    *hospital.network.shelf.lock().unwrap() = shelf(&[organization(), endpoint("door", PLAN)]);
    std::fs::write(folder.join("a.ndjson"), format!("{}\n\n", organization())).unwrap();
    let bundle = json!({ "resourceType": "Bundle", "type": "collection",
        "entry": [{ "resource": endpoint("door", PLAN) }] });
    std::fs::write(folder.join("b.json"), bundle.to_string()).unwrap();
    let client = FhirClient::new(DIRECTORY, Arc::clone(&hospital.network) as _, None);
    let pinned = [("sunrise".into(), format!("{PLAN}/"))];
    vec![
        ("national", Arc::new(National { name: "national".into(), client }) as Arc<dyn Directory>),
        ("dump", Arc::new(Dump { name: "dump".into(), folder: folder.to_owned() })),
        ("pinned", Arc::new(Pinned(pinned.into_iter().collect()))),
        (
            "configuration",
            Arc::new(Configuration {
                name: "configuration".into(),
                transport: Arc::clone(&hospital.network) as _,
            }),
        ),
    ]
}

fn configured() -> Told {
    let code = "davinci_cdex_attachsubmit_endpoint#2.9";
    status(
        200,
        json!({ "identifier": { "system": "urn:naic", "value": "99001" },
        "endpoints": { code: format!("{PLAN}/$submit-attachment") } })
        .to_string(),
    )
}

#[tokio::test]
async fn every_directory_keeps_the_contract() {
    let hospital = Hospital::open();
    let folder = tempfile::tempdir().unwrap();
    let place = "https://sunrise.example/.well-known/davinci-configuration";
    hospital.network.spoil(&format!("GET {place}"), configured);
    let now = hospital.clock.now();
    let identifiers = vec![PublicIdentifier { system: "urn:naic".into(), value: "99001".into() }];
    let sought = Sought {
        payer: Some("sunrise".into()),
        identifiers,
        configuration: Some(place.to_owned()),
        ..Sought::default()
    };
    let nobody = vec![PublicIdentifier { system: "urn:naic".into(), value: "1".into() }];
    let stranger = Sought {
        payer: Some("nobody".into()),
        identifiers: nobody,
        configuration: Some(place.to_owned()),
        ..Sought::default()
    };
    for (name, directory) in every_one(&hospital, folder.path()) {
        let wanted = Default::default();
        let listing = directory.find(&sought, now).await.unwrap();
        let chosen = exchange::endpoint::choose(&listing, &wanted, now).chosen;
        assert_eq!(chosen.unwrap_or_else(|| panic!("{name}: {listing:?}")).endpoint.address, PLAN);
        let again = directory.find(&sought, now).await.unwrap();
        assert_eq!(again, listing, "{name}: the same question, the same answer");
        let nothing = directory.find(&stranger, now).await.unwrap();
        let chosen = exchange::endpoint::choose(&nothing, &wanted, now).chosen;
        assert!(chosen.is_none(), "{name}: it is not known");
        let nothing = directory.find(&Sought::default(), now).await.unwrap();
        let chosen = exchange::endpoint::choose(&nothing, &wanted, now).chosen;
        assert!(chosen.is_none(), "{name}: nobody was sought");
    }
    let away: Vec<(&str, Fault)> = vec![
        ("no answer", not_sent),
        ("a fault", || status(500, "")),
        ("a redirect", || {
            let moved =
                http::Response::builder().status(302).header("location", "https://x.example/");
            Ok(moved.body(bytes::Bytes::new()).unwrap())
        }),
        ("refused", || status(403, "")),
    ];
    for (case, fault) in away {
        hospital.network.mend();
        hospital.network.spoil(&format!("GET {DIRECTORY}"), fault);
        hospital.network.spoil(&format!("GET {place}"), fault);
        for (name, directory) in every_one(&hospital, folder.path()) {
            let found = directory.find(&sought, now).await;
            match name {
                "national" | "configuration" => {
                    assert_eq!(
                        found.unwrap_err().code,
                        Code::DirectoryUnreachable,
                        "{name}: {case}"
                    );
                }
                _ => assert!(found.is_ok(), "{name}: {case}"),
            }
        }
    }
}

#[tokio::test]
async fn a_directory_is_read_page_by_page_and_garbage_spoils_nothing_else() {
    let mut all = vec![organization(), endpoint("zz", PLAN)];
    all.extend((0..120).map(|at| endpoint(&format!("e{at:03}"), "mail@sunrise.example")));
    let hospital = listed(&all);
    let found = find(&hospital, "sunrise").await;
    assert_eq!(found.choice.chosen.unwrap().endpoint.id, "Endpoint/zz", "on the last page");

    let page = |link: &str, entry: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"searchset","link":[{{"relation":"next","url":"{link}"}}],
            "entry":[{{"resource":{entry}}},{{}},{{"resource":{{"resourceType":"Endpoint","status":7}}}}]}}"#
        )
    };
    static PAGE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let elsewhere = "https://elsewhere.example/fhir/Endpoint?page=2";
    PAGE.set(page(elsewhere, &endpoint("door", PLAN).to_string())).unwrap();
    hospital
        .network
        .spoil(&format!("GET {DIRECTORY}/Endpoint?"), || status(200, PAGE.get().unwrap().clone()));
    let found = find(&hospital, "sunrise").await;
    assert_eq!(found.choice.chosen.unwrap().endpoint.id, "Endpoint/door");
    assert_eq!(found.choice.rejected.len(), 2, "{:?}", found.choice.rejected);
    assert!(
        found.choice.notes.iter().any(|it| it.contains("another server")),
        "{:?}",
        found.choice.notes
    );
    assert!(!hospital.network.asked().iter().any(|it| it.contains("elsewhere")), "it is not asked");

    hospital.network.mend();
    hospital.network.spoil(&format!("GET {DIRECTORY}/Endpoint?"), || status(200, "<html>"));
    hospital.clock.advance(25);
    assert_eq!(pushed(&hospital, "e1").await, "settled", "a web page is a directory that is away");
}
