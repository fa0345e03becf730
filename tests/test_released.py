"""A file that an earlier version left: it is loaded on from its own state, and gets the columns and views of now.

tests/released holds such files, made by its make.py: of each released version, and of two commits on the way to 0.1.0,
the first of which had 28 tables less and no views.
"""

from __future__ import annotations

import lzma
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb
import pytest

from buildkite_ci.catalog import catalog
from buildkite_elt import views
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin
from conftest import ENOUGH
from faults import SCALE
from released.make import FOLDER, MORE, world
from truth import wrong

FILES = sorted(FOLDER.glob("*.duckdb.xz"))
RELEASED = [file for file in FILES if "-" not in file.name]
ON_THE_WAY = sorted((file for file in FILES if "-" in file.name), key=lambda file: file.stat().st_size)
"""The one with the fewest tables first; the other only where BUILDKITE_ELT_SCALE is above 1."""
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
TRUE = ("builds", "jobs", "pipelines", "teams", "members", "cluster_queues", "pipeline_schedules")


def ask(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def columns(file: Path) -> set[tuple[str, str]]:
    return set(ask(file, "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'ci'"))


def test_each_released_version_has_a_file() -> None:
    changes = (FOLDER.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d.*?)\]", changes, re.MULTILINE)
    assert {*released, "0.1.0"} <= {file.name.removesuffix(".duckdb.xz") for file in FILES}
    assert max(file.stat().st_size for file in FILES) < 300_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "packed", [*RELEASED, *ON_THE_WAY[:SCALE]], ids=lambda file: file.name.removesuffix(".duckdb.xz")
)
def test_a_file_of_an_earlier_version_is_loaded_on(packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "buildkite.duckdb"
    file.write_bytes(lzma.decompress(packed.read_bytes()))
    before, asked = columns(file), "SELECT table_name, item_id, last_seen_at FROM ci.errands WHERE outcome = 'read'"
    done = set(ask(file, asked))
    assert done
    tables = (*(name for name, table in catalog().items() if table.by_default), *MORE)
    with Standin(world(), budgets=ENOUGH) as standin:
        (slug,) = standin.world.organizations
        assert {one for (one,) in ask(file, "SELECT id FROM ci.builds")} == {
            *standin.world.organizations[slug].builds
        }, "the stand-in's world is another one now: make the files of tests/released anew"
        standin.world.advance(24 * 3600)
        origin = Origin((slug,), standin.token, standin.rest_url, standin.graphql_url)
        (outcome,) = load(origin, Target(database=file), tables, SINCE, sleep=standin.clock.sleep)
        assert (outcome.exit_code, outcome.warnings) == (0, {})
        assert wrong(file, standin.world, slug, TRUE) == []
        assert any("finished_from" in parse_qs(one.query) for one in standin.seen), "it did not go on from its state"
    now = columns(file)
    assert before <= now | {pair for pair in before if pair[0] in views.views()}
    there = {table for table, _ in now}
    promised = {(table.name, column.name) for table in catalog().values() for column in table.all_columns}
    assert {pair for pair in promised if pair[0] in there} <= now
    assert {name for name, _ in views.statements("ci", there)} <= there
    kept = set(ask(file, asked))
    assert done & kept, "what had been asked for was asked for again"
    assert ask(file, "SELECT count(*) > 0 FROM ci.errands WHERE run_id IS NOT NULL") == [(True,)]
