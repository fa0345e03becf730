"""Loads by name, for a clock to start: which tables, how far back, and what of the rate limits they leave to others.

Each of them brings first what is new and what changed, then what is further back, newest first, then the work lists;
a limit ends it between two requests, and the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """A named load. tables: those that each load asks for, where none is named. lists: with the work lists and others
    that cost by the row, as far as the configuration has a section for them. options: of `load`, unless its caller says
    otherwise."""

    doc: str
    tables: tuple[str, ...]
    options: Mapping[str, Any]
    lists: bool = False


SCHEDULES = {
    "hourly": Schedule(
        "Builds, jobs, agents, clusters and queues: what is new, what ended, what was open.",
        ("builds", "jobs", "agents", "clusters", "cluster_queues"),
        {"since": "30d", "reserve": "20%", "max_minutes": 50.0},
    ),
    "nightly": Schedule(
        "Each table that needs no naming, those that the configuration has a section for, and the builds of the last "
        "three days once more.",
        (),
        {"since": "3d", "again": True, "reserve": "20%", "max_minutes": 180.0},
        lists=True,
    ),
    "backfill": Schedule(
        "Builds and jobs further back, a year of them, with half of the limits left to others.",
        ("builds", "jobs"),
        {"since": "365d", "reserve": "50%", "max_minutes": 50.0},
    ),
}


def wanted(schedule: Schedule) -> tuple[str, ...]:
    """The tables of a named load, by name; () for those that each load asks for."""
    if not schedule.lists:
        return schedule.tables
    from buildkite_ci.catalog import catalog

    from . import config

    more = tuple(name for name, table in catalog().items() if not table.by_default and config.section(name))
    always = tuple(name for name, table in catalog().items() if table.by_default)
    return (*always, *more) if more else schedule.tables


def named(words: Sequence[str]) -> Schedule | None:
    """The load that the words name; None for names of tables. BadInput where they are both, or two loads."""
    found = [word for word in words if word in SCHEDULES]
    if not found:
        return None
    if len(words) > 1:
        from buildkite_ci.errors import BadInput

        raise BadInput(f"{found[0]} is a load of its own: name it alone, or name tables")
    return SCHEDULES[found[0]]


def settled(context: Any, words: Sequence[str] | None, **given: Any) -> dict[str, Any]:
    """{option: value} of a command, with `tables`: as given, and what nobody said as the named load has it."""
    schedule = named(words or ())
    if schedule is None:
        return {**given, "tables": tuple(words or ())}
    said = {name for name in given if context.get_parameter_source(name).name != "DEFAULT"}
    own = {name: value for name, value in schedule.options.items() if name not in said}
    return {**given, **own, "tables": wanted(schedule)}


def listing() -> str:
    """A paragraph for each, for `--help`."""
    return "\n\n".join(["Loads by name:", *(f"{name}: {one.doc}" for name, one in SCHEDULES.items())])
