-- How long the longest waiting job of a queue had waited by the end of each hour, or by when it stopped waiting.
-- A job counts in every hour in which it waited; one that waits still counts until the organization was last read.
-- grain: one row per organization, cluster, queue and hour in which a job waited, UTC
-- key: organization_slug, cluster_id?, queue_key?, hour
-- answers: W2
WITH waits AS (
    SELECT
        a.organization_slug,
        a.cluster_id,
        a.queue_key,
        a.runnable_at AT TIME ZONE 'UTC' AS began,
        coalesce(a.started_at, a.finished_at, a.build_gone_at, o.as_of) AT TIME ZONE 'UTC' AS ended
    FROM job_attempts AS a
    INNER JOIN as_of AS o
        ON a.organization_slug = o.organization_slug
),

hours AS (
    SELECT
        *,
        unnest(generate_series(date_trunc('hour', began), date_trunc('hour', ended), INTERVAL 1 HOUR)) AS hour
    FROM waits
    WHERE ended >= began
)

SELECT
    organization_slug,
    cluster_id,
    queue_key,
    hour,
    count(*) AS jobs,
    max(epoch(least(ended, hour + INTERVAL 1 HOUR)) - epoch(began)) AS oldest_wait_seconds
FROM hours
GROUP BY ALL
