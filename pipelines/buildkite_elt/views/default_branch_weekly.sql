-- How long the default branch was red in a week, and how long it took to mend it where it became green in that week. A
-- time of red that lasts over a Sunday is split between its weeks; the week of the last load ends with that load.
-- grain: one row per organization, pipeline and week since the first build of its default branch, from Monday, UTC
-- key: organization_slug, pipeline_slug, week
-- answers: F6
WITH RECURSIVE weeks AS (
    SELECT
        b.organization_slug,
        b.pipeline_slug,
        date_trunc('week', min(b.ended_at) AT TIME ZONE 'UTC') AS week,
        max(n.as_of) AT TIME ZONE 'UTC' AS last_moment
    FROM build_outcomes AS b
    INNER JOIN as_of AS n
        ON b.organization_slug = n.organization_slug
    WHERE b.is_default_branch AND b.outcome IN ('passed', 'failed') AND b.ended_at IS NOT NULL
    GROUP BY b.organization_slug, b.pipeline_slug
    UNION ALL
    SELECT
        organization_slug,
        pipeline_slug,
        week + INTERVAL 7 DAY,
        last_moment
    FROM weeks
    WHERE week + INTERVAL 7 DAY <= last_moment
),

reds AS (
    SELECT
        d.organization_slug,
        d.pipeline_slug,
        d.seconds_to_green,
        d.broken_at AT TIME ZONE 'UTC' AS red_from,
        d.green_at AT TIME ZONE 'UTC' AS green_from,
        coalesce(d.green_at, n.as_of) AT TIME ZONE 'UTC' AS red_to
    FROM default_branch_breaks AS d
    INNER JOIN as_of AS n
        ON d.organization_slug = n.organization_slug
)

SELECT
    w.organization_slug,
    w.pipeline_slug,
    w.week,
    coalesce(sum(CASE
        WHEN r.red_from IS NOT NULL THEN epoch(least(r.red_to, w.week + INTERVAL 7 DAY)) - epoch(greatest(r.red_from, w.week))
    END), 0) AS red_seconds,
    count(CASE WHEN r.red_from >= w.week THEN 1 END) AS breaks,
    count(CASE WHEN r.green_from < w.week + INTERVAL 7 DAY THEN 1 END) AS recoveries,
    avg(CASE WHEN r.green_from < w.week + INTERVAL 7 DAY THEN r.seconds_to_green END) AS recovery_mean_seconds
FROM weeks AS w
LEFT JOIN reds AS r
    ON
        w.organization_slug = r.organization_slug
        AND w.pipeline_slug = r.pipeline_slug
        AND w.week + INTERVAL 7 DAY > r.red_from
        AND w.week <= r.red_to
GROUP BY w.organization_slug, w.pipeline_slug, w.week
