SELECT terminal, id, institution, department, size, last_seen_ms,
    (SELECT count(*) FROM event WHERE chain = id AND quarantine IS NOT NULL),
    (SELECT count(*) FROM alarm WHERE chain = id)
FROM chain ORDER BY terminal, id
