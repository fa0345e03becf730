-- Who changed what: the audit log, and what two loads found different in the settings of pipelines, queues and
-- API access tokens, which tells before and after, but who only of a paused queue, and as its moment the load that
-- found it.
-- grain: one row per event of the audit log, and per setting that a load found changed
-- answers: G3
-- without: audit_events, cluster_queues, api_access_tokens
WITH pipeline_versions AS (
    SELECT
        *,
        lag(id) OVER versions IS NOT NULL AS is_change,
        lag(configuration) OVER versions AS configuration_before,
        lag(CAST(provider_settings AS TEXT)) OVER versions AS provider_settings_before,
        lag(default_branch) OVER versions AS default_branch_before,
        lag(repository) OVER versions AS repository_before,
        lag(cluster_id) OVER versions AS cluster_id_before,
        lag(archived_at) OVER versions AS archived_at_before
    FROM pipelines
    WINDOW versions AS (PARTITION BY id ORDER BY _dlt_valid_from)
),

queue_versions AS (
    SELECT
        *,
        lag(id) OVER versions IS NOT NULL AS is_change,
        lag(dispatch_paused) OVER versions AS dispatch_paused_before
    FROM cluster_queues
    WINDOW versions AS (PARTITION BY id ORDER BY _dlt_valid_from)
),

token_versions AS (
    SELECT
        *,
        lag(id) OVER versions IS NOT NULL AS is_change,
        lag(CAST(scopes AS TEXT)) OVER versions AS scopes_before,
        lead(id) OVER versions IS NULL AND _dlt_valid_to IS NOT NULL AS is_gone
    FROM api_access_tokens
    WINDOW versions AS (PARTITION BY organization_slug, id ORDER BY _dlt_valid_from)
),

found AS (
    SELECT
        organization_slug,
        id,
        slug AS name,
        _dlt_valid_from AS changed_at,
        'pipeline configuration' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        configuration_before AS value_before,
        configuration AS value_after
    FROM pipeline_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        slug AS name,
        _dlt_valid_from AS changed_at,
        'pipeline provider_settings' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        provider_settings_before AS value_before,
        CAST(provider_settings AS TEXT) AS value_after
    FROM pipeline_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        slug AS name,
        _dlt_valid_from AS changed_at,
        'pipeline default_branch' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        default_branch_before AS value_before,
        default_branch AS value_after
    FROM pipeline_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        slug AS name,
        _dlt_valid_from AS changed_at,
        'pipeline repository' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        repository_before AS value_before,
        repository AS value_after
    FROM pipeline_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        slug AS name,
        _dlt_valid_from AS changed_at,
        'pipeline cluster_id' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        cluster_id_before AS value_before,
        cluster_id AS value_after
    FROM pipeline_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        slug AS name,
        _dlt_valid_from AS changed_at,
        'pipeline archived' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        CASE WHEN archived_at_before IS NULL THEN 'false' ELSE 'true' END AS value_before,
        CASE WHEN archived_at IS NULL THEN 'false' ELSE 'true' END AS value_after
    FROM pipeline_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        key AS name,
        _dlt_valid_from AS changed_at,
        'queue dispatch_paused' AS what,
        dispatch_paused_by_name AS actor_name,
        CAST(dispatch_paused_before AS TEXT) AS value_before,
        CAST(dispatch_paused AS TEXT) AS value_after
    FROM queue_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        description AS name,
        _dlt_valid_from AS changed_at,
        'token scopes' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        scopes_before AS value_before,
        CAST(scopes AS TEXT) AS value_after
    FROM token_versions
    WHERE is_change
    UNION ALL
    SELECT
        organization_slug,
        id,
        description AS name,
        _dlt_valid_to AS changed_at,
        'token' AS what,
        CAST(NULL AS TEXT) AS actor_name,
        'in use' AS value_before,
        'revoked' AS value_after
    FROM token_versions
    WHERE is_gone
)

SELECT
    organization_slug,
    occurred_at AS changed_at,
    'audit log' AS told_by,
    type AS what,
    subject_id,
    subject_name,
    actor_name,
    CAST(NULL AS TEXT) AS value_before,
    CAST(data AS TEXT) AS value_after
FROM audit_events
UNION ALL
SELECT
    organization_slug,
    changed_at,
    'two loads' AS told_by,
    what,
    id AS subject_id,
    name AS subject_name,
    actor_name,
    value_before,
    value_after
FROM found
WHERE value_before IS DISTINCT FROM value_after
