"""The traps that show when the world goes on between two loads, or when the API does not answer as it should."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci.wire import Wire
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.standin import Standin, World
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from faults import LONG_AGO, PLENTY, SCALE
from test_traps import asked
from truth import TRUTH, compared, stored, wrong

Row = dict[str, Any]
DAY = 86400
SAMPLES = Path(__file__).parents[2] / "shared" / "buildkite" / "samples" / "rest"


class Place:
    """The empty organization acme with a pipeline `app`, its stand-in, and a file to load into."""

    def __init__(self, standin: Standin, file: Path) -> None:
        self.standin, self.file, self.world = standin, file, standin.world
        self.life = Life(self.world, next(iter(self.world.organizations)))

    @property
    def app(self) -> Row:
        return self.life.organization.pipeline("app") or self.life.pipeline("app")

    def load(self, *tables: str, since: datetime = LONG_AGO) -> list[Outcome]:
        """One load of every organization, on the stand-in's clock."""
        clock = self.standin.clock
        standin = self.standin
        origin = Origin(tuple(self.world.organizations), standin.token, standin.rest_url, standin.graphql_url)
        now = lambda: clock.now().timestamp()  # noqa: E731
        return load(origin, Target(database=self.file), tables, since, sleep=clock.sleep, now=now)

    def right(self, *tables: str) -> None:
        """A load that calls itself whole leaves the truth."""
        assert [one.exit_code for one in self.load(*tables)] == [0] * len(self.world.organizations)
        for slug in self.world.organizations:
            assert wrong(self.file, self.world, slug, [one for one in tables if one in TRUTH]) == []

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return asked(self.file, query, *values)


Make = Callable[..., Place]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Make]:
    """`place(world)`: an empty world unless given; it is served until the test ends."""
    standins: list[Standin] = []

    def make(world: World | None = None) -> Place:
        standins.append(Standin(world or empty(), budgets=PLENTY).__enter__())
        return Place(standins[-1], tmp_path / "buildkite.duckdb")

    yield make
    for standin in standins:
        standin.__exit__(None, None, None)


def test_trap_01_created_at_cursor_without_reread(place: Make) -> None:
    """A cursor on created_at never sees a build end two days later, nor a job that is retried after the end."""
    here = place()
    late = here.life.build(here.app, 2, takes=2 * DAY)
    failed = here.life.build(here.app, 2, takes=60, state="failed")
    superseded = here.life.build(here.app, 1, state="scheduled")
    here.world.advance(3600)
    here.right("builds", "jobs")
    here.world.advance(timedelta(days=3))
    here.life.skip(superseded)
    assert (late["state"], failed["state"], superseded["state"]) == ("passed", "failed", "skipped")
    here.right("builds", "jobs")
    here.life.retry(failed, failed["jobs"][0])
    here.world.advance(5)
    here.right("builds", "jobs")
    assert here.sql("SELECT state FROM builds WHERE id = ?", failed["id"]) == [("running",)]
    here.world.advance(DAY)
    here.right("builds", "jobs")
    [(state, jobs)] = here.sql(
        "SELECT any_value(b.state), count(*) FROM builds AS b JOIN jobs ON build_id = b.id WHERE b.id = ?", failed["id"]
    )
    assert (state, jobs) == ("passed", 3)


def test_trap_04_a_wrong_key_name_is_null_for_ever(place: Make) -> None:
    """A key that is asked for by a wrong name reads as null: what no column knows has to show, not to vanish."""
    here = place()
    build = here.life.build(here.app, 2, takes=10)
    here.world.advance(60)
    build |= {"retried_count": 3, "flavour": {"sweet": True}}
    build["jobs"][0]["colour"] = "green"
    here.load("builds")
    assert [json.loads(more) for (more,) in here.sql("SELECT more FROM builds")] == [
        {"retried_count": 3, "flavour": {"sweet": True}}
    ]
    held = here.sql("SELECT id, more FROM jobs WHERE more IS NOT NULL")
    assert [(one, json.loads(more)) for one, more in held] == [(build["jobs"][0]["id"], {"colour": "green"})]


