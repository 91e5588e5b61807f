-- Dates as spans of time, packed and purged contents, doors of partners, and how far keys were read.

DROP INDEX records_by_date;
ALTER TABLE records DROP COLUMN date;
ALTER TABLE records ADD COLUMN date_from INTEGER;
ALTER TABLE records ADD COLUMN date_to INTEGER;        -- the first moment that is not part of it
CREATE INDEX records_by_date ON records (house, kind, date_from)
    WHERE deleted = 0 AND date_from IS NOT NULL;

-- Contents: 0 as they are, 1 packed by zstd.
ALTER TABLE versions ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blobs ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE first_answers ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE first_answers ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX versions_by_receipt ON versions (house, receipt);
-- records.deleted: 0 found by searches, 1 deleted, 2 the newest version's content is purged.
ALTER TABLE works ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX works_at_rest ON works (house, partner, changed)
    WHERE due IS NULL AND purged = 0 AND partner IS NOT NULL;

-- Which rows of work use a content: it is purged with the last of them.
CREATE TABLE blob_uses (
    house  INTEGER NOT NULL REFERENCES houses,
    work   TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (house, work, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_uses_by_digest ON blob_uses (house, digest);

-- What all processes know of a partner's door.
CREATE TABLE doors (
    house    INTEGER NOT NULL REFERENCES houses,
    partner  TEXT NOT NULL,
    free_at  INTEGER NOT NULL,             -- when its pace allows the next request
    failures INTEGER NOT NULL,             -- in a row
    resting  INTEGER,                      -- until when nothing is sent
    rest     INTEGER NOT NULL,             -- how long the last rest is
    PRIMARY KEY (house, partner)
) STRICT, WITHOUT ROWID;

-- From which edition of keys the records are found, and how far the next one has come.
ALTER TABLE houses ADD COLUMN keys_edition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE houses ADD COLUMN keys_next INTEGER NOT NULL DEFAULT 0;
ALTER TABLE houses ADD COLUMN keys_done INTEGER NOT NULL DEFAULT 0;

-- Uses of contents that were written before uses were kept: how far they are linked; no number
-- once all are.
ALTER TABLE houses ADD COLUMN uses_line INTEGER;       -- the next ledger line to be read
ALTER TABLE houses ADD COLUMN uses_work INTEGER;       -- the next row of work to be read
UPDATE houses SET uses_line = 1, uses_work = 1;

-- Whether bytes of what was purged may still be in a file.
ALTER TABLE houses ADD COLUMN unscrubbed INTEGER NOT NULL DEFAULT 0;
