-- One database holds many houses; the house leads every key. Texts are compared by their bytes
-- ("C"), whatever the database sorts by, so that both databases agree on order and prefix.
--
-- Numbers of works, records and subjects are given by the house's own row, which every writer
-- locks first: they are known before a row is written, and rise in the order of commits.
--
-- No foreign keys: only the writer writes, under that lock, and each key would cost a look-up
-- and a row lock for every row.

CREATE TABLE houses (
    house        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text COLLATE "C" NOT NULL UNIQUE,
    blob_key     bytea NOT NULL,               -- names the house's large contents
    lines        bigint NOT NULL DEFAULT 0,    -- entries ever written: a cut tail is missed
    works        bigint NOT NULL DEFAULT 0,    -- highest numbers given
    records      bigint NOT NULL DEFAULT 0,
    subjects     bigint NOT NULL DEFAULT 0,
    keys_edition bigint NOT NULL DEFAULT 0,    -- from which edition of keys records are found
    keys_next    bigint NOT NULL DEFAULT 0,    -- which one is being read
    keys_done    bigint NOT NULL DEFAULT 0     -- up to which record
) WITH (fillfactor = 10);                      -- it changes with every commit, within its page

-- The ledger.

CREATE TABLE entries (
    house bigint NOT NULL,
    seq   bigint NOT NULL,
    at    bigint NOT NULL,                     -- microseconds, as all times here
    chain text COLLATE "C" NOT NULL,
    body  text NOT NULL,
    prev  bytea NOT NULL,
    hash  bytea NOT NULL,
    PRIMARY KEY (house, seq)
);

CREATE INDEX entries_by_chain ON entries (house, chain, seq);

CREATE FUNCTION entries_stand() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a ledger line is never changed or removed'; END $$;

CREATE TRIGGER entries_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION entries_stand();

CREATE TABLE checkpoints (
    house     bigint NOT NULL,
    number    bigint NOT NULL,
    seq       bigint NOT NULL,
    at        bigint NOT NULL,
    root      bytea NOT NULL,
    prev      bytea NOT NULL,
    key_id    text NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (house, number)
);

-- Work. `work` rises with every new row: the older of two rows has the lower one.

