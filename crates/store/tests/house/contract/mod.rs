//! Contract: what every house promises, as code.
//!
//! Comes in   an empty house, and a way to close and open it again.
//! Goes out   nothing; a promise that is not kept panics with the promise.
//! Never      looks behind the trait: a second database passes the same or is not done.

#![allow(clippy::unwrap_used)] // it is a test, and a test stops where a promise is broken

mod holdings;
mod keeping;
mod records;
mod tenants;
mod units;
mod works;

use bytes::Bytes;
use exchange::{Chain, Event, PartnerId, SubmissionId, WalkId};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::time::Duration;

use crate::noise::noise;
use store::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Checks all promises. `reopen` closes the house without warning and opens the same one again.
pub(crate) async fn check_contract<H: House>(house: H, reopen: impl AsyncFn(H) -> H) {
    units::an_empty_house_holds_nothing(&house).await;
    units::a_unit_is_written_whole_or_not_at_all(&house).await;
    units::a_key_is_answered_once(&house).await;
    units::lines_are_chained(&house).await;
    units::lines_are_signed(&house).await;
    units::tokens_are_used_once(&house).await;
    works::a_row_counts_its_writes(&house).await;
    works::rows_are_listed(&house).await;
    works::lanes_keep_their_order(&house).await;
    works::lanes_of_some_partners_are_passed_by(&house).await;
    works::a_row_without_a_due_waits_for_one(&house).await;
    works::a_lease_is_held_by_its_fence(&house).await;
    works::a_lease_is_renewed_by_its_holder_only(&house).await;
    works::a_person_goes_before_a_worker(&house).await;
    records::versions_are_counted(&house).await;
    records::numbers_are_raised_without_a_version(&house).await;
    records::searches_find_the_newest(&house).await;
    records::pages_follow_each_other(&house).await;
    records::a_page_ends_where_it_is_full(&house).await;
    records::contents_come_back_as_they_were(&house).await;
    keeping::what_is_purged_goes_and_that_it_was_there_stays(&house).await;
    keeping::what_others_use_stays_until_the_last_goes(&house).await;
    keeping::what_rests_is_listed_for_retention(&house).await;
    keeping::all_about_a_patient_is_found_at_once(&house).await;
    keeping::a_page_ends_where_its_bytes_do(&house).await;
    keeping::dates_are_compared_as_spans(&house).await;
    keeping::what_was_decided_by_still_holds(&house).await;
    keeping::a_door_has_its_pace_and_its_rest(&house).await;
    keeping::keys_are_read_anew_and_a_run_goes_on(&house).await;
    holdings::a_door_holds_what_was_written_last(&house).await;
    let before = Picture::of(&house).await;
    let house = reopen(house).await;
    assert_eq!(Picture::of(&house).await, before, "what was done survives");
    records::contents_are_there(&house).await;
    units::lines_go_on(&house).await;
}

/// Checks that two houses of one process share nothing. Both are empty.
pub(crate) async fn check_tenants<H: House>(one: H, other: H) {
    tenants::neither_sees_nor_touches_the_other(&one, &other).await;
}

/// Checks what becomes of contents that are lost. `lose` closes the house, takes the contents of
/// all answers and versions out of their rows, and opens the same house again.
pub(crate) async fn check_loss<H: House>(house: H, lose: impl AsyncFn(H) -> H) {
    keeping::what_was_lost_is_not_taken_for_purged(house, lose).await;
}

/// Checks that a backup, written into a folder that does not exist yet, is the house.
pub(crate) async fn check_backup<H: House, C: House>(
    house: H,
    folder: &Path,
    open: impl AsyncFn(&Path) -> C,
) {
    keeping::a_backup_is_the_house_of_a_moment(&house, folder, open).await;
}

/// What a house holds, as far as its readings tell.
#[derive(Debug, PartialEq)]
struct Picture {
    entries: Vec<exchange::Entry>,
    checkpoints: Vec<Checkpoint>,
    works: Vec<StoredWork>,
    counts: Vec<(String, u64)>,
    records: Vec<Record>,
    contents: Vec<Option<Bytes>>,
    lineages: Vec<Lineage>,
    versions: u64,
    next_due: Option<Timestamp>,
    doors: Vec<DoorState>,
    holdings: Vec<Option<exchange::parts::Holding>>,
    keys_edition: u32,
}

impl Picture {
    async fn of(house: &impl House) -> Picture {
        let records = house.dump(None, 9_999).await.unwrap();
        let mut contents = Vec::with_capacity(records.len());
        for record in &records {
            let whole = house.record(&record.kind, &record.id, Some(record.version)).await;
            contents.push(whole.unwrap().unwrap().content);
        }
        Picture {
            entries: house.entries(1, 9_999).await.unwrap(),
            checkpoints: house.checkpoints(0, u32::MAX).await.unwrap(),
            works: house.works(WorkQuery { limit: 9_999, ..WorkQuery::default() }).await.unwrap(),
            counts: house.work_counts().await.unwrap(),
            records,
            contents,
            lineages: house.brought("submission-Some(5)", 0, 9).await.unwrap(),
            versions: house.version_count().await.unwrap(),
            next_due: house.next_due().await.unwrap(),
            doors: house.doors().await.unwrap(),
            holdings: holdings::known(house).await,
            keys_edition: house.keys_edition().await.unwrap(),
        }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

fn unit(seconds: i64) -> Unit {
    Unit { at: at(seconds), ..Unit::default() }
}

fn done(versions: &[u64]) -> Commit {
    Commit::Done { versions: versions.to_vec() }
}

fn opened(version: &str) -> Event {
    Event::Opened { version: version.to_owned() }
}

fn push(id: &str) -> Chain {
    Chain::Push(WalkId::from(id))
}

fn submission(id: &str) -> Chain {
    Chain::Submission(SubmissionId::from(id))
}

fn work(id: &str, lane: &str, due: Option<Timestamp>) -> Work {
    Work {
        id: id.to_owned(),
        kind: WorkKind::Push,
        lane: lane.to_owned(),
        partner: None,
        dossier: None,
        trigger: None,
        label: None,
        gathered: None,
        number: None,
        state: if due.is_some() { "due" } else { "held" }.to_owned(),
        due,
        body: b"{}".to_vec(),
    }
}

fn version(kind: &str, id: &str, content: &str) -> NewVersion {
    NewVersion {
        kind: kind.to_owned(),
        id: id.to_owned(),
        owner: PartnerId::from("hospital"),
        receipt: "submission-1".to_owned(),
        lane: None,
        number: None,
        content: Some(Bytes::copy_from_slice(content.as_bytes())),
        keys: RecordKeys::default(),
    }
}

fn blob(bytes: &[u8]) -> (exchange::Digest, Bytes) {
    (exchange::Digest::of(bytes), Bytes::copy_from_slice(bytes))
}

fn answer(key: &str, came: &[u8]) -> FirstAnswer {
    FirstAnswer {
        sender: PartnerId::from("hospital"),
        key: key.to_owned(),
        digest: exchange::Digest::of(came),
        status: 200,
        headers: vec![("content-type".to_owned(), "application/fhir+json".to_owned())],
        body: Bytes::from_static(b"{\"resourceType\":\"Bundle\"}"),
    }
}
