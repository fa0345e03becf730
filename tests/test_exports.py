"""Build exports into the same tables: the rows of the API without a request, each file once, and never an older one."""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from buildkite_ci.errors import BadInput
from buildkite_ci.exports import TABLES, Place
from buildkite_elt import loads
from buildkite_elt.loads import LoadFailed, Origin, Outcome, Target, load
from buildkite_elt.standin import Standin, World
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.exports import write
from buildkite_elt.standin.life import Life
from conftest import Command, Configured
from faults import PLENTY, into
from truth import wrong

OURS = {"first_seen_at", "last_seen_at", "_dlt_load_id"}
"""Columns that say when it was read, and by which load."""


def imported(place: str | Path, file: Path, slug: str = "acme") -> Outcome:
    [outcome] = load(Origin((slug,), "nobody's", exports=str(place)), Target(database=file), TABLES)
    assert (outcome.requests, outcome.points) == (0, 0)
    return outcome


def rows(file: Path, table: str, where: str = "TRUE") -> dict[str, dict[str, Any]]:
    """{id: row} without the columns of OURS."""
    with duckdb.connect(str(file), read_only=True) as connection:
        found = connection.execute(f"SELECT * FROM ci.{table} WHERE {where}")
        names = [one[0] for one in found.description]
        told = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {row["id"]: {name: value for name, value in row.items() if name not in OURS} for row in told}


def world() -> tuple[World, Life]:
    """Twelve builds of 3 jobs within a day, the last one failed."""
    made = empty()
    life, now = Life(made, "acme"), made.clock.now()
    life.history(life.pipeline("app"), 12, 3, now - timedelta(days=1), now - timedelta(hours=1))
    return made, life


def builds(of: World) -> list[dict[str, Any]]:
    return [*of.organizations["acme"].builds.values()]


def test_the_rows_are_those_of_the_api(tmp_path: Path) -> None:
    """Of the demo's ended builds, with every table of theirs, column by column."""
    here, ended = demo(), {"passed", "failed", "canceled", "skipped", "not_run"}
    write(here, "acme-inc", tmp_path / "bucket", lambda build: build["state"] in ended and not build["blocked"])
    with Standin(here, budgets=PLENTY) as standin:
        outcome = into(
            standin, Target(database=tmp_path / "api"), "builds", "annotations", "artifacts", slug="acme-inc"
        )
        assert outcome.exit_code in (0, 3)  # annotations and artifacts are asked for 500 builds a load
        while outcome.waiting:
            tables = ("builds", "annotations", "artifacts")
            outcome = into(standin, Target(database=tmp_path / "api"), *tables, slug="acme-inc")
    assert imported(tmp_path / "bucket", tmp_path / "file", "acme-inc").exit_code == 0
    ended_here = "state IN ('passed', 'failed', 'canceled', 'skipped', 'not_run') AND blocked IS NOT TRUE"
    of = f"(SELECT id FROM ci.builds WHERE {ended_here})"
    for table in ("builds", "jobs", "annotations", "artifacts"):
        where = f"{'id' if table == 'builds' else 'build_id'} IN {of}"
        api, ours = rows(tmp_path / "api", table, where), rows(tmp_path / "file", table)
        assert len(ours) > 100
        assert ours.keys() == api.keys()
        assert [(one, ours[one], api[one]) for one in ours if ours[one] != api[one]] == []


def test_a_second_import_reads_nothing_and_a_load_after_it_misses_nothing(tmp_path: Path) -> None:
    here, _ = world()
    write(here, "acme", tmp_path / "bucket", lambda build: build["number"] % 3 == 0)
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 4
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 0
    with Standin(here, budgets=PLENTY) as standin:
        into(standin, Target(database=tmp_path / "file"))
    assert wrong(tmp_path / "file", here, "acme", first=True) == []
    here.advance(timedelta(minutes=5))
    write(here, "acme", tmp_path / "bucket", lambda build: build["number"] % 3 == 1)
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 4
    assert wrong(tmp_path / "file", here, "acme", first=True) == []


