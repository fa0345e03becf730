"""A load as metrics for Prometheus, in a text file as the textfile collector of node_exporter reads it.

Moments and not ages: a file says the same for as long as no load writes it anew, and `time() - moment` tells the lag.
Moments of tables that this load did not read stay as the file had them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from buildkite_ci.errors import BadInput

from . import __version__, books

if TYPE_CHECKING:
    from .loads import Outcome
    from .watching import Load

METRICS = {
    "load_info": ("run_id version", "The last load: its id in sync_runs and in the log; always 1."),
    "load_exit_code": (
        "",
        "Exit code of the last load: 0 done, 1 failed, 3 partly loaded, 4 another load was running.",
    ),
    "load_duration_seconds": ("", "How long the last load took."),
    "load_end_timestamp_seconds": ("", "When the last load ended."),
    "load_success_timestamp_seconds": ("", "When the last load ended that loaded all it was to load (exit code 0)."),
    "requests": ("organization api", "Requests that the last load was answered."),
    "points": ("organization", "GraphQL points that the last load spent."),
    "refused": ("organization api", "Answers 429 in the last load."),
    "waited_seconds": ("organization", "Seconds that the last load waited for a rate limit."),
    "rows": ("organization table", "Rows that the last load read."),
    "missing_builds": ("organization", "Builds that `verify` found at Buildkite and that no load has read yet."),
    "table_loaded": ("organization table", "1 where the last load loaded the table, 0 where it left it out or failed."),
    "table_read_timestamp_seconds": ("organization table", "When a load last ended that loaded the table."),
    "table_covered_timestamp_seconds": ("organization table", "Creation: until when every build has been read."),
    "table_oldest_missing_timestamp_seconds": (
        "organization table",
        "Creation of the oldest build or job that waits to be loaded; no sample where none does.",
    ),
}
"""Name without the prefix: its labels, and its sentence."""
PREFIX = "buildkite_elt_"
KEPT = ("load_success_timestamp_seconds", "table_read_timestamp_seconds", "table_covered_timestamp_seconds")
KEPT_TOO = "table_oldest_missing_timestamp_seconds"
"""What stays true of what this load did not read; the last of them only until the table is read again."""


def prepare(file: Path) -> None:
    """BadInput where the file cannot be written, before anything is asked for."""
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"--metrics {file} cannot be written: name a file in a folder that is there and is yours")


def write(file: Path, load: Load, outcomes: list[Outcome], code: int) -> None:
    """Write the file at once and whole, for others to read: it names tables and organizations, and nothing else."""
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(PREFIX + name, doc, labels.split(), registry=registry) for name, (labels, doc) in METRICS.items()
    }
    now = time.time()
    samples = dict(_before(file, outcomes))
    samples |= {
        ("load_info", load.run_id, __version__): 1.0,
        ("load_exit_code",): float(code),
        ("load_duration_seconds",): load.seconds,
        ("load_end_timestamp_seconds",): now,
    }
    if code == 0:
        samples["load_success_timestamp_seconds",] = now
    for one in outcomes:
        samples |= dict(_of(one, now))
    for (name, *labels), value in samples.items():
        (gauges[name].labels(*labels) if labels else gauges[name]).set(value)
    if ("load_success_timestamp_seconds",) not in samples:
        registry.unregister(gauges["load_success_timestamp_seconds"])  # 0 would be a moment
    mask = os.umask(0o022)  # the collector is another user
    try:
        write_to_textfile(str(file), registry)
    finally:
        os.umask(mask)


Sample = tuple[tuple[str, ...], float]
"""A metric's name and the values of its labels; and its value."""


def _of(one: Outcome, now: float) -> Iterator[Sample]:
    """What one organization's outcome tells."""
    slug = one.organization
    for api, spent in one.spending.items():
        yield ("requests", slug, api), spent.requests
        yield ("refused", slug, api), spent.refused
    yield ("points", slug), one.points
    yield ("waited_seconds", slug), one.waited
    yield ("missing_builds", slug), one.missing_builds
    for table, (what, _) in books.became(one).items():
        yield ("rows", slug, table), one.rows.get(table, 0)
        yield ("table_loaded", slug, table), what == "loaded"
        if what == "loaded":
            yield ("table_read_timestamp_seconds", slug, table), now
    moments: dict[str, dict[str, datetime]] = {
        "table_covered_timestamp_seconds": one.covered,
        "table_oldest_missing_timestamp_seconds": one.oldest_missing,
    }
    for name, found in moments.items():
        for table, moment in found.items():
            yield (name, slug, table), moment.timestamp()


def _before(file: Path, outcomes: list[Outcome]) -> Iterator[Sample]:
    """What the file told, as far as it is still true; nothing of a file that is not there, or is none of ours."""
    told = {(one.organization, table) for one in outcomes if not one.unfinished for table in books.became(one)}
    try:
        families = list(text_string_to_metric_families(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return
    for family in families:
        name = family.name.removeprefix(PREFIX)
        for sample in family.samples:
            labels = tuple(sample.labels.get(label, "") for label in METRICS.get(name, ("",))[0].split())
            if name in KEPT or (name == KEPT_TOO and labels not in told):
                yield (name, *labels), sample.value
