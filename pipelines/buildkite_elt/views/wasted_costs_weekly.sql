-- What builds cost by their fate. superseded: a newer build of the branch or pull request was made before it ended (not
-- on the default branch); the late_ columns are what its jobs ran after that. kept: none of the others.
-- grain: one row per pipeline, week in which builds were made, UTC, and fate: canceled, skipped, superseded or kept
-- key: organization_slug, pipeline_slug, week, fate
-- answers: C3
-- without: pipelines
WITH followed AS (
    SELECT
        b.*,
        b.branch IS DISTINCT FROM coalesce(p.default_branch, 'main') AS may_be_superseded,
        lead(b.created_at) OVER (
            PARTITION BY b.organization_slug, b.pipeline_slug, b.branch, b.pull_request_id
            ORDER BY b.created_at, b.number
        ) AS next_created_at
    FROM builds AS b
    LEFT JOIN pipelines AS p
        ON b.pipeline_id = p.id AND p._dlt_valid_to IS NULL
),

fates AS (
    SELECT
        id,
        organization_slug,
        pipeline_slug,
        date_trunc('week', created_at AT TIME ZONE 'UTC') AS week,
        CASE
            WHEN state IN ('canceled', 'canceling') THEN 'canceled'
            WHEN state = 'skipped' THEN 'skipped'
            WHEN may_be_superseded AND next_created_at < finished_at THEN 'superseded'
            ELSE 'kept'
        END AS fate,
        CASE WHEN may_be_superseded THEN next_created_at END AS next_created_at
    FROM followed
),

spent AS (
    SELECT
        c.build_id,
        count(*) AS jobs,
        sum(c.run_seconds) AS run_seconds,
        sum(c.cost_usd) AS cost_usd,
        sum(epoch(c.finished_at) - epoch(greatest(c.started_at, f.next_created_at)))
            FILTER (WHERE c.finished_at > f.next_created_at) AS late_seconds,
        sum((epoch(c.finished_at) - epoch(greatest(c.started_at, f.next_created_at))) / 3600 * c.usd_per_hour)
            FILTER (WHERE c.finished_at > f.next_created_at) AS late_usd,
        count(*) FILTER (WHERE c.usd_per_hour IS NULL) AS unpriced_jobs
    FROM job_costs AS c
    INNER JOIN fates AS f
        ON c.build_id = f.id
    GROUP BY ALL
)

SELECT
    f.organization_slug,
    f.pipeline_slug,
    f.week,
    f.fate,
    count(*) AS builds,
    CAST(coalesce(sum(s.jobs), 0) AS BIGINT) AS jobs,
    coalesce(sum(s.run_seconds), 0) AS run_seconds,
    coalesce(sum(s.late_seconds), 0) AS late_seconds,
    sum(s.cost_usd) AS cost_usd,
    sum(s.late_usd) AS late_usd,
    CAST(coalesce(sum(s.unpriced_jobs), 0) AS BIGINT) AS unpriced_jobs
FROM fates AS f
LEFT JOIN spent AS s
    ON f.id = s.build_id
GROUP BY ALL
