-- How each build ended, by what it counts as (blocked_state while it is blocked), and what kind of build it was. A
-- deploy is a build that is no pull request's and whose pipeline's slug has a word that begins with deploy or release,
-- or whose branch begins with one. The default branch is the pipeline's own, else main, without pull requests of forks.
-- grain: one row per build
-- key: build_id
-- without: pipelines
SELECT
    b.organization_slug,
    b.pipeline_slug,
    b.pipeline_id,
    b.id AS build_id,
    b.number AS build_number,
    b.branch,
    b.commit AS build_commit,
    b.message,
    coalesce(b.author_name, b.creator_name) AS author_name,
    b.source,
    p.repository,
    b.pull_request_id,
    b.rebuilt_from_id,
    b.triggered_from_build_id,
    CASE WHEN b.blocked THEN coalesce(nullif(b.blocked_state, ''), b.state) ELSE b.state END AS outcome,
    coalesce(b.branch = coalesce(p.default_branch, 'main') AND b.pull_request_id IS NULL, FALSE) AS is_default_branch,
    coalesce(b.pull_request_id IS NULL AND (
        regexp_matches(lower(b.pipeline_slug), '(^|[^a-z])(deploy|release)')
        OR regexp_matches(lower(b.branch), '^(deploy|release)')
    ), FALSE) AS is_deploy,
    b.created_at,
    CASE
        WHEN b.state IN ('passed', 'failed', 'canceled', 'skipped', 'not_run') AND b.finished_at >= b.created_at
            THEN b.finished_at
    END AS ended_at,
    b.web_url
FROM builds AS b
LEFT JOIN pipelines AS p
    ON b.pipeline_id = p.id AND p._dlt_valid_to IS NULL
