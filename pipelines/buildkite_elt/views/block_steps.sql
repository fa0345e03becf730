-- How long manual steps held up their builds: from the last end of another job, or else the build's creation, until
-- somebody unblocked them, or until now where they still block. Buildkite does not say when a step began to block.
-- grain: one row per manual job that was unblocked or still blocks
-- key: job_id
-- answers: S8
WITH blocks AS (
    SELECT
        m.organization_slug,
        m.pipeline_slug,
        b.branch,
        m.build_id,
        m.build_number,
        m.id AS job_id,
        coalesce(m.label, m.name, m.step_key, 'unnamed') AS step,
        m.state,
        m.unblocked_by_name,
        b.created_at,
        m.unblocked_at,
        coalesce(m.unblocked_at, a.as_of) AS until_at
    FROM jobs AS m
    INNER JOIN builds AS b
        ON m.build_id = b.id
    INNER JOIN as_of AS a
        ON m.organization_slug = a.organization_slug
    WHERE m.type = 'manual' AND (m.unblocked_at IS NOT NULL OR m.state = 'blocked')
),

begun AS (
    SELECT
        m.job_id,
        max(coalesce(j.finished_at, j.unblocked_at)) AS last_end_at
    FROM blocks AS m
    INNER JOIN jobs AS j
        ON m.build_id = j.build_id AND m.job_id <> j.id AND coalesce(j.finished_at, j.unblocked_at) <= m.until_at
    GROUP BY m.job_id
)

SELECT
    m.organization_slug,
    m.pipeline_slug,
    m.branch,
    m.build_id,
    m.build_number,
    m.job_id,
    m.step,
    m.state,
    m.unblocked_by_name,
    coalesce(g.last_end_at, m.created_at) AS blocked_at,
    m.unblocked_at,
    epoch(m.until_at) - epoch(coalesce(g.last_end_at, m.created_at)) AS blocked_seconds
FROM blocks AS m
LEFT JOIN begun AS g
    ON m.job_id = g.job_id
