"""What GraphQL tells of queues: the jobs of one or more in a time frame, and how deep each is (api.md 5.4, 5.14).

A queue of a cluster has a UUID. An unclustered one is a tag of agents and has none: `queue=NAME` stands for it here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from . import graphql, warehouse
from .batch import many
from .catalog import TABLES, twin
from .errors import TooHeavy
from .rest import TICK, Page, Size
from .table import Item, Table, part
from .tables.jobs import queue_key
from .times import instant, told

if TYPE_CHECKING:
    from .extract import Run

PAGE, LEAST = 100, 25
"""Jobs in a page, and in the smallest one before a window is cut in halves."""
SHORTEST = timedelta(minutes=10)
"""A window that is still too heavy is asked for pipeline by pipeline."""
UNCLUSTERED = """
SELECT DISTINCT queue_key FROM {jobs}
WHERE organization_slug = %s AND type = 'script' AND cluster_id IS NULL AND queue_key IS NOT NULL ORDER BY queue_key
"""


@dataclass(frozen=True)
class Queue:
    """One queue, and how its jobs are asked for. key: None for every unclustered one."""

    id: str
    key: str | None
    cluster_id: str | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, job: Item) -> bool:
        """Whether a job, in REST's spelling, is of this queue; one that names no queue is of `default`."""
        if self.cluster_id:  # a search by queue does not tell the queue: all that it finds are of it
            return "cluster_queue" not in job or bool(part(job, "cluster_queue").get("id") == self.id)
        own = job.get("cluster_queue") is None
        return own and self.key in (None, _key(job))

    def row(self, job: Item) -> dict[str, Any]:
        told = {"queue_id": self.id, "queue_key": self.key, "cluster_id": self.cluster_id}
        return {**job, **told} if self.key else {**job, "queue_id": f"queue={_key(job)}", "queue_key": _key(job)}


def _key(job: Item) -> str | None:
    return queue_key({"type": "script", "agent_query_rules": job.get("agent_query_rules")})


def unclustered(key: str | None) -> Queue:
    """The rule `queue=default` may miss jobs that name no queue, so for these every unclustered job is asked for."""
    rules = {} if key in (None, "default") else {"rules": [f"queue={key}"]}
    return Queue(f"queue={key or '*'}", key, None, {"clustered": False, **rules})


def jobs(run: Run, table: Table) -> Iterator[Page]:
    """The jobs of the queues that are wanted, by key or UUID (for none: of all), newest first."""
    choice = run.choice(table)
    begin, end = choice.since or run.since, choice.until
    clustered = [queue for queue, _, _ in _every(run)]
    wanted = [one for one in clustered if not choice.queues or {one.id, one.key} & {*choice.queues}]
    keys = [name for name in choice.queues if name not in {one.id for one in clustered}]
    others: list[str | None] = list(keys) if choice.queues else [None]
    for queue in (*wanted, *map(unclustered, others)):
        for found, at in _walk(run, table, queue, begin, end):
            yield Page([queue.row(job) for job in found], at)


def _every(run: Run) -> Iterator[tuple[Queue, Item, datetime]]:
    """Every queue of every cluster, with what GraphQL tells of it."""
    file = TABLES / "queue_metrics.graphql"
    for page in graphql.pages(run.wire, file, {"organization": run.organization}):
        for cluster in page.items:
            for edge in cluster["queues"]["edges"]:
                one = edge["node"]
                asked = {"queue": [one["graphql_id"]]}
                yield Queue(one["id"], one["key"], cluster["id"], asked), one, page.at


def _walk(
    run: Run, table: Table, queue: Queue, begin: datetime, end: datetime | None
) -> Iterator[tuple[list[Item], datetime]]:
    """The queue's jobs created in [begin, end), newest first, each page and the server's clock. What is too heavy is
    asked for in smaller pages, then in half the window, then pipeline by pipeline; a job may so come twice."""
    spans, size = [(begin, end)], Size(PAGE)
    while spans:
        begin, end = spans.pop()
        names = {"organization": run.organization, **queue.asked}
        names |= {"createdAtFrom": told(begin), **({"createdAtTo": told(end)} if end else {})}
        try:
            for found, at in _pages(run, table, names, size, begin, end):
                yield [job for job in found if queue.holds(job)], at
                end = min([end or at, *(instant(job["created_at"]) + TICK for job in found)])
        except TooHeavy:
            until = end or datetime.now(begin.tzinfo)
            if size.size > LEAST:
                size.size = size.size // 2
                spans.append((begin, end))
            elif until - begin > SHORTEST:
                middle = begin + (until - begin) / 2
                spans += [(begin, middle), (middle, end or until)]
            else:
                yield from _by_pipeline(run, queue, begin, end)