RECORDED = {
    "organizations": (r"/acme(\?|$)", "organizations__02"),
    "builds": (r"/builds\?", "builds__01"),
    "pipelines": (r"/pipelines\?", "pipelines__02"),
    "clusters": (r"/clusters\?", "clusters__01"),
    "members": (r"/members\?", "organizations__members__01"),
    "teams": (r"/teams\?", "teams__01"),
    "emojis": (r"/emojis", "emojis__01"),
}
"""Table -> which requests are answered by which recorded body; `jobs` are inside `builds`."""


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded bodies are not beside the checkout")
def test_trap_04_recorded_bodies_fill_the_columns_that_they_name(place: Make) -> None:
    """Every value of a recorded body is in the column of its name, and none is left over."""
    here = place()
    bodies: dict[str, list[Row]] = {}
    for table, (path, file) in RECORDED.items():
        body = json.loads((SAMPLES / f"rest_api__{file}.json").read_text(encoding="utf-8"))["body"]
        bodies[table] = body if isinstance(body, list) else [body]
        one = table == "organizations"
        here.standin.trouble.add("message", path=path, times=None, body=bodies[table][0] if one else bodies[table])
    here.load(*RECORDED, since=datetime(2010, 1, 1, tzinfo=UTC))
    for table, told in bodies.items():
        key, _ = TRUTH[table]
        rows = {tuple(body[name] for name in key): body for body in told}
        slug = told[0]["slug"] if table == "organizations" else "acme"
        assert list(compared(table, key, rows, stored(here.file, table, slug))) == []
        assert here.sql(f"SELECT more FROM {table} WHERE more IS NOT NULL") == []
    jobs = {job["id"] for build in bodies["builds"] for job in build["jobs"]}
    assert {one for (one,) in here.sql("SELECT id FROM jobs WHERE more IS NULL")} == jobs > set()


def test_trap_05_an_object_is_never_an_empty_list(place: Make) -> None:
    """Where an array is due, an object is an error and covers nothing: the next load reads it all."""
    here = place()
    here.life.build(here.app, 3, takes=10)
    here.world.advance(60)
    here.standin.trouble.add("message", path="/builds", times=None, body={"items": [], "links": {}})
    [outcome] = here.load("builds")
    assert outcome.exit_code == 1
    assert outcome.failed.keys() == {"builds"}
    here.standin.trouble.clear()
    here.right("builds", "jobs")


def test_trap_06_five_hundred_jobs_are_not_all(place: Make) -> None:
    """`jobs(first: 500)` without pages cuts a build of 4,000 jobs."""
    here = place()
    here.life.big_build(here.app, 4000)
    here.right("builds", "jobs")
    assert here.sql("SELECT state, count(*), count(DISTINCT id) FROM jobs GROUP BY ALL") == [("running", 4000, 4000)]


PATIENCE: list[tuple[str, int, Row]] = [
    ("emojis", 37, {"scope": "rest", "headers": {"RateLimit-User-Reset": None}, "body": {"message": "Slow down"}}),
    ("emojis", 41, {"scope": "rest_user", "headers": {"RateLimit-Reset": None}, "body": {"message": "Slow down"}}),
    ("emojis", 23, {"headers": {"RateLimit-Reset": None, "RateLimit-User-Reset": None}}),
    ("pipeline_metrics", 187, {"headers": {"RateLimit-Reset": None, "RateLimit-User-Reset": None}}),
]
"""Where a 429 says when to come again: one header, the other, the body of REST, the message of GraphQL."""


def test_trap_09_retry_after_is_awaited_and_never_sent(place: Make) -> None:
    """A 429 carries no Retry-After; whoever looks for it alone comes again at once, or much too late."""
    here = place()
    here.life.organization.emojis.append({"name": "tada", "url": "https://example.com/tada.png"})
    assert here.app
    here.load("emojis")
    for table, seconds, details in PATIENCE:
        here.standin.clear()
        path = "/emojis" if table == "emojis" else "PipelineMetrics"
        here.standin.trouble.add("429", path=path, reset=seconds, **details)
        [outcome] = here.load(table)
        first, again = [seen for seen in here.standin.seen if path in f"{seen.path} {seen.document}"]
        assert (first.status, again.status, outcome.exit_code, outcome.refused) == (429, 200, 0, 1)
        assert seconds <= (again.at - first.at).total_seconds() <= seconds + 2, details
        here.standin.trouble.clear()


