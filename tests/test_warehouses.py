"""Views in other engines' SQL, what dlt says of each warehouse, and the pages that tell both."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import dlt.destinations
import duckdb
import pytest
import sqlglot
from sqlglot import exp
from typer.testing import CliRunner

from buildkite_ci.catalog import catalog
from buildkite_elt import view_files, views
from buildkite_elt.cli import app
from buildkite_elt.views import engines
from environments import ROOT

WAREHOUSES = ("snowflake", "bigquery", "redshift", "databricks", "clickhouse", "motherduck")
DIALECTS = sorted({*engines.RULES} - {"postgres"})
PAGE = ROOT / "docs/warehouses.md"
OURS = re.compile(r"<!-- written by .*: begin -->\n(.*)<!-- end -->", re.DOTALL)
FOREIGN = {
    "epoch", "quantile_cont", "time_to_unix", "generate_series", "unnest", "json_array_length", "regexp_matches",
    "percentile_cont",
}  # fmt: skip
"""Functions of DuckDB, or of sqlglot's own, that an engine has only where HAS says so."""
HAS = {
    "databricks": {"json_array_length"},
    "redshift": {"percentile_cont"},
    "snowflake": {"percentile_cont"},
    "spark": {"json_array_length"},
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_view_parses_in_its_dialect_or_is_left_out_with_a_reason(dialect: str) -> None:
    done = view_files.written(dialect, "ci", catalog())
    assert {*done.sql} | {*done.out} == {*views.views()}
    assert not {*done.sql} & {*done.out}
    assert all(done.out.values())
    made: set[str] = set()
    for name, text in done.sql.items():
        parsed = sqlglot.parse_one(text, read=dialect)
        assert isinstance(parsed, exp.Create)
        read = {table.name.lower() for table in parsed.expression.find_all(exp.Table) if table.db}
        assert read & {*views.views()} <= made, f"{name} comes before what it reads"
        made.add(name)
        called = {
            one.lower() for one in re.findall(r"\b(\w+)\(", re.sub(r"'[^']*'|/\*.*?\*/", "", text, flags=re.DOTALL))
        }
        assert called & FOREIGN <= HAS.get(dialect, set()), name
        assert " OVER (in_order" not in text


def test_the_page_tells_what_dlt_declares_and_which_views_are_left_out() -> None:
    """`python tests/test_warehouses.py` writes that part of the page anew."""
    found = OURS.search(PAGE.read_text(encoding="utf-8"))
    assert found
    assert found[1] == told()


def told() -> str:
    """A row for each warehouse, and the views that it cannot have."""
    lines = ["| warehouse | merged | history | replaced | views |", "|---|---|---|---|---:|"]
    left = []
    for name in WAREHOUSES:
        able: Any = getattr(dlt.destinations, name)().capabilities()
        done = view_files.written(name, "ci", catalog()) if name in engines.RULES else None
        merges = [("yes" if one in able.supported_merge_strategies else "no") for one in ("delete-insert", "scd2")]
        count = len(done.sql) if done else len(views.views())
        replaced = ", ".join(able.supported_replace_strategies)
        lines.append(f"| {name} | {' | '.join(merges)} | {replaced} | {count} |")
        if done and done.out:
            reasons: dict[str, list[str]] = {}
            for view, reason in sorted(done.out.items()):
                reasons.setdefault(reason, []).append(f"`{view}`")
            left += ["", f"Left out for {name}:", ""]
            left += [f"* {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join(["", *lines, *left, "", ""])


def test_each_warehouse_has_its_configuration_by_names_that_dlt_knows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    shown = {name: keys for block in blocks for name, keys in block["destination"].items()}
    assert {*shown} == {*WAREHOUSES}
    for name, keys in shown.items():
        spec = getattr(dlt.destinations, name)().spec
        assert keys.keys() <= spec.get_resolvable_fields().keys(), name
        credentials = getattr(dlt.destinations, name)().spec.get_resolvable_fields()["credentials"]
        kinds = [
            one for one in getattr(credentials, "__args__", (credentials,)) if hasattr(one, "get_resolvable_fields")
        ]
        known = {field for kind in kinds for field in kind.get_resolvable_fields()}
        assert keys["credentials"].keys() <= known, name


def test_the_command_writes_files_and_writes_them_anew(tmp_path: Path) -> None:
    folder = tmp_path / "sql"

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["export", *words, "-d", str(tmp_path / "none.duckdb")])

    done = run("--views", str(folder), "--dialect", "snowflake")
    assert done.exit_code == 0, done.stderr
    assert "left out: agent_hours (no series, of hours or of numbers, that is a table)" in done.stdout
    files = sorted(path.name for path in folder.iterdir())
    assert files[0] == "000_data.sql"
    assert len(files) == 1 + len(view_files.written("snowflake", "ci", catalog()).sql)
    again = run("--views", str(folder), "--dialect", "bigquery")
    assert again.exit_code == 0
    assert len([*folder.iterdir()]) == 1 + len(view_files.written("bigquery", "ci", catalog()).sql)
    (folder / "mine.sql").write_text("SELECT 1", encoding="utf-8")
    for words, says in (
        (["--views", str(folder), "--dialect", "spark"], "give another folder"),
        (["--views", str(tmp_path / "x"), "--dialect", "oracle"], "There are bigquery, clickhouse"),
        (["--views", str(tmp_path / "x")], "--dialect"),
        ([], "--dbt"),
    ):
        refused = run(*words)
        assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


def test_of_a_file_its_tables_count(tmp_path: Path) -> None:
    file = tmp_path / "buildkite.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA ci; USE ci")
        for name in ("builds", "jobs"):
            connection.execute(f"CREATE TABLE {name} AS {views.empty(name)}")
    done = view_files.export(tmp_path / "sql", "spark", file, "ci")
    assert "job_failures" in done.sql
    assert "job_logs" not in [
        table.name for table in sqlglot.parse_one(done.sql["job_failures"], read="spark").find_all(exp.Table)
    ]
    assert "agents" in done.out["connected_agents"]


