"""A lock that all machines share which load into one dataset of a PostgreSQL server: an advisory one, of a session.

It is gone with the session, so nobody has to clear up after a load that was killed. A pooler that hands sessions on
(pgbouncer by transaction) does not keep it.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from buildkite_ci.errors import BuildkiteError

if TYPE_CHECKING:
    from dlt.destinations.sql_client import SqlClientBase

WHO = """
SELECT a.client_addr, a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.objsubid = 1 AND (l.classid::bigint << 32) | l.objid::bigint = %s
"""
OFTEN = 30.0
"""Seconds after which a session is asked whether it is still there; it also keeps what lies between from ending it."""


class Taken(Exception):
    """Another session holds the lock: the text says which."""


class Lost(BuildkiteError):
    """The session that held the lock is over."""


def key(dataset: str) -> int:
    """The lock's number: 64 bits with a sign."""
    made = hashlib.blake2b(f"buildkite-elt {dataset}".encode(), digest_size=8).digest()
    return int.from_bytes(made, "big", signed=True)


@contextlib.contextmanager
def held(client: SqlClientBase[Any], dataset: str, wait: float = 0.0) -> Iterator[Callable[[], None]]:
    """Hold a dataset's lock, which is waited for so many seconds: Taken where somebody else has it for longer.

    Gives what is to be called now and then: it raises Lost where the lock is no longer ours.
    """
    until = time.monotonic() + wait
    with client:
        while not _scalar(client, "SELECT pg_try_advisory_lock(%s)", key(dataset)):
            if time.monotonic() >= until:
                (address, pid) = (client.execute_sql(WHO, key(dataset)) or [(None, None)])[0]
                raise Taken(f"process {pid} of the server, for {address or 'its own machine'}")
            time.sleep(min(1.0, max(until - time.monotonic(), 0.0)))
        asked = time.monotonic()

        def still() -> None:
            nonlocal asked
            if time.monotonic() - asked < OFTEN:
                return
            try:
                client.execute_sql("SELECT 1")
            except Exception as error:
                raise Lost(
                    "The connection that kept other loads away from the dataset broke. What was committed stays, and "
                    "the next load goes on from there"
                ) from error
            asked = time.monotonic()

        yield still


def _scalar(client: SqlClientBase[Any], sql: str, *values: Any) -> Any:
    rows = client.execute_sql(sql, *values)
    return rows[0][0] if rows else None
