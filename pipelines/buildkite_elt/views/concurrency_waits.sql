-- Jobs of a concurrency group, how long each waited for it, and the job of the group that started before it:
-- where only one may run at a time, that is the one that it waited for. Only of jobs that job_details was loaded for.
-- grain: one row per job attempt with a concurrency group that started
-- key: job_id
-- answers: W5
SELECT
    a.organization_slug,
    a.pipeline_slug,
    d.concurrency_group,
    d.concurrency_limit,
    a.build_number,
    a.step,
    a.job_id,
    a.started_at,
    a.finished_at,
    a.concurrency_seconds,
    lag(a.pipeline_slug) OVER one_group AS after_pipeline_slug,
    lag(a.build_number) OVER one_group AS after_build_number,
    lag(a.job_id) OVER one_group AS after_job_id
FROM job_details AS d
INNER JOIN job_attempts AS a
    ON d.id = a.job_id
WHERE d.concurrency_group IS NOT NULL AND a.started_at IS NOT NULL
WINDOW one_group AS (PARTITION BY a.organization_slug, d.concurrency_group ORDER BY a.started_at, a.job_id)
