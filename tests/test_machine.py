"""T6: a state machine of everything that happens at Buildkite, of faults, of crashes and of loads in between.

After a load that calls itself a success every row is the truth, but for what changed while the load ran; what is
called covered has been read, at every step; at the end, without faults, one load makes everything right.
BUILDKITE_ELT_SCALE=10 takes many more and longer sequences, others in each run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import httpx
import orjson
import pytest
from dlt import Pipeline
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from acts import ACTS, small_world
from buildkite_ci.budget import Budget
from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BuildkiteError
from buildkite_ci.extract import Run
from buildkite_ci.sync import State
from buildkite_ci.times import instant
from buildkite_ci.wire import Wire
from buildkite_elt import known
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Organization, Standin
from buildkite_elt.standin.course import settled
from buildkite_elt.standin.life import Life
from buildkite_elt.standin.world import public
from faults import LONG_AGO, MORE, PLENTY, REST_KINDS, SCALE, STALLS, Memory, small_pages
from hand_made import TLS
from truth import TRUTH, Row, stored, wrong

PICK = st.integers(0, 999)
ACT = st.sampled_from([*ACTS, *("begin", "retry", "unblock", "delete_build", "finish") * 2])
HAPPENINGS = st.lists(st.tuples(st.integers(1, 30), ACT, PICK), max_size=3)
"""What happens between two requests of a load: (after which request, act, to whom)."""
WAITS = st.sampled_from([0.001, 1.0, 61.0, 900.0, 7200.0, 86400.0, 9 * 86400.0])
DAYS = st.sampled_from([1, 2, 3, 365])
"""Days back from when the first load may be: builds go back three."""
AT_MOST = st.sampled_from([3, 11, 1000])
KINDS = st.sampled_from([kind for kind in REST_KINDS if kind not in STALLS | {"slow"}])
FAMILIES = ("builds", "pipelines", "agents", "members", "teams", "clusters", "cluster_queues", "team_members")
TABLES = st.lists(st.sampled_from(FAMILIES), unique=True, min_size=1)


def bodies(organization: Organization) -> dict[str, bytes]:
    """Every row that there is now, by its name in truth.py's lines: what it says of itself, without its neighbours."""
    return {
        f"{table}: {tuple(body[k] for k in key)} ": orjson.dumps(
            public({k: v for k, v in body.items() if k not in ("jobs", "pipeline", "agent")})
        )
        for table, (key, of) in (TRUTH | MORE).items()
        for body in of(organization)
    }


class Crash(BaseException):
    """The process ends here."""


class Brittle(httpx.HTTPTransport):
    """Ends the process at the request that `after` counts down to; a load that never ends, soon."""

    after = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.after -= 1
        if self.after == 0:
            raise Crash
        assert self.after > -2000, "a load that goes round in a circle"
        return super().handle_request(request)


