//! SQL: the statements by which a group is read and written.
//!
//! Comes in   nothing.
//! Goes out   their texts; each takes the house and arrays.
//! Never      leaves to the planner which side of a join leads.

use super::read::ANSWER;
use super::work::{WorkNow, clock};

/// Settings of the writing connection. Each of its statements looks up what it is given in an
/// index: a plan that was made while a table was empty must not read all of it later, and none
/// needs to be made twice. `OFFSET 0` in the statements says which side of a join leads: the
/// planner takes what was asked for to be more than an empty table holds. For the same reason what
/// is changed is found first, and then named by its place; the house's lock keeps it there.
pub(super) const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET enable_memoize = off; SET plan_cache_mode = force_generic_plan";

pub(super) const HOUSE: &str =
    "SELECT lines, works, records, subjects FROM houses WHERE house = $1 FOR UPDATE";

pub(super) const LANES: &str =
    "SELECT lane, number FROM lanes WHERE house = $1 AND lane = ANY(ARRAY(
        SELECT unnest($2::text[]) UNION
        SELECT w.lane FROM unnest($3::text[]) AS k(id) CROSS JOIN LATERAL
            (SELECT lane FROM works w WHERE w.house = $1 AND w.id = k.id OFFSET 0) w))
    ORDER BY lane FOR UPDATE";

pub(super) const ANSWERS: &str = "SELECT k.n FROM unnest($2::text[], $3::bytea[])
        WITH ORDINALITY AS k(sender, mark, n)
    CROSS JOIN LATERAL (SELECT * FROM first_answers a
        WHERE a.house = $1 AND a.sender = k.sender AND a.mark = k.mark OFFSET 0) a";

pub(super) const HEADS: &str = "SELECT k.n, r.record, r.newest
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k(kind, id, n)
    CROSS JOIN LATERAL (SELECT r.record, r.newest FROM records r
        WHERE r.house = $1 AND r.kind = k.kind AND r.id = k.id OFFSET 0) r";

pub(super) const SUBJECTS: &str =
    "SELECT k.n, s.subject FROM unnest($2::text[]) WITH ORDINALITY AS k(id, n)
    CROSS JOIN LATERAL (SELECT s.subject FROM subjects s
        WHERE s.house = $1 AND s.id = k.id OFFSET 0) s";

pub(super) const COUNTS: &str =
    "UPDATE houses SET lines = $2, works = $3, records = $4, subjects = $5 WHERE house = $1";

pub(super) const NEW_SUBJECTS: &str = "INSERT INTO subjects (house, id, subject)
    SELECT $1, * FROM unnest($2::text[], $3::bigint[])";

pub(super) const NEW_RECORDS: &str =
    "INSERT INTO records (house, record, kind, id, newest, deleted, updated,
        owner, patient, encounter, date_from, date_to, status)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::boolean[],
        $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::text[])";

pub(super) const NEWER_RECORDS: &str =
    "UPDATE records r SET newest = k.newest, deleted = k.deleted,
        updated = k.updated, owner = k.owner, patient = k.patient, encounter = k.encounter,
        date_from = k.date_from, date_to = k.date_to, status = k.status
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::boolean[],
        $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::text[]) AS k(record, kind, id, newest, deleted, updated, owner, patient, encounter,
            date_from, date_to, status)
    CROSS JOIN LATERAL (SELECT r.ctid AS place FROM records r
        WHERE r.house = $1 AND r.record = k.record OFFSET 0) f
    WHERE r.ctid = f.place";

pub(super) const OLD_TOKENS: &str = "DELETE FROM tokens WHERE house = $1 AND record = ANY($2)";

pub(super) const NEW_TOKENS: &str = "INSERT INTO tokens (house, kind, token, record)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])";

pub(super) const NEW_VERSIONS: &str =
    "INSERT INTO versions (house, record, version, updated, owner, receipt,
        lane, number, digest, deleted, packed, file, content)
    SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::bytea[], $10::boolean[], $11::boolean[], $12::bytea[],
        $13::bytea[])";

pub(super) const RAISES: &str = "UPDATE versions v SET receipt = k.receipt, number = CASE
        WHEN k.number IS NULL THEN v.number ELSE greatest(coalesce(v.number, 0), k.number) END
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[])
        AS k(record, version, number, receipt)
    CROSS JOIN LATERAL (SELECT v.ctid AS place FROM versions v
        WHERE v.house = $1 AND v.record = k.record AND v.version = k.version OFFSET 0) f
    WHERE v.ctid = f.place";

pub(super) const NEW_WORKS: &str =
    "INSERT INTO works (house, work, id, kind, lane, partner, dossier, cause,
        label, number, state, due, revision, created, changed, fence, leased_until, body, gathered)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bigint[],
        $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bytea[],
        $19::text[])";

pub(super) const NEWER_WORKS: &str =
    "UPDATE works w SET kind = k.kind, lane = k.lane, partner = k.partner,
        dossier = k.dossier, cause = k.cause, label = k.label, number = k.number,
        state = k.state, due = k.due, revision = k.revision, changed = k.changed,
        fence = k.fence, leased_until = k.leased_until, purged = false, body = k.body,
        gathered = k.gathered
    FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bigint[],
        $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bytea[],
        $19::text[])
        AS k(work, id, kind, lane, partner, dossier, cause, label, number, state, due,
            revision, created, changed, fence, leased_until, body, gathered)
    CROSS JOIN LATERAL (SELECT w.ctid AS place FROM works w
        WHERE w.house = $1 AND w.work = k.work OFFSET 0) f
    WHERE w.ctid = f.place";

pub(super) const NEW_BLOBS: &str = "INSERT INTO blobs (house, digest, packed, file, content)
    SELECT $1, * FROM unnest($2::bytea[], $3::boolean[], $4::bytea[], $5::bytea[])
    ON CONFLICT DO NOTHING";

pub(super) const NEW_USES: &str = "INSERT INTO blob_uses (house, work, digest)
    SELECT $1, * FROM unnest($2::text[], $3::bytea[]) ON CONFLICT DO NOTHING";

pub(super) const NEW_ANSWERS: &str =
    "INSERT INTO first_answers (house, sender, mark, key, digest, status,
        headers, body, packed, file, content)
    SELECT $1, * FROM unnest($2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::integer[],
        $7::text[], $8::bytea[], $9::boolean[], $10::bytea[], $11::bytea[])";

/// Rows of work by their ids, each of which is named once.
pub(super) fn works() -> String {
    let columns = WorkNow::COLUMNS;
    let now = clock!();
    format!(
        "SELECT {columns}, {now} AS now FROM unnest($2::text[]) AS k(asked)
        CROSS JOIN LATERAL (SELECT * FROM works w
            WHERE w.house = $1 AND w.id = k.asked OFFSET 0) w"
    )
}

/// First answers by sender and key.
pub(super) fn answers() -> String {
    ANSWERS.replacen("k.n", &format!("k.n, {ANSWER}"), 1)
}
