-- Schedules as they are now: their last builds, and what is wrong with them, if anything is. A schedule's builds are
-- those of schedule_builds or, where a build is not there, of its pipeline, branch and message. It counts as stopped
-- when it is on and has not built for more than twice its longest pause so far.
-- grain: one row per schedule
-- key: schedule_id
-- answers: D5
-- without: schedule_builds
WITH builds_of AS (
    SELECT
        s.id AS schedule_id,
        b.outcome,
        b.created_at,
        epoch(b.created_at) - epoch(lag(b.created_at) OVER (PARTITION BY s.id ORDER BY b.created_at)) AS pause_seconds,
        row_number() OVER (PARTITION BY s.id ORDER BY b.created_at DESC) AS recency
    FROM build_outcomes AS b
    LEFT JOIN schedule_builds AS x
        ON b.build_id = x.id
    INNER JOIN pipeline_schedules AS s
        ON
            b.pipeline_id = s.pipeline_id
            AND s._dlt_valid_to IS NULL
            AND (
                x.schedule_id = s.id
                OR (x.id IS NULL AND b.branch = s.branch AND coalesce(b.message, '') = coalesce(s.message, ''))
            )
    WHERE b.source = 'schedule'
),

counts AS (
    SELECT
        schedule_id,
        count(*) AS builds,
        count(CASE WHEN outcome = 'failed' THEN 1 END) AS failed_builds,
        max(created_at) AS last_build_at,
        max(CASE WHEN recency = 1 THEN outcome END) AS last_outcome,
        max(pause_seconds) AS longest_pause_seconds
    FROM builds_of
    GROUP BY schedule_id
)

SELECT
    s.organization_slug,
    s.pipeline_slug,
    s.id AS schedule_id,
    s.label,
    s.cronline,
    s.branch,
    s.enabled,
    coalesce(c.builds, 0) AS builds,
    coalesce(c.failed_builds, 0) AS failed_builds,
    1.0 * c.failed_builds / c.builds AS failed_share,
    c.last_build_at,
    c.last_outcome,
    s.failed_at AS failed_to_start_at,
    s.failed_message,
    CASE
        WHEN NOT s.enabled AND s.failed_at IS NOT NULL THEN 'switched off, as it failed to start'
        WHEN NOT s.enabled THEN 'switched off'
        WHEN s.failed_at > coalesce(c.last_build_at, s.created_at) THEN 'failed to start'
        WHEN c.builds IS NULL THEN 'never ran'
        WHEN epoch(n.as_of) - epoch(c.last_build_at) > 2 * c.longest_pause_seconds THEN 'stopped'
        WHEN c.last_outcome = 'failed' THEN 'last build failed'
    END AS problem
FROM pipeline_schedules AS s
LEFT JOIN counts AS c
    ON s.id = c.schedule_id
LEFT JOIN as_of AS n
    ON s.organization_slug = n.organization_slug
WHERE s._dlt_valid_to IS NULL
