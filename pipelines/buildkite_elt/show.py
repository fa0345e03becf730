"""Printing: tables for people, JSON and CSV for programs, progress while a load runs.

Whatever comes from the API or from a database goes through `clean` first: a build's message must not steer a terminal.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from .loads import Outcome

STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""C0 and C1 controls (ESC among them), what turns the direction of writing, line separators, half characters."""

LONGEST = 60
"""Characters of a cell that a table for people shows."""


def clean(value: Any, keep: str = "") -> str:
    """Text that is safe to print: steering characters gone, white space one blank; those in `keep` stay."""
    text = str(value)
    if not keep:
        text = re.sub(r"[\t\n\r]+", " ", text)
    return STEERING.sub(lambda found: found[0] if found[0] in keep else "", text)


def console(*, error: bool = False) -> Console:
    """Standard output or error as they are now. Where nobody watches, wide: a pipe has no right margin."""
    one = Console(stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not one.is_terminal:
        one.width = 160
    return one


def say(text: str, style: str = "") -> None:
    """A line for people on standard output; a `style` is rich's."""
    console().print(Text(clean(text, keep="\n"), style=style), soft_wrap=True)


def note(text: str, style: str = "") -> None:
    """A line on standard error."""
    console(error=True).print(Text(clean(text, keep="\n"), style=style), soft_wrap=True)


def plain(value: Any) -> Any:
    """What JSON has no word for: moments in ISO 8601, spans in seconds, bytes in hex, anything else as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


NARROW = 70
"""Columns of a terminal below which a table that does not fit is told line by line."""


def as_json(document: Any) -> None:
    """One JSON document on standard output, in ASCII, so that it steers nothing either."""
    sys.stdout.write(json.dumps(_finite(document), indent=2, default=plain, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated values with a header on standard output; nulls are empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([clean(name) for name in names])
    for row in rows:
        told = (plain(v) if isinstance(v, datetime | date) else v for v in row)
        writer.writerow(["" if v is None else clean(v, keep="\n\t") for v in told])


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, timedelta):
        return span(value.total_seconds())
    return clean(value)


def span(seconds: float) -> str:
    """12 s, 3.5 min, 7.2 h, 4 days."""
    for length, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """640 B, 2.5 kB, 17 MB, 1.2 GB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.2g} {name}" if count < 10 * unit else f"{count / unit:,.0f} {name}"
    return f"{count:.0f} B"


def table(names: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "", cut: int | None = None) -> bool:
    """A table on standard output, or where it is too wide one line a value.

    Cells are cut after so many characters, if any; returns whether one was.
    """
    to, numbers = console(), (int, float, Decimal, timedelta)
    texts = [[cell(value) for value in row] for row in rows]
    shown = [[text if cut is None or len(text) <= cut else text[: cut - 1] + "…" for text in row] for row in texts]
    shortened = texts != shown
    if title:
        to.print(Text(title, style="bold"))
    widths = [max(len(name), *(len(row[n]) for row in shown), 0) for n, name in enumerate(names)]
    if sum(widths) + 2 * len(names) > to.width and (len(names) > 6 or to.width < NARROW):
        _records(to, names, shown)
        return shortened
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for n, name in enumerate(names):
        right = any(isinstance(row[n], numbers) and not isinstance(row[n], bool) for row in rows)
        grid.add_column(Text(clean(name)), justify="right" if right else "left", overflow="fold")
    for row in shown:
        grid.add_row(*map(Text, row))
    to.print(grid)
    to.print()
    return shortened


def _records(to: Console, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as lines of `name  value`."""
    widest = max(map(len, names))
    for number, row in enumerate(rows, 1):
        to.print(Text(f"── row {number}", style="dim"))
        for name, text in zip(names, row, strict=True):
            to.print(Text(f"{clean(name):<{widest}}  ", style="dim") + Text(text, style="default"))
    to.print()


def pairs(values: Mapping[str, Any]) -> None:
    """`name  value` lines on standard output."""
    to, widest = console(), max(map(len, values))
    for name, value in values.items():
        to.print(Text(f"{name:<{widest}}  ", style="dim") + Text(cell(value), style="default"), soft_wrap=True)


class Progress:
    """What a load does, on standard error: a line that moves on a terminal, one now and then elsewhere, or nothing.

    Give it to loads.load as `progress`, and its `sleep` as `sleep`, so that a wait is told.
    """

    def __init__(self, *, silent: bool = False, every: float = 5.0) -> None:
        self.to, self.silent, self.every = console(error=True), silent, every
        self.spinner = Spinner("dots", Text("asking …"))
        self.live = Live(self.spinner, console=self.to, transient=True, refresh_per_second=8)
        self.moving = self.to.is_terminal and not silent
        self.last = time.monotonic()

    def __enter__(self) -> Progress:
        if self.moving:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.moving:
            self.live.stop()

    def __call__(self, outcome: Outcome, name: str, rows: int, budget: Any) -> None:
        """loads.Progress: one page of one table was read."""
        self.tell(f"{outcome.organization} · {name} · {line(outcome.rows, budget)}{_way(outcome)}")

    def sleep(self, seconds: float) -> None:
        """Wait, and say so."""
        self.tell(f"waiting {seconds:.0f} s before asking again", now=seconds >= 2)
        time.sleep(seconds)

    def tell(self, text: str, now: bool = False) -> None:
        if self.moving:
            self.spinner.update(text=Text(clean(text)))
        elif not self.silent and (now or time.monotonic() - self.last >= self.every):
            self.last = time.monotonic()
            self.to.print(Text(clean(text)), soft_wrap=True)


def _way(outcome: Outcome) -> str:
    """How far back a load has come, and how long the rest takes if it goes on like this; empty before it is known."""
    if not outcome.reached or not 0.02 < outcome.share < 0.999:
        return ""
    left = outcome.seconds * (1 - outcome.share) / outcome.share
    return f", builds back to {outcome.reached:%Y-%m-%d %H:%M}, about {span(left)} left"


def line(rows: Mapping[str, int], budget: Any) -> str:
    """`12 tables, 3,456 rows, 40 requests (10 left), 20 points (4,980 left)`."""
    told = [f"{len(rows)} tables", f"{sum(rows.values()):,} rows"]
    for api, amount, what in (
        ("rest", budget.spent["rest"].requests, "requests"),
        ("graphql", budget.spent["graphql"].points, "points"),
    ):
        left = budget.left(api)
        told.append(f"{amount:,} {what}" + (f" ({left:,} left)" if left is not None else ""))
    return ", ".join(told)
