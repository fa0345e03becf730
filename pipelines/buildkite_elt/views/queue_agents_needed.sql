-- How many agents a queue would have been using had every job started as soon as it could. With agents_max none would
-- have waited; when 95 % of them became runnable, agents_p95 were enough: with that many some wait, while a peak lasts.
-- wait_p95_seconds is what they waited with the agents that there were.
-- grain: one row per organization, cluster, queue and week in which jobs became runnable, UTC
-- key: organization_slug, cluster_id?, queue_key?, week
-- answers: W9
WITH spans AS (
    SELECT
        organization_slug,
        cluster_id,
        queue_key,
        wait_seconds,
        runnable_at AT TIME ZONE 'UTC' AS began,
        (runnable_at AT TIME ZONE 'UTC') + ((finished_at AT TIME ZONE 'UTC') - (started_at AT TIME ZONE 'UTC')) AS ended
    FROM job_attempts
    WHERE wait_seconds IS NOT NULL AND run_seconds IS NOT NULL
),

changes AS (
    SELECT organization_slug, cluster_id, queue_key, wait_seconds, began AS moment, 1 AS change
    FROM spans
    UNION ALL
    SELECT organization_slug, cluster_id, queue_key, NULL AS wait_seconds, ended AS moment, -1 AS change
    FROM spans
),

-- Where one ends as another begins, the agent that it leaves is free: -1 comes before 1.
wanted AS (
    SELECT
        *,
        sum(change) OVER (
            PARTITION BY organization_slug, cluster_id, queue_key
            ORDER BY moment, change
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS agents
    FROM changes
)

SELECT
    organization_slug,
    cluster_id,
    queue_key,
    date_trunc('week', moment) AS week,
    count(*) AS jobs,
    quantile_cont(wait_seconds, 0.95) AS wait_p95_seconds,
    CAST(ceil(quantile_cont(agents, 0.5)) AS BIGINT) AS agents_p50,
    CAST(ceil(quantile_cont(agents, 0.95)) AS BIGINT) AS agents_p95,
    CAST(ceil(quantile_cont(agents, 0.99)) AS BIGINT) AS agents_p99,
    CAST(max(agents) AS BIGINT) AS agents_max
FROM wanted
WHERE change = 1
GROUP BY ALL
