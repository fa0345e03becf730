-- How many jobs waited and ran in each queue and how many agents it had, in steps of five minutes, from the readings
-- that loads of queue_metrics made. Where none fell into five minutes there is no row.
-- grain: one row per organization, cluster, queue and five minutes, UTC
-- key: queue_id, five_minutes
-- answers: W3, W2
SELECT
    organization_slug,
    cluster_id,
    queue_id,
    queue_key,
    date_trunc('hour', "timestamp" AT TIME ZONE 'UTC')
    + CAST(floor(extract(MINUTE FROM "timestamp" AT TIME ZONE 'UTC') / 5) AS INTEGER) * INTERVAL 5 MINUTE
        AS five_minutes,
    count(*) AS readings,
    avg(waiting_jobs_count) AS waiting_jobs,
    max(waiting_jobs_count) AS waiting_jobs_max,
    avg(running_jobs_count) AS running_jobs,
    max(running_jobs_count) AS running_jobs_max,
    avg(connected_agents_count) AS agents,
    min(connected_agents_count) AS agents_min,
    max(wait_seconds_max) AS oldest_wait_seconds,
    coalesce(bool_or(dispatch_paused), FALSE) AS was_paused
FROM queue_metrics
GROUP BY ALL
