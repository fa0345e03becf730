-- What each attempt of a job cost: the time that it ran by the price of its queue in price_list, null where that has
-- none. Waiting costs nothing, and a job that still runs has no cost yet.
-- grain: one row per job attempt that ran and ended
-- key: job_id
SELECT
    a.organization_slug,
    a.pipeline_id,
    a.pipeline_slug,
    a.build_id,
    a.build_number,
    a.branch,
    a.creator_id,
    a.creator_name,
    a.job_id,
    a.step,
    a.cluster_id,
    a.queue_key,
    a.retried,
    a.retry_type,
    a.started_at,
    a.finished_at,
    a.run_seconds,
    p.usd_per_hour,
    a.run_seconds / 3600 * p.usd_per_hour AS cost_usd
FROM job_attempts AS a
LEFT JOIN price_list AS p
    ON a.queue_key = p.queue_key
WHERE a.run_seconds IS NOT NULL
