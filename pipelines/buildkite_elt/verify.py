"""`verify`: is the file what Buildkite has? Recounted and re-read at the API within a stated budget.

Counts by pipeline and state; what ended or is open since the last load, so that it is not taken for stale; where a
count differs, the builds one by one; a sample field by field; every gap in the numbers of a pipeline's builds.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from buildkite_ci import rest
from buildkite_ci.budget import Budget, Limits
from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BudgetSpent, NotFound
from buildkite_ci.probe import BUILD_STATES, LIGHT, Probe
from buildkite_ci.table import Rest, Table
from buildkite_ci.times import instant, told
from buildkite_ci.wire import Wire

from . import known
from .database import DatabaseTrouble
from .holdings import Holdings, Row, open_states
from .loads import Origin, Target
from .status import opened

NEIGHBOURS = re.compile(
    r"^(organization|pipeline|triggered_from_build_pipeline)_slug$|^pipeline_name$|^agent_(?!id$|name$)"
    r"|^(creator|retried_by|unblocked_by)_(?!id$)|_seen_at$|^gone_at$"
)
"""Columns that tell of a pipeline, a user or an agent as they were when the row was read, or of the reading itself."""
MASKED = {"email", "ip", "env", "url"}
"""Types that hold what `--show` lets through; a load may have been asked for more than this run."""


Key = tuple[str, str]
"""A pipeline and a state; "" stands for every one of them."""


@dataclass
class Findings:
    """What became of the comparison; ids of builds, each once, with what is known of it."""

    in_api: int | None = None
    in_warehouse: int = 0
    missing: dict[str, Row] = field(default_factory=dict)
    stale: dict[str, str] = field(default_factory=dict)
    stale_since: datetime | None = None
    changed: set[str] = field(default_factory=set)
    """Builds that changed since the last load: the next one reads them."""
    gone: dict[str, Key] = field(default_factory=dict)
    """Builds that the API has no more, and that are not marked here: kept, not wrong."""
    unexplained: int = 0
    """Builds by which a count differs, and that could not be named within the budget."""
    sampled: int = 0
    gaps: dict[tuple[str, int], bool] = field(default_factory=dict)
    gaps_left: int = 0
    ghosts: int = 0
    ghosts_upstream: int = 0
    orphans: int = 0
    doubled: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    at: datetime | None = None


def verify(
    origin: Origin,
    target: Target,
    since: datetime | None = None,
    sample: int = 20,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """Compare the builds of each organization, created since `since` (what is loaded, for None) and until the last
    load: one JSON object each. `origin.limits` is what one of them may spend. Raises what errors.py lists."""
    if target.destination != "duckdb":
        raise DatabaseTrouble("verify reads DuckDB files only")
    return [_organization(origin, slug, target, since, sample, sleep) for slug in origin.organizations]


def _organization(
    origin: Origin, slug: str, target: Target, since: datetime | None, sample: int, sleep: Callable[[float], None]
) -> dict[str, Any]:
    from .verdict import document, record

    budget = Budget(reserve=origin.reserve, limits=origin.limits or Limits())
    wire = Wire(origin.token, origin.rest_url, origin.graphql_url, budget=budget, sleep=sleep)
    with wire, opened(target.database, target.dataset) as connection:
        kept = known.state(connection, slug).get("builds", {})
        covered = [(instant(begin), instant(end)) for begin, end in kept.get("covered", [])]
        if not covered:
            raise DatabaseTrouble(f"{target.database} holds no builds of {slug} yet: `buildkite-elt load builds`")
        here = Holdings(connection, slug, since or covered[0][0], covered[-1][1])
        check = _Check(Probe(wire, slug), here, instant(kept["swept"]), Findings())
        check.run(sample, covered)
    record(target, slug, check.found)
    return document(check.found, check.probe, here, covered)


@dataclass
class _Check:
    """One organization's comparison. `swept`: what ended before it, the last load has seen."""

    probe: Probe
    here: Holdings
    swept: datetime
    found: Findings
    slugs: dict[str, str] = field(default_factory=dict)
    moved: dict[str, tuple[Key, Key]] = field(default_factory=dict)
    """Builds whose state is another one here than at the API: how they count here, and there."""
    met: set[str] = field(default_factory=set)
    """Builds that ended since the last load or are open, at the API."""

    def run(self, sample: int, covered: list[tuple[datetime, datetime]]) -> None:
        self._local()
        counts: dict[Key, int] = {}
        with self._step("the counts"):
            counts = self._counts()
        with self._step("what changed since the last load"):
            self._changes()
        with self._step("open builds that are open no more"):
            self._read(self._unseen())
        if counts:
            self._compare(counts)
        with self._step(f"the sample of {sample} builds"):
            self._read(self.here.ghosts() | self.here.some(sample), sampled=True)
        self._gaps(covered)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        """Where the budget of this run ends, the rest is left undone and named."""
        try:
            yield
        except BudgetSpent:
            self.found.undone.append(what)

    def _local(self) -> None:
        """What needs no request."""
        doubled, orphans = self.here.doubled(), self.here.orphans()
        self.found.doubled, self.found.orphans = [row["what"] for row in doubled], len(orphans)
        self.found.ghosts, self.found.in_warehouse = len(self.here.ghosts()), sum(self.here.counts().values())
        for row in doubled + orphans:
            self._since(row["created_at"])

    def _since(self, moment: datetime | None) -> None:
        if moment:
            self.found.stale_since = min(moment, self.found.stale_since or moment)

    def _counts(self) -> dict[Key, int]:
        """(pipeline, state) -> builds at the API; "" for all states. Without the scope graphql the states are
        counted for all pipelines together (the pipeline is "")."""
        begin, end = self.here.begin, self.here.end
        if "graphql" in self.probe.scopes():
            self.slugs, counts = self.probe.states(begin, end)
        else:
            counts = self._counts_by_rest({**LIGHT, "created_from": told(begin), "created_to": told(end)})
        self.found.in_api = sum(count for (_, state), count in counts.items() if not state)
        self.found.at = self.probe.at
        return counts

    def _counts_by_rest(self, asked: Mapping[str, str]) -> dict[Key, int]:
        base = f"organizations/{self.here.organization}"
        with self.probe.asking("pipelines (REST)"):
            for page in rest.pages(self.probe.wire, f"{base}/pipelines"):
                self.slugs |= {item["id"]: item["slug"] for item in page.items}
        counts: dict[Key, int] = {}
        for pipeline, slug in self.slugs.items():
            count = self.probe.count(f"{base}/pipelines/{slug}/builds", f"builds of {slug}", asked)
            counts[pipeline, ""] = count or 0
        for state in map(str.lower, BUILD_STATES):
            count = self.probe.count(f"{base}/builds", f"{state} builds", {**asked, "state[]": state})
            counts["", state] = count or 0
        return counts

    def _walk(self, what: str, path: str, params: Mapping[str, Any]) -> Iterator[Row]:
        """Builds of a listing in the window, without their jobs."""
        base, begin, end = f"organizations/{self.here.organization}", self.here.begin, self.here.end
        with self.probe.asking(f"{what} (REST, without jobs)"):
            for page in rest.walk(self.probe.wire, f"{base}/{path}", {**LIGHT, **params}, begin, end):
                yield from page.items

    def _changes(self) -> None:
        """What ended since the last load, and what is open now: it may well differ."""
        items = list(self._walk("builds that ended since the last load", "builds", {"finished_from": told(self.swept)}))
        items += self._walk("open builds", "builds", {"state[]": list(open_states())})
        self.met = {item["id"] for item in items}
        here = self.here.these(self.met)
        for item in items:
            row = here.get(item["id"])
            if row is None:
                self.found.missing[item["id"]] = item
            elif _differ(row, item):
                self._differs(row, item, ())

    def _unseen(self) -> dict[str, Row]:
        """Open here, but neither open nor ended since at the API: canceled, skipped, deleted, or wrong here."""
        return {one: row for one, row in self.here.open().items() if one not in self.met}

    def _compare(self, counts: Mapping[Key, int]) -> None:
        """Where a count differs from what is here, and nothing yet explains it, name the builds."""
        named: set[str] = set()
        while True:
            suspects = {one: size for one, size in self._suspects(counts).items() if one not in named}
            if not suspects:
                return
            pipeline = min(suspects, key=lambda one: (not one, suspects[one]))
            named.add(pipeline)
            self._name(pipeline, suspects[pipeline])

    def _suspects(self, counts: Mapping[Key, int]) -> dict[str, int]:
        """Pipelines whose counts differ, and by how many builds; "" where only the states of all do."""
        here = Counter(self.here.counts())
        here.update(now for _, now in self.moved.values())
        here.subtract(was for was, _ in self.moved.values())
        here.subtract(self.found.gone.values())
        here.update((self._pipeline(item), _state(item)) for item in self.found.missing.values())
        mine: Counter[Key] = Counter()
        for (pipeline, state), count in here.items():
            mine.update({(pipeline, ""): count, (pipeline, state): count, ("", state): count})
        suspects: dict[str, int] = {}
        for key in counts.keys() | {key for key in mine if key[0] and not key[1]}:
            difference = abs(counts.get(key, 0) - mine[key])
            if difference:
                suspects[key[0]] = max(suspects.get(key[0], 0), difference)
        return suspects

    def _name(self, pipeline: str, difference: int) -> None:
        """The builds of one pipeline (of all for ""), one by one."""
        here = self.here.builds(pipeline)
        if pipeline and pipeline not in self.slugs:
            self._lost(here.values())
            return
        slug = self.slugs.get(pipeline, "")
        try:
            path = f"pipelines/{slug}/builds" if slug else "builds"
            there = {item["id"]: item for item in self._walk(f"every build of {slug or 'all'}", path, {})}
        except BudgetSpent:
            self.found.unexplained += difference
            self.found.undone.append(f"naming {difference} builds of {slug or 'all pipelines'}")
            return
        marked = self.here.these(there)
        self.found.missing |= {one: item for one, item in there.items() if one not in marked}
        self._lost(here[one] for one in here.keys() - there.keys())
        for one in here.keys() & there.keys():
            if _differ(here[one], there[one]):
                self._differs(here[one], there[one], ("state, finished_at",))

    def _lost(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.found.gone[row["id"]] = row["pipeline_id"] or "", row["state"]
            self.moved.pop(row["id"], None)

    def _differs(self, row: Row, item: Row, columns: Iterable[str]) -> None:
        """A build that is otherwise at the API: stale, unless it changed since the last load."""
        one, key = row["id"], row["pipeline_id"] or ""
        if row["state"] != _state(item):
            self.moved[one] = (key, row["state"]), (key, _state(item))
        ended = _moment(item)
        since = ended >= self.swept if ended else row["state"] in open_states()
        if one in self.found.stale or one in self.found.changed:
            return
        if since or _state(item) in open_states():
            self.found.changed.add(one)
        else:
            self.found.stale[one] = f"{row['pipeline_slug']} {row['number']}: {', '.join(columns)}"
            self._since(row["created_at"])

    def _read(self, rows: Mapping[str, Row], *, sampled: bool = False) -> None:
        """Builds read again, whole, and compared field by field."""
        ghosts = self.here.ghosts().keys() if sampled else set()
        for one, row in rows.items():
            item = self._one(row["created_at"], one)
            self.found.sampled += sampled
            if item is None:
                self._lost([row])
                continue
            self.found.ghosts_upstream += one in ghosts and _state(item) in open_states()
            columns = sorted(self._columns(one, item))
            if columns:
                self._differs(row, item, columns)

    def _one(self, created: datetime, one: str) -> Row | None:
        """A build by its moment of creation: its pipeline may have been renamed."""
        fetch = catalog()["builds"].fetch
        assert isinstance(fetch, Rest)
        path = f"organizations/{self.here.organization}/builds"
        with self.probe.asking("a build (REST, whole)"):
            for page in rest.walk(self.probe.wire, path, fetch.params, created, created + rest.TICK):
                for item in page.items:
                    if item["id"] == one:
                        return item
        return None

    def _columns(self, one: str, item: Row) -> Iterator[str]:
        """The columns by which a build or its jobs differ."""
        build, jobs = self.here.whole(one)
        yield from _different(catalog()["builds"], item, {one: build})
        for name in _different(catalog()["jobs"], item, jobs):
            yield f"jobs.{name}"

    def _gaps(self, covered: list[tuple[datetime, datetime]]) -> None:
        """Each number that no build here has is asked for once; the answer is written down."""
        named = {(self._pipeline(item), item["number"]) for item in self.found.missing.values()}
        left = [one for one in self.here.gaps(covered) if one not in named and one[0] in self.slugs]
        asked = 0
        with self._step("gaps"):
            for pipeline, number in left:
                self._gap(pipeline, number)
                asked += 1
        self.found.gaps_left = len(left) - asked

    def _gap(self, pipeline: str, number: int) -> None:
        path = f"organizations/{self.here.organization}/pipelines/{self.slugs[pipeline]}/builds/{number}"
        with self.probe.asking("a gap (REST, one build)"):
            try:
                answer = self.probe.wire.get(path, LIGHT, shape=dict)
            except NotFound:
                self.found.gaps[pipeline, number] = False
                return
        self.found.gaps[pipeline, number] = True
        if not self.here.these([answer.body["id"]]):
            self.found.missing[answer.body["id"]] = answer.body

    def _pipeline(self, item: Row) -> str:
        slug = (item.get("pipeline") or {}).get("slug") or str(item.get("url")).split("/pipelines/")[-1].split("/")[0]
        return next((one for one, known in self.slugs.items() if known == slug), "")


def _different(table: Table, item: Row, here: Mapping[str, Row]) -> set[str]:
    """Columns of the rows of an item that are not as they are here; `id` where a row is missing or should not be."""
    there = {row["id"]: row for row in table.read([item]).to_pylist()}
    found = {"id"} if there.keys() != here.keys() else set()
    for column in table.columns:
        if column.type not in MASKED and not NEIGHBOURS.search(column.name):
            same = (_same(column.type, there[one][column.name], here[one][column.name]) for one in there.keys() & here)
            found |= set() if all(same) else {column.name}
    return found


def _same(kind: str, one: Any, other: Any) -> bool:
    """Whether two values are the same; JSON may be spelled in two ways."""
    if kind == "json" and isinstance(one, str) and isinstance(other, str):
        return bool(json.loads(one) == json.loads(other))
    return bool(one == other)


def _state(item: Row) -> str:
    return "blocked" if item.get("blocked") else str(item.get("state"))


def _moment(item: Row) -> datetime | None:
    return instant(item["finished_at"]) if item.get("finished_at") else None


def _differ(row: Row, item: Row) -> bool:
    return (row["state"], row["finished_at"]) != (_state(item), _moment(item))
