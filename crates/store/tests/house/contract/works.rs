//! Work, lanes and leases: the promises.
//!
//! Comes in   a house.
//! Goes out   nothing, or a panic with the promise that was broken.
//! Never      leaves a due behind: every promise claims.

use exchange::{PartnerId, TriggerId};

use super::*;

async fn write(house: &impl House, seconds: i64, works: &[Work]) {
    let unit = Unit { works: works.to_vec(), ..unit(seconds) };
    assert_eq!(house.commit(unit).await.unwrap(), done(&[]));
}

async fn claim(house: &impl House, seconds: i64) -> Vec<Lease> {
    house.claim(Clock::At(at(seconds)), MINUTE, 9).await.unwrap()
}

fn ids(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.work.work.id.as_str()).collect()
}

/// Writes a row under a fence.
async fn under(house: &impl House, fence: &Fence, seconds: i64, row: Work) -> Commit {
    let unit = Unit { fence: Some(fence.clone()), works: vec![row], ..unit(seconds) };
    house.commit(unit).await.unwrap()
}

pub(super) async fn a_row_counts_its_writes(house: &impl House) {
    let whole = Work {
        kind: WorkKind::Submission,
        partner: Some(PartnerId::from("plan")),
        dossier: Some("dossier".to_owned()),
        trigger: Some("trigger".to_owned()),
        label: Some("label".to_owned()),
        number: Some(u64::MAX),
        body: vec![0, 255, 1],
        ..work("counted", "counted", None)
    };
    write(house, 3, std::slice::from_ref(&whole)).await;
    let read = house.work("counted").await.unwrap().unwrap();
    let expected = StoredWork { work: whole, revision: 1, created: at(3), changed: at(3) };
    assert_eq!(read, expected, "a row is read as it was written");

    let second = Work { state: "settled".to_owned(), ..work("counted", "elsewhere", None) };
    write(house, 4, std::slice::from_ref(&second)).await;
    let read = house.work("counted").await.unwrap().unwrap();
    let expected = StoredWork { work: second, revision: 2, created: at(3), changed: at(4) };
    assert_eq!(read, expected, "a row is replaced whole");
    assert_eq!(house.work("count").await.unwrap(), None, "an id is not a prefix");
}

pub(super) async fn rows_are_listed(house: &impl House) {
    let row = |id: &str, kind, partner: &str, label: Option<&str>, state: &str| Work {
        kind,
        partner: Some(PartnerId::from(partner)),
        dossier: Some(format!("dossier of {id}")),
        trigger: Some(TriggerId::from("listed-trigger").0),
        label: label.map(str::to_owned),
        state: state.to_owned(),
        ..work(id, &format!("lane of {id}"), None)
    };
    write(
        house,
        0,
        &[
            row("listed-1", WorkKind::Trigger, "plan-a", None, "ended"),
            row("listed-2", WorkKind::Push, "plan-a", Some("7-ab%_"), "held"),
            row("listed-3", WorkKind::Push, "plan-b", Some("8-ab"), "settled"),
        ],
    )
    .await;
    let query = || WorkQuery {
        trigger: Some("listed-trigger".to_owned()),
        limit: 9,
        ..WorkQuery::default()
    };
    let text = |text: &str| Some(text.to_owned());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (plan, nobody) = (Some(PartnerId::from("plan-a")), Some(PartnerId::from("nobody")));
    let table = [
        ("all, newest first", query(), "321"),
        ("only so many", WorkQuery { limit: 2, ..query() }, "32"),
        ("none at all", WorkQuery { limit: 0, ..query() }, ""),
        ("of a kind", WorkQuery { kind: Some(WorkKind::Push), ..query() }, "32"),
        ("in a state", WorkQuery { states: words(&["held"]), ..query() }, "2"),
        ("in one of two", WorkQuery { states: words(&["held", "ended"]), ..query() }, "21"),
        ("with a partner", WorkQuery { partner: plan, ..query() }, "21"),
        ("with nobody", WorkQuery { partner: nobody, ..query() }, ""),
        ("of a dossier", WorkQuery { dossier: text("dossier of listed-3"), ..query() }, "3"),
        ("of a lane", WorkQuery { lane: text("lane of listed-1"), ..query() }, "1"),
        ("by the start of the id", WorkQuery { prefix: text("listed-"), ..query() }, "321"),
        ("by the start of the label", WorkQuery { prefix: text("7-a"), ..query() }, "2"),
        ("no wildcards", WorkQuery { prefix: text("7-ab%_x"), ..query() }, ""),
        ("no wildcards either", WorkQuery { prefix: text("%"), ..query() }, ""),
        ("by no start at all", WorkQuery { prefix: text(""), ..query() }, "321"),
        ("both", WorkQuery { prefix: text("8"), states: words(&["held"]), ..query() }, ""),
        ("another trigger", WorkQuery { trigger: text("listed"), ..query() }, ""),
    ];
    for (case, query, expected) in table {
        let found = house.works(query).await.unwrap();
        let found: String = found.iter().filter_map(|row| row.work.id.chars().last()).collect();
        assert_eq!(found, expected, "{case}");
    }

    let lanes = ["aside", "aside|walk", "asides", "asid", "aside}", "Aside|walk"];
    let rows =
        lanes.iter().zip(1..).map(|(lane, number)| work(&format!("lanes-{number}"), lane, None));
    write(house, 0, &rows.collect::<Vec<_>>()).await;
    let query = WorkQuery { lanes: text("aside"), limit: 9, ..WorkQuery::default() };
    let found = house.works(query).await.unwrap();
    let found: Vec<_> = found.iter().map(|row| row.work.id.as_str()).collect();
    assert_eq!(found, ["lanes-2", "lanes-1"], "of a lane, with what stands aside from it");
}

