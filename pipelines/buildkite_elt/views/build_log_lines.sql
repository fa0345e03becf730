-- Every line of the logs that are loaded, with its build and job: filter text, count builds. For the last thirty days
-- ask for age_days < 30, counted from the build's creation to the last load.
-- grain: one row per line
-- key: job_id, line
-- answers: L1
SELECT
    l.organization_slug,
    j.pipeline_slug,
    b.branch,
    j.build_id,
    j.build_number,
    b.created_at AS build_created_at,
    (epoch(a.as_of) - epoch(b.created_at)) / 86400.0 AS age_days,
    l.job_id,
    coalesce(j.step_key, j.name, j.label, 'unnamed') AS step,
    j.state,
    l.line,
    l."at",
    l.text,
    j.web_url
FROM job_log_lines AS l
INNER JOIN jobs AS j
    ON l.job_id = j.id
LEFT JOIN builds AS b
    ON j.build_id = b.id
LEFT JOIN as_of AS a
    ON l.organization_slug = a.organization_slug
