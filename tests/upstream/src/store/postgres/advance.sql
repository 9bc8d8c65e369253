-- One statement is the whole step: whoever finds another size changes nothing at all.
WITH moved AS (
    UPDATE chain SET size = $3, frontier = $4, last_leaf = $5, last_seen_ms = $6, agent = $7,
        last_event_ms = $8, running = $9, quarantined = quarantined + $10,
        handovers = $23
    WHERE id = $1 AND size = $2
    RETURNING id
), events AS (
    INSERT INTO event (month, chain, sequence, leaf, body, quarantine)
    SELECT $11, moved.id, $2 + new.place - 1, new.leaf, new.body, new.quarantine
    FROM moved, unnest($12::bytea[], $13::text[], $14::text[])
        WITH ORDINALITY AS new (leaf, body, quarantine, place)
), gaps AS (
    INSERT INTO gap (chain, sequence, from_ms, to_ms)
    SELECT moved.id, new.sequence, new.from_ms, new.to_ms
    FROM moved, unnest($15::bigint[], $16::bigint[], $17::bigint[]) AS new (sequence, from_ms, to_ms)
    ON CONFLICT DO NOTHING
), acknowledgements AS (
    INSERT INTO acknowledgement (chain, kind, serial, at_ms, proof)
    SELECT moved.id, new.kind, new.serial, new.at_ms, new.proof
    FROM moved, unnest($18::text[], $19::bigint[], $20::bigint[], $21::text[])
        AS new (kind, serial, at_ms, proof)
    ON CONFLICT DO NOTHING
), receipts AS (
    -- Of an empty chain the same size may be cosigned twice; the first receipt stands.
    INSERT INTO receipt (chain, size, note, at_ms) SELECT moved.id, $3, $22, $6 FROM moved
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM moved
