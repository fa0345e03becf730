-- What loads spent on each table, by day: where the requests and points go.
-- grain: one row per organization, API, table and day of a load's end, UTC
-- key: organization_slug, api, table_name, day
-- answers: Q2
SELECT
    organization_slug,
    api,
    table_name,
    date_trunc('day', observed_at AT TIME ZONE 'UTC') AS day,
    count(*) AS loads,
    sum(requests) AS requests,
    sum(points) AS points,
    sum(bytes) AS answer_bytes,
    sum(refused) AS refused_requests,
    sum(waited_seconds) AS waited_seconds
FROM api_usage
GROUP BY ALL
