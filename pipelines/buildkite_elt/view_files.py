"""The views in another engine's SQL: a .sql file each, in the order in which they can be created.

For a warehouse that holds the tables and in which no load of ours made the views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput

from . import show, status, views
from .views import engines

MARK = "-- Written by `buildkite-elt export --views`, and written anew by it.\n"
NAMES = "[0-9][0-9][0-9]_*.sql"


@dataclass(frozen=True)
class Written:
    """What an engine can be told: SQL by view, in order, and the views that are left out, with the reason."""

    sql: Mapping[str, str]
    out: Mapping[str, str]


def written(dialect: str, dataset: str, there: Iterable[str]) -> Written:
    """CREATE VIEW of every view over these tables. dialect: sqlglot's name."""
    known = {*there, *views.DATA}
    sql: dict[str, str] = {}
    out: dict[str, str] = {}
    for view in views.views().values():
        if missing := sorted(view.reads - view.without - known - views.views().keys()):
            out[view.name] = f"{', '.join(missing)} not loaded"
        elif unmade := sorted(view.reads & out.keys()):
            out[view.name] = f"reads {', '.join(unmade)}"
        else:
            try:
                sql[view.name] = _create(view, dialect, dataset, known)
            except UnsupportedError as error:
                out[view.name] = str(error).splitlines()[0].replace("translation not supported", "cannot be said")
            except ValueError as error:
                out[view.name] = str(error)
            known |= sql.keys()
    return Written(sql, out)


def _create(view: views.View, dialect: str, dataset: str, known: Iterable[str]) -> str:
    """Read back as that engine's, so that what it could not even parse is not written."""
    name = engines.portable(exp.table_(view.name, db=dataset, quoted=True), dialect)
    text = view.placed(dataset, {*known}, dialect, unsupported_level=ErrorLevel.RAISE, pretty=True)
    made = f"CREATE OR REPLACE VIEW {name.sql(dialect)} AS\n{text}"
    sqlglot.parse_one(made, read=dialect)
    return made


def data(dialect: str, dataset: str) -> str:
    """What makes the tables of rules and prices."""
    told = (one for text in views.data(dataset, {}) for one in sqlglot.parse(text, read="duckdb") if one)
    return "".join(f"{engines.portable(one, dialect).sql(dialect)};\n" for one in told)


def export(folder: Path, dialect: str, database: Path, dataset: str) -> Written:
    """Write FOLDER/000_data.sql and a file for each view. Of a file that is there its tables count, else all do."""
    if dialect not in engines.RULES:
        raise BadInput(f"--dialect does not know {dialect!r}. There are {', '.join(sorted(engines.RULES))}.")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file: give a folder for the views")
    old = [*folder.glob("*")] if folder.exists() else []
    if any(not (one.match(NAMES) and one.read_text("utf-8", errors="replace").startswith(MARK)) for one in old):
        raise BadInput(f"{folder} holds what no earlier export wrote: give another folder")
    there = {*catalog()}
    if database.exists():
        with status.opened(database, dataset) as connection:
            there &= status.tables(connection).keys()
    done = written(dialect, dataset, there)
    for one in old:
        one.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for place, (name, text) in enumerate({"data": data(dialect, dataset), **done.sql}.items()):
        (folder / f"{place:03}_{name}.sql").write_text(MARK + text.removesuffix(";\n") + ";\n", encoding="utf-8")
    return done


def tell(done: Written, folder: Path, dialect: str, database: Path) -> None:
    """What was written, for people."""
    over = f"the tables that {database} holds" if database.exists() else "every table there is"
    show.say(f"{len(done.sql)} views over {over} are in {folder}, in {dialect}'s SQL: run the files in order.")
    for name, reason in sorted(done.out.items()):
        show.say(f"  left out: {name} ({reason})")
