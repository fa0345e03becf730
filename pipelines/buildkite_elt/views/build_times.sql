-- How long each build took, from its creation until its last job ended, in three parts that add up to it: something
-- ran; nothing ran, but some job waited for an agent; neither (blocked, behind a limit, or until somebody retried).
-- grain: one row per build that ended and in which something ran or waited
-- key: build_id
WITH spans AS (
    SELECT
        build_id,
        started_at AS began_at,
        finished_at AS ended_at,
        TRUE AS ran
    FROM jobs
    WHERE type IN ('script', 'trigger') AND finished_at > started_at
    UNION ALL
    SELECT
        build_id,
        runnable_at AS began_at,
        coalesce(started_at, finished_at) AS ended_at,
        FALSE AS ran
    FROM jobs
    WHERE type = 'script' AND coalesce(started_at, finished_at) > runnable_at
),

-- What of a span lies before the latest end of the spans that began before it has been counted with them.
seen AS (
    SELECT
        *,
        max(ended_at) OVER earlier AS any_until,
        max(CASE WHEN ran THEN ended_at END) OVER earlier AS run_until
    FROM spans
    WINDOW earlier AS (
        PARTITION BY build_id ORDER BY began_at, ended_at, ran
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),

summed AS (
    SELECT
        build_id,
        min(began_at) AS began_at,
        max(ended_at) AS ended_at,
        sum(greatest(0, epoch(ended_at) - epoch(greatest(began_at, coalesce(any_until, began_at))))) AS any_seconds,
        sum(greatest(0, epoch(ended_at) - epoch(greatest(began_at, coalesce(run_until, began_at))))) FILTER (WHERE ran)
            AS run_seconds,
        sum(epoch(ended_at) - epoch(began_at)) FILTER (WHERE ran) AS job_seconds
    FROM seen
    GROUP BY build_id
)

SELECT
    b.organization_slug,
    b.pipeline_slug,
    b.branch,
    b.id AS build_id,
    b.number AS build_number,
    b.state,
    b.source,
    b.created_at,
    s.ended_at,
    epoch(s.ended_at) - epoch(least(b.created_at, s.began_at)) AS total_seconds,
    coalesce(s.run_seconds, 0) AS run_seconds,
    greatest(0, s.any_seconds - coalesce(s.run_seconds, 0)) AS wait_seconds,
    greatest(0, epoch(s.ended_at) - epoch(least(b.created_at, s.began_at)) - s.any_seconds) AS held_seconds,
    coalesce(s.job_seconds, 0) AS job_seconds,
    b.web_url
FROM builds AS b
INNER JOIN summed AS s
    ON b.id = s.build_id
WHERE b.state IN ('passed', 'failed', 'canceled') AND NOT coalesce(b.blocked, FALSE)
