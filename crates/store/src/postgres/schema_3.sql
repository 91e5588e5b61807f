-- What a payer's door holds of ours, where it is no house of this program.

CREATE TABLE holdings (
    house   bigint NOT NULL REFERENCES houses,
    partner text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,     -- derived by this house
    at      text COLLATE "C",              -- Type/id at the payer
    digest  bytea,                         -- of the content there; none: taken back
    as_of   bigint NOT NULL,               -- when the chart was read that it comes from
    PRIMARY KEY (house, partner, kind, id)
);
