-- How many builds each branch has: here, and at Buildkite by the newest count of branch_build_counts without bounds.
-- A difference is what was built since one of the two was read, or is missing here.
-- grain: one row per organization, pipeline and branch
-- answers: G6, Q1
-- without: branch_build_counts
WITH here AS (
    SELECT
        organization_slug,
        pipeline_id,
        pipeline_slug,
        branch,
        count(*) AS builds,
        max(created_at) AS last_build_at
    FROM builds
    WHERE gone_at IS NULL
    GROUP BY organization_slug, pipeline_id, pipeline_slug, branch
),

counted AS (
    SELECT *
    FROM branch_build_counts
    WHERE state = 'all' AND coalesce(created_from, '') = '' AND coalesce(created_to, '') = ''
    QUALIFY row_number() OVER (PARTITION BY pipeline_id, branch ORDER BY observed_at DESC) = 1
)

SELECT
    coalesce(h.organization_slug, c.organization_slug) AS organization_slug,
    coalesce(h.pipeline_slug, c.pipeline_slug) AS pipeline_slug,
    coalesce(h.branch, c.branch) AS branch,
    coalesce(h.builds, 0) AS builds_loaded,
    c.builds AS builds_at_buildkite,
    c.builds - coalesce(h.builds, 0) AS difference,
    c.observed_at AS counted_at,
    h.last_build_at
FROM here AS h
FULL JOIN counted AS c
    ON h.pipeline_id = c.pipeline_id AND h.branch = c.branch
