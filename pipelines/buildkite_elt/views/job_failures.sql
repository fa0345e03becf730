-- Attempts that failed, timed out or expired, and why: the class of the rule of lowest rank in failure_rules that
-- matches. What the log says (error_class) is among the reasons where job_logs is loaded; soft failures are here too.
-- grain: one row per job attempt that failed, timed out or expired
-- key: job_id
-- answers: F4
-- without: job_logs
WITH failed AS (
    SELECT
        j.*,
        l.error_class,
        l.error_text,
        CAST(j.exit_status AS TEXT) AS exit_text
    FROM job_attempts AS j
    LEFT JOIN job_logs AS l
        ON j.job_id = l.job_id
    WHERE j.state IN ('failed', 'timed_out', 'expired')
),

-- Rules are tried on each different reason, not on each job.
reasons AS (
    SELECT DISTINCT
        state,
        signal_reason,
        exit_text,
        error_class
    FROM failed
),

rules AS (
    SELECT
        rank AS place,
        column_name,
        class,
        '^(' || pattern || ')$' AS pattern
    FROM failure_rules
),

classed AS (
    SELECT
        c.state,
        c.signal_reason,
        c.exit_text,
        c.error_class,
        r.class
    FROM reasons AS c
    LEFT JOIN rules AS r
        ON regexp_matches(
            CASE r.column_name
                WHEN 'state' THEN c.state
                WHEN 'signal_reason' THEN c.signal_reason
                WHEN 'exit_status' THEN c.exit_text
                WHEN 'error_class' THEN c.error_class
            END,
            r.pattern
        )
    QUALIFY row_number() OVER (
        PARTITION BY c.state, c.signal_reason, c.exit_text, c.error_class ORDER BY r.place
    ) = 1
)

SELECT
    f.organization_slug,
    f.pipeline_slug,
    f.build_id,
    f.build_number,
    f.branch,
    f.job_id,
    f.step,
    coalesce(c.class, 'unknown') AS class,
    f.state,
    f.exit_status,
    f.signal_reason,
    f.error_class,
    f.error_text,
    coalesce(f.soft_failed, FALSE) AS soft_failed,
    f.is_latest_attempt,
    f.cluster_id,
    f.queue_key,
    f.agent_hostname,
    coalesce(f.finished_at, f.created_at) AS failed_at,
    f.run_seconds,
    f.web_url
FROM failed AS f
INNER JOIN classed AS c
    ON
        f.state = c.state
        AND f.signal_reason IS NOT DISTINCT FROM c.signal_reason
        AND f.exit_text IS NOT DISTINCT FROM c.exit_text
        AND f.error_class IS NOT DISTINCT FROM c.error_class
