-- Deploy frequency, change failure rate, lead time and time to restore (DORA), from the view deploys.
-- grain: one row per organization, pipeline and week in which deploys were made, UTC, weeks from Monday
-- key: organization_slug, pipeline_slug, week
-- answers: D1
SELECT
    organization_slug,
    pipeline_slug,
    date_trunc('week', created_at AT TIME ZONE 'UTC') AS week,
    count(*) AS started,
    count(CASE WHEN outcome = 'passed' THEN 1 END) AS passed,
    count(CASE WHEN outcome = 'failed' THEN 1 END) AS failed,
    1.0 * count(CASE WHEN outcome = 'failed' THEN 1 END)
    / nullif(count(CASE WHEN outcome IN ('passed', 'failed') THEN 1 END), 0) AS change_failure_share,
    quantile_cont(lead_seconds, 0.5) AS lead_p50_seconds,
    avg(restore_seconds) AS restore_mean_seconds
FROM deploys
GROUP BY ALL
