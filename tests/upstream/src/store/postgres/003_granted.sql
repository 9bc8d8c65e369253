-- In which order chains were granted. Their identifiers begin with a clock, which may be set back.
ALTER TABLE chain ADD COLUMN granted BIGINT;
UPDATE chain SET granted = place.number
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM chain) AS place WHERE place.id = chain.id;
ALTER TABLE chain ALTER COLUMN granted SET NOT NULL;
ALTER TABLE chain ALTER COLUMN granted ADD GENERATED ALWAYS AS IDENTITY;
SELECT setval(pg_get_serial_sequence('chain', 'granted'), (SELECT count(*) + 1 FROM chain), FALSE);
CREATE INDEX chain_of_terminal ON chain (terminal, granted);
