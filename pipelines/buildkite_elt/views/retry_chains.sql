-- A job that was retried, all its attempts together. It is flaky if an attempt failed and the last one passed; on which
-- attempt another follows is told by retried_in_job_id, so two steps of one name are not mixed up.
-- grain: one row per job of which a second attempt exists
-- key: first_job_id
-- answers: F1
WITH RECURSIVE attempts AS (
    SELECT
        job_id AS first_job_id,
        job_id,
        retried_in_job_id,
        1 AS attempt
    FROM job_attempts
    WHERE
        retried_in_job_id IS NOT NULL
        AND job_id NOT IN (SELECT retried_in_job_id FROM job_attempts WHERE retried_in_job_id IS NOT NULL)
    UNION ALL
    SELECT
        a.first_job_id,
        j.id,
        j.retried_in_job_id,
        a.attempt + 1
    FROM attempts AS a
    INNER JOIN jobs AS j
        ON a.retried_in_job_id = j.id
)

SELECT
    j.organization_slug,
    j.pipeline_slug,
    j.build_id,
    j.build_number,
    j.branch,
    j.step,
    a.first_job_id,
    max(a.attempt) AS attempts,
    count(f.job_id) AS failures,
    count(CASE WHEN f.class IN ('infrastructure', 'capacity') THEN 1 END) AS infrastructure_failures,
    count(CASE WHEN j.retry_type = 'automatic' THEN 1 END) AS automatic_retries,
    count(CASE WHEN j.retry_type = 'manual' THEN 1 END) AS manual_retries,
    max(CASE WHEN j.retried_in_job_id IS NULL THEN j.job_id END) AS last_job_id,
    max(CASE WHEN j.retried_in_job_id IS NULL THEN j.state END) AS last_state,
    count(f.job_id) > 0
    AND count(CASE WHEN j.retried_in_job_id IS NULL AND j.state = 'passed' THEN 1 END) > 0 AS is_flaky,
    min(j.created_at) AS created_at,
    max(j.finished_at) AS finished_at,
    coalesce(sum(CASE WHEN j.retried_in_job_id IS NOT NULL THEN j.run_seconds END), 0) AS lost_seconds
FROM attempts AS a
INNER JOIN job_attempts AS j
    ON a.job_id = j.job_id
LEFT JOIN job_failures AS f
    ON a.job_id = f.job_id
GROUP BY ALL
