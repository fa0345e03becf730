-- Jobs that had no agent when the organization was last read: for how long, and why. The oldest of a queue has
-- queue_rank 1; is_zombie marks those of more than four hours. matching_agents are the connected agents of the queue
-- that have the tags of agent_query_rules and are not paused: where there are none, nothing takes the job.
-- grain: one row per waiting job attempt
-- key: job_id
-- answers: W2, W4, W11
-- without: cluster_queues
WITH waiting AS (
    SELECT
        a.*,
        epoch(o.as_of) - epoch(coalesce(a.runnable_at, a.created_at)) AS waiting_seconds
    FROM job_attempts AS a
    INNER JOIN as_of AS o
        ON a.organization_slug = o.organization_slug
    WHERE
        a.state IN ('scheduled', 'reserved', 'limiting', 'limited', 'platform_limiting', 'platform_limited')
        AND a.started_at IS NULL
        AND a.finished_at IS NULL
        AND a.build_gone_at IS NULL
),

demands AS (
    SELECT DISTINCT organization_slug, cluster_id, queue_key, CAST(agent_query_rules AS TEXT) AS wanted
    FROM waiting
),

-- The queue is a rule too, so that a job of no other rule has one.
rules AS (
    SELECT *, 'queue=' || queue_key AS rule
    FROM demands
    UNION ALL
    SELECT *, unnest(CAST(CAST(wanted AS JSON) AS TEXT[])) AS rule
    FROM demands
),

-- A rule is a tag, or `name=*` for any value of it.
candidates AS (
    SELECT
        r.organization_slug,
        r.cluster_id,
        r.queue_key,
        r.wanted,
        a.agent_id,
        bool_and(NOT a.paused) AND bool_and(
            r.rule LIKE 'queue=%'
            OR strpos(
                CAST(a.meta_data AS TEXT),
                CASE WHEN r.rule LIKE '%=*' THEN '"' || rtrim(r.rule, '*') ELSE '"' || r.rule || '"' END
            ) > 0
        ) AS matches
    FROM rules AS r
    INNER JOIN connected_agents AS a
        ON
            r.organization_slug = a.organization_slug
            AND r.cluster_id IS NOT DISTINCT FROM a.cluster_id
            AND r.queue_key = a.queue_key
    GROUP BY ALL
),

agents_of AS (
    SELECT
        organization_slug,
        cluster_id,
        queue_key,
        wanted,
        count(*) AS queue_agents,
        count(*) FILTER (WHERE matches) AS matching_agents
    FROM candidates
    GROUP BY ALL
)

SELECT
    w.organization_slug,
    w.pipeline_slug,
    w.build_number,
    w.step,
    w.cluster_id,
    w.queue_key,
    w.job_id,
    w.state,
    w.agent_query_rules,
    coalesce(w.runnable_at, w.created_at) AS waiting_since,
    w.waiting_seconds,
    row_number() OVER (
        PARTITION BY w.organization_slug, w.cluster_id, w.queue_key ORDER BY w.waiting_seconds DESC, w.job_id
    ) AS queue_rank,
    w.waiting_seconds > 4 * 3600 AS is_zombie,
    coalesce(n.queue_agents, 0) AS queue_agents,
    coalesce(n.matching_agents, 0) AS matching_agents,
    CASE
        WHEN w.state IN ('limiting', 'limited') THEN 'concurrency group'
        WHEN w.state IN ('platform_limiting', 'platform_limited') THEN 'platform limit'
        WHEN q.dispatch_paused THEN 'queue paused'
        WHEN n.queue_agents IS NULL THEN 'no agent in the queue'
        WHEN n.matching_agents = 0 THEN 'no fitting agent'
        ELSE 'agents busy'
    END AS reason,
    w.web_url
FROM waiting AS w
LEFT JOIN agents_of AS n
    ON
        w.organization_slug = n.organization_slug
        AND w.cluster_id IS NOT DISTINCT FROM n.cluster_id
        AND w.queue_key = n.queue_key
        AND CAST(w.agent_query_rules AS TEXT) IS NOT DISTINCT FROM n.wanted
LEFT JOIN cluster_queues AS q
    ON w.cluster_queue_id = q.id AND q._dlt_valid_to IS NULL
