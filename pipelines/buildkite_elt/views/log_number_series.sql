-- Numbers that logs print, such as tests, seconds and coverage, in the order in which they were printed: a time series
-- for each name, with the commit that each belongs to. Where the agent told no time, the job's end stands for it.
-- grain: one row per line of a log and named number
-- key: job_id, name, line
-- answers: L3
SELECT
    n.organization_slug,
    j.pipeline_slug,
    j.branch,
    j.step,
    n.name,
    n.unit,
    coalesce(n."at", j.finished_at) AS printed_at,
    n.value,
    n.value - lag(n.value) OVER (
        PARTITION BY n.organization_slug, j.pipeline_slug, j.branch, j.step, n.name, n.unit
        ORDER BY coalesce(n."at", j.finished_at), n.job_id, n.line
    ) AS change,
    j.build_number,
    j.build_commit,
    j.state,
    n.job_id,
    n.line,
    j.web_url
FROM log_numbers AS n
INNER JOIN job_attempts AS j
    ON n.job_id = j.job_id
