CREATE TABLE chain (
    id UUID PRIMARY KEY,
    terminal UUID NOT NULL,
    institution TEXT NOT NULL,
    department TEXT NOT NULL,
    grant_jws TEXT NOT NULL,
    size BIGINT NOT NULL DEFAULT 0,
    frontier BYTEA NOT NULL,
    last_leaf BYTEA NOT NULL CHECK (length(last_leaf) = 32),
    last_seen_ms BIGINT,
    agent TEXT,
    last_event_ms BIGINT,
    running BOOLEAN NOT NULL DEFAULT FALSE,
    quarantined BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- One partition a month of arrival, so that old months can be detached and archived whole. That a place is
-- taken once only is the work of the compare-and-set on `chain.size`: a unique index would need the month.
CREATE TABLE event (
    month INTEGER NOT NULL,
    chain UUID NOT NULL,
    sequence BIGINT NOT NULL,
    leaf BYTEA NOT NULL CHECK (length(leaf) = 32),
    body TEXT NOT NULL,
    -- Why the event was set aside; null for events that were understood.
    quarantine TEXT,
    PRIMARY KEY (chain, sequence, month)
) PARTITION BY LIST (month);

CREATE TABLE receipt (
    chain UUID NOT NULL REFERENCES chain (id),
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (chain, size)
);

CREATE TABLE gap (
    chain UUID NOT NULL REFERENCES chain (id),
    from_ms BIGINT NOT NULL,
    to_ms BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (chain, from_ms)
);

CREATE TABLE acknowledgement (
    chain UUID NOT NULL REFERENCES chain (id),
    kind TEXT NOT NULL,
    serial BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    proof TEXT NOT NULL,
    PRIMARY KEY (chain, kind, serial)
);

CREATE TABLE alarm (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain UUID NOT NULL,
    kind TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    held TEXT NOT NULL,
    found TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
-- By hash: an event may be longer than an index entry.
CREATE UNIQUE INDEX alarm_once ON alarm (chain, kind, sequence, sha256(found::bytea));

CREATE TABLE code (
    -- SHA-256 of the code: who reads this table cannot enrol with it.
    hash BYTEA PRIMARY KEY,
    terminal UUID NOT NULL,
    institution TEXT NOT NULL,
    department TEXT NOT NULL,
    region TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_by TEXT,
    grant_jws TEXT
);

CREATE TABLE document (
    kind TEXT NOT NULL,
    serial BIGINT NOT NULL,
    token TEXT NOT NULL,
    PRIMARY KEY (kind, serial)
);

-- One row: the public keys of the upstream that made this store.
CREATE TABLE owner (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    keys TEXT NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'events and receipts are final'; END $$;
CREATE TRIGGER event_is_final BEFORE UPDATE OR DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER event_stays BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER receipt_is_final BEFORE UPDATE OR DELETE ON receipt
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER receipt_stays BEFORE TRUNCATE ON receipt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
