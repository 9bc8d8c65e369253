SELECT terminal, id, institution, department, size, agent, last_seen_ms, running, quarantined,
    (SELECT count(*) FROM alarm WHERE alarm.chain = page.id),
    (SELECT count(*) FROM gap WHERE gap.chain = page.id),
    last.sequence, last.from_ms, last.to_ms,
    coalesce((SELECT json_object_agg(kind, serial)::text FROM
        (SELECT kind, max(serial) AS serial FROM acknowledgement
         WHERE acknowledgement.chain = page.id GROUP BY kind) AS taken), '{}')
FROM (SELECT * FROM chain WHERE id > $1 ORDER BY id LIMIT $2) AS page
LEFT JOIN LATERAL (
    SELECT sequence, from_ms, to_ms FROM gap WHERE gap.chain = page.id ORDER BY from_ms DESC LIMIT 1
) AS last ON TRUE
ORDER BY id
