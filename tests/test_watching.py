"""Watching a load: its id everywhere, lines of JSON, metrics for Prometheus, and how old a table may be."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dlt import Pipeline
from prometheus_client.parser import text_string_to_metric_families

from buildkite_elt import watching
from buildkite_elt.loads import Target
from buildkite_elt.metrics import METRICS, PREFIX
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from buildkite_elt.warehouse import alone
from conftest import ENOUGH, Command

SINCE = ("--since", "2026-01-01")


@pytest.fixture
def standin() -> Iterator[Standin]:
    """A small world: 36 builds."""
    with Standin(demo(days=16, pipelines=12, builds_per_day=1), budgets=ENOUGH) as here:
        yield here


def ask(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def lines(text: str) -> list[dict[str, Any]]:
    """Standard error, every line of which is one JSON object with a time and a level."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "event"} <= one.keys() for one in found)
    return found


def samples(file: Path) -> dict[tuple[str, ...], float]:
    """(name, values of its labels in the order of their names) -> value."""
    found = {}
    for family in text_string_to_metric_families(file.read_text(encoding="utf-8")):
        assert family.documentation
        for one in family.samples:
            found[one.name.removeprefix(PREFIX), *(value for _, value in sorted(one.labels.items()))] = one.value
    return found


def test_the_id_of_a_load_is_in_every_table_line_and_document(command: Command, database: Path) -> None:
    done = command("load", "builds", "annotations", *SINCE, "--json", "--log-format", "json", "--metrics", "m.prom")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    run_id = told["run_id"]
    assert [one["run_id"] for one in told["organizations"]] == [run_id]
    for table in ("sync_runs", "api_usage", "load_coverage", "errands"):
        assert ask(database, f"SELECT DISTINCT run_id FROM ci.{table}") == [(run_id,)], table
    assert {line["run_id"] for line in lines(done.stderr)} == {run_id}
    assert samples(Path("m.prom"))["load_info", run_id, "0.1.0"] == 1
    again = json.loads(command("load", "builds", "--json").stdout)
    assert again["run_id"] != run_id


def test_lines_say_what_was_read_and_what_came_of_it_and_no_token(command: Command, standin: Standin) -> None:
    done = command("load", "builds", "teams", "-o", "acme-inc", *SINCE, "--log-format", "json")
    assert done.exit_code == 0
    told = lines(done.stderr)
    assert (told[0]["event"], told[-1]["event"], told[-1]["exit_code"]) == ("load_started", "load_ended", 0)
    read = [line for line in told if line["event"] == "page_read"]
    loaded = {line["table"]: line["rows"] for line in told if line["event"] == "table_loaded"}
    assert loaded.keys() == {"builds", "jobs", "teams"}
    for table, rows in loaded.items():
        assert rows == sum(line["rows"] for line in read if line["table"] == table) > 0
    (ended,) = [line for line in told if line["event"] == "organization_ended"]
    assert (ended["organization"], ended["requests"]) == ("acme-inc", standin.count().requests)
    assert standin.token not in done.stderr


def test_what_a_library_warns_of_is_a_line_too_and_masked(capsys: pytest.CaptureFixture[str]) -> None:
    watching.lines(True)
    try:
        logging.getLogger("a_package").warning("slow %s", "https://x.example/?X-Amz-Signature=canary123&y=1")
        logging.getLogger("a_package").info("nothing")
    finally:
        watching.lines(False)
    (told,) = lines(capsys.readouterr().err)
    assert (told["level"], "canary123" in told["event"], "slow https" in told["event"]) == ("WARNING", False, True)


