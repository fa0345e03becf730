"""Families of tables as dlt resources: hidden pages, fetched once, and a reader for each table on top of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dlt

from . import warehouse
from .catalog import catalog, families, with_families
from .extract import Run
from .rest import Page
from .table import Also, Errand, GraphQL, Table
from .typed import in_passing

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.extract import DltResource, DltSource

KINDS = {"email": "text", "ip": "text", "url": "text", "env": "json", "variable": "text"}
"""The data types of ours that dlt does not know, as its own."""

ROWS, BYTES = 10000, 32 << 20
"""What a table holds of some pages before dlt writes it down."""
Reader = Callable[[Page], Iterator["pa.Table"]]


@dataclass(frozen=True)
class End:
    """Comes after the last page of a family: how many there were."""

    pages: int


def source(run: Run, tables: Sequence[str] = ()) -> DltSource:
    """A dlt source of a prepared run, as `buildkite()` is one of settings."""
    made = dlt.source(resources, name="buildkite_ci", max_table_nesting=0)
    return made(run, with_families(tables))


class _KnownDifference(logging.Filter):
    """dlt warns, page by page, that a JSON column is a string in Arrow; it is, on purpose (dlt has no other way)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "several column hints were different" not in record.getMessage()


KNOWN_DIFFERENCE = _KnownDifference()


def resources(run: Run, tables: Mapping[str, Table]) -> Iterator[DltResource]:
    """A dlt resource for each table; a family's pages are fetched once for all its readers."""
    logging.getLogger("dlt").addFilter(KNOWN_DIFFERENCE)
    done = catalog()["errands"]
    yield dlt.resource([done.read(())], name=done.name, **hints(done))
    pages: dict[str, DltResource] = {}
    for family, readers in families(tables.values()).items():
        how = catalog()[family].fetch
        alone = isinstance(how, GraphQL) and not (how.many or how.since)  # a budget of its own, and nothing of dlt's
        fetched = _to_the_end(run.pages(catalog()[family]))
        pages[family] = dlt.resource(fetched, name=f"{family}_pages", selected=False, parallelized=alone)
        for table in readers:
            yield pages[family] | dlt.transformer(_together(_reader(run, table)), name=table.name, **hints(table))
    for table in tables.values():
        if isinstance(table.fetch, Errand) or table.name in run.noted:
            told, name = hints(done) | {"table_name": done.name}, f"errands_of_{table.name}"
            yield pages[table.name] | dlt.transformer(_together(_entries(run, done)), name=name, **told)
        if table.also and table.also.table in pages:
            told, name = hints(table) | {"table_name": table.name}, f"{table.name}_in_{table.also.table}"
            passing = _together(_in_passing(run, table, table.also))
            yield pages[table.also.table] | dlt.transformer(passing, name=name, **told)


def _to_the_end(pages: Iterator[Page]) -> Iterator[Page | End]:
    count = 0
    for page in pages:
        count += 1
        yield page
        del page
    yield End(count)


def _together(reader: Reader) -> Callable[[Page | End], Iterator[pa.Table]]:
    """The rows of some pages at a time: with each table that dlt is given it compares all columns anew. It may give the
    end before the pages, since it goes on with one page here and another there."""
    held: list[pa.Table] = []
    seen, pages, size = 0, -1, 0

    def read(page: Page | End) -> Iterator[pa.Table]:
        import pyarrow as pa

        nonlocal seen, pages, size
        if isinstance(page, End):
            pages = page.pages
        else:
            seen += 1
            made = list(reader(page))
            held.extend(made)
            size += sum(one.nbytes for one in made)
        del page  # dlt asks for the next page before it comes back here
        if held and (seen == pages or sum(map(len, held)) >= ROWS or size >= BYTES):
            whole, size = pa.concat_tables(held), 0
            held.clear()
            yield whole

    return read


def _reader(run: Run, table: Table) -> Reader:
    def read(page: Page) -> Iterator[pa.Table]:
        made: list[pa.Table] = []
        if page.arrow is None or (isinstance(table.fetch, Errand) and table.name not in page.arrow):
            made.append(run.read(table, page))
        elif table.name in page.arrow:
            made.append(run.placed(table, page.arrow[table.name]))
        if page.gone and any(column.name == "gone_at" for column in table.columns):
            made.append(_gone(table, page))
        yield from made

    return read


def _entries(run: Run, table: Table) -> Reader:
    def read(page: Page) -> Iterator[pa.Table]:
        if page.entries:
            yield run.read(table, Page([dict(one) for one in page.entries], page.at))

    return read


def _in_passing(run: Run, table: Table, also: Also) -> Reader:
    """Reads what other pages show of a table, as far as neither this load nor the warehouse has it."""
    had: set[str] = set()

    def read(page: Page) -> Iterator[pa.Table]:
        listed = {item["id"] for one in run.listed(table) for item in one.items}
        shown = {one: find for item in page.items for one, find in in_passing(item.get(also.rows), also.name)}
        new = shown.keys() - had - listed
        new -= {row["id"] for row in warehouse.rows(table.name, "id", new, ("id",))}
        had.update(new)
        if new:
            yield run.read(table, Page([dict(shown[one]()) for one in sorted(new)], page.at))

    return read


def _gone(table: Table, page: Page) -> pa.Table:
    """The rows of what is not there any more, as they were, marked."""
    import pyarrow as pa

    schema = table.schema()
    kept = warehouse.rows(table.name, "id", page.gone, schema.names)
    return pa.Table.from_pylist([{**row, "gone_at": row["gone_at"] or page.at} for row in kept], schema=schema)


def hints(table: Table) -> dict[str, Any]:
    """How dlt loads a table: its key, its columns, and what a new row does to an old one.

    A snapshot (replace, scd2) speaks for one organization, so it replaces or retires that organization's rows only.
    """
    names = [column.name for column in table.all_columns]
    columns: dict[str, Any] = {
        c.name: {"data_type": KINDS.get(c.type, c.type), "description": c.doc, "nullable": c.name not in table.key}
        for c in table.all_columns
    }
    bound = "organization_slug" if "organization_slug" in names else None
    if table.load == "append":
        return {"write_disposition": "append", "columns": columns}
    if table.load == "scd2":
        how = {"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"}
        return {"write_disposition": how, "columns": columns, "merge_key": bound}
    if "last_seen_at" in names:
        columns["last_seen_at"]["dedup_sort"] = "desc"
    how = {"disposition": "merge", "strategy": "delete-insert"}
    if table.whole:
        return {"write_disposition": how, "columns": columns, "merge_key": table.whole}
    # With a primary key as well, dlt deletes what has the one or the other: every row is held against every row.
    keys = {"merge_key": bound} if table.load == "replace" and bound else {"primary_key": table.key}
    return {"write_disposition": how, "columns": columns, **keys}
