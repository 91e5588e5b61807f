//! Goal: a client that registers stands only as somebody a file or a person names, over restarts, and
//! its token serves no purpose but its own.

use crate::plan::{Plan, Push, StandingClock, sender, who};
use exchange::desk::RegistrationCommand;
use exchange::partner::PublicUdap;
use exchange::registration::Said;
use exchange::{Code, Purpose};
use http::HeaderMap;
use payer::doors::Doors;
use payer::registrations::Registrations;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::House as _;
use wire::Caller;
use wire::rest::{Prefer, Rest};
use wire::trust::udap::{Decided, Registry};

const TOWN: &str = "urn:example:town";

fn ask(uri: &str) -> Said {
    Said {
        community: TOWN.into(),
        uri: uri.into(),
        name: "Clinic".into(),
        contacts: vec!["mailto:it@clinic.example".into()],
        scope: "system/*.cruds".into(),
        certificate: "AAAA".into(),
    }
}

/// Registrations of the plan's house; the clinic's file names this URI, if any.
async fn registrations(plan: &Plan, named: Option<&str>) -> Arc<Registrations> {
    let mut clinic = sender("clinic", "https://clinic.example/fhir", "hold");
    let udap = |uri: &str| PublicUdap { uri: uri.to_owned(), community: TOWN.to_owned() };
    clinic.public.udap = named.map(udap);
    let senders = BTreeMap::from([(clinic.public.name.clone(), clinic)]);
    let house = plan.road.house.clone();
    let made = Arc::new(Registrations::new(house, &senders, Arc::new(StandingClock)));
    made.refresh().await.unwrap();
    made
}

#[tokio::test]
async fn whom_a_file_names_stands_at_once_and_only_while_it_does() {
    let (plan, uri) = (Plan::open(), "https://clinic.example/app");
    let book = registrations(&plan, Some(uri)).await;
    let Decided::New(standing) = book.register(ask(uri)).await.unwrap() else {
        panic!("it does not stand")
    };
    assert_eq!(standing.partner, "clinic");
    let lines = plan.road.house.entries(1, 100).await.unwrap().len();
    assert!(matches!(book.register(ask(uri)).await.unwrap(), Decided::Changed(_)));
    let again = plan.road.house.entries(1, 100).await.unwrap().len();
    assert_eq!(lines, again, "what changes nothing leaves no line");
    // A URI in another spelling, and another community, are somebody else's.
    for other in
        [ask("https://clinic.example/app/"), Said { community: "urn:b".into(), ..ask(uri) }]
    {
        assert_eq!(book.register(other).await.unwrap(), Decided::Waiting);
    }
    // After a restart it is known; where the file names it no more, it is not.
    let id = &standing.client_id;
    assert!(registrations(&plan, Some(uri)).await.standing(id).is_some());
    assert!(registrations(&plan, None).await.standing(id).is_none());
    let cancelled = book.cancel(TOWN, uri).await.unwrap();
    assert_eq!(cancelled.as_ref(), Some(id));
    assert!(book.standing(id).is_none() && book.current(id).await.unwrap().is_none());
    assert_eq!(book.cancel(TOWN, uri).await.unwrap(), None);
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_stranger_waits_for_a_person_whose_word_holds() {
    let (plan, uri) = (Plan::open(), "https://stranger.example/app");
    let book = registrations(&plan, None).await;
    assert_eq!(book.register(ask(uri)).await.unwrap(), Decided::Waiting);
    let rows = book.command(RegistrationCommand::List {}).await.unwrap().rows;
    let id = rows[0].client.clone();
    assert_eq!((rows.len(), rows[0].state.as_str()), (1, "registration-waits"));
    assert!(book.standing(&id).is_none());
    let approve = |partner: &str| RegistrationCommand::Approve {
        client: uri.into(),
        partner: partner.into(),
        who: who(),
    };
    let nobody = book.command(approve("nobody")).await.unwrap_err();
    assert_eq!(nobody.code, Code::PartnerUnknown);
    book.command(approve("clinic")).await.unwrap();
    assert_eq!(book.standing(&id).unwrap().partner, "clinic");
    assert!(matches!(book.register(ask(uri)).await.unwrap(), Decided::Changed(_)));
    let refuse = RegistrationCommand::Refuse { client: id[..12].into(), who: who() };
    book.command(refuse).await.unwrap();
    assert!(book.standing(&id).is_none(), "its tokens stop at once");
    assert_eq!(book.register(ask(uri)).await.unwrap(), Decided::Refused);
    // A refusal holds over a restart, and even where a file names the client later.
    let later = registrations(&plan, Some(uri)).await;
    assert_eq!(later.register(ask(uri)).await.unwrap(), Decided::Refused);
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_push_for_another_purpose_than_its_tokens_is_refused() {
    let plan = Plan::open();
    let doors = Doors::new(Arc::clone(&plan.road), "https://plan.example/fhir/token");
    let caller = |purposes: Option<Vec<Purpose>>| Caller {
        client_id: "udap-1".into(),
        partner: "clinic".into(),
        scopes: vec!["system/*.cruds".into()],
        purposes: purposes.map(|list| list.into_iter().collect()),
    };
    let table = [
        ("another purpose", Some(vec![Purpose::Treatment]), 403),
        ("no purpose at all", Some(vec![]), 403),
        ("its purpose among others", Some(vec![Purpose::Payment, Purpose::Treatment]), 200),
        ("a way of signing in without purposes", None, 200),
    ];
    for (case, purposes, status) in table {
        let body = Push::default().assembled().bytes;
        let caller = caller(purposes);
        let answer = doors.transaction(&caller, body, Prefer::of(&HeaderMap::new())).await;
        let answer = answer.unwrap_or_else(Into::into);
        assert_eq!(answer.status, status, "{case}: {:?}", answer.body);
    }
}
