"""The traps that others fell into, as far as one load of one world shows them; test_traps_over_time.py has the others.

The world holds for each trap what it takes to fall; it is loaded once, over HTTP, and looked at in the DuckDB file.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pytest

from buildkite_ci.catalog import with_families
from buildkite_elt.loads import Outcome, Target
from buildkite_elt.standin import Standin, World
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import PLENTY, into
from truth import wrong

Row = dict[str, Any]
ROOT = Path(__file__).parents[1]
DAY = 86400
HOSTILE = {
    "quote": 'it\'s "so"',
    "line": "a\nb\tc\\d",
    "text": "日本語 🎉",
    "looks": "{'a': None}",
    "true": "True",
    "empty": "",
}
STATES = {"passed", "failed", "canceled", "skipped", "not_run", "running", "scheduled", "creating"}


def asked(file: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query; table names as in the file's dataset."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        connection.execute("USE ci")
        return connection.execute(sql, list(values)).fetchall()


@dataclass
class Loaded:
    """A world, a stand-in that serves it, and the file and the outcome of its one load."""

    world: World
    standin: Standin
    file: Path
    outcome: Outcome

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return asked(self.file, query, *values)

    def builds(self, **facts: Any) -> list[Row]:
        every = self.world.organizations["acme"].builds.values()
        return [build for build in every if all(build[name] == value for name, value in facts.items())]

    def jobs(self, **facts: Any) -> list[Row]:
        """The jobs of the builds with these facts."""
        return [job for build in self.builds(**facts) for job in build["jobs"]]

    def endpoint(self, build: Row) -> tuple[list[Row], int]:
        """The jobs that the jobs endpoint lists for a build, all attempts, and how many pages they were."""
        found, pages = [], 0
        path = f"pipelines/{build['pipeline']['slug']}/builds/{build['number']}/jobs?include_retried_jobs=true"
        url: str | None = f"{self.standin.rest_url}/organizations/acme/{path}"
        while url:
            with urlopen(Request(url, headers={"Authorization": f"Bearer {self.standin.token}"})) as answer:
                body = json.load(answer)
            found += body["items"]
            pages, url = pages + 1, body["links"].get("next")
        return found, pages


def jobs_of(message: str) -> str:
    """The jobs of the builds with a message, as a table of SQL."""
    return f"(SELECT jobs.* FROM jobs JOIN builds ON builds.id = build_id WHERE builds.message = '{message}')"


def states(life: Life) -> None:
    """A build in each state; blocked is none, it is said beside."""
    app = life.pipeline("states", cluster=life.cluster("States"))
    for state in sorted(STATES - {"creating"}):
        life.build(app, 2, state=state, takes=60, message="states")
    life.build(app, 2, state="blocked", takes=60, message="states")
    life.build(app, 2, creating=10**8, message="states")


def attempts(life: Life) -> None:
    """Two automatic retries, one by hand after the end, and a build that the jobs endpoint needs two pages for."""
    app = life.pipeline("attempts", cluster=life.cluster("Attempts"))
    flake = {"name": "Test", "key": "test", "outcome": "failed,failed,passed", "retry": 2, "takes": 30}
    life.build(app, plan=[flake, {"name": "Lint", "key": "lint", "takes": 20}], message="attempts")
    failed = life.build(app, 2, state="failed", takes=60, message="attempts")
    life.build(app, 130, takes=60, message="attempts")
    life.later(600, lambda: life.retry(failed, failed["jobs"][0]))


def waits(life: Life) -> None:
    """Waiting for other steps is no queue time; a job behind a failed step and a gate never become runnable."""
    app = life.pipeline("waits", cluster=life.cluster("Waits"))
    late = {"name": "Second", "key": "second", "wait": 40, "takes": 10}
    life.build(app, plan=[{"name": "First", "takes": 500}, {"type": "waiter"}, late], message="waits")
    life.build(app, plan=[{"name": "First", "outcome": "failed"}, {"type": "waiter"}, late], message="waits")


def long(life: Life) -> None:
    """Three days and five seconds, twice, one after the other."""
    step = {"name": "Soak", "takes": 3 * DAY + 5, "concurrency": ("soak", 1)}
    life.build(life.pipeline("long", cluster=life.cluster("Long")), plan=[step, step], message="long")


def queues(life: Life) -> None:
    """A cluster whose default queue is not called default, unclustered jobs, and no rule at all."""
    odd = life.cluster("Odd")
    odd["default_queue_id"] = life.queue(odd, "main")["id"]
    life.queue(odd, "gpu")
    clustered, unclustered = life.pipeline("odd", cluster=odd), life.pipeline("unclustered")
    rule, none = {"queue": "gpu", "takes": 5}, {"queue": None, "takes": 5}
    life.build(clustered, plan=[{**rule, "name": "gpu"}, {**none, "name": "main"}], message="queues")
    life.build(clustered, plan=[{**none, "name": "main", "outcome": "stuck"}], message="queues")
    old = {"queue": "legacy", "name": "legacy", "takes": 5}
    life.build(unclustered, plan=[old, {**none, "name": "default", "outcome": "stuck"}], message="queues")
    build = life.build(unclustered, plan=[{**none, "name": "tagged"}], message="queues")
    told = {"queue": None, "meta_data": ["os=linux", "queue=tagged"]}
    life.later(60, lambda: build["jobs"][0].update(agent=build["jobs"][0]["agent"] | told))


def leavers(life: Life) -> None:
    """Agents that run one job and go, and one whose host is lost."""
    queue = life.queue(life.cluster("Burst"), "burst")
    app = life.pipeline("leavers", cluster=queue["_cluster"])
    for _ in range(5):
        build = life.build(app, plan=[{"name": "Once", "queue": "burst", "takes": 30}], message="leavers")
        life.later(10, partial(life.disconnect_agent, build["jobs"][0]["agent"], "stopped"))
    life.build(app, plan=[{"name": "Lost", "queue": "burst", "takes": 30, "outcome": "lost"}], message="leavers")


def names(life: Life) -> None:
    """A name twice, emoji in both spellings, and a step that is renamed from one build to the next."""
    app = life.pipeline("names", cluster=life.cluster("Names"))
    for name in ("Specs", "Specs, renamed"):
        plan = [{"name": "Twice"}, {"name": "Twice"}, {"name": ":rspec: 🧪 ünit"}, {"name": name, "key": "specs"}]
        life.build(app, plan=plan, message="names")


def made() -> World:
    """Ten days of all that, and then the day of the load."""
    world = empty()
    life = Life(world, "acme")
    for part in (states, attempts, waits, long, queues, leavers, names):
        part(life)
    hostile: Row = {
        "meta_data": dict(HOSTILE),
        "pull_request": {"id": "7", "base": "main", "labels": ["it's", 'a "b"']},
    }
    life.build("names", 1, takes=10, message="hostile", **hostile)
    life.agent(name="idle")
    world.advance(timedelta(days=10))
    token = next(iter(world.tokens.values()))
    token.scopes = tuple(scope for scope in token.scopes if scope != "read_build_logs")
    return world


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    world, file = made(), tmp_path_factory.mktemp("traps") / "buildkite.duckdb"
    with Standin(world, budgets=PLENTY) as standin:
        yield Loaded(world, standin, file, into(standin, Target(database=file)))


def test_the_world_of_the_traps_is_loaded_whole(loaded: Loaded) -> None:
    assert loaded.outcome.exit_code == 0
    assert wrong(loaded.file, loaded.world, "acme", first=True) == []


def test_trap_02_finished_is_only_four_of_the_states(loaded: Loaded) -> None:
    """`state=finished` means passed, failed, blocked and canceled: skipped and not_run builds are missed."""
    held = loaded.sql("SELECT state, blocked, count(*) FROM builds WHERE message = 'states' GROUP BY ALL")
    there = Counter((build["state"], build["blocked"]) for build in loaded.builds(message="states"))
    assert {(state, blocked): count for state, blocked, count in held} == there
    assert {state for state, _ in there} == STATES
    assert there["passed", True] == 1


def test_trap_03_retried_attempts_are_hidden_by_default(loaded: Loaded) -> None:
    """Builds show the last attempt of a step only, unless they are asked for all."""
    for build in loaded.builds(message="attempts"):
        every, _ = loaded.endpoint(build)
        held = loaded.sql("SELECT step_id, count(*) FROM jobs WHERE build_id = ? GROUP BY ALL", build["id"])
        assert dict(held) == Counter(job["step"]["id"] for job in every)
        assert len(every) == len(build["jobs"])
    counts = loaded.sql("SELECT step_key, count(*), count(*) FILTER (retried) FROM jobs GROUP BY ALL")
    assert ("test", 3, 2) in counts
    kinds = loaded.sql("SELECT retry_source_retry_type, count(*) FROM jobs WHERE retries_count > 0 GROUP BY ALL")
    assert dict(kinds) == {"automatic": 2, "manual": 1}


def test_trap_05_jobs_are_an_object_with_items_and_links(loaded: Loaded) -> None:
    """The jobs endpoint answers `{items, links}`: taken for a list, it is empty or cut at its first page."""
    wide = next(build for build in loaded.builds(message="attempts") if len(build["jobs"]) == 130)
    every, pages = loaded.endpoint(wide)
    assert pages > 1
    held = loaded.sql("SELECT id FROM jobs WHERE build_id = ?", wide["id"])
    assert sorted(one for (one,) in held) == sorted(job["id"] for job in every)


def test_trap_07_scheduled_at_is_not_when_the_wait_begins(loaded: Loaded) -> None:
    """A wait is started_at - runnable_at; scheduled_at counts the steps before it, and runnable_at may be null."""
    held = loaded.sql(f"""
        SELECT id, epoch_ms(started_at) - epoch_ms(runnable_at), epoch_ms(started_at) - epoch_ms(scheduled_at)
        FROM {jobs_of("waits")}""")
    wait = {one: (true, false) for one, true, false in held}
    jobs = loaded.jobs(message="waits")
    assert wait.keys() == {job["id"] for job in jobs}
    for job in jobs:
        begin, end = job.get("runnable_at"), job.get("started_at")
        assert wait[job["id"]][0] == (milliseconds(end) - milliseconds(begin) if begin and end else None)
    second = next(job for job in jobs if job.get("step_key") == "second" and job["started_at"])
    assert 40_000 <= wait[second["id"]][0] <= 44_000 < 500_000 < wait[second["id"]][1]
    assert sum(true is None for true, _ in wait.values()) == 3


def milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def test_trap_08_days_are_part_of_a_duration(loaded: Loaded) -> None:
    """`timedelta.seconds` of three days and five seconds is five."""
    [first, second] = loaded.sql(f"""
        SELECT finished_at - started_at, date_diff('second', started_at, finished_at), concurrency_wait_time_ms
        FROM {jobs_of("long")} ORDER BY started_at""")
    assert first[:2] == second[:2] == (timedelta(days=3, seconds=5), 3 * DAY + 5)
    assert first[2] == 0
    assert second[2] == max(job["concurrency_wait_time_ms"] for job in loaded.jobs(message="long")) > 3 * DAY * 1000
    [(build,)] = loaded.sql("SELECT finished_at - started_at FROM builds WHERE message = 'long'")
    assert build > timedelta(days=6)


def test_trap_12_what_has_many_values_is_json(loaded: Loaded) -> None:
    """`str()` of a list or map is Python's spelling, which no warehouse reads."""
    filled = 0
    for name, table in with_families().items():
        for column in (one.name for one in table.all_columns if one.type in ("json", "env")):
            texts = f'(SELECT "{column}"::text AS told FROM {name})'
            [(count, bad)] = loaded.sql(f"SELECT count(told), count(*) FILTER (NOT json_valid(told)) FROM {texts}")
            assert bad == 0, f"{name}.{column}"
            filled += count > 0
    assert filled >= 7
    [(told, labels, text)] = loaded.sql("""
        SELECT meta_data::text, pull_request_labels::text, meta_data ->> '$.text' FROM builds
        WHERE message = 'hostile'""")
    assert json.loads(told) == HOSTILE
    assert json.loads(labels) == ["it's", 'a "b"']
    assert text == HOSTILE["text"]
    assert loaded.sql("SELECT DISTINCT agent_query_rules ->> '$[0]' FROM jobs WHERE name = 'gpu'") == [("queue=gpu",)]


