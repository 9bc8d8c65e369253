SELECT terminal, id, institution, department, size, agent, last_seen_ms, running, quarantined,
    (SELECT count(*) FROM alarm WHERE alarm.chain = id),
    (SELECT count(*) FROM gap WHERE gap.chain = id),
    last.sequence, last.from_ms, last.to_ms,
    (SELECT json_group_object(kind, serial) FROM
        (SELECT kind, max(serial) AS serial FROM acknowledgement WHERE acknowledgement.chain = id GROUP BY kind))
FROM chain LEFT JOIN gap AS last
    ON last.chain = id AND last.from_ms = (SELECT max(from_ms) FROM gap WHERE gap.chain = id)
WHERE id > ?1 ORDER BY id LIMIT ?2
