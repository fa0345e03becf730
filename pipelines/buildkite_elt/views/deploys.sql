-- Deploys (what counts as one is said at build_outcomes), newest first by recency, and why they failed: their first job
-- that failed, or trigger whose build failed. Lead time runs from the first build of the commit, or from the build that
-- triggered the deploy; time to restore from the first failed deploy in a row until the next one passed.
-- grain: one row per deploy; recency is 1 for the newest of its pipeline
-- key: build_id
-- answers: F12, D1
WITH first_built AS (
    SELECT
        organization_slug,
        commit AS build_commit,
        min(created_at) AS built_at
    FROM builds
    WHERE commit <> 'HEAD'
    GROUP BY ALL
),

failures AS (
    SELECT
        build_id,
        job_id,
        step,
        class,
        exit_status,
        error_text,
        failed_at
    FROM job_failures
    WHERE is_latest_attempt AND NOT soft_failed
    UNION ALL
    SELECT
        build_id,
        id,
        coalesce(step_key, name, 'unnamed'),
        'triggered build',
        NULL,
        NULL,
        finished_at
    FROM jobs
    WHERE type = 'trigger' AND state = 'failed' AND NOT coalesce(soft_failed, FALSE)
),

causes AS (
    SELECT *
    FROM failures
    QUALIFY row_number() OVER (PARTITION BY build_id ORDER BY failed_at, job_id) = 1
),

results AS (
    SELECT
        build_id,
        lag(outcome) OVER (
            PARTITION BY organization_slug, pipeline_slug ORDER BY ended_at, build_number
        ) AS outcome_before,
        min(CASE WHEN outcome = 'passed' THEN ended_at END) OVER (
            PARTITION BY organization_slug, pipeline_slug ORDER BY ended_at, build_number
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        ) AS restored_at
    FROM build_outcomes
    WHERE is_deploy AND outcome IN ('passed', 'failed') AND ended_at IS NOT NULL
)

SELECT
    d.organization_slug,
    d.pipeline_slug,
    row_number() OVER (
        PARTITION BY d.organization_slug, d.pipeline_slug ORDER BY d.created_at DESC, d.build_number DESC
    ) AS recency,
    d.build_id,
    d.build_number,
    d.branch,
    d.build_commit,
    d.message,
    d.author_name,
    d.outcome,
    d.created_at,
    d.ended_at,
    c.step AS failed_step,
    c.class AS failure_class,
    c.exit_status,
    c.error_text,
    CASE
        WHEN d.outcome = 'passed' AND d.ended_at IS NOT NULL
            THEN epoch(d.ended_at) - epoch(least(d.created_at, f.built_at, r.root_created_at))
    END AS lead_seconds,
    CASE
        WHEN d.outcome = 'failed' AND coalesce(b.outcome_before, 'passed') = 'passed'
            THEN epoch(b.restored_at) - epoch(d.ended_at)
    END AS restore_seconds,
    d.web_url
FROM build_outcomes AS d
LEFT JOIN first_built AS f
    ON d.organization_slug = f.organization_slug AND d.build_commit = f.build_commit
LEFT JOIN trigger_roots AS r
    ON d.build_id = r.build_id
LEFT JOIN causes AS c
    ON d.build_id = c.build_id AND d.outcome = 'failed'
LEFT JOIN results AS b
    ON d.build_id = b.build_id
WHERE d.is_deploy