def test_trap_10_a_429_is_no_empty_list(place: Make) -> None:
    """A refusal never yields zero rows as success: nothing is retired, nothing is covered, the load says so."""
    tables = ("pipelines", "builds", "jobs", "emojis", "members")
    here = place()
    here.life.organization.emojis.append({"name": "tada", "url": "https://example.com/tada.png"})
    here.life.build(here.app, 2, takes=DAY)
    here.world.advance(60)
    here.right(*tables)
    before = {table: here.sql(f"SELECT count(*) FROM {table}") for table in tables}
    here.standin.trouble.add("429", path="/(builds|emojis)", times=None, reset=30, body=b"[]")
    here.standin.trouble.add("429", api="rest", times=None, reset=30)
    here.world.advance(2 * DAY)
    here.life.build(here.app, 2, takes=5)
    here.world.advance(60)
    [outcome] = here.load(*tables)
    assert outcome.exit_code == 1
    assert outcome.failed.keys() == {"pipelines", "builds", "emojis", "members"}
    assert {table: here.sql(f"SELECT count(*) FROM {table}") for table in tables} == before
    assert here.sql("SELECT count(*) FROM pipelines WHERE _dlt_valid_to IS NOT NULL") == [(0,)]
    here.standin.trouble.clear()
    here.right(*tables)


def test_trap_11_two_organizations_are_no_product(place: Make) -> None:
    """Each organization is asked for its own pipelines only: the product of both answers 404."""
    here = place(demo(organizations=("acme-inc", "globex"), builds_per_day=3, days=16))
    own, shared = Life(here.world, "globex").pipeline("only-here"), "web"
    Life(here.world, "globex").schedule(own)
    here.right("organizations", "pipelines", "pipeline_schedules", "builds", "jobs")
    assert [seen.path for seen in here.standin.seen if seen.status >= 400] == []
    below = {tuple(seen.path.split("/")[3:6:2]) for seen in here.standin.seen if seen.path.endswith("/schedules")}
    organizations = here.world.organizations
    real = {(slug, row["slug"]) for slug, one in organizations.items() for row in one.pipelines.values()}
    assert below == real >= {("globex", "only-here"), ("acme-inc", shared), ("globex", shared)}


def test_trap_16_the_last_word_is_not_what_came_last(place: Make) -> None:
    """A build that is read twice in one load, or whose body is half out of date, ends as it was read last."""
    here = place()
    for n in range(3):
        here.life.build(here.app, 1, takes=30, message=f"old {n}")
    here.world.advance(3600)
    here.right("builds", "jobs")
    quick = here.life.build(here.app, 2, state="running")
    again = here.life.build(here.app, 1, takes=30, state="failed")
    stale = here.life.build(here.app, 1, state="running")
    here.world.advance(60)
    stale["finished_at"] = here.life.stamp()
    asked = len(here.standin.seen)

    def meanwhile(number: int, _: object) -> None:
        if number == asked + 1:
            here.life.finish(quick)
            here.life.retry(again, again["jobs"][0])

    here.standin.trouble.between(meanwhile)
    here.right("builds", "jobs")
    held = dict(here.sql("SELECT id, state FROM builds WHERE message NOT LIKE 'old%'"))
    assert held == {quick["id"]: "passed", again["id"]: "running", stale["id"]: "running"}
    here.standin.trouble.clear()
    here.world.advance(DAY)
    stale["state"] = stale["jobs"][0]["state"] = "passed"
    here.right("builds", "jobs")


GHOSTS = """
SELECT builds.id FROM builds JOIN jobs ON build_id = builds.id
WHERE NOT blocked AND builds.state NOT IN ('passed', 'failed', 'canceled', 'skipped', 'not_run')
GROUP BY ALL
HAVING bool_and(jobs.finished_at IS NOT NULL) AND max(jobs.finished_at) < max(builds.last_seen_at) - INTERVAL 30 MINUTE
"""


def test_trap_17_a_ghost_build_stays_running(place: Make) -> None:
    """All its jobs have ended, and it is running for ever: it can be told from one that runs, and is read each time."""
    here = place()
    ghost = here.life.build(here.app, 2, state="running")
    here.life.build(here.app, 2, state="running")
    here.life.build(here.app, 2, takes=10)
    here.world.advance(60)
    ghost["_quiet"] = True
    for job in ghost["jobs"]:
        here.life.finish_job(job)
    seen = set()
    for days in (0, 1, 40):
        here.world.advance(timedelta(days=days))
        before = len(here.standin.seen)
        here.right("builds", "jobs")
        assert len(here.standin.seen) - before <= 4
        seen |= set(here.sql("SELECT last_seen_at::date FROM builds WHERE id = ?", ghost["id"]))
        assert here.sql(GHOSTS) == ([(ghost["id"],)] if days else [])
    assert len(seen) == 3
    assert here.sql("SELECT count(*) FROM builds WHERE state = 'running'") == [(2,)]


