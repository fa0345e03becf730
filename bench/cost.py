"""What each way of reading builds and jobs costs, and what it loses: a simulated week, and a backfill, on the stand-in.

    python -m bench.cost --write docs/benchmarks-cost.md

Every figure but the seconds at the end comes from the stand-in's own books and clock, not from how fast a machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from buildkite_elt.standin import Budgets, Organization, Standin, World
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life

from . import paper
from .peers import STRATEGIES, Copy, Facts, Opened, Place, build_facts, job_facts, moment

REAL = Budgets()
"""What Buildkite documents: 50 REST requests a minute and 5,000 points in five minutes for one user."""
FREE = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
"""For the last sync: nothing waits, so the world stands still while it is read, and what is wrong then is no race."""

NESTED = 2
"""Jobs in a build of dlt's backfill: fifty took over three gigabytes, and as they come inside the builds they change
no request."""


@dataclass(frozen=True)
class Size:
    """days: simulated. every: hours between two syncs. history: days before the first one. per_day: builds on a
    weekday. builds, jobs: of the backfill, and jobs in each build."""

    days: float = 7
    every: float = 6
    history: int = 16
    per_day: float = 50
    builds: int = 1_000
    jobs: int = 50


@dataclass(frozen=True)
class Result:
    """One strategy at one task. first: requests of the first sync. minutes: of the user's limit, whichever of the two
    is used up more; waited: simulated minutes in which a sync slept. failed: syncs that raised."""

    strategy: str
    task: str
    syncs: int
    failed: int
    first: int
    requests: int
    points: int
    refused: int
    minutes: float
    waited: float
    builds: int
    builds_missing: int
    builds_stale: int
    jobs: int
    jobs_missing: int
    jobs_stale: int
    seconds: float
    trouble: str = ""


def truth(organization: Organization, since: datetime) -> Copy:
    """What every copy should be: the builds created since then, and all attempts of their jobs."""
    copy = Copy()
    for build in organization.builds.values():
        made = moment(build["created_at"])
        if made and made >= since:
            copy.builds[build["id"]] = build_facts(build)
            copy.jobs |= {job["id"]: job_facts(job) for job in build["jobs"]}
    return copy


def compared(right: Mapping[str, Facts], found: Mapping[str, Facts]) -> tuple[int, int]:
    """How many rows are missing, and how many are there but not as they are."""
    return len(right.keys() - found.keys()), sum(found[one] != right[one] for one in right.keys() & found.keys())


class Count:
    """Runs syncs one by one; an error of one is noted, and the next goes on, as a scheduler would."""

    def __init__(self, standin: Standin, opened: Opened) -> None:
        self.standin, self.opened = standin, opened
        self.syncs, self.failed, self.first, self.waited, self.trouble = 0, 0, 0, 0.0, ""

    def sync(self) -> None:
        before = self.standin.clock.now()
        try:
            self.opened.sync()
        except Exception as error:
            self.failed += 1
            self.trouble = self.trouble or f"{type(error).__name__}: {error}"
        self.waited += (self.standin.clock.now() - before).total_seconds()
        self.syncs += 1
        self.first = self.first or self.standin.count().requests

    def result(self, strategy: str, task: str, right: Copy, began: float) -> Result:
        rest, graphql = self.standin.count("rest"), self.standin.count("graphql")
        copy = self.opened.copy()
        return Result(
            strategy,
            task,
            self.syncs,
            self.failed,
            self.first,
            rest.requests + graphql.requests,
            graphql.points,
            rest.refused + graphql.refused,
            max(rest.requests / REAL.rest_user, graphql.points * 5 / REAL.graphql_user),
            self.waited / 60,
            len(right.builds),
            *compared(right.builds, copy.builds),
            len(right.jobs),
            *compared(right.jobs, copy.jobs),
            time.monotonic() - began,
            self.trouble,
        )


def week(key: str, size: Size) -> Result:
    """A first sync of an organization with some history, then one every few hours while its days go by; the last one
    with no limits (FREE)."""
    world = demo(days=max(size.history, 16), builds_per_day=size.per_day)
    start = world.clock.now()

    def run(count: Count) -> None:
        times = int(size.days * 24 / size.every)
        for at in range(times + 1):
            due = start + timedelta(hours=size.every) * at
            world.advance(max(due - world.clock.now(), timedelta()))
            if at == times:
                count.standin.budgets = count.standin.meter.budgets = FREE
            count.sync()

    return measured(key, "week", world, "acme-inc", start - timedelta(days=max(size.history, 16)), run)


def backfill(key: str, size: Size) -> Result:
    """One sync of builds that ended long ago, spread over ten pipelines."""
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    jobs = min(size.jobs, NESTED) if key == "dlt" else size.jobs
    for at in range(10):
        life.history(
            life.pipeline(f"part-{at}"), size.builds // 10, jobs, now - timedelta(days=20), now - timedelta(days=1)
        )
    return measured(key, "backfill", world, "acme", now - timedelta(days=25), Count.sync)


def measured(
    key: str, task: str, world: World, organization: str, since: datetime, run: Callable[[Count], None]
) -> Result:
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        Standin(world, budgets=REAL) as standin,
        STRATEGIES[key][1](Place(standin, organization, since, Path(folder))) as opened,
    ):
        count = Count(standin, opened)
        run(count)
        return count.result(key, task, truth(world.organizations[organization], since), began)


TASKS = {"week": week, "backfill": backfill}


def task(named: tuple[str, str], size: Size) -> Result:
    return TASKS[named[0]](named[1], size)


def results(keys: list[str], tasks: list[str], size: Size, processes: int) -> list[Result]:
    """Every strategy at every task, each in a world of its own."""
    named = [(one, key) for one in tasks for key in keys]
    if processes == 1:
        return [task(one, size) for one in named]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(task, size=size), named))


def main() -> None:
    size = Size()
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), help="these strategies")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    for name, value in asdict(size).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="the figures alone")
    parser.add_argument("--write", type=Path, help="a page with the tables, and how they came about")
    parser.add_argument("--date", default="", help="told on the page")
    parser.add_argument("--machine", default=f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}")
    asked = parser.parse_args()
    size = Size(**{name: getattr(asked, name) for name in asdict(size)})
    found = results(asked.only, asked.task, size, asked.processes)
    if asked.json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
        return
    versions = ", ".join(f"{name} {version(name)}" for name in ("buildkite-elt", "dlt", "duckdb", "httpx"))
    about = f"{asked.machine}; Python {platform.python_version()}, {versions}"
    sys.stdout.write(paper.tables([asdict(one) for one in found]) + "\n")
    for one in found:
        sys.stderr.write(f"{one.task} {one.strategy}: {one.seconds:.0f} s {one.trouble}\n")
    if asked.write:
        page = paper.page([asdict(one) for one in found], asdict(size) | {"nested": NESTED}, asked.date, about)
        asked.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
