"""`logs show`: one log of those that the file has, with the times of its lines, its sections and its errors.

It is read some thousand lines at a time, so that a log may be as long as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from buildkite_ci.errors import BadInput, BuildkiteError
from buildkite_ci.table import TROUBLED

from . import show
from .find import Wanted, wanted
from .log_screen import ERROR, HEADER, OVERWRITTEN, Part, Screen, as_json, fetched, named, ready, text

if TYPE_CHECKING:
    import duckdb

AROUND = 3
"""Lines before and after an error, with --errors."""
CHUNK = 10_000
"""Lines that are read at once."""
LISTED = 20
"""Jobs that are named where one has to be chosen."""

JOB = """
SELECT w.id AS job_id, coalesce(o.organization_slug, l.organization_slug) AS organization,
    coalesce(o.pipeline_slug, l.pipeline_slug) AS pipeline, o.build_number AS number, o.step_key,
    coalesce(o.name, o.label, o.step_key) AS name, o.state, o.soft_failed, o.retried, o.type,
    coalesce(o.web_url, b.web_url || '#' || o.id) AS url, o.started_at, o.finished_at,
    o.id IS NOT NULL AS known, l.job_id IS NOT NULL AS loaded, l.gone, l.truncated, l.bytes, l.read_bytes,
    l.lines AS lines_read, l.first_at, l.last_at, l.error_lines, l.error_line, l.error_class, l.fetched_at
FROM (SELECT $job AS id) AS w LEFT JOIN jobs AS o ON o.id = w.id LEFT JOIN builds AS b ON b.id = o.build_id
LEFT JOIN job_logs AS l ON l.job_id = w.id
"""
INNER = ("type", "known", "loaded", "started_at", "finished_at")
"""What of it is not told in JSON."""
OF_BUILD = """
SELECT o.id, o.step_key, o.name, o.state, coalesce(o.retried, FALSE) AS retried,
    l.job_id IS NOT NULL AND NOT l.gone AS loaded
FROM jobs AS o JOIN builds AS b ON b.id = o.build_id LEFT JOIN job_logs AS l ON l.job_id = o.id
WHERE o.type = 'script' AND ((b.organization_slug = $organization AND b.pipeline_slug = $pipeline
        AND b.number = $number AND b.gone_at IS NULL) OR b.id = $build)
    AND ($step::VARCHAR IS NULL OR o.step_key = $step OR o.name = $step OR o.step_id = $step OR o.id = $step)
