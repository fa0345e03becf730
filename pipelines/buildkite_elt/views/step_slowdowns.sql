-- Steps whose median run of the last seven days is more than a fifth above that of the 28 days before, and the build
-- since which it is so. Of every passed attempt it is counted how many others were faster, less how many were slower;
-- where the sum of these, in order of time, is lowest, the change begins (Pettitt's test; an outlier weighs no more
-- than any slow attempt). Steps of fewer than five attempts in either time are left out.
-- grain: one row per organization, pipeline and step that became slower
-- key: organization_slug, pipeline_slug, step
-- answers: S2
WITH runs AS (
    SELECT
        j.organization_slug,
        j.pipeline_slug,
        j.step,
        j.build_number,
        j.build_commit,
        j.job_id,
        j.started_at,
        j.run_seconds,
        j.started_at >= a.as_of - INTERVAL 168 HOUR AS is_recent
    FROM job_attempts AS j
    INNER JOIN as_of AS a
        ON j.organization_slug = a.organization_slug
    WHERE
        j.state = 'passed'
        AND j.run_seconds IS NOT NULL
        AND j.started_at BETWEEN a.as_of - INTERVAL 840 HOUR AND a.as_of
),

slower AS (
    SELECT
        organization_slug,
        pipeline_slug,
        step,
        count(*) FILTER (WHERE NOT is_recent) AS baseline_jobs,
        count(*) FILTER (WHERE is_recent) AS recent_jobs,
        quantile_cont(CASE WHEN NOT is_recent THEN run_seconds END, 0.5) AS baseline_p50_seconds,
        quantile_cont(CASE WHEN is_recent THEN run_seconds END, 0.5) AS recent_p50_seconds
    FROM runs
    GROUP BY organization_slug, pipeline_slug, step
    HAVING
        count(*) FILTER (WHERE is_recent) >= 5
        AND count(*) FILTER (WHERE NOT is_recent) >= 5
        AND quantile_cont(CASE WHEN is_recent THEN run_seconds END, 0.5)
        > 1.2 * quantile_cont(CASE WHEN NOT is_recent THEN run_seconds END, 0.5)
),

ranked AS (
    SELECT
        s.*,
        r.job_id,
        r.build_number,
        r.build_commit,
        r.started_at,
        rank() OVER (PARTITION BY s.organization_slug, s.pipeline_slug, s.step ORDER BY r.run_seconds)
        - rank() OVER (PARTITION BY s.organization_slug, s.pipeline_slug, s.step ORDER BY r.run_seconds DESC)
            AS faster_less_slower
    FROM slower AS s
    INNER JOIN runs AS r
        ON s.organization_slug = r.organization_slug AND s.pipeline_slug = r.pipeline_slug AND s.step = r.step
),

balanced AS (
    SELECT
        *,
        sum(faster_less_slower) OVER (in_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS balance,
        lead(build_number) OVER in_order AS since_build_number,
        lead(build_commit) OVER in_order AS since_commit,
        lead(started_at) OVER in_order AS since_at
    FROM ranked
    WINDOW in_order AS (PARTITION BY organization_slug, pipeline_slug, step ORDER BY started_at, job_id)
)

SELECT
    organization_slug,
    pipeline_slug,
    step,
    baseline_jobs,
    recent_jobs,
    baseline_p50_seconds,
    recent_p50_seconds,
    recent_p50_seconds / nullif(baseline_p50_seconds, 0) - 1 AS slower_share,
    since_build_number,
    since_commit,
    since_at
FROM balanced
QUALIFY row_number() OVER (PARTITION BY organization_slug, pipeline_slug, step ORDER BY balance, started_at) = 1
