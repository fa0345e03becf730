-- Versions of buildkite-agent that are in use, against the newest that this organization's agents have; Buildkite does
-- not tell which version is the newest of all. In use is who was connected when last seen, or ran a job of the last
-- seven days.
-- grain: one row per organization and version
-- key: organization_slug, version
-- answers: G5
WITH used AS (
    SELECT
        g.organization_slug,
        g.version,
        count(*) FILTER (WHERE g.connection_state IN ('connected', 'stopping')) AS agents_connected,
        count(*) AS agents_known,
        count(DISTINCT g.hostname) AS hosts
    FROM agents AS g
    WHERE g.version IS NOT NULL
    GROUP BY g.organization_slug, g.version
),

ran AS (
    SELECT
        j.organization_slug,
        j.agent_version AS version,
        count(*) AS jobs,
        count(*) FILTER (WHERE j.exit_status = -1 OR j.signal_reason = 'agent_stop') AS jobs_lost
    FROM job_attempts AS j
    INNER JOIN as_of AS a
        ON j.organization_slug = a.organization_slug
    WHERE j.agent_version IS NOT NULL AND j.started_at >= a.as_of - INTERVAL 168 HOUR
    GROUP BY j.organization_slug, j.agent_version
),

both_known AS (
    SELECT
        coalesce(u.organization_slug, r.organization_slug) AS organization_slug,
        coalesce(u.version, r.version) AS version,
        coalesce(u.agents_connected, 0) AS agents_connected,
        coalesce(u.agents_known, 0) AS agents_known,
        coalesce(u.hosts, 0) AS hosts,
        coalesce(r.jobs, 0) AS jobs_7_days,
        coalesce(r.jobs_lost, 0) AS jobs_lost_7_days
    FROM used AS u
    FULL JOIN ran AS r
        ON u.organization_slug = r.organization_slug AND u.version = r.version
)

SELECT
    organization_slug,
    version,
    agents_connected,
    agents_known,
    hosts,
    jobs_7_days,
    jobs_lost_7_days,
    agents_connected > 0 OR jobs_7_days > 0 AS is_in_use,
    rank() OVER newest_first = 1 AS is_newest
FROM both_known
WINDOW newest_first AS (
    PARTITION BY organization_slug
    ORDER BY
        coalesce(TRY_CAST(split_part(version, '.', 1) AS INTEGER), 0) DESC,
        coalesce(TRY_CAST(split_part(version, '.', 2) AS INTEGER), 0) DESC,
        coalesce(TRY_CAST(split_part(version, '.', 3) AS INTEGER), 0) DESC
)
