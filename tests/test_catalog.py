"""One file, one table: what a file brings, and what is said of one that is wrong."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import buildkite_ci.tables
from buildkite_ci import catalog as module
from buildkite_ci.catalog import catalog, families, find
from buildkite_ci.errors import BadInput

FILE = '''"""Things."""

from ..table import GraphQL, Inside, Rest, Table, col

TABLE = Table(
    grain="one row per thing",
    fetch={fetch},
    key=("{key}",),
    scope="",
    load="merge",
    columns=(col("id", "text", "Id."), {more}),
)
'''


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Adds a file to a copy of the tables' folder."""
    folder = tmp_path / "tables"
    shutil.copytree(module.TABLES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "TABLES", folder)
    monkeypatch.setattr(buildkite_ci.tables, "__path__", [str(folder)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = buildkite_ci.tables.__name__

    def write(text: str = "", *, fetch: str = 'Rest("things")', key: str = "id", more: str = "") -> None:
        (folder / "things.py").write_text(text or FILE.format(fetch=fetch, key=key, more=more), encoding="utf-8")
        catalog.cache_clear()

    yield write
    sys.modules.pop(f"{package}.things", None)
    vars(buildkite_ci.tables).pop("things", None)
    catalog.cache_clear()


def test_a_file_is_a_table(add: Callable[..., None]) -> None:
    before = list(catalog())
    add()
    assert list(catalog()) == sorted([*before, "things"])
    assert (catalog()["things"].name, catalog()["things"].doc) == ("things", "Things.")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"more": 'col("id", "text", "Again.")'}, "things.py: column id is promised twice"),
        ({"more": 'col("more", "text", "Taken.")'}, "things.py: column more is promised twice"),
        ({"key": "uuid"}, "things.py: its key uuid is not among its columns"),
        ({"fetch": 'Inside("nothings")'}, "things.py: reads from 'nothings', which is no table"),
        ({"fetch": 'Rest("things", each="nothings")'}, "things.py: reads from 'nothings', which is no table"),
        ({"fetch": "GraphQL()"}, "things.py: its query is missing, things.graphql beside it"),
        ({"text": '"""Things."""\n'}, "things.py: says no TABLE = Table"),
        ({"text": FILE.replace('"""Things."""', "").format(fetch='Rest("x")', key="id", more="")}, "a docstring"),
    ],
)
def test_a_file_that_is_wrong_is_named(add: Callable[..., None], how: dict[str, str], said: str) -> None:
    add(**how)
    with pytest.raises(ValueError, match=said):
        catalog()


def test_find_gives_all_or_those_named_once() -> None:
    assert list(find()) == list(catalog())
    assert list(find(["jobs", "builds", "jobs"])) == ["jobs", "builds"]


@pytest.mark.parametrize(
    ("typed", "near"), [("build", "builds"), ("job", "jobs"), ("pipeline_metric", "pipeline_metrics")]
)
def test_find_knows_what_was_meant(typed: str, near: str) -> None:
    with pytest.raises(BadInput, match=rf"no table '{typed}'. Did you mean .*\b{near}\b"):
        find([typed])


def test_find_says_where_the_names_are() -> None:
    with pytest.raises(BadInput, match="`buildkite-elt tables` lists them"):
        find(["zzzzzzzz"])


def test_a_family_is_what_is_read_from_the_same_pages() -> None:
    found = {name: [table.name for table in tables] for name, tables in families(catalog().values()).items()}
    assert found["builds"] == ["builds", "jobs"]
    assert found["access_token"] == ["access_token", "access_token_scopes"]
    assert found["pipelines"] == ["pipelines"]
