-- Time and money of attempts that were retried, and so brought no result: what retries lose, by pipeline and week.
-- Dollars are by price_list, null where no job has a price; unpriced_jobs are the retried ones without.
-- grain: one row per pipeline and week in which jobs started, UTC
-- key: organization_slug, pipeline_slug, week
-- answers: C2
SELECT
    organization_slug,
    pipeline_slug,
    date_trunc('week', started_at AT TIME ZONE 'UTC') AS week,
    count(*) AS jobs,
    count(*) FILTER (WHERE retried) AS retried_jobs,
    count(*) FILTER (WHERE retried AND retry_type = 'automatic') AS automatic_jobs,
    count(*) FILTER (WHERE retried AND retry_type = 'manual') AS manual_jobs,
    sum(run_seconds) AS run_seconds,
    coalesce(sum(run_seconds) FILTER (WHERE retried), 0) AS lost_seconds,
    coalesce(sum(run_seconds) FILTER (WHERE retried), 0) / nullif(sum(run_seconds), 0) AS lost_share,
    sum(cost_usd) AS cost_usd,
    sum(cost_usd) FILTER (WHERE retried) AS lost_usd,
    count(*) FILTER (WHERE retried AND usd_per_hour IS NULL) AS unpriced_jobs
FROM job_costs
GROUP BY ALL
