"""What a load tells whoever watches it from afar: lines of JSON on standard error, and a file of metrics.

Both tell of every end: of a load that failed or was interrupted as of one that is done.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import failures, show

if TYPE_CHECKING:
    from .loads import Outcome

LOG = logging.getLogger("buildkite_elt")
LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Load:
    """A load that is watched: its id, and how long ago it began."""

    run_id: str
    began: float

    @property
    def seconds(self) -> float:
        return round(time.time() - self.began, 3)


def lines(wanted: bool) -> None:
    """Begin to log in JSON on standard error, warnings of libraries too, or end it."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if one.name == LOG.name]:
        root.removeHandler(handler)
    LOG.setLevel(logging.INFO if wanted else logging.NOTSET)
    logging.captureWarnings(wanted)
    if wanted:
        root.addHandler(_handler())


def _handler() -> logging.Handler:
    from pythonjsonlogger.json import JsonFormatter

    from buildkite_ci.privacy import redact

    class Redacted(JsonFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            return {name: redact(value) if isinstance(value, str) else value for name, value in log_data.items()}

    handler = logging.StreamHandler(sys.stderr)
    handler.name = LOG.name
    renamed = {"levelname": "level", "message": "event"}
    handler.setFormatter(Redacted("%(levelname)s%(message)s", rename_fields=renamed, timestamp="time"))
    return handler


def in_lines() -> bool:
    """Whether this command logs in JSON."""
    return any(one.name == LOG.name for one in logging.getLogger().handlers)


def tell(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """One line, where lines are wanted; fields that are None are left out."""
    LOG.log(level, event, extra={name: value for name, value in fields.items() if value is not None})


def say(text: str, code: int) -> None:
    """The sentence of a failure, as this command tells of itself."""
    if in_lines():
        tell("failed", logging.ERROR, error=text, exit_code=code)
    else:
        show.note(text, "red")


class Lines(show.Progress):
    """The progress of a load as lines of JSON: loads.Progress, and its `sleep`."""

    def __init__(self, run_id: str) -> None:
        super().__init__(silent=True)
        self.log, self.packages = partial(tell, run_id=run_id), dict[str, int]()

    def __call__(self, outcome: Outcome, name: str, rows: int, budget: Any) -> None:
        log = partial(self.log, organization=outcome.organization)
        if outcome.packages > self.packages.get(outcome.organization, 0):
            self.packages[outcome.organization] = outcome.packages
            log("package_committed", packages=outcome.packages)
        spent = budget.spent
        requests, points = sum(one.requests for one in spent.values()), spent["graphql"].points
        log("page_read", table=name, rows=rows, requests=requests, points=points)

    def sleep(self, seconds: float) -> None:
        self.log("waiting", seconds=round(seconds, 3))
        time.sleep(seconds)


def progress(run_id: str, log_format: str, silent: bool) -> show.Progress:
    """What tells of a load while it runs."""
    lines(log_format == "json")
    return Lines(run_id) if log_format == "json" else show.Progress(silent=silent)


@contextlib.contextmanager
def watched(run_id: str, metrics: Path | None = None) -> Iterator[list[Outcome]]:
    """Around a load: gives the list that its outcomes are to be put into, and tells in the end what came of it."""
    from . import metrics as prometheus
    from . import outcomes as tells

    if metrics:
        prometheus.prepare(metrics)
    load, outcomes, code = Load(run_id, time.time()), list[Any](), 0
    tell("load_started", run_id=run_id)
    try:
        yield outcomes
        code = tells.code(outcomes)
    except BaseException as error:
        code = failures.code(error)
        if outcomes:  # otherwise nothing was asked for, and no table knows the id
            failures.noted(error, run_id)
        with contextlib.suppress(OSError):  # what ended the load is the worse news
            _ended(load, outcomes, code, metrics)
        raise
    _ended(load, outcomes, code, metrics)


def _ended(load: Load, outcomes: list[Outcome], code: int, metrics: Path | None) -> None:
    from . import books
    from . import metrics as prometheus

    for one in outcomes:
        log = partial(tell, run_id=load.run_id, organization=one.organization)
        for table, (what, why) in books.became(one).items():
            level = logging.ERROR if what == "failed" else logging.INFO if what == "loaded" else logging.WARNING
            log(f"table_{what}", level, table=table, rows=one.rows.get(table, 0), reason=why)
        for table, why in one.warnings.items():
            log("warning", logging.WARNING, table=table, reason=why)
        spent: dict[str, Any] = {
            "requests": one.requests,
            "points": one.points,
            "refused": one.refused,
            "waited_seconds": one.waited,
        }
        log("organization_ended", packages=one.packages, rows=sum(one.rows.values()), **spent)
    level = logging.INFO if code == 0 else logging.WARNING if code == 3 else logging.ERROR
    tell("load_ended", level, run_id=load.run_id, exit_code=code, seconds=load.seconds)
    if metrics:
        prometheus.write(metrics, load, outcomes, code)
