"""What the destination holds already, asked in plain SQL through dlt's own client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation


def rows(table: str, key: str, values: Iterable[str], columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of the running pipeline's `table` whose `key` is among `values`, all columns or these.

    None where the table is not there yet, or the destination does not speak SQL.
    """
    wanted = list(values)
    if not wanted or not Container()[PipelineContext].is_active():
        return []
    try:
        with dlt.current.pipeline().sql_client() as client:
            name, quoted = client.make_qualified_table_name(table), client.escape_column_name
            told = ", ".join(quoted(column) for column in columns) or "*"
            marks = ", ".join(["%s"] * len(wanted))
            query = f"SELECT {told} FROM {name} WHERE {quoted(key)} IN ({marks})"  # noqa: S608 - quoted by dlt
            with client.execute_query(query, *wanted) as cursor:
                names = [one[0] for one in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (DatabaseUndefinedRelation, SqlClientNotAvailable):
        return []
