SELECT
    (SELECT count(DISTINCT terminal) FROM chain),
    (SELECT coalesce(sum(size), 0) FROM chain),
    (SELECT coalesce(sum(s), 0) FROM (SELECT max(size) AS s FROM receipt GROUP BY chain)),
    (SELECT coalesce(sum(quarantined), 0) FROM chain),
    (SELECT count(*) FROM alarm)
