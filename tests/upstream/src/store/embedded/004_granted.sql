-- In which order chains were granted. Their identifiers begin with a clock, which may be set back.
ALTER TABLE chain ADD COLUMN granted INTEGER NOT NULL DEFAULT 0;
UPDATE chain SET granted = place.number
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM chain) AS place WHERE place.id = chain.id;
CREATE INDEX chain_granted ON chain (granted);
CREATE INDEX chain_of_terminal ON chain (terminal, granted);
