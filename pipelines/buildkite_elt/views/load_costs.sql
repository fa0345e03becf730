-- What each load spent and what became of its tables. Answers that were refused (429) and long waits, where a load
-- itself spent little, tell that others use the same budget; Buildkite does not say who.
-- grain: one row per load and organization
-- key: run_id, organization_slug
-- answers: Q2
WITH told AS (
    SELECT
        run_id,
        organization_slug,
        min(started_at) AS started_at,
        max(finished_at) AS finished_at,
        count(*) AS tables,
        count(*) FILTER (WHERE outcome <> 'loaded') AS tables_not_loaded,
        sum(rows) AS rows_read
    FROM sync_runs
    GROUP BY run_id, organization_slug
),

spent AS (
    SELECT
        run_id,
        organization_slug,
        sum(CASE WHEN api = 'rest' THEN requests ELSE 0 END) AS rest_requests,
        sum(CASE WHEN api = 'graphql' THEN requests ELSE 0 END) AS graphql_requests,
        sum(points) AS graphql_points,
        sum(bytes) AS answer_bytes,
        sum(refused) AS refused,
        sum(waited_seconds) AS waited_seconds
    FROM api_usage
    GROUP BY run_id, organization_slug
)

SELECT
    t.organization_slug,
    t.run_id,
    t.started_at,
    epoch(t.finished_at) - epoch(t.started_at) AS run_seconds,
    (epoch(t.finished_at) - epoch(t.started_at)) / 60.0 AS run_minutes,
    t.tables,
    t.tables_not_loaded,
    t.rows_read,
    coalesce(s.rest_requests, 0) AS rest_requests,
    coalesce(s.graphql_requests, 0) AS graphql_requests,
    coalesce(s.graphql_points, 0) AS graphql_points,
    coalesce(s.answer_bytes, 0) AS answer_bytes,
    coalesce(s.refused, 0) AS refused_requests,
    coalesce(s.waited_seconds, 0) AS waited_seconds
FROM told AS t
LEFT JOIN spent AS s
    ON t.run_id = s.run_id AND t.organization_slug = s.organization_slug
