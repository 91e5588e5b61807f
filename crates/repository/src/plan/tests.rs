//! Goal: every entry meets exactly one outcome, by what stands there, who owns it, and which push
//! came first.
//!
//! How: one row per case; `head` says what stands in the store.

#![allow(clippy::unwrap_used)]
use super::*;

const OLD: &[u8] = b"{\"resourceType\":\"Observation\",\"id\":\"o\",\"status\":\"preliminary\"}";
const NEW: &[u8] = b"{\"resourceType\":\"Observation\",\"id\":\"o\",\"status\":\"final\"}";

fn head(content: Option<&'static [u8]>, number: Option<u64>) -> Record {
    Record {
        kind: "Observation".into(),
        id: "o".into(),
        version: 4,
        last_updated: Timestamp::UNIX_EPOCH,
        owner: "mercy".into(),
        receipt: "s-1".into(),
        lane: number.map(|_| "lane".into()),
        number,
        digest: Digest::of(content.unwrap_or_default()),
        content: None,
        purged: false,
        deleted: content.is_none(),
    }
}

fn filing(number: Option<u64>) -> Filing {
    let lane = number.map(|_| "lane".to_owned());
    Filing { owner: "mercy".into(), receipt: "s-2".into(), lane, number, as_of: None }
}

fn put(content: &'static [u8]) -> Incoming {
    Incoming {
        entry: 7,
        kind: "Observation".into(),
        id: "o".into(),
        content: Some(Bytes::from_static(content)),
        keys: RecordKeys::default(),
        derived: false,
        if_match: None,
    }
}

fn delete() -> Incoming {
    Incoming::delete(7, "Observation", "o")
}

/// Plans one entry.
fn plan_put(incoming: Incoming, filing: &Filing, head: Option<&Record>) -> Result<Plan, Issue> {
    let mut plan = Plan::default();
    let entry = incoming.entry;
    plan.add(incoming, filing, head, None).map_err(|fault| of_entry(entry, fault))?;
    Ok(plan)
}

#[test]
fn every_entry_has_one_outcome() {
    use Change::*;
    let (none, one, two) = (None, Some(1), Some(2));
    let table = [
        ("nothing there", put(NEW), none, None, Created, Some(1)),
        ("other content", put(NEW), none, Some(head(Some(OLD), none)), Updated, Some(5)),
        ("the same content", put(NEW), none, Some(head(Some(NEW), none)), Unchanged, Some(4)),
        ("a deleted one", put(NEW), none, Some(head(None, none)), Created, Some(5)),
        ("delete nothing", delete(), none, None, AlreadyAbsent, None),
        ("delete", delete(), none, Some(head(Some(OLD), none)), Deleted, Some(5)),
        ("delete again", delete(), none, Some(head(None, none)), AlreadyAbsent, Some(4)),
        ("a later push", put(NEW), two, Some(head(Some(OLD), one)), Updated, Some(5)),
        ("the same push", put(NEW), two, Some(head(Some(OLD), two)), Updated, Some(5)),
        ("an older push", put(NEW), one, Some(head(Some(OLD), two)), Older, Some(4)),
        ("older, the same content", put(NEW), one, Some(head(Some(NEW), two)), Unchanged, Some(4)),
        ("an older push deletes", delete(), one, Some(head(Some(OLD), two)), Older, Some(4)),
        ("older than a withdrawal", put(NEW), one, Some(head(None, two)), Older, Some(4)),
        ("no number against one", put(NEW), none, Some(head(Some(OLD), two)), Updated, Some(5)),
        ("a number against none", put(NEW), one, Some(head(Some(OLD), none)), Updated, Some(5)),
    ];
    for (case, item, number, head, change, version) in table {
        let content = item.content.clone();
        let plan = plan_put(item, &filing(number), head.as_ref()).unwrap();
        assert_eq!(
            (plan.outcomes[0].change, plan.outcomes[0].version),
            (change, version),
            "{case}"
        );
        let writes = matches!(change, Created | Updated | Deleted);
        assert_eq!(plan.records.len(), usize::from(writes), "{case}");
        assert!(plan.records.iter().all(|record| record.content == content), "{case}");
        let expected = Expect::Version {
            kind: "Observation".into(),
            id: "o".into(),
            version: head.map(|head| head.version),
        };
        assert_eq!(plan.expects, [expected], "{case}");
    }
}

