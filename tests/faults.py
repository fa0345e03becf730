"""What the tests of faults, races and crashes share: a small world, and a warehouse in memory that needs no dlt."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.pipeline import StateInjectableContext

from buildkite_ci import rest
from buildkite_ci.catalog import catalog, families
from buildkite_ci.errors import BuildkiteError
from buildkite_ci.extract import Run
from buildkite_ci.table import Table
from buildkite_ci.wire import Wire
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.standin import Budgets, Organization, Standin, World
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from buildkite_elt.standin.log_trouble import LOG_KINDS
from buildkite_elt.standin.trouble import KINDS
from truth import PASSING, TRUTH, Row, compared

SCALE = int(os.environ.get("BUILDKITE_ELT_SCALE", "1"))
"""10: everything, as a nightly run does; 1: what fits into a minute."""

PLENTY = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
REST_KINDS = [kind for kind in KINDS if not kind.startswith("graphql") and kind not in LOG_KINDS]
GRAPHQL_KINDS = [kind for kind in KINDS if not kind.startswith(("link", "page")) and kind not in LOG_KINDS]
STALLS = {"stall", "stall-mid-body"}


def world(builds: int = 17) -> World:
    """Some of everything, more of it than a page of five; three builds are open and stay so."""
    made = empty()
    life = Life(made, "acme")
    clusters = [life.cluster("Linux"), life.cluster("Mac")]
    for key in ("gpu", "soak", "deploy", "spare", "slow", "fast"):
        life.queue(clusters[0], key)
    first = next(iter(life.organization.queues.values()))
    for _ in range(7):
        life.agent(first)
    pipelines = [life.pipeline(f"p{n}", cluster=clusters[n % 2]) for n in range(7)]
    for n in range(6):
        life.schedule(pipelines[0], label=f"S{n}")
    users = [life.user(f"User {n}") for n in range(8)]
    for n in range(2):
        team = life.team(f"Team {n}")
        for user, pipeline in zip(users, pipelines, strict=False):
            life.team_has(team, user, "member")
            life.team_has(team, pipeline, "read_only")
    life.organization.emojis += [{"name": "tada", "url": "https://example.com/tada.png"}]
    for n in range(builds):
        made.advance(60)
        life.build(pipelines[n % 7], 1, takes=30, state="running" if n % 7 == 3 else "passed")
    made.advance(3600)
    return made


def go_on(made: World) -> None:
    """A day later: new builds, an open one ended, a renamed pipeline, a member and a schedule less."""
    life, acme = Life(made, "acme"), made.organizations["acme"]
    life.finish(next(one for one in acme.builds.values() if one["state"] == "running"))
    made.advance(86400)
    pipelines = list(acme.pipelines.values())
    for n in range(7):
        made.advance(60)
        life.build(pipelines[n], 1, takes=30)
    life.rename_pipeline(pipelines[2], "renamed")
    acme.schedules.popitem()
    leaver = list(acme.members)[3]
    del acme.members[leaver]
    for team in acme.teams.values():
        team["_members"] = [one for one in team["_members"] if one["user_id"] != leaver]
    made.advance(3600)


@contextmanager
def small_pages(size: int) -> Iterator[None]:
    """Listings in pages of `size`, so that a small world has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("buildkite_ci.rest.PER_PAGE", size)
        patch.setattr("buildkite_ci.sync.walk", partial(rest.walk, size=size))
        yield


@contextmanager
def wired(standin: Standin, *, tries: int = 3, timeout: float = 10.0) -> Iterator[Wire]:
    """A wire whose waiting moves the stand-in's clock."""
    with Wire(
        standin.token, standin.rest_url, standin.graphql_url, sleep=standin.clock.sleep, tries=tries, timeout=timeout
    ) as wire:
        yield wire


@dataclass
class Memory:
    """What a warehouse would hold after loads: rows by table, and dlt's state. A load is in it whole or not at all."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def load(self, wire: Wire, names: Iterable[str] = (), at_most: int | None = None) -> Run:
        """One load of organization acme as loads.load does it; raises what the extraction raises."""
        run = Run(wire, "acme", LONG_AGO, at_most=at_most, forgiving=True)
        wanted = set(names) or set(catalog())
        while True:
            run.report.more = False
            self._package(run, wanted)
            if not run.report.more:
                return run
            run.sweep, wanted = False, {"builds"}

    def _package(self, run: Run, wanted: set[str]) -> None:
        state, rows = deepcopy(self.state), dict(self.rows)
        held = Container().injectable_context(StateInjectableContext(state=state))  # type: ignore[arg-type]
        named = Container().injectable_context(ConfigSectionContext(source_state_key="buildkite_ci"))
        with held, named:
            for family, readers in families(catalog().values()).items():
                if family in wanted:
                    self._family(run, family, readers, rows)
        self.state, self.rows = state, rows

    def _family(self, run: Run, family: str, readers: list[Table], rows: dict[str, list[Row]]) -> None:
        found: dict[str, list[Row]] = {table.name: [] for table in readers}
        for page in run.pages(catalog()[family]):
            for table in readers:
                found[table.name] += run.read(table, page).to_pylist()
                gone = set(page.gone)
                rows[table.name] = [
                    row | ({"gone_at": page.at} if row.get("id") in gone and table.name == "builds" else {})
                    for row in rows.get(table.name, [])
                ]
        for table in readers:
            rows[table.name] = _landed(table, rows.get(table.name, []), found[table.name], family in run.report.empty)

    def wrong(self, world: World, names: Iterable[str] = ()) -> list[str]:
        """Every difference from the stand-in's world, a line each."""
        acme, found = world.organizations["acme"], []
        with world.lock:
            for table in names or [*TRUTH, *MORE]:
                key, bodies = (TRUTH | MORE)[table]
                truth = {tuple(b[k] for k in key): b for b in bodies(acme)}
                rows = self.rows.get(table, [])
                if table == "agents":
                    rows = [row for row in rows if (row["id"],) in truth]
                found += list(compared(table, key, truth, rows))
            if not names and {row["range"] for row in self.rows.get("webhook_ips", [])} != set(world.webhook_ips):
                found.append("webhook_ips: not those of the world")
        return [one for one in found if not PASSING.search(re.sub(r": \(.*?,?\)", "", one).split(" is ")[0])]


def _landed(table: Table, old: list[Row], new: list[Row], empty: bool) -> list[Row]:
    """What dlt makes of it: merged by key, a snapshot replaced (what came twice in it stays twice), or appended."""
    if table.load == "append":
        return old + new
    if table.load in ("scd2", "replace"):
        return new if new or empty else old
    return list({tuple(row[k] for k in table.key): row for row in old + new}.values())


def _listed(acme: Organization) -> Iterable[Row]:
    return [one for one in acme.agents.values() if one["connection_state"] in ("connected", "stopping")]


MORE: dict[str, tuple[tuple[str, ...], Callable[[Organization], Iterable[Row]]]] = {"agents": (("id",), _listed)}


def into(standin: Standin, target: Target, *tables: str, slug: str = "acme") -> Outcome:
    """One load of an organization, through dlt into DuckDB, in this process."""
    origin = Origin((slug,), standin.token, standin.rest_url, standin.graphql_url)
    [outcome] = load(origin, target, tables, LONG_AGO, sleep=standin.clock.sleep)
    return outcome


def tried(act: Callable[[], Any]) -> Any:
    """What `act` gives, or the error of ours that it raised."""
    try:
        return act()
    except BuildkiteError as error:
        return error
