-- What the pipelines of each team cost, by the teams that have them now. A pipeline of several teams counts in full for
-- each in cost_usd; shared_cost_usd divides it evenly, so that it adds up. Pipelines of no team have no team_slug.
-- grain: one row per organization, team and month in which jobs started, UTC
-- key: organization_slug, team_slug?, month
-- answers: C1
WITH spent AS (
    SELECT
        organization_slug,
        pipeline_id,
        date_trunc('month', started_at AT TIME ZONE 'UTC') AS month,
        count(*) AS jobs,
        sum(run_seconds) AS run_seconds,
        sum(cost_usd) AS cost_usd,
        count(*) FILTER (WHERE usd_per_hour IS NULL) AS unpriced_jobs
    FROM job_costs
    GROUP BY ALL
),

owners AS (
    SELECT
        pipeline_id,
        team_slug,
        count(*) OVER (PARTITION BY pipeline_id) AS teams
    FROM team_pipelines
    WHERE _dlt_valid_to IS NULL
)

SELECT
    s.organization_slug,
    t.team_slug,
    s.month,
    count(*) AS pipelines,
    CAST(sum(s.jobs) AS BIGINT) AS jobs,
    sum(s.run_seconds) AS run_seconds,
    sum(s.cost_usd) AS cost_usd,
    sum(s.cost_usd / coalesce(t.teams, 1)) AS shared_cost_usd,
    CAST(sum(s.unpriced_jobs) AS BIGINT) AS unpriced_jobs
FROM spent AS s
LEFT JOIN owners AS t
    ON s.pipeline_id = t.pipeline_id
GROUP BY ALL
