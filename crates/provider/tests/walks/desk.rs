//! Goal: the hospital's people are told what can be done, and why not.

use crate::hospital::{
    EHR, ENCOUNTER, Fault, Hospital, PLAN, SENT, Told, not_sent, searchset, status, untrusted, who,
};
use exchange::Code;
use exchange::desk::{Command, Reply};

pub(crate) fn release(id: &str) -> Command {
    Command::Release { id: id.into(), who: who(), member: None }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let hospital = Hospital::open();
    let rows = hospital.push().await;
    let (id, state) = (rows[0].id.clone(), rows[0].state.as_str());
    assert_eq!(state, "settled");
    let trigger = id.split('.').next().unwrap().to_owned();
    let withdraw = |id: &str| Command::Withdraw { id: id.into(), who: who(), wait: 0 };
    let push = |encounter: &str| Command::Push {
        subject: encounter.into(),
        purpose: None,
        who: who(),
        wait: 0,
        asynchronous: false,
    };
    let member = Some(exchange::Phi("W100".to_owned()));
    let named = Command::Release { id: id.clone(), who: who(), member };
    let find = |number: Option<&str>, date: Option<&str>, results| Command::Find {
        record_number: number.map(|it| exchange::Phi(it.to_owned())),
        date: date.map(str::to_owned),
        results,
        who: who(),
    };
    let nothing = find(None, None, false);
    let (results_of_all, results_of_a_day) =
        (find(None, Some("2026-01"), true), find(Some("1"), Some("2026-01"), true));
    let table = [
        ("nothing has this id", release("none"), Code::PushUnknown),
        ("it is settled", release(&id), Code::NotWaiting),
        ("its trigger has led to it", withdraw(&trigger), Code::NotWaiting),
        ("an id that is none", push("two words"), Code::CommandInvalid),
        ("a payer's option", named, Code::CommandInvalid),
        ("a search for nothing", nothing, Code::CommandInvalid),
        ("results of everybody", results_of_all, Code::CommandInvalid),
        ("results of a day", results_of_a_day, Code::CommandInvalid),
    ];
    for (case, command, code) in table {
        assert_eq!(hospital.command(command).await.unwrap_err().code, code, "{case}");
    }
    hospital.command(withdraw(&id)).await.unwrap();
    let again = hospital.command(withdraw(&id)).await.unwrap_err();
    assert_eq!(again.code, Code::NotWaiting, "withdrawn already");
}

#[tokio::test]
async fn what_was_withdrawn_before_it_was_sent_is_never_sent() {
    let table: [(&str, &str, Fault); 2] = [
        ("while it waits for a clock", "due", not_sent),
        ("while it waits for a person", "held", untrusted),
    ];
    for (case, state, told) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(&format!("GET {PLAN}/$versions"), told);
        let row = hospital.push().await.remove(0);
        assert_eq!(row.state, state, "{case}");
        hospital.network.mend();
        let withdraw = Command::Withdraw { id: row.id.clone(), who: who(), wait: 0 };
        hospital.command(withdraw).await.unwrap();
        hospital.clock.advance(2);
        let rows = hospital.work().await;
        let (taken_back, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|one| one.id == row.id);
        assert_eq!(taken_back[0].state, "superseded", "{case}");
        assert_eq!(others[0].state, "withheld", "{case}: there is nothing to take back");
        assert_eq!(others[0].issues[0].issue.code, Code::AllWithheld, "{case}");
        let released = hospital.command(release(&row.id)).await;
        assert_eq!(released.unwrap_err().code, Code::NotWaiting, "{case}");
        assert!(hospital.network.sent_nothing(), "{case}");
    }
}

