"""`logs search`: a text or a regular expression in the lines of the logs that the file has, and nothing but the file.

The jobs of the selection come first, then the numbers of all lines that hit (16 bytes each), in one reading; then only
the lines that are printed are read once more. Each step leaves a temporary table in memory to the next.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from buildkite_ci.choice import DERIVED, EVERY
from buildkite_ci.errors import BadInput
from buildkite_ci.table import LOG_ENDED

from .log_screen import ERROR, Part, Screen, as_json, fetched, named, ready, text

if TYPE_CHECKING:
    import duckdb

LONGEST = 400
"""Characters of a line that are shown to people, those around its first hit."""
BEFORE = 100
"""Of them, those before the hit."""
BLOCK = 10_000
"""Lines that are read at once."""
BEGIN, END = "\x01", "\x02"
"""Put around what hits: no line that was read from a log holds control characters."""
MARKED = re.compile(f"{BEGIN}([^{BEGIN}{END}]*){END}")

DERIVED_STATES = " OR ".join(f"({sql} AND list_contains($states, '{state}'))" for state, sql in DERIVED.items())
CHOSEN = f"""
CREATE OR REPLACE TEMP TABLE chosen AS
SELECT o.id AS job_id, o.organization_slug AS organization, o.pipeline_slug AS pipeline, o.build_number AS number,
    b.branch, o.step_key, coalesce(o.name, o.label, o.step_key, 'a job without a name') AS name,
    o.state, coalesce(o.soft_failed, FALSE) AS soft_failed, coalesce(o.retried, FALSE) AS retried,
    coalesce(o.web_url, b.web_url || '#' || o.id) AS url,
    l.job_id IS NOT NULL AND NOT l.gone AS loaded, coalesce(l.gone, FALSE) AS gone,
    coalesce(l.truncated, FALSE) AS truncated,
    row_number() OVER (
        ORDER BY coalesce(b.created_at, o.created_at) DESC, o.build_id, o.started_at, o.created_at, o.id
    ) AS place
FROM jobs AS o LEFT JOIN builds AS b ON b.id = o.build_id LEFT JOIN job_logs AS l ON l.job_id = o.id
WHERE ((l.job_id IS NOT NULL) OR ({LOG_ENDED}))
    AND ($since::TIMESTAMPTZ IS NULL OR coalesce(b.created_at, o.created_at) >= $since)
    AND ($until::TIMESTAMPTZ IS NULL OR coalesce(b.created_at, o.created_at) < $until)
    AND (len($pipelines::VARCHAR[]) = 0 OR list_contains($pipelines, o.pipeline_slug))
    AND (len($branches::VARCHAR[]) = 0 OR list_contains($branches, b.branch))
    AND (len($steps::VARCHAR[]) = 0 OR list_contains($steps, o.step_key) OR list_contains($steps, o.name))
    AND (len($states::VARCHAR[]) = 0 OR list_contains($states, '{EVERY}') OR list_contains($states, o.state)
        OR {DERIVED_STATES})
"""  # noqa: S608
COUNTS = """
SELECT count(*) AS jobs, count_if(loaded) AS searched, count_if(gone) AS gone,
    count_if(loaded AND truncated) AS truncated FROM chosen
"""
MATCHES = {
    # regular expression?, ignoring case?
    (False, False): "contains(l.text, $text)",
    (False, True): "regexp_matches(l.text, $text, 'il')",
    (True, False): "regexp_matches(l.text, $text)",
    (True, True): "regexp_matches(l.text, $text, 'i')",
}
HITS = """
CREATE OR REPLACE TEMP TABLE hits AS
SELECT c.place, l.line FROM job_log_lines AS l JOIN chosen AS c ON c.job_id = l.job_id WHERE c.loaded AND {match}
"""
COUNT = "SELECT count(*) AS hits, count(DISTINCT place) AS in_jobs FROM hits"
SHOWN = """
CREATE OR REPLACE TEMP TABLE shown AS SELECT *, row_number() OVER (ORDER BY place, line) AS number FROM (
    FROM hits ORDER BY place, line LIMIT $most
)
"""
NEAR = """
CREATE OR REPLACE TEMP TABLE near AS
SELECT c.job_id, n.place, n.hit, n.line, s.line IS NOT NULL AS hits
FROM (
    SELECT place, line AS hit, unnest(range(line - $context, line + $context + 1)) AS line FROM shown
    WHERE number > $after AND number <= $after + $block
) AS n JOIN chosen AS c ON c.place = n.place LEFT JOIN shown AS s ON s.place = n.place AND s.line = n.line
"""
LINES = f"""
SELECT n.place, n.hit, l.line, n.hits, l.at, l.text, CASE WHEN n.hits
    THEN regexp_replace(translate(l.text, '{BEGIN}{END}', ''), $text, $mark, $how) ELSE l.text END AS marked
