-- How busy the agents of each host were, by the hour, over the last 30 days that jobs are loaded of.
-- idle_agents is the average: whole numbers of it that no busy hour falls below could be removed.
-- grain: one row per organization, host and hour in which an agent was connected, UTC
-- key: organization_slug, hostname?, hour
-- answers: W6
SELECT
    organization_slug,
    hostname,
    hour,
    count(*) AS agents,
    sum(connected_seconds) AS connected_seconds,
    sum(busy_seconds) AS busy_seconds,
    sum(idle_seconds) AS idle_seconds,
    sum(idle_seconds) / nullif(sum(connected_seconds), 0) AS idle_share,
    sum(idle_seconds) / 3600 AS idle_agents
FROM agent_hours
GROUP BY ALL
