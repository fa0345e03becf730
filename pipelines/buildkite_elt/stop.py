"""Ctrl-C and SIGTERM. In a load what was read is committed, and nothing more is asked for; a query ends at once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from buildkite_ci.errors import Stopped

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While it is entered, the first signal only makes a note (and ends what blocks); the second interrupts at once."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.asked: int | None = None
        self._sleep, self._blocked = sleep, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if _main():
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, _: FrameType | None) -> None:
        if self.asked is not None:
            raise KeyboardInterrupt
        self.asked = number
        if self._blocked:
            raise Stopped

    @contextlib.contextmanager
    def blocking(self) -> Iterator[None]:
        """Around what may take long and can be broken off: Stopped where a signal comes meanwhile."""
        if not _main():
            yield
            return
        before, self._blocked = self._blocked, True
        try:
            yield
        finally:
            self._blocked = before

    def sleep(self, seconds: float) -> None:
        with self.blocking():
            self._sleep(seconds)

    def obey(self) -> None:
        """End as the signal wants it, now that what was read is committed."""
        if self.asked == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.asked is not None:
            raise KeyboardInterrupt


def _main() -> bool:
    """Whether this is the thread that hears signals."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def interrupting(connection: DuckDBPyConnection) -> Iterator[None]:
    """Ctrl-C ends what the connection is asked at once, as KeyboardInterrupt.

    Python runs a handler between two instructions, and a query is one; but it tells of a signal on a socket at once.
    """
    import duckdb

    told, telling = socket.socketpair()
    telling.setblocking(False)

    def watch() -> None:
        while signals := told.recv(16):
            if signal.SIGINT in signals:
                connection.interrupt()

    before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except (duckdb.InterruptException, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != "Query interrupted":  # DuckDB's other word for it
            raise
        raise KeyboardInterrupt from None
    finally:
        signal.set_wakeup_fd(before)
        telling.close()
        watcher.join()
        told.close()
