-- What is not loaded yet and how long Buildkite keeps it: 30 days (Personal), 90 (Pro) or 365 (Enterprise) from the
-- creation of its build. By the last load of each table; negative days are over.
-- grain: one row per organization and table of which something waits
-- key: organization_slug, table_name
-- answers: Q3
WITH latest AS (
    SELECT *
    FROM load_coverage
    QUALIFY row_number() OVER (PARTITION BY organization_slug, table_name ORDER BY observed_at DESC, run_id) = 1
)

SELECT
    c.organization_slug,
    c.table_name,
    c.reason,
    c.selected,
    c.waiting,
    c.missing_from,
    c.missing_to,
    coalesce(c.oldest_missing_at, c.missing_from) AS oldest_missing_at,
    30 - (epoch(a.as_of) - epoch(coalesce(c.oldest_missing_at, c.missing_from))) / 86400.0 AS days_left_of_30,
    90 - (epoch(a.as_of) - epoch(coalesce(c.oldest_missing_at, c.missing_from))) / 86400.0 AS days_left_of_90,
    365 - (epoch(a.as_of) - epoch(coalesce(c.oldest_missing_at, c.missing_from))) / 86400.0 AS days_left_of_365
FROM latest AS c
LEFT JOIN as_of AS a
    ON c.organization_slug = a.organization_slug
WHERE c.waiting > 0 OR c.missing_from IS NOT NULL
