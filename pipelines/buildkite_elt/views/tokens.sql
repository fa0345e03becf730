-- Tokens that are in use, and what is wrong with them: API access tokens without an end or not used for 90 days, and
-- agent tokens outside of clusters, which never end and of which Buildkite does not tell the last use.
-- grain: one row per organization, kind of token and token
-- key: organization_slug, kind, token_id
-- answers: G1
-- without: agent_tokens, api_access_token_activity
SELECT
    t.organization_slug,
    'api' AS kind,
    t.id AS token_id,
    t.description,
    t.owner_name,
    t.created_at,
    t.expires_at,
    t.expires_at IS NULL AS never_expires,
    coalesce(u.last_accessed_at, t.last_accessed_at) AS last_used_at,
    (epoch(a.as_of) - epoch(coalesce(u.last_accessed_at, t.last_accessed_at, t.created_at))) / 86400.0 AS unused_days,
    epoch(a.as_of) - epoch(coalesce(u.last_accessed_at, t.last_accessed_at, t.created_at)) >= 90 * 86400 AS is_unused_90_days
FROM api_access_tokens AS t
LEFT JOIN api_access_token_activity AS u
    ON t.organization_slug = u.organization_slug AND t.id = u.id
LEFT JOIN as_of AS a
    ON t.organization_slug = a.organization_slug
WHERE t._dlt_valid_to IS NULL
UNION ALL
SELECT
    organization_slug,
    'agent' AS kind,
    id AS token_id,
    description,
    created_by_name AS owner_name,
    created_at,
    CAST(NULL AS TIMESTAMPTZ) AS expires_at,
    TRUE AS never_expires,
    CAST(NULL AS TIMESTAMPTZ) AS last_used_at,
    CAST(NULL AS DOUBLE) AS unused_days,
    CAST(NULL AS BOOLEAN) AS is_unused_90_days
FROM agent_tokens
WHERE _dlt_valid_to IS NULL AND revoked_at IS NULL