#[test]
fn what_a_later_push_confirms_is_so_by_its_number() {
    let table = [
        ("the same content", put(NEW), Some(NEW), Some(3), Some(Some(3))),
        ("the same deletion", delete(), None, Some(3), Some(Some(3))),
        ("an older repeat keeps the content as well", put(NEW), Some(NEW), Some(1), Some(None)),
        ("an older deletion is one more that brings it", delete(), None, Some(1), Some(None)),
        ("no number", delete(), None, None, Some(None)),
        ("no number either", put(NEW), Some(NEW), None, Some(None)),
        ("other content", put(NEW), Some(OLD), Some(3), None),
    ];
    for (case, item, standing, number, raised) in table {
        let standing = head(standing, Some(2));
        let plan = plan_put(item, &filing(number), Some(&standing)).unwrap();
        let found: Vec<_> = plan.raises.iter().map(|raise| raise.number).collect();
        assert_eq!(found, Vec::from_iter(raised), "{case}");
        assert!(plan.raises.iter().all(|raise| raise.receipt == "s-2"), "{case}");
    }
}

#[test]
fn what_was_purged_comes_again_as_a_version() {
    let purged = Record { purged: true, ..head(Some(NEW), Some(2)) };
    let plan = plan_put(put(NEW), &filing(Some(3)), Some(&purged)).unwrap();
    assert_eq!((plan.outcomes[0].change, plan.records.len()), (Change::Updated, 1));
    let late = plan_put(put(NEW), &filing(Some(1)), Some(&purged)).unwrap();
    assert_eq!((late.outcomes[0].change, late.records.len()), (Change::Older, 0));
}

#[test]
fn numbers_of_another_lane_do_not_compare() {
    let mut standing = head(Some(OLD), Some(9));
    standing.lane = Some("another".into());
    let plan = plan_put(put(NEW), &filing(Some(1)), Some(&standing)).unwrap();
    assert_eq!(plan.outcomes[0].change, Change::Updated);
}

#[test]
fn another_senders_record_is_never_touched_not_even_a_deleted_one() {
    for (case, item) in [("put", put(NEW)), ("the same content", put(OLD))] {
        for standing in [head(Some(OLD), None), head(None, None)] {
            let stranger = Filing { owner: "lakeside".into(), ..filing(None) };
            let issue = plan_put(item.clone(), &stranger, Some(&standing)).unwrap_err();
            assert_eq!(issue.code, Code::RecordOwnedByAnother, "{case}");
            assert!(issue.expression.unwrap().starts_with("Bundle.entry[7]."), "{case}");
        }
    }
}

#[test]
fn an_id_derived_from_the_writers_own_namespace_is_not_lost_to_a_deletion_of_anothers() {
    let rightful = Filing { owner: "lakeside".into(), ..filing(Some(1)) };
    let derived = Incoming { derived: true, ..put(NEW) };
    let plan = plan_put(derived.clone(), &rightful, Some(&head(None, Some(9)))).unwrap();
    assert_eq!((plan.outcomes[0].change, plan.outcomes[0].version), (Change::Created, Some(5)));
    assert_eq!(plan.records[0].owner, rightful.owner);
    let standing = plan_put(derived, &rightful, Some(&head(Some(OLD), None))).unwrap_err();
    assert_eq!(standing.code, Code::RecordOwnedByAnother, "what stands is its owner's");
}

#[test]
fn a_deletion_tells_nothing_of_what_is_not_the_senders() {
    for number in [None, Some(3)] {
        let stranger = Filing { owner: "lakeside".into(), ..filing(number) };
        let absent = plan_put(delete(), &stranger, None).unwrap();
        for standing in [head(Some(OLD), None), head(Some(OLD), Some(2)), head(None, Some(9))] {
            let plan = plan_put(delete(), &stranger, Some(&standing)).unwrap();
            assert_eq!(plan.outcomes, absent.outcomes);
            assert_eq!(plan.outcomes[0].change, Change::AlreadyAbsent);
            assert_eq!((plan.outcomes[0].version, plan.outcomes[0].last_updated), (None, None));
            assert!(plan.records.iter().all(|record| record.kind == MARK), "no record is touched");
            assert!(plan.raises.is_empty());
        }
    }
}

