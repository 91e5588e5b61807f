//! Units, keys, lines and tokens: the promises.
//!
//! Comes in   a house.
//! Goes out   nothing, or a panic with the promise that was broken.
//! Never      leaves a due behind: other promises claim.

use exchange::{Chain, Digest, Entry, PartnerId};

use super::*;
use store::proof::{LedgerKey, PublicKey, verify};

pub(super) async fn an_empty_house_holds_nothing(house: &impl House) {
    let hospital = PartnerId::from("hospital");
    assert_eq!(house.entries(1, 9).await.unwrap(), []);
    assert_eq!(house.story(&Chain::House).await.unwrap(), []);
    assert_eq!(house.checkpoints(0, u32::MAX).await.unwrap(), []);
    assert_eq!(house.works(WorkQuery { limit: 9, ..WorkQuery::default() }).await.unwrap(), []);
    assert_eq!(house.work("tenant").await.unwrap(), None);
    assert_eq!(house.next_due().await.unwrap(), None);
    assert_eq!(house.claim(Clock::Database, MINUTE, 9).await.unwrap(), []);
    assert_eq!(house.lane_number("lane").await.unwrap(), 0);
    assert_eq!(house.dump(None, 9_999).await.unwrap(), []);
    assert_eq!(house.record("Patient", "tenant", None).await.unwrap(), None);
    assert_eq!(house.blob(&Digest::of(b"tenant")).await.unwrap(), None);
    assert_eq!(house.first_answer(&hospital, "tenant").await.unwrap(), None);
    let (key, _) = LedgerKey::generate().unwrap();
    assert_eq!(house.checkpoint(at(0), &key).await.unwrap(), None, "nothing to sign");
}

/// A unit that carries everything, and is refused for its expectation.
pub(super) async fn a_unit_is_written_whole_or_not_at_all(house: &impl House) {
    let full = |expects| Unit {
        expects,
        lines: vec![(push("whole"), opened("1"))],
        works: vec![Work { number: Some(3), ..work("whole", "whole", None) }],
        records: vec![version("Basic", "whole", "{}"), version("Basic", "whole-2", "{}")],
        blobs: vec![blob(b"whole")],
        first_answer: Some(answer("whole", b"whole")),
        ..unit(0)
    };
    let lane = |number| Expect::LaneNumber { lane: "whole".to_owned(), number };
    let basic =
        |version| Expect::Version { kind: "Basic".to_owned(), id: "whole".to_owned(), version };
    let row = |revision| Expect::WorkRevision { id: "whole".to_owned(), revision };
    let refused = [
        ("a record that is not there", basic(Some(1))),
        ("a number that nobody used", lane(2)),
        ("a row that is not there", row(Some(1))),
    ];
    for (case, expect) in refused {
        assert_eq!(house.commit(full(vec![expect])).await.unwrap(), Commit::Stale, "{case}");
        assert_eq!(house.story(&push("whole")).await.unwrap(), [], "{case}");
        assert_eq!(house.work("whole").await.unwrap(), None, "{case}");
        assert_eq!(house.record("Basic", "whole", None).await.unwrap(), None, "{case}");
        assert_eq!(house.blob(&Digest::of(b"whole")).await.unwrap(), None, "{case}");
        let answer = house.first_answer(&PartnerId::from("hospital"), "whole").await.unwrap();
        assert_eq!(answer, None, "{case}");
    }
    let fitting = full(vec![basic(None), lane(0), row(None)]);
    assert_eq!(house.commit(fitting).await.unwrap(), done(&[1, 1]));
    assert_eq!(house.story(&push("whole")).await.unwrap().len(), 1);
    assert_eq!(house.lane_number("whole").await.unwrap(), 3);
    assert_eq!(house.work("whole").await.unwrap().unwrap().revision, 1);
    assert!(house.record("Basic", "whole-2", None).await.unwrap().is_some());
    assert!(house.blob(&Digest::of(b"whole")).await.unwrap().is_some());

    let now = vec![basic(Some(1)), lane(3), row(Some(1))];
    assert_eq!(house.commit(Unit { expects: now.clone(), ..unit(1) }).await.unwrap(), done(&[]));
    for gone in [basic(None), lane(0), row(None)] {
        let expects = now.iter().cloned().chain([gone]).collect();
        let stale = house.commit(Unit { expects, ..unit(1) }).await.unwrap();
        assert_eq!(stale, Commit::Stale, "one of several is enough");
    }
    let lower = Work { number: Some(1), ..work("whole", "whole", None) };
    house.commit(Unit { works: vec![lower], ..unit(2) }).await.unwrap();
    assert_eq!(house.lane_number("whole").await.unwrap(), 3, "a lane's number never falls");
}

pub(super) async fn a_key_is_answered_once(house: &impl House) {
    let hospital = PartnerId::from("hospital");
    let lines = || vec![(submission("key"), opened("1"))];
    let keyed = |answer| Unit { first_answer: Some(answer), lines: lines(), ..unit(0) };
    let first = answer("key", b"came");
    assert_eq!(house.commit(keyed(first.clone())).await.unwrap(), done(&[]));

    let other_words = FirstAnswer { status: 503, body: Bytes::new(), ..answer("key", b"came") };
    let repeated = house.commit(keyed(other_words)).await.unwrap();
    assert_eq!(repeated, Commit::Repeated(first.clone()), "the first answer, not the newer one");
    let conflict = house.commit(keyed(answer("key", b"other"))).await.unwrap();
    assert_eq!(conflict, Commit::Conflict);
    let stale = vec![Expect::LaneNumber { lane: "key".to_owned(), number: 7 }];
    let fence = Some(Fence { work: "nothing".to_owned(), number: 1 });
    let late = Unit { expects: stale, fence, ..keyed(first.clone()) };
    assert_eq!(house.commit(late).await.unwrap(), Commit::Repeated(first.clone()), "key first");
    assert_eq!(house.story(&submission("key")).await.unwrap().len(), 1, "nothing more is written");

    let sender = PartnerId::from("clinic");
    let same_key = FirstAnswer { sender: sender.clone(), ..answer("key", b"clinic's") };
    assert_eq!(
        house.commit(keyed(same_key.clone())).await.unwrap(),
        done(&[]),
        "keys are a sender's own"
    );
    assert_eq!(house.first_answer(&hospital, "key").await.unwrap(), Some(first));
    assert_eq!(house.first_answer(&sender, "key").await.unwrap(), Some(same_key));
    assert_eq!(house.first_answer(&sender, "other").await.unwrap(), None);
}

