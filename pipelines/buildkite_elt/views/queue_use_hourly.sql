-- How busy the agents of each queue were, by the hour, over the last 30 days that jobs are loaded of, and what the idle
-- ones cost by price_list. The averages say how many agents there were and how many of them ran jobs.
-- grain: one row per organization, cluster, queue and hour in which an agent was connected, UTC
-- key: organization_slug, cluster_id?, queue_key, hour
-- answers: W6, C5
SELECT
    h.organization_slug,
    h.cluster_id,
    h.queue_key,
    h.hour,
    sum(h.connected_seconds) / 3600 AS connected_agents,
    sum(h.busy_seconds) / 3600 AS busy_agents,
    sum(h.idle_seconds) / 3600 AS idle_agents,
    sum(h.idle_seconds) / nullif(sum(h.connected_seconds), 0) AS idle_share,
    max(p.usd_per_hour) AS usd_per_hour,
    sum(h.connected_seconds) / 3600 * max(p.usd_per_hour) AS connected_usd,
    sum(h.idle_seconds) / 3600 * max(p.usd_per_hour) AS idle_usd
FROM agent_hours AS h
LEFT JOIN price_list AS p
    ON h.queue_key = p.queue_key
GROUP BY ALL
