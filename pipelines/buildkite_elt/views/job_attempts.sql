-- Every attempt of every job that an agent runs, with its waits and times in seconds; a duration that would be negative is null.
-- grain: one row per job attempt of type script
-- key: job_id
-- without: cluster_queues
SELECT
    j.organization_slug,
    j.pipeline_id,
    j.pipeline_slug,
    j.build_id,
    j.build_number,
    b.branch,
    b.commit AS build_commit,
    b.creator_id,
    b.creator_name,
    b.source,
    b.created_at AS build_created_at,
    b.gone_at AS build_gone_at,
    j.id AS job_id,
    coalesce(j.step_key, j.name, j.label, 'unnamed') AS step,
    j.cluster_id,
    j.cluster_queue_id,
    coalesce(q.key, j.queue_key) AS queue_key,
    j.agent_query_rules,
    j.agent_id,
    j.agent_name,
    j.agent_hostname,
    j.agent_version,
    j.state,
    j.exit_status,
    j.signal_reason,
    j.soft_failed,
    j.retried,
    j.retried_in_job_id,
    j.retries_count,
    j.retry_type,
    NOT coalesce(j.retried, FALSE) AS is_latest_attempt,
    j.created_at,
    j.runnable_at,
    j.started_at,
    j.finished_at,
    CASE WHEN j.started_at >= j.runnable_at THEN epoch(j.started_at) - epoch(j.runnable_at) END AS wait_seconds,
    CASE WHEN j.runnable_at >= j.created_at THEN epoch(j.runnable_at) - epoch(j.created_at) END AS dependency_seconds,
    CASE WHEN j.finished_at >= j.started_at THEN epoch(j.finished_at) - epoch(j.started_at) END AS run_seconds,
    j.concurrency_wait_time_ms / 1000.0 AS concurrency_seconds,
    j.web_url
FROM jobs AS j
LEFT JOIN builds AS b
    ON j.build_id = b.id
LEFT JOIN cluster_queues AS q
    ON j.cluster_queue_id = q.id AND q._dlt_valid_to IS NULL
WHERE j.type = 'script'
