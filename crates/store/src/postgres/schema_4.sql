-- What brought a version before what brought it last, so that one of them can be withdrawn.

CREATE TABLE bringers (
    house   bigint NOT NULL,
    record  bigint NOT NULL,
    version bigint NOT NULL,
    receipt text COLLATE "C" NOT NULL,
    number  bigint,                            -- of the version, while this was the last
    nth     bigint NOT NULL,                   -- the order they came in
    PRIMARY KEY (house, record, version, receipt)
);

CREATE INDEX bringers_by_receipt ON bringers (house, receipt, record);

-- Whether all that brought a version was withdrawn.
ALTER TABLE versions ADD COLUMN withdrawn boolean NOT NULL DEFAULT false;

-- What a receipt brought is walked through record by record.
DROP INDEX versions_by_receipt;
CREATE INDEX versions_by_receipt ON versions (house, receipt, record);
