"""What the destination holds already, asked in plain SQL through dlt's own client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation


def select(sql: str, tables: Mapping[str, str], values: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of a query, {column: value} each. `{name}` in it stands for a table, `%s` for a value.

    An empty list where a table is not there yet, no pipeline is running, or the destination does not speak SQL.
    """
    if not Container()[PipelineContext].is_active():
        return []
    try:
        with dlt.current.pipeline().sql_client() as client:
            placed = {name: client.make_qualified_table_name(table) for name, table in tables.items()}
            with client.execute_query(sql.format(**placed), *values) as cursor:
                names = [one[0] for one in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (DatabaseUndefinedRelation, SqlClientNotAvailable):
        return []


def rows(table: str, key: str, values: Iterable[str], columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of `table` whose `key` is among `values`, all columns or these."""
    wanted = list(values)
    if not wanted:
        return []
    told = ", ".join(f'"{column}"' for column in columns) or "*"
    marks = ", ".join(["%s"] * len(wanted))
    return select(f'SELECT {told} FROM {{table}} WHERE "{key}" IN ({marks})', {"table": table}, wanted)  # noqa: S608
