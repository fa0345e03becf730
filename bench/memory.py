"""Peak memory of a backfill at two sizes ten times apart: `python bench/memory.py [builds] [jobs a build]`.

The stand-in runs here, each load in a process of its own, whose peak resident set is told: in all, and less what it was
after the imports. (What dlt imports when it first loads counts as the load's.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life

CHILD = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from buildkite_elt.loads import Origin, Target, load
import buildkite_ci, duckdb, pyarrow
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10
before, (token, rest, graphql, file) = peak(), sys.argv[1:]
origin, since = Origin(("acme",), token, rest, graphql), datetime(2020, 1, 1, tzinfo=UTC)
(outcome,) = load(origin, Target(database=Path(file)), ("builds",), since)
told = {"jobs": outcome.rows["jobs"], "packages": outcome.packages, "seconds": outcome.seconds}
print(json.dumps({"imports": before, "peak": peak(), **told}))
"""
PLENTY = Budgets(rest=10**9, rest_user=10**9)


def measured(builds: int, jobs: int) -> dict[str, float]:
    """One load of `builds` builds of `jobs` jobs: {imports, peak (MiB), jobs, packages, seconds}."""
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    life.history(life.pipeline("app"), builds, jobs, now - timedelta(days=300), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as standin, tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "buildkite.duckdb")
        words = [sys.executable, "-c", CHILD, standin.token, standin.rest_url, standin.graphql_url, file]
        told: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ours
        return told


def main() -> None:
    builds, jobs = (int(word) for word in (sys.argv[1:] + ["2400", "50"][len(sys.argv) - 1 :]))
    runs = []
    for factor in (1, 10):
        told = measured(builds * factor, jobs)
        runs.append(told)
        above = told["peak"] - told["imports"]
        sys.stdout.write(
            f"{told['jobs']:>9,.0f} jobs: {told['peak']:.0f} MiB, {above:.0f} above imports; "
            f"{told['packages']:.0f} packages, {told['seconds']:.1f} s\n"
        )
        sys.stdout.flush()
    small, large = runs
    above = (large["peak"] - large["imports"]) / (small["peak"] - small["imports"])
    sys.stdout.write(f"growth: {large['peak'] / small['peak']:.2f} in all, {above:.2f} above imports\n")


if __name__ == "__main__":
    main()
