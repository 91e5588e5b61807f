//! The client: it signs in only where everything that was signed verifies.

use crate::village::*;
use bytes::Bytes;
use exchange::{Issue, Purpose};
use http::{Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wire::trust::udap::{ClientIds, Organization, Registered, Software, UdapClient};
use wire::{BoxFuture, Purposes, SignIn, SignInError, Transport, TransportError};

/// A payer's doors on no network; `spoil` changes its metadata, `answer` what it says of a
/// registration.
pub(crate) struct Road {
    pub(crate) village: Village,
    asked: Mutex<Vec<String>>,
    /// Every request as it came.
    pub(crate) sent: Mutex<Vec<Request<Bytes>>>,
    spoil: Box<dyn Fn(&mut Value) + Send + Sync>,
    pub(crate) answer: Mutex<Option<fn(&mut Value)>>,
}

impl Transport for Road {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let url = request.uri().to_string();
            self.asked.lock().unwrap().push(url.clone());
            let body = request.body().clone();
            self.sent.lock().unwrap().push(request);
            let answer = match url.strip_prefix(BASE).unwrap_or_default() {
                "/token" => self.village.gate.token_of(&body, false, None).await,
                "/register" => {
                    let mut answer = self.village.gate.register_udap(&body).await.unwrap();
                    if let Some(change) = *self.answer.lock().unwrap() {
                        let mut said = told(&answer);
                        change(&mut said);
                        answer.body = said.to_string().into();
                    }
                    answer
                }
                path if path.starts_with("/.well-known/udap?community=") => {
                    let mut answer = self.village.gate.udap_metadata(Some(TOWN)).unwrap();
                    let mut document = told(&answer);
                    (self.spoil)(&mut document);
                    answer.body = document.to_string().into();
                    answer
                }
                _ => panic!("{url} was asked"),
            };
            Ok(Response::builder().status(answer.status).body(answer.body).unwrap())
        })
    }
}

#[derive(Default)]
pub(crate) struct Ids(pub(crate) Mutex<BTreeMap<String, Registered>>);

impl ClientIds for Ids {
    fn known<'a>(
        &'a self,
        endpoint: &'a str,
        community: &'a str,
    ) -> BoxFuture<'a, Result<Option<Registered>, Issue>> {
        let found = self.0.lock().unwrap().get(&format!("{endpoint} {community}")).cloned();
        Box::pin(async move { Ok(found) })
    }

    fn keep<'a>(
        &'a self,
        endpoint: &'a str,
        community: &'a str,
        registered: Option<Registered>,
    ) -> BoxFuture<'a, Result<(), Issue>> {
        let key = format!("{endpoint} {community}");
        match registered {
            Some(registered) => drop(self.0.lock().unwrap().insert(key, registered)),
            None => drop(self.0.lock().unwrap().remove(&key)),
        }
        Box::pin(async { Ok(()) })
    }
}

pub(crate) fn client(
    spoil: impl Fn(&mut Value) + Send + Sync + 'static,
) -> (Arc<Road>, Arc<Ids>, UdapClient) {
    let (village, asked, sent) = (Village::new(), Mutex::default(), Mutex::default());
    let (spoil, answer) = (Box::new(spoil), Mutex::default());
    let road = Arc::new(Road { village, asked, sent, spoil, answer });
    let ids = Arc::new(Ids::default());
    let software = Software {
        uri: CLIENT.into(),
        name: "Clinic".into(),
        contacts: vec!["mailto:it@clinic.example".into()],
        scope: "system/Encounter.cruds".into(),
        organization: Organization { id: "https://clinic.example".into(), name: "Clinic".into() },
    };
    let town = community(TOWN, &PAPERS.town, &PAPERS.client);
    let client = UdapClient::new(road.clone(), BASE, town, software, ids.clone(), Arc::new(Noon));
    (road, ids, client)
}

pub(crate) fn payment() -> Purposes {
    [Purpose::Payment].into()
}

fn asked(road: &Road, what: &str) -> usize {
    let asked = road.asked.lock().unwrap();
    asked.iter().filter(|url| url.starts_with(&format!("{BASE}{what}"))).count()
}

/// Proves: udap 66, 71, 186
#[tokio::test]
async fn a_house_registers_once_and_has_one_token_for_each_set_of_purposes() {
    let (road, ids, client) = client(|_| {});
    client.token(&payment()).await.unwrap();
    client.token(&payment()).await.unwrap();
    assert_eq!([asked(&road, "/.well"), asked(&road, "/register"), asked(&road, "/token")], [1; 3]);
    client.token(&[Purpose::Treatment].into()).await.unwrap();
    assert_eq!(
        [asked(&road, "/.well"), asked(&road, "/register"), asked(&road, "/token")],
        [1, 1, 2]
    );
    // What the server forgot is registered anew.
    road.village.book.rows.lock().unwrap().clear();
    let both: Purposes = [Purpose::Payment, Purpose::Treatment].into();
    let token = client.token(&both).await.unwrap();
    assert_eq!([asked(&road, "/register"), asked(&road, "/token")], [2, 4]);
    client.forget(&token);
    client.token(&both).await.unwrap();
    assert_eq!(asked(&road, "/token"), 5);
    // Nothing is asked for without a purpose, or for one that is not agreed.
    assert!(client.token(&Purposes::new()).await.is_err());
    let refused = client.token(&[Purpose::Quality].into()).await.unwrap_err();
    assert!(matches!(&refused, SignInError::Refused(words) if words.contains("invalid_grant")));
    assert_eq!(ids.0.lock().unwrap().len(), 1);
    client.cancel().await.unwrap();
    assert!(ids.0.lock().unwrap().is_empty() && road.village.book.rows.lock().unwrap().is_empty());
}

