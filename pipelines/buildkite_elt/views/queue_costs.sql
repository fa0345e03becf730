-- What each queue's agents cost over the last 30 days that jobs are loaded of, busy and idle, and how many jobs it ran.
-- Hours are agents times hours; dollars are null where price_list has no price for the queue. idle_agents_p05: in 95 %
-- of the hours at least so many agents were idle, on average over the hour, and so could have been left out.
-- grain: one row per organization, cluster and queue that had an agent
-- key: organization_slug, cluster_id?, queue_key
-- answers: W6, W8, C5
WITH jobs_of AS (
    SELECT
        a.organization_slug,
        a.cluster_id,
        a.queue_key,
        count(*) AS jobs,
        max(a.started_at) AS last_started_at
    FROM job_attempts AS a
    INNER JOIN as_of AS o
        ON a.organization_slug = o.organization_slug
    WHERE a.started_at >= o.as_of - INTERVAL 30 DAY
    GROUP BY ALL
),

used AS (
    SELECT
        organization_slug,
        cluster_id,
        queue_key,
        sum(connected_agents) AS connected_hours,
        sum(busy_agents) AS busy_hours,
        sum(idle_agents) AS idle_hours,
        sum(idle_agents) / nullif(sum(connected_agents), 0) AS idle_share,
        quantile_cont(idle_agents, 0.05) AS idle_agents_p05,
        max(usd_per_hour) AS usd_per_hour,
        sum(connected_usd) AS connected_usd,
        sum(idle_usd) AS idle_usd
    FROM queue_use_hourly
    GROUP BY ALL
)

SELECT
    u.*,
    coalesce(j.jobs, 0) AS jobs,
    u.connected_usd / nullif(j.jobs, 0) AS usd_per_job,
    j.last_started_at
FROM used AS u
LEFT JOIN jobs_of AS j
    ON
        u.organization_slug = j.organization_slug
        AND u.cluster_id IS NOT DISTINCT FROM j.cluster_id
        AND u.queue_key = j.queue_key
