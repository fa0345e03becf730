-- How fast each host is: what its passed jobs took as a share of the median of the same step on all hosts. A host is
-- slow where the median of these is more than a fifth above 1, over ten jobs or more.
-- grain: one row per organization and host
-- key: organization_slug, agent_hostname
-- answers: S10
WITH passed AS (
    SELECT
        organization_slug,
        pipeline_slug,
        step,
        agent_hostname,
        run_seconds
    FROM job_attempts
    WHERE state = 'passed' AND run_seconds > 0 AND agent_hostname IS NOT NULL
),

usual AS (
    SELECT
        organization_slug,
        pipeline_slug,
        step,
        quantile_cont(run_seconds, 0.5) AS p50_seconds
    FROM passed
    GROUP BY organization_slug, pipeline_slug, step
)

SELECT
    p.organization_slug,
    p.agent_hostname,
    count(*) AS jobs,
    count(DISTINCT p.pipeline_slug || ' ' || p.step) AS steps,
    quantile_cont(p.run_seconds / u.p50_seconds, 0.5) AS run_p50_ratio,
    count(*) >= 10 AND quantile_cont(p.run_seconds / u.p50_seconds, 0.5) > 1.2 AS is_slow
FROM passed AS p
INNER JOIN usual AS u
    ON p.organization_slug = u.organization_slug AND p.pipeline_slug = u.pipeline_slug AND p.step = u.step
GROUP BY p.organization_slug, p.agent_hostname
