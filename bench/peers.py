"""How others read builds and jobs, each as a few lines of our own: the pattern of requests, not their code.

A strategy is opened on a stand-in and called once a sync. It keeps a Copy, which cost.py holds against the world.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx

from buildkite_elt.standin import Standin

Row = dict[str, Any]
Facts = tuple[Any, ...]
Sync = Callable[[], None]
JOBS_OF_A_BUILD = 500
"""What one GraphQL connection gives at most, and where the GraphQL pattern stops."""


def moment(value: Any) -> datetime | None:
    """A time as text, or as DuckDB tells it."""
    if value is None or isinstance(value, datetime):
        return value.astimezone(UTC) if value else None
    return datetime.fromisoformat(value).astimezone(UTC)


def build_facts(build: Mapping[str, Any]) -> Facts:
    """State (blocked, where it is; GraphQL has no other word) and finished_at."""
    return ("blocked" if build.get("blocked") else build["state"], moment(build["finished_at"]))


def job_facts(job: Mapping[str, Any]) -> Facts:
    """State, finished_at and retried. GraphQL tells only of a script job when it ended and whether it passed, so jobs
    of other types are judged by whether they ended."""
    state, retried = job.get("state"), bool(job.get("retried"))
    if job.get("type") == "script":
        return (state, moment(job.get("finished_at")), retried)
    return ("finished" if state in ("passed", "failed") else state, None, retried)


@dataclass
class Copy:
    """What a strategy holds: id -> facts, the newest reading of each."""

    builds: dict[str, Facts] = field(default_factory=dict)
    jobs: dict[str, Facts] = field(default_factory=dict)

    def add(self, build: Mapping[str, Any], jobs: Iterable[Mapping[str, Any]]) -> None:
        self.builds[build["id"]] = build_facts(build)
        self.jobs |= {job["id"]: job_facts(job) for job in jobs}


@dataclass(frozen=True)
class Place:
    """Where a strategy works: the stand-in, the organization, the oldest build that it should have, an empty folder."""

    standin: Standin
    organization: str
    since: datetime
    folder: Path

    def asks(self, path: str) -> str:
        return f"{self.standin.rest_url}/organizations/{self.organization}{path}"


@dataclass(frozen=True)
class Opened:
    """A strategy at work: `sync` once, and the `copy` that it holds then."""

    sync: Sync
    copy: Callable[[], Copy]


class Spent(Exception):
    """A 429, for the pattern that does not wait for it."""


class Client:
    """GET and GraphQL's POST. A 429 is waited for, as long as the longer of its two resets says; or it is Spent."""

    def __init__(self, standin: Standin, *, patient: bool = True) -> None:
        self.standin, self.patient = standin, patient
        self.http = httpx.Client(headers={"Authorization": f"Bearer {standin.token}"}, timeout=60.0)

    def send(self, method: str, url: str, **how: Any) -> httpx.Response:
        while True:
            response = self.http.request(method, url, **how)
            if response.status_code != 429:
                return response.raise_for_status()
            if not self.patient:
                raise Spent
            resets = (response.headers["RateLimit-Reset"], response.headers["RateLimit-User-Reset"])
            self.standin.clock.sleep(max(1.0, *map(float, resets)))

    def numbered(self, url: str, params: Mapping[str, Any], size: int) -> Iterator[Row]:
        """Pages by number, until one is not full."""
        page, rows = 0, list[Row]()
        while page == 0 or len(rows) == size:
            page += 1
            rows = self.send("GET", url, params={**params, "page": page, "per_page": size}).json()
            yield from rows

    def linked(self, url: str, params: Mapping[str, Any]) -> Iterator[Row]:
        """Pages by the Link header."""
        following: str | None = url
        while following:
            response = self.send("GET", following, params=params if following == url else None)
            yield from response.json()
            following = response.links.get("next", {}).get("url")


@contextlib.contextmanager
def per_pipeline(place: Place) -> Iterator[Opened]:
    """Airbyte (airbytehq/airbyte, source-buildkite/manifest.yaml, stream organizations_pipelines_builds). Every sync
    lists organizations and pipelines, then asks for each pipeline's builds created between its cursor (the newest
    created_at so far, in seconds) and now, five a page, until a page is not full. Jobs come inside the builds, without
    the attempts that were retried. A build is read again only while it is the newest of its pipeline."""
    client, copy, cursors = Client(place.standin), Copy(), dict[str, str]()
    seconds = "%Y-%m-%dT%H:%M:%SZ"

    def sync() -> None:
        list(client.numbered(f"{place.standin.rest_url}/organizations", {}, 5))
        until = place.standin.clock.now().strftime(seconds)
        for pipeline in client.numbered(place.asks("/pipelines"), {}, 5):
            slug = pipeline["slug"]
            window = {"created_from": cursors.get(slug, place.since.strftime(seconds)), "created_to": until}
            builds = list(client.numbered(place.asks(f"/pipelines/{slug}/builds"), window, 5))
            for build in builds:
                copy.add(build, build["jobs"])
            if builds:
                cursors[slug] = max(datetime.fromisoformat(one["created_at"]) for one in builds).strftime(seconds)

    yield Opened(sync, lambda: copy)


