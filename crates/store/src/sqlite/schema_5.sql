-- In which bulk submission a push waits: what one has gathered is found however much waits in others.

ALTER TABLE works ADD COLUMN gathered TEXT;
UPDATE works SET gathered = json_extract(CAST(body AS TEXT), '$.submission')
    WHERE state = 'submitted';
CREATE INDEX works_by_gathered ON works (house, gathered) WHERE gathered IS NOT NULL;
