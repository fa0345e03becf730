-- How long a pull request had builds in progress (time in which several ran counts once), beside the time from its
-- first build's creation until its last build ended: builds do not tell when a pull request was opened or merged.
-- grain: one row per organization, repository (pipeline, where the repository is unknown) and pull request
-- key: organization_slug, repository, pull_request_id
-- answers: D2
WITH spans AS (
    SELECT
        b.organization_slug,
        coalesce(b.repository, b.pipeline_slug) AS repository,
        b.pull_request_id,
        b.author_name,
        b.outcome,
        b.created_at AS span_from,
        coalesce(b.ended_at, n.as_of) AS span_to
    FROM build_outcomes AS b
    INNER JOIN as_of AS n
        ON b.organization_slug = n.organization_slug
    WHERE b.pull_request_id IS NOT NULL AND (b.ended_at IS NOT NULL OR b.outcome IN ('running', 'failing', 'scheduled'))
),

ordered AS (
    SELECT
        *,
        max(span_to) OVER (
            PARTITION BY organization_slug, repository, pull_request_id ORDER BY span_from, span_to
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS covered_to
    FROM spans
)

SELECT
    organization_slug,
    repository,
    pull_request_id,
    max(author_name) AS author_name,
    count(*) AS builds,
    count(CASE WHEN outcome = 'failed' THEN 1 END) AS failed_builds,
    min(span_from) AS first_build_at,
    max(span_to) AS last_build_ended_at,
    sum(CASE
        WHEN span_to > coalesce(covered_to, span_from)
            THEN epoch(span_to) - epoch(greatest(span_from, coalesce(covered_to, span_from)))
        ELSE 0
    END) AS ci_seconds,
    epoch(max(span_to)) - epoch(min(span_from)) AS total_seconds,
    sum(CASE
        WHEN span_to > coalesce(covered_to, span_from)
            THEN epoch(span_to) - epoch(greatest(span_from, coalesce(covered_to, span_from)))
        ELSE 0
    END) / nullif(epoch(max(span_to)) - epoch(min(span_from)), 0) AS ci_share
FROM ordered
GROUP BY organization_slug, repository, pull_request_id
