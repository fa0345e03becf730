-- Steps whose jobs failed, were retried and passed, in the 28 days before the last load: how often, and what it cost.
-- Of a flake that an agent or machine made (class infrastructure or capacity) the step may be innocent; they are
-- counted.
-- grain: one row per organization, pipeline and step with at least one flaky job
-- key: organization_slug, pipeline_slug, step
-- answers: F1
WITH windows AS (
    SELECT
        organization_slug,
        (as_of AT TIME ZONE 'UTC' - INTERVAL 28 DAY) AT TIME ZONE 'UTC' AS since
    FROM as_of
),

jobs_run AS (
    SELECT
        j.organization_slug,
        j.pipeline_slug,
        j.step,
        count(*) AS jobs
    FROM job_attempts AS j
    INNER JOIN windows AS n
        ON j.organization_slug = n.organization_slug
    WHERE
        j.is_latest_attempt
        AND j.state IN ('passed', 'failed', 'timed_out')
        AND j.created_at >= n.since
    GROUP BY ALL
),

flakes AS (
    SELECT
        c.organization_slug,
        c.pipeline_slug,
        c.step,
        count(*) AS flakes,
        count(CASE WHEN c.manual_retries = 0 THEN 1 END) AS automatic_flakes,
        count(CASE WHEN c.infrastructure_failures = c.failures THEN 1 END) AS infrastructure_flakes,
        sum(c.lost_seconds) AS lost_seconds,
        max(c.finished_at) AS last_flake_at
    FROM retry_chains AS c
    INNER JOIN windows AS n
        ON c.organization_slug = n.organization_slug
    WHERE c.is_flaky AND c.created_at >= n.since
    GROUP BY ALL
)

SELECT
    f.organization_slug,
    f.pipeline_slug,
    f.step,
    j.jobs,
    f.flakes,
    f.automatic_flakes,
    f.infrastructure_flakes,
    1.0 * f.flakes / nullif(j.jobs, 0) AS flake_share,
    f.lost_seconds,
    f.last_flake_at
FROM flakes AS f
LEFT JOIN jobs_run AS j
    ON f.organization_slug = j.organization_slug AND f.pipeline_slug = j.pipeline_slug AND f.step = j.step
