"""SIGKILL at any instant of a load: who keeps to completed loads finds old or new, and the next load makes it right.

Eight points, forty with BUILDKITE_ELT_SCALE=10: after the k-th request, and (where strace is) at the k-th rename,
sync or write of the process.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_elt.loads import Target
from buildkite_elt.standin import Standin
from faults import PLENTY, SCALE, go_on, into, small_pages, world
from truth import wrong

TABLES = ("builds", "jobs", "pipelines", "team_members")
STRACE = shutil.which("strace")
CALLS = ("rename", "pwrite64", "fdatasync")
SMALL = """
from functools import partial
from buildkite_ci import rest, sync
from buildkite_elt import loads
from buildkite_elt.cli import main
sync.walk, loads.PACKAGE = partial(rest.walk, size=25), 25
main()
"""
"""The command, in packages of twenty-five builds."""

Seen = dict[str, tuple[Any, ...]]


@dataclass
class Scene:
    """A stand-in that stands still, a file that a first load of the world before filled, and both as builds."""

    standin: Standin
    old: Path
    before: Seen
    after: Seen
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    """How often a whole load, the first or the second, asks ("request"), or its busiest thread calls the kernel: strace
    counts the calls of each thread by themselves."""

    def copy(self, which: str, file: Path) -> Path:
        file.unlink(missing_ok=True)
        if which == "second":
            shutil.copy(self.old, file)
        return file

    def start(self, file: Path, *words: str) -> subprocess.Popen[bytes]:
        """A load into `file` in a process of its own, under `words`."""
        command = [*words, sys.executable, "-c", SMALL, "load", *TABLES, "-o", "acme", "-d", str(file), "--quiet"]
        told = {"TOKEN": self.standin.token, "REST": self.standin.rest_url, "GRAPHQL": self.standin.graphql_url}
        names = {"TOKEN": "BUILDKITE_API_TOKEN", "REST": "BUILDKITE_REST_URL", "GRAPHQL": "BUILDKITE_GRAPHQL_URL"}
        env = os.environ | {names[key]: value for key, value in told.items()}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            [*command, "--since", "2020-01-01"], env=env, cwd=file.parent, stdout=quiet, stderr=quiet
        )


def builds(standin: Standin) -> Seen:
    """Each build as a reader may find it: its state, and its jobs with theirs."""
    acme = standin.world.organizations["acme"]
    return {
        one["id"]: (one["state"], tuple(sorted((job["id"], job["state"]) for job in one["jobs"])))
        for one in acme.builds.values()
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("kill")
    with Standin(world(builds=40), budgets=PLENTY) as standin:
        before = builds(standin)
        with small_pages(25):
            assert into(standin, Target(database=folder / "old.duckdb"), *TABLES).exit_code == 0
        go_on(standin.world)
        scene = Scene(standin, folder / "old.duckdb", before, builds(standin))
        for which in ("first", "second"):
            scene.counts |= counted(scene, which, scene.copy(which, folder / f"{which}.duckdb"))
        yield scene


def counted(scene: Scene, which: str, file: Path) -> dict[tuple[str, str], int]:
    scene.standin.seen.clear()
    trace = file.with_suffix(".calls")
    strace = [str(STRACE), "-f", "--seccomp-bpf", "-qq", "-e", f"trace={','.join(CALLS)}", "-o", str(trace)]
    assert scene.start(file, *(strace if STRACE else ())).wait(300) == 0
    text = trace.read_text(errors="replace") if STRACE else ""
    counts = {}
    for call in CALLS:
        threads = Counter(re.findall(rf"^(\d+) +{call}\(", text, re.MULTILINE))
        counts[which, call] = max(threads.values(), default=0)
    return counts | {(which, "request"): len(scene.standin.seen)}


def killed(scene: Scene, which: str, file: Path, how: str, share: float) -> bool:
    """Kill a load at this share of its requests, or of its calls of one kind; False where it came to its end before."""
    kth = max(round(scene.counts[which, how] * share), 1)
    if how == "request":

        def look(number: int, _: Any) -> None:
            if number == kth:
                process.kill()

        scene.standin.seen.clear()
        scene.standin.trouble.between(look)
        process = scene.start(file)
    else:
        kill = f"inject={how}:signal=SIGKILL:when={kth}"
        process = scene.start(file, str(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={how}", "-e", kill)
    code = process.wait(300)
    scene.standin.trouble.clear()
    return code in (-signal.SIGKILL, 128 + signal.SIGKILL)


def partial(scene: Scene, file: Path) -> list[str]:
    """What a reader who keeps to completed loads (those in _dlt_loads) finds that is neither old nor new.

    dlt commits a package table by table, so between two of them a build may be there without its jobs.
    """
    found = []
    config: dict[str, Any] = {
        "python_enable_replacements": "false"
    }  # else the function builds stands in for a table that is not there
    with duckdb.connect(str(file), read_only=True, config=config) as connection:
        there = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not {"builds", "jobs", "pipelines"} <= there:
            return []
        rows = connection.execute(
            "SELECT b.id, any_value(b.state), list((j.id, j.state) ORDER BY j.id) FROM ci.builds b "
            "LEFT JOIN ci.jobs j ON j.build_id = b.id GROUP BY b.id "
            "HAVING bool_and(b._dlt_load_id IN (SELECT load_id FROM ci._dlt_loads) "
            "AND (j.id IS NULL OR j._dlt_load_id IN (SELECT load_id FROM ci._dlt_loads)))"
        ).fetchall()
        for one, state, jobs in rows:
            if (state, tuple(jobs)) not in (scene.before.get(one), scene.after[one]):
                found.append(f"build {one} is {state} with {jobs}")
        for table in ("builds", "jobs", "pipelines"):
            live = "WHERE _dlt_valid_to IS NULL" if table == "pipelines" else ""
            twice = connection.execute(f"SELECT id FROM ci.{table} {live} GROUP BY id HAVING count(*) > 1").fetchall()
            found += [f"{table}: {one} is there twice" for one in twice]
        pipelines = connection.execute("SELECT count(*) FROM ci.pipelines WHERE _dlt_valid_to IS NULL").fetchone()
        if pipelines not in ((0,), (7,)):
            found.append(f"{pipelines} pipelines")
    return found


def secrets(folder: Path, token: str) -> list[str]:
    """The files below a folder that hold the token, packed ones unpacked."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if content[:2] == b"\x1f\x8b":
                with suppress(EOFError, OSError):
                    content = gzip.decompress(content)
            found += [str(path)] if token.encode() in content else []
    return found


def points() -> list[tuple[str, str, float]]:
    """(first load or second, what is counted, at which share of it)."""
    hows = ("request", *(CALLS if STRACE else ()))
    every = [
        (which, how, share) for share in (0.9, 0.5, 0.7, 0.3, 0.1) for how in hows for which in ("first", "second")
    ]
    return every if SCALE > 1 else every[::5]


@pytest.mark.slow
@pytest.mark.parametrize(("which", "how", "share"), points())
def test_a_load_killed_anywhere_leaves_old_or_new_and_the_next_one_is_right(
    scene: Scene, tmp_path: Path, which: str, how: str, share: float
) -> None:
    target = Target(database=scene.copy(which, tmp_path / "buildkite.duckdb"))
    while not killed(scene, which, target.database, how, share):  # this time no thread came so far
        share /= 2
        assert share > 0.01
        scene.copy(which, target.database)
    assert secrets(tmp_path, scene.standin.token) == []
    if target.database.exists():
        assert partial(scene, target.database) == []
    with small_pages(25):
        assert into(scene.standin, target, *TABLES).exit_code == 0
    assert not target.work.exists()
    assert wrong(target.database, scene.standin.world, "acme", TABLES) == []
    assert partial(scene, target.database) == []
