-- Which jobs decided how long a build took. The API does not tell dependencies, so time does: a job waited for what
-- ended last before it became runnable (a retry for the attempt before it); from the last end of a build back, these
-- make its critical path. The others could have ended slack_seconds later at least, until the next job became runnable.
-- grain: one row per attempt (script, trigger or unblocked manual job) of a build that ended
-- key: job_id
-- answers: S3
WITH RECURSIVE ends AS (
    SELECT
        j.organization_slug,
        j.pipeline_slug,
        j.id,
        j.build_id,
        j.build_number,
        j.type,
        coalesce(j.step_key, j.name, j.label, 'unnamed') AS step,
        j.retry_source_job_id,
        CASE WHEN j.type <> 'manual' THEN epoch(j.started_at) - epoch(j.runnable_at) END AS wait_seconds,
        CASE WHEN j.type <> 'manual' THEN epoch(j.finished_at) - epoch(j.started_at) END AS run_seconds,
        CASE WHEN j.type = 'manual' THEN j.unblocked_at ELSE j.runnable_at END AS runnable_at,
        coalesce(j.finished_at, j.unblocked_at) AS ended_at
    FROM jobs AS j
    INNER JOIN builds AS b
        ON j.build_id = b.id
    WHERE
        b.state IN ('passed', 'failed', 'canceled')
        AND NOT coalesce(b.blocked, FALSE)
        AND (
            (j.type = 'manual' AND j.unblocked_at IS NOT NULL)
            OR (j.type IN ('script', 'trigger') AND j.started_at >= j.runnable_at AND j.finished_at > j.started_at)
        )
),

-- At one moment an end comes before what it makes runnable; a manual job waits for what ended before that moment.
moments AS (
    SELECT
        id,
        build_id,
        ended_at AS moment,
        2 AS rank,
        ended_at,
        CAST(NULL AS TIMESTAMPTZ) AS runnable_at
    FROM ends
    UNION ALL
    SELECT
        id,
        build_id,
        runnable_at AS moment,
        CASE WHEN type = 'manual' THEN 1 ELSE 3 END AS rank,
        CAST(NULL AS TIMESTAMPTZ) AS ended_at,
        runnable_at
    FROM ends
),

around AS (
    SELECT
        id,
        build_id,
        rank,
        max(ended_at) OVER (moments_in_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS last_end_at,
        min(runnable_at) OVER (moments_in_order ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_runnable_at,
        max(ended_at) OVER (moments_in_order ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
            AS build_ended_at
    FROM moments
    WINDOW moments_in_order AS (PARTITION BY build_id ORDER BY moment, rank)
),

timed AS (
    SELECT
        id,
        max(CASE WHEN rank <> 2 THEN last_end_at END) AS last_end_at,
        max(CASE WHEN rank = 2 THEN coalesce(next_runnable_at, build_ended_at) END) AS others_from,
        max(build_ended_at) AS build_ended_at
    FROM around
    GROUP BY id
),

one_by_end AS (
    SELECT
        build_id,
        ended_at,
        min(id) AS id
    FROM ends
    GROUP BY build_id, ended_at
),

links AS MATERIALIZED (
    SELECT
        e.*,
        t.others_from,
        t.build_ended_at,
        coalesce(r.id, l.id) AS waited_for_id
    FROM ends AS e
    INNER JOIN timed AS t
        ON e.id = t.id
    LEFT JOIN one_by_end AS l
        ON e.build_id = l.build_id AND t.last_end_at = l.ended_at
    LEFT JOIN ends AS r
        ON e.retry_source_job_id = r.id
),

path AS (
    SELECT
        l.id,
        l.ended_at,
        l.waited_for_id,
        1 AS from_the_end
    FROM links AS l
    INNER JOIN one_by_end AS o
        ON l.id = o.id
    WHERE l.ended_at = l.build_ended_at
    UNION ALL
    SELECT
        l.id,
        l.ended_at,
        l.waited_for_id,
        p.from_the_end + 1 AS from_the_end
    FROM path AS p
    INNER JOIN links AS l
        ON p.waited_for_id = l.id AND l.ended_at < p.ended_at
)

SELECT
    l.organization_slug,
    l.pipeline_slug,
    l.build_id,
    l.build_number,
    l.id AS job_id,
    l.type,
    l.step,
    p.id IS NOT NULL AS is_critical,
    p.from_the_end,
    l.waited_for_id,
    l.wait_seconds,
    l.run_seconds,
    CASE WHEN p.id IS NULL THEN epoch(l.others_from) - epoch(l.ended_at) ELSE 0 END AS slack_seconds,
    l.ended_at
FROM links AS l
LEFT JOIN path AS p
    ON l.id = p.id
