-- What brought a version before what brought it last, so that one of them can be withdrawn.

CREATE TABLE bringers (
    house   INTEGER NOT NULL REFERENCES houses,
    record  INTEGER NOT NULL REFERENCES records,
    version INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    number  INTEGER,                       -- of the version, while this was the last
    nth     INTEGER NOT NULL,              -- the order they came in
    PRIMARY KEY (house, record, version, receipt)
) STRICT, WITHOUT ROWID;

CREATE INDEX bringers_by_receipt ON bringers (house, receipt, record);

-- Whether all that brought a version was withdrawn.
ALTER TABLE versions ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;

-- What a receipt brought is walked through record by record.
DROP INDEX versions_by_receipt;
CREATE INDEX versions_by_receipt ON versions (house, receipt, record);