pub(super) async fn lines_are_chained(house: &impl House) {
    let before = house.entries(1, 9_999).await.unwrap().len() as u64;
    let (a, b) = (push("chained-a"), push("chained-b"));
    let lines = [&a, &b, &a, &Chain::House, &a].map(|chain| (chain.clone(), opened("2")));
    house.commit(Unit { lines: lines.to_vec(), ..unit(5) }).await.unwrap();

    let written = house.entries(before + 1, 9).await.unwrap();
    let seqs: Vec<u64> = written.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (before + 1..=before + 5).collect::<Vec<_>>(), "no gap");
    assert_eq!(house.entries(before + 2, 2).await.unwrap(), written[1..3], "pages");
    let story = house.story(&a).await.unwrap();
    assert_eq!(story.len(), 3);
    assert_eq!(story[0].prev, Digest([0; 32]), "a chain starts with zeros");
    assert_eq!(story[1].prev, story[0].hash);
    assert_eq!(story[2].prev, story[1].hash);
    let again = Entry::new(before + 1, at(5), a, &opened("2"), Digest([0; 32]));
    assert_eq!(story[0], again, "an entry is what `Entry::new` makes of it");
}

pub(super) async fn lines_are_signed(house: &impl House) {
    let (old, _) = LedgerKey::generate().unwrap();
    let (new, _) = LedgerKey::generate().unwrap();
    let last = house.entries(1, 9_999).await.unwrap().len() as u64;
    let keys =
        |retired| [PublicKey::new(old.public(), retired), PublicKey::new(new.public(), false)];
    let unsigned = verify(house, &keys(false)).await.unwrap();
    assert_eq!((unsigned.proved_to, unsigned.last), (0, last), "fits, but not yet proved");

    let first = house.checkpoint(at(6), &old).await.unwrap().unwrap();
    assert_eq!((first.number, first.seq, first.prev), (1, last, Digest([0; 32])));
    assert_eq!(house.checkpoint(at(7), &old).await.unwrap(), None, "nothing new");
    house.commit(Unit { lines: vec![(Chain::House, opened("3"))], ..unit(8) }).await.unwrap();
    let second = house.checkpoint(at(9), &new).await.unwrap().unwrap();
    assert_eq!((second.number, second.seq), (2, last + 1));
    assert_eq!(second.prev, first.statement_hash());
    let page = async |from, limit| house.checkpoints(from, limit).await.unwrap();
    assert_eq!(page(0, 9).await, [first.clone(), second.clone()]);
    assert_eq!(page(0, 1).await, std::slice::from_ref(&first), "a page of them");
    assert_eq!(page(2, 9).await, std::slice::from_ref(&second), "and the next");
    assert_eq!(page(3, 9).await, [], "and no more");
    let below = async |number| house.checkpoint_below(number).await.unwrap();
    assert_eq!(below(u64::MAX).await, Some(second), "the newest");
    assert_eq!(below(2).await, Some(first));
    assert_eq!(below(1).await, None);

    house.commit(Unit { lines: vec![(Chain::House, opened("4"))], ..unit(8) }).await.unwrap();
    let proved = verify(house, &keys(true)).await.unwrap();
    assert_eq!((proved.proved_to, proved.last, proved.checkpoints), (last + 1, last + 2, 2));
    assert!(verify(house, &keys(true)[1..]).await.is_err(), "a key that is not known");
}

pub(super) async fn lines_go_on(house: &impl House) {
    let entries = house.entries(1, 9_999).await.unwrap();
    house.commit(Unit { lines: vec![(Chain::House, opened("5"))], ..unit(900) }).await.unwrap();
    let next = house.entries(1, 9_999).await.unwrap().pop().unwrap();
    assert_eq!(next.seq, entries.len() as u64 + 1);
    let last = entries.iter().rev().find(|entry| entry.chain == Chain::House).unwrap();
    assert_eq!(next.prev, last.hash, "the chain goes on where it was");
}

pub(super) async fn tokens_are_used_once(house: &impl House) {
    let table = [
        ("the first time", "scope", "a", 0, 60, true),
        ("again", "scope", "a", 1, 60, false),
        ("another token", "scope", "b", 1, 60, true),
        ("another scope", "elsewhere", "a", 1, 60, true),
        ("the same letters, split otherwise", "scop", "ea", 1, 60, true),
        ("just before it is forgotten", "scope", "a", 59, 999, false),
        ("once it is forgotten", "scope", "a", 60, 120, true),
        ("and again", "scope", "a", 61, 999, false),
    ];
    for (case, scope, token, now, until, first) in table {
        let used = house.used(scope, token, at(now)).await;
        assert_eq!(used.unwrap(), !first, "{case}: to look at it uses nothing");
        let found = house.first_use(scope, token, at(until), at(now)).await;
        assert_eq!(found.unwrap(), first, "{case}");
    }
}
