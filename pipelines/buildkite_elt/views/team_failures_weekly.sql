-- Builds and failures by the team that owns the pipeline: the team, or teams, of the highest access level to it. A
-- build of two such teams is in the rows of both. Failed jobs are last attempts that did not fail softly.
-- grain: one row per organization, pipeline, team and week in which builds were made, UTC, weeks from Monday
-- key: organization_slug, pipeline_slug, team_slug, week
-- answers: F7
WITH owners AS (
    SELECT
        pipeline_id,
        team_slug
    FROM team_pipelines
    WHERE _dlt_valid_to IS NULL
    QUALIFY rank() OVER (
        PARTITION BY pipeline_id
        ORDER BY CASE access_level WHEN 'manage_build_and_read' THEN 1 WHEN 'build_and_read' THEN 2 ELSE 3 END
    ) = 1
),

failures AS (
    SELECT
        build_id,
        count(*) AS failed_jobs
    FROM job_failures
    WHERE is_latest_attempt AND NOT soft_failed
    GROUP BY build_id
)

SELECT
    b.organization_slug,
    b.pipeline_slug,
    coalesce(o.team_slug, 'no team') AS team_slug,
    date_trunc('week', b.created_at AT TIME ZONE 'UTC') AS week,
    count(*) AS builds,
    count(CASE WHEN b.outcome = 'passed' THEN 1 END) AS passed,
    count(CASE WHEN b.outcome = 'failed' THEN 1 END) AS failed,
    1.0 * count(CASE WHEN b.outcome = 'failed' THEN 1 END)
    / nullif(count(CASE WHEN b.outcome IN ('passed', 'failed') THEN 1 END), 0) AS failed_share,
    count(CASE WHEN b.outcome = 'failed' AND b.is_default_branch THEN 1 END) AS failed_on_default_branch,
    CAST(coalesce(sum(f.failed_jobs), 0) AS BIGINT) AS failed_jobs
FROM build_outcomes AS b
LEFT JOIN owners AS o
    ON b.pipeline_id = o.pipeline_id
LEFT JOIN failures AS f
    ON b.build_id = f.build_id
GROUP BY ALL
