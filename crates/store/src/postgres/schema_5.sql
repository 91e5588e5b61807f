-- In which bulk submission a push waits: what one has gathered is found however much waits in others.

ALTER TABLE works ADD COLUMN gathered text COLLATE "C";
UPDATE works SET gathered = convert_from(body, 'UTF8')::jsonb ->> 'submission'
    WHERE state = 'submitted';
CREATE INDEX works_by_gathered ON works (house, gathered) WHERE gathered IS NOT NULL;
