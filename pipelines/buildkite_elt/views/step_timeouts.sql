-- Which timeouts are too tight or too loose: what the passed attempts of a step take against the timeout that its
-- pipeline's steps tell now, or else the pipeline's default, never above its maximum. Tight: jobs timed out, or the
-- 95th percentile is above 80 % of it; loose: it is below 20 %, over twenty jobs or more. A step is looked up by its
-- name (its label).
-- grain: one row per organization, pipeline and name of a command step that ran
-- answers: S5
WITH told AS (
    SELECT
        p.id AS pipeline_id,
        (p.steps -> n.i) ->> 'name' AS name,
        min(CAST((p.steps -> n.i) ->> 'timeout_in_minutes' AS DOUBLE)) AS minutes
    FROM pipelines AS p
    INNER JOIN generate_series(0, 499) AS n (i)
        ON n.i < json_array_length(p.steps)
    WHERE p._dlt_valid_to IS NULL
    GROUP BY ALL
),

taken AS (
    SELECT
        organization_slug,
        pipeline_id,
        pipeline_slug,
        coalesce(name, 'unnamed') AS step,
        name,
        count(*) FILTER (WHERE state = 'passed') AS passed_jobs,
        count(*) FILTER (WHERE state = 'timed_out') AS timed_out_jobs,
        quantile_cont(CASE WHEN state = 'passed' THEN epoch(finished_at) - epoch(started_at) END, 0.95) AS run_p95_seconds,
        max(CASE WHEN state = 'passed' THEN epoch(finished_at) - epoch(started_at) END) AS run_max_seconds
    FROM jobs
    WHERE type = 'script' AND state IN ('passed', 'timed_out') AND finished_at >= started_at
    GROUP BY ALL
),

both_known AS (
    SELECT
        t.*,
        least(coalesce(s.minutes, p.default_command_step_timeout), p.maximum_command_step_timeout) * 60.0
            AS timeout_seconds
    FROM taken AS t
    LEFT JOIN pipelines AS p
        ON t.pipeline_id = p.id AND p._dlt_valid_to IS NULL
    LEFT JOIN told AS s
        ON t.pipeline_id = s.pipeline_id AND t.name = s.name
)

SELECT
    organization_slug,
    pipeline_slug,
    step,
    passed_jobs,
    timed_out_jobs,
    run_p95_seconds,
    run_max_seconds,
    timeout_seconds,
    run_p95_seconds / nullif(timeout_seconds, 0) AS timeout_used_share,
    CASE
        WHEN timed_out_jobs > 0 OR run_p95_seconds > 0.8 * timeout_seconds THEN 'tight'
        WHEN timeout_seconds IS NULL THEN 'none'
        WHEN passed_jobs >= 20 AND run_p95_seconds < 0.2 * timeout_seconds THEN 'loose'
        ELSE 'fine'
    END AS verdict
FROM both_known
