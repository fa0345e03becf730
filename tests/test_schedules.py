"""Named loads, their doors, and the ready files: read by what reads them, their commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import yaml
from croniter import croniter

from buildkite_ci.catalog import catalog
from buildkite_elt.schedules import SCHEDULES, wanted
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from environments import needs_uv, uv

ROOT = Path(__file__).parents[1]
READY = ROOT / "schedules"


@pytest.fixture(scope="module")
def standin() -> Iterator[Standin]:
    with Standin(demo(now=datetime.now(UTC), running=True)) as here:  # loads look back from now
        yield here


@pytest.fixture(scope="module")
def settings(standin: Standin) -> dict[str, str]:
    """The environment of a command that asks the stand-in."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": os.environ.get("HOME", "/"),
        "BUILDKITE_API_TOKEN": standin.token,
        "BUILDKITE_ORGANIZATION": "acme-inc",
        "BUILDKITE_REST_URL": standin.rest_url,
        "BUILDKITE_GRAPHQL_URL": standin.graphql_url,
    }


def asked(words: list[str], settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=dict(settings), cwd=folder, capture_output=True, text=True, timeout=300)


def counted(file: Path, *tables: str) -> list[int]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return [connection.execute(f"SELECT count(*) FROM ci.{name}").fetchall()[0][0] for name in tables]


def test_each_named_load_is_of_tables_that_need_no_naming() -> None:
    assert list(SCHEDULES) == ["hourly", "nightly", "backfill"]
    for schedule in SCHEDULES.values():
        assert all(catalog()[table].by_default for table in schedule.tables)
        assert schedule.options.keys() - {"again"} == {"since", "reserve", "max_minutes"}
    assert wanted(SCHEDULES["nightly"]) == ()