pub(super) async fn lanes_keep_their_order(house: &impl House) {
    assert_eq!(house.next_due().await.unwrap(), None);
    write(
        house,
        0,
        &[
            work("a1", "a", Some(at(50))),
            work("a2", "a", Some(at(10))),
            work("b1", "b", Some(at(30))),
            work("b2", "b", Some(at(30))),
            work("c1", "c", Some(at(20))),
            work("d1", "d", None),
            work("d2", "d", Some(at(25))),
        ],
    )
    .await;
    assert_eq!(house.next_due().await.unwrap(), Some(at(20)), "a2 has to wait for a1");
    assert_eq!(ids(&claim(house, 19).await), [""; 0], "nothing is due");
    let first = house.claim(Clock::At(at(30)), MINUTE, 2).await.unwrap();
    assert_eq!(ids(&first), ["c1", "d2"], "earliest first, not more than asked, held ones pass");
    assert_eq!(house.next_due().await.unwrap(), Some(at(30)));
    let second = claim(house, 30).await;
    assert_eq!(ids(&second), ["b1"], "one of a lane, and a1 keeps a2 waiting");
    assert_eq!(ids(&claim(house, 40).await), [""; 0], "b2 waits for b1's lease");
    let third = claim(house, 50).await;
    assert_eq!(ids(&third), ["a1"]);
    assert_eq!(house.next_due().await.unwrap(), Some(at(90)), "the first lease to run out");

    write(house, 51, &[work("d0", "d", Some(at(0)))]).await;
    assert_eq!(ids(&claim(house, 51).await), [""; 0], "a lane has one lease");
    let ended = under(house, &third[0].fence, 60, work("a1", "a", None)).await;
    assert_eq!(ended, done(&[]));
    let fourth = claim(house, 60).await;
    assert_eq!(ids(&fourth), ["a2"], "the next one goes once a1 has no due");
    let later = under(house, &second[0].fence, 60, work("b1", "b", Some(at(70)))).await;
    assert_eq!(later, done(&[]));
    house.release(second[0].fence.clone()).await.unwrap();
    assert_eq!(ids(&claim(house, 69).await), [""; 0], "b2 waits for b1, though b1 is not leased");
    assert_eq!(ids(&claim(house, 70).await), ["b1"], "b1 goes first again");

    let rest = ["a1", "a2", "b1", "b2", "c1", "d0", "d1", "d2"];
    let rest = rest.map(|id| work(id, &id[..1], None));
    write(house, 999, &rest).await;
    assert_eq!(house.next_due().await.unwrap(), None);
    assert_eq!(ids(&claim(house, 999).await), [""; 0]);
}

