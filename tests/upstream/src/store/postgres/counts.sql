SELECT
    (SELECT count(DISTINCT terminal) FROM chain),
    (SELECT coalesce(sum(size), 0)::bigint FROM chain),
    (SELECT coalesce(sum(s), 0)::bigint FROM (SELECT max(size) AS s FROM receipt GROUP BY chain) AS newest),
    (SELECT coalesce(sum(quarantined), 0)::bigint FROM chain),
    (SELECT count(*) FROM alarm)
