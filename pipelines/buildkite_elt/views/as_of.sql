-- Until when the file knows an organization: the moment its builds were last read, which stands for now in the other views.
-- grain: one row per organization
-- key: organization_slug
SELECT
    organization_slug,
    max(last_seen_at) AS as_of
FROM builds
GROUP BY organization_slug
