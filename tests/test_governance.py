"""What only administrators see, over HTTP into a DuckDB file, against the stand-in's own truth."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphql import FieldNode, Visitor, parse, visit

from buildkite_ci import graphql
from buildkite_ci.budget import cost
from buildkite_ci.catalog import TABLES, catalog, twin
from buildkite_ci.privacy import kind
from buildkite_ci.table import GraphQL, Inside
from buildkite_ci.tables import audit_events, invitation_teams, sso_authorizations
from buildkite_elt.standin import Standin
from buildkite_elt.standin.complexity import question
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.governance import Governance
from buildkite_elt.standin.graphql import schema
from buildkite_elt.standin.life import Life
from governed import LONG_AGO, PLENTY, TRUTH, ask, loader, versions, wrong


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


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
        # As it is now; a version says how it was when it began.
        assert wrong(file, world, "audit_events", "member_activity", "api_access_token_activity") == []
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
        inside = {name for name in TRUTH if isinstance(catalog()[name].fetch, Inside)}
        assert set(named) == set(TRUTH) - inside
        assert outcome.failed == {}
        assert all("administrator" in why for why in named.values())
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


def test_a_later_load_reads_the_audit_log_from_the_newest_event_on(file: Path) -> None:
    world = empty()
    desk = Governance(Life(world, "acme"))
    for at in range(40):
        desk.agent_token(f"Old {at}")
    world.advance(timedelta(days=20))
    desk.agent_token("New")
    new = world.now()
    with Standin(world, budgets=PLENTY) as standin:
        into = partial(loader(standin, file, "emails", "ips"), "audit_events")
        for since, events in ((new - timedelta(days=9), 1), (new - timedelta(days=5), 1), (LONG_AGO, 41)):
            assert into(since=since).exit_code == 0
            assert ask(file, "SELECT count(*) FROM ci.audit_events WHERE subject_name <> 'Ada'") == [(events,)]
        before = len(standin.seen)
        world.advance(timedelta(hours=3))
        desk.agent_token("Newest")
        assert into().exit_code == 0
        points = [one.actual for one in standin.seen[before:] if "AuditEvents" in (one.document or "")]
        assert points == [12]  # two events: the query and the connection, and of each the node and what is in it
    assert wrong(file, world, "audit_events") == []


def test_agent_tokens_that_no_listing_holds_are_told(file: Path) -> None:
    world = empty()
    desk = Governance(Life(world, "acme"))
    for at in range(503):
        desk.agent_token(f"Token {at}")
    with Standin(world, budgets=PLENTY) as standin:
        outcome = loader(standin, file)("agent_tokens")
    assert outcome.exit_code == 3
    assert "3 more" in str(outcome.failed["agent_tokens"])
    assert ask(file, "SELECT count(*) FROM ci.agent_tokens") == [(500,)]
    assert ask(file, "SELECT reason FROM ci.load_coverage WHERE table_name = 'agent_tokens'") == [("error",)]


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