QUEUE = f"""
SELECT j.name, coalesce(q.key, j.queue_key) FROM {jobs_of("queues")} AS j
LEFT JOIN cluster_queues AS q ON q.id = j.cluster_queue_id AND q._dlt_valid_to IS NULL"""


def test_trap_13_a_queue_is_not_only_a_cluster_queue(loaded: Loaded) -> None:
    """Without a cluster queue it is the `queue=` rule, else the agent's tag, else default. (Jobs are named so here.)"""
    held = loaded.sql(QUEUE)
    assert Counter(name for name, _ in held) == {"gpu": 1, "main": 2, "legacy": 1, "tagged": 1, "default": 1}
    assert [(name, queue) for name, queue in held if name != queue] == []
    unclustered = loaded.sql("SELECT DISTINCT queue_key FROM jobs WHERE type = 'script' AND cluster_queue_id IS NULL")
    assert {key for (key,) in unclustered} == {"legacy", "tagged", "default"}
    assert loaded.sql("SELECT count(*) FROM jobs WHERE type <> 'script' AND queue_key IS NOT NULL") == [(0,)]


def test_trap_14_a_queue_key_is_no_identity(loaded: Loaded) -> None:
    """Each cluster may have a queue of the same key: queues, and the jobs on them, are told apart by its id."""
    acme = loaded.world.organizations["acme"]
    held = loaded.sql("SELECT id, cluster_id FROM cluster_queues WHERE key = 'default'")
    assert len(held) == len(acme.clusters) > 5
    assert {cluster for _, cluster in held} == set(acme.clusters)
    counted = loaded.sql("""
        SELECT q.id, q.cluster_id, count(*) FROM jobs JOIN cluster_queues AS q ON q.id = jobs.cluster_queue_id
        WHERE q.key = 'default' GROUP BY ALL""")
    keyed = [job for _, job in acme.jobs() if job.get("_queue") and job["_queue"]["key"] == "default"]
    there = Counter((job["cluster_queue_id"], job["cluster_id"]) for job in keyed)
    assert {(queue, cluster): count for queue, cluster, count in counted} == there
    assert len(there) == 5


