-- How many builds were rebuilds of an earlier one, and how many of those passed where the earlier one had failed.
-- grain: one row per organization, pipeline and week in which builds were made, UTC, weeks from Monday
-- key: organization_slug, pipeline_slug, week
-- answers: F11
SELECT
    b.organization_slug,
    b.pipeline_slug,
    date_trunc('week', b.created_at AT TIME ZONE 'UTC') AS week,
    count(*) AS builds,
    count(b.rebuilt_from_id) AS rebuilds,
    1.0 * count(b.rebuilt_from_id) / count(*) AS rebuild_share,
    count(CASE WHEN b.outcome = 'passed' AND e.outcome = 'failed' THEN 1 END) AS rebuilds_that_helped
FROM build_outcomes AS b
LEFT JOIN build_outcomes AS e
    ON b.rebuilt_from_id = e.build_id
GROUP BY ALL
