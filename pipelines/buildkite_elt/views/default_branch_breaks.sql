-- Times that a default branch was red: from the end of the build that first failed, by whom, to the end of the next
-- that passed. Builds count in the order in which they ended; canceled and skipped ones do not count.
-- grain: one row per organization, pipeline and time from red to green; green_at is null while it is still red
-- key: organization_slug, pipeline_slug, broken_by_build_number, broken_at
-- answers: F5
WITH results AS (
    SELECT
        *,
        CASE
            WHEN outcome = 'failed' AND lag(outcome, 1, 'passed') OVER (
                PARTITION BY organization_slug, pipeline_slug ORDER BY ended_at, build_number
            ) = 'passed' THEN 1
            ELSE 0
        END AS breaks
    FROM build_outcomes
    WHERE is_default_branch AND outcome IN ('passed', 'failed') AND ended_at IS NOT NULL
),

numbered AS (
    SELECT
        *,
        sum(breaks) OVER (
            PARTITION BY organization_slug, pipeline_slug ORDER BY ended_at, build_number
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS break_number
    FROM results
)

SELECT
    r.organization_slug,
    r.pipeline_slug,
    max(CASE WHEN r.breaks = 1 THEN r.build_number END) AS broken_by_build_number,
    max(CASE WHEN r.breaks = 1 THEN r.build_commit END) AS broken_by_commit,
    max(CASE WHEN r.breaks = 1 THEN r.author_name END) AS broken_by_author,
    max(CASE WHEN r.breaks = 1 THEN r.message END) AS broken_by_message,
    count(CASE WHEN r.outcome = 'failed' THEN 1 END) AS failed_builds,
    min(r.ended_at) AS broken_at,
    min(CASE WHEN r.outcome = 'passed' THEN r.ended_at END) AS green_at,
    epoch(min(CASE WHEN r.outcome = 'passed' THEN r.ended_at END)) - epoch(min(r.ended_at)) AS seconds_to_green,
    epoch(coalesce(min(CASE WHEN r.outcome = 'passed' THEN r.ended_at END), max(n.as_of)))
    - epoch(min(r.ended_at)) AS red_seconds
FROM numbered AS r
INNER JOIN as_of AS n
    ON r.organization_slug = n.organization_slug
WHERE r.break_number > 0
GROUP BY r.organization_slug, r.pipeline_slug, r.break_number
