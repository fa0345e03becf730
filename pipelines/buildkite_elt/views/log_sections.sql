-- Where the time of logs goes: what each section takes, with the agent's own ones under one name whichever agent or
-- plugin it was. Of the logs that are loaded; a log of which only the end was read lacks its first sections.
-- grain: one row per organization, pipeline and name of a section
-- key: organization_slug, pipeline_slug, section?
-- answers: S6
WITH named AS (
    SELECT
        l.organization_slug,
        l.pipeline_slug,
        g.job_id,
        CASE
            WHEN g.name LIKE 'Preparing working directory%' THEN 'checkout'
            WHEN lower(g.name) LIKE '%docker%pull%' OR lower(g.name) LIKE '%pull%image%' THEN 'docker pull'
            WHEN lower(g.name) LIKE '%cache%' THEN 'cache'
            WHEN lower(g.name) LIKE '%upload%artifact%' OR lower(g.name) LIKE '%download%artifact%' THEN 'artifacts'
            WHEN g.name LIKE 'Running % hook%' THEN 'hooks'
            ELSE g.name
        END AS section,
        g.duration_ms / 1000.0 AS seconds
    FROM job_log_groups AS g
    INNER JOIN job_logs AS l
        ON g.job_id = l.job_id
    WHERE g.duration_ms >= 0
)

SELECT
    organization_slug,
    pipeline_slug,
    section,
    count(DISTINCT job_id) AS jobs,
    count(*) AS sections,
    sum(seconds) AS total_seconds,
    quantile_cont(seconds, 0.5) AS p50_seconds,
    quantile_cont(seconds, 0.95) AS p95_seconds,
    max(seconds) AS max_seconds,
    sum(seconds) / nullif(sum(sum(seconds)) OVER (PARTITION BY organization_slug, pipeline_slug), 0) AS time_share
FROM named
GROUP BY organization_slug, pipeline_slug, section
