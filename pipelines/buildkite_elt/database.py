"""The DuckDB file: made so that DuckDB 1.x opens it and nobody else reads it, and opened with errors that help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from buildkite_ci.errors import BadInput

if TYPE_CHECKING:
    import duckdb
    import tenacity

STORAGE = "v1.2.0"
"""A file of DuckDB 2's own version cannot be opened by 1.x; one of this version is, by both."""


class DatabaseTrouble(BadInput):
    """The file cannot be used; the text says why and what to do."""


def patient() -> tenacity.Retrying:
    """Calls what opens the file again while DuckDB is closing it in another thread of this process: it refuses to then,
    for some milliseconds."""
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: "already attached" in str(error)),
        stop=tenacity.stop_after_delay(30),
        wait=tenacity.wait_random(0, 0.05),
        reraise=True,
    )


def sane(path: Path) -> None:
    """Raise DatabaseTrouble where `path` cannot be a file."""
    if not path.name:
        raise DatabaseTrouble("--database is empty: give a file name, such as buildkite.duckdb")
    for above in path.parents:
        if above.exists() and not above.is_dir():
            raise DatabaseTrouble(f"{above} is a file, not a folder: give another --database")
    if path.is_dir():
        raise DatabaseTrouble(f"{path} is a folder: give a file name, such as {path / 'buildkite.duckdb'}")


def prepare(path: Path) -> None:
    """Make the file if it is not there, and see that it can be written. Raises DatabaseTrouble."""
    import duckdb

    sane(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            half = path.with_name(path.name + ".new")  # whoever is killed here leaves no half a file under its name
            half.unlink(missing_ok=True)
            quoted = str(half).replace("'", "''")
            with duckdb.connect() as connection:
                connection.execute(f"ATTACH '{quoted}' AS new (STORAGE_VERSION '{STORAGE}')")
            half.chmod(0o600)
            half.replace(path)
        elif not os.access(path, os.W_OK):
            raise DatabaseTrouble(f"{path} is read-only: make it writable, or give another --database")
        else:
            connect(path, read_only=False).close()
    except OSError as error:
        raise DatabaseTrouble(f"{path} cannot be written ({error.strerror}): give another --database") from error
    except duckdb.Error as error:
        raise _named(path, error) from error


def connect(path: Path, *, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection in UTC. Raises DatabaseTrouble where there is no such file, it is in use, or no DuckDB file."""
    import duckdb

    sane(path)
    if not path.exists():
        raise DatabaseTrouble(f"There is no {path} yet: `buildkite-elt demo` or `buildkite-elt load` makes it")
    try:
        connection = patient()(duckdb.connect, str(path), read_only=read_only)
        connection.execute("SET TimeZone = 'UTC'")
    except duckdb.Error as error:
        raise _named(path, error) from error
    return connection


def _named(path: Path, error: Exception) -> DatabaseTrouble:
    text = str(error)
    if "lock" in text.lower():
        return DatabaseTrouble(f"{path} is open in another program: close it there, or wait until its load is done")
    if "not a valid DuckDB" in text or "not a DuckDB" in text:
        return DatabaseTrouble(f"{path} is not a DuckDB file: give another --database")
    if "No space left" in text:
        return DatabaseTrouble(f"The disk that holds {path} is full: free some space and load again, nothing is lost")
    return DatabaseTrouble(f"{path} cannot be opened: {text.splitlines()[0]}")
