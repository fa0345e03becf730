"""A DuckDB file's tables and views as a dbt project: sources with freshness, models, tests of every key, exposures.

A view becomes a model: its SQL as it is, with `{{ source(…) }}` and `{{ ref(…) }}` where it names a table or a view.
A table that it can do without and that is not loaded is an ephemeral model of no rows.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlglot
import yaml  # dlt brings it, and has no types of it
from sqlglot import exp

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput
from buildkite_ci.table import Ours, Table

from . import show, status, view_docs, views

if TYPE_CHECKING:
    import duckdb

MARK = "# Written by `buildkite-elt export --dbt`, and written anew by it.\n"
SOURCE = "buildkite"
VARIABLE = "BUILDKITE_DATABASE"
WARN_HOURS, ERROR_HOURS = 26, 74
"""A nightly load that is late, and three that did not come."""

UNIQUE_TOGETHER = """{% test unique_together(model, columns) %}
{%- set names = columns | map("tojson") | join(", ") %}
SELECT {{ names }}, count(*) AS row_count
FROM {{ model }}
GROUP BY {{ names }}
HAVING count(*) > 1
{% endtest %}
"""
"""No two rows share all of these columns; a null is as good as any value."""

README = """\
Sources are schema `{dataset}` of {file}; models go to schema `{schema}`, so that the views of `load` stay as they are.
`cd` here; `dbt build` (dbt-core 1.11, dbt-duckdb) makes and tests all, `dbt source freshness` tells of late loads.
After the first load of a table export again: it writes these files anew, and leaves alone what is yours beside them.
"""

NOTEBOOKS = {
    "01_first_look": "as_of builds_daily costs_daily failure_classes_weekly flaky_steps job_attempts",
    "02_why_do_we_wait": "job_attempts queue_agents_needed queue_use_hourly wait_reasons_daily waiting_jobs",
    "03_flaky_and_retries": "flaky_steps retry_chains retry_costs_weekly",
    "04_reading_logs": "build_log_lines error_messages job_failures log_number_series log_sections",
    "05_cost_and_capacity": (
        "costs_daily queue_costs queue_use_hourly retry_costs_weekly team_costs_monthly wasted_costs_weekly"
    ),
}
"""The notebooks of the repository, and the views that each asks."""


@dataclass(frozen=True)
class Export:
    """What was written. absent: views that read a table that is not loaded, so that no model could be made of them."""

    folder: Path
    schema: str
    sources: int
    models: int
    absent: tuple[str, ...]


def export(folder: Path, database: Path, dataset: str) -> Export:
    """Write the project. BadInput where the folder holds something else; DatabaseTrouble where there is no file."""
    _fit(folder)
    with status.opened(database, dataset) as connection:
        there = status.tables(connection).keys()
        seeds = {f"seeds/{name}.csv": _seed(connection, name, there) for name in views.DATA}
    schema = f"{dataset}_dbt"
    loaded = there & catalog().keys()
    made = _made(loaded)
    files = seeds | {
        "dbt_project.yml": MARK + _yaml(_project()),
        "profiles.yml": MARK + _yaml(_profile(database, schema)),
        "README.md": README.format(dataset=dataset, schema=schema, file=database.name),
        ".gitignore": "/target/\n/logs/\n",
        "tests/generic/unique_together.sql": UNIQUE_TOGETHER,
        "models/buildkite/sources.yml": MARK + _yaml(_sources(dataset, loaded)),
        "models/buildkite/schema.yml": MARK + _yaml(_models(made)),
        "models/buildkite/exposures.yml": MARK + _yaml(_exposures(made)),
        **{f"models/buildkite/{view.name}.sql": model(view, loaded) for view in made},
        **{f"models/buildkite/not_loaded/{name}.sql": _nothing(name) for name in _missed(made, loaded)},
    }
    _write(folder, files)
    absent = tuple(sorted(views.views().keys() - {view.name for view in made}))
    return Export(folder, schema, len(loaded), len(made), absent)


def _fit(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file: give a folder for the dbt project")
    project = folder / "dbt_project.yml"
    ours = project.is_file() and project.read_text("utf-8", errors="replace").startswith(MARK)
    if not ours and folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty and holds no earlier export: give another folder")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    shutil.rmtree(folder / "models" / "buildkite", ignore_errors=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class _Dumper(yaml.SafeDumper):  # as above
    """Texts of several lines stand as they are, and no part of one document points at another."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.text)