ORDER BY loaded DESC, o.name, o.step_key, o.parallel_group_index, o.retries_count, o.started_at, o.id
"""
EVERY_LINE = "TRUE"
NEAR_ERRORS = f"""
l.line IN (
    SELECT unnest(range(e.line - {AROUND}, e.line + {AROUND + 1})) FROM job_log_lines AS e
    WHERE e.job_id = $job AND (e.flags & {ERROR}) <> 0
)
"""  # noqa: S608
LINES = """
SELECT l.line, l.at, l.text, l.flags, l.group_number, g.duration_ms, m.signature, m.class
FROM job_log_lines AS l
LEFT JOIN job_log_groups AS g ON g.job_id = l.job_id AND g.first_line = l.line AND g.number = l.group_number
LEFT JOIN job_log_matches AS m ON m.job_id = l.job_id AND m.line = l.line
WHERE l.job_id = $job AND l.line >= $begin AND l.line < $end AND {which} ORDER BY l.line
"""
GROUPS = """
SELECT number, marker, name, first_line, last_line, started_at, duration_ms, expanded, error_lines
FROM job_log_groups WHERE job_id = $job ORDER BY number
"""


class Line(NamedTuple):
    """A line: the columns of job_log_lines; duration of the section that it opens; the signature that it matches."""

    line: int
    at: datetime | None
    text: str
    flags: int
    group_number: int | None
    duration_ms: int | None
    signature: str | None
    error_class: str | None


@dataclass(frozen=True)
class Log:
    """A log that is in the file. job: its job and its row in job_logs. errors: only what is around errors."""

    connection: duckdb.DuckDBPyConnection
    job: dict[str, Any]
    errors: bool = False

    def lines(self) -> Iterator[Line]:
        id_ = self.job["job_id"]
        sql = "SELECT min(line), max(line) FROM job_log_lines WHERE job_id = ?"
        first, last = self.connection.execute(sql, [id_]).fetchone() or (None, None)
        if first is None:
            return
        sql = LINES.format(which=NEAR_ERRORS if self.errors else EVERY_LINE)
        for begin, end in pairwise([*range(first, last + 1, CHUNK), last + 1]):
            for row in fetched(self.connection.execute(sql, {"job": id_, "begin": begin, "end": end})):
                yield Line(*row)

    def groups(self) -> list[dict[str, Any]]:
        return named(self.connection.execute(GROUPS, {"job": self.job["job_id"]}))


def log(connection: duckdb.DuckDBPyConnection, what: str, step: str = "", *, errors: bool = False) -> Log:
    """The log of a job. Raises BadInput where it is not said which, BuildkiteError where it is not in the file."""
    ready(connection)
    (job,) = named(connection.execute(JOB, {"job": _job(connection, what, step)}))
    if not job["loaded"] or job["gone"]:
        raise BuildkiteError(_missing(job))
    return Log(connection, job, errors)


def _job(connection: duckdb.DuckDBPyConnection, what: str, step: str) -> str:
    """The UUID of the job that is meant, of a build (or a step of it) the only one, or the only one with a log here;
    attempts that were retried only count where there is no other."""
    asked = wanted(what)
    if asked.kind == "job" or (not asked.kind and not _is_build(connection, asked)):
        return str(asked.uuid)
    organization, pipeline, number = asked.slug.split("/") if asked.slug else (None, None, None)
    step = step or next(iter(parse_qs(urlsplit(asked.text).query).get("sid", [])), "")
    values = {"organization": organization, "pipeline": pipeline, "number": int(number) if number else None}
    every = named(connection.execute(OF_BUILD, {**values, "build": asked.uuid, "step": step or None}))
    last = [one for one in every if not one["retried"]] or every
    for some in (last, [one for one in last if one["loaded"]]):
        if len(some) == 1:
            return str(some[0]["id"])
    of = f"job of {step!r} in {asked.text}" if step else f"job of {asked.text}"
    if not every:
        raise BuildkiteError(
            f"The file has no {of} that an agent ran: `buildkite-elt find {asked.text}` tells what it has"
        )
    names = [f"{one['id']}  {show.clean(one['name'] or one['step_key'])}, {one['state']}" for one in every]
    more = [f"and {len(names) - LISTED:,} more"] if len(names) > LISTED else []
    head = f"There is more than one {of}: say which; those whose log is here come first"
    raise BadInput("\n  ".join([head, *names[:LISTED], *more]))


def _is_build(connection: duckdb.DuckDBPyConnection, asked: Wanted) -> bool:
    sql = "SELECT count(*) FROM builds WHERE id = ?"
    return connection.execute(sql, [asked.uuid]).fetchone() != (0,)


def _missing(job: dict[str, Any]) -> str:
    """Why there is no log to show, and what to type."""
    name = f"Job {job['job_id']}"
    if job["loaded"]:
        return f"{name} has no log (any more): Buildkite did not have it at {job['fetched_at']:%Y-%m-%d %H:%M} UTC"
    if not job["known"]:
        return f"{name} is not in the file: `buildkite-elt find {job['job_id']}` tells what Buildkite knows of it"
    if job["type"] != "script" or not job["started_at"]:
        return f"{name} has no log: no agent ran it (it is a {job['type']} job, {job['state']})"
    if not job["finished_at"]:
        return f"{name} has not ended, and only then is its log loaded: `buildkite-elt load builds job_logs` later"
    default = job["state"] in TROUBLED or job["soft_failed"] or job["retried"]
    state = "" if default else f" --state {job['state']}"
    return (
        f"The log of job {job['job_id']} is not loaded: `buildkite-elt load job_logs --pipeline {job['pipeline']}"
        f"{state}` loads it, the newest first (--since, if its build is older than 30 days)"
    )


# Telling it


def document(one: Log) -> None:
    """`logs show --json`, on standard output."""
    job = {name: value for name, value in one.job.items() if name not in INNER}
    lines = ({**line._asdict(), "error": bool(line.flags & ERROR)} for line in one.lines())
    as_json({**job, "groups": one.groups()}, "lines", lines)


def plain(one: Log) -> None:
    """Nothing but what the lines say; what else is to be known goes to standard error."""
    for sentence in notes(one):
        show.note(sentence, "yellow")
    screen = Screen()
    for line in one.lines():
        screen.line((text(line.text), ""))


def tell(one: Log, *, utc: bool = False) -> None:
    """A log for people: of each line when it began, its number and what it says."""
    screen, job, last = Screen(), one.job, None
    place = f"{job['organization']}/{job['pipeline']}" + (f" #{job['number']}" if job["number"] else "")
    head = " · ".join(str(part) for part in (place, job["name"], job["state"], job["job_id"]) if part)
    screen.line((text(head), "bold"))
    if job["url"]:
        screen.line((text(job["url"]), "blue"))
    begin = (job["started_at"] if job["truncated"] else None) or job["first_at"]
    if begin and not utc:
        screen.line((f"+0.0s is {begin:%Y-%m-%d %H:%M:%S} UTC", "dim"))
    for sentence in notes(one):
        screen.line((sentence, "yellow"))
    for line in one.lines():
        if one.errors and last is not None and line.line > last + 1:
            screen.line(("--", "dim"))
        last = line.line
        screen.line(*_parts(line, None if utc else begin))


def notes(one: Log) -> Iterator[str]:
    """What a reader should know before the first line."""
    job = one.job
    if job["truncated"]:
        missing = (job["bytes"] or 0) - (job["read_bytes"] or 0)
        yield f"Only the end of this log is in the file: the first {missing:,} of {job['bytes']:,} bytes are missing"
    if not job["lines_read"]:
        yield "This log is empty"
    elif one.errors and not job["error_lines"]:
        yield f"None of its {job['lines_read']:,} lines tells of an error"


def _parts(line: Line, begin: datetime | None) -> Iterator[Part]:
    if begin and line.at:
        moment = f"{(line.at - begin).total_seconds():+.1f}s"
    else:
        moment = f"{line.at:%Y-%m-%d %H:%M:%S}" if line.at else ""
    yield f"{moment:>{10 if begin else 19}} {line.line:>6}  ", "dim"
    style = "red" if line.flags & ERROR else "bold" if line.flags & HEADER else ""
    yield text(line.text), style
    if line.flags & HEADER and line.duration_ms is not None:
        yield f"  ({show.span(line.duration_ms / 1000)})", "dim"
    if line.flags & OVERWRITTEN:
        yield " ↺", "dim"
