"""A lake holds what the DuckDB file holds, whatever breaks off in between, and gives it back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_ci.errors import BadInput
from buildkite_elt import lake
from buildkite_elt.loads import Origin, load
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from buildkite_elt.warehouse import LoadFailed, Target
from conftest import ENOUGH, Command
from lakes import FORMATS, NINE, SETTINGS, differences, s3, wrong
from truth import wrong as untrue

OLD = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file of a small world, loaded once. Who writes copies it."""
    file = tmp_path_factory.mktemp("lake") / "buildkite.duckdb"
    with Standin(demo(days=16, pipelines=12, builds_per_day=1), budgets=ENOUGH) as standin:
        origin = Origin((*standin.world.organizations,), standin.token, standin.rest_url, standin.graphql_url)
        load(origin, Target(database=file), ("builds", "jobs", "teams", "job_logs"), OLD, sleep=standin.clock.sleep)
    return file


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is configured as the lake's."""
    monkeypatch.setenv(f"{SETTINGS}__BUCKET_URL", str(tmp_path / "bucket"))
    return tmp_path / "bucket"


@pytest.fixture
def target(loaded: Path, tmp_path: Path) -> Callable[[str], Target]:
    def of(table_format: str) -> Target:
        (tmp_path / "here").mkdir()
        return Target(database=Path(shutil.copy(loaded, tmp_path / "here")), lake=table_format)

    return of


def elsewhere(target: Target) -> Target:
    """The same lake for another machine, that has no file."""
    folder = target.database.parent.with_name("elsewhere")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Target(database=folder / "buildkite.duckdb", lake=target.lake)


def change(target: Target) -> None:
    """What loads do: rows that changed, a history, a new column, and rows that go without others coming."""
    with duckdb.connect(str(target.database)) as duck:
        duck.execute("UPDATE ci.jobs SET state = 'canceled', _dlt_load_id = '1795600000.5' WHERE build_number = 1")
        duck.execute(
            "UPDATE ci.teams SET _dlt_valid_to = '2026-11-25 00:00:00+00' WHERE slug = (SELECT max(slug) FROM ci.teams)"
        )
        duck.execute(
            "ALTER TABLE ci.job_log_lines ADD COLUMN new_here BIGINT; ALTER TABLE ci.teams ADD COLUMN new_here TEXT"
        )
        duck.execute("ALTER TABLE ci.builds ADD COLUMN new_here TEXT")
        duck.execute("UPDATE ci.builds SET new_here = 'é', _dlt_load_id = '1795600000.5' WHERE number = 1")
        duck.execute("DELETE FROM ci.job_logs WHERE job_id = (SELECT min(job_id) FROM ci.job_logs)")
        duck.execute("DELETE FROM ci.errands")


@pytest.fixture(params=[*FORMATS])
def there(request: pytest.FixtureRequest, bucket: Path, target: Callable[[str], Target]) -> Target:
    """A target of each format in a folder, published once."""
    made = target(request.param)
    lake.publish(made)
    return made


def test_what_changed_is_published_and_nothing_else(there: Target, bucket: Path) -> None:
    assert wrong(there) == []
    before = {path: path.stat().st_mtime_ns for path in bucket.rglob("*")}
    assert lake.publish(there) == {}
    assert {path: path.stat().st_mtime_ns for path in bucket.rglob("*")} == before
    change(there)
    written = lake.publish(there)
    assert written.keys() == {"jobs", "teams", "builds", "job_logs", "errands", "job_log_lines"}
    assert (written["job_log_lines"], written["errands"]) == (0, 0)
    with duckdb.connect(str(there.database), read_only=True) as duck:
        assert 0 < written["builds"] < duck.execute("SELECT count(*) FROM ci.builds").fetchall()[0][0]
    assert wrong(there) == []
    other = elsewhere(there)
    assert lake.restore(other)
    assert differences(there.database, other.database) == []


def test_a_publish_that_broke_off_is_nothing_until_the_next_one(there: Target, bucket: Path, tmp_path: Path) -> None:
    before = shutil.copy(there.database, tmp_path / "before.duckdb")
    change(there)
    (bucket / "ci" / "teams").rename(bucket / "teams.away")
    (bucket / "ci" / "teams").write_text("no folder")
    with pytest.raises(LoadFailed, match="the next load publishes it"), lake.told(there):
        lake.publish(there)
    (bucket / "ci" / "teams").unlink()
    (bucket / "teams.away").rename(bucket / "ci" / "teams")
    other = elsewhere(there)
    lake.restore(other)
    assert differences(Path(before), other.database) == []
    assert {"builds", "jobs", "teams"} <= lake.publish(there).keys()
    assert wrong(there) == []
    other = elsewhere(there)
    lake.restore(other)
    assert differences(there.database, other.database) == []


