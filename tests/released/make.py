"""The file that a version leaves behind: `python tests/released/make.py COMMIT NAME`, in the clone's folder.

The loader of that commit, in the environment of today, loads `world()` from today's stand-in; the file is packed into
tests/released/NAME.duckdb.xz. A world that the stand-in makes otherwise than it did needs all files made anew.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from buildkite_elt.standin import Budgets, Standin, World
from buildkite_elt.standin.demo import demo

FOLDER = Path(__file__).parent
ENOUGH = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
COMMAND = "from buildkite_elt.cli import main; main()"
MORE = ("job_events", "annotations", "job_logs", "build_details")
"""Tables besides those that each load asks for, where that version has them."""


def world() -> World:
    """A small organization: 36 builds, some of them running."""
    return demo(days=16, pipelines=12, builds_per_day=1)


def make(commit: str, name: str) -> None:
    """Load, and once more a little later, so that work lists and histories have gone on."""
    with tempfile.TemporaryDirectory() as folder, Standin(world(), budgets=ENOUGH) as standin:
        code = Path(folder) / "code"
        code.mkdir()
        packed = subprocess.run(["git", "archive", commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", code], input=packed, check=True)
        roots = os.pathsep.join(str(code / root) for root in ("sources", "pipelines"))
        env = os.environ | {"PYTHONPATH": roots, "HOME": folder, "BUILDKITE_API_TOKEN": standin.token}
        env |= {"BUILDKITE_REST_URL": standin.rest_url, "BUILDKITE_GRAPHQL_URL": standin.graphql_url}
        load = [sys.executable, "-c", COMMAND, "load", "--since", "2020-01-01", "--quiet"]
        there = {path.stem for path in (code / "sources/buildkite_ci/tables").glob("*.py")}
        for tables in ((), [one for one in MORE if one in there]):
            subprocess.run([*load, *tables], check=True, cwd=folder, env=env)
        packed = lzma.compress((Path(folder) / "buildkite.duckdb").read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        (FOLDER / f"{name}.duckdb.xz").write_bytes(packed)
        sys.stdout.write(f"{name}: {len(packed):,} bytes\n")


if __name__ == "__main__":
    make(*sys.argv[1:])