def test_a_work_list_is_nightly_where_it_has_settings(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text("[sources.buildkite_ci.job_events]\nat_most = 5\n")
    asking = "from buildkite_elt.schedules import SCHEDULES, wanted; print(*wanted(SCHEDULES['nightly']))"
    done = subprocess.run([sys.executable, "-c", asking], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) == {name for name, one in catalog().items() if one.by_default} | {"job_events"}


def test_the_readme_tells_what_a_name_means() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for name, schedule in SCHEDULES.items():
        (line,) = [one for one in lines if one.startswith(f"| `{name}` |")]
        told = schedule.options
        assert line.endswith(f"| {told['since'][:-1]} days | {told['reserve'][:-1]} % | {told['max_minutes']:.0f} |")
        assert all(table in line for table in schedule.tables)


@pytest.mark.parametrize("words", [["hourly", "builds"], ["nightly", "hourly"]])
def test_a_named_load_stands_alone(words: list[str], settings: dict[str, str], tmp_path: Path) -> None:
    done = asked(["buildkite-elt", "load", *words], settings, tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        f"{words[0]} is a load of its own: name it alone, or name tables\n",
    )
    assert not list(tmp_path.iterdir())


def test_what_is_said_beside_a_named_load_wins(settings: dict[str, str], tmp_path: Path) -> None:
    told = asked(["buildkite-elt", "plan", "hourly", "--json"], settings, tmp_path)
    none = asked(["buildkite-elt", "plan", "hourly", "--json", "--since", "1h"], settings, tmp_path)
    pages = [json.loads(one.stdout)["organizations"][0]["tables"] for one in (told, none)]
    rows = [next(one["rows"] for one in page if one["table"] == "builds") for page in pages]
    assert rows[0] > 1000 > rows[1]
    assert {one["table"] for page in pages for one in page} >= {"builds", "jobs", "agents"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_door_loads_what_the_command_loads(name: str, settings: dict[str, str], tmp_path: Path) -> None:
    door = [sys.executable, str(ROOT / "pipelines" / f"{name}.py"), "--quiet", "--database", "door.duckdb"]
    done = asked([*door, "--since", "2d"], settings, tmp_path)
    assert done.returncode == 0, done.stderr
    held = counted(tmp_path / "door.duckdb", "builds", "jobs")
    assert all(held)
    with duckdb.connect(str(tmp_path / "door.duckdb"), read_only=True) as connection:
        loaded = {table for (table,) in connection.execute("SELECT table_name FROM ci.sync_runs").fetchall()}
    wanted = set(SCHEDULES[name].tables) or {table.name for table in catalog().values() if table.by_default}
    assert wanted <= loaded


def commands(file: str) -> list[str]:
    """The command lines of a ready file, as a shell is to have them."""
    text = (READY / file).read_text(encoding="utf-8")
    if file == "crontab":
        return [line.split(maxsplit=5)[5] for line in text.splitlines() if re.match(r"[\d*]", line)]
    if file.endswith(".service"):
        return re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return [step["command"].replace("$$", "$") for step in yaml.safe_load(text)["steps"]]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["crontab", "buildkite-elt@.service", "buildkite-pipeline.yml"])
def test_the_commands_of_a_ready_file_run(file: str, settings: dict[str, str], tmp_path: Path) -> None:
    """As they stand there, but for the places on disk; loads of the last day only, by a shorter look-back."""
    warehouse, token = tmp_path / "buildkite.duckdb", tmp_path / "token"
    token.write_text(settings["BUILDKITE_API_TOKEN"])
    token.chmod(0o600)
    own = {name: value for name, value in settings.items() if name != "BUILDKITE_API_TOKEN"}
    own |= {"CREDENTIALS_DIRECTORY": str(tmp_path), "BUILDKITE_ELT_FILE": str(warehouse), "LOAD": "hourly"}
    own |= {"BUILDKITE_ELT_TOKEN_FILE": str(token), "BUILDKITE_ORGANIZATION_SLUG": "acme-inc"}
    if file == "crontab":
        own["LOAD"] = re.findall(r"^LOAD=(.*)$", (READY / file).read_text(), re.MULTILINE)[0]
    for line in commands(file):
        for place, here in {
            "/var/lib/buildkite-elt/buildkite.duckdb": warehouse,
            "/etc/buildkite-elt/token": token,
            "/usr/local/bin/": "",
            "uvx ": "",
            "%i": "hourly",
        }.items():
            line = line.replace(place, str(here))
            own = {name: value.replace(place, str(here)) for name, value in own.items()}
        short = f"{line.strip()} --since 2d" if line.startswith(("buildkite-elt load", "$LOAD")) else line
        done = asked(["sh", "-c", short], own, tmp_path)
        assert done.returncode == 0, (line, done.stderr)
    assert all(counted(warehouse, "builds", "jobs"))
    assert settings["BUILDKITE_API_TOKEN"] not in (READY / file).read_text()


def test_cron_knows_its_times() -> None:
    lines = [line for line in (READY / "crontab").read_text().splitlines() if re.match(r"[\d*]", line)]
    times = [" ".join(line.split()[:5]) for line in lines]
    assert all(croniter.is_valid(one) for one in times)
    assert len(set(times)) == len(times) == 4


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze, which reads units, is not there")
def test_systemd_reads_its_units(tmp_path: Path) -> None:
    for unit in READY.glob("buildkite-elt*"):
        script = shlex.quote(str(Path(sys.executable).with_name("buildkite-elt")))
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/local/bin/buildkite-elt", script))
    timers = sorted(str(one) for one in tmp_path.glob("*.timer"))
    assert [Path(one).stem for one in timers] == [f"buildkite-elt-{name}" for name in sorted(SCHEDULES)]
    told = subprocess.run(["systemd-analyze", "verify", *timers], capture_output=True, text=True)
    ours = [line for line in told.stderr.splitlines() if "buildkite-elt" in line]
    assert (told.returncode, ours) == (0, []), told.stderr


@pytest.mark.parametrize(
    ("file", "schema"),
    [("github-actions.yml", "vendor.github-workflows"), ("buildkite-pipeline.yml", "vendor.buildkite")],
)
def test_a_workflow_is_as_its_schema_says(file: str, schema: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(READY / file)]
    told = subprocess.run(words, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout


def test_a_workflow_hears_the_exit_codes(tmp_path: Path) -> None:
    """GitHub's step as it stands, with a command that only exits."""
    (step,) = [
        one
        for one in yaml.safe_load((READY / "github-actions.yml").read_text())["jobs"]["load"]["steps"]
        if one.get("name") == "Load"
    ]
    fake = tmp_path / "buildkite-elt"
    for code, heard in ((0, 0), (1, 1), (3, 0), (4, 4)):
        fake.write_text(f"#!/bin/sh\necho $@ >> {tmp_path / 'said'}\nexit {code}\n")
        fake.chmod(0o755)
        told = asked(
            ["bash", "-e", "-c", step["run"]], {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOAD": "hourly"}, tmp_path
        )
        assert told.returncode == heard
    assert set((tmp_path / "said").read_text().splitlines()) == {"load hourly --destination postgres --log-format json"}


def test_the_readme_tells_every_file() -> None:
    told = (READY / "README.md").read_text()
    files = {one.name for one in READY.iterdir() if one.is_file()} - {"README.md"}
    assert files <= {Path(link).name for link in re.findall(r"\]\(([^)]+)\)", told)}


def environment(group: str, folder: Path) -> Path:
    """The commands of an environment that holds a dependency group of the lock, and nothing else of ours."""
    locked = folder / "locked.txt"
    uv("export", "--quiet", "--locked", "--only-group", group, "--no-emit-project", "--no-hashes", "-o", locked)
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    uv("pip", "install", "--quiet", "--python", folder / "venv" / "bin" / "python", "--requirements", locked)
    return folder / "venv" / "bin"


@pytest.mark.slow
@needs_uv
def test_dagster_makes_the_hourly_assets(settings: dict[str, str], tmp_path: Path) -> None:
    commands, file = environment("dagster", tmp_path), tmp_path / "buildkite.duckdb"
    own = settings | {"BUILDKITE_ELT_FILE": str(file), "DAGSTER_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    own["BUILDKITE_ELT"] = str(Path(sys.executable).with_name("buildkite-elt"))
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    words = ["job", "execute", "-f", str(READY / "dagster_definitions.py"), "-j", "buildkite_hourly"]
    done = asked([str(commands / "dagster"), *words], own, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for table in SCHEDULES["hourly"].tables:
        assert f"Materialized value buildkite {table}" in done.stderr
    assert done.stderr.count("ASSET_CHECK_EVALUATION") == len(SCHEDULES["hourly"].tables)
    assert all(counted(file, "builds", "jobs", "agents"))


@pytest.mark.slow
@needs_uv
def test_airflow_runs_the_hourly_dag(settings: dict[str, str], tmp_path: Path) -> None:
    commands, file = environment("airflow", tmp_path), tmp_path / "buildkite.duckdb"
    connection = {"conn_type": "generic", "login": "acme-inc", "password": settings["BUILDKITE_API_TOKEN"]}
    own = settings | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(READY),
        "AIRFLOW_CONN_BUILDKITE": json.dumps(connection),
        "AIRFLOW_VAR_BUILDKITE_ELT_FILE": str(file),
        "BUILDKITE_ELT": str(Path(sys.executable).with_name("buildkite-elt")),
    }
    del own["BUILDKITE_API_TOKEN"], own["BUILDKITE_ORGANIZATION"]
    airflow = str(commands / "airflow")
    for words in (["db", "migrate"], ["pools", "set", "buildkite_elt", "1", "one load at a time"]):
        made = asked([airflow, *words], own, tmp_path)
        assert made.returncode == 0, made.stderr[-3000:]
    done = asked([airflow, "dags", "test", "buildkite_elt_hourly", "2026-11-25"], own, tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert all(counted(file, "builds", "jobs", "agents"))
    assert settings["BUILDKITE_API_TOKEN"] not in done.stdout + done.stderr