pub(super) async fn lanes_of_some_partners_are_passed_by(house: &impl House) {
    let row = |id: &str, lane: &str, partner: Option<&str>, due: i64| Work {
        partner: partner.map(PartnerId::from),
        ..work(id, lane, Some(at(due)))
    };
    write(
        house,
        0,
        &[
            row("slow-1", "passed-1", Some("slow"), 1),
            row("slow-2", "passed-2", Some("slow"), 2),
            row("none-1", "passed-3", None, 3),
            row("fast-1", "passed-4", Some("fast"), 4),
            // Behind a row of the slow one in their lane, whatever they are themselves.
            row("fast-2", "passed-2", Some("fast"), 1),
            row("fast-3", "passed-5", Some("fast"), 90),
        ],
    )
    .await;
    let (slow, nobody) = (Some(PartnerId::from("slow")), None);
    let beside = async |partners: &[Option<PartnerId>]| {
        house.claim_beside(Clock::At(at(10)), MINUTE, 9, partners).await.unwrap()
    };
    let fast = beside(&[slow.clone(), nobody]).await;
    assert_eq!(ids(&fast), ["fast-1"], "past all that wait for others");
    let next = beside(&[slow]).await;
    assert_eq!(ids(&next), ["none-1"]);
    let rest = claim(house, 10).await;
    assert_eq!(ids(&rest), ["slow-1", "slow-2"], "they stood as they were");
    for lease in fast.iter().chain(&next).chain(&rest) {
        let over = Work { due: None, ..lease.work.work.clone() };
        assert_eq!(under(house, &lease.fence, 10, over).await, done(&[]));
    }
    let last = claim(house, 100).await;
    assert_eq!(ids(&last), ["fast-2", "fast-3"]);
    for lease in last {
        let over = Work { due: None, ..lease.work.work.clone() };
        assert_eq!(under(house, &lease.fence, 100, over).await, done(&[]));
    }
    assert_eq!(house.time(Clock::At(at(7))).await.unwrap(), at(7), "the caller's time");
    let now = house.time(Clock::Database).await.unwrap();
    assert!(now > at(0), "the database has one of its own");
}

pub(super) async fn a_row_without_a_due_waits_for_one(house: &impl House) {
    let row = |id: &str, due| work(id, "asleep", due);
    write(house, 0, &[row("asleep-1", None), row("asleep-2", None)]).await;
    assert_eq!(house.lane_number("asleep").await.unwrap(), 0);
    assert_eq!(house.next_due().await.unwrap(), None, "no clock has work on them");
    assert_eq!(ids(&claim(house, 999).await), [""; 0]);
    let stranger = Fence { work: "asleep-1".to_owned(), number: 0 };
    house.release(stranger.clone()).await.unwrap();
    let renewed = house.renew(Clock::At(at(1)), &stranger, MINUTE).await.unwrap();
    assert!(!renewed, "nobody holds it");
    let lane = |number| Expect::LaneNumber { lane: "asleep".to_owned(), number };
    let stale = Unit { expects: vec![lane(1)], works: vec![row("asleep-3", None)], ..unit(2) };
    assert_eq!(house.commit(stale).await.unwrap(), Commit::Stale);

    write(house, 3, &[row("asleep-2", Some(at(5)))]).await;
    assert_eq!(house.next_due().await.unwrap(), Some(at(5)), "an earlier row rests");
    write(house, 4, &[row("asleep-1", Some(at(6)))]).await;
    assert_eq!(house.next_due().await.unwrap(), Some(at(6)), "the older row goes first");
    let first = claim(house, 6).await;
    assert_eq!(ids(&first), ["asleep-1"]);
    // A row without a due that comes while the lane has a lease changes nothing.
    write(house, 7, &[row("asleep-3", None)]).await;
    assert_eq!(ids(&claim(house, 8).await), [""; 0], "a lane has one lease");
    assert!(house.renew(Clock::At(at(9)), &first[0].fence, MINUTE).await.unwrap());
    let numbered = Work { number: Some(4), ..row("asleep-1", None) };
    assert_eq!(under(house, &first[0].fence, 10, numbered).await, done(&[]));
    let second = claim(house, 10).await;
    assert_eq!(ids(&second), ["asleep-2"]);
    assert_eq!(house.lane_number("asleep").await.unwrap(), 4);
    assert_eq!(under(house, &second[0].fence, 11, row("asleep-2", None)).await, done(&[]));
    assert_eq!(house.next_due().await.unwrap(), None);
}

