-- The tokens of a record stand in its row: an index from records to tokens held each text again.

ALTER TABLE records ADD COLUMN tokens TEXT;            -- a list; none: it has none
UPDATE records SET tokens = (SELECT json_group_array(t.token)
        FROM tokens t INDEXED BY tokens_by_record
        WHERE t.house = records.house AND t.record = records.record)
    WHERE EXISTS (SELECT 1 FROM tokens t INDEXED BY tokens_by_record
        WHERE t.house = records.house AND t.record = records.record);
DROP INDEX tokens_by_record;
