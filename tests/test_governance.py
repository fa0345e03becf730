"""What only administrators see, over HTTP into a DuckDB file, against the stand-in's own truth."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from graphql import FieldNode, Visitor, parse, visit

from buildkite_ci import graphql
from buildkite_ci.budget import cost
from buildkite_ci.catalog import TABLES, catalog, twin
from buildkite_ci.privacy import kind
from buildkite_ci.table import GraphQL
from buildkite_ci.tables import audit_events, invitation_teams, sso_authorizations
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.standin import Budgets, Organization, Standin, World
from buildkite_elt.standin.complexity import question
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.governance import Governance
from buildkite_elt.standin.graphql import schema
from buildkite_elt.standin.life import Life
from lively import data
from truth import flat, plain

PLENTY = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
Load = Callable[..., Outcome]


def loader(standin: Standin, file: Path, *show: str) -> Load:
    """`load(*tables)` of the only organization; all of these tables for none. show: as in Origin."""

    def into(*tables: str) -> Outcome:
        slugs = tuple(standin.world.organizations)
        origin = Origin(slugs, standin.token, standin.rest_url, standin.graphql_url, show)
        (outcome,) = load(origin, Target(database=file), tables or tuple(TRUTH), LONG_AGO, sleep=standin.clock.sleep)
        return outcome

    return into


def ask(file: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query, values).fetchall()


# The truth: the world's rows under the names of the columns.


def assigned(organization: Organization) -> Iterator[Row]:
    for one in organization.invitations.values():
        for team in one["teams"]:
            yield {
                "invitation_id": one["id"],
                "team_id": team["id"],
                "team_slug": team["slug"],
                "role": team["_role"],
                "graphql_id": None,
            }


def authorized(organization: Organization) -> Iterator[Row]:
    for member in organization.members.values():
        for one in member.get("_authorizations", ()):
            of = {"member_id": member["_uuid"], "user_id": member["id"], "sso_provider_id": one["_provider"]["id"]}
            yield one | of | {"graphql_id": None}


def members(organization: Organization) -> Iterator[Row]:
    for one in organization.members.values():
        user = one["_user"]
        yield {
            "id": one["_uuid"],
            "graphql_id": None,
            "user": user,
            "role": one["role"],
            "sso_mode": one["sso_mode"],
            "sso_authorizations_count": len(one.get("_authorizations", ())),
            **{name: user[f"_{name}"] for name in ("bot", "machine_user")},
            "password_set": user["_has_password"],
            **one["_security"],
            **{name: one[f"_{name}"] for name in ("complimentary", "created_at", "created_by")},
            "last_seen_at_buildkite": one["_last_seen_at"],
        }


def events(organization: Organization) -> Iterator[Row]:
    for one in organization.audit_events.values():
        actor, subject, way = one["actor"] or {}, one["subject"], one["context"]
        yield {
            **{name: one[name] for name in ("graphql_id", "occurred_at", "data")},
            "id": one["uuid"],
            "type": one["_type"],
            "actor_type": actor.get("_type", "").upper() or None,
            **{f"actor_{name}": actor.get(key) for name, key in PARTY.items()},
            "subject_type": subject["_type"],
            **{f"subject_{name}": subject[key] for name, key in PARTY.items()},
            "subject_name": None if "@" in subject["name"] else subject["name"],
            "subject_email": subject["name"] if "@" in subject["name"] else None,
            "context_type": way["type"],
            "request_ip_address": way["request_ip"],
            "request_user_agent": way.get("request_user_agent"),
            "request_api_access_token_id": way.get("_request_api_access_token_uuid"),
            "session_user_id": (way.get("_user") or {}).get("id"),
            "agent_id": way.get("_agent_uuid"),
            "organization_id": way.get("_organization_uuid"),
            **{name: way.get(f"_{name}") for name in CONTEXT},
        }


PARTY = {"id": "uuid", "graphql_id": "_graphql_id", "name": "name"}
CONTEXT = (
    *("session_created_at", "session_escalated_at", "session_ip_address"),
    *("authentication_type", "connection_state"),
)

TRUTH: dict[str, Callable[[Organization], Any]] = {
    "agent_tokens": lambda o: o.agent_tokens.values(),
    "api_access_tokens": lambda o: [one | {"scopes": sorted(one["scopes"])} for one in o.api_access_tokens.values()],
    "audit_events": events,
    "invitation_teams": assigned,
    "invitations": lambda o: [one | {"teams_count": len(one["teams"])} for one in o.invitations.values()],
    "member_security": members,
    "sso_authorizations": authorized,
    "sso_providers": lambda o: o.sso_providers.values(),
}
OURS = {"organization_slug", "last_seen_at", "more", "row_hash"}
MADE = {(name, "graphql_id") for name in ("invitation_teams", "member_security", "sso_authorizations")}
"""Global ids that the stand-in makes when it is asked; they are only looked at for being there."""


def wrong(file: Path, world: World) -> list[str]:
    """Every difference between the file, with nothing masked, and the world."""
    found = []
    for organization, (name, rows) in itertools.product(world.organizations.values(), TRUTH.items()):
        table, truth = catalog()[name], {}
        for row in rows(organization):
            told = dict(flat(row))
            truth[tuple(told.get(key, organization.slug) for key in table.key)] = told
        columns = [c.name for c in table.columns if c.name not in OURS]
        live = " AND _dlt_valid_to IS NULL" if table.load == "scd2" else ""
        names = ", ".join((*table.key, *columns))
        stored = ask(file, f"SELECT {names} FROM ci.{name} WHERE organization_slug = ?{live}", organization.slug)
        held = {row[: len(table.key)]: dict(zip(columns, row[len(table.key) :], strict=True)) for row in stored}
        found += [f"{name}: {key} is in one of both" for key in held.keys() ^ truth.keys()]
        if len(held) != len(stored):
            found.append(f"{name}: a key is there twice")
        for key in held.keys() & truth.keys():
            for column, value in held[key].items():
                right = value is not None if (name, column) in MADE else plain(value) == plain(truth[key].get(column))
                if not right:
                    found.append(f"{name}: {key} {column} is {value!r} and should be {truth[key].get(column)!r}")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


def versions(file: Path) -> dict[str, int]:
    return {name: ask(file, f"SELECT count(*) FROM ci.{name}")[0][0] for name in TRUTH}


def test_every_row_is_as_the_world_has_it_and_the_second_load_makes_no_version(file: Path) -> None:
    world = demo(days=16, pipelines=12, builds_per_day=1)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file, "emails", "ips")
        assert into().exit_code == 0
        assert wrong(file, world) == []
        first = versions(file)
        assert all(first.values())
        desk = Governance(Life(world, "acme-inc"))
        world.advance(timedelta(hours=5))
        desk.seen(next(iter(desk.organization.members.values())))
        desk.use(next(iter(desk.organization.api_access_tokens.values())), "192.0.2.77")
        assert into().exit_code == 0
        assert versions(file) == first
        assert standin.count().writes == 0


def test_every_column_holds_something_and_nothing_is_left_over(file: Path) -> None:
    with Standin(demo(days=16, pipelines=12, builds_per_day=1), budgets=PLENTY) as standin:
        loader(standin, file)()
    for name in TRUTH:
        columns = [column.name for column in catalog()[name].all_columns]
        (counts,) = ask(file, f"SELECT {', '.join(f'count({column})' for column in columns)} FROM ci.{name}")
        assert [column for column, n in zip(columns, counts, strict=True) if not n] == ["more"], name


def test_pages_are_turned(file: Path) -> None:
    """More of each than a page of its query holds."""
    world = empty()
    desk = Governance(Life(world, "acme"))
    saml = desk.sso_provider("saml")
    team = desk.life.team("Web")
    for at in range(25):
        desk.invite(f"person{at}@x.example", teams={team["slug"]: "member"})
        desk.authorize(desk.organization.members[desk.life.user(f"Member {at}")["id"]], saml)
        desk.sso_provider("github_app")
        world.advance(60)
    for at in range(110):
        desk.api_access_token(desk.life.somebody() or {}, f"Token {at}", "read_builds")
    with Standin(world, budgets=PLENTY) as standin:
        assert loader(standin, file, "emails", "ips")().exit_code == 0
    assert wrong(file, world) == []
    assert len(ask(file, "FROM ci.audit_events")) > 100


def test_what_is_private_is_masked(file: Path) -> None:
    with Standin(demo(days=16, pipelines=12, builds_per_day=1), budgets=PLENTY) as standin:
        loader(standin, file)()
        emails = {user["email"] for user in standin.world.users.values()}
    text = json.dumps([ask(file, f"FROM ci.{name}") for name in TRUTH], default=str, ensure_ascii=False)
    assert "…@acme.example" in text
    assert [one for one in (*emails, "new.hire@", "postmaster@", "198.51.100.9", "203.0.113.44") if one in text] == []


# History


def test_who_had_which_role_in_march(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version begins when a load sees it: so dlt's clock is the world's here."""
    world = empty(now=datetime(2026, 2, 20, tzinfo=UTC))
    ticks = itertools.count()
    now = "dlt.common.storages.load_package.increasing_precise_time"
    monkeypatch.setattr(now, lambda: world.clock.now().timestamp() + next(ticks) / 1000)
    desk = Governance(Life(world, "acme"))
    bob = desk.organization.members[desk.life.user("Bob")["id"]]
    invitation, saml = desk.invite("new@x.example"), desk.sso_provider("saml")
    token = desk.api_access_token(bob["_user"], "CLI", "read_builds")
    desk.api_access_token(bob["_user"], "Another", "read_builds")
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file)
        into()
        world.advance(timedelta(days=20))
        desk.set_role(bob, "admin")
        desk.accept(invitation)
        desk.enable(saml)
        desk.revoke_api_access_token(token)
        into()
        world.advance(timedelta(days=40))
        desk.set_role(bob, "member")
        desk.disable(saml, "Too dear")
        into()
    assert wrong_state(file) == []


