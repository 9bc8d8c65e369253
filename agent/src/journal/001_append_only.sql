-- The journal: append-only by trigger. Triggers guard against our own mistakes; against people the
-- signatures and receipts do. A later migration may let bodies go to NULL after retention.

-- One row an enrolment; the current chain is the one with the highest id.
CREATE TABLE chain(
  id INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  grant_jws TEXT NOT NULL,
  key_check BLOB NOT NULL CHECK(length(key_check) = 16),
  size INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  acked INTEGER NOT NULL CHECK(acked BETWEEN 0 AND size),
  acked_frontier BLOB NOT NULL
) STRICT;

-- seq counts from 0 without a gap. body is the sealed JWS; leaf is its hash, in clear.
CREATE TABLE event(
  chain INTEGER NOT NULL REFERENCES chain(id),
  seq INTEGER NOT NULL CHECK(seq >= 0),
  leaf BLOB NOT NULL CHECK(length(leaf) = 32),
  body BLOB,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY(chain, seq)
) STRICT;

CREATE TABLE receipt(
  chain INTEGER NOT NULL REFERENCES chain(id),
  size INTEGER NOT NULL,
  note TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY(chain, size)
) STRICT, WITHOUT ROWID;

-- `INSERT OR REPLACE` would delete without asking the delete triggers, so the insert itself is refused.
CREATE TRIGGER chain_begins_empty BEFORE INSERT ON chain
WHEN NEW.size <> 0 OR NEW.acked <> 0
  OR EXISTS(SELECT 1 FROM chain WHERE id >= NEW.id OR uuid = NEW.uuid)
BEGIN SELECT RAISE(ABORT, 'a chain begins empty and after all others'); END;

CREATE TRIGGER chain_keeps_its_grant BEFORE UPDATE OF id, uuid, grant_jws, key_check ON chain
BEGIN SELECT RAISE(ABORT, 'a chain keeps its identity'); END;

CREATE TRIGGER chain_stays BEFORE DELETE ON chain
BEGIN SELECT RAISE(ABORT, 'a chain is never deleted'); END;

CREATE TRIGGER chain_size_counts_events BEFORE UPDATE OF size ON chain
WHEN NEW.size <> (SELECT coalesce(max(seq), -1) + 1 FROM event WHERE chain = OLD.id)
BEGIN SELECT RAISE(ABORT, 'size is the number of events'); END;

CREATE TRIGGER chain_acknowledges_by_receipt BEFORE UPDATE OF acked, acked_frontier ON chain
WHEN NEW.acked <= OLD.acked
  OR NOT EXISTS(SELECT 1 FROM receipt WHERE chain = OLD.id AND size = NEW.acked)
BEGIN SELECT RAISE(ABORT, 'only a receipt acknowledges, and only forward'); END;

CREATE TRIGGER event_comes_next BEFORE INSERT ON event
WHEN NEW.seq IS NOT (SELECT size FROM chain WHERE id = NEW.chain) OR NEW.body IS NULL
BEGIN SELECT RAISE(ABORT, 'an event comes at the end of its chain'); END;

CREATE TRIGGER event_counts AFTER INSERT ON event
BEGIN UPDATE chain SET size = size + 1 WHERE id = NEW.chain; END;

CREATE TRIGGER event_stays_as_it_is BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;

CREATE TRIGGER event_stays BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;

CREATE TRIGGER receipt_comes_next BEFORE INSERT ON receipt
WHEN NEW.size NOT BETWEEN (SELECT acked + 1 FROM chain WHERE id = NEW.chain)
                      AND (SELECT size FROM chain WHERE id = NEW.chain)
BEGIN SELECT RAISE(ABORT, 'a receipt is newer than the last and within its chain'); END;

CREATE TRIGGER receipt_stays_as_it_is BEFORE UPDATE ON receipt
BEGIN SELECT RAISE(ABORT, 'a receipt is never changed'); END;

CREATE TRIGGER receipt_stays BEFORE DELETE ON receipt
BEGIN SELECT RAISE(ABORT, 'a receipt is never deleted'); END;
