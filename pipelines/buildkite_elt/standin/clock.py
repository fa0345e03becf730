"""The stand-in's time: it can stand still, run with the real one, and be moved on."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """`now()` is `start`, plus what was moved on, plus (running=True) the real time since it was made."""

    def __init__(self, start: datetime, *, running: bool = False) -> None:
        if start.tzinfo is None:
            raise ValueError("start needs a time zone")
        self._start, self._running = start.astimezone(UTC), running
        self._moved = timedelta()
        self._made = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        passed = timedelta(seconds=time.monotonic() - self._made) if self._running else timedelta()
        return self._start + self._moved + passed

    def move(self, by: timedelta | float) -> None:
        """Move on by a timedelta or by seconds; never back."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta():
            raise ValueError("time does not go back")
        with self._lock:
            self._moved += step

    def sleep(self, seconds: float) -> None:
        """A stand-in for time.sleep: moves this clock instead of waiting."""
        self.move(seconds)