AS_OF = "FROM ci.{} WHERE _dlt_valid_from <= $1 AND (_dlt_valid_to IS NULL OR _dlt_valid_to > $1)"
SEEN = {
    "2026-03-01": ("member", "pending", "created", 2),
    "2026-03-20": ("admin", "accepted", "enabled", 1),
    "2026-05-01": ("member", "accepted", "disabled", 1),
}
"""Bob's role, the invitation's state, the provider's, and how many API tokens there were, on that day."""


def wrong_state(file: Path) -> list[str]:
    found = []
    for day, seen in SEEN.items():
        asked = (
            ask(file, f"SELECT role {AS_OF.format('member_security')} AND user_name = 'Bob'", day),
            ask(file, f"SELECT state {AS_OF.format('invitations')}", day),
            ask(file, f"SELECT state {AS_OF.format('sso_providers')}", day),
            ask(file, f"SELECT count(*) {AS_OF.format('api_access_tokens')}", day),
        )
        told = tuple(rows[0][0] if len(rows) == 1 else rows for rows in asked)
        found += [] if told == seen else [f"{day}: {told}"]
    return found


# Who may read it


def test_others_get_the_rest_and_what_was_read_before_stays(file: Path) -> None:
    world = demo(days=16, pipelines=12, builds_per_day=1)
    with Standin(world, budgets=PLENTY) as standin:
        into = loader(standin, file, "emails", "ips")
        into()
        held = versions(file)
        next(iter(world.tokens.values())).admin = False
        outcome = into(*TRUTH, "members", "pipelines")
        assert outcome.exit_code == 3
        named = outcome.failed | outcome.skipped
        assert set(named) == set(TRUTH) - {"invitation_teams"}  # of the family invitations
        assert all(len(why.split()) > 2 for why in named.values())
        assert {"members", "pipelines"} <= outcome.rows.keys()
    assert versions(file) == held
    assert wrong(file, world) == []


