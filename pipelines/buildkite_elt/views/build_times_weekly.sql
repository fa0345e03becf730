-- How long builds that passed or failed took, by pipeline and week, with the parts that build_times tells.
-- grain: one row per organization, pipeline and week in which builds were made, from Monday, UTC
-- key: organization_slug, pipeline_slug, week
-- answers: S1
SELECT
    organization_slug,
    pipeline_slug,
    date_trunc('week', created_at AT TIME ZONE 'UTC') AS week,
    count(*) AS builds,
    quantile_cont(total_seconds, 0.5) AS total_p50_seconds,
    quantile_cont(total_seconds, 0.9) AS total_p90_seconds,
    quantile_cont(run_seconds, 0.5) AS run_p50_seconds,
    quantile_cont(run_seconds, 0.9) AS run_p90_seconds,
    quantile_cont(wait_seconds, 0.5) AS wait_p50_seconds,
    quantile_cont(wait_seconds, 0.9) AS wait_p90_seconds,
    quantile_cont(held_seconds, 0.5) AS held_p50_seconds,
    sum(total_seconds) AS total_seconds,
    sum(wait_seconds) / nullif(sum(total_seconds), 0) AS wait_share,
    sum(held_seconds) / nullif(sum(total_seconds), 0) AS held_share
FROM build_times
WHERE state IN ('passed', 'failed')
GROUP BY ALL
