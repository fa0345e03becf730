"""`logs show`: each way to name a job, what is printed of its log, and what is said where there is none; and how both
commands end when they are interrupted or nobody reads on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from buildkite_ci.times import instant
from buildkite_elt import log_show
from buildkite_elt.log_commands import _opened
from buildkite_elt.standin import Standin
from faults import PLENTY
from lively import ask, eventful, into
from log_file import (
    BUILDS,
    ERROR,
    FLAKE,
    GONE,
    LINT,
    LOGS,
    NEVER,
    ODD,
    OTHER,
    RUNS,
    TAIL,
    TEST,
    WAIT,
    Row,
    build,
    job,
    log,
    make,
    moment,
    run,
    uuid,
)

SCRIPT = Path(sys.executable).with_name("buildkite-elt")
URL = "https://buildkite.com/acme/web/builds/2"
NOBODY = uuid(99)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("logs") / "logs.duckdb", BUILDS, LOGS)


def lines(file: Path, *words: object) -> list[str]:
    result = run(file, "show", *words)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def shown(file: Path, *words: object) -> Row:
    result = run(file, "show", "--json", *words)
    assert result.exit_code == 0, result.output
    found: Row = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([TEST.upper()], TEST),
        ([f"{URL}#{TEST}"], TEST),
        ([f"{URL}#{FLAKE}/3-7"], FLAKE),
        ([f"{URL}/steps/canvas?jid={TAIL}&tab=output"], TAIL),
        ([f"{URL}/steps/canvas?sid={uuid(3001)}&tab=output"], TEST),
        (["acme/web/2", "test"], TEST),
        (["acme/web/2", ":rspec: Test"], TEST),
        (["acme/web/2", FLAKE], FLAKE),
        (["acme/web/2"], TEST),
        ([uuid(1002)], TEST),
        (["acme/web/1"], TAIL),
        (["https://buildkite.com/acme/api/builds/7"], ODD),
    ],
)
def test_every_way_to_name_a_job(file: Path, words: list[str], expected: str) -> None:
    assert shown(file, *words)["job_id"] == expected


def test_for_people_it_has_times_numbers_sections_and_marks(file: Path) -> None:
    assert lines(file, TEST) == [
        f"acme/web #2 · :rspec: Test · failed · {TEST}",
        f"{URL}#{TEST}",
        f"+0.0s is {instant(moment(1, 10)):%Y-%m-%d %H:%M:%S} UTC",
        "     +0.0s      1  --- Setup  (12 s)",
        "     +1.5s      2  installing 100%_done",
        "     +3.0s      3  installing 100 xdone",
        "     +4.5s      4  nothing here",
        "     +6.0s      5  +++ Test  (12 s)",
        "     +7.5s      6  one",
        "     +9.0s      7  E   Connection reset by peer",
        "    +10.5s      8  two",
        "    +12.0s      9  three",
        "    +13.5s     10  50% of it ↺",
        "    +15.0s     11  four",
        "    +16.5s     12  five",
        "    +18.0s     13  connection RESET again",
    ]
    utc = lines(file, TEST, "--utc")
    assert utc[2] == f"{instant(moment(1, 10)):%Y-%m-%d %H:%M:%S}      1  --- Setup  (12 s)"
    assert utc[-1] == f"{instant(moment(1, 28)):%Y-%m-%d %H:%M:%S}     13  connection RESET again"


def test_on_a_terminal_errors_are_red_and_sections_bold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = lines(file, TEST)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    told = lines(file, TEST)
    assert told[3].endswith("\x1b[1m--- Setup\x1b[0m\x1b[2m  (12 s)\x1b[0m")
    assert told[9].endswith("\x1b[31mE   Connection reset by peer\x1b[0m")
    assert told[12].endswith("50% of it\x1b[2m ↺\x1b[0m")
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in told] == plain


def test_plain_is_what_the_lines_say_and_nothing_else(file: Path) -> None:
    assert lines(file, FLAKE, "--plain") == ["first attempt", "Connection reset by peer"]
    tail = run(file, "show", TAIL, "--plain")
    assert tail.stdout == "c\nConnection lost\nb\na Connection reset\n"
    assert tail.stderr == "Only the end of this log is in the file: the first 5,000 of 9,000 bytes are missing\n"


def test_errors_come_with_three_lines_around_them(file: Path, tmp_path: Path) -> None:
    assert lines(file, TEST, "--errors", "--plain")[0] == "nothing here"
    assert [line["line"] for line in shown(file, TEST, "--errors")["lines"]] == [*range(4, 11)]
    assert [line["line"] for line in shown(file, TAIL, "--errors")["lines"]] == [-4, -3, -2, -1]
    none = lines(file, FLAKE, "--errors")
    assert none[-1] == "None of its 2 lines tells of an error"
    texts = [(f"{n}", ERROR if n in (1, 10, 12, 20) else 0) for n in range(1, 21)]
    more = make(
        tmp_path / "more.duckdb", [build(1, "web", "main", 1, [job(1, "T", "t", "failed", 1)])], [log(1, texts, 1)]
    )
    told = [line.split()[-1] for line in lines(more, TEST, "--errors")[3:]]
    assert told == ["1", "2", "3", "4", "--", *map(str, range(7, 16)), "--", *map(str, range(17, 21))]


def test_json_is_one_document(file: Path) -> None:
    found = shown(file, TEST)
    texts = [line["text"] for line in found.pop("lines")]
    assert (len(texts), texts[6]) == (13, "E   Connection reset by peer")
    groups = found.pop("groups")
    assert [(one["number"], one["marker"], one["name"]) for one in groups] == [(1, "---", "Setup"), (2, "+++", "Test")]
    assert groups[0]["duration_ms"] == 12_300
    assert (found["organization"], found["pipeline"], found["number"], found["step_key"]) == ("acme", "web", 2, "test")
    assert (found["state"], found["lines_read"], found["error_lines"], found["truncated"]) == ("failed", 13, 1, False)
    (error,) = shown(file, TEST, "--errors")["lines"][3:4]
    assert error == {
        "line": 7,
        "at": moment(1, 19),
        "text": "E   Connection reset by peer",
        "flags": ERROR,
        "group_number": 2,
        "duration_ms": None,
        "signature": "told",
        "error_class": "test",
        "error": True,
    }
    assert shown(file, OTHER)["lines"] == []


def test_a_tail_says_what_is_missing_and_counts_from_the_jobs_start(file: Path) -> None:
    told = lines(file, TAIL)
    assert told[2:] == [
        f"+0.0s is {instant(moment(3, 5)):%Y-%m-%d %H:%M:%S} UTC",
        "Only the end of this log is in the file: the first 5,000 of 9,000 bytes are missing",
        "     +5.0s     -4  c",
        "     +6.5s     -3  Connection lost",
        "     +8.0s     -2  b",
        "     +9.5s     -1  a Connection reset",
    ]
    assert lines(file, OTHER)[-1] == "This log is empty"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([LINT], "is not loaded: `buildkite-elt load job_logs --pipeline web --state passed` loads it"),
        ([GONE], "has no log (any more): Buildkite did not have it at "),
        ([WAIT], "has no log: no agent ran it (it is a waiter job, finished)"),
        ([NEVER], "has no log: no agent ran it (it is a script job, expired)"),
        ([RUNS], "has not ended, and only then is its log loaded"),
        ([NOBODY], f"is not in the file: `buildkite-elt find {NOBODY}` tells what Buildkite knows of it"),
        (
            ["acme/web/99"],
            "The file has no job of acme/web/99 that an agent ran: `buildkite-elt find acme/web/99` tells",
        ),
        (["acme/web/2", "nope"], "The file has no job of 'nope' in acme/web/2 that an agent ran"),
    ],
)
def test_a_log_that_is_not_there_says_why_and_what_to_type(file: Path, words: list[str], why: str) -> None:
    result = run(file, "show", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert why in result.stderr


def test_a_failed_job_needs_no_state_to_be_loaded(tmp_path: Path) -> None:
    jobs = [job(1, "A", "a", "failed", 1), job(2, "B", "a", "failed", 1), job(3, "Evil\x1b[2J\n", "a", "failed", 1)]
    file = make(tmp_path / "logs.duckdb", [build(1, "web", "main", 1, jobs)])
    assert "load job_logs --pipeline web` loads it" in run(file, "show", TEST).stderr
    many = run(file, "show", "acme/web/1")
    assert (many.exit_code, many.stdout) == (2, "")
    assert many.stderr.splitlines()[1:] == [
        f"  {uuid(n)}  {name}, failed" for n, name in enumerate(("A", "B", "Evil[2J "), 1)
    ]


def test_a_long_log_is_read_in_pieces_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_show, "CHUNK", 7)
    for tail in (False, True):
        rows = log(1, [f"line {n}" for n in range(100)], 1, truncated=tail)
        rows["job_log_lines"].reverse()
        file = make(tmp_path / f"{tail}.duckdb", [build(1, "web", "main", 1, [job(1, "T", "t", "failed", 1)])], [rows])
        assert lines(file, TEST, "--plain") == [f"line {n}" for n in range(100)]


# How it ends


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 100,000 lines: more than any pipe holds."""
    builds = [build(1, "web", "main", 1, [job(1, "T", "t", "failed", 1)])]
    file = make(tmp_path_factory.mktemp("long") / "logs.duckdb", builds, [log(1, ["0"], 1)])
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "INSERT INTO ci.job_log_lines BY NAME "
            f"SELECT '{TEST}' AS job_id, n AS line, 'line ' || n AS text, 0 AS flags FROM range(2, 100_001) AS r(n)"
        )
    return file


