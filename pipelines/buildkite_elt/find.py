"""`find`: what Buildkite and the file know of one build or job. Buildkite is asked once, by GraphQL; the file, if there
is one, is read and says whether it is behind. Where one of the two does not tell, the other answers alone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from buildkite_ci import graphql
from buildkite_ci.catalog import TABLES
from buildkite_ci.errors import BadInput, BuildkiteError, NotFound
from buildkite_ci.privacy import redact
from buildkite_ci.table import part
from buildkite_ci.tables.jobs import queue_key
from buildkite_ci.tables.queue_jobs import rows as rest_jobs
from buildkite_ci.times import instant

from . import config, show, status
from . import find_here as here
from .database import DatabaseTrouble
from .holdings import Row

QUERY = TABLES / "_find.graphql"
HOSTS = {"buildkite.com", "www.buildkite.com", "api.buildkite.com"}
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
SLUG = r"[A-Za-z0-9][A-Za-z0-9._-]*"
PLACES = [
    re.compile(rf"({SLUG})/({SLUG})/([0-9]{{1,18}})"),
    re.compile(rf"({SLUG})/({SLUG})/builds/([0-9]{{1,18}})(?:/.*)?"),
    re.compile(rf"(?:v2/)?organizations/({SLUG})/pipelines/({SLUG})/builds/([0-9]{{1,18}})(?:/jobs/({UUID}))?(?:/.*)?"),
]
"""Paths: as `build(slug:)` takes it, in the browser, and at the REST API."""
TYPES = {"Command": "script", "Block": "manual", "Wait": "waiter", "Trigger": "trigger"}
SOURCES = {"API": "api", "Frontend": "ui", "Schedule": "schedule", "TriggerJob": "trigger_job", "Webhook": "webhook"}
"""GraphQL's types, and what REST calls them (api.md 4.3, 4.4)."""
COUNTS = ["passed", "failed", "running", "scheduled", "waiting", "blocked"]
COUNTS += ["canceled", "timed_out", "expired", "broken", "skipped"]


@dataclass(frozen=True)
class Wanted:
    """What was typed. kind: build or job, empty for a UUID of either; slug: organization/pipeline/number."""

    text: str
    kind: str = ""
    uuid: str | None = None
    slug: str | None = None

    def variables(self) -> Row:
        build = {"slug": self.slug} if self.slug else {"uuid": self.uuid}
        of_build, of_job = self.kind != "job", self.kind != "build"
        return {**(build if of_build else {}), "of_build": of_build, "of_job": of_job, "job": self.uuid or ""}


@dataclass
class Found:
    """What was found. `api`, `warehouse`: None where it is not there, or, with a text in its `_error`, not known."""

    kind: str
    id: str | None
    url: str | None = None
    api: Row | None = None
    api_error: str | None = None
    warehouse: Row | None = None
    warehouse_error: str | None = None
    stale: bool | None = None
    next: list[str] = field(default_factory=list)
    points: int = 0
    requests: int = 0

    @property
    def exit_code(self) -> int:
        return 3 if self.api_error or self.warehouse_error else 0


def wanted(text: str, ours: Iterable[str] = ()) -> Wanted:
    """A build or a job as people copy it; `ours`: hosts besides Buildkite's own. Raises BadInput."""
    typed = text.strip()
    if re.fullmatch(UUID, typed):
        return Wanted(typed, uuid=typed.lower())
    for host in HOSTS:
        typed = f"https://{typed}" if typed.startswith(f"{host}/") else typed
    try:
        url = urlsplit(typed)
        at_home = url.scheme in ("http", "https") and url.hostname in HOSTS.union(ours)
    except ValueError:
        at_home = False
    places = PLACES[1:] if at_home else PLACES[:1]
    path = url.path.strip("/") if at_home else typed
    place = next(filter(None, (one.fullmatch(path) for one in places)), None)
    if place is None:
        raise BadInput(
            f"{text[:80]!r} is no build and no job: give a UUID of one, a URL such as "
            "https://buildkite.com/acme/web/builds/123 (with the #… of a job, for that job), or acme/web/123"
        )
    last: str | None = place[4] if place.re.groups > 3 else None
    job, slug = (_job_in(url.query, url.fragment) or last) if at_home else None, "/".join(place.group(1, 2, 3))
    return Wanted(text.strip(), "job", job.lower(), slug) if job else Wanted(text.strip(), "build", slug=slug)


