-- Pushes to a default branch, and whether CI had failed: on the pull request as it was then (the newest build of each
-- pipeline before the merge; its number is read from the message, as GitHub, GitLab and Bitbucket write it), and after
-- it.
-- grain: one row per organization, repository (pipeline, where that is unknown) and commit of a default branch
-- key: organization_slug, repository, build_commit
-- answers: D3
WITH pushes AS (
    SELECT
        organization_slug,
        coalesce(repository, pipeline_slug) AS repository,
        build_commit,
        split_part(min(message), chr(10), 1) AS title,
        min(message) AS message,
        min(author_name) AS author_name,
        min(created_at) AS merged_at,
        count(CASE WHEN outcome = 'failed' THEN 1 END) AS failed_builds,
        count(CASE WHEN outcome IN ('passed', 'failed') THEN 1 END) AS builds
    FROM build_outcomes
    WHERE is_default_branch AND source = 'webhook' AND build_commit <> 'HEAD'
    GROUP BY ALL
),

numbered AS (
    SELECT
        *,
        CASE
            WHEN regexp_matches(title, '(pull request #|\(#)[0-9]+')
                THEN regexp_replace(title, '^.*(pull request #|\(#)([0-9]+).*$', '\2')
            WHEN regexp_matches(message, 'merge request [^ ]*![0-9]+')
                THEN regexp_replace(message, '^(?:.|\n)*merge request [^ ]*!([0-9]+)(?:.|\n)*$', '\1')
        END AS pull_request_id
    FROM pushes
),

before AS (
    SELECT
        m.organization_slug,
        m.repository,
        m.build_commit,
        b.outcome
    FROM numbered AS m
    INNER JOIN build_outcomes AS b
        ON
            m.organization_slug = b.organization_slug
            AND m.pull_request_id = b.pull_request_id
            AND m.repository = coalesce(b.repository, b.pipeline_slug)
            AND m.merged_at > b.created_at
    WHERE b.outcome NOT IN ('skipped', 'not_run')
    QUALIFY row_number() OVER (
        PARTITION BY m.organization_slug, m.repository, m.build_commit, b.pipeline_slug ORDER BY b.created_at DESC
    ) = 1
),

verdicts AS (
    SELECT
        organization_slug,
        repository,
        build_commit,
        CASE
            WHEN count(CASE WHEN outcome = 'failed' THEN 1 END) > 0 THEN 'failed'
            WHEN count(CASE WHEN outcome <> 'passed' THEN 1 END) > 0 THEN 'unfinished'
            ELSE 'passed'
        END AS outcome
    FROM before
    GROUP BY organization_slug, repository, build_commit
)

SELECT
    m.organization_slug,
    m.repository,
    m.build_commit,
    m.title,
    m.author_name,
    m.merged_at,
    m.pull_request_id,
    coalesce(v.outcome, 'unknown') AS pull_request_outcome,
    CASE
        WHEN m.builds = 0 THEN 'unknown'
        WHEN m.failed_builds > 0 THEN 'failed'
        ELSE 'passed'
    END AS outcome
FROM numbered AS m
LEFT JOIN verdicts AS v
    ON m.organization_slug = v.organization_slug AND m.repository = v.repository AND m.build_commit = v.build_commit
