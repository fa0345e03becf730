-- Who retries jobs by hand, how often, and how many of those retries passed.
-- grain: one row per organization, pipeline, step, person and week in which they retried, UTC, weeks from Monday
-- key: organization_slug, pipeline_slug, step, retried_by_id?, retried_by_name?, week
-- answers: F2
SELECT
    r.organization_slug,
    r.pipeline_slug,
    r.step,
    j.retried_by_id,
    j.retried_by_name,
    date_trunc('week', r.created_at AT TIME ZONE 'UTC') AS week,
    count(*) AS retries,
    count(CASE WHEN r.state = 'passed' THEN 1 END) AS passed,
    coalesce(sum(r.run_seconds), 0) AS run_seconds
FROM jobs AS j
INNER JOIN job_attempts AS r
    ON j.retried_in_job_id = r.job_id
WHERE j.retry_type = 'manual'
GROUP BY ALL
