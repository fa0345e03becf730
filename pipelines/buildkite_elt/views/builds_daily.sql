-- Builds by the day on which they were made: how many, in which state they are now, and how long they and their jobs
-- ran. Add up the days between two dates. A blocked build counts as open; minutes are those of builds that ended.
-- grain: one row per organization, pipeline and day, UTC
-- key: organization_slug, pipeline_slug, day
-- answers: S9
SELECT
    b.organization_slug,
    b.pipeline_slug,
    date_trunc('day', b.created_at AT TIME ZONE 'UTC') AS day,
    count(*) AS builds,
    count(*) FILTER (WHERE b.state = 'passed' AND NOT coalesce(b.blocked, FALSE)) AS builds_passed,
    count(*) FILTER (WHERE b.state = 'failed' AND NOT coalesce(b.blocked, FALSE)) AS builds_failed,
    count(*) FILTER (WHERE b.state = 'canceled' AND NOT coalesce(b.blocked, FALSE)) AS builds_canceled,
    count(*) FILTER (WHERE b.state IN ('skipped', 'not_run') AND NOT coalesce(b.blocked, FALSE)) AS builds_not_run,
    count(*) FILTER (
        WHERE coalesce(b.blocked, FALSE) OR b.state NOT IN ('passed', 'failed', 'canceled', 'skipped', 'not_run')
    ) AS builds_open,
    coalesce(sum(t.run_seconds), 0) AS build_run_seconds,
    coalesce(sum(t.job_seconds), 0) AS job_run_seconds,
    coalesce(sum(t.run_seconds), 0) / 60.0 AS build_minutes
FROM builds AS b
LEFT JOIN build_times AS t
    ON b.id = t.build_id
GROUP BY ALL
