-- How large logs are, the largest of a pipeline first, and what is cut: Buildkite ends a log at 1,024 MiB, and of a
-- large one a load may have read the end only (is_end_only). A log that is gone has no size.
-- grain: one row per job whose log was asked for
-- key: job_id
-- answers: L4
SELECT
    l.organization_slug,
    l.pipeline_slug,
    j.build_number,
    l.job_id,
    coalesce(j.step_key, j.name, 'unnamed') AS step,
    j.state,
    j.finished_at,
    l.bytes AS log_bytes,
    l.read_bytes,
    l.lines,
    row_number() OVER (
        PARTITION BY l.organization_slug, l.pipeline_slug ORDER BY l.bytes DESC NULLS LAST, l.job_id
    ) AS size_rank,
    coalesce(l.bytes >= 1073741824, FALSE) AS is_at_limit,
    coalesce(l.truncated, FALSE) AS is_end_only,
    coalesce(l.gone, FALSE) AS is_gone,
    l.cut_lines,
    j.web_url
FROM job_logs AS l
LEFT JOIN jobs AS j
    ON l.job_id = j.id