#[test]
fn a_numbered_deletion_of_what_is_not_there_sets_older_pushes_of_its_sender_aside() {
    let plan = |item: Incoming, number, mark: Option<&Record>| {
        let heads = [None];
        let marks = [mark.cloned()];
        let standing = Standing { heads: &heads, marks: &marks };
        plan_transaction(vec![item], &filing(Some(number)), standing).unwrap()
    };
    let written = plan(delete(), 2, None);
    assert_eq!(written.records.len(), 1);
    let left = &written.records[0];
    assert_eq!((left.kind.as_str(), left.number, &left.content), (MARK, Some(2), &None));
    let mark = Record { kind: left.kind.clone(), id: left.id.clone(), ..head(None, Some(2)) };
    let table = [
        ("an older push", put(NEW), 1, Change::Older, 0, None),
        ("the same push", put(NEW), 2, Change::Created, 1, None),
        ("a later push", put(NEW), 3, Change::Created, 1, None),
        ("a later deletion", delete(), 3, Change::AlreadyAbsent, 0, Some(3)),
        ("an older deletion", delete(), 1, Change::AlreadyAbsent, 0, None),
    ];
    for (case, item, number, change, records, raised) in table {
        let plan = plan(item, number, Some(&mark));
        assert_eq!(plan.outcomes[0].change, change, "{case}");
        assert_eq!(plan.records.len(), records, "{case}");
        assert_eq!(plan.raises.first().and_then(|raise| raise.number), raised, "{case}");
        let relied: Vec<_> = plan.expects.iter().collect();
        assert_eq!(relied.len(), 2, "{case}: the record and the mark");
    }
    let another = Filing { lane: Some("another".into()), ..filing(Some(2)) };
    assert_ne!(another.mark("Observation", "o"), filing(Some(2)).mark("Observation", "o"));
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let stranger = Record { owner: "lakeside".into(), id: "p".into(), ..head(Some(OLD), None) };
    let other = Incoming { entry: 2, id: "p".into(), ..put(NEW) };
    let changed = Incoming { if_match: Some(IfMatch::Version(3)), ..put(NEW) };
    let items = vec![changed, other];
    let heads = [Some(head(Some(OLD), None)), Some(stranger)];
    let standing = Standing { heads: &heads, marks: &[] };
    let issues = plan_transaction(items, &filing(None), standing).unwrap_err();
    let found: Vec<_> =
        issues.iter().map(|issue| (issue.code, issue.expression.as_deref().unwrap())).collect();
    assert_eq!(
        found,
        [
            (Code::VersionConflict, "Bundle.entry[7].request.ifMatch"),
            (Code::RecordOwnedByAnother, "Bundle.entry[2].resource"),
        ]
    );
}

#[test]
fn of_what_is_nobodys_the_content_read_later_stands_whoever_it_came_with() {
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let push = |lane: &str, number, second| Filing {
        lane: Some(lane.into()),
        as_of: Some(at(second)),
        ..filing(Some(number))
    };
    let of = |kind: &str| Incoming { kind: kind.into(), ..put(OLD) };
    let first = push("mercy|ada", 9, 200);
    let filed = plan_put(of("Practitioner"), &first, None).unwrap().records.remove(0);
    let standing = |new: &store::NewVersion| Record {
        kind: new.kind.clone(),
        lane: new.lane.clone(),
        number: new.number,
        ..head(Some(OLD), None)
    };
    let head = standing(&filed);
    let table = [
        ("read earlier, for another patient", push("mercy|bea", 40, 100), Change::Older),
        ("read at the same time", push("mercy|bea", 1, 200), Change::Updated),
        ("read later", push("mercy|bea", 1, 300), Change::Updated),
        ("of a sender without numbers", filing(None), Change::Updated),
    ];
    for (case, later, change) in table {
        let item = Incoming { kind: "Practitioner".into(), ..put(NEW) };
        let plan = plan_put(item, &later, Some(&head)).unwrap();
        assert_eq!(plan.outcomes[0].change, change, "{case}");
    }
    let own = plan_put(of("Observation"), &first, None).unwrap().records.remove(0);
    assert_eq!((own.lane.as_deref(), own.number), (Some("mercy|ada"), Some(9)), "a patient's");
}
