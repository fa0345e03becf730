"""`check`: who the token is, what it can fill, what it lacks, what it has too much, and what is left of the limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import NotFound, ScopeMissing
from buildkite_ci.privacy import Privacy
from buildkite_ci.wire import Wire

from . import config, show

TOO_MUCH = re.compile(r"(?:write|delete)_")


def check(wire: Wire, wanted: Sequence[str] = ()) -> dict[str, Any]:
    """Ask, and tell as one JSON object; `tables` holds for each table the scope that is missing, "" for none.

    wanted: the organizations that are configured. Raises NotFound where the token does not see one of them.
    """
    token = wire.get("access-token", shape=dict).body
    scopes = sorted(set(map(str, token.get("scopes") or wire.scopes or ())))
    organizations: list[str] | None = None
    try:
        organizations = config.seen(wire)
        asked = wanted or organizations
    except ScopeMissing:
        asked = wanted
    for slug in wanted:
        if organizations is not None and slug not in organizations:
            raise NotFound(f"The organization {slug!r}", f"this token sees {', '.join(organizations) or 'none'}")
    person = token.get("user") if isinstance(token.get("user"), dict) else {}
    return {
        "token": {
            "uuid": token.get("uuid"),
            "description": token.get("description"),
            "user": person.get("name"),
            "email": Privacy().email(str(person["email"])) if person.get("email") else None,
            "created_at": token.get("created_at"),
            "expires_at": token.get("expires_at"),
            "scopes": scopes,
        },
        "organizations": organizations,
        "tables": {name: "" if table.scope in ("", *scopes) else table.scope for name, table in catalog().items()},
        "too_much": [scope for scope in scopes if TOO_MUCH.match(scope) or scope == "graphql"],
        "limits": limits(wire, asked, scopes),
    }


def limits(wire: Wire, organizations: Sequence[str], scopes: Sequence[str]) -> list[dict[str, Any]]:
    """What is left of each bucket, as the headers of an answer tell it: of each organization, and of the user."""
    found: list[dict[str, Any]] = []
    if "read_organizations" in scopes:
        for slug in organizations:
            wire.get(f"organizations/{slug}", shape=dict)
            found += _left(wire, "rest", "RateLimit", slug)
    found = found or _left(wire, "rest", "RateLimit", "organization")
    found += _left(wire, "rest", "RateLimit-User", "user")
    if "graphql" in scopes:
        wire.post({"query": "query Check { __typename }"})
        found += _left(wire, "graphql", "RateLimit", "organization")
        found += _left(wire, "graphql", "RateLimit-User", "user")
    return found


def _left(wire: Wire, api: str, header: str, whose: str) -> list[dict[str, Any]]:
    """One bucket as a row; none where no answer told of it."""
    bucket = wire.budget.buckets.get((api, header))
    if bucket is None:
        return []
    reset = max(0, round(bucket.until - wire.budget.now()))
    return [{"api": api, "whose": whose, "left": bucket.left, "limit": bucket.limit, "reset_seconds": reset}]


def missing(found: dict[str, Any]) -> dict[str, list[str]]:
    """Scope that the token lacks -> the tables that wait for it."""
    lacking: dict[str, list[str]] = {}
    for name, scope in found["tables"].items():
        if scope:
            lacking.setdefault(scope, []).append(name)
    return lacking


def tell(found: dict[str, Any]) -> None:
    """`check`'s answer for people."""
    token = {name: value for name, value in found["token"].items() if name != "scopes" and value}
    seen = found["organizations"]
    token["organizations"] = "not told without read_organizations" if seen is None else ", ".join(seen) or "none"
    if "expires_at" not in token:
        token["expires_at"] = "never, or not told"
    show.pairs(token)
    lacking = missing(found)
    able = [name for name, scope in found["tables"].items() if not scope]
    show.say(f"\nCan fill {len(able)} of {len(found['tables'])} tables: {', '.join(able)}", "" if lacking else "green")
    for scope, tables in lacking.items():
        show.say(f"Lacks {scope}, so these stay empty: {', '.join(tables)}", "yellow")
    for scope in found["too_much"]:
        why = (
            "all or nothing, so it may also change whatever its user may; leave it out and "
            + ", ".join(name for name, table in catalog().items() if table.scope == "graphql")
            + " stays empty"
            if scope == "graphql"
            else "nothing here writes; a token without it is safer"
        )
        show.say(f"Has {scope}: {why}", "yellow")
    show.say("")
    show.table(("api", "limit of", "left", "of", "full again in (s)"), [list(one.values()) for one in found["limits"]])
