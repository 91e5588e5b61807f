-- What a payer's door holds of ours, where it is no house of this program.

CREATE TABLE holdings (
    house   INTEGER NOT NULL REFERENCES houses,
    partner TEXT NOT NULL,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,                 -- derived by this house
    at      TEXT,                          -- Type/id at the payer
    digest  BLOB,                          -- of the content there; none: taken back
    as_of   INTEGER NOT NULL,              -- when the chart was read that it comes from
    PRIMARY KEY (house, partner, kind, id)
) STRICT, WITHOUT ROWID;
