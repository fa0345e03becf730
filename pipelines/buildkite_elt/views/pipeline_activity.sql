-- When each pipeline was last built and whether nobody did for 90 days: by the builds that are loaded, and by
-- pipeline_latest_builds where that is loaded, which knows older ones, too. Without one, its creation counts.
-- grain: one row per organization and pipeline that is there
-- key: organization_slug, pipeline_slug
-- answers: G6
-- without: pipeline_latest_builds
WITH built AS (
    SELECT
        pipeline_id,
        created_at
    FROM builds
    UNION ALL
    SELECT
        pipeline_id,
        build_created_at AS created_at
    FROM pipeline_latest_builds
),

latest AS (
    SELECT
        pipeline_id,
        max(created_at) AS last_build_at
    FROM built
    GROUP BY pipeline_id
),

counted AS (
    SELECT
        pipeline_id,
        count(*) AS builds
    FROM builds
    GROUP BY pipeline_id
)

SELECT
    p.organization_slug,
    p.slug AS pipeline_slug,
    p.created_at,
    p.archived_at IS NOT NULL AS is_archived,
    coalesce(c.builds, 0) AS builds_loaded,
    l.last_build_at,
    (epoch(a.as_of) - epoch(coalesce(l.last_build_at, p.created_at))) / 86400.0 AS idle_days,
    epoch(a.as_of) - epoch(coalesce(l.last_build_at, p.created_at)) >= 90 * 86400 AS is_idle_90_days
FROM pipelines AS p
LEFT JOIN latest AS l
    ON p.id = l.pipeline_id
LEFT JOIN counted AS c
    ON p.id = c.pipeline_id
LEFT JOIN as_of AS a
    ON p.organization_slug = a.organization_slug
WHERE p._dlt_valid_to IS NULL
