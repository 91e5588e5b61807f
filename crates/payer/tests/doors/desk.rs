//! Goal: the plan's people are told what can be done, and why not.

use crate::plan::{Plan, Push, who};
use exchange::desk::{Command, Reply};
use exchange::{Code, Phi};

fn release(id: &str, member: Option<&str>) -> Command {
    Command::Release { id: id.into(), who: who(), member: member.map(|id| Phi(id.to_owned())) }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let plan = Plan::open();
    assert_eq!(plan.post("lab", Push::default().by_hand("1")).await.status(), 200);
    let filed = plan.list().await[0].id.clone();
    let push = Command::Push {
        subject: "e1".into(),
        purpose: None,
        who: who(),
        wait: 0,
        asynchronous: false,
    };
    let show = |id: &str| Command::Show { id: id.into(), page: false };
    let withdraw = Command::Withdraw { id: filed.clone(), who: who(), wait: 0 };
    let table = [
        ("nothing has this id", show("none"), Code::PushUnknown),
        ("no id at all", show(""), Code::PushUnknown),
        ("a release of what is filed", release(&filed, None), Code::NotWaiting),
        ("a refusal of what is filed", withdraw, Code::NotWaiting),
        ("a provider's command", push, Code::CommandInvalid),
    ];
    for (case, command, code) in table {
        assert_eq!(plan.desk.command(command).await.unwrap_err().code, code, "{case}");
    }
}

#[tokio::test]
async fn several_that_begin_alike_are_told_apart_first() {
    let plan = Plan::open();
    for key in ["1", "2"] {
        plan.post("lab", Push::default().by_hand(key)).await;
    }
    let begun = Command::Show { id: "urn:lab|".into(), page: false };
    let issue = plan.desk.command(begun).await.unwrap_err();
    assert_eq!((issue.code, issue.expression.as_deref()), (Code::CommandInvalid, Some("id")));
    assert_eq!(plan.show("urn:lab|2").await.row.label.as_deref(), Some("urn:lab|2"));
}

#[tokio::test]
async fn a_held_submission_is_released_for_a_member_who_exists_and_only_once() {
    let plan = Plan::open();
    let unknown = Push { member: "W999", ..Push::default() };
    plan.post("lab", unknown.by_hand("1")).await;
    let id = plan.list().await[0].id.clone();
    let none = plan.desk.command(release(&id, Some("W998"))).await.unwrap_err();
    assert_eq!((none.code, none.expression.as_deref()), (Code::MemberUnknown, Some("member")));
    assert_eq!(plan.list().await[0].state, "held", "a mistyped member changes nothing");
    let Reply::Pushed { rows, .. } = plan.desk.command(release(&id, Some("W100"))).await.unwrap()
    else {
        panic!("a release is answered with where it stands")
    };
    assert_eq!(rows[0].state, "filed");
    let again = plan.desk.command(release(&id, Some("W100"))).await.unwrap_err();
    assert_eq!(again.code, Code::NotWaiting);
}

#[tokio::test]
async fn check_says_what_would_stop_a_push() {
    let plan = Plan::open();
    std::fs::write(plan.folder.path().join("members.csv"), "number,name\n").unwrap();
    let Reply::Checked { lines } = plan.desk.command(Command::Check {}).await.unwrap() else {
        panic!("check is answered with lines")
    };
    assert_eq!(lines[0].issue.as_ref().unwrap().issue.code, Code::ConfigInvalid);
}
