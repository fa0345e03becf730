"""A file as a dbt project: what is written, and dbt itself, in an environment of its own, over the demo's file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest
import yaml
from typer.testing import CliRunner

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput
from buildkite_elt import dbt_export, views
from buildkite_elt.cli import app
from buildkite_elt.database import DatabaseTrouble
from environments import ROOT, UV, needs_uv

FEW = ("builds", "jobs", "sync_runs")


def database(folder: Path, tables: Collection[str]) -> Path:
    """A file with these tables, empty, and the data of the views."""
    file = folder / "some file.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA ci; USE ci")
        for name in tables:
            connection.execute(f'CREATE TABLE "{name}" AS {views.empty(name)}')
        views.create(connection.execute, "ci", tables, {})
    return file


def document(project: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((project / name).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("tables", [FEW, tuple(catalog())], ids=["few", "all"])
def test_the_models_are_the_views(tmp_path: Path, tables: tuple[str, ...]) -> None:
    """Every source and ref of a model resolves, and what it makes has the view's columns."""
    file, project = database(tmp_path, tables), tmp_path / "dbt"
    done = dbt_export.export(project, file, "ci")
    models = {one["name"]: one for one in document(project, "models/buildkite/schema.yml")["models"]}
    assert len(models) == done.models == len(views.views()) - len(done.absent)
    assert done.sources == len(tables)
    nothing = {path.stem: path for path in (project / "models/buildkite/not_loaded").glob("*.sql")}
    assert (nothing.keys() == set()) == (tables != FEW)
    names: dict[str, str] = {}
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA made; USE made")
        for name in [*sorted(nothing), *(name for name in views.views() if name in models)]:
            path = nothing.get(name, project / "models/buildkite" / f"{name}.sql")
            text = rendered(path.read_text(encoding="utf-8"), tables, names)
            connection.execute(f'CREATE VIEW made."{name}" AS {text}')
            names[name] = f'made."{name}"'
        for name in models:
            told = [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {name}").fetchall()]
            assert told == [(one["name"], one["data_type"]) for one in models[name]["columns"]]


def rendered(text: str, tables: Collection[str], names: dict[str, str]) -> str:
    """A model as dbt would have it; KeyError or AssertionError where a ref or a source is not there."""

    def source(group: str, name: str) -> str:
        assert group == "buildkite"
        assert name in tables
        return f'ci."{name}"'

    known = {**names, **{name: f'ci."{name}"' for name in views.DATA}}
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text)
    return template.render(source=source, ref=known.__getitem__, config=lambda **_: "")