class Machine(RuleBasedStateMachine):
    """The rules; a subclass says what a load is, of which families, and where its rows are."""

    families: tuple[str, ...] = FAMILIES

    def __init__(self) -> None:
        super().__init__()
        self.world = small_world()
        self.life, self.acme = Life(self.world, "acme"), self.world.organizations["acme"]
        self.began = self.world.now()
        self.ends = ExitStack()
        self.standin = self.ends.enter_context(Standin(self.world, budgets=PLENTY))
        self.changed: set[str] = set()
        self.last: dict[str, bytes] = {}

    def attempt(self, tables: Sequence[str], since: datetime, at_most: int, crash: int) -> bool:
        """One load, crashing at a request; whether it called itself a success."""
        raise NotImplementedError

    def stored(self, table: str) -> list[Row]:
        raise NotImplementedError

    def wrong(self, tables: Sequence[str]) -> list[str]:
        raise NotImplementedError

    def covered(self) -> list[tuple[datetime, datetime]]:
        raise NotImplementedError

    @initialize(size=st.sampled_from([5, 8, 100]))
    def pages(self, size: int) -> None:
        self.ends.enter_context(small_pages(size))

    @rule(acts=st.lists(st.tuples(ACT, PICK, st.sampled_from([0, 0, 7200])), min_size=1, max_size=6))
    def happens(self, acts: list[tuple[str, int, float]]) -> None:
        for act, pick, seconds in acts:
            ACTS[act](self.life, pick)
            self.world.advance(seconds)

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(kind=KINDS, nth=st.integers(1, 12), times=st.sampled_from([1, 2, 9]))
    def fault(self, kind: str, nth: int, times: int) -> None:
        self.standin.trouble.add(kind, nth=nth, times=times)

    @rule()
    def calm(self) -> None:
        self.standin.trouble.clear()

    @rule(tables=TABLES, days=DAYS, at_most=AT_MOST, happenings=HAPPENINGS)
    def load(self, tables: list[str], days: int, at_most: int, happenings: list[tuple[int, str, int]]) -> None:
        self.loaded(tables, days, at_most, 0, happenings)

    @rule(tables=TABLES, days=DAYS, at_most=AT_MOST, crash=st.integers(1, 12))
    def crash(self, tables: list[str], days: int, at_most: int, crash: int) -> None:
        self.loaded(tables, days, at_most, crash, [])

    @rule(days=DAYS)
    def quiet_load(self, days: int) -> None:
        """Without trouble it has to succeed."""
        self.standin.trouble.clear()
        assert self.loaded(self.families, days, 1000, 0, [])

    def loaded(
        self, tables: Sequence[str], days: int, at_most: int, crash: int, happenings: list[tuple[int, str, int]]
    ) -> bool:
        tables = [table for table in tables if table in self.families] or self.families[:1]
        since, first = self.began - timedelta(days=days), len(self.standin.seen)

        def between(number: int, _: object) -> None:
            for after, act, pick in happenings:
                if number == first + after:
                    ACTS[act](self.life, pick)
                    self.note()

        self.world.settle()
        self.changed, self.last = set(), bodies(self.acme)
        self.standin.trouble.watchers[:] = [between]
        done = self.attempt(tables, since, at_most, crash)
        self.standin.trouble.watchers.clear()
        self.note()
        if done:
            held = {table for table in TRUTH | MORE if catalog()[table].family in tables}
            assert self.excused(self.wrong(sorted(held)), since) == []
        return done

    def note(self) -> None:
        """Remember which rows are not as they were."""
        now = bodies(self.acme)
        self.changed |= {name for name in self.last.keys() | now.keys() if self.last.get(name) != now.get(name)}
        self.last = now

    def excused(self, lines: list[str], since: datetime) -> list[str]:
        """What is wrong and was not bound to be: what changed while the load ran, what was created before `since` and
        never read, and builds that were deleted long after they ended, with their jobs, which a load cannot see."""
        before = {i for i, build in self.acme.builds.items() if instant(build["created_at"]) < since}
        old = {("builds", i) for i in before} | {("jobs", j["id"]) for b, j in self.acme.jobs() if b["id"] in before}
        ended = {("builds", row["id"]) for row in self.stored("builds") if settled(row)}
        below = {("jobs", row["id"]) for row in self.stored("jobs") if row["build_id"] not in self.acme.builds}
        fine = {f"{table}: {(key,)} is missing" for table, key in old}
        fine |= {f"{table}: {(key,)} is there and should not be" for table, key in ended | below}
        return [line for line in lines if line not in fine and not line.startswith(tuple(self.changed))]

    @invariant()
    def what_is_called_covered_was_read(self) -> None:
        spans, held = self.covered(), {row["id"] for row in self.stored("builds")}
        assert spans == sorted(spans)
        assert all(end <= self.world.now() for _, end in spans)
        for one, build in self.acme.builds.items():
            created = instant(build["created_at"])
            assert one in held or not any(begin <= created < end for begin, end in spans), one

    @invariant()
    def keys_are_unique(self) -> None:
        for name, table in catalog().items():
            keys = Counter(tuple(row[k] for k in table.key) for row in self.stored(name))
            assert max(keys.values(), default=1) == 1, name

    def teardown(self) -> None:
        try:
            self.quiet_load(365)
            self.world.advance(30 * 86400)
            self.quiet_load(365)
        finally:
            self.ends.close()


class Copy(Memory):
    """A warehouse in memory, as loads.load fills one."""

    def sync(self, wire: Wire, names: Sequence[str], since: datetime, at_most: int) -> Run:
        run, wanted = Run(wire, "acme", since, at_most=at_most, forgiving=True), set(names)
        while wanted:
            run.report.more = False
            self._package(run, wanted)
            run.sweep, wanted = False, {"builds"} if run.report.more and not run.report.failed else set()
        return run


