"""API access tokens and their scopes (api.md 1.1-1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

READ_SCOPES = (
    "read_agents",
    "read_artifacts",
    "read_audit_events",
    "read_build_logs",
    "read_builds",
    "read_clusters",
    "read_job_env",
    "read_notification_services",
    "read_organization_invitations",
    "read_organization_repository_connections",
    "read_organization_settings",
    "read_organizations",
    "read_packages",
    "read_pipeline_templates",
    "read_pipelines",
    "read_portals",
    "read_registries",
    "read_rules",
    "read_secrets_details",
    "read_suites",
    "read_teams",
    "read_test_plan",
    "read_user",
)
"""Every documented scope that only reads (api.md 1.2)."""


@dataclass
class Token:
    """A token belongs to a user and sees the organizations selected on it (api.md 1.1)."""

    value: str
    user_id: str
    scopes: tuple[str, ...] = (*READ_SCOPES, "graphql")
    organizations: tuple[str, ...] | None = None
    admin: bool = True
    expired: bool = False
    uuid: str = "b7d6a1f0-7f4e-4c7f-9a55-6f6a2f0c5d10"
    description: str = "stand-in"
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked: bool = False

    def sees(self, organization: str) -> bool:
        """Whether the organization was selected on the token."""
        return self.organizations is None or organization in self.organizations

    def good(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return not (self.revoked or self.expired or (self.expires_at is not None and self.expires_at <= now))
