//! Goal: a house's public file is at its door for everybody, as it is written, where there is one.

use crate::town::{Records, SCOPES, SetClock, credential, gate};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;
use wire::SigningKey;
use wire::rest::mount;

#[tokio::test]
async fn a_house_introduces_itself_in_the_words_of_its_file() {
    const PATH: &str = "/fhir/.well-known/handover.json";
    let key = SigningKey::generate().unwrap();
    let gate =
        gate("https://plan.example/fhir", vec![credential("a", &key, SCOPES)], &SetClock::new());
    let router = wire::rest::router(Arc::new(Records::default()), gate.clone());
    let router = mount("/fhir", router);
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let router = router.clone();
        async move {
            let (head, body) = router.oneshot(request).await.unwrap().into_parts();
            (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
        }
    };
    assert_eq!(ask("GET", PATH).await.0, 404, "a house without a file tells nobody");
    assert_eq!(ask("POST", PATH).await.0, 404);
    for file in ["{\"name\":\"plan\"}", "{\"name\":\"plan\",\"title\":\"renewed\"}"] {
        gate.introduce(file.to_owned());
        let (status, headers, body) = ask("GET", PATH).await;
        assert_eq!((status, body.as_ref()), (200, file.as_bytes()));
        assert_eq!(headers["content-type"], "application/json");
    }
    assert_eq!(ask("HEAD", PATH).await.0, 200);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(method, PATH).await.0, 405, "{method}");
    }
    assert_eq!(ask("GET", "/fhir/.well-known/handover.json/keys").await.0, 404);
}
