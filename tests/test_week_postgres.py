"""A week of loads into PostgreSQL, 5 % of the answers wrong, a load killed each day: the truth, and nobody helped.

BUILDKITE_ELT_SCALE=10 loads every hour, 168 times; otherwise twice a day.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from random import Random

import pytest

from buildkite_ci.errors import BuildkiteError
from buildkite_elt.loads import Target
from buildkite_elt.standin import Standin
from faults import PLENTY, SCALE, into
from postgres import Server
from test_kill import builds
from test_postgres_trouble import half
from test_week import FAMILIES, TABLES, five_percent, world_of_twenty
from truth import wrong

COMMAND = "from buildkite_elt.cli import main; main()"


def killed(standin: Standin, after: float) -> int:
    """A load in a process of its own, ended by SIGKILL so many seconds after its first request: its exit code."""
    names = ("BUILDKITE_API_TOKEN", standin.token), ("BUILDKITE_REST_URL", standin.rest_url)
    env = os.environ | {**dict(names), "BUILDKITE_GRAPHQL_URL": standin.graphql_url}
    words = ("load", *FAMILIES, "--destination", "postgres", "-o", "acme", "--since", "2020-01-01", "--quiet")
    quiet, asked = subprocess.DEVNULL, threading.Event()
    standin.trouble.between(lambda *_: asked.set())
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *words], env=env, stdout=quiet, stderr=quiet)
    try:
        assert asked.wait(60)
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait(60)


def loaded(standin: Standin, target: Target) -> int:
    """A load in this process, whose waiting moves the stand-in's clock: its exit code."""
    try:
        return into(standin, target, *FAMILIES).exit_code
    except BuildkiteError:
        return 1


@pytest.mark.slow
def test_a_week_with_faults_and_a_kill_a_day_ends_with_the_truth(postgres: Server, into_postgres: Target) -> None:
    world, random = world_of_twenty(), Random(11)
    hours, usual, moments, kills = 12 if SCALE == 1 else 1, 3.0, Random(12), 0
    with Standin(world, budgets=PLENTY) as standin:
        for hour in range(hours, 7 * 24 + 1, hours):
            world.advance(timedelta(hours=hours))
            five_percent(standin, random)
            began = time.monotonic()
            if hour % 24 == 12:
                while killed(standin, usual * moments.random()) != -signal.SIGKILL:
                    usual /= 2  # it came to its end before
                kills += 1
            else:
                loaded(standin, into_postgres)
                usual = time.monotonic() - began
        standin.trouble.clear()
        assert loaded(standin, into_postgres) == 0
        assert wrong(postgres.url, world, "acme", TABLES) == []
        assert half(postgres.url, {}, builds(standin)) == []
        assert sum(1 for one in standin.seen if one.trouble) > 7
    assert kills == 7