def test_trap_15_lists_of_graphql_say_clustered_true(loaded: Loaded) -> None:
    """The default of a filter hides what is in no cluster: agents, jobs, pipelines and their metrics."""
    acme = loaded.world.organizations["acme"]
    for table, rows in {"agents": acme.agents.values(), "jobs": [job for _, job in acme.jobs()]}.items():
        held = {one for (one,) in loaded.sql(f"SELECT id FROM {table} WHERE cluster_id IS NULL")}
        assert held >= {row["id"] for row in rows if row.get("cluster_url", "") is None} > set()
    pipelines = {row["id"] for row in acme.pipelines.values()}
    assert {one for (one,) in loaded.sql("SELECT id FROM pipelines")} == pipelines
    assert {one for (one,) in loaded.sql("SELECT pipeline_id FROM pipeline_metrics")} == pipelines
    assert loaded.sql("SELECT count(*) FROM pipelines WHERE cluster_id IS NULL") == [(1,)]


def test_trap_18_an_agent_of_one_job_is_not_lost(loaded: Loaded) -> None:
    """Agents that ran one job and left before the load are in no list: they are rows, neither lost nor idle."""
    held = loaded.sql(f"""
        SELECT connection_state, lost_at IS NOT NULL, stopped_at IS NOT NULL, count(j.id), min(exit_status), agents.id
        FROM agents JOIN {jobs_of("leavers")} AS j ON j.agent_id = agents.id GROUP BY ALL ORDER BY 1, 2""")
    assert [row[:-1] for row in held] == [("lost", True, False, 1, -1)] + 5 * [("stopped", False, True, 1, 0)]
    assert {row[-1] for row in held} == {job["agent"]["id"] for job in loaded.jobs(message="leavers")}
    assert loaded.sql("SELECT count(*) FROM jobs ANTI JOIN agents ON agents.id = agent_id WHERE agent_id > ''") == [
        (0,)
    ]
    idle = "SELECT name FROM agents ANTI JOIN jobs ON jobs.agent_id = agents.id WHERE connection_state = 'connected'"
    assert loaded.sql(idle) == [("idle",)]


