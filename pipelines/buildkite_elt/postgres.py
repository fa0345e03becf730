"""PostgreSQL as a load wants it: no wait without end, views that a reader sees all old or all new, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dlt.destinations import postgres

from buildkite_ci.errors import BuildkiteError

from . import views

OPTIONS = "-c lock_timeout=30s"
"""Of each session, before the user's own options, so that these win. Who waits for a lock holds up readers too."""
NETWORK = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""A server that is gone without a word is missed after a minute; the system would wait for two hours."""
SHORT = "500ms"
"""How long a view is waited for. After a second PostgreSQL looks for deadlocks, and might end the reader."""
TRIES, PAUSE = 5, 2.0
"""How often the views are tried, and the seconds between."""

HINTS = {
    r"password authentication|no password|role \S+ does not exist|pg_hba": "Give another user or password under "
    "[destination.postgres.credentials] in .dlt/secrets.toml, or in dlt's environment variables",
    r"database \S+ does not exist": "Create it, or name another one in dlt's settings",
    r"permission denied|must be owner": "Let this user create schemas (GRANT CREATE ON DATABASE …), "
    "or make it the owner of {dataset} and {dataset}_staging",
    r"statement timeout|user request": "Give its statements more time: ALTER ROLE … SET statement_timeout = 0",
    r"duplicate key": "The connection broke off while it was written, so it is read again",
    r"lock timeout|deadlock": "Another session's transaction holds what the load must change: end it "
    "(pg_stat_activity tells which), or wait",
    r"could not translate|refused|timeout expired|timed out|[Rr]eset by peer|closed|terminat|starting up"
    r"|shutting down|recovery|unreachable": "See that the server runs, and is there under this host and port",
}
"""What to do, by what the server or its driver says."""


class Held(BuildkiteError):
    """Somebody's transaction has read a view and is still open, so no view can be replaced."""


class Postgres(postgres):
    """dlt's destination, with these settings."""

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        found = super().configuration(initial_config, accept_partial)
        if found.credentials:
            own = dict(found.credentials.query or {})
            if OPTIONS not in own.get("options", ""):
                own["options"] = f"{OPTIONS} {own.get('options', '')}".strip()
            found.credentials.query = NETWORK | own
        return found


def hint(said: str, dataset: str) -> str:
    """A sentence of HINTS, or none."""
    found = (told for pattern, told in HINTS.items() if re.search(pattern, said))
    return next((f"{told.format(dataset=dataset)}. " for told in found), "")


def make_views(
    connection: Any, dataset: str, there: Iterable[str], files: Mapping[str, str], sleep: Callable[[float], None]
) -> dict[str, str]:
    """views.create in one transaction of a psycopg2 connection. Where a reader holds a view it is tried again; Held in
    the end, and all views are as they were."""
    from psycopg2 import errors  # type: ignore[import-untyped]

    for _ in range(TRIES):
        try:
            return _at_once(connection, dataset, there, files)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            sleep(PAUSE)
    raise Held(
        "The views stay as they were, since another session's transaction reads one of them: end it "
        "(pg_stat_activity tells which), and the next load makes them anew"
    )


def _at_once(connection: Any, dataset: str, there: Iterable[str], files: Mapping[str, str]) -> dict[str, str]:
    import psycopg2

    connection.autocommit = False
    with connection, connection.cursor() as cursor:

        def execute(text: str) -> None:
            """What fails leaves the rest of the transaction as it is."""
            cursor.execute("SAVEPOINT one")
            try:
                cursor.execute(text)
            except psycopg2.Error:
                if not connection.closed:
                    cursor.execute("ROLLBACK TO SAVEPOINT one")
                raise
            cursor.execute("RELEASE SAVEPOINT one")

        cursor.execute(f"SET LOCAL lock_timeout = '{SHORT}'")
        return views.create(execute, dataset, there, files, "postgres")
