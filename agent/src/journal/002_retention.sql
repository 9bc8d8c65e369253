-- Retention, legal holds, and what makes a large journal quick. Rows of schema 1 stay as they are.

-- Over size, note and time of the receipt: leaves guard the events, this guards what acknowledged them.
ALTER TABLE receipt ADD COLUMN digest BLOB CHECK(digest IS NULL OR length(digest) = 32);

-- The tree at every 4,096th size, so that the tree at any size is a few thousand leaves away.
CREATE TABLE waypoint(
  chain INTEGER NOT NULL REFERENCES chain(id),
  size INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  PRIMARY KEY(chain, size)
) STRICT, WITHOUT ROWID;

-- Events that nobody may erase until the hold is lifted: an inspection's seal.
CREATE TABLE hold(
  id INTEGER PRIMARY KEY,
  chain INTEGER NOT NULL REFERENCES chain(id),
  first INTEGER NOT NULL CHECK(first >= 0),
  last INTEGER NOT NULL CHECK(last >= first),
  reason TEXT NOT NULL,
  placed_ms INTEGER NOT NULL,
  lifted_ms INTEGER
) STRICT;

-- Up to where bodies were erased, and when.
CREATE TABLE erasure(
  chain INTEGER NOT NULL REFERENCES chain(id),
  through INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY(chain, through)
) STRICT, WITHOUT ROWID;

DROP TRIGGER event_stays_as_it_is;

CREATE TRIGGER event_stays_as_it_is BEFORE UPDATE OF chain, seq, leaf, at_ms ON event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;

CREATE TRIGGER event_body_only_goes BEFORE UPDATE OF body ON event
WHEN NEW.body IS NOT NULL
  OR OLD.seq >= coalesce((SELECT max(through) FROM erasure WHERE chain = OLD.chain), 0)
BEGIN SELECT RAISE(ABORT, 'an event is never changed before its retention ends'); END;

CREATE TRIGGER erasure_stays_below_receipts_and_holds BEFORE INSERT ON erasure
WHEN NEW.through > (SELECT acked FROM chain WHERE id = NEW.chain)
  OR NEW.through <= coalesce((SELECT max(through) FROM erasure WHERE chain = NEW.chain), 0)
  OR EXISTS(SELECT 1 FROM hold WHERE chain = NEW.chain AND lifted_ms IS NULL AND first < NEW.through
    AND last >= coalesce((SELECT max(through) FROM erasure WHERE chain = NEW.chain), 0))
BEGIN SELECT RAISE(ABORT, 'only receipted events without a hold are erased'); END;

CREATE TRIGGER erasure_stays_as_it_is BEFORE UPDATE ON erasure
BEGIN SELECT RAISE(ABORT, 'an erasure is never changed'); END;

CREATE TRIGGER erasure_stays BEFORE DELETE ON erasure
BEGIN SELECT RAISE(ABORT, 'an erasure is never deleted'); END;

CREATE TRIGGER hold_is_only_lifted BEFORE UPDATE ON hold
WHEN OLD.lifted_ms IS NOT NULL OR NEW.lifted_ms IS NULL
  OR (NEW.id, NEW.chain, NEW.first, NEW.last, NEW.reason, NEW.placed_ms)
    IS NOT (OLD.id, OLD.chain, OLD.first, OLD.last, OLD.reason, OLD.placed_ms)
BEGIN SELECT RAISE(ABORT, 'a hold is lifted once and never changed'); END;

CREATE TRIGGER hold_stays BEFORE DELETE ON hold
BEGIN SELECT RAISE(ABORT, 'a hold is never deleted'); END;

CREATE TRIGGER waypoint_stays_as_it_is BEFORE UPDATE ON waypoint
BEGIN SELECT RAISE(ABORT, 'a waypoint is never changed'); END;

CREATE TRIGGER waypoint_stays BEFORE DELETE ON waypoint
BEGIN SELECT RAISE(ABORT, 'a waypoint is never deleted'); END;