def test_trap_20_a_page_that_is_too_large(place: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is never ready or answers 504 is asked for smaller, the load goes on, and later it is large again."""
    monkeypatch.setitem(Wire.__init__.__kwdefaults__ or {}, "timeout", 3.0)
    here = place()
    now = here.world.now()
    here.life.history(here.app, 700, 1, now - timedelta(days=9), now - timedelta(days=1))
    here.standin.trouble.add("stall", path=r"/builds\?.*per_page=100$", seconds=9)
    here.standin.trouble.add("504", path=r"/builds\?.*per_page=50$", times=2)
    here.right("builds", "jobs")
    sizes = [int(seen.query.rpartition("=")[2]) for seen in here.standin.seen if seen.path.endswith("/builds")]
    assert sizes[:3] == [100, 50, 25]
    assert max(sizes[3:]) == 100
    assert here.sql("SELECT count(*) FROM builds") == [(700,)]


def test_trap_22_a_pipeline_that_goes_between_list_and_read(place: Make) -> None:
    """The 404 below it ends nothing: the load goes on, and what is gone is closed or marked, never dropped."""
    here = place()
    doomed, cluster = here.life.pipeline("doomed"), here.life.cluster("Doomed")
    here.life.schedule(doomed)
    for pipeline in (here.app, doomed):
        here.life.build(pipeline, 2, takes=10)
        here.life.build(pipeline, 2, state="running")
    here.world.advance(60)
    tables = ("pipelines", "pipeline_schedules", "clusters", "cluster_queues", "builds", "jobs")
    here.right(*tables)

    def meanwhile(_: int, seen: Any) -> None:
        if seen.path.endswith("/pipelines") and doomed["id"] in here.life.organization.pipelines:
            here.life.delete_pipeline(doomed)
        if seen.path.endswith("/clusters") and here.life.organization.clusters.pop(cluster["id"], None):
            del here.life.organization.queues[cluster["default_queue_id"]]

    here.standin.trouble.between(meanwhile)
    [outcome] = here.load(*tables)
    assert (outcome.exit_code, outcome.failed) == (0, {})
    assert 404 in {seen.status for seen in here.standin.seen}
    assert [one.exit_code for one in here.load(*tables)] == [0]
    assert wrong(here.file, here.world, "acme", tables[:4]) == []
    assert here.sql("SELECT slug, _dlt_valid_to IS NULL FROM pipelines ORDER BY 1") == [
        ("app", True),
        ("doomed", False),
    ]
    assert here.sql("SELECT _dlt_valid_to IS NULL FROM pipeline_schedules") == [(False,)]
    gone = dict(here.sql("SELECT (pipeline_slug, state)::text, gone_at IS NOT NULL FROM builds"))
    assert len(gone) == 4
    assert gone["(doomed, running)"]
    assert not any(gone[one] for one in gone if one.startswith("(app"))
    assert here.sql("SELECT count(*) FROM jobs") == [(8,)]


def test_trap_24_no_limit_of_expressions_or_parameters(place: Make) -> None:
    """250,000 rows of one table in one load, and again; and a page that names 5,000 agents: no list is too long."""
    here = place()
    many = [{"name": f"emoji-{n}", "url": f"https://example.com/{n}.png"} for n in range(250_000)]
    here.life.organization.emojis += many
    build = here.life.big_build(here.app, 5_000)
    template = build["jobs"][0]["agent"]
    for n, job in enumerate(build["jobs"]):
        job["agent"] = template | {"id": f"{n:08x}{template['id'][8:]}", "name": f"agent-{n}"}
    here.load("emojis", "builds", "agents")
    here.load("emojis")
    assert here.sql("SELECT count(*), count(DISTINCT name) FROM emojis") == [(250_000, 250_000)]
    assert here.sql("SELECT count(*), count(DISTINCT agent_id) FROM jobs") == [(5_000, 5_000)]
    assert here.sql("SELECT count(*) FROM agents WHERE name LIKE 'agent-%'") == [(5_000,)]


@pytest.mark.slow
@pytest.mark.skipif(SCALE < 10, reason="a quarter of a million wide rows take minutes: BUILDKITE_ELT_SCALE=10")
def test_trap_24_a_quarter_of_a_million_jobs(place: Make) -> None:
    """The same with the widest table."""
    here = place()
    now = here.world.now()
    here.life.history(here.app, 5000, 50, now - timedelta(days=20), now - timedelta(hours=2))
    here.load("builds")
    assert here.sql("SELECT count(*), count(DISTINCT id) FROM jobs") == [(250_000, 250_000)]
    assert wrong(here.file, here.world, "acme", ("builds",)) == []
