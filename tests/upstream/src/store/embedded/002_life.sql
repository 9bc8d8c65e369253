ALTER TABLE chain ADD COLUMN agent TEXT;
ALTER TABLE chain ADD COLUMN last_event_ms INTEGER;
ALTER TABLE chain ADD COLUMN running INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chain ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;
UPDATE chain SET quarantined =
    (SELECT count(*) FROM event WHERE event.chain = chain.id AND quarantine IS NOT NULL);

CREATE TABLE gap (
    chain TEXT NOT NULL REFERENCES chain (id),
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (chain, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE acknowledgement (
    chain TEXT NOT NULL REFERENCES chain (id),
    kind TEXT NOT NULL,
    serial INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    proof TEXT NOT NULL,
    PRIMARY KEY (chain, kind, serial)
) STRICT, WITHOUT ROWID;

-- One row: the public keys of the upstream that made this store.
CREATE TABLE owner (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    keys TEXT NOT NULL
) STRICT;
