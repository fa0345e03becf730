-- How uneven the parallel jobs of a step are: the fastest, the slowest and what the slowest takes beyond their mean,
-- which a better split could save. Latest attempts that passed or failed; steps of which only one ran are left out.
-- grain: one row per build and parallel step
-- key: build_id, step, step_id?
-- answers: S7
SELECT
    organization_slug,
    pipeline_slug,
    build_id,
    build_number,
    coalesce(step_key, name, 'unnamed') AS step,
    step_id,
    min(started_at) AS started_at,
    max(parallel_group_total) AS shards,
    count(*) AS shards_run,
    min(epoch(finished_at) - epoch(started_at)) AS fastest_seconds,
    max(epoch(finished_at) - epoch(started_at)) AS slowest_seconds,
    avg(epoch(finished_at) - epoch(started_at)) AS mean_seconds,
    max(epoch(finished_at) - epoch(started_at)) - avg(epoch(finished_at) - epoch(started_at)) AS uneven_seconds,
    max(epoch(finished_at) - epoch(started_at)) / nullif(min(epoch(finished_at) - epoch(started_at)), 0) AS slowest_per_fastest
FROM jobs
WHERE
    type = 'script'
    AND parallel_group_total > 1
    AND state IN ('passed', 'failed')
    AND finished_at >= started_at
    AND NOT coalesce(retried, FALSE)
GROUP BY organization_slug, pipeline_slug, build_id, build_number, coalesce(step_key, name, 'unnamed'), step_id
HAVING count(*) > 1
