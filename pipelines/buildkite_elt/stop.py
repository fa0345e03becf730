"""Ctrl-C and SIGTERM in a load: what was read is committed, and nothing more is asked for."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from buildkite_ci.errors import Stopped

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