@pytest.mark.parametrize(
    ("words", "colour"),
    [(("show", TEST), "1"), (("show", TEST, "--json"), ""), (("search", "line", "--limit", "100000"), "")],
    ids=["show on a terminal", "JSON", "search"],
)
def test_nobody_reading_on_is_no_traceback(long: Path, words: tuple[str, ...], colour: str) -> None:
    command = [str(SCRIPT), "logs", *words, "-d", str(long)]
    environment = {**os.environ, "FORCE_COLOR": colour} if colour else dict(os.environ)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as one:
        assert one.stdout
        assert one.stderr
        assert one.stdout.readline()
        one.stdout.close()
        assert one.stderr.read() == ""
    assert one.returncode == 1


def test_ctrl_c_in_the_middle_of_a_log_is_one_word(long: Path) -> None:
    command = [str(SCRIPT), "logs", "show", TEST, "-d", str(long)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        assert one.stdout
        assert one.stderr
        assert one.stdout.readline()
        one.send_signal(signal.SIGINT)
        one.stdout.close()  # it may be waiting for us to read
        said = one.stderr.read()
    assert (one.returncode, said) in ((130, "Interrupted\n"), (1, ""))


def test_ctrl_c_ends_a_query_at_once(long: Path) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's shell has it ignored

    def query() -> None:
        with _opened(long, "ci") as connection:
            timer.start()
            connection.execute("SELECT count(*) FROM range(10_000_000_000) AS r(i) WHERE hash(i) = 7")

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            query()
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 3


def test_other_failures_of_duckdb_are_not_taken_for_ctrl_c(long: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"), _opened(long, "ci"):
        raise RuntimeError("something else")


def test_what_a_load_brought_is_found_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "buildkite.duckdb"
    with Standin(eventful().world, budgets=PLENTY) as standin:
        into(standin, file, "builds")
        into(standin, file, "job_logs")
    (one, text, count) = ask(
        file,
        "SELECT l.job_id, m.text, l.lines FROM ci.job_logs AS l "
        "JOIN ci.job_log_matches AS m ON m.job_id = l.job_id ORDER BY m.weight DESC, l.job_id, m.line LIMIT 1",
    )[0]
    found = run(file, "search", text, "--since", "", "--errors", "--json")
    assert found.exit_code == 0, found.output
    assert one in {hit["job_id"] for hit in json.loads(found.stdout)["hits"]}
    assert all(text in hit["text"] for hit in json.loads(found.stdout)["hits"])
    assert len(lines(file, one, "--plain")) == len(shown(file, one)["lines"]) == count
    assert any(line["error"] and line["text"] == text for line in shown(file, one, "--errors")["lines"])