pub(super) async fn a_lease_is_held_by_its_fence(house: &impl House) {
    let row = |due| work("leased", "leased", due);
    write(house, 0, &[row(Some(at(0)))]).await;
    let before = house.work("leased").await.unwrap().unwrap();
    let first = claim(house, 0).await.remove(0);
    assert_eq!(first.until, at(60));
    assert_eq!(first.work, before, "a claim shows the row, and counts as no write");

    assert_eq!(claim(house, 59).await, [], "leased");
    let second = claim(house, 60).await.remove(0);
    assert!(second.fence.number > first.fence.number, "every claim raises the fence");
    let late = under(house, &first.fence, 61, row(None)).await;
    assert_eq!(late, Commit::Overtaken, "the slow worker is refused");
    assert_eq!(house.work("leased").await.unwrap().unwrap(), before, "and has written nothing");
    house.release(first.fence.clone()).await.unwrap();
    assert_eq!(claim(house, 62).await, [], "nor can it give back what is not its own");

    let lines = |seconds| Unit {
        fence: Some(second.fence.clone()),
        lines: vec![(push("leased"), opened("1"))],
        ..unit(seconds)
    };
    assert_eq!(house.commit(lines(63)).await.unwrap(), done(&[]), "lines only");
    assert_eq!(under(house, &second.fence, 64, row(Some(at(64)))).await, done(&[]));
    assert_eq!(claim(house, 65).await, [], "a write keeps the lease");
    assert_eq!(under(house, &second.fence, 66, row(Some(at(90)))).await, done(&[]), "as often");
    let other = work("leased-other", "leased-other", None);
    assert_eq!(under(house, &second.fence, 67, other).await, done(&[]), "other rows as well");
    assert_eq!(house.commit(lines(120)).await.unwrap(), Commit::Overtaken, "it has run out");

    house.release(second.fence.clone()).await.unwrap();
    assert_eq!(house.commit(lines(68)).await.unwrap(), Commit::Overtaken, "given back");
    assert_eq!(claim(house, 89).await, [], "given back, but not due");
    let third = claim(house, 90).await.remove(0);
    assert_eq!(under(house, &third.fence, 91, row(None)).await, done(&[]));
    let after = under(house, &third.fence, 92, row(None)).await;
    assert_eq!(after, Commit::Overtaken, "without a due there is nothing to hold");
    let unknown = [("leased", 99), ("leased", 0), ("nobody", 1), ("", u64::MAX)];
    for (id, number) in unknown {
        let fence = Fence { work: id.to_owned(), number };
        assert_eq!(under(house, &fence, 93, row(None)).await, Commit::Overtaken, "made up");
        house.release(fence).await.unwrap();
    }
}

pub(super) async fn a_lease_is_renewed_by_its_holder_only(house: &impl House) {
    write(house, 1, &[work("renewed", "renewed", Some(at(100)))]).await;
    let held = claim(house, 100).await.remove(0);
    let renew = async |seconds, fence: &Fence| {
        house.renew(Clock::At(at(seconds)), fence, MINUTE).await.unwrap()
    };
    assert!(renew(150, &held.fence).await, "the holder goes on");
    assert!(claim(house, 170).await.is_empty(), "past its first end it is still held");
    let other = Fence { number: held.fence.number + 1, ..held.fence.clone() };
    assert!(!renew(170, &other).await, "nobody else goes on with it");
    assert!(!renew(211, &held.fence).await, "nor the holder once it has run out");
    let next = claim(house, 211).await.remove(0);
    assert!(!renew(212, &held.fence).await, "nor once it has passed on");
    let ended = Work { state: "settled".to_owned(), ..work("renewed", "renewed", None) };
    assert_eq!(under(house, &next.fence, 213, ended).await, done(&[]));
}

pub(super) async fn a_person_goes_before_a_worker(house: &impl House) {
    let row = |state: &str, due| Work { state: state.to_owned(), ..work("person", "person", due) };
    write(house, 0, &[row("due", Some(at(0)))]).await;
    let lease = claim(house, 0).await.remove(0);
    let blind = Unit { works: vec![row("taken back", None)], ..unit(1) };
    assert_eq!(house.commit(blind.clone()).await.unwrap(), Commit::Stale, "it has not looked");
    let expect = |revision| Expect::WorkRevision { id: "person".to_owned(), revision };
    let outdated = Unit { expects: vec![expect(Some(9))], ..blind.clone() };
    assert_eq!(house.commit(outdated).await.unwrap(), Commit::Stale);
    let looked = Unit { expects: vec![expect(Some(1))], ..blind };
    assert_eq!(house.commit(looked).await.unwrap(), done(&[]));
    let late = under(house, &lease.fence, 2, row("delivered", Some(at(3)))).await;
    assert_eq!(late, Commit::Overtaken, "what the person decided stands");
    assert_eq!(house.work("person").await.unwrap().unwrap().work.state, "taken back");

    write(house, 3, &[row("due", Some(at(3)))]).await;
    let lease = claim(house, 3).await.remove(0);
    write(house, 63, &[row("due", Some(at(63)))]).await;
    let late = under(house, &lease.fence, 62, row("delivered", None)).await;
    assert_eq!(late, Commit::Overtaken, "nor by a clock that is behind");
    write(house, 64, &[row("ended", None)]).await;
}
