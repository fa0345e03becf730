-- How often a step fails in builds that another build triggered, beside builds that started by themselves: last
-- attempts.
-- grain: one row per organization, pipeline and step of pipelines that were ever triggered
-- key: organization_slug, pipeline_slug, step
-- answers: F9
WITH counts AS (
    SELECT
        j.organization_slug,
        j.pipeline_slug,
        j.step,
        count(CASE WHEN b.triggered_from_build_id IS NOT NULL THEN 1 END) AS triggered_jobs,
        count(CASE WHEN b.triggered_from_build_id IS NOT NULL AND j.state <> 'passed' THEN 1 END) AS triggered_failed,
        count(CASE WHEN b.triggered_from_build_id IS NULL THEN 1 END) AS alone_jobs,
        count(CASE WHEN b.triggered_from_build_id IS NULL AND j.state <> 'passed' THEN 1 END) AS alone_failed
    FROM job_attempts AS j
    INNER JOIN build_outcomes AS b
        ON j.build_id = b.build_id
    WHERE
        j.is_latest_attempt
        AND j.state IN ('passed', 'failed', 'timed_out', 'expired')
        AND NOT coalesce(j.soft_failed, FALSE)
    GROUP BY ALL
)

SELECT
    *,
    1.0 * triggered_failed / triggered_jobs AS triggered_failed_share,
    1.0 * alone_failed / nullif(alone_jobs, 0) AS alone_failed_share,
    triggered_failed = triggered_jobs AND alone_failed < alone_jobs AS always_fails_when_triggered
FROM counts
WHERE triggered_jobs > 0
