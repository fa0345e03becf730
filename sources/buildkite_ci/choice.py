"""What the user wants of what could be asked for without end: rows of work lists, branches, queues, pipelines."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .times import told

EVERY = "all"
DERIVED = {"soft_failed": "o.soft_failed", "retried": "o.retried"}
"""Words for jobs that are no state of theirs."""
HEX = 0x10000


@dataclass(frozen=True)
class Choice:
    """A part of what there is; what is empty leaves nothing out.

    For work lists: `pipelines` (slugs), `branches`, `states` (as Buildkite says them; and soft_failed, retried, all),
    `slower` (seconds: also those that ran longer), `sample` (0 to 1: also this share of the rest, the same ones each
    time), `at_most` (in one load). For what is asked of queues and groups: `queues` (keys or UUIDs), `groups`.
    `since`, `until`: what was created in between. `states` and `branches` also choose what is counted. `a_day`: rows in
    24 hours. For job logs: `whole` (also of large ones all), `archive` (a folder for the bytes), `signatures` (files
    beside ours), `secrets` (`kind=pattern`, masked as well).
    """

    pipelines: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    slower: float | None = None
    sample: float = 0.0
    at_most: int | None = None
    queues: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    a_day: int | None = None
    whole: bool = False
    archive: str = ""
    signatures: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

    def where(self, of: str, states: Sequence[str], builds: str) -> tuple[str, list[Any]]:
        """SQL of the rows `o` of the table `of` that are wanted, and its values; `builds`: the table of that name.

        states: those that are wanted where the choice names none.
        """
        parts, values = ["TRUE"], list[Any]()
        if self.pipelines:
            parts.append(f"o.pipeline_slug IN ({_marks(self.pipelines)})")
            values += self.pipelines
        if self.branches and of == "builds":
            parts.append(f"o.branch IN ({_marks(self.branches)})")
            values += self.branches
        elif self.branches:
            parts.append(f"o.build_id IN (SELECT b.id FROM {builds} AS b WHERE b.branch IN ({_marks(self.branches)}))")  # noqa: S608
            values += self.branches
        for sign, moment in ((">=", self.since), ("<", self.until)):
            if moment:
                parts.append(f"o.created_at {sign} %s")
                values.append(moment)
        either, more = self._either(of, self.states or states)
        return " AND ".join([*parts, f"({either})"]), values + more

    def _either(self, of: str, states: Sequence[str]) -> tuple[str, list[Any]]:
        if EVERY in states or not states:
            return "TRUE", []
        named = [state for state in states if of != "jobs" or state not in DERIVED]
        parts = [DERIVED[state] for state in states if of == "jobs" and state in DERIVED]
        values: list[Any] = list(named)
        if named:
            parts.append(f"o.state IN ({_marks(named)})")
        if self.slower is not None:
            parts.append(f"o.finished_at - o.started_at >= INTERVAL '{int(self.slower)} seconds'")
        if self.sample > 0:  # the end of a UUID is random, of whichever kind it is
            parts.append("TRUE" if self.sample >= 1 else "right(o.id, 4) < %s")
            values += [] if self.sample >= 1 else [f"{round(self.sample * HEX):04x}"]
        return " OR ".join(parts), values


@dataclass(frozen=True)
class Filter:
    """Which pipelines are asked one by one (api.md 5.9); None and empty leave none out.

    archived; cluster: its UUID; tags: all of them; team: a slug, `!slug` for those without it; search: a part of the
    name; repository: its URL; created_from, created_to.
    """

    archived: bool | None = None
    cluster: str = ""
    tags: tuple[str, ...] = ()
    team: str = ""
    search: str = ""
    repository: str = ""
    created_from: datetime | None = None
    created_to: datetime | None = None

    def variables(self) -> Mapping[str, Any]:
        """The variables of a query over `pipelines(…)`; what is not filtered is left out."""
        moments = {"createdAtFrom": self.created_from, "createdAtTo": self.created_to}
        told_ = {
            "archived": self.archived,
            "cluster": base64.b64encode(f"Cluster---{self.cluster}".encode()).decode() if self.cluster else None,
            "tags": list(self.tags) or None,
            "team": self.team or None,
            "search": self.search or None,
            "repository": {"url": self.repository} if self.repository else None,
            **{name: told(moment) for name, moment in moments.items() if moment},
        }
        return {name: value for name, value in told_.items() if value is not None}


def _marks(values: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(values))
