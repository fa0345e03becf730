-- Agents that were connected when the list of agents was last read, or within an hour before that.
-- An agent that left the list keeps its last connection_state, so that alone does not tell.
-- grain: one row per connected agent
-- key: agent_id
SELECT
    organization_slug,
    cluster_id,
    coalesce(queue, 'default') AS queue_key,
    id AS agent_id,
    name AS agent_name,
    hostname,
    version AS agent_version,
    meta_data,
    coalesce(paused, FALSE) AS paused,
    job_id,
    connected_at
FROM agents
QUALIFY
    connection_state = 'connected'
    AND last_seen_at >= max(last_seen_at) OVER (PARTITION BY organization_slug) - INTERVAL 1 HOUR