BUILDS = """
query Builds($slug: ID!, $first: Int!, $from: DateTime, $after: String, $jobs: Int) {
  pipeline(slug: $slug) { builds(first: $first, createdAtFrom: $from, after: $after) {
    pageInfo { hasNextPage endCursor }
    edges { cursor node {
      uuid number state message commit url createdAt startedAt finishedAt
      pipeline { slug repository { url provider { name } } organization { slug } }
      jobs(first: $jobs) { edges { node {
        __typename
        ... on JobTypeCommand { uuid label state command url createdAt startedAt finishedAt passed retried }
        ... on JobTypeBlock { uuid label state unblockedAt retried }
        ... on JobTypeWait { uuid label state retried }
        ... on JobTypeTrigger { uuid label state retried triggered { createdAt startedAt finishedAt } }
      } } } } } } } }
"""


def as_rest(node: Mapping[str, Any]) -> Row:
    """A build or job of GraphQL in the words of REST: there a script job that is FINISHED has passed or failed, and one
    that a limit holds back is scheduled (api.md 7.5)."""
    state = node["state"].lower()
    if state == "finished" and "passed" in node:
        state = "passed" if node["passed"] else "failed"
    if state in ("limiting", "limited"):
        state = "scheduled"
    kind = "script" if node.get("__typename") == "JobTypeCommand" else None
    told = {"id": node["uuid"], "state": state, "finished_at": node.get("finishedAt")}
    return told | {"type": kind, "retried": node.get("retried")}


@contextlib.contextmanager
def by_graphql(place: Place, *, patient: bool = True) -> Iterator[Opened]:
    """Faros (faros-ai/airbyte-connectors, sources/buildkite-source). One REST request for the pipelines (its first page
    only), then by GraphQL for each the builds created at or after the newest created_at of any build so far, ten a
    page, each with its first 500 jobs. We ask for passed and retried as well: they cost nothing, and without them no
    job could be judged."""
    client, copy, newest = Client(place.standin, patient=patient), Copy(), place.since.isoformat()

    def pages(pipeline: str) -> Iterator[Row]:
        asked = {"slug": f"{place.organization}/{pipeline}", "first": 10, "from": newest, "jobs": JOBS_OF_A_BUILD}
        while True:
            payload = {"query": BUILDS, "variables": asked}
            found = client.send("POST", place.standin.graphql_url, json=payload).json()["data"]["pipeline"]["builds"]
            yield from (edge["node"] for edge in found["edges"])
            if not found["pageInfo"]["hasNextPage"]:
                return
            asked["after"] = found["pageInfo"]["endCursor"]

    def sync() -> None:
        nonlocal newest
        seen = newest
        with contextlib.suppress(Spent):
            for pipeline in client.send("GET", place.asks("/pipelines")).json():
                for build in pages(pipeline["slug"]):
                    copy.add(as_rest(build), (as_rest(edge["node"]) for edge in build["jobs"]["edges"]))
                    seen = max(seen, build["createdAt"], key=datetime.fromisoformat)
        newest = seen

    yield Opened(sync, lambda: copy)


@contextlib.contextmanager
def by_graphql_impatient(place: Place) -> Iterator[Opened]:
    """As before, but a 429 ends the sync with success, and the cursor is the newest build that was read of any
    pipeline. So the original was measured: what it had not come to is never asked for again."""
    with by_graphql(place, patient=False) as opened:
        yield opened


@contextlib.contextmanager
def jobs_per_build(place: Place) -> Iterator[Opened]:
    """A Fivetran connector built with its SDK, made better. Builds of the organization created since the newest
    created_at, a hundred a page, then one request for each one's jobs, all attempts. (The original lists builds by
    pipeline, asks for the jobs of the first ten only, and reads the answer as a list, which it is not.)"""
    client, copy, newest = Client(place.standin), Copy(), place.since.isoformat()

    def sync() -> None:
        nonlocal newest
        params = {"created_from": newest, "per_page": 100, "exclude_jobs": "true"}
        for build in list(client.linked(place.asks("/builds"), params)):
            following: str | None = place.asks(f"/pipelines/{build['pipeline']['slug']}/builds/{build['number']}/jobs")
            copy.add(build, ())
            while following:
                page = client.send("GET", following, params={} if "?" in following else {"per_page": 100}).json()
                copy.add(build, page["items"])
                following = page["links"].get("next")
            newest = max(newest, build["created_at"], key=datetime.fromisoformat)

    yield Opened(sync, lambda: copy)


