"""The listings of members and teams, and what each filter lets through (api.md 5.11, 5.12)."""

from __future__ import annotations

from .connection import Connection
from .look import At, Look, within
from .sift import Arguments, has, listing, one_of
from .world import Organization, Row


def members(look: Look, at: At, a: Arguments) -> Connection:
    org, security = at.home, a.get("security") or {}
    mode = (a.get("sso") or {}).get("mode")
    names = {"twoFactorEnabled": "two_factor_enabled", "passwordProtected": "password_protected"}
    quiet = {"createdAtTo": a.get("inactiveSince")}
    team = next((one for one in org.teams.values() if one["slug"] == str(a.get("team")).removeprefix("!")), None)
    in_team = {one["user_id"] for one in (team or {}).get("_members", ())}
    away = str(a.get("team")).startswith("!")
    rows = [
        row
        for row in org.members.values()
        if (a.get("email") is None or row["email"] == a["email"])
        and (has(a.get("search"), row["name"]) or has(a.get("search"), row["email"]))
        and one_of(str(row["role"]).upper(), a.get("role"))
        and all((row.get("_security") or {}).get(names[key]) is value for key, value in security.items())
        and (mode is None or str(row.get("sso_mode")).upper() == mode)
        and (a.get("team") is None or (row["id"] in in_team) is not away)
        and (row.get("_last_seen_at") is None or within(row, quiet, "_last_seen_at"))
    ]
    return listing("OrganizationMember", org, rows, a, "name" if a.get("order") == "NAME" else "")


def teams(look: Look, at: At, a: Arguments) -> Connection:
    """`pipeline` and `user` are selectors: a slug, and a user's uuid."""
    rows = [
        row
        for row in at.home.teams.values()
        if one_of(str(row["privacy"]).upper(), a.get("privacy"))
        and has(a.get("search"), row["name"])
        and (a.get("user") is None or any(one["user_id"] == a["user"] for one in row.get("_members", ())))
        and (a.get("pipeline") is None or _has_pipeline(at.home, row, a["pipeline"]))
    ]
    return listing("Team", at.org, rows, a, "name" if a.get("order") == "NAME" else "")


def _has_pipeline(org: Organization, team: Row, slug: str) -> bool:
    pipeline = org.pipeline(slug)
    return pipeline is not None and any(one["pipeline_id"] == pipeline["id"] for one in team.get("_pipelines", ()))


def member_teams(look: Look, at: At, a: Arguments) -> Connection:
    rows = [
        {"_team": team, "id": one["user_id"], **one}
        for team in at.home.teams.values()
        for one in team.get("_members", ())
        if one["user_id"] == at.row["id"]
    ]
    return listing("TeamMember", at.org, rows, a)


def team_members(look: Look, at: At, a: Arguments) -> Connection:
    rows = [
        {"_team": at.row, "id": one["user_id"], **one}
        for one in at.row.get("_members", ())
        if one_of(str(one["role"]).upper(), a.get("role")) and has(a.get("search"), one["user_name"])
    ]
    return listing("TeamMember", at.org, rows, a, "user_name" if a.get("order") == "NAME" else "")


def pipelines_of_team(look: Look, at: At, a: Arguments) -> Connection:
    rows = [{"_team": at.row, "id": one["pipeline_id"], **one} for one in at.row.get("_pipelines", ())]
    rows = [row for row in rows if has(a.get("search"), (at.home.pipelines.get(row["id"]) or {}).get("name"))]
    return listing("TeamPipeline", at.org, rows, a)


def teams_of_pipeline(look: Look, at: At, a: Arguments) -> Connection:
    rows = [
        {"_team": team, "id": one["pipeline_id"], **one}
        for team in at.home.teams.values()
        for one in team.get("_pipelines", ())
        if one["pipeline_id"] == at.row["id"] and has(a.get("search"), team["name"])
    ]
    return listing("TeamPipeline", at.org, rows, a)


def authorizations(look: Look, at: At, a: Arguments) -> Connection | None:
    """Null for somebody else's, unless the token is an administrator's."""
    if at.row["authorizations"] is None:
        return None
    rows = [row for row in at.row["authorizations"] if one_of(str(row["state"]).upper(), a.get("state"))]
    return listing("SSOAuthorization", at.org, rows, a)
