-- When the address ranges of webhooks came and went, as loads found it; what the first load found was there before.
-- grain: one row per address range and moment at which it was found, or found gone
-- key: range, changed_at, change
-- answers: G4
SELECT
    v.range,
    v._dlt_valid_from AS changed_at,
    CASE WHEN v._dlt_valid_from = f.first_at THEN 'there before' ELSE 'added' END AS change
FROM webhook_ips AS v
CROSS JOIN (SELECT min(_dlt_valid_from) AS first_at FROM webhook_ips) AS f
UNION ALL
SELECT
    range,
    _dlt_valid_to AS changed_at,
    'removed' AS change
FROM webhook_ips
WHERE _dlt_valid_to IS NOT NULL
