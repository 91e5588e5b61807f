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
    PRIMARY KEY (house, partner)
) STRICT, WITHOUT ROWID;

-- From which edition of keys the records are found, and how far the next one has come.
ALTER TABLE houses ADD COLUMN keys_edition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE houses ADD COLUMN keys_next INTEGER NOT NULL DEFAULT 0;
ALTER TABLE houses ADD COLUMN keys_done INTEGER NOT NULL DEFAULT 0;