def test_every_key_has_its_tests(tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    dbt_export.export(project, database(tmp_path, tuple(catalog())), "ci")
    (sources,) = document(project, "models/buildkite/sources.yml")["sources"]
    assert sources["schema"] == "ci"
    for table in sources["tables"]:
        declared = catalog()[table["name"]]
        key = (*declared.key, "_dlt_valid_from") if declared.load == "scd2" else declared.key
        assert keyed(table) == (key, {*key})
        assert {column["name"] for column in table["columns"]} >= {*declared.schema().names}
        assert all(column["description"] for column in table["columns"])
        fresh = table.get("config", {}).get("loaded_at_query", "")
        assert (f"'{declared.name}'" in fresh) == declared.by_default
    for model in document(project, "models/buildkite/schema.yml")["models"]:
        view = views.views()[model["name"]]
        assert keyed(model) == (view.key, {*view.key} - view.nullable)
        assert view.doc in model["description"]


def keyed(one: dict[str, Any]) -> tuple[tuple[str, ...], set[str]]:
    """The columns that are tested to be unique, alone or together, and those that are tested not to be null."""
    tests = {column["name"]: column.get("data_tests", []) for column in one["columns"]}
    together = [
        column for test in one.get("data_tests", []) for column in test["unique_together"]["arguments"]["columns"]
    ]
    alone = [name for name, of in tests.items() if "unique" in of]
    return tuple(together or alone), {name for name, of in tests.items() if "not_null" in of}


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    file, project = database(tmp_path, FEW), tmp_path / "my dbt"
    told = CliRunner().invoke(app, ["export", "--dbt", str(project), "-d", str(file)])
    assert told.exit_code == 0, told.stderr
    assert f"cd '{project}' && dbt build" in told.stdout
    profile = document(project, "profiles.yml")["buildkite_elt"]["outputs"]["file"]
    path = jinja2.Environment().from_string(profile["path"]).render(env_var=lambda name, default: default)
    assert (path, profile["schema"]) == (str(file), "ci_dbt")
    refused = CliRunner().invoke(app, ["export", "--dbt", str(tmp_path), "-d", str(file)])
    assert refused.exit_code == 2
    assert "give another folder" in refused.stderr


def test_what_is_not_loaded_is_disabled_and_its_views_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "dbt"
    done = dbt_export.export(project, database(tmp_path, FEW), "ci")
    (sources,) = document(project, "models/buildkite/sources.yml")["sources"]
    enabled = {one["name"] for one in sources["tables"] if one.get("config", {}).get("enabled", True)}
    assert enabled == {*FEW}
    assert "connected_agents" in done.absent
    dbt_export.tell(done)
    told = capsys.readouterr().out
    assert "connected_agents" in told
    assert f"cd {project} && dbt build" in told


def test_a_folder_of_others_is_refused_and_an_export_is_written_anew(tmp_path: Path) -> None:
    file, project = database(tmp_path, FEW), tmp_path / "dbt"
    with pytest.raises(BadInput, match="holds no earlier export"):
        dbt_export.export(tmp_path, file, "ci")
    with pytest.raises(BadInput, match="is a file"):
        dbt_export.export(file, file, "ci")
    with pytest.raises(DatabaseTrouble, match="There is no"):
        dbt_export.export(project, tmp_path / "none.duckdb", "ci")
    assert not project.exists()
    dbt_export.export(project, file, "ci")
    old, mine = project / "models/buildkite/old.sql", project / "models/mine.sql"
    for path in (old, mine):
        path.write_text("SELECT 1", encoding="utf-8")
    dbt_export.export(project, file, "ci")
    assert (old.exists(), mine.exists()) == (False, True)


def test_the_users_own_prices_are_the_seed(tmp_path: Path) -> None:
    file, project = database(tmp_path, FEW), tmp_path / "dbt"
    with duckdb.connect(str(file)) as connection:
        connection.execute("""INSERT INTO ci.price_list VALUES ('big, "fast"', 1.5), ('free', NULL)""")
    dbt_export.export(project, file, "ci")
    with duckdb.connect() as connection:
        found = connection.execute("FROM read_csv(?)", [str(project / "seeds/price_list.csv")]).fetchall()
    assert found == [('big, "fast"', 1.5), ("default", 0.1), ("free", None)]


def test_the_exposures_read_what_they_say(tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    dbt_export.export(project, database(tmp_path, tuple(catalog())), "ci")
    told = {one["name"]: one for one in document(project, "models/buildkite/exposures.yml")["exposures"]}
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert told.keys() == {"report", *(f"notebook_{path.stem}" for path in notebooks)}
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        asked = dbt_export.asked("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
        assert told[f"notebook_{path.stem}"]["depends_on"] == [f"ref('{name}')" for name in sorted(asked)], path.name
    assert {"ref('job_attempts')", "ref('flaky_steps')"} <= {*told["report"]["depends_on"]}


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in the versions of the lock."""
    folder = tmp_path_factory.mktemp("dbt") / "environment"
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    words = ["sync", "--locked", "--no-default-groups", "--only-group", "dbt", "--python", sys.executable]
    done = subprocess.run(
        [str(UV), *words], cwd=ROOT, env=env | {"UV_PROJECT_ENVIRONMENT": str(folder)}, capture_output=True, text=True
    )
    if done.returncode and "Failed to fetch" in done.stderr:
        pytest.skip("dbt cannot be installed: its packages could not be fetched")
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "dbt"


@needs_uv
@pytest.mark.slow
def test_dbt_builds_the_demos_file_and_every_test_passes(dbt: Path, demo_file: Path, tmp_path: Path) -> None:
    file, project = tmp_path / "buildkite.duckdb", tmp_path / "dbt"
    shutil.copy(demo_file, file)
    done = dbt_export.export(project, file, "ci")

    def run(*words: str) -> str:
        clean = {"PATH": os.defpath, "HOME": str(tmp_path)}
        told = subprocess.run([str(dbt), *words], cwd=project, env=clean, capture_output=True, text=True, timeout=300)
        assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-1000:]
        return told.stdout

    assert " WARN=0 ERROR=0 SKIP=0 " in run("build", "--no-use-colors")
    results = json.loads((project / "target/run_results.json").read_text(encoding="utf-8"))["results"]
    kinds = [one["unique_id"].split(".")[0] for one in results if one["status"] in ("success", "pass")]
    assert kinds.count("model") == done.models
    assert kinds.count("seed") == len(views.DATA)
    assert kinds.count("test") > done.models + done.sources
    with duckdb.connect(str(file), read_only=True) as connection:
        made = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ci_dbt'").fetchall()
        assert len(made) == done.models + len(views.DATA)
        for (name,) in made:
            ours, dbts = (connection.execute(f"SELECT count(*) FROM {of}.{name}").fetchone() for of in ("ci", "ci_dbt"))
            assert ours == dbts, name
    # The demo was loaded minutes ago, so every table that a load asks for is fresh; 30 hours later none is.
    fresh = run("source", "freshness", "--no-use-colors")
    assert "PASS freshness of buildkite.builds" in fresh
    assert "WARN" not in fresh
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE ci.sync_runs SET finished_at = finished_at - INTERVAL 30 HOUR")
    late = run("source", "freshness", "--no-use-colors")
    assert "WARN freshness of buildkite.builds" in late
    assert "PASS freshness" not in late