/// Signed metadata in the server's own certificate, spoiled.
fn signed(spoil: impl Fn(&mut Value)) -> String {
    signed_by(&PAPERS.server_town, "RS256", spoil)
}

fn signed_by(own: &wire::pki::make::Made, alg: &str, spoil: impl Fn(&mut Value)) -> String {
    let at = now().as_second();
    let mut claims = json!({
        "iss": BASE, "sub": BASE, "iat": at, "exp": at + 3600, "jti": "m-1",
        "token_endpoint": format!("{BASE}/token"),
        "registration_endpoint": format!("{BASE}/register"),
    });
    spoil(&mut claims);
    sign(own, alg, &x5c(own), &claims)
}

/// Proves: udap 20, 21
#[tokio::test]
async fn metadata_that_does_not_verify_ends_the_sign_in_before_anything_is_sent() {
    let at = now().as_second();
    let papers = &*PAPERS;
    let jwts = [
        ("iss of another server", signed(|it| it["iss"] = json!("https://else.example/fhir"))),
        ("iss with a slash", signed(|it| it["iss"] = json!(format!("{BASE}/")))),
        ("sub of another server", signed(|it| it["sub"] = json!("https://else.example/fhir"))),
        (
            "expired",
            signed(move |it| {
                it["iat"] = (at - 4000).into();
                it["exp"] = (at - 400).into();
            }),
        ),
        ("longer than a year", signed(move |it| it["exp"] = (at + 400 * 86_400).into())),
        ("no jti", signed(|it| drop(it.as_object_mut().unwrap().remove("jti")))),
        ("an endpoint by http", signed(|it| it["token_endpoint"] = json!("http://plan.example/t"))),
        (
            "an endpoint by http on this machine",
            signed(|it| it["registration_endpoint"] = json!("http://127.0.0.1:8080/register")),
        ),
        ("no endpoint", signed(|it| drop(it.as_object_mut().unwrap().remove("token_endpoint")))),
        ("another's certificate", signed_by(&papers.other, "RS256", |_| {})),
        ("another community's", signed_by(&papers.server_county, "RS256", |_| {})),
        ("a revoked certificate", signed_by(&papers.revoked, "RS256", |_| {})),
        ("alg none", signed_by(&papers.server_town, "none", |_| {})),
        ("not by RS256", signed_by(&papers.server_town, "RS384", |_| {})),
        ("tampered", {
            let proper = signed(|_| {});
            let (head, tail) = proper.split_at(proper.len() - 8);
            format!("{head}AAAA{}", &tail[4..])
        }),
        ("none", String::new()),
    ];
    for (case, jwt) in jwts {
        refuses(case, move |document| document["signed_metadata"] = jwt.clone().into()).await;
    }
    for name in ["grant_types_supported", "udap_profiles_supported", "udap_versions_supported"] {
        refuses(name, move |document| document[name] = json!([])).await;
    }
    let demand = json!(["https://example.org/certified"]);
    refuses("a certification", move |it| it["udap_certifications_required"] = demand.clone()).await;
    let (road, _, good) = client(|document| document["signed_metadata"] = signed(|_| {}).into());
    assert!(good.token(&payment()).await.is_ok(), "the proper one is taken");
    assert_eq!(asked(&road, "/token"), 1);
}

async fn refuses(case: &str, spoil: impl Fn(&mut Value) + Send + Sync + 'static) {
    let (road, ids, client) = client(spoil);
    let refused = client.token(&payment()).await.unwrap_err();
    assert!(matches!(refused, SignInError::Refused(_)), "{case}: {refused}");
    assert_eq!(road.asked.lock().unwrap().len(), 1, "{case}: something else was asked");
    assert!(ids.0.lock().unwrap().is_empty(), "{case}");
}

#[tokio::test]
async fn what_is_signed_goes_before_what_is_not() {
    let (road, _, client) = client(|document| {
        document["token_endpoint"] = json!("https://thief.example/token");
        document["registration_endpoint"] = json!("https://thief.example/register");
    });
    assert!(client.token(&payment()).await.is_ok());
    assert!(road.asked.lock().unwrap().iter().all(|url| url.starts_with(BASE)));
}

/// A server that says the same to every request.
struct Says(u16);

impl Transport for Says {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let answer = Response::builder().status(self.0).body(Bytes::from_static(b"{}"));
        Box::pin(async move { Ok(answer.unwrap()) })
    }
}

/// Proves: udap 16
#[tokio::test]
async fn a_server_without_the_document_has_no_udap_and_one_without_content_not_this_community() {
    for (status, words) in [(404, "does not offer UDAP"), (204, "community"), (403, "403")] {
        let (_, ids, _) = client(|_| {});
        let town = community(TOWN, &PAPERS.town, &PAPERS.client);
        let software = Software {
            uri: CLIENT.into(),
            name: "Clinic".into(),
            contacts: vec!["mailto:it@clinic.example".into()],
            scope: "system/Encounter.cruds".into(),
            organization: Organization { id: "https://clinic.example".into(), name: "C".into() },
        };
        let road = Arc::new(Says(status));
        let client = UdapClient::new(road, BASE, town, software, ids, Arc::new(Noon));
        let refused = client.token(&payment()).await.unwrap_err();
        assert!(matches!(&refused, SignInError::Refused(told) if told.contains(words)), "{status}");
    }
}
