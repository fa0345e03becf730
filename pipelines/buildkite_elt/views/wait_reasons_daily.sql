-- What the jobs of a queue waited for, in seconds in all: other steps, a concurrency group, a paused queue, an agent.
-- Pauses are those that a load saw; concurrency_unknown_jobs are those whose wait for a group Buildkite does not tell.
-- grain: one row per organization, cluster, queue and day on which jobs became runnable, UTC
-- key: organization_slug, cluster_id?, queue_key?, day
-- answers: W4
-- without: cluster_queues
WITH pauses AS (
    SELECT
        q.id AS cluster_queue_id,
        q.dispatch_paused_at AS began,
        max(coalesce(q._dlt_valid_to, o.as_of)) AS ended
    FROM cluster_queues AS q
    INNER JOIN as_of AS o
        ON q.organization_slug = o.organization_slug
    WHERE q.dispatch_paused AND q.dispatch_paused_at IS NOT NULL
    GROUP BY ALL
),

paused AS (
    SELECT
        a.job_id,
        sum(epoch(least(a.started_at, p.ended)) - epoch(greatest(a.runnable_at, p.began))) AS paused_seconds
    FROM job_attempts AS a
    INNER JOIN pauses AS p
        ON a.cluster_queue_id = p.cluster_queue_id AND a.runnable_at < p.ended AND a.started_at > p.began
    WHERE a.wait_seconds IS NOT NULL
    GROUP BY ALL
)

SELECT
    a.organization_slug,
    a.cluster_id,
    a.queue_key,
    date_trunc('day', a.runnable_at AT TIME ZONE 'UTC') AS day,
    count(*) AS jobs,
    sum(greatest(a.dependency_seconds - coalesce(a.concurrency_seconds, 0), 0)) AS dependency_seconds,
    coalesce(sum(a.concurrency_seconds), 0) AS concurrency_seconds,
    coalesce(sum(p.paused_seconds), 0) AS paused_seconds,
    sum(a.wait_seconds) - coalesce(sum(p.paused_seconds), 0) AS agent_seconds,
    count(*) - count(a.concurrency_seconds) AS concurrency_unknown_jobs
FROM job_attempts AS a
LEFT JOIN paused AS p
    ON a.job_id = p.job_id
WHERE a.wait_seconds IS NOT NULL
GROUP BY ALL