def test_without_the_option_nothing_is_logged(command: Command) -> None:
    command("load", "emojis", "--log-format", "json")
    done = command("load", "emojis", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    assert command("load", "emojis", "--log-format", "xml").exit_code == 2


def test_a_refused_token_is_told_in_a_line_a_sentence_the_metrics_and_sync_runs(
    command: Command, standin: Standin, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("load", "teams", "--metrics", "m.prom")
    before = samples(Path("m.prom"))
    canary = "bkua_0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("BUILDKITE_API_TOKEN", canary)
    words = ("load", "teams", "emojis", "-o", "acme-inc", "--metrics", "m.prom")
    plain = command(*words, "--quiet")
    assert plain.exit_code == 1
    runs = "SELECT run_id, table_name, outcome, reason FROM ci.sync_runs ORDER BY finished_at, table_name"
    rows = ask(database, runs)[1:]
    assert [row[1:3] for row in rows] == [(table, "failed") for table in ("emojis", "teams")]
    run_id, _, _, reason = rows[0]
    assert plain.stderr.strip() == f"{reason} (run {run_id})"

    done = command(*words, "--log-format", "json")
    told = lines(done.stderr)
    assert told[-1]["event"] == "failed"
    assert (told[-1]["exit_code"], told[-1]["level"]) == (1, "ERROR")
    failed = [line for line in told if line["event"] == "table_failed"]
    assert {line["table"] for line in failed} == {"emojis", "teams"}
    assert all(line["reason"] == reason for line in failed)
    assert canary not in done.stderr + plain.stderr + Path("m.prom").read_text(encoding="utf-8")
    after = samples(Path("m.prom"))
    assert after["load_exit_code",] == 1
    assert after["table_loaded", "acme-inc", "teams"] == 0
    for kept in (("load_success_timestamp_seconds",), ("table_read_timestamp_seconds", "acme-inc", "teams")):
        assert after[kept] == before[kept] > 1e9


def test_the_metrics_are_whole_for_others_to_read_and_say_what_the_load_did(
    command: Command, standin: Standin, database: Path
) -> None:
    began = time.time()
    words = ("-o", "acme-inc", *SINCE, "--metrics", "m.prom")
    assert command("load", "builds", "annotations", *words, "--at-most", 2).exit_code == 3
    told = samples(Path("m.prom"))
    assert ("load_success_timestamp_seconds",) not in told
    assert stat.S_IMODE(Path("m.prom").stat().st_mode) == 0o644
    assert [path.name for path in Path().glob("*m.prom*")] == ["m.prom"]
    assert told["load_exit_code",] == 3
    assert told["requests", "rest", "acme-inc"] == standin.count("rest").requests
    assert told["refused", "rest", "acme-inc"] == 0
    (missing,) = ask(database, "SELECT epoch(oldest_missing_at) FROM ci.load_coverage WHERE waiting > 0")
    assert told["table_oldest_missing_timestamp_seconds", "acme-inc", "annotations"] == missing[0]
    command("load", "emojis", *words)
    assert ("table_oldest_missing_timestamp_seconds", "acme-inc", "annotations") in samples(Path("m.prom"))
    assert command("load", "annotations", *words).exit_code == 0
    told = samples(Path("m.prom"))
    assert not any("oldest_missing" in name for name, *_ in told)
    assert told["load_success_timestamp_seconds",] > began
    assert {name for name, *_ in told} <= METRICS.keys()
    (covered,) = ask(database, "SELECT epoch(max(covered_to)) FROM ci.load_coverage")
    assert told["table_covered_timestamp_seconds", "acme-inc", "jobs"] == covered[0]


def test_a_build_that_verify_found_and_no_load_has_read_is_counted(command: Command, database: Path) -> None:
    command("load", "builds", *SINCE)
    with duckdb.connect(str(database)) as connection:
        gaps = "SELECT organization_slug, pipeline_id, number, true AS found FROM ci.builds LIMIT 3"
        connection.execute(f"CREATE TABLE ci.build_gaps AS {gaps}")
        connection.execute("UPDATE ci.build_gaps SET number = number + 10000 WHERE rowid < 2")
    command("load", "builds", "--metrics", "m.prom")
    assert samples(Path("m.prom"))["missing_builds", "acme-inc"] == 2


def test_a_load_that_was_interrupted_at_once_does_not_say_that_it_loaded_what_it_had_read(
    command: Command, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt  # as the second Ctrl-C does

    monkeypatch.setattr(Pipeline, "load", interrupted)
    done = command("load", "teams", "--log-format", "json", "--metrics", "m.prom")
    assert done.exit_code == 130
    told = samples(Path("m.prom"))
    assert told["rows", "acme-inc", "teams"] > 0
    assert told["table_loaded", "acme-inc", "teams"] == 0
    assert ("table_read_timestamp_seconds", "acme-inc", "teams") not in told
    (failed,) = [line for line in lines(done.stderr) if line["event"] == "table_failed"]
    assert "interrupted" in failed["reason"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_load_that_was_asked_to_stop_tells_so_everywhere(
    command: Command, standin: Standin, database: Path, number: signal.Signals, code: int
) -> None:
    standin.trouble.add("slow", path="/emojis", times=None, pieces=2, pause=0.3)
    pid, over = os.getpid(), threading.Event()

    def stop() -> None:
        while not over.wait(0.01):
            if any("/emojis" in one.path for one in standin.seen):
                os.kill(pid, number)
                return

    asking = threading.Thread(target=stop)
    asking.start()
    try:
        done = command("load", "emojis", "pipeline_schedules", "--log-format", "json", "--metrics", "m.prom")
    finally:
        over.set()
        asking.join()
    assert done.exit_code == code
    assert samples(Path("m.prom"))["load_exit_code",] == code
    told = [line for line in lines(done.stderr) if line["event"] == "load_ended"]
    assert [(line["exit_code"], line["level"]) for line in told] == [(code, "ERROR")]
    assert set(ask(database, "SELECT table_name, outcome FROM ci.sync_runs")) == {
        ("emojis", "waiting"),
        ("pipeline_schedules", "waiting"),
    }


def test_the_page_names_every_metric_and_every_event() -> None:
    page = (Path(__file__).parents[1] / "docs" / "watching.md").read_text(encoding="utf-8")
    for name, (labels, sentence) in METRICS.items():
        assert f"| `{PREFIX}{name}` | {', '.join(labels.split())} | {sentence} |" in page
    told = Path(watching.__file__).read_text(encoding="utf-8")
    became = {f"table_{what}" for what in ("loaded", "skipped", "failed", "waiting")}
    events = {*re.findall(r'(?:tell|log)\("(\w+)"', told), *became}
    assert set(re.findall(r"^\| `(\w+)` \|", page.partition("## Lines")[2], re.MULTILINE)) == events


def test_metrics_tell_of_a_load_that_another_one_kept_out(command: Command, database: Path) -> None:
    with alone(Target(database=database)):
        done = command("load", "builds", "--metrics", "m.prom", "--log-format", "json")
    assert done.exit_code == 4
    assert samples(Path("m.prom"))["load_exit_code",] == 4
    assert lines(done.stderr)[-1]["exit_code"] == 4
    refused = command("load", "builds", "--metrics", "nowhere/m.prom")
    assert refused.exit_code == 2
    assert "--metrics nowhere/m.prom cannot be written" in refused.stderr


@pytest.mark.parametrize("step", ["extract", "load"])
def test_a_load_that_the_destination_ended_is_in_sync_runs_at_the_latest_after_the_next_one(
    command: Command, database: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    command("load", "teams")
    with monkeypatch.context() as patch:
        done, times = getattr(Pipeline, step), iter([1])

        def failing(pipe: Pipeline, *given: Any, **named: Any) -> Any:
            if next(times, None):
                raise OSError("the disk is away, token=canary123")
            return done(pipe, *given, **named)

        patch.setattr(Pipeline, step, failing)
        ended = command("load", "teams", "emojis", "--json")
    assert ended.exit_code == 1
    assert "the disk is away" in ended.stderr
    command("load", "emojis")
    failed = "SELECT table_name, reason, rows FROM ci.sync_runs WHERE outcome = 'failed' ORDER BY 1"
    rows = ask(database, failed)
    assert [row[0] for row in rows] == ["emojis", "teams"]
    assert all("the disk is away" in row[1] and "canary123" not in row[1] for row in rows)
    plan = json.loads(command("plan", "teams", "--json").stdout)
    assert plan["organizations"][0]["total"]["rows"] == ask(database, "SELECT count(*) FROM ci.teams")[0][0]


def test_status_says_which_tables_are_too_old(command: Command, database: Path) -> None:
    command("load", "emojis", "teams")
    assert command("status", "--max-age", "5m").exit_code == 0
    with duckdb.connect(str(database)) as connection:
        connection.execute("UPDATE ci.sync_runs SET finished_at = finished_at - INTERVAL 3 HOUR")
        connection.execute("UPDATE ci._dlt_loads SET inserted_at = inserted_at - INTERVAL 3 HOUR")
        connection.execute("CREATE TABLE ci.annotations AS FROM ci.emojis")
        loads = "SELECT * REPLACE ('annotations' AS table_name) FROM ci.sync_runs WHERE table_name = 'emojis'"
        connection.execute(f"INSERT INTO ci.sync_runs {loads}")
    told = command("status", "--max-age", "2h", "--json")
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    assert found["max_age_seconds"] == 7200
    assert found["old"] == {"emojis": "3 h ago", "teams": "3 h ago"}, "annotations only when named"
    assert told.stderr.startswith(
        "Last read longer than 2h ago: emojis (3 h ago), teams (3 h ago). `buildkite-elt load`"
    )
    assert command("status", "--max-age", "1d").exit_code == 0

    command("load", "teams")  # nothing changed, so nothing is written, but it was read
    teams, emojis = (command("status", name, "--max-age", "2h") for name in ("teams", "emojis"))
    assert (teams.exit_code, emojis.exit_code) == (0, 1)
    (row,) = json.loads(command("status", "teams", "--json").stdout)["tables"]
    assert row["age_seconds"] < 3600
    assert row["loaded_at"] < row["read_at"]

    named = command("status", "annotations", "job_events", "--max-age", "2h")
    assert named.exit_code == 1
    assert "annotations (3 h ago), job_events (never)" in named.stderr


def test_a_table_is_as_old_as_the_organization_that_was_read_longest_ago(command: Command, database: Path) -> None:
    command("load", "teams")
    with duckdb.connect(str(database)) as connection:
        for what in (
            "'beta' AS organization_slug, finished_at - INTERVAL 1 DAY AS finished_at",
            "'typo' AS organization_slug, 'failed' AS outcome",
        ):
            connection.execute(f"INSERT INTO ci.sync_runs BY NAME SELECT * REPLACE ({what}) FROM ci.sync_runs")
    told = command("status", "--max-age", "2h")
    assert "teams (24 h ago in beta)" in told.stderr


def test_nothing_that_was_ever_read_is_not_fresh(command: Command, database: Path) -> None:
    assert command("status", "--max-age", "2h").exit_code == 1
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE SCHEMA ci; CREATE TABLE ci._dlt_loads (load_id TEXT, inserted_at TIMESTAMPTZ)")
    told = command("status", "--max-age", "2h")
    assert (told.exit_code, "builds (never)" in told.stderr) == (1, True)
    wrong = command("status", "--max-age", "2 hours")
    assert (wrong.exit_code, "90m" in wrong.stderr) == (2, True)
