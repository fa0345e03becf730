-- Whether builds are missing: numbers between the first and the last build of a pipeline that are not here, less those
-- of which `verify` has found that Buildkite has no such build. What is left, unexplained, may be missing here.
-- grain: one row per organization and pipeline with builds
-- answers: Q1
-- without: build_gaps
WITH held AS (
    SELECT
        organization_slug,
        pipeline_id,
        max(pipeline_slug) AS pipeline_slug,
        count(DISTINCT number) AS builds,
        min(number) AS first_number,
        max(number) AS last_number
    FROM builds
    GROUP BY organization_slug, pipeline_id
),

explained AS (
    SELECT
        h.pipeline_id,
        count(*) AS numbers
    FROM held AS h
    INNER JOIN build_gaps AS g
        ON h.pipeline_id = g.pipeline_id AND g.number BETWEEN h.first_number AND h.last_number
    LEFT JOIN builds AS b
        ON g.pipeline_id = b.pipeline_id AND g.number = b.number
    WHERE NOT g.found AND b.id IS NULL
    GROUP BY h.pipeline_id
)

SELECT
    h.organization_slug,
    h.pipeline_slug,
    h.builds,
    h.first_number,
    h.last_number,
    h.last_number - h.first_number + 1 - h.builds AS numbers_not_here,
    coalesce(e.numbers, 0) AS numbers_never_there,
    h.last_number - h.first_number + 1 - h.builds - coalesce(e.numbers, 0) AS numbers_unexplained
FROM held AS h
LEFT JOIN explained AS e
    ON h.pipeline_id = e.pipeline_id
