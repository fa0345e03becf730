-- Jobs whose build is not here: there should be none, as jobs come with their builds.
-- grain: one row per job without a build
-- key: job_id
-- answers: Q4
SELECT
    j.organization_slug,
    j.pipeline_slug,
    j.build_id,
    j.build_number,
    j.id AS job_id,
    j.type,
    j.state,
    j.created_at,
    j.last_seen_at
FROM jobs AS j
LEFT JOIN builds AS b
    ON j.build_id = b.id
WHERE b.id IS NULL