def test_what_was_read_later_or_is_later_stays(tmp_path: Path) -> None:
    here, life = world()
    one, other = builds(here)[:2]
    write(here, "acme", tmp_path / "old", lambda build: build in (one, other))
    life.retry(one, one["jobs"][0])
    here.advance(timedelta(hours=2))
    with Standin(here, budgets=PLENTY) as standin:
        into(standin, Target(database=tmp_path / "file"))
    for path in (tmp_path / "old").rglob("build.json.gz"):  # copied somewhere today
        os.utime(path, (here.clock.now().timestamp() + 3600,) * 2)
    imported(tmp_path / "old", tmp_path / "file")
    assert wrong(tmp_path / "file", here, "acme", first=True) == []
    life.retry(other, other["jobs"][0])
    here.advance(timedelta(hours=2))
    write(here, "acme", tmp_path / "new", lambda build: build is other)
    imported(tmp_path / "new", tmp_path / "file")
    assert wrong(tmp_path / "file", here, "acme", first=True) == []


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda whole: whole[:-20],
    "no gzip": lambda whole: b"<html>",
    "no JSON": lambda whole: gzip.compress(b'{"id": '),
    "a list": lambda whole: gzip.compress(b"[]"),
    "no id": lambda whole: gzip.compress(b"{}"),
    "no time": lambda whole: gzip.compress(b'{"id": "a", "created_at": "yesterday"}'),
    "somebody else's": lambda whole: gzip.compress(
        gzip.decompress(whole).replace(b"/organizations/acme/", b"/organizations/b/")
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_named_and_the_rest_imported(how: str, tmp_path: Path) -> None:
    here, _ = world()
    write(here, "acme", tmp_path / "bucket")
    path = sorted((tmp_path / "bucket").rglob("build.json.gz"))[5]
    whole, at = path.read_bytes(), path.stat().st_mtime
    path.write_bytes(BROKEN[how](whole))
    os.utime(path, (at, at))
    for _ in range(2):
        outcome = imported(tmp_path / "bucket", tmp_path / "file")
        assert outcome.exit_code == 3
        assert path.parent.name in outcome.failed["builds"]
    assert len(rows(tmp_path / "file", "builds")) == 11
    path.write_bytes(whole)
    os.utime(path, (at, at))
    assert imported(tmp_path / "bucket", tmp_path / "file").exit_code == 0
    assert wrong(tmp_path / "file", here, "acme", ["builds", "jobs"], first=True) == []


def test_what_comes_late_is_imported_whatever_its_time(tmp_path: Path) -> None:
    """A folder older than what was imported, one that is written again, and one whose job's file was broken."""
    here, life = world()
    write(here, "acme", tmp_path / "bucket", lambda build: build["number"] > 2)
    job = min((tmp_path / "bucket").rglob("job-*.json.gz"))
    whole = job.read_bytes()
    job.write_bytes(b"")
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 9
    job.write_bytes(whole)
    write(here, "acme", tmp_path / "bucket", lambda build: build["number"] <= 2)
    for path in (tmp_path / "bucket").rglob("*.json.gz"):
        if json.loads(gzip.decompress(path.read_bytes())) and path.name == "build.json.gz":
            number = json.loads(gzip.decompress(path.read_bytes()))["number"]
            if number <= 2:
                os.utime(path, (1.0, 1.0))
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 3
    assert wrong(tmp_path / "file", here, "acme", ["builds", "jobs"], first=True) == []
    again = builds(here)[5]
    life.retry(again, again["jobs"][0])
    here.advance(timedelta(hours=2))
    write(here, "acme", tmp_path / "bucket", lambda build: build is again)
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 1
    assert wrong(tmp_path / "file", here, "acme", ["builds", "jobs"], first=True) == []


def test_what_is_out_of_the_ordinary_is_read_as_an_answer_is(tmp_path: Path) -> None:
    """NUL, a field that nobody promised, a build without its pipeline, a key that is none, and a job without a type."""
    here, _ = world()
    write(here, "acme", tmp_path / "bucket")
    path = min((tmp_path / "bucket").rglob("build.json.gz"))
    build = json.loads(gzip.decompress(path.read_bytes()))
    del build["pipeline"]
    path.write_bytes(gzip.compress(json.dumps(build | {"message": "a\0b", "new_field": {"a": 1}}).encode()))
    job = min(path.parent.glob("jobs/*.json.gz"))
    job.write_bytes(gzip.compress(json.dumps({"id": json.loads(gzip.decompress(job.read_bytes()))["id"]}).encode()))
    assert imported(tmp_path / "bucket", tmp_path / "file").exit_code == 0
    held = rows(tmp_path / "file", "builds")[build["id"]]
    assert (held["message"], json.loads(held["more"])) == ("a\ufffdb", {"new_field": {"a": 1}})
    assert (held["pipeline_slug"], held["pipeline_id"]) == ("app", path.parts[-3].removeprefix("pipeline="))
    assert len(rows(tmp_path / "file", "jobs")) == 36


def test_an_import_that_is_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = empty()
    life, now = Life(here, "acme"), here.clock.now()
    life.history(life.pipeline("app"), 450, 1, now - timedelta(days=9), now - timedelta(hours=1))
    write(here, "acme", tmp_path / "bucket")
    monkeypatch.setattr(loads, "PACKAGE", 200)

    def cut(outcome: Outcome, *_: Any) -> None:
        if outcome.packages == 2:
            raise RuntimeError("cut off")

    origin = Origin(("acme",), "nobody's", exports=str(tmp_path / "bucket"))
    with pytest.raises(LoadFailed, match="cut off"):
        load(origin, Target(database=tmp_path / "file"), TABLES, progress=cut)
    assert len(rows(tmp_path / "file", "builds")) == 200
    assert imported(tmp_path / "bucket", tmp_path / "file").rows["builds"] == 250
    assert wrong(tmp_path / "file", here, "acme", ["builds", "jobs"], first=True) == []


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3 server on this machine, and the settings that reach it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("exports-of-acme")
    yield "s3://exports-of-acme"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_bucket_is_read_as_a_folder_is(bucket: str, tmp_path: Path) -> None:
    here, _ = world()
    write(here, "acme", tmp_path / "local")
    s3fs.S3FileSystem().put(f"{tmp_path / 'local'}/", f"{bucket}/kept/", recursive=True)
    assert Place(f"{bucket}/kept").organization() == "acme"
    assert imported(f"{bucket}/kept", tmp_path / "file").exit_code == 0
    assert imported(f"{bucket}/kept/", tmp_path / "file").rows["builds"] == 0
    assert wrong(tmp_path / "file", here, "acme", ["builds", "jobs"], first=True) == []


def test_the_command_tells_what_it_imported(command: Command, tmp_path: Path) -> None:
    here, _ = world()
    write(here, "acme", tmp_path / "bucket")
    done = command("import", str(tmp_path / "bucket"), "--database", str(tmp_path / "file"), "--json")
    assert done.exit_code == 0, done.stderr
    [told] = json.loads(done.stdout)["organizations"]
    assert (told["organization"], told["rows"]["builds"], told["requests"]) == ("acme", 12, 0)
    wrong_word = command("import", str(tmp_path / "bucket"), "--database", str(tmp_path / "file"), "--show", "email")
    assert (wrong_word.exit_code, "--show" in wrong_word.stderr) == (2, True)


def test_an_import_keeps_to_the_files_of_the_views_that_a_user_has(
    command: Command, configured: Configured, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("queue_key,usd_per_hour\nlarge,2.5\n", encoding="utf-8")
    configured(f'[sources.buildkite_ci.views]\nprice_list = "{prices}"\n')
    here, _ = world()
    write(here, "acme", tmp_path / "bucket")
    done = command("import", tmp_path / "bucket", "--database", tmp_path / "file")
    assert done.exit_code == 0, done.stderr
    with duckdb.connect(str(tmp_path / "file"), read_only=True) as connection:
        assert connection.execute("FROM ci.price_list").fetchall() == [("large", 2.5)]


@pytest.mark.parametrize(
    ("place", "said"),
    [("", "holds no build export"), ("nothing", "holds no build export"), ("nfs://there", "cannot be reached")],
)
def test_a_place_without_exports_is_told(place: str, said: str, command: Command, tmp_path: Path) -> None:
    done = command("import", place if "://" in place else str(tmp_path / place))
    assert done.exit_code == 2
    assert said in done.stderr
    with pytest.raises(BadInput):
        Place(str(tmp_path)).organization()
