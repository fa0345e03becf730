-- How long jobs waited for an agent, by queue and hour: from when they could run until they started (api.md 7.4).
-- grain: one row per organization, cluster, queue and hour in which jobs became runnable, UTC
-- key: organization_slug, cluster_id?, queue_key?, hour
-- answers: W1
SELECT
    organization_slug,
    cluster_id,
    queue_key,
    date_trunc('hour', runnable_at AT TIME ZONE 'UTC') AS hour,
    count(*) AS jobs,
    quantile_cont(wait_seconds, 0.5) AS wait_p50_seconds,
    quantile_cont(wait_seconds, 0.95) AS wait_p95_seconds,
    quantile_cont(wait_seconds, 0.99) AS wait_p99_seconds,
    max(wait_seconds) AS wait_max_seconds
FROM job_attempts
WHERE wait_seconds IS NOT NULL
GROUP BY ALL
