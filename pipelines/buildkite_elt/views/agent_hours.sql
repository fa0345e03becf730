-- How long each agent was connected, ran jobs and was idle, by the hour, over the last 30 days that jobs are loaded of.
-- An agent is taken as connected from when it registered until it went, or until a load last found it.
-- grain: one row per agent and hour in which it was connected, UTC
-- key: agent_id, hour
WITH runs AS (
    SELECT
        a.organization_slug,
        a.agent_id,
        a.started_at,
        coalesce(a.finished_at, o.as_of) AS finished_at,
        o.as_of
    FROM job_attempts AS a
    INNER JOIN as_of AS o
        ON a.organization_slug = o.organization_slug
    WHERE a.agent_id IS NOT NULL AND coalesce(a.finished_at, o.as_of) > a.started_at
),

frames AS (
    SELECT
        organization_slug,
        greatest(max(as_of) - INTERVAL 30 DAY, min(started_at)) AS began
    FROM runs
    GROUP BY ALL
),

spans AS (
    SELECT
        agent_id,
        min(started_at) AS began,
        max(finished_at) AS ended
    FROM runs
    GROUP BY ALL
),

lives AS (
    SELECT
        g.*,
        greatest(least(g.created_at, s.began), f.began) AT TIME ZONE 'UTC' AS began,
        greatest(
            CASE
                WHEN g.connection_state IN ('connected', 'stopping') THEN g.last_seen_at
                ELSE coalesce(g.disconnected_at, g.lost_at, g.stopped_at, g.last_job_finished_at)
            END,
            s.ended
        ) AT TIME ZONE 'UTC' AS ended
    FROM agents AS g
    INNER JOIN frames AS f
        ON g.organization_slug = f.organization_slug
    LEFT JOIN spans AS s
        ON g.id = s.agent_id
),

connected AS (
    SELECT
        *,
        unnest(generate_series(date_trunc('hour', began), date_trunc('hour', ended), INTERVAL 1 HOUR)) AS hour
    FROM lives
    WHERE ended > began
),

framed AS (
    SELECT
        r.agent_id,
        greatest(r.started_at, f.began) AT TIME ZONE 'UTC' AS began,
        r.finished_at AT TIME ZONE 'UTC' AS ended
    FROM runs AS r
    INNER JOIN frames AS f
        ON r.organization_slug = f.organization_slug
    WHERE r.finished_at > f.began
),

run_hours AS (
    SELECT
        *,
        unnest(generate_series(date_trunc('hour', began), date_trunc('hour', ended), INTERVAL 1 HOUR)) AS hour
    FROM framed
),

busy AS (
    SELECT
        agent_id,
        hour,
        sum(epoch(least(ended, hour + INTERVAL 1 HOUR)) - epoch(greatest(began, hour))) AS busy_seconds
    FROM run_hours
    GROUP BY ALL
)

SELECT
    c.organization_slug,
    c.cluster_id,
    coalesce(c.queue, 'default') AS queue_key,
    c.hostname,
    c.version AS agent_version,
    c.id AS agent_id,
    c.name AS agent_name,
    c.hour,
    epoch(least(c.ended, c.hour + INTERVAL 1 HOUR)) - epoch(greatest(c.began, c.hour)) AS connected_seconds,
    coalesce(b.busy_seconds, 0) AS busy_seconds,
    greatest(
        epoch(least(c.ended, c.hour + INTERVAL 1 HOUR)) - epoch(greatest(c.began, c.hour)) - coalesce(b.busy_seconds, 0), 0
    ) AS idle_seconds
FROM connected AS c
LEFT JOIN busy AS b
    ON c.id = b.agent_id AND c.hour = b.hour
WHERE c.hour < c.ended
