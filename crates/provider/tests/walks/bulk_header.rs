//! Goal: where a header is the right to a submission's files, whoever has it is given them and nobody else,
//! and it is written down nowhere.

use crate::bulk::{asked, body, caller, hospital, later, plans_own, push_all, states};
use crate::bulk_plan::BulkPlan;
use exchange::bulk::{Dialect, Manifest};
use exchange::{Chain, Code};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use store::House as _;

fn bearing(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
}

#[tokio::test]
async fn files_are_given_to_whoever_has_the_header_of_their_submission() {
    for (dialect, word) in [(Dialect::Ballot, "ballot"), (Dialect::Argonaut, "argonaut")] {
        let lines = format!("access = \"header\"\ndialect = \"{word}\"");
        let (hospital, plan) = hospital(&lines, BulkPlan::default());
        push_all(&hospital, &["e1"]).await;
        later(&hospital).await;
        assert_eq!(states(&later(&hospital).await), ["settled"]);
        push_all(&hospital, &["e2"]).await;
        later(&hospital).await;
        let told = plan.told();
        let places: Vec<_> = told.iter().filter_map(|told| told.manifest.clone()).collect();
        let [one, other] = &places[..] else { panic!("{word}: a manifest each") };
        assert_eq!(told[0].dialect, dialect);
        assert!(one.oauth_metadata.is_empty(), "{word}: no token is to be got");
        let [(name, value)] = &one.headers[..] else { panic!("{word}: one header") };
        assert_eq!(name.as_str(), AUTHORIZATION.as_str());
        let secret = value.0.strip_prefix("Bearer ").unwrap();
        assert_eq!(secret.len(), 64);
        assert!(!one.url.contains(secret), "{word}: the URL alone is of no use");

        let own = bearing(&value.0);
        let answer = asked(&hospital, None, &one.url, &own).await.unwrap();
        let manifest = Manifest::read(&body(answer).await).unwrap();
        assert!(!manifest.requires_access_token, "{word}: the header is what lets in");
        let file = &manifest.output[0].url;
        let answer = asked(&hospital, None, file, &own).await.unwrap();
        assert_eq!(
            (answer.status, body(answer).await.len() as u64),
            (200, manifest.output[0].size.unwrap())
        );

        let submission = told[0].submission_id.as_str();
        let nowhere = one.url.replace(submission, "0");
        let in_url = one.url.replace(submission, &format!("{submission}/{secret}"));
        let none = HeaderMap::new();
        let (signed_in, let_in) = (Some(plans_own()), Code::SignInRequired);
        let table = [
            ("without it", None, file, none.clone(), Code::StatusUnknown),
            ("a guess", None, file, bearing(&format!("Bearer {}", "0".repeat(64))), let_in),
            ("that of another submission", None, file, bearing(&other.headers[0].1.0), let_in),
            ("no submission", None, &nowhere, own.clone(), let_in),
            ("in the URL", None, &in_url, none.clone(), Code::StatusUnknown),
            ("the payer's token", signed_in, file, none.clone(), Code::StatusUnknown),
            (
                "another's token",
                Some(caller("sunset", "system/*.read")),
                file,
                none,
                Code::StatusUnknown,
            ),
            ("another file", None, &file.replace("1-", "7-"), own.clone(), Code::StatusUnknown),
        ];
        for (case, caller, url, headers, code) in table {
            let told = asked(&hospital, caller.as_ref(), url, &headers).await.map(|it| it.status);
            assert_eq!(told.unwrap_err().code, code, "{word}: {case}");
        }

        let mut written = hospital.house.story(&Chain::House).await.unwrap();
        for told in &told {
            let chain = Chain::Sending(told.submission_id.clone().into());
            written.extend(hospital.house.story(&chain).await.unwrap());
        }
        assert!(written.iter().any(|entry| entry.body.contains("file-fetched")));
        assert!(written.iter().all(|entry| !entry.body.contains(secret)), "{word}: written down");

        hospital.clock.advance(2);
        later(&hospital).await;
        let told = asked(&hospital, None, file, &own).await.map(|it| it.status);
        assert_eq!(told.unwrap_err().code, Code::StatusUnknown, "{word}: its time is over");
    }
}