def _yaml(told: Any) -> str:
    text: str = yaml.dump(told, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def _project() -> dict[str, Any]:
    kinds = {name: {"+column_types": columns} for name, (_, columns) in views.DATA.items()}
    return {
        "name": "buildkite_elt",
        "profile": "buildkite_elt",
        "config-version": 2,
        "require-dbt-version": [">=1.11.0", "<2.0.0"],
        "flags": {"send_anonymous_usage_stats": False, "require_generic_test_arguments_property": True},
        "models": {"buildkite_elt": {"+materialized": "table"}},
        "seeds": {"buildkite_elt": kinds},
    }


def _profile(database: Path, schema: str) -> dict[str, Any]:
    path = f"{{{{ env_var({VARIABLE!r}, {str(database.resolve())!r}) }}}}"
    # More threads would need more memory, and the time is that of a few large models.
    duckdb = {"type": "duckdb", "path": path, "schema": schema, "threads": 1, "settings": {"TimeZone": "UTC"}}
    return {"buildkite_elt": {"target": "file", "outputs": {"file": duckdb}}}


def _made(loaded: Collection[str]) -> list[views.View]:
    """The views of which a model can be made, each after those that it reads."""
    names = [name for name, _ in views.statements("", loaded)]
    return [views.views()[name] for name in names]


def _missed(made: Iterable[views.View], loaded: Collection[str]) -> list[str]:
    return sorted({name for view in made for name in view.without} - {*loaded})


def model(view: views.View, loaded: Collection[str]) -> str:
    """A view's SQL with calls of dbt in place of the names of tables and views; what is not `loaded` is a ref, too."""
    tables = sqlglot.parse_one(view.sql, read="duckdb").find_all(exp.Table)
    names = [table.this for table in tables if not table.db and table.name in view.reads]
    text = view.sql
    for name in sorted(names, key=lambda name: name.meta["start"], reverse=True):
        called = f"source('{SOURCE}', '{name.name}')" if name.name in loaded else f"ref('{name.name}')"
        text = f"{text[: name.meta['start']]}{{{{ {called} }}}}{text[name.meta['end'] + 1 :]}"
    return text


def _nothing(name: str) -> str:
    return f"-- {name} is not loaded: no rows.\n{{{{ config(materialized='ephemeral') }}}}\n{views.empty(name)}\n"


def _tests(key: tuple[str, ...], columns: list[dict[str, Any]], nullable: Collection[str] = ()) -> dict[str, Any]:
    """What a key says of its columns (it is told to them), and of the table."""
    for column in columns:
        if column["name"] in key:
            told = ["unique"] * (len(key) == 1) + ["not_null"] * (column["name"] not in nullable)
            column |= {"data_tests": told} if told else {}
    return {"data_tests": [{"unique_together": {"arguments": {"columns": [*key]}}}]} if len(key) > 1 else {}


def _sources(dataset: str, loaded: Collection[str]) -> dict[str, Any]:
    tables = [_source(dataset, table, table.name in loaded) for table in catalog().values()]
    told = "Tables that `buildkite-elt load` keeps right. What is not loaded is disabled."
    return {"sources": [{"name": SOURCE, "schema": dataset, "description": told, "tables": tables}]}


def _source(dataset: str, table: Table, loaded: bool) -> dict[str, Any]:
    columns: list[dict[str, Any]] = [
        {"name": c.name, "description": c.doc, "data_type": views.KINDS.get(c.type, "VARCHAR")}
        for c in table.all_columns
    ]
    key = table.key
    if table.load == "scd2":
        columns += [
            {"name": "_dlt_valid_from", "description": "Since when this version is right.", "data_type": "TIMESTAMPTZ"},
            {"name": "_dlt_valid_to", "description": "Until when; null while it is.", "data_type": "TIMESTAMPTZ"},
        ]
        key = (*key, "_dlt_valid_from")
    one: dict[str, Any] = {"name": table.name, "description": f"{table.doc}\nGrain: {table.grain}."}
    if not loaded:
        return one | {"config": {"enabled": False}, "columns": columns}
    fresh = _freshness(dataset, table)
    return one | ({"config": fresh} if fresh else {}) | _tests(key, columns) | {"columns": columns}


def _freshness(dataset: str, table: Table) -> dict[str, Any]:
    """When the last load of it was done, by the loader's own books: rows that did not change say nothing of that. Only
    of what each load asks for; nobody has promised when the rest is loaded again."""
    if table.name == "sync_runs":
        where = ""
    elif table.by_default and not isinstance(table.fetch, Ours):
        where = f" WHERE table_name = '{table.name}' AND outcome = 'loaded'"
    else:
        return {}
    hours = {"warn_after": WARN_HOURS, "error_after": ERROR_HOURS}
    query = f"SELECT max(finished_at) FROM {status.quoted(dataset)}.sync_runs{where}"  # noqa: S608 - names of ours
    return {
        "loaded_at_query": query,
        "freshness": {name: {"count": count, "period": "hour"} for name, count in hours.items()},
    }


def _models(made: Iterable[views.View]) -> dict[str, Any]:
    shown = view_docs.columns()
    told = []
    for view in sorted(made, key=lambda view: view.name):
        columns = [{"name": name, "data_type": kind} for name, kind in shown[view.name]]
        one = {"name": view.name, "description": f"{view.doc}\nGrain: {view.grain}."}
        told.append(one | _tests(view.key, columns, view.nullable) | {"columns": columns})
    return {"models": told}


def report_reads() -> set[str]:
    """The views that `buildkite-elt report` asks, by its own text."""
    texts = (path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("report_*.py")))
    return {name for text in texts for name in asked(text)}


