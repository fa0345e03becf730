-- Which errors are the same: of each failed job the line of its log that says best why it failed, without numbers,
-- times, paths and ids, and how many jobs it ended. A job whose log holds no known error is under no class and text.
-- grain: one row per organization, pipeline, class of error and text
-- key: organization_slug, pipeline_slug, error_class?, error_text?
-- answers: L2
SELECT
    l.organization_slug,
    l.pipeline_slug,
    l.error_class,
    coalesce(m.normalized, l.error_text) AS error_text,
    count(*) AS jobs,
    count(DISTINCT l.build_id) AS builds,
    count(DISTINCT coalesce(j.step_key, j.name, 'unnamed')) AS steps,
    min(j.finished_at) AS first_at,
    max(j.finished_at) AS last_at,
    min(j.web_url) AS example_url
FROM job_logs AS l
INNER JOIN jobs AS j
    ON l.job_id = j.id
LEFT JOIN job_log_matches AS m
    ON l.job_id = m.job_id AND l.error_line = m.line
WHERE j.state IN ('failed', 'timed_out') AND NOT coalesce(l.gone, FALSE)
GROUP BY l.organization_slug, l.pipeline_slug, l.error_class, coalesce(m.normalized, l.error_text)
