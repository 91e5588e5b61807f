-- The part of the place of large contents that is this database's own. Drawn here, and not told by
-- its houses: a house that is restored into another database brings its key along, and two databases
-- in one part would sweep up each other's contents.

CREATE TABLE place (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),  -- there is one row
    part text COLLATE "C" NOT NULL
);

INSERT INTO place (part) VALUES (replace(gen_random_uuid()::text, '-', ''));

-- What the server samples for its planner stays in its catalogue, whatever is removed from the table:
-- of dates of birth and of whose a record is it samples nothing either. Searches come to these columns
-- by their indexes, for any value alike.
ALTER TABLE records ALTER date_from SET STATISTICS 0, ALTER date_to SET STATISTICS 0,
    ALTER patient SET STATISTICS 0, ALTER encounter SET STATISTICS 0;

-- What it has sampled goes when a column is given its type, the one it has: no row is written anew.
ALTER TABLE records ALTER date_from TYPE bigint, ALTER date_to TYPE bigint,
    ALTER patient TYPE bigint, ALTER encounter TYPE bigint;

-- How often a house was purged, and after which of these nothing of it was left in a table.
ALTER TABLE houses ADD COLUMN purges bigint NOT NULL DEFAULT 0,
    ADD COLUMN scrubbed bigint NOT NULL DEFAULT 0;
UPDATE houses h SET purges = 1
    WHERE EXISTS (SELECT 1 FROM works w WHERE w.house = h.house AND w.purged);