@pytest.mark.parametrize(
    ("dialect", "query", "wanted"),
    [
        (
            "redshift",
            "SELECT count(*) FILTER (WHERE a) AS n FROM t",
            "SELECT COUNT(CASE WHEN a THEN 1 END) AS n FROM t",
        ),
        ("bigquery", "SELECT greatest(a, b) AS n FROM t", "SELECT COALESCE(GREATEST(a, b), a, b) AS n FROM t"),
        (
            "spark",
            "SELECT sum(a) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM t WINDOW w AS (PARTITION BY b)",
            "SELECT SUM(a) OVER (PARTITION BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM t",
        ),
        ("clickhouse", "SELECT quantile_cont(a, 0.5) AS n FROM t", "SELECT quantileExactInclusive(0.5)(a) AS n FROM t"),
        ("snowflake", 'SELECT "at" FROM t', 'SELECT "AT" FROM t'),
    ],
)
def test_a_rule_writes_what_means_the_same(dialect: str, query: str, wanted: str) -> None:
    assert engines.portable(sqlglot.parse_one(query, read="duckdb"), dialect).sql(dialect) == wanted


def test_the_arithmetic_of_the_page_on_scale_is_right() -> None:
    text = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    sums = re.findall(r"`([0-9.,*/ -]+) = ([0-9.,]+)( %)?`", text)
    assert len(sums) == text.count(" = ") > 20
    for left, right, percent in sums:
        number = right.replace(",", "")
        digits = len(number.partition(".")[2])
        value = computed(left.replace(",", "").split()) * (100 if percent else 1)
        assert math.isclose(round(value, digits), float(number)), f"{left} is {value}, not {right}"


def computed(words: list[str]) -> float:
    value = float(words[0])
    for sign, other in zip(words[1::2], map(float, words[2::2]), strict=True):
        value = {"*": value * other, "/": value / other, "-": value - other}[sign]
    return value


def test_the_measured_figures_of_that_page_are_those_of_the_benchmarks() -> None:
    cost = (ROOT / "docs/benchmarks-cost.md").read_text(encoding="utf-8")
    assert "| GraphQL per pipeline, jobs(first: 500) | 112 | 9.3 | 57,400 |" in cost
    assert "## 1,000 builds × 50 jobs" in cost
    timed = (ROOT / "docs/benchmarks-views.md").read_text(encoding="utf-8")
    slowest = re.search(r"^\| \w+ \| ([0-9.]+) \|", timed, re.MULTILINE)
    jobs = re.search(r"over ([0-9,]+) jobs", timed)
    assert slowest
    assert jobs
    text = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    assert f"over {jobs[1]} jobs" in text
    assert f"more than {slowest[1]} seconds" in text


if __name__ == "__main__":
    PAGE.write_text(
        OURS.sub(lambda found: found[0].replace(found[1], told()) if found[1] else
                 f"<!-- written by tests/test_warehouses.py: begin -->\n{told()}<!-- end -->", PAGE.read_text("utf-8")),
        encoding="utf-8",
    )  # fmt: skip
