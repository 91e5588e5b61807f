-- The part of the place of large contents that is this database's own. Drawn here, and not told by
-- its houses: a house that is restored into another database brings its key along, and two databases
-- in one part would sweep up each other's contents.

CREATE TABLE place (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),  -- there is one row
    part text COLLATE "C" NOT NULL
);

INSERT INTO place (part) VALUES (replace(gen_random_uuid()::text, '-', ''));
