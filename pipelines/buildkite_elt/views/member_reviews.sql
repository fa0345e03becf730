-- Members as a review of access sees them: who may sign in without single sign-on or without two factors, who is a
-- bot, and who was not seen for 90 days. Where member_security is not loaded, only roles and single sign-on are known.
-- grain: one row per organization and member
-- key: organization_slug, user_id
-- answers: G2
-- without: member_security, member_activity, sso_authorizations
WITH signed_in AS (
    SELECT
        organization_slug,
        user_id,
        count(*) AS sign_ons
    FROM sso_authorizations
    WHERE state = 'verified'
    GROUP BY organization_slug, user_id
)

SELECT
    m.organization_slug,
    m.id AS user_id,
    m.name,
    m.role,
    coalesce(s.sso_mode, m.sso_mode) AS sso_mode,
    coalesce(s.sso_mode, m.sso_mode) <> 'required' AS may_skip_sso,
    coalesce(o.sign_ons, 0) AS verified_sign_ons,
    s.two_factor_enabled,
    NOT s.two_factor_enabled AND NOT coalesce(s.bot, FALSE) AS lacks_two_factor,
    coalesce(s.bot, FALSE) OR coalesce(s.machine_user, FALSE) AS is_bot,
    coalesce(v.last_seen_at_buildkite, s.last_seen_at_buildkite) AS last_seen_at,
    (epoch(a.as_of) - epoch(coalesce(v.last_seen_at_buildkite, s.last_seen_at_buildkite, s.created_at))) / 86400.0
        AS unseen_days,
    epoch(a.as_of) - epoch(coalesce(v.last_seen_at_buildkite, s.last_seen_at_buildkite, s.created_at)) >= 90 * 86400
        AS is_inactive_90_days
FROM members AS m
LEFT JOIN member_security AS s
    ON m.organization_slug = s.organization_slug AND m.id = s.user_id AND s._dlt_valid_to IS NULL
LEFT JOIN member_activity AS v
    ON m.organization_slug = v.organization_slug AND m.id = v.user_id
LEFT JOIN signed_in AS o
    ON m.organization_slug = o.organization_slug AND m.id = o.user_id
LEFT JOIN as_of AS a
    ON m.organization_slug = a.organization_slug
WHERE m._dlt_valid_to IS NULL
