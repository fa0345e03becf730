-- build_times_weekly without the builds of which a job ran on a host that host_speeds calls slow.
-- grain: one row per organization, pipeline and week in which builds were made, from Monday, UTC
-- key: organization_slug, pipeline_slug, week
-- answers: S10
WITH on_slow_hosts AS (
    SELECT DISTINCT j.build_id
    FROM job_attempts AS j
    INNER JOIN host_speeds AS h
        ON j.organization_slug = h.organization_slug AND j.agent_hostname = h.agent_hostname AND h.is_slow
    WHERE j.started_at IS NOT NULL
)

SELECT
    t.organization_slug,
    t.pipeline_slug,
    date_trunc('week', t.created_at AT TIME ZONE 'UTC') AS week,
    count(*) FILTER (WHERE s.build_id IS NULL) AS builds,
    count(s.build_id) AS builds_left_out,
    quantile_cont(CASE WHEN s.build_id IS NULL THEN t.total_seconds END, 0.5) AS total_p50_seconds,
    quantile_cont(CASE WHEN s.build_id IS NULL THEN t.total_seconds END, 0.9) AS total_p90_seconds,
    quantile_cont(CASE WHEN s.build_id IS NULL THEN t.run_seconds END, 0.5) AS run_p50_seconds,
    quantile_cont(CASE WHEN s.build_id IS NULL THEN t.run_seconds END, 0.9) AS run_p90_seconds
FROM build_times AS t
LEFT JOIN on_slow_hosts AS s
    ON t.build_id = s.build_id
WHERE t.state IN ('passed', 'failed')
GROUP BY t.organization_slug, t.pipeline_slug, date_trunc('week', t.created_at AT TIME ZONE 'UTC')
