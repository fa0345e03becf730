-- Jobs whose agent was lost, by host, version of the agent and week: exit status -1 and no other reason given.
-- stopped_jobs are those whose agent was told to stop. An agent that ends after its one job has lost nothing.
-- grain: one row per organization, host, agent version and week in which jobs started, UTC
-- key: organization_slug, hostname?, agent_version?, week
-- answers: W7
SELECT
    organization_slug,
    agent_hostname AS hostname,
    agent_version,
    date_trunc('week', started_at AT TIME ZONE 'UTC') AS week,
    count(DISTINCT agent_id) AS agents,
    count(*) AS jobs,
    count(*) FILTER (WHERE exit_status = -1 AND signal_reason IS NULL) AS lost_jobs,
    count(*) FILTER (WHERE signal_reason = 'agent_stop') AS stopped_jobs,
    count(*) FILTER (WHERE exit_status = -1 AND signal_reason IS NULL) / CAST(count(*) AS DOUBLE) AS lost_share,
    coalesce(sum(run_seconds) FILTER (WHERE exit_status = -1 AND signal_reason IS NULL), 0) AS lost_run_seconds
FROM job_attempts
WHERE started_at IS NOT NULL AND agent_id IS NOT NULL
GROUP BY ALL
