-- How soon a build tells something: seconds from its creation until its first job ended, and until the first one
-- failed or timed out, a job that may fail left aside. A retry does not take back a failure that was seen.
-- grain: one row per build of which some job ran to its end
-- key: build_id
-- answers: S4
WITH ended AS (
    SELECT
        build_id,
        min(finished_at) AS first_result_at,
        max(finished_at) AS last_result_at
    FROM jobs
    WHERE type = 'script' AND finished_at >= started_at
    GROUP BY build_id
),

failed AS (
    SELECT
        build_id,
        finished_at,
        coalesce(step_key, name, 'unnamed') AS step,
        web_url
    FROM jobs
    WHERE
        type = 'script'
        AND finished_at >= started_at
        AND state IN ('failed', 'timed_out')
        AND NOT coalesce(soft_failed, FALSE)
    QUALIFY row_number() OVER (PARTITION BY build_id ORDER BY finished_at, id) = 1
)

SELECT
    b.organization_slug,
    b.pipeline_slug,
    b.branch,
    b.id AS build_id,
    b.number AS build_number,
    b.state,
    CASE WHEN e.first_result_at >= b.created_at THEN epoch(e.first_result_at) - epoch(b.created_at) END
        AS first_result_seconds,
    CASE WHEN f.finished_at >= b.created_at THEN epoch(f.finished_at) - epoch(b.created_at) END AS first_failure_seconds,
    CASE WHEN e.last_result_at >= b.created_at THEN epoch(e.last_result_at) - epoch(b.created_at) END AS last_result_seconds,
    f.step AS first_failed_step,
    f.web_url AS first_failed_url
FROM builds AS b
INNER JOIN ended AS e
    ON b.id = e.build_id
LEFT JOIN failed AS f
    ON b.id = f.build_id
