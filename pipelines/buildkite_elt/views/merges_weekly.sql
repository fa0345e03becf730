-- How many merges to a default branch there were, and what share of them CI had failed before the merge, and after it.
-- Merges of which nothing is known, on the one side or the other, are no part of that share.
-- grain: one row per organization, repository and week in which commits arrived, UTC, weeks from Monday
-- key: organization_slug, repository, week
-- answers: D3
SELECT
    organization_slug,
    repository,
    date_trunc('week', merged_at AT TIME ZONE 'UTC') AS week,
    count(*) AS merges,
    count(CASE WHEN pull_request_outcome = 'failed' THEN 1 END) AS merged_failed,
    count(CASE WHEN pull_request_outcome = 'unfinished' THEN 1 END) AS merged_unfinished,
    1.0 * count(CASE WHEN pull_request_outcome = 'failed' THEN 1 END)
    / nullif(count(CASE WHEN pull_request_outcome <> 'unknown' THEN 1 END), 0) AS merged_failed_share,
    count(CASE WHEN outcome = 'failed' THEN 1 END) AS failed_after,
    1.0 * count(CASE WHEN outcome = 'failed' THEN 1 END)
    / nullif(count(CASE WHEN outcome <> 'unknown' THEN 1 END), 0) AS failed_after_share
FROM merges
GROUP BY ALL
