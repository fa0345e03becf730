-- Builds that are not what they seem: gone, where Buildkite has deleted what is still here; stuck, where a build is
-- open though all of its jobs ended more than an hour before it was last read.
-- grain: one row per such build
-- key: build_id
-- answers: Q4
WITH ends AS (
    SELECT
        build_id,
        max(coalesce(finished_at, unblocked_at)) AS last_end_at,
        count(*) FILTER (
            WHERE
            state NOT IN (
                'passed', 'failed', 'canceled', 'timed_out', 'expired', 'skipped', 'broken', 'unblocked',
                'waiting_failed', 'blocked_failed', 'unblocked_failed'
            )
        ) AS jobs_open
    FROM jobs
    GROUP BY build_id
)

SELECT
    b.organization_slug,
    b.pipeline_slug,
    b.id AS build_id,
    b.number AS build_number,
    CASE WHEN b.gone_at IS NOT NULL THEN 'gone' ELSE 'stuck' END AS kind,
    b.state,
    b.created_at,
    b.gone_at,
    e.last_end_at,
    b.last_seen_at,
    b.web_url
FROM builds AS b
LEFT JOIN ends AS e
    ON b.id = e.build_id
WHERE
    b.gone_at IS NOT NULL
    OR (
        b.state IN ('creating', 'scheduled', 'running', 'failing', 'canceling')
        AND NOT coalesce(b.blocked, FALSE)
        AND e.jobs_open = 0
        AND e.last_end_at < b.last_seen_at - INTERVAL 1 HOUR
    )