# The queries


class Names(Visitor):
    """Every field of a document, and the key under which it is answered."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: set[str] = set()
        self.keys: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.fields.add(node.name.value)
        self.keys.add((node.alias or node.name).value)


SECRET = {
    *("token", "tokenCode", "tokenValue", "code", "secret", "secrets", "accessToken", "apiToken", "password"),
    *("certificate", "metadata", "xml", "webhookURL", "webhookUrl", "publicKey", "privateKey"),
}


def test_a_query_that_asks_for_a_secret_is_refused() -> None:
    asked = Names()
    visit(parse("{ a: token b { certificate } ... on C { hidden: password } }"), asked)
    assert asked.fields & SECRET == {"token", "certificate", "password"}


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.graphql")), ids=lambda path: path.stem)
def test_no_query_asks_for_a_secret(path: Path) -> None:
    asked = Names()
    visit(parse(path.read_text(encoding="utf-8")), asked)
    assert asked.fields & SECRET == set()
    assert [key for key in asked.keys if kind(graphql.snake(key)) == "never"] == []


QUERIED = [name for name in TRUTH if isinstance(catalog()[name].fetch, GraphQL)]


@pytest.mark.parametrize("name", QUERIED)
def test_a_query_stays_far_from_the_limit_and_costs_what_the_standin_says(name: str) -> None:
    request = graphql.read(twin(catalog()[name]))
    points = cost(request.document)
    assert points <= 4_000
    assert question(schema(), request.document, {}).complexity == points


def test_audit_events_since() -> None:
    """The variable that a load may give: from then on, the moment itself with it."""
    world = empty()
    desk = Governance(Life(world, "acme"))
    desk.agent_token("Old")
    world.advance(60)
    desk.agent_token("New")
    text = twin(catalog()["audit_events"]).read_text(encoding="utf-8")
    for since, subjects in ((desk.life.stamp(), ["New"]), (None, ["New", "Old"])):
        found = data(world, text, organization="acme", since=since)["organization"]["auditEvents"]["edges"]
        assert [edge["node"]["subject"]["name"] for edge in found] == subjects


# What nobody expects


@pytest.mark.parametrize("bad", [None, 5, "x", [], [1], {}, {"edges": 5}, {"edges": [None, 1, {"node": 3}, {}]}])
def test_odd_items_make_no_rows_and_no_error(bad: Any) -> None:
    assert list(invitation_teams.rows({"id": "i", "teams": bad})) == []
    assert list(sso_authorizations.rows({"id": "m", "user": bad, "sso": {"authorizations": bad}})) == []
    (event,) = audit_events.rows({"id": "e", "context": bad, "subject": bad, "data": "{not json"})
    assert event["data"] == "{not json"


@pytest.mark.parametrize(
    ("name", "email"),
    [("ada@example.com", True), ("deploy@prod", False), ("Ada <ada@example.com>", False), (None, False), (5, False)],
)
def test_a_subject_that_is_called_by_an_e_mail(name: Any, email: bool) -> None:
    (event,) = audit_events.rows({"subject": {"name": name, "uuid": "u"}})
    assert event["subject"] == {"uuid": "u", "email" if email else "name": name}
