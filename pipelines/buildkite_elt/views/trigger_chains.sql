-- A build and all that it triggered, across pipelines: how long it took from the first one's creation (the push) until
-- the last one ended, and until a deploy passed. What was triggered and not waited for counts, too.
-- grain: one row per build that was not triggered and that triggered another
-- key: build_id
-- answers: D4
SELECT
    p.organization_slug,
    p.pipeline_slug,
    p.build_id,
    p.build_number,
    p.branch,
    p.build_commit,
    p.outcome,
    p.created_at,
    count(*) AS builds,
    max(r.triggers) AS longest_chain_triggers,
    count(CASE WHEN b.outcome = 'failed' THEN 1 END) AS failed_builds,
    count(*) - count(b.ended_at) AS open_builds,
    max(b.ended_at) AS ended_at,
    CASE WHEN count(*) = count(b.ended_at) THEN epoch(max(b.ended_at)) - epoch(p.created_at) END AS total_seconds,
    min(CASE WHEN b.is_deploy AND b.outcome = 'passed' THEN b.ended_at END) AS deployed_at,
    epoch(min(CASE WHEN b.is_deploy AND b.outcome = 'passed' THEN b.ended_at END))
    - epoch(p.created_at) AS push_to_deploy_seconds
FROM trigger_roots AS r
INNER JOIN build_outcomes AS p
    ON r.root_build_id = p.build_id
INNER JOIN build_outcomes AS b
    ON r.build_id = b.build_id
GROUP BY
    p.organization_slug, p.pipeline_slug, p.build_id, p.build_number, p.branch, p.build_commit, p.outcome, p.created_at
HAVING count(*) > 1