def held(file: Path, builds: str, jobs: str) -> Copy:
    """The copy that two tables of a DuckDB file are."""
    import duckdb

    def rows(connection: duckdb.DuckDBPyConnection, table: str, columns: str) -> Iterator[Row]:
        cursor = connection.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of this file
        for row in cursor.fetchall():
            yield dict(zip(columns.split(", "), row, strict=True))

    if not file.exists():
        return Copy()
    with duckdb.connect(str(file), read_only=True) as connection:
        found = {one["id"]: build_facts(one) for one in rows(connection, builds, "id, state, blocked, finished_at")}
        made = rows(connection, jobs, "id, type, state, finished_at, retried")
        return Copy(found, {one["id"]: job_facts(one) for one in made})


@contextlib.contextmanager
def dlt_rest_api(place: Place) -> Iterator[Opened]:
    """dlt's rest_api source, run into DuckDB, written as its documentation writes such a resource: merge on id, an
    incremental on created_at that fills created_from, a hundred builds a page by the Link header, jobs as a nested
    table. env and meta_data are declared as JSON, else each of their keys would be a column. It waits and tries again
    by itself; only its clock is the stand-in's."""
    import dlt
    from dlt.sources.rest_api import rest_api_source
    from dlt.sources.rest_api.typing import RESTAPIConfig

    from buildkite_elt.warehouse import DLT

    os.environ.update(DLT)
    file = place.folder / "rest_api.duckdb"
    config: RESTAPIConfig = {
        "client": {
            "base_url": place.standin.rest_url,
            "auth": {"type": "bearer", "token": place.standin.token},
            "paginator": "header_link",
        },
        "resources": [
            {
                "name": "builds",
                "primary_key": "id",
                "write_disposition": "merge",
                "columns": {name: {"data_type": "json"} for name in ("env", "meta_data")},
                "endpoint": {
                    "path": f"organizations/{place.organization}/builds",
                    "params": {"per_page": 100, "created_from": "{incremental.start_value}"},
                    "incremental": {"cursor_path": "created_at", "initial_value": place.since.isoformat()},
                },
            }
        ],
    }
    pipe = dlt.pipeline(
        pipeline_name="rest_api",
        destination=dlt.destinations.duckdb(str(file)),
        dataset_name="peer",
        pipelines_dir=str(place.folder / "dlt"),
    )

    def sync() -> None:
        pipe.run(rest_api_source(config))

    with patch("tenacity.nap.time", SimpleNamespace(sleep=place.standin.clock.sleep)):
        yield Opened(sync, lambda: held(file, "peer.builds", "peer.builds__jobs"))
    pipe.deactivate()


@contextlib.contextmanager
def ours(place: Place) -> Iterator[Opened]:
    """`buildkite-elt load builds jobs`. What was created, what finished since the last load and what is open, a hundred
    builds a page with all attempts of their jobs; paced by the headers, a fifth of each limit left to others."""
    from buildkite_elt.loads import Origin, Target, load

    file = place.folder / "buildkite.duckdb"
    standin = place.standin
    origin = Origin((place.organization,), standin.token, standin.rest_url, standin.graphql_url)
    clock = standin.clock

    def sync() -> None:
        [outcome] = load(
            origin,
            Target(database=file),
            ("builds", "jobs"),
            place.since,
            sleep=clock.sleep,
            now=lambda: clock.now().timestamp(),
        )
        if outcome.exit_code:
            raise RuntimeError(f"exit code {outcome.exit_code}: {outcome.failed or outcome.skipped or outcome.waiting}")

    yield Opened(sync, lambda: held(file, "ci.builds", "ci.jobs"))


Strategy = Callable[[Place], contextlib.AbstractContextManager[Opened]]

STRATEGIES: dict[str, tuple[str, Strategy]] = {
    "ours": ("buildkite-elt", ours),
    "dlt": ("dlt rest_api, jobs nested", dlt_rest_api),
    "airbyte": ("created_at cursor per pipeline, 5 a page", per_pipeline),
    "faros": ("GraphQL per pipeline, jobs(first: 500)", by_graphql),
    "faros-429": ("the same, a 429 ends the sync", by_graphql_impatient),
    "fivetran": ("one jobs request per build", jobs_per_build),
}
"""Key -> what the tables call it, and the strategy."""
