"""What the destination holds already, asked in plain SQL through dlt's own client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation

if TYPE_CHECKING:
    from dlt import Pipeline
    from dlt.destinations.sql_client import SqlClientBase

_CLIENTS: WeakKeyDictionary[Pipeline, SqlClientBase[Any]] = WeakKeyDictionary()


def client() -> SqlClientBase[Any] | None:
    """The running pipeline's SQL client, made once; None where no pipeline is running, or it does not speak SQL.

    While it makes one, dlt keeps in its list of settings that were looked up (cleared when a package is done) the
    frames of all callers, and so what they hold: asked for anew with each page, every page of the package.
    """
    if not Container()[PipelineContext].is_active():
        return None
    pipe: Any = Container()[PipelineContext].pipeline()
    if pipe not in _CLIENTS:
        try:
            _CLIENTS[pipe] = pipe.sql_client()
        except SqlClientNotAvailable:
            return None
    return _CLIENTS[pipe]


def select(sql: str, tables: Mapping[str, str], values: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of a query, {column: value} each. `{name}` in it stands for a table, `%s` for a value.

    An empty list where a table is not there yet, no pipeline is running, or the destination does not speak SQL.
    """
    asked = client()
    if asked is None:
        return []
    try:
        with asked:
            placed = {name: asked.make_qualified_table_name(table) for name, table in tables.items()}
            with asked.execute_query(sql.format(**placed), *values) as cursor:
                names = [one[0] for one in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except DatabaseUndefinedRelation:
        return []


def rows(table: str, key: str, values: Iterable[str], columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of `table` whose `key` is among `values`, all columns or these."""
    wanted = list(values)
    if not wanted:
        return []
    told = ", ".join(f'"{column}"' for column in columns) or "*"
    marks = ", ".join(["%s"] * len(wanted))
    return select(f'SELECT {told} FROM {{table}} WHERE "{key}" IN ({marks})', {"table": table}, wanted)  # noqa: S608