#[tokio::test]
async fn a_trigger_that_leads_nowhere_can_be_withdrawn() {
    let table: [(&str, &str, Fault); 2] = [
        ("a mistyped encounter", "held", || status(404, "")),
        ("an EHR that is away", "due", not_sent),
    ];
    for (case, state, fault) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(&format!("GET {EHR}/Encounter/e1"), fault);
        let id = hospital.push().await[0].id.clone();
        assert_eq!(hospital.work().await[0].state, state, "{case}");
        let withdraw = || Command::Withdraw { id: id.clone(), who: who(), wait: 0 };
        hospital.command(withdraw()).await.unwrap();
        hospital.network.mend();
        hospital.clock.advance(2);
        assert!(hospital.work().await.is_empty(), "{case}: nothing waits, nothing was pushed");
        let shown = hospital.show(&id).await;
        let row = &shown.row;
        assert_eq!((row.state.as_str(), row.issues.len()), ("withdrawn", 0), "{case}");
        let line = "withdrawn by Robin (staff): asked for by hand";
        assert_eq!(shown.timeline.last().unwrap().what, line, "{case}");
        for command in [release(&id), withdraw()] {
            assert_eq!(hospital.command(command).await.unwrap_err().code, Code::NotWaiting);
        }
    }
}

#[tokio::test]
async fn a_push_whose_payer_left_the_configuration_is_a_persons_work() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {PLAN}/$versions"), not_sent);
    assert_eq!(hospital.push().await[0].state, "due");
    hospital.clock.advance(1);
    let hospital = hospital.without_payers();
    let issue = hospital.waits("no such payer", "held", Code::PartnerUnknown).await;
    assert!(issue.detail.contains("sunrise"), "{}", issue.detail);
}

#[tokio::test]
async fn check_finds_nothing_where_nothing_would_stop_a_push() {
    let hospital = Hospital::open();
    let Reply::Checked { lines } = hospital.command(Command::Check {}).await.unwrap() else {
        panic!("check is answered with lines")
    };
    let found: Vec<_> =
        lines.iter().map(|line| (line.what.as_str(), line.issue.is_none())).collect();
    assert_eq!(
        found,
        [
            ("source: sign-in and search", true),
            ("source: roles of practitioners", true),
            ("payer sunrise: statement", true),
            ("payer sunrise: door", true),
            ("payer sunrise: sign-in", true),
            ("restrictions", true),
            ("payor map", true),
        ]
    );
}

#[tokio::test]
async fn whoever_waits_waits_on_where_the_next_attempt_is_within_the_wait() {
    let hospital = Hospital::open();
    hospital.network.spoil(SENT.trim_end(), not_sent);
    let push = Command::Push {
        subject: "e1".into(),
        purpose: None,
        who: who(),
        wait: 300,
        asynchronous: false,
    };
    let goes_on = async {
        // The trigger is on its way to the disk.
        let rows = loop {
            match hospital.work().await {
                rows if rows.is_empty() => tokio::task::yield_now().await,
                rows => break rows,
            }
        };
        assert_eq!(rows[0].state, "due");
        hospital.network.mend();
        hospital.clock.advance_by(jiff::SignedDuration::from_secs(300));
        hospital.work().await
    };
    let (reply, rows) = tokio::join!(biased; hospital.command(push), goes_on);
    let Reply::Pushed { rows: told, .. } = reply.unwrap() else { panic!() };
    assert_eq!((told[0].state.as_str(), rows[0].state.as_str()), ("settled", "settled"));
}

#[tokio::test]
async fn laboratory_reports_are_found_by_the_record_number_alone_and_each_is_the_patients_own() {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("POST {EHR}/Patient/_search"), ada);
    hospital.network.spoil(&format!("GET {EHR}/DiagnosticReport?"), || {
        let of = |id: &str, patient: &str, category: &str, day: &str| {
            format!(
                r#"{{"resourceType":"DiagnosticReport","id":"{id}","status":"final","subject":{{"reference":"Patient/{patient}"}},"category":[{{"coding":[{{"code":"{category}"}}]}}],"code":{{"text":"panel"}},"effectiveDateTime":"{day}"}}"#
            )
        };
        let all = [
            of("old", "p1", "LAB", "2025-01-01"),
            of("new", "p1", "LAB", "2025-02-01"),
            of("image", "p1", "RAD", "2025-03-01"),
            of("theirs", "p2", "LAB", "2025-04-01"),
        ];
        status(200, searchset(&all.each_ref().map(String::as_str)))
    });
    let find = Command::Find {
        record_number: Some(exchange::Phi("urn:mrn|17".to_owned())),
        date: None,
        results: true,
        who: who(),
    };
    let Reply::Found { encounters, reports } = hospital.command(find).await.unwrap() else {
        panic!("find is answered with what was found")
    };
    let found: Vec<_> = reports.into_iter().flatten().map(|one| (one.report, one.date)).collect();
    let wanted = [("new", "2025-02-01"), ("old", "2025-01-01")];
    assert_eq!(found, wanted.map(|(id, day)| (id.to_owned(), day.to_owned())));
    assert!(encounters.is_empty());
    let asked = hospital.network.asked();
    let by = "DiagnosticReport?patient=Patient%2Fp1&category=LAB";
    assert!(asked.iter().any(|line| line.ends_with(by)), "{asked:?}");
}

