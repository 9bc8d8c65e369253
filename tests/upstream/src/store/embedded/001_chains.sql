CREATE TABLE chain (
    id TEXT PRIMARY KEY,
    terminal TEXT NOT NULL,
    institution TEXT NOT NULL,
    department TEXT NOT NULL,
    grant_jws TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    frontier BLOB NOT NULL,
    last_leaf BLOB NOT NULL CHECK (length(last_leaf) = 32),
    last_seen_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    chain TEXT NOT NULL REFERENCES chain (id),
    sequence INTEGER NOT NULL,
    leaf BLOB NOT NULL CHECK (length(leaf) = 32),
    body TEXT NOT NULL,
    -- Why the event was set aside; null for events that were understood.
    quarantine TEXT,
    PRIMARY KEY (chain, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
    chain TEXT NOT NULL REFERENCES chain (id),
    size INTEGER NOT NULL,
    note TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (chain, size)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
    id INTEGER PRIMARY KEY,
    chain TEXT NOT NULL,
    kind TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    held TEXT NOT NULL,
    found TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    UNIQUE (chain, kind, sequence, found)
) STRICT;

CREATE TABLE code (
    -- SHA-256 of the code: who reads this file cannot enrol with it.
    hash BLOB PRIMARY KEY,
    terminal TEXT NOT NULL,
    institution TEXT NOT NULL,
    department TEXT NOT NULL,
    region TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_by TEXT,
    grant_jws TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE document (
    kind TEXT NOT NULL,
    serial INTEGER NOT NULL,
    token TEXT NOT NULL,
    PRIMARY KEY (kind, serial)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER event_without_gap BEFORE INSERT ON event
WHEN new.sequence > 0
    AND NOT EXISTS (SELECT 1 FROM event WHERE chain = new.chain AND sequence = new.sequence - 1)
BEGIN SELECT raise(ABORT, 'event leaves a gap'); END;
CREATE TRIGGER event_is_final BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'events are final'); END;
CREATE TRIGGER event_stays BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'events stay'); END;
CREATE TRIGGER receipt_is_final BEFORE UPDATE ON receipt BEGIN SELECT raise(ABORT, 'receipts are final'); END;
CREATE TRIGGER receipt_stays BEFORE DELETE ON receipt BEGIN SELECT raise(ABORT, 'receipts stay'); END;
