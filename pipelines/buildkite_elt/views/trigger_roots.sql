-- The build at the beginning of a chain of triggers, for each build that begins one or is in one.
-- grain: one row per build that was not triggered, or that descends from one that was not
-- key: build_id
WITH RECURSIVE roots AS (
    SELECT
        organization_slug,
        id AS root_build_id,
        created_at AS root_created_at,
        id AS build_id,
        0 AS triggers
    FROM builds
    WHERE triggered_from_build_id IS NULL
    UNION ALL
    SELECT
        r.organization_slug,
        r.root_build_id,
        r.root_created_at,
        b.id,
        r.triggers + 1
    FROM roots AS r
    INNER JOIN builds AS b
        ON r.build_id = b.triggered_from_build_id
)

SELECT *
FROM roots
