-- How often the same step both passed and failed on one commit: in retries, in rebuilds, or in other builds. A commit
-- counts once for each shard of a step; steps of one pipeline should have keys of their own. Failures of the
-- infrastructure say nothing of the step and are left out. Few commits run twice unless they fail, so flake_share is
-- the least that it can be.
-- grain: one row per organization, pipeline and step
-- key: organization_slug, pipeline_slug, step
-- answers: F3
WITH not_the_steps AS (
    SELECT job_id
    FROM job_failures
    WHERE class IN ('infrastructure', 'capacity')
),

commits AS (
    SELECT
        a.organization_slug,
        a.pipeline_slug,
        a.step,
        a.build_commit,
        j.parallel_group_index,
        CAST(j.matrix AS TEXT) AS matrix,
        count(CASE WHEN a.state = 'passed' THEN 1 END) AS passed,
        count(CASE WHEN a.state <> 'passed' THEN 1 END) AS failed
    FROM job_attempts AS a
    INNER JOIN jobs AS j
        ON a.job_id = j.id
    LEFT JOIN not_the_steps AS n
        ON a.job_id = n.job_id
    WHERE
        a.state IN ('passed', 'failed', 'timed_out')
        AND a.build_commit <> 'HEAD'
        AND n.job_id IS NULL
    GROUP BY ALL
)

SELECT
    organization_slug,
    pipeline_slug,
    step,
    count(*) AS commits,
    count(CASE WHEN failed > 0 THEN 1 END) AS failed_commits,
    count(CASE WHEN failed > 0 AND passed + failed > 1 THEN 1 END) AS failed_and_repeated_commits,
    count(CASE WHEN failed > 0 AND passed > 0 THEN 1 END) AS mixed_commits,
    1.0 * count(CASE WHEN failed > 0 AND passed > 0 THEN 1 END) / count(*) AS flake_share,
    1.0 * count(CASE WHEN failed > 0 AND passed > 0 THEN 1 END)
    / nullif(count(CASE WHEN failed > 0 AND passed + failed > 1 THEN 1 END), 0) AS flakes_among_repeated_share
FROM commits
GROUP BY ALL