FROM near AS n JOIN job_log_lines AS l ON l.job_id = n.job_id AND l.line = n.line
ORDER BY n.place, n.hit, l.line
"""  # noqa: S608
"""DuckDB reads only the texts it needs where one side of the join is a table, and nothing else is joined."""


@dataclass(frozen=True)
class Query:
    """What is looked for, and where; what is empty leaves nothing out. `since`, `until`: when builds were created."""

    text: str
    regex: bool = False
    ignore_case: bool = False
    errors: bool = False
    since: datetime | None = None
    until: datetime | None = None
    pipelines: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def match(self) -> str:
        """SQL of a line `l` that is a hit."""
        only = f" AND (l.flags & {ERROR}) <> 0" if self.errors else ""
        return MATCHES[self.regex, self.ignore_case] + only

    @property
    def how(self) -> str:
        """DuckDB's options for marking all that hits in a line."""
        return "g" + "i" * self.ignore_case + "l" * (not self.regex)


class Line(NamedTuple):
    """A line near a hit: the job's place, the hit's line, this line, whether it hits as well, what it says, and the
    same with BEGIN and END around what hits."""

    place: int
    hit: int
    line: int
    hits: bool
    at: datetime | None
    text: str
    marked: str


@dataclass(frozen=True)
class Found:
    """Hits in the logs of the selection. counts: hits and in_jobs; searched: logs, truncated: those of them of which
    only the end is there; of so many jobs; gone: whose log was not there when it was asked for; shown: hits."""

    connection: duckdb.DuckDBPyConnection
    query: Query
    context: int
    counts: dict[str, int]

    @property
    def exit_code(self) -> int:
        return 0 if self.counts["hits"] else 1

    def jobs(self) -> dict[int, dict[str, Any]]:
        """The jobs whose hits are shown, by place."""
        sql = "SELECT * EXCLUDE (loaded, gone) FROM chosen WHERE place IN (SELECT place FROM shown)"
        return {one.pop("place"): one for one in named(self.connection.execute(sql))}

    def lines(self) -> Iterator[Line]:
        """Each hit's lines, one hit after the other: a line between two hits comes for each of them."""
        values = {"text": self.query.text, "how": self.query.how, "mark": rf"{BEGIN}\0{END}"}
        block = max(BLOCK // (2 * self.context + 1), 1)
        for after in range(0, self.counts["shown"], block):
            self.connection.execute(NEAR, {"context": self.context, "block": block, "after": after})
            for row in fetched(self.connection.execute(LINES, values)):
                yield Line(*row)


def search(connection: duckdb.DuckDBPyConnection, query: Query, context: int = 0, limit: int = 100) -> Found:
    """Look for all hits, and make ready to show `limit` of them. Raises BadInput for what is no regular expression,
    BuildkiteError where the file has no logs."""
    _sane(connection, query)
    ready(connection)
    names = ("since", "until", "pipelines", "branches", "states", "steps")
    values = {name: getattr(query, name) for name in names}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    connection.execute(CHOSEN, values)
    (counts,) = named(connection.execute(COUNTS))
    connection.execute(HITS.format(match=query.match), {"text": query.text})
    (hits,) = named(connection.execute(COUNT))
    connection.execute(SHOWN, {"most": limit})
    return Found(connection, query, context, hits | counts | {"shown": min(limit, hits["hits"])})


def _sane(connection: duckdb.DuckDBPyConnection, query: Query) -> None:
    import duckdb

    try:
        query.text.encode()
        if query.regex:
            connection.execute("SELECT regexp_matches('', ?)", [query.text])
    except UnicodeEncodeError:
        raise BadInput("The text to look for is not UTF-8") from None
    except duckdb.Error as error:
        why = str(error).partition(": ")[2].splitlines()[0]
        raise BadInput(
            f"{query.text!r} is no regular expression that DuckDB knows: {why}. It knows RE2's, without look-around "
            "and back references; without --regex the text is looked for as it is"
        ) from None


# Telling it


def document(found: Found) -> None:
    """`logs search --json`, on standard output."""
    query, jobs = found.query, found.jobs()
    head = {"text": query.text, "regex": query.regex, "ignore_case": query.ignore_case, "errors": query.errors}
    as_json({**head, "found": found.counts["hits"], **_others(found)}, "hits", _hits(found, jobs))


def _others(found: Found) -> dict[str, int]:
    return {name: count for name, count in found.counts.items() if name != "hits"}


def _hits(found: Found, jobs: dict[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for (place, hit), lines in groupby(found.lines(), lambda one: one[:2]):
        told = [(one.line, {"line": one.line, "at": one.at, "text": one.text}) for one in lines]
        before = [one for line, one in told if line < hit]
        after = [one for line, one in told if line > hit]
        yield {**jobs[place], **dict(told)[hit], "before": before, "after": after}


def tell(found: Found) -> None:
    """What was found, for people: each job once, under it its hits, and at the end what was searched."""
    screen, jobs = Screen(), found.jobs()
    place, last = 0, 0
    for one in found.lines():
        if one.place != place:
            _tell_job(screen, jobs[one.place], first=not place)
            place = one.place
        elif one.line <= last:
            continue
        elif found.context and one.line > last + 1:
            screen.line(("--", "dim"))
        last = one.line
        _tell_line(screen, one)
    if place:
        screen.line()
    for sentence in summary(found):
        screen.line((sentence, ""))


def _tell_job(screen: Screen, job: dict[str, Any], *, first: bool) -> None:
    if not first:
        screen.line()
    words = {"soft_failed": "softly", "retried": "retried", "truncated": "only the end of its log"}
    state = ", ".join([job["state"], *(word for name, word in words.items() if job[name])])
    name = f"{job['organization']}/{job['pipeline']} #{job['number']} · {job['name']} · {state}"
    screen.line((text(name), "bold"))
    if job["url"]:
        screen.line((text(job["url"]), "blue"))


def _tell_line(screen: Screen, one: Line) -> None:
    moment = f"{one.at:%Y-%m-%d %H:%M:%S}" if one.at else ""
    head = f"{moment:<19} {one.line:>6}{':' if one.hits else '-'} "
    screen.line((head, "cyan" if one.hits else "dim"), *_parts(one))


def _parts(one: Line) -> Iterator[Part]:
    """The line with what hits emphasised; of a long one what is around its first hit."""
    pieces = [text(piece) for piece in MARKED.split(one.marked)]
    if len(pieces) > 1 and len(pieces[0]) > BEFORE and sum(map(len, pieces)) > LONGEST:
        pieces[0] = "…" + pieces[0][-BEFORE:]
    room = LONGEST
    for number, piece in enumerate(pieces):
        style = "bold red" if number % 2 else "" if one.hits else "dim"
        if len(piece) > room:
            yield piece[:room] + "…", style
            return
        yield piece, style
        room -= len(piece)


def summary(found: Found) -> Iterator[str]:
    """How many hits, where, and of what; and what to do about what was not searched."""
    counts, query = found.counts, found.query
    if not counts["jobs"]:
        back = f" (builds since {query.since:%Y-%m-%d}; --since looks further back)" if query.since else ""
        yield f"No hit: the file has no job of this selection that has ended{back}"
        return
    hits = f"{several(counts['hits'], 'hit')} in {several(counts['in_jobs'], 'job')}" if counts["hits"] else "No hit"
    first = f", of which the first {counts['shown']:,} are shown (--limit)" if counts["shown"] < counts["hits"] else ""
    ends = f", of {counts['truncated']:,} of them only the end" if counts["truncated"] else ""
    yield f"{hits}{first}. Searched {several(counts['searched'], 'log')}{ends}"
    missing = counts["jobs"] - counts["searched"] - counts["gone"]
    if missing or counts["gone"]:
        kind = "ended" if EVERY in query.states else " or ".join(query.states) or "ended"
        gone = f", {several(counts['gone'], 'log')} gone before that" if counts["gone"] else ""
        load = f"; for more: `{_load(query)}`" if missing else ""
        yield (
            f"Of {several(counts['jobs'], f'{kind} job')}, {several(counts['searched'], 'log')} "
            f"{'is' if counts['searched'] == 1 else 'are'} loaded{gone}{load}"
        )


def _load(query: Query) -> str:
    """What to type, so that more logs are there. A load looks back 30 days unless told otherwise."""
    told = {"pipeline": query.pipelines, "branch": query.branches, "state": query.states or (EVERY,)}
    words = [f"--{name} {shlex.quote(one)}" for name, given in told.items() for one in given]
    if query.since and query.since < datetime.now(UTC) - timedelta(days=31):
        words.append(f"--since {query.since:%Y-%m-%d}")
    return " ".join(["buildkite-elt load job_logs", *words])


def several(count: int, what: str) -> str:
    """1 job, 2 jobs."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