const ADA: &str = r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"17"}],"name":[{"family":"Example"}]}"#;

fn ada() -> Told {
    status(200, searchset(&[ADA]))
}

/// Whom an EHR answers that passes over `identifier`.
fn everybody() -> Told {
    let others = ["p2", "p3"].map(|id| ADA.replace("p1", id).replace("17", id));
    status(200, searchset(&[ADA, &others[0], &others[1]]))
}

fn somebody_else() -> Told {
    status(200, searchset(&[&ADA.replace("17", "71").replace("p1", "p2")]))
}

fn without_an_id() -> Told {
    status(200, searchset(&[&ADA.replace(r#""id":"p1","#, "")]))
}

/// The patient's encounter and report, and those of another.
fn both(record: &str) -> Told {
    let other = record.replace("\"e1\"", "\"e2\"").replace("/p1", "/p2");
    status(200, searchset(&[record, &other]))
}

const REPORT: &str = r#"{"resourceType":"DiagnosticReport","id":"e1","status":"final","category":[{"coding":[{"code":"LAB"}]}],"subject":{"reference":"Patient/p1"}}"#;

#[tokio::test]
async fn a_record_number_finds_only_what_is_of_whoever_has_it() {
    let table: [(&str, Fault, Result<usize, Code>); 5] = [
        ("the patient", ada, Ok(1)),
        ("nobody", || status(200, searchset(&[])), Ok(0)),
        ("everybody", everybody, Ok(1)),
        ("somebody else", somebody_else, Err(Code::SourceUnreadable)),
        ("one without an id", without_an_id, Err(Code::SourceUnreadable)),
    ];
    for (case, answer, expected) in table {
        for results in [false, true] {
            let hospital = Hospital::open();
            hospital.network.spoil(&format!("POST {EHR}/Patient/_search"), answer);
            hospital.network.spoil(&format!("GET {EHR}/Encounter?"), || both(ENCOUNTER));
            hospital.network.spoil(&format!("GET {EHR}/DiagnosticReport?"), || both(REPORT));
            let record_number = Some(exchange::Phi("urn:mrn|17".to_owned()));
            let find = Command::Find { record_number, date: None, results, who: who() };
            let found = match hospital.command(find).await {
                Ok(Reply::Found { encounters, reports }) => {
                    let ids = encounters.into_iter().map(|one| one.encounter);
                    let reports = reports.unwrap_or_default();
                    Ok(ids.chain(reports.into_iter().map(|one| one.report)).collect::<Vec<_>>())
                }
                Ok(other) => panic!("{other:?}"),
                Err(issue) => Err(issue.code),
            };
            if let Ok(ids) = &found {
                assert!(ids.iter().all(|id| id == "e1"), "{case}: {ids:?}");
            }
            assert_eq!(found.map(|ids| ids.len()), expected, "{case}");
            let asked = hospital.network.asked();
            let of_others = |line: &&String| {
                ["Patient/ ", "Patient%2F&", "%2Fp2", "%2Fp3"].iter().any(|it| line.contains(it))
                    || line.ends_with("Patient/")
                    || line.ends_with("Patient%2F")
            };
            assert_eq!(asked.iter().find(of_others), None, "{case}");
        }
    }
}
