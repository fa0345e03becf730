-- Artifacts that Buildkite still had when they were last looked at, by pipeline and age: weeks since their job ended,
-- as of the organization's last reading. Only of builds that artifacts was loaded for.
-- grain: one row per pipeline and age in whole weeks
-- key: organization_slug, pipeline_slug?, pipeline_id?, age_weeks
-- answers: C4
SELECT
    f.organization_slug,
    b.pipeline_slug,
    f.pipeline_id,
    CAST(floor(greatest(epoch(o.as_of) - epoch(coalesce(j.finished_at, j.started_at, b.created_at)), 0) / 604800) AS BIGINT)
        AS age_weeks,
    count(DISTINCT f.build_id) AS builds,
    count(*) AS artifacts,
    CAST(coalesce(sum(f.file_size), 0) AS BIGINT) AS size_bytes,
    max(f.file_size) AS largest_bytes
FROM artifacts AS f
LEFT JOIN jobs AS j
    ON f.job_id = j.id
LEFT JOIN builds AS b
    ON f.build_id = b.id
LEFT JOIN as_of AS o
    ON f.organization_slug = o.organization_slug
WHERE f.state = 'finished' AND f.gone_at IS NULL
GROUP BY ALL