def test_trap_19_a_name_is_no_key(loaded: Loaded) -> None:
    """Two jobs of one name, a renamed step and emoji: rows go by id, and a step by its key or id."""
    held = loaded.sql(f"SELECT name FROM {jobs_of('names')}")
    counts = {"Twice": 4, ":rspec: 🧪 ünit": 2, "Specs": 1, "Specs, renamed": 1}
    assert Counter(name for (name,) in held) == counts
    steps = loaded.sql("SELECT count(DISTINCT step_id) FROM jobs WHERE name = 'Twice'")
    assert steps == [(4,)]
    renamed = loaded.sql("SELECT name FROM jobs WHERE step_key = 'specs' ORDER BY created_at, name")
    assert renamed == [("Specs",), ("Specs, renamed",)]


PRICED = re.compile(r"[$€£]\s?\d+[.,]\d|\b[a-z]\d[a-z]*\.\d*x?(large|medium|small)\b|-standard-\d")
NAMED = re.compile(r"price|usd|dollar|per_(minute|hour)|queues\b|instance_types", re.IGNORECASE)


def literals(source: str) -> list[str]:
    """What a source says of prices, kinds of machines and queues: such a text, or such a name with a value."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and PRICED.search(str(node.value)):
            found.append(str(node.value))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, VALUES):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            filled = any(isinstance(one, ast.Constant) and one.value for one in ast.walk(node.value))
            found += [text for text in map(ast.unparse, targets) if filled and NAMED.search(text)]
    return found


VALUES = ast.Constant | ast.Dict | ast.List | ast.Set | ast.Tuple
FALLEN = ('PRICES = {"gpu": 0.9}', 'QUEUES = ["gpu"]', "usd_per_minute: float = 0.02", 'a = "m5.2xlarge"', "f('$0.04')")


def test_trap_21_prices_and_queues_are_data_not_code(loaded: Loaded) -> None:
    """A price or a list of queues in the code is right for one organization, for a month."""
    assert [one for one in FALLEN if not literals(one)] == []
    code = [path for root in ("sources", "pipelines") for path in (ROOT / root).rglob("*.py")]
    ours = {path: literals(path.read_text(encoding="utf-8")) for path in code if "standin" not in path.parts}
    assert len(ours) > 30
    assert [f"{path.name}: {said}" for path, said in ours.items() if said] == []
    keys = {queue["key"] for queue in loaded.world.organizations["acme"].queues.values()}
    assert {key for (key,) in loaded.sql("SELECT DISTINCT key FROM cluster_queues")} == keys > {"default", "burst"}


def test_trap_23_no_load_fetches_a_log_unasked(loaded: Loaded) -> None:
    """A log may have a gigabyte, carriage returns and endless lines: without being asked for it costs nothing here."""
    assert any(seen.path.endswith("/builds") for seen in loaded.standin.seen)
    assert [seen.path for seen in loaded.standin.seen if "/log" in seen.path] == []
    assert loaded.outcome.skipped == {}, "the token here may not read logs, and nothing of this load needs them"
    addresses = loaded.sql("SELECT count(log_url) FROM jobs WHERE type = 'script' AND log_url IS NOT NULL")
    assert addresses[0][0] > 100