def asked(text: str) -> set[str]:
    """The views that a text with SQL in it names behind FROM or JOIN."""
    return {*re.findall(r"\b(?:FROM|JOIN|from|join) (\w+)", text)} & views.views().keys()


def _exposures(made: Iterable[views.View]) -> dict[str, Any]:
    names = {view.name for view in made}
    told = [_exposure("report", "dashboard", "The HTML report of `buildkite-elt report`.", report_reads() & names)]
    for name, reads in NOTEBOOKS.items():
        described = f"notebooks/{name}.ipynb of the repository."
        told.append(_exposure(f"notebook_{name}", "notebook", described, names & {*reads.split()}))
    return {"exposures": told}


def _exposure(name: str, kind: str, described: str, reads: Iterable[str]) -> dict[str, Any]:
    refs = [f"ref('{one}')" for one in sorted(reads)]
    owner = {"name": "buildkite-elt"}
    return {"name": name, "type": kind, "description": described, "owner": owner, "depends_on": refs}


def _seed(connection: duckdb.DuckDBPyConnection, name: str, there: Collection[str]) -> str:
    """A CSV file of the rules or prices that the file holds, which may be the user's own; else ours."""
    if name not in there:
        return (views.FOLDER / views.DATA[name][0]).read_text(encoding="utf-8")
    rows = connection.execute(f"FROM {status.quoted(name)} ORDER BY ALL").fetchall()
    return "".join(_lines([tuple(views.DATA[name][1]), *rows]))


def _lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue()


def tell(done: Export) -> None:
    """What was written, for people, and what to type next."""
    show.say(
        f"{done.models} models and {done.sources} sources are in {done.folder}; models go to schema {done.schema}."
    )
    if done.absent:
        show.say(f"Left out, as they read what is not loaded: {', '.join(done.absent)}.")
    show.say(f"\n  cd {shlex.quote(str(done.folder))} && dbt build")
