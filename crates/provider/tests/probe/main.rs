//! Goal: a probe names the fault of a broken door, and nothing else; a good door passes every step.
//!
//! How: a payer's door over real TLS on a port of its own, written here so that it can be broken in one
//! way at a time. Each row is one fault: which steps must fail, with which code and who acts.

#![allow(clippy::unwrap_used)]

mod door;

use door::{Door, Fault};
use exchange::Code;
use exchange::probe::{Probe, Step, Verdict};

/// The fault, the steps that fail of it, and words of the first one.
type Row = (Fault, &'static [(Step, Code)], &'static str);

fn failed(probe: &Probe) -> Vec<(Step, Code)> {
    let failed = probe.findings.iter().filter(|it| it.verdict == Verdict::Fail);
    failed.map(|it| (it.step, it.issue.as_ref().unwrap().issue.code)).collect()
}

fn verdict(probe: &Probe, step: Step) -> Verdict {
    probe.findings.iter().find(|it| it.step == step).unwrap().verdict
}

#[tokio::test]
async fn a_good_door_passes_every_step() {
    let probe = Door::open(None).await.probe().await;
    assert_eq!(failed(&probe), [], "{}", probe.to_markdown());
    let other: Vec<Step> =
        probe.findings.iter().filter(|it| it.verdict != Verdict::Pass).map(|it| it.step).collect();
    // A door on an address, which speaks neither UDAP nor Da Vinci's discovery.
    assert_eq!(other, [Step::Name, Step::UdapMetadata, Step::DavinciConfiguration]);
}

#[tokio::test]
async fn a_broken_door_is_told_by_its_fault_and_by_nothing_else() {
    use Code::{CapabilityMissing, PayerUntrusted, SignInRefused, VersionMismatch};
    const FAULTY: Code = Code::DoorFaulty;
    let table: &[Row] = &[
        (Fault::NoSuchHost, &[(Step::Name, FAULTY)], "leads to no address"),
        (Fault::PrivateNetwork, &[(Step::Name, PayerUntrusted)], "a private network"),
        (Fault::NobodyListens, &[(Step::Connection, FAULTY)], "nothing listens"),
        (Fault::PlainHttp, &[(Step::Tls, FAULTY)], "does not speak TLS"),
        (Fault::Expired, &[(Step::Tls, FAULTY)], "has expired"),
        (Fault::NotYetValid, &[(Step::Tls, FAULTY)], "not valid yet"),
        (Fault::OtherName, &[(Step::Tls, FAULTY)], "other names"),
        (Fault::OtherAuthority, &[(Step::Tls, PayerUntrusted)], "not in the partner's file"),
        (
            Fault::NoSmartConfiguration,
            &[(Step::SmartConfiguration, FAULTY), (Step::Token, FAULTY)],
            "answers 404",
        ),
        (Fault::SharedSecretsOnly, &[(Step::SmartConfiguration, FAULTY)], "private_key_jwt"),
        (Fault::ForeignUdap, &[(Step::UdapMetadata, FAULTY)], "signed_metadata"),
        (Fault::OtherPayersDocument, &[(Step::DavinciConfiguration, FAULTY)], "another payer"),
        (Fault::UnknownClient, &[(Step::Token, SignInRefused)], "401 invalid_client"),
        (Fault::NoBearer, &[(Step::Token, FAULTY)], "not a bearer token"),
        (Fault::TokenDown, &[(Step::Token, FAULTY)], "does not answer"),
        (Fault::ForgetsTokens, &[(Step::TokenAccepted, FAULTY)], "does not accept the token"),
        (Fault::OpenToAll, &[(Step::ClosedToStrangers, FAULTY)], "without any token"),
        (Fault::LyingVersions, &[(Step::CapabilityStatement, VersionMismatch)], "not for FHIR R4"),
        (Fault::OtherVersions, &[(Step::Versions, VersionMismatch)], "4.0 is not among them"),
        (Fault::NoTransactions, &[(Step::CapabilityStatement, CapabilityMissing)], "transaction"),
        (Fault::HtmlStatement, &[(Step::CapabilityStatement, FAULTY)], "no JSON"),
        (Fault::HtmlErrors, &[(Step::ErrorUnknown, FAULTY)], "without an OperationOutcome"),
        (Fault::KnowsEverybody, &[(Step::ErrorUnknown, FAULTY)], "as if it were well"),
        (Fault::TakesGarbage, &[(Step::ErrorMalformed, FAULTY)], "as if it were well"),
        (Fault::BreaksOnGarbage, &[(Step::ErrorMalformed, FAULTY)], "answered 500"),
        (Fault::TakesAnyType, &[(Step::ErrorMediaType, FAULTY)], "as if it were well"),
        (Fault::Hangs, &[(Step::CapabilityStatement, FAULTY)], "no answer came"),
        (Fault::CutsOff, &[(Step::CapabilityStatement, FAULTY)], "before the answer"),
    ];
    for (fault, expected, words) in table {
        let probe = Door::open(Some(*fault)).await.probe().await;
        assert_eq!(failed(&probe), *expected, "{fault:?}\n{}", probe.to_markdown());
        let told = probe.findings.iter().find(|it| it.step == expected[0].0).unwrap();
        assert!(told.found.contains(words), "{fault:?}: {}", told.found);
        let report = probe.to_markdown();
        assert!(report.contains(&format!("- Who acts: {}", told.issue.as_ref().unwrap().who_acts)));
    }
}

#[tokio::test]
async fn a_door_that_is_not_reached_is_not_judged_further() {
    for fault in [Fault::NobodyListens, Fault::Expired, Fault::Hangs] {
        let door = Door::open(Some(fault)).await;
        let probe = door.probe().await;
        let reached = if fault == Fault::Hangs { Step::CapabilityStatement } else { Step::Tls };
        for step in Step::ALL.into_iter().filter(|step| *step > reached) {
            assert_eq!(verdict(&probe, step), Verdict::CannotTell, "{fault:?}: {step:?}");
        }
        assert!(door.asked().iter().all(|asked| !asked.starts_with("POST")), "{fault:?}");
    }
}

#[tokio::test]
async fn nobody_knocks_where_a_partner_may_not_lead() {
    let door = Door::open(Some(Fault::PrivateNetwork)).await;
    let probe = door.probe().await;
    for step in Step::ALL.into_iter().filter(|step| *step > Step::Name) {
        assert_eq!(verdict(&probe, step), Verdict::CannotTell, "{step:?}");
    }
    assert!(door.asked().is_empty());
}

#[tokio::test]
async fn nothing_but_what_the_probe_made_up_is_sent() {
    let door = Door::open(None).await;
    door.probe().await;
    let asked = door.asked();
    let known =
        ["metadata", "$versions", "token", ".well-known/", "handover-probe-none", "POST /fhir"];
    for line in &asked {
        assert!(known.iter().any(|word| line.contains(word)), "{line}");
    }
    let writes = asked.iter().filter(|line| line.starts_with("POST /fhir "));
    let bodies: Vec<&str> = writes.map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(
        bodies,
        [
            r#"/fhir {"resourceType":"Bundle","type":"transaction"}"#,
            r#"/fhir {"resourceType":"#,
            "/fhir probe",
        ]
    );
}
