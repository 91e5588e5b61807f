-- One file holds the houses of one process; the house leads every key.

CREATE TABLE houses (
    house    INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    blob_key BLOB NOT NULL,                -- names the house's large contents
    lines    INTEGER NOT NULL DEFAULT 0    -- entries ever written: a cut tail is missed
) STRICT;

-- The ledger.

CREATE TABLE entries (
    house INTEGER NOT NULL REFERENCES houses,
    seq   INTEGER NOT NULL,
    at    INTEGER NOT NULL,                -- microseconds, as all times here
    chain TEXT NOT NULL,
    body  TEXT NOT NULL,
    prev  BLOB NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (house, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX entries_by_chain ON entries (house, chain, seq);

CREATE TRIGGER entries_stand BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'a ledger line is never changed'); END;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'a ledger line is never removed'); END;

CREATE TABLE checkpoints (
    house     INTEGER NOT NULL REFERENCES houses,
    number    INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    root      BLOB NOT NULL,
    prev      BLOB NOT NULL,
    key_id    TEXT NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (house, number)
) STRICT, WITHOUT ROWID;

-- Work. `work` rises with every new row: the older of two rows has the lower one.

CREATE TABLE works (
    work         INTEGER PRIMARY KEY,
    house        INTEGER NOT NULL REFERENCES houses,
    id           TEXT NOT NULL,
    kind         INTEGER NOT NULL,
    lane         TEXT NOT NULL,
    partner      TEXT,
    dossier      TEXT,
    cause        TEXT,                     -- the trigger
    label        TEXT,
    number       INTEGER,
    state        TEXT NOT NULL,
    due          INTEGER,
    revision     INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    changed      INTEGER NOT NULL,
    fence        INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER,
    body         BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX works_by_id ON works (house, id);
CREATE INDEX works_by_label ON works (house, label) WHERE label IS NOT NULL;
CREATE INDEX works_by_lane ON works (house, lane);
CREATE INDEX works_by_dossier ON works (house, dossier) WHERE dossier IS NOT NULL;
CREATE INDEX works_by_cause ON works (house, cause) WHERE cause IS NOT NULL;
CREATE INDEX works_by_state ON works (house, state);
CREATE INDEX works_waiting ON works (house, lane, work) WHERE due IS NOT NULL;
CREATE INDEX works_leased ON works (house, lane, leased_until) WHERE leased_until IS NOT NULL;

-- One row per lane: which row of work is its next, and from when it can be claimed. So claiming
-- costs the same however much waits behind it.

CREATE TABLE lanes (
    house  INTEGER NOT NULL REFERENCES houses,
    lane   TEXT NOT NULL,
    number INTEGER NOT NULL,               -- highest ever used
    next   INTEGER REFERENCES works,       -- oldest row with a due
    ready  INTEGER,                        -- its due, or the end of the lane's lease if later
    PRIMARY KEY (house, lane)
) STRICT, WITHOUT ROWID;

CREATE INDEX lanes_by_ready ON lanes (house, ready, next) WHERE ready IS NOT NULL;

-- Records: one row per record with what searches read, one per version with the bytes.

CREATE TABLE subjects (                    -- ids of Patients and Encounters as integers
    subject INTEGER PRIMARY KEY,
    house   INTEGER NOT NULL REFERENCES houses,
    id      TEXT NOT NULL,
    UNIQUE (house, id)
) STRICT;

CREATE TABLE records (
    record    INTEGER PRIMARY KEY,
    house     INTEGER NOT NULL REFERENCES houses,
    kind      TEXT NOT NULL,
    id        TEXT NOT NULL,
    newest    INTEGER NOT NULL,
    deleted   INTEGER NOT NULL,
    updated   INTEGER NOT NULL,
    owner     TEXT NOT NULL,
    patient   INTEGER REFERENCES subjects,
    encounter INTEGER REFERENCES subjects,
    date      TEXT,
    status    TEXT
) STRICT;

CREATE UNIQUE INDEX records_by_id ON records (house, kind, id);
CREATE INDEX records_by_patient ON records (house, patient, kind)
    WHERE deleted = 0 AND patient IS NOT NULL;
CREATE INDEX records_by_encounter ON records (house, encounter, kind)
    WHERE deleted = 0 AND encounter IS NOT NULL;
CREATE INDEX records_by_date ON records (house, kind, date)
    WHERE deleted = 0 AND date IS NOT NULL;
CREATE INDEX records_by_update ON records (house, kind, updated) WHERE deleted = 0;

CREATE TABLE tokens (                      -- of newest, undeleted versions
    house  INTEGER NOT NULL REFERENCES houses,
    kind   TEXT NOT NULL,
    token  TEXT NOT NULL,
    record INTEGER NOT NULL REFERENCES records,
    PRIMARY KEY (house, kind, token, record)
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_record ON tokens (house, record);

CREATE TABLE versions (
    house   INTEGER NOT NULL REFERENCES houses,
    record  INTEGER NOT NULL REFERENCES records,
    version INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    owner   TEXT NOT NULL,
    receipt TEXT NOT NULL,
    lane    TEXT,
    number  INTEGER,
    digest  BLOB NOT NULL,
    deleted INTEGER NOT NULL,
    file    BLOB,                          -- where a large content lies
    content BLOB,
    UNIQUE (house, record, version)
) STRICT;

CREATE INDEX versions_by_file ON versions (file) WHERE file IS NOT NULL;

-- Contents under their digest, first answers under their key, single-use tokens.

CREATE TABLE blobs (
    house   INTEGER NOT NULL REFERENCES houses,
    digest  BLOB NOT NULL,
    file    BLOB,
    content BLOB,
    UNIQUE (house, digest)
) STRICT;

CREATE INDEX blobs_by_file ON blobs (file) WHERE file IS NOT NULL;

CREATE TABLE first_answers (
    house   INTEGER NOT NULL REFERENCES houses,
    sender  TEXT NOT NULL,
    key     TEXT NOT NULL,
    digest  BLOB NOT NULL,
    status  INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body    BLOB NOT NULL,                 -- digest of the body
    file    BLOB,
    content BLOB,
    UNIQUE (house, sender, key)
) STRICT;

CREATE INDEX first_answers_by_file ON first_answers (file) WHERE file IS NOT NULL;

CREATE TABLE uses (
    house INTEGER NOT NULL REFERENCES houses,
    mark  BLOB NOT NULL,                   -- digest of scope and token
    until INTEGER NOT NULL,
    PRIMARY KEY (house, mark)
) STRICT, WITHOUT ROWID;

CREATE INDEX uses_by_end ON uses (house, until);
