-- In which bulk submission a push waits: what one has gathered is found however much waits in others.

ALTER TABLE works ADD COLUMN gathered TEXT;
UPDATE works SET gathered = json_extract(CAST(body AS TEXT), '$.submission')
    WHERE state = 'submitted';
CREATE INDEX works_by_gathered ON works (house, gathered) WHERE gathered IS NOT NULL;

-- The tokens of a record stand in its row: an index from records to tokens held each text again.

ALTER TABLE records ADD COLUMN tokens TEXT;            -- a list; none: it has none
UPDATE records SET tokens = (SELECT json_group_array(t.token)
        FROM tokens t INDEXED BY tokens_by_record
        WHERE t.house = records.house AND t.record = records.record)
    WHERE EXISTS (SELECT 1 FROM tokens t INDEXED BY tokens_by_record
        WHERE t.house = records.house AND t.record = records.record);
DROP INDEX tokens_by_record;
