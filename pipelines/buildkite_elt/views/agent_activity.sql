-- What each agent has run, how often that passed, and for how many days it has run nothing: idle_days counts from its
-- last job, else from when it connected. A soft failure passed; canceled jobs count neither way.
-- grain: one row per agent
-- key: agent_id
-- answers: W10
WITH ran AS (
    SELECT
        a.agent_id,
        count(*) AS jobs,
        count(*) FILTER (WHERE a.state = 'passed' OR (a.state = 'failed' AND a.soft_failed)) AS passed_jobs,
        count(*) FILTER (WHERE a.state IN ('passed', 'failed', 'timed_out')) AS judged_jobs,
        count(*) FILTER (WHERE a.exit_status = -1 AND a.signal_reason IS NULL) AS lost_jobs,
        max(coalesce(a.finished_at, o.as_of)) AS last_ran_at
    FROM job_attempts AS a
    INNER JOIN as_of AS o
        ON a.organization_slug = o.organization_slug
    WHERE a.started_at IS NOT NULL
    GROUP BY ALL
)

SELECT
    g.organization_slug,
    g.cluster_id,
    coalesce(g.queue, 'default') AS queue_key,
    g.id AS agent_id,
    g.name AS agent_name,
    g.hostname,
    g.version AS agent_version,
    c.agent_id IS NOT NULL AS is_connected,
    coalesce(r.jobs, 0) AS jobs,
    coalesce(r.lost_jobs, 0) AS lost_jobs,
    r.passed_jobs / CAST(nullif(r.judged_jobs, 0) AS DOUBLE) AS passed_share,
    greatest(r.last_ran_at, g.last_job_finished_at) AS last_ran_at,
    greatest(
        epoch(o.as_of) - epoch(coalesce(greatest(r.last_ran_at, g.last_job_finished_at), g.connected_at, g.created_at)), 0
    ) / 86400 AS idle_days
FROM agents AS g
INNER JOIN as_of AS o
    ON g.organization_slug = o.organization_slug
LEFT JOIN connected_agents AS c
    ON g.id = c.agent_id
LEFT JOIN ran AS r
    ON g.id = r.agent_id
