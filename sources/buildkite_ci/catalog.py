"""The catalogue: every file in `tables/` is a table. Nothing is registered anywhere else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from .errors import BadInput
from .table import Errand, GraphQL, Ours, Rest, Table

TABLES = Path(__file__).parent / "tables"


@cache
def catalog() -> Mapping[str, Table]:
    """Every table by name, in alphabetical order. Raises ValueError, naming the file, where one is wrong."""
    files = sorted(path for path in TABLES.glob("*.py") if not path.stem.startswith("_"))
    tables = {path.stem: _bound(path) for path in files}
    for table in tables.values():
        _check(table, tables)
    return MappingProxyType(tables)


def _bound(path: Path) -> Table:
    """The file's TABLE with its name and its documentation."""
    module = import_module(f".tables.{path.stem}", __package__)
    table = getattr(module, "TABLE", None)
    if not isinstance(table, Table):
        raise ValueError(f"{path.name}: says no TABLE = Table(…)")
    if not module.__doc__:
        raise ValueError(f"{path.name}: its first line should say what the table is (a docstring)")
    return replace(table, name=path.stem, doc=module.__doc__.strip())


def _check(table: Table, tables: Mapping[str, Table]) -> None:
    """What a file may get wrong that Python does not see."""
    names = [column.name for column in table.all_columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{table.name}.py: column {', '.join(twice)} is promised twice")
    if not set(table.key) <= set(names):
        raise ValueError(f"{table.name}.py: its key {', '.join(table.key)} is not among its columns")
    fetch = table.fetch
    other = fetch.each if isinstance(fetch, Rest) else fetch.of if isinstance(fetch, Errand) else table.family
    if other and other not in tables:
        raise ValueError(f"{table.name}.py: reads from {other!r}, which is no table")
    lonely = isinstance(fetch, GraphQL) or (isinstance(fetch, Errand) and not fetch.path)
    if lonely and not twin(table).exists():
        raise ValueError(f"{table.name}.py: its query is missing, {table.name}.graphql beside it")


def twin(table: Table) -> Path:
    """The file of a GraphQL table's query."""
    return TABLES / f"{table.name}.graphql"


def find(names: Iterable[str] = ()) -> dict[str, Table]:
    """The tables of these names (all for none). Raises BadInput with the nearest names."""
    every = catalog()
    wanted = list(dict.fromkeys(names)) or list(every)
    for name in wanted:
        if name not in every:
            near = difflib.get_close_matches(name, every, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else "`buildkite-elt tables` lists them."
            raise BadInput(f"There is no table {name!r}. {hint}")
    return {name: every[name] for name in wanted}


def families(tables: Iterable[Table]) -> dict[str, list[Table]]:
    """Tables by the pages they are read from: one family is fetched once and loaded together."""
    found: dict[str, list[Table]] = {}
    for table in tables:
        found.setdefault(table.family, []).append(table)
    return found


def with_families(names: Sequence[str] = ()) -> dict[str, Table]:
    """The tables of these names and all that are read from the same pages: they cost nothing more, and a page that
    was read for one of them would otherwise never be read for the others. For no names, all that are loaded by default.
    """
    wanted = {table.family for table in find(names).values() if names or table.by_default}
    return {n: table for n, table in catalog().items() if table.family in wanted and not isinstance(table.fetch, Ours)}