class Extraction(Machine):
    """Loads without dlt: quick, so that there can be many."""

    def __init__(self) -> None:
        super().__init__()
        self.copy, self.transport = Copy(), Brittle(verify=TLS)
        clock = self.standin.clock
        self.wire = self.ends.enter_context(
            Wire(
                self.standin.token,
                self.standin.rest_url,
                budget=Budget(lambda: clock.now().timestamp()),
                sleep=clock.sleep,
                tries=3,
                inner=self.transport,
            )
        )

    def attempt(self, tables: Sequence[str], since: datetime, at_most: int, crash: int) -> bool:
        self.transport.after = crash
        try:
            report = self.copy.sync(self.wire, tables, since, at_most).report
        except (Crash, BuildkiteError):
            return False
        return not (report.failed or report.skipped or report.waiting)

    def stored(self, table: str) -> list[Row]:
        return self.copy.rows.get(table, [])

    def wrong(self, tables: Sequence[str]) -> list[str]:
        return self.copy.wrong(self.world, tables)

    def covered(self) -> list[tuple[datetime, datetime]]:
        kept = self.copy.state.get("sources", {}).get("buildkite_ci", {}).get("acme", {}).get("builds", {})
        return State(kept, LONG_AGO, timedelta()).covered


class Loads(Machine):
    """Loads as they are, by dlt into DuckDB; a crash may come with a page, or when a package is loaded."""

    families = ("builds", "pipelines", "members", "agents")

    def __init__(self) -> None:
        super().__init__()
        self.target = Target(database=Path(self.ends.enter_context(TemporaryDirectory())) / "buildkite.duckdb")
        self.patch = self.ends.enter_context(pytest.MonkeyPatch.context())
        self.held: dict[str, list[Row]] = {}

    def attempt(self, tables: Sequence[str], since: datetime, at_most: int, crash: int) -> bool:
        left = crash

        def countdown(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash

        def loading(pipe: Pipeline, *given: Any, **named: Any) -> Any:
            if crash % 3 == 0:
                countdown()
            return load_packages(pipe, *given, **named)

        load_packages = Pipeline.load
        self.held.clear()
        self.patch.setattr("buildkite_elt.loads.PACKAGE", at_most)
        self.patch.setattr(Pipeline, "load", loading)
        origin = Origin(("acme",), self.standin.token, self.standin.rest_url, self.standin.graphql_url)
        told = countdown if crash % 3 else None
        try:
            [outcome] = load(origin, self.target, tuple(tables), since, progress=told, sleep=self.standin.clock.sleep)
        except (Crash, BuildkiteError):
            return False
        finally:
            self.patch.setattr(Pipeline, "load", load_packages)
        return outcome.exit_code == 0

    def stored(self, table: str) -> list[Row]:
        if table in TRUTH | MORE and table not in self.held and self.target.database.exists():
            with suppress(duckdb.CatalogException, duckdb.InvalidInputException):  # not there yet
                self.held[table] = stored(self.target.database, table, "acme")
        return self.held.setdefault(table, [])

    def wrong(self, tables: Sequence[str]) -> list[str]:
        return wrong(self.target.database, self.world, "acme", [table for table in tables if table in TRUTH])

    def covered(self) -> list[tuple[datetime, datetime]]:
        return State(known.read(self.target, "acme", LONG_AGO, {}).kept, LONG_AGO, timedelta()).covered


def run(machine: type[Machine], examples: int, steps: int) -> None:
    """Sequences that are the same in every run, unless there is time for others."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=SCALE == 1,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("later", [0, 7200])
def test_a_package_that_the_builds_of_one_moment_fill_is_neither_the_last_nor_read_for_ever(later: float) -> None:
    """Found by the machine: a page that covers no time, and is a whole package."""
    machine = Extraction()
    try:
        machine.pages(5)
        machine.happens([("burst", 490, later)])
        assert machine.loaded(FAMILIES, 365, 3, 0, [])
    finally:
        machine.ends.close()


@pytest.mark.slow
def test_extraction_ends_with_the_truth_whatever_happens() -> None:
    run(Extraction, 40 if SCALE == 1 else 1500, 30)


@pytest.mark.slow
def test_loads_end_with_the_truth_whatever_happens() -> None:
    run(Loads, *((4, 12) if SCALE == 1 else (150, 30)))
