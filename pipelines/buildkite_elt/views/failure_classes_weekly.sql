-- How often jobs failed and how long they ran for it, by class of failure (failure_rules) and week.
-- grain: one row per organization, pipeline, class and week in which jobs failed, UTC, weeks from Monday
-- key: organization_slug, pipeline_slug, class, week
-- answers: F4
SELECT
    organization_slug,
    pipeline_slug,
    class,
    date_trunc('week', failed_at AT TIME ZONE 'UTC') AS week,
    count(*) AS failures,
    count(CASE WHEN soft_failed THEN 1 END) AS soft_failures,
    count(DISTINCT build_id) AS builds,
    coalesce(sum(run_seconds), 0) AS run_seconds
FROM job_failures
GROUP BY ALL