def test_a_file_that_lacks_loads_of_the_lake_is_refused(bucket: Path, target: Callable[[str], Target]) -> None:
    here = target("parquet")
    lake.publish(here)
    with duckdb.connect(str(here.database)) as duck:
        duck.execute("DELETE FROM ci._dlt_loads WHERE load_id = (SELECT max(load_id) FROM ci._dlt_loads)")
    for act in (lake.publish, lake.restore):
        with pytest.raises(BadInput, match=r"has loads that .* has not: move that file away"):
            act(here)
    with pytest.raises(BadInput, match="is of parquet: say --table-format parquet"):
        lake.restore(Target(database=here.database, lake="delta"))


@pytest.mark.slow
@pytest.mark.parametrize("table_format", FORMATS)
def test_in_s3_too(table_format: str, target: Callable[[str], Target], monkeypatch: pytest.MonkeyPatch) -> None:
    with s3(monkeypatch):
        here = target(table_format)
        lake.publish(here)
        change(here)
        lake.publish(here)
        assert lake.publish(here) == {}
        assert wrong(here) == []
        other = elsewhere(here)
        assert lake.restore(other)
        assert differences(here.database, other.database) == []


def test_what_is_missing_is_named_before_anything_is_asked(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for more, named in (
        ((), "bucket_url"),
        (("--table-format", "hudi"), "There are parquet, delta, iceberg"),
        (("--table-format", "delta", "--destination", "duckdb"), "say --destination filesystem"),
    ):
        told = command("load", "builds", "--destination", "filesystem", *more)
        assert (told.exit_code, named in told.stderr) == (2, True), told.output
    refused = command("load", "builds", "--destination", "lancedb")
    assert "--destination filesystem, which keeps a copy" in refused.stderr
    monkeypatch.setenv(f"{SETTINGS}__BUCKET_URL", "nothing-here")
    for words in (("restore",), ("sql", "FROM builds", "--lake")):
        told = command(*words)
        assert (told.exit_code, "`buildkite-elt load --destination filesystem`" in told.stderr) == (2, True)


def test_an_empty_machine_goes_on_from_the_lake(
    command: Command, standin: Standin, bucket: Path, database: Path
) -> None:
    words = ("load", "builds", "teams", "--since", "2020-01-01", "--destination", "filesystem", "-d", database)
    first = command(*words)
    assert (first.exit_code, "Published what changed into the lake" in first.stdout) == (0, True), first.output
    database.unlink()
    standin.world.advance(timedelta(hours=6))
    (second,) = json.loads(command(*words, "--json").stdout)["organizations"]
    assert second["published"]["builds"] > 0
    assert second["rows"]["builds"] < len(standin.world.organizations[second["organization"]].builds)  # it goes on
    (slug,) = standin.world.organizations
    assert untrue(database, standin.world, slug, ("builds", "jobs", "teams")) == []
    assert wrong(Target(database=database, lake="parquet")) == []


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows, their fractions to nine digits: a sum depends on the order of what is summed."""
    return [tuple(float(f"{one:.9g}") if isinstance(one, float) else one for one in row) for row in rows]


@pytest.mark.slow
def test_all_views_are_there_over_a_lake(demo_file: Path, bucket: Path, tmp_path: Path) -> None:
    here = Target(database=demo_file, lake="parquet")
    lake.publish(here)
    restored = Target(database=tmp_path / "restored.duckdb", lake="parquet")
    lake.restore(restored)
    made = "SELECT view_name FROM duckdb_views() WHERE schema_name = 'ci' AND NOT internal ORDER BY ALL"
    with (
        duckdb.connect(str(demo_file), read_only=True) as file,
        duckdb.connect(str(restored.database), read_only=True) as copy,
        lake.session(here) as place,
    ):
        names = file.execute(made).fetchall()
        assert copy.execute(made).fetchall() == names
        assert {*names} <= {*place.execute(made).fetchall()}
        for one in (file, copy):
            one.execute("SET TimeZone = 'UTC'; SET schema = 'ci'")
        for view in NINE:
            answers = [rounded(one.execute(f"FROM {view} ORDER BY ALL").fetchall()) for one in (file, copy, place)]
            assert answers[0]
            assert answers[0] == answers[1] == answers[2], view
