"""What of the tables that could be asked for without end is wanted, from the command line and dlt's configuration.

A table's own settings stand under its name, `[sources.buildkite_ci.job_events] states = ["failed"]`, the pipelines that
are asked one by one under `[sources.buildkite_ci.filter]`. The command line overrules both, for the tables it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from buildkite_ci.catalog import find
from buildkite_ci.choice import Choice, Filter
from buildkite_ci.errors import BadInput

from . import config

SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])")
SECONDS = {"s": 1, "m": 60, "h": 3600}
MOMENTS = {"since", "until", "created_from", "created_to"}
LISTS = {"pipelines", "branches", "states", "queues", "groups", "tags", "signatures"}
PLURALS = {"pipeline": "pipelines", "branch": "branches", "state": "states", "queue": "queues", "group": "groups"}
"""Options that may be repeated, and the field of Choice that has them all."""
AS_TYPED = {"secrets"}
"""Lists whose words may hold commas."""


def choices(tables: Iterable[str], **told: Any) -> dict[str, Choice]:
    """The choice of each table: its settings, and over them, where it is named in `tables`, what the command line says
    (fields of Choice, or options.CHOICES, as they are typed; None, False and empty for what is not said).

    Raises BadInput where one is wrong.
    """
    said = {name: value for name, value in told.items() if value not in (None, "", [], False)}
    typed = {
        PLURALS.get(name, name): _value(PLURALS.get(name, name), value, f"--{name.replace('_', '-')}")
        for name, value in said.items()
    }
    named, found = set(tables), {}
    for name, table in find().items():
        own = _settings(name, Choice) if config.section(name) else Choice()
        chosen = replace(own, **typed) if name in named and typed else own
        if chosen != Choice():
            found[table.name] = chosen
    return found


def filtered() -> Filter:
    """The pipelines that are asked one by one."""
    found: Filter = _settings("filter", Filter)
    return found


def _settings(section: str, kind: Any) -> Any:
    """What dlt's configuration says under [sources.buildkite_ci.SECTION]; BadInput for a word that means nothing."""
    known, given = {one.name for one in fields(kind)}, config.section(section)
    for name in given:
        if name not in known:
            raise BadInput(
                f"[sources.buildkite_ci.{section}] in dlt's configuration has no setting {name!r}: "
                f"there are {', '.join(sorted(known))}"
            )
    return kind(**{name: _value(name, value, f"{section}.{name}") for name, value in given.items()})


def _value(name: str, value: Any, where: str) -> Any:
    if name in AS_TYPED:
        return (value,) if isinstance(value, str) else tuple(value)
    if name in LISTS:
        words = value.split(",") if isinstance(value, str) else value
        return tuple(word.strip() for each in words for word in str(each).split(",") if word.strip())
    if name in MOMENTS:
        return value if isinstance(value, datetime) else config.since(str(value), where=where)
    if name == "slower":
        return seconds(str(value), where)
    return config.share(str(value), where) if name == "sample" else value


def seconds(text: str, where: str = "--slower") -> float:
    """`90s`, `10m` or `2h` in seconds."""
    found = SPAN.fullmatch(text.strip())
    if not found:
        raise BadInput(f"{where} {text!r} is no span of time: say 90s, 10m or 2h")
    return float(found[1]) * SECONDS[found[2]]
