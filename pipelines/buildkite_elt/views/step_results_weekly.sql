-- How the jobs of a step ended, how many of them failed softly, and how many attempts were retried, by week. Jobs are
-- counted by their last attempt, retries by the attempt that was repeated.
-- grain: one row per organization, pipeline, step and week in which jobs were made, UTC, weeks from Monday
-- key: organization_slug, pipeline_slug, step, week
-- answers: F2, F8
SELECT
    organization_slug,
    pipeline_slug,
    step,
    date_trunc('week', created_at AT TIME ZONE 'UTC') AS week,
    count(*) AS attempts,
    count(CASE WHEN is_latest_attempt THEN 1 END) AS jobs,
    count(CASE WHEN is_latest_attempt AND state = 'passed' THEN 1 END) AS passed,
    count(CASE WHEN is_latest_attempt AND state <> 'passed' AND NOT coalesce(soft_failed, FALSE) THEN 1 END) AS failed,
    count(CASE WHEN is_latest_attempt AND soft_failed THEN 1 END) AS soft_failed,
    1.0 * count(CASE WHEN is_latest_attempt AND soft_failed THEN 1 END)
    / nullif(count(CASE WHEN is_latest_attempt THEN 1 END), 0) AS soft_failed_share,
    count(CASE WHEN retry_type = 'automatic' THEN 1 END) AS automatic_retries,
    count(CASE WHEN retry_type = 'manual' THEN 1 END) AS manual_retries,
    1.0 * count(CASE WHEN retried THEN 1 END) / count(*) AS retry_share
FROM job_attempts
WHERE state IN ('passed', 'failed', 'timed_out', 'expired') OR retried
GROUP BY ALL
