"""Job logs from the stand-in into a DuckDB file: every line as the specification reads it, each log asked for once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from buildkite_ci import logs as reading
from buildkite_ci.choice import Choice
from buildkite_ci.errors import BadInput
from buildkite_ci.joblog_spec import any_line
from buildkite_ci.logs import TAIL
from buildkite_elt.loads import LoadFailed
from buildkite_elt.standin import LEAKED, Log, Standin
from buildkite_elt.standin.answer import Seen
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import PLENTY
from lively import Row, ask, eventful, into

EVERY = {"job_logs": Choice(states=("all",))}


@pytest.fixture
def life() -> Life:
    return eventful()


@pytest.fixture
def standin(life: Life) -> Iterator[Standin]:
    with Standin(life.world, budgets=PLENTY) as here:
        yield here


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


def failed(count: int) -> Life:
    """So many jobs that failed, in builds of fifty."""
    world = empty()
    life = Life(world, "acme")
    app = life.pipeline("app")
    for _ in range(count // 50):
        life.build(app, plan=[{"outcome": "failed", "parallelism": 50, "queue": None}])
    world.advance(timedelta(hours=4))
    return life


def ended(standin: Standin) -> dict[str, bytes]:
    """The log of each job that ran and has ended."""
    (acme,) = standin.world.organizations.values()
    jobs = [job for _, job in acme.jobs() if job["type"] == "script" and job["started_at"] and job["finished_at"]]
    return {job["id"]: acme.logs[job["id"]]() for job in jobs if job["id"] in acme.logs}


def asked(standin: Standin, since: int = 0) -> list[str]:
    """The jobs whose logs were asked for."""
    return [one.path.split("/")[-2] for one in standin.seen[since:] if one.path.endswith("/log")]


def spelled(raw: bytes) -> list[str]:
    """The lines of a log that has a marker in the first one, as the specification reads them."""
    lines = raw.split(b"\n")
    return [any_line(one).text for one in (lines if lines[-1] else lines[:-1])]


def texts(file: Path, job: str) -> list[str]:
    found = ask(file, "SELECT text FROM ci.job_log_lines WHERE job_id = ? ORDER BY line", job)
    return [text for (text,) in found]


def test_every_line_of_every_ended_job(standin: Standin, file: Path) -> None:
    into(standin, file, "builds")
    before = len(standin.seen)
    assert into(standin, file, "job_logs", choices=EVERY, show=("secrets",)).exit_code == 0
    logs = ended(standin)
    assert len(logs) > 10
    assert sorted(asked(standin, before)) == sorted(logs)
    for job, raw in logs.items():
        assert texts(file, job) == spelled(raw)
    told = ask(file, "SELECT job_id, bytes, read_bytes, lines, truncated, gone FROM ci.job_logs")
    assert sorted(told) == sorted(
        (job, len(raw), len(raw), len(spelled(raw)), False, False) for job, raw in logs.items()
    )
    groups = "SELECT sum(lines) FROM ci.job_log_groups GROUP BY job_id"
    lines = "SELECT count(group_number) FROM ci.job_log_lines GROUP BY job_id HAVING count(group_number) > 0"
    assert sorted(ask(file, groups)) == sorted(ask(file, lines))
    assert ask(file, "SELECT count(*) FROM ci.job_log_matches") == ask(
        file, "SELECT sum(error_lines)::BIGINT FROM ci.job_logs"
    )
    assert ask(file, "SELECT count(*) FROM ci.job_logs WHERE error_lines > 0 AND error_text IS NULL") == [(0,)]
    assert standin.count().writes == 0


def test_the_second_load_asks_for_nothing_and_a_late_end_is_read_once(life: Life, file: Path) -> None:
    with Standin(life.world, budgets=PLENTY) as standin:
        into(standin, file, "builds")
        into(standin, file, "job_logs", choices=EVERY)
        first = asked(standin)
        running = [job["id"] for _, job in life.organization.jobs() if job["state"] == "running"]
        assert running
        assert not set(running) & set(first)
        into(standin, file, "job_logs", choices=EVERY)
        assert asked(standin) == first
        life.world.advance(timedelta(hours=30))
        into(standin, file, "builds", "job_logs", choices=EVERY)
        assert len(asked(standin)) == len(set(asked(standin)))
        assert set(asked(standin)) == set(ended(standin))


def test_by_default_those_that_failed(standin: Standin, file: Path) -> None:
    into(standin, file, "builds", "job_logs")
    into(standin, file, "job_logs")
    states = ask(file, "SELECT DISTINCT state, soft_failed, retried FROM ci.jobs JOIN ci.job_logs ON job_id = id")
    assert all(state in ("failed", "timed_out") or soft or retried for state, soft, retried in states)
    order = [row[0] for row in ask(file, "SELECT state FROM ci.jobs JOIN ci.job_logs ON job_id = id ORDER BY id")]
    assert "failed" in order


def long_log(lines: int = 60_000) -> bytes:
    return b"".join(
        b"\x1b_bk;t=%d\x07line %d of a log that is long\r\n" % (1_700_000_000_000 + at, at) for at in range(lines)
    )


@pytest.mark.parametrize("whole", [False, True])
def test_of_a_large_log_the_end_or_all_of_it(standin: Standin, file: Path, whole: bool) -> None:
    raw = long_log()
    assert len(raw) > TAIL
    job = next(iter(ended(standin)))
    (acme,) = standin.world.organizations.values()
    acme.logs[job] = Log(raw)
    into(standin, file, "builds")
    choice = {"job_logs": Choice(states=("all",), whole=whole)}
    assert into(standin, file, "job_logs", choices=choice).exit_code == 0
    assert asked(standin).count(job) == 1
    kept = spelled(raw) if whole else spelled(raw[-TAIL:])[1:]
    assert texts(file, job) == kept
    told = "SELECT bytes, lines, truncated FROM ci.job_logs WHERE job_id = ?"
    assert ask(file, told, job) == [(len(raw), len(kept), not whole)]
    ends = ask(file, "SELECT min(line), max(line) FROM ci.job_log_lines WHERE job_id = ?", job)
    assert ends == [(1, len(kept)) if whole else (-len(kept), -1)]


def test_a_log_that_is_gone_and_an_empty_one(standin: Standin, file: Path) -> None:
    into(standin, file, "builds")
    gone, empty_one = list(ended(standin))[:2]
    (acme,) = standin.world.organizations.values()
    del acme.logs[gone]
    acme.logs[empty_one] = Log(b"")
    assert into(standin, file, "job_logs", choices=EVERY).exit_code == 0
    told = dict(ask(file, "SELECT job_id, (gone, bytes, lines) FROM ci.job_logs"))
    assert told[gone] == (True, None, None)
    assert told[empty_one] == (False, 0, 0)
    outcome = ask(file, "SELECT outcome FROM ci.errands WHERE table_name = 'job_logs' AND item_id = ?", gone)
    assert outcome == [("gone",)]
    into(standin, file, "job_logs", choices=EVERY)
    assert asked(standin).count(gone) == asked(standin).count(empty_one) == 1


def test_a_token_that_may_not_read_logs(life: Life, file: Path) -> None:
    token = next(iter(life.world.tokens.values()))
    token.scopes = tuple(one for one in token.scopes if one != "read_build_logs")
    with Standin(life.world, budgets=PLENTY) as standin:
        into(standin, file, "builds")
        outcome = into(standin, file, "job_logs")
        assert "read_build_logs" in outcome.skipped["job_logs"]
        assert outcome.exit_code == 3
        assert len(asked(standin)) <= 1


WRONG = (
    *("range-ignored", "json-instead", "range-off", "gzip", "no-charset", "html", "wrong-type", "truncated"),
    *("truncated-chunked", "reset-mid-body", "slow", "half-json", "message", "empty", "bad-gzip", "429", "500", "504"),
)


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_once_makes_no_wrong_row(standin: Standin, file: Path, kind: str) -> None:
    """What is no log, or not all of it, is asked for again; what is one in another form is read as it is."""
    into(standin, file, "builds")
    standin.trouble.add(kind, path="/log", nth=2)
    outcome = into(standin, file, "job_logs", choices=EVERY, show=("secrets",))
    assert outcome.exit_code == 0
    for job, raw in ended(standin).items():
        assert texts(file, job) in (spelled(raw), spelled(raw.decode(errors="replace").encode()))


def test_a_log_that_cannot_be_read_waits_and_the_others_come(standin: Standin, file: Path) -> None:
    into(standin, file, "builds")
    bad = next(iter(ended(standin)))
    standin.trouble.add("html", path=f"/jobs/{bad}/log", times=None)
    outcome = into(standin, file, "job_logs", choices=EVERY)
    assert outcome.exit_code == 3
    assert "where a log should be" in outcome.failed["job_logs"]
    assert {job for (job,) in ask(file, "SELECT job_id FROM ci.job_logs")} == ended(standin).keys() - {bad}
    standin.trouble.clear()
    assert into(standin, file, "job_logs", choices=EVERY).exit_code == 0
    assert {job for (job,) in ask(file, "SELECT job_id FROM ci.job_logs")} == set(ended(standin))


# Secrets, and the bytes


def held(folder: Path) -> bytes:
    return b"".join(one.read_bytes() for one in folder.rglob("*") if one.is_file())


def test_a_secret_is_nowhere(standin: Standin, file: Path) -> None:
    job = next(iter(ended(standin)))
    (acme,) = standin.world.organizations.values()
    acme.logs[job] = Log(b"\x1b_bk;t=1700000000000\x07+++ push\r\nuse %s and sesame-42\r\nlast" % LEAKED.encode())
    into(standin, file, "builds")
    choice = Choice(states=("all",), archive=str(file.parent / "archive"), secrets=("word=sesame-[0-9]+",))
    assert into(standin, file, "job_logs", choices={"job_logs": choice}).exit_code == 0
    assert texts(file, job) == ["+++ push", "use [redacted] and [redacted]", "last"]
    assert ask(file, "SELECT masked FROM ci.job_logs WHERE job_id = ?", job) == [('{"github":1,"word":1}',)]
    assert LEAKED.encode() not in held(file.parent)
    (kept,) = (file.parent / "archive").rglob(f"{job}.log.zst")
    with pa.input_stream(str(kept), compression="zstd") as stream:
        assert b"use [redacted] and [redacted]" in stream.read()
    assert kept.parts[-4] == "acme"
    assert not list(file.parent.glob("*.kept/*"))


def test_a_pattern_that_names_no_kind_or_is_none(standin: Standin, file: Path) -> None:
    into(standin, file, "builds")
    for secrets, told in (("sesame", "kind=pattern"), ("word=(?<=x)y", "lookbehind")):
        with pytest.raises(BadInput, match=told):
            into(standin, file, "job_logs", choices={"job_logs": Choice(secrets=(secrets,))})


# Budgets and interruptions


def coverage(file: Path) -> tuple[Any, ...]:
    sql = "SELECT selected, loaded, waiting, reason FROM ci.load_coverage WHERE table_name = 'job_logs'"
    return ask(file, f"{sql} ORDER BY observed_at DESC LIMIT 1")[0]


def test_a_budget_for_a_day(file: Path) -> None:
    life = failed(50)
    choice = {"job_logs": Choice(a_day=30, at_most=20)}
    with Standin(life.world, budgets=PLENTY) as standin:
        into(standin, file, "builds")
        for logs in (20, 30, 30):
            into(standin, file, "job_logs", choices=choice)
            assert len(asked(standin)) == logs
        assert coverage(file) == (50, 30, 20, "budget")
        life.world.advance(timedelta(hours=25))
        into(standin, file, "job_logs", choices=choice)
        assert len(asked(standin)) == 50


@pytest.mark.slow
def test_500_logs_in_five_runs_one_of_them_killed_are_asked_for_once_each(file: Path) -> None:
    life = failed(500)
    choice = {"job_logs": Choice(at_most=100)}
    with Standin(life.world, budgets=PLENTY) as standin:
        into(standin, file, "builds")
        for run in range(1, 6):
            if run == 3:
                killed(standin, file, 250)
                assert len(asked(standin)) == 250
                assert coverage(file) == (500, 200, 300, "budget")
            into(standin, file, "job_logs", choices=choice)
            assert coverage(file) == (500, 100 * run, 500 - 100 * run, "budget" if run < 5 else None)
        assert len(set(asked(standin))) == 500
        assert len(asked(standin)) == 501  # the answer that was under way at the kill never came
        assert ask(file, "SELECT count(*), count(DISTINCT job_id) FROM ci.job_logs") == [(500, 500)]
        for job, raw in list(ended(standin).items())[::50]:
            assert len(texts(file, job)) == len(spelled(raw))


def killed(standin: Standin, file: Path, logs: int) -> None:
    """A load in a process of its own that is killed after so many logs in all."""
    words = ("load", "job_logs", "-o", "acme", "-d", str(file), "--quiet", "--since", "2020-01-01", "--at-most", "100")
    told = {"API_TOKEN": standin.token, "REST_URL": standin.rest_url, "GRAPHQL_URL": standin.graphql_url}
    env = os.environ | {f"BUILDKITE_{name}": value for name, value in told.items()}
    process: list[subprocess.Popen[bytes]] = []

    def kill(_: int, seen: Seen) -> None:
        if len(asked(standin)) == logs:
            process[0].kill()

    standin.trouble.between(kill)
    with standin.world.lock:
        command = (sys.executable, "-c", "from buildkite_elt.cli import main; main()", *words)
        process.append(subprocess.Popen(command, env=env, cwd=file.parent))
    assert process[0].wait(120) == -signal.SIGKILL
    standin.trouble.clear()
    written = file.parent / f"{file.name}.kept" / "acme" / "job_logs"
    assert len(list(written.glob("*/*/summary.json"))) == logs % 100 - 1


def test_what_breaks_off_leaves_no_half_of_a_log(standin: Standin, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into(standin, file, "builds")
    real = reading.Full.ends
    count: list[Row] = []

    def breaks(self: Any, todo: Any, row: Row, summary: Any) -> None:
        count.append(row)
        if len(count) == 5:
            raise MemoryError
        real(self, todo, row, summary)

    monkeypatch.setattr(reading.Full, "ends", breaks)
    with pytest.raises(LoadFailed):
        into(standin, file, "job_logs", choices=EVERY)
    monkeypatch.setattr(reading.Full, "ends", real)
    assert into(standin, file, "job_logs", choices=EVERY).exit_code == 0
    assert len(asked(standin)) == len(set(asked(standin)))
    for job, raw in ended(standin).items():
        assert len(texts(file, job)) == len(spelled(raw))


# Environments


def test_job_env(standin: Standin, file: Path) -> None:
    into(standin, file, "builds")
    assert into(standin, file, "job_env", choices={"job_env": Choice(states=("all",))}, show=("env:CI",)).exit_code == 0
    (acme,) = standin.world.organizations.values()
    truth = {
        (job["id"], *pair.split("=", 1))
        for _, job in acme.jobs()
        if job["type"] == "script" and job["finished_at"]
        for pair in job.get("_env") or ()
    }
    assert truth
    rows = ask(file, "SELECT job_id, name, value FROM ci.job_env")
    assert {(job, name) for job, name, _ in rows} == {(job, name) for job, name, _ in truth}
    assert all(value is None for _, name, value in rows if name != "CI")
    assert {(job, value) for job, name, value in rows if name == "CI"} == {
        (job, value) for job, name, value in truth if name == "CI"
    }
