-- Concurrency groups by the time that jobs waited for them, of the jobs that job_details was loaded for; and, by the
-- last reading of concurrency_group_jobs, how many wait and the job that holds the group the longest.
-- grain: one row per organization and concurrency group that job_details knows
-- key: organization_slug, concurrency_group
-- answers: W5
-- without: concurrency_group_jobs
WITH readings AS (
    SELECT
        *,
        max(observed_at) OVER (PARTITION BY organization_slug, concurrency_group) AS last_observed_at,
        max(observed_at) OVER (PARTITION BY organization_slug, concurrency_group, job_id) AS job_observed_at
    FROM concurrency_group_jobs
),

-- The pages of one reading are seconds apart.
latest AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY organization_slug, concurrency_group ORDER BY position NULLS FIRST, started_at, job_id
        ) AS place
    FROM readings
    WHERE observed_at = job_observed_at AND observed_at > last_observed_at - INTERVAL 1 MINUTE
),

holds AS (
    SELECT
        organization_slug,
        concurrency_group,
        max(observed_at) AS observed_at,
        count(position) AS waiting_jobs,
        count(*) - count(position) AS holding_jobs,
        max(pipeline_slug) FILTER (WHERE place = 1 AND position IS NULL) AS holder_pipeline_slug,
        max(build_number) FILTER (WHERE place = 1 AND position IS NULL) AS holder_build_number,
        max(job_id) FILTER (WHERE place = 1 AND position IS NULL) AS holder_job_id
    FROM latest
    GROUP BY ALL
),

waits AS (
    SELECT
        d.organization_slug,
        d.concurrency_group,
        max(d.concurrency_limit) AS concurrency_limit,
        count(*) AS jobs,
        count(*) FILTER (WHERE a.concurrency_seconds > 0) AS delayed_jobs,
        coalesce(sum(a.concurrency_seconds), 0) AS concurrency_seconds,
        max(a.concurrency_seconds) AS concurrency_max_seconds
    FROM job_details AS d
    INNER JOIN job_attempts AS a
        ON d.id = a.job_id
    WHERE d.concurrency_group IS NOT NULL
    GROUP BY ALL
)

SELECT
    w.*,
    h.observed_at,
    h.waiting_jobs,
    h.holding_jobs,
    h.holder_pipeline_slug,
    h.holder_build_number,
    h.holder_job_id
FROM waits AS w
LEFT JOIN holds AS h
    ON w.organization_slug = h.organization_slug AND w.concurrency_group = h.concurrency_group