CREATE TABLE works (
    house        bigint NOT NULL,
    work         bigint NOT NULL,
    id           text COLLATE "C" NOT NULL,
    kind         smallint NOT NULL,
    lane         text COLLATE "C" NOT NULL,
    partner      text COLLATE "C",
    dossier      text COLLATE "C",
    cause        text COLLATE "C",             -- the trigger
    label        text COLLATE "C",
    number       bigint,
    state        text COLLATE "C" NOT NULL,
    due          bigint,
    revision     bigint NOT NULL,
    created      bigint NOT NULL,
    changed      bigint NOT NULL,
    fence        bigint NOT NULL DEFAULT 0,
    leased_until bigint,
    by_database  boolean NOT NULL DEFAULT false,   -- whose clock the lease is measured by
    purged       boolean NOT NULL DEFAULT false,   -- its contents are
    body         bytea NOT NULL,
    PRIMARY KEY (house, work)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX works_by_id ON works (house, id);
-- Labels are a partner's words and may be long; an index takes some two thousand bytes.
CREATE INDEX works_by_label ON works (house, left(label, 200)) WHERE label IS NOT NULL;
CREATE INDEX works_by_lane ON works (house, lane);
CREATE INDEX works_by_dossier ON works (house, dossier) WHERE dossier IS NOT NULL;
CREATE INDEX works_by_cause ON works (house, cause) WHERE cause IS NOT NULL;
CREATE INDEX works_by_state ON works (house, state);
CREATE INDEX works_waiting ON works (house, lane, work) WHERE due IS NOT NULL;
CREATE INDEX works_leased ON works (house, lane, leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX works_at_rest ON works (house, partner, changed)
    WHERE due IS NULL AND NOT purged AND partner IS NOT NULL;

-- One row per lane: which row of work is its next, and from when it can be claimed. So claiming
-- costs the same however much waits behind it. Whoever holds the lane's row, and nobody else,
-- changes its rows of work.

CREATE TABLE lanes (
    house  bigint NOT NULL,
    lane   text COLLATE "C" NOT NULL,
    number bigint NOT NULL,                    -- highest ever used
    next   bigint,                             -- oldest row with a due
    ready  bigint,                             -- its due, or the end of the lane's lease if later
    PRIMARY KEY (house, lane)
) WITH (fillfactor = 80);

CREATE INDEX lanes_by_ready ON lanes (house, ready, next) WHERE ready IS NOT NULL;

-- Records: one row per record with what searches read, one per version with the bytes.

CREATE TABLE subjects (                        -- ids of Patients and Encounters as integers
    house   bigint NOT NULL,
    subject bigint NOT NULL,
    id      text COLLATE "C" NOT NULL,
    PRIMARY KEY (house, id)
);

CREATE TABLE records (
    house     bigint NOT NULL,
    record    bigint NOT NULL,
    kind      text COLLATE "C" NOT NULL,
    id        text COLLATE "C" NOT NULL,
    newest    bigint NOT NULL,
    deleted   boolean NOT NULL,
    updated   bigint NOT NULL,
    owner     text COLLATE "C" NOT NULL,
    patient   bigint,
    encounter bigint,
    date_from bigint,
    date_to   bigint,                          -- the first moment that is not part of it
    status    text COLLATE "C",
    PRIMARY KEY (house, record)
);

CREATE UNIQUE INDEX records_by_id ON records (house, kind, id);
CREATE INDEX records_by_patient ON records (house, patient, kind)
    WHERE NOT deleted AND patient IS NOT NULL;
CREATE INDEX records_by_encounter ON records (house, encounter, kind)
    WHERE NOT deleted AND encounter IS NOT NULL;
CREATE INDEX records_by_date ON records (house, kind, date_from)
    WHERE NOT deleted AND date_from IS NOT NULL;
CREATE INDEX records_by_update ON records (house, kind, updated) WHERE NOT deleted;

CREATE TABLE tokens (                          -- of newest, undeleted versions
    house  bigint NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    token  text COLLATE "C" NOT NULL,          -- a long one by its digest: see row.rs
    record bigint NOT NULL,
    PRIMARY KEY (house, kind, token, record)
);

-- What the server samples of a table for its planner stays in its catalogue, whatever is removed
-- from the table: of what a purge removes it samples nothing.
ALTER TABLE tokens ALTER token SET STATISTICS 0;
ALTER TABLE records ALTER status SET STATISTICS 0;

CREATE INDEX tokens_by_record ON tokens (house, record);

CREATE TABLE versions (
    house   bigint NOT NULL,
    record  bigint NOT NULL,
    version bigint NOT NULL,
    updated bigint NOT NULL,
    owner   text COLLATE "C" NOT NULL,
    receipt text COLLATE "C" NOT NULL,
    lane    text COLLATE "C",
    number  bigint,
    digest  bytea NOT NULL,
    deleted boolean NOT NULL,
    purged  boolean NOT NULL DEFAULT false,
    packed  boolean NOT NULL DEFAULT false,    -- by zstd
    file    bytea,                             -- where a large content lies
    content bytea,
    PRIMARY KEY (house, record, version)
) WITH (toast_tuple_target = 8160);

-- Contents are packed before they come here, and most are read with their row.
ALTER TABLE versions ALTER content SET STORAGE EXTERNAL, ALTER content SET STATISTICS 0;

CREATE INDEX versions_by_receipt ON versions (house, receipt);
CREATE INDEX versions_by_file ON versions (file) WHERE file IS NOT NULL;

-- Contents under their digest, first answers under their key, single-use tokens.

CREATE TABLE blobs (
    house   bigint NOT NULL,
    digest  bytea NOT NULL,
    packed  boolean NOT NULL DEFAULT false,
    file    bytea,
    content bytea,
    PRIMARY KEY (house, digest)
) WITH (toast_tuple_target = 8160);

ALTER TABLE blobs ALTER content SET STORAGE EXTERNAL, ALTER content SET STATISTICS 0;

CREATE INDEX blobs_by_file ON blobs (file) WHERE file IS NOT NULL;

-- Which rows of work use a content: it is purged with the last of them.
CREATE TABLE blob_uses (
    house  bigint NOT NULL,
    work   text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (house, work, digest)
);

CREATE INDEX blob_uses_by_digest ON blob_uses (house, digest);

CREATE TABLE first_answers (
    house   bigint NOT NULL,
    sender  text COLLATE "C" NOT NULL,
    mark    bytea NOT NULL,                    -- digest of the key, which may be long
    key     text COLLATE "C" NOT NULL,
    digest  bytea NOT NULL,
    status  integer NOT NULL,
    headers text NOT NULL,
    body    bytea NOT NULL,                    -- digest of the body
    purged  boolean NOT NULL DEFAULT false,
    packed  boolean NOT NULL DEFAULT false,
    file    bytea,
    content bytea,
    PRIMARY KEY (house, sender, mark)
) WITH (toast_tuple_target = 8160);

ALTER TABLE first_answers ALTER content SET STORAGE EXTERNAL, ALTER content SET STATISTICS 0;

CREATE INDEX first_answers_by_file ON first_answers (file) WHERE file IS NOT NULL;

CREATE TABLE uses (
    house bigint NOT NULL,
    mark  bytea NOT NULL,                      -- digest of scope and token
    until bigint NOT NULL,
    PRIMARY KEY (house, mark)
);

CREATE INDEX uses_by_end ON uses (house, until);

-- What all processes know of a partner's door.
CREATE TABLE doors (
    house    bigint NOT NULL,
    partner  text COLLATE "C" NOT NULL,
    free_at  bigint NOT NULL,                  -- when its pace allows the next request
    failures bigint NOT NULL,                  -- in a row
    resting  bigint,                           -- until when nothing is sent
    rest     bigint NOT NULL DEFAULT 0,        -- how long the last rest was
    PRIMARY KEY (house, partner)
) WITH (fillfactor = 20);