def _pages(
    run: Run, table: Table, names: Mapping[str, Any], size: Size, begin: datetime, end: datetime | None
) -> Iterator[tuple[list[dict[str, Any]], datetime]]:
    """The pages of one window. Raises TooHeavy as soon as one is."""
    request, after = graphql.read(twin(table)), None
    while True:
        sized = graphql.resized(request, size.size)
        data, answer = graphql.execute(run.wire, sized, {**names, "after": after}, table.name, can_shrink=True)
        connection = graphql.follow(data, ["organization", "jobs"], table.name, run.organization)
        found = [graphql.rest_spelling(node) for node in graphql.nodes(connection, table.name)]
        yield [job for job in found if _within(job, begin, end)], answer.at
        # A server that ignores the dates goes on for ever: the newest come first, so the first older one is the end.
        if not connection["pageInfo"]["hasNextPage"] or (found and instant(found[-1]["created_at"]) < begin):
            return
        after = connection["pageInfo"]["endCursor"]


def _by_pipeline(
    run: Run, queue: Queue, begin: datetime, end: datetime | None
) -> Iterator[tuple[list[Item], datetime]]:
    """A pipeline's jobs cannot be asked for by date or queue: they are read from the newest on, down to `begin`."""
    file, doing = TABLES / "_pipeline_jobs.graphql", run.wire.budget.doing
    for pipeline in run.parents("pipelines"):
        run.wire.budget.doing = doing
        names = {"pipeline": f"{run.organization}/{pipeline['slug']}", "rules": queue.asked.get("rules")}
        for page in graphql.pages(run.wire, file, names):
            yield [job for job in page.items if _within(job, begin, end) and queue.holds(job)], page.at
            if page.items and instant(page.items[-1]["created_at"]) < begin:
                break


def _within(job: Item, begin: datetime, end: datetime | None) -> bool:
    at = instant(job["created_at"])
    return begin <= at and (end is None or at < end)


def metrics(run: Run, table: Table) -> Iterator[Page]:
    """A row for each queue: its latest minute as Buildkite measured it; where it does not, its depth now, by counts."""
    counted: list[Queue] = []
    for queue, one, at in _every(run):
        measured = one.get("metrics")
        if measured:
            yield Page([_row(queue) | {**one, **measured, "source": "metrics"}], at)
        else:
            counted.append(queue)
    found = warehouse.select(UNCLUSTERED, {"jobs": "jobs"}, (run.organization,))
    counted += [unclustered(row["queue_key"]) for row in found]
    asks = [_depth(queue) for queue in counted]
    for answer in many(run.wire, TABLES / "_queue_depth.graphql", asks, {"organization": run.organization}):
        if answer.error:
            run.report.failed[table.name] = answer.error
        elif answer.items and answer.at:
            told_ = answer.items[0]
            row = _row(counted[answer.number]) | {
                "timestamp": answer.at.replace(second=0, microsecond=0).isoformat(),
                "waiting_jobs_count": told_["waiting"]["count"],
                "running_jobs_count": told_["running"]["count"],
                "connected_agents_count": told_["agents"]["count"],
                "source": "counts",
            }
            yield Page([row], answer.at)


def _row(queue: Queue) -> dict[str, Any]:
    return {"queue_id": queue.id, "queue_key": queue.key, "cluster_id": queue.cluster_id}


def _depth(queue: Queue) -> dict[str, Any]:
    if queue.cluster_id:
        return {"queue": queue.asked["queue"], "clustered": True, "rules": None, "tags": None}
    tag = [f"queue={queue.key}"]
    return {"queue": None, "clustered": False, "rules": tag, "tags": tag}
