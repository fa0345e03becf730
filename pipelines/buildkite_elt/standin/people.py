"""The REST bodies of people and teams (api.md 4.2, 4.11), with what GraphQL adds under `_` keys (5.11)."""

from __future__ import annotations

from hashlib import md5

from .bodies import gid
from .world import Row


def user(one: str, name: str, email: str, at: str) -> Row:
    """A user, as embedded everywhere."""
    face = md5(email.encode(), usedforsecurity=False).hexdigest()
    return {
        "id": one,
        "graphql_id": gid("User", one),
        "name": name,
        "email": email,
        "avatar_url": f"https://www.gravatar.com/avatar/{face}",
        "created_at": at,
        "_bot": False,
        "_machine_user": False,
        "_has_password": True,
    }


def member(user: Row, one: str, role: str, sso: str, at: str, seen: str | None) -> Row:
    """A member of the organization: its id is the user's (api.md 4.2); `one` is the membership's own uuid."""
    return {
        "id": user["id"],
        "name": user["name"],
        "email": user["email"],
        "role": role,
        "sso_mode": sso,
        "_uuid": one,
        "_user": user,
        "_complimentary": False,
        "_created_at": at,
        "_created_by": None,
        "_last_seen_at": seen,
        "_security": {"two_factor_enabled": role == "admin", "password_protected": True},
    }


def team(one: str, name: str, slug: str, at: str, by: Row, facts: Row) -> Row:
    """A team; `_members`, `_pipelines` and `_suites` are the bodies of its three lists."""
    row: Row = {
        "id": one,
        "graphql_id": gid("Team", one),
        "name": name,
        "slug": slug,
        "description": "",
        "privacy": "visible",
        "default": False,
        "default_member_role": "member",
        "members_can_create_pipelines": True,
        "members_can_create_suites": False,
        "members_can_create_registries": False,
        "members_can_destroy_registries": False,
        "members_can_destroy_packages": False,
        "created_at": at,
        "created_by": by,
        "_members": [],
        "_pipelines": [],
        "_suites": [],
    }
    row.update(facts)
    return row


def team_member(one: str, user: Row, role: str, at: str) -> Row:
    """A row of a team's members; `one` is the edge's own uuid, which only GraphQL tells."""
    told = {"user_id": user["id"], "user_name": user["name"], "role": role, "created_at": at}
    return {**told, "_uuid": one, "_user": user}


def team_pipeline(one: str, pipeline: Row, level: str, at: str) -> Row:
    """A row of a team's pipelines: level is read_only, build_and_read or manage_build_and_read."""
    told = {"pipeline_id": pipeline["id"], "pipeline_url": pipeline["url"], "access_level": level, "created_at": at}
    return {**told, "_uuid": one, "_pipeline": pipeline}


def team_suite(one: str, suite: str, url: str, levels: list[str], at: str) -> Row:
    """A row of a team's suites: access_level is a list (api.md 4.11)."""
    return {"suite_id": suite, "suite_url": url, "access_level": levels, "created_at": at, "_uuid": one}