def _job_in(query: str, fragment: str) -> str | None:
    """The job that a link in the browser points at: ?jid=UUID, #UUID, or #UUID/12-34 for lines of its log."""
    told: list[str] = [*parse_qs(query).get("jid", []), fragment.partition("/")[0]]
    return next((one for one in told if re.fullmatch(UUID, one)), None)


def find(
    text: str,
    token_file: Path | None,
    database: Path,
    dataset: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Found:
    """Look for one build or job. Raises BadInput for what is neither, NotFound where nobody knows it, and
    BuildkiteError where nobody who was asked does."""
    what = wanted(text, filter(None, [urlsplit(config.urls()[0]).hostname]))
    found = Found(what.kind, what.uuid)
    try:
        _ask(what, found, token_file, sleep)
    except BadInput:
        raise
    except BuildkiteError as error:
        found.api_error = redact(str(error))
    try:
        if database.exists():
            with status.opened(database, dataset) as connection:
                here.read(connection, what, found)
    except DatabaseTrouble as error:
        found.warehouse_error = str(error)
    if found.api is None and found.warehouse is None:
        where = found.warehouse_error or (f"{database} does not hold it" if database.exists() else f"no {database} yet")
        if found.api_error:
            raise BuildkiteError(f"{what.text} was not found: {where}, and Buildkite did not tell: {found.api_error}")
        raise NotFound(what.text, where)
    found.url = _url(found)
    return found


def _url(found: Found) -> str | None:
    """The address for people; of a job that has none, its build's with its UUID."""
    for one in (found.api or {}, found.warehouse or {}):
        if one.get("url"):
            return str(one["url"])
        if part(one, "build").get("url"):
            return f"{one['build']['url']}#{found.id}"
    return None


# Buildkite


def _ask(what: Wanted, found: Found, token_file: Path | None, sleep: Callable[[float], None]) -> None:
    """Put what Buildkite knows into `found`. Raises what errors.py lists."""
    with config.wire(token_file, sleep=sleep, tries=2) as wire:
        try:
            data, answer = graphql.execute(wire, graphql.read(QUERY), what.variables(), QUERY.name)
        finally:
            spent = wire.budget.spent["graphql"]
            found.points, found.requests = spent.points, spent.requests
    build, job = (graphql.rest_spelling(data.get(name)) for name in ("build", "job"))
    if build or job:
        found.kind, found.id = ("build", build["id"]) if build else ("job", job["id"])
        found.api = _build(build, answer.at) if build else _job(job, answer.at)


def _build(build: Row, now: datetime) -> Row:
    """A build of GraphQL's in the words of the table builds."""
    by, source = part(build, "created_by"), part(build, "source")
    counts = {state: part(build, state).get("count") or 0 for state in COUNTS}
    every = part(build, "every").get("count") or 0
    counts["other"] = max(every - sum(counts.values()), 0)
    kind = str(source.get("__typename")).removeprefix("BuildSource")
    return _place(build) | {
        "branch": build.get("branch"),
        "commit": build.get("commit"),
        "message": build.get("message"),
        "creator": here.person(by.get("name") or by.get("author")),
        "source": SOURCES.get(kind) or source.get("name"),
        **here.spans(_moment(build, "created_at"), _moment(build, "started_at"), _moment(build, "finished_at"), now),
        "jobs": {state: count for state, count in counts.items() if count},
    }


def _place(build: Mapping[str, Any]) -> Row:
    """What tells a build from others, its state (blocked while it is) and its times."""
    return {
        "id": build.get("id"),
        "organization": part(build, "organization").get("slug"),
        "pipeline": part(build, "pipeline").get("slug"),
        "number": build.get("number"),
        "url": build.get("url"),
        "state": str(build.get("state")).lower(),
        **{name: _moment(build, name) for name in ("created_at", "started_at", "finished_at")},
    }


def _job(job: Row, now: datetime) -> Row:
    """A job of GraphQL's in the words of the table jobs. Only command jobs have times and a URL (api.md 5.0)."""
    kind = str(job.get("__typename")).removeprefix("JobType")
    build = part(job, "build")
    told = {
        "id": job.get("id"),
        "type": TYPES.get(kind, kind.lower()),
        "name": job.get("label"),
        "step_key": part(job, "step").get("key"),
        "state": str(job.get("state")).lower(),
        "url": job.get("url"),
        "build": _place(build),
    }
    if kind != "Command":
        return told
    rest = next(rest_jobs(job))
    times = {name: _moment(job, name) for name in ("created_at", "runnable_at", "started_at", "finished_at")}
    told |= {name: rest.get(name) for name in ("state", "exit_status", "signal", "signal_reason")}
    return told | {
        "soft_failed": job.get("soft_failed"),
        "retried": job.get("retried"),
        "agent": part(job, "agent").get("name"),
        "queue": part(job, "cluster_queue").get("key") or queue_key({**job, "type": "script"}),
        **times,
        **here.spans(times["runnable_at"], times["started_at"], times["finished_at"], now),
    }


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    return instant(row[name]) if row.get(name) else None


# Telling it

IN_THE_FILE = {
    "state": "state",
    "finished (UTC)": "finished_at",
    "last seen (UTC)": "last_seen_at",
    "gone (UTC)": "gone_at",
}
COLOUR = {True: "red", False: "green"}


def document(found: Found) -> Row:
    """`find --json`."""
    names = ("kind", "id", "url", "api", "api_error", "warehouse", "warehouse_error", "stale", "next")
    return {name: getattr(found, name) for name in (*names, "points", "requests")}


def tell(found: Found, database: Path) -> None:
    """What was found, for people."""
    facts = found.api or found.warehouse or {}
    build = part(facts, "build") or facts
    place = f"{build.get('organization')}/{build.get('pipeline')} {build.get('number')}" if build.get("number") else ""
    of = f", of {place}" if found.kind == "job" and place else f" {place}"
    show.say(show.clean(f"{found.kind.capitalize()}{of}, {found.id}"), "bold")
    lines = _build_lines(facts) if found.kind == "build" else _job_lines(facts)
    _pairs(lines)
    if found.api_error:
        why = f"Buildkite was not asked, or did not tell, so this is the file's word: {found.api_error}"
        show.say(show.clean(why), "yellow")
    elif found.api is None:
        show.say("Gone: Buildkite has it no more, or this token may not see it; this is the file's word", "yellow")
    _tell_file(found, database)
    if found.url:
        show.say(show.clean(found.url))
    show.say(f"Spent {found.requests} requests and {found.points} points", "dim")


def _tell_file(found: Found, database: Path) -> None:
    row = found.warehouse
    show.say("\nIn the file", "bold")
    if found.warehouse_error:
        show.say(show.clean(f"Not known: {found.warehouse_error}"), "yellow")
    elif not database.exists():
        show.say(f"There is no {database} yet")
    elif not here.itself(row):
        show.say(f"{database} does not have this {found.kind}", "yellow")
    if row:
        lines = {name: row.get(column) for name, column in IN_THE_FILE.items()}
        lines["rows of it"] = ", ".join(f"{count:,} {name}" for name, count in row["rows"].items())
        _pairs(lines)
    if found.stale is not None:
        show.say("Stale: it is otherwise at Buildkite" if found.stale else "As it is at Buildkite", COLOUR[found.stale])
    for one in found.next:
        show.say(f"  {one}")


def _pairs(lines: Row) -> None:
    """Those that say something."""
    told = {name: value for name, value in lines.items() if value not in (None, "")}
    if told:
        show.pairs(told)


def _build_lines(facts: Row) -> Row:
    return {
        "state": facts.get("state"),
        "branch": facts.get("branch"),
        "commit": facts.get("commit"),
        "message": next(iter(str(facts.get("message") or "").strip().splitlines()), ""),
        "creator": facts.get("creator"),
        "source": facts.get("source"),
        **_times(facts),
        "jobs": ", ".join(f"{count:,} {state}" for state, count in part(facts, "jobs").items()),
    }


def _job_lines(facts: Row) -> Row:
    ended = [facts.get("exit_status"), facts.get("signal"), facts.get("signal_reason")]
    return {
        "step": facts.get("name") or facts.get("step_key"),
        "type": facts.get("type"),
        "state": facts.get("state"),
        "soft failed": facts.get("soft_failed") or None,
        "retried": facts.get("retried") or None,
        "exit status": ", ".join(str(one) for one in ended if one is not None),
        "agent": facts.get("agent"),
        "queue": facts.get("queue"),
        **_times(facts),
        "its build": part(facts, "build").get("state"),
    }


def _times(facts: Row) -> Row:
    """When, and for how long."""
    spans = {name: facts.get(f"{name}_seconds") for name in ("wait", "run")}
    return {
        **{f"{name} (UTC)": facts.get(f"{name}_at") for name in ("created", "started", "finished")},
        **{name: None if seconds is None else timedelta(seconds=seconds) for name, seconds in spans.items()},
    }
