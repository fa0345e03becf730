-- What jobs cost by the time that they ran, by pipeline, branch, pull request, people and queue; retried attempts too.
-- Sum over what is of no interest. cost_usd is null where price_list has no price; unpriced_jobs counts those jobs.
-- grain: one row per pipeline, branch, pull request, creator, author, queue and day on which jobs started, UTC
-- key: organization_slug, pipeline_slug, branch?, pull_request_id?, creator_name?, author_name?, cluster_id?, queue_key?, day
-- answers: C1
SELECT
    c.organization_slug,
    c.pipeline_slug,
    c.branch,
    b.pull_request_id,
    c.creator_name,
    b.author_name,
    c.cluster_id,
    c.queue_key,
    date_trunc('day', c.started_at AT TIME ZONE 'UTC') AS day,
    count(*) AS jobs,
    sum(c.run_seconds) AS run_seconds,
    sum(c.cost_usd) AS cost_usd,
    count(*) FILTER (WHERE c.usd_per_hour IS NULL) AS unpriced_jobs
FROM job_costs AS c
LEFT JOIN builds AS b
    ON c.build_id = b.id
GROUP BY ALL
