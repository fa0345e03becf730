"""`logs search` and `logs show` over a DuckDB file: each option, each exit code, and what a log may hold to harm."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from buildkite_ci.times import instant
from buildkite_elt import log_search
from log_file import BELLS, BUILDS, FLAKE, LOGS, ODD, OLD, TABLES, TAIL, TEST, Row, make, moment, run


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("logs") / "logs.duckdb", BUILDS, LOGS)


def search(file: Path, *words: object, code: int = 0) -> Row:
    result = run(file, "search", "--json", *words)
    assert result.exit_code == code, result.output
    found: Row = json.loads(result.stdout)
    return found


def hits(file: Path, *words: object) -> list[tuple[str, int]]:
    """(job, line) of each hit; none exits with 1."""
    result = run(file, "search", "--json", *words)
    found = [(hit["job_id"], hit["line"]) for hit in json.loads(result.stdout)["hits"]]
    assert result.exit_code == (0 if found else 1), result.output
    return found


RESET = [(FLAKE, 2), (TEST, 7), (TAIL, -1)]

SEARCHES: list[tuple[str, list[str], list[tuple[str, int]]]] = [
    ("a literal", ["Connection reset"], RESET),
    ("no hit", ["nowhere to be found"], []),
    ("wildcards are none: percent", ["100%_"], [(TEST, 2)]),
    ("wildcards are none: underscore", ["_done"], [(TEST, 2)]),
    ("backslashes", [r"C:\new\t"], [(ODD, 2)]),
    ("not a regex", ["Connection .*"], []),
    ("quotes", ["' OR 1=1 --"], []),
    ("a placeholder", ["$text"], []),
    ("ignoring case", ["connection reset", "-i"], [(FLAKE, 2), (TEST, 7), (TEST, 13), (TAIL, -1)]),
    ("ignoring case, no regex", ["CONNECTION .*", "--ignore-case"], []),
    ("a regex", ["--regex", "^Connection (reset|lost)"], [(FLAKE, 2), (TAIL, -3)]),
    ("a regex ignoring case", ["--regex", r"^connection\s+reset\b", "-i"], [(FLAKE, 2), (TEST, 13)]),
    ("beyond ASCII", ["日本語 🚨"], [(ODD, 3)]),
    ("beyond ASCII, ignoring case", ["ärger MIT", "-i"], [(ODD, 3)]),
    ("beginning with a dash", ["--", "--- Setup"], [(TEST, 1)]),
    ("errors only", ["Connection", "--errors"], [(TEST, 7), (TAIL, -1)]),
    ("every error", ["", "--errors"], [(TEST, 7), (TAIL, -1)]),
    ("of a pipeline", ["Connection reset", "--pipeline", "api"], []),
    ("of pipelines", ["Connection reset", "--pipeline", "api, web"], RESET),
    ("of a branch", ["Connection reset", "--branch", "fix/x"], [(TAIL, -1)]),
    ("in a state", ["e", "--state", "passed"], [(ODD, 1), (ODD, 2), (ODD, 3), (ODD, 4)]),
    ("in one of two states", ["Grüßen", "--state", "failed", "--state", "passed"], [(ODD, 3)]),
    ("soft failed", ["Connection reset", "--state", "soft_failed"], [(TAIL, -1)]),
    ("retried", ["Connection reset", "--state", "retried,passed"], [(FLAKE, 2)]),
    ("in any state", ["Connection reset", "--state", "all"], RESET),
    ("of a step", ["Connection reset", "--step", "build"], [(TAIL, -1)]),
    ("of a step by name", ["Connection reset", "--step", ":rspec: Test"], RESET[:2]),
    ("since long ago", ["Connection reset", "--since", ""], [*RESET, (OLD, 1)]),
    ("since lately", ["Connection reset", "--since", "2d"], RESET[:2]),
    ("until lately", ["Connection reset", "--until", "2d"], RESET[2:]),
    ("a limit", ["Connection reset", "--limit", "2"], RESET[:2]),
]


@pytest.mark.parametrize(("words", "expected"), [case[1:] for case in SEARCHES], ids=[case[0] for case in SEARCHES])
def test_what_is_found_newest_build_first(file: Path, words: list[str], expected: list[tuple[str, int]]) -> None:
    assert hits(file, *words) == expected


def test_json_says_all_of_a_hit_and_what_was_searched(file: Path) -> None:
    found = search(file, "Connection reset", "-C", 1, "--limit", 2)
    _, hit = found.pop("hits")
    assert found == {
        "text": "Connection reset",
        "regex": False,
        "ignore_case": False,
        "errors": False,
        "found": 3,
        "in_jobs": 3,
        "jobs": 7,  # of web/2 four that an agent ran, of web/1, api/7 and api/8 one each
        "searched": 5,
        "gone": 1,
        "truncated": 1,
        "shown": 2,
    }
    assert hit == {
        "job_id": TEST,
        "organization": "acme",
        "pipeline": "web",
        "number": 2,
        "branch": "main",
        "step_key": "test",
        "name": ":rspec: Test",
        "state": "failed",
        "soft_failed": False,
        "retried": False,
        "url": f"https://buildkite.com/acme/web/builds/2#{TEST}",
        "truncated": False,
        "line": 7,
        "at": moment(1, 19),
        "text": "E   Connection reset by peer",
        "before": [{"line": 6, "at": moment(1, 17.5).replace("+", "+"), "text": "one"}],
        "after": [{"line": 8, "at": moment(1, 20.5), "text": "two"}],
    }


def test_context_ends_where_the_log_does(file: Path) -> None:
    def around(text: str, count: int) -> tuple[list[int], list[int]]:
        (hit,) = search(file, text, "-C", count)["hits"]
        return [one["line"] for one in hit["before"]], [one["line"] for one in hit["after"]]

    assert around("--- Setup".lstrip("- "), 2) == ([], [2, 3])
    assert around("RESET again", 2) == ([11, 12], [])
    assert around("Connection lost", 9) == ([-4], [-2, -1])
    assert around("a Connection", 2) == ([-3, -2], [])


@pytest.mark.parametrize("block", [1, 2, 7])
def test_many_hits_are_read_in_pieces_in_order(file: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = run(file, "search", "e", "--since", "", "-C", 2).stdout, search(file, "e", "-C", 2)
    monkeypatch.setattr(log_search, "BLOCK", block)
    assert (run(file, "search", "e", "--since", "", "-C", 2).stdout, search(file, "e", "-C", 2)) == whole
    assert len(whole[1]["hits"]) > block


def test_for_people_a_job_is_named_once_and_no_line_comes_twice(file: Path) -> None:
    told = run(file, "search", "--regex", "install|nothing|Setup|Test$", "-C", 1, "--limit", 4).stdout.splitlines()
    assert told[:2] == ["acme/web #2 · :rspec: Test · failed", f"https://buildkite.com/acme/web/builds/2#{TEST}"]
    when = [instant(moment(1, 10 + 1.5 * n)).strftime("%Y-%m-%d %H:%M:%S") for n in range(5)]
    assert told[2:] == [
        f"{when[0]}      1: --- Setup",
        f"{when[1]}      2: installing 100%_done",
        f"{when[2]}      3: installing 100 xdone",
        f"{when[3]}      4: nothing here",
        f"{when[4]}      5- +++ Test",  # a hit, were it not for the limit
        "",
        "5 hits in 1 job, of which the first 4 are shown (--limit). Searched 5 logs, of 1 of them only the end",
        told[-1],
    ]
    heads = run(file, "search", "Connection").stdout
    assert "acme/web #2 · :rspec: Test · failed, retried\n" in heads
    assert "acme/web #1 · Build · failed, softly, only the end of its log\n" in heads
    assert "     -3: Connection lost\n" in heads
    gaps = run(file, "search", "installing 100%_done", "-C", 0).stdout + run(file, "search", "RESET", "-C1").stdout
    assert "--\n" not in gaps
    apart = run(
        file, "search", "--regex", "Setup|Connection reset", "--step", "test", "--state", "failed", "-C1"
    ).stdout
    assert [line for line in apart.splitlines() if line == "--"] == ["--"]


def test_the_end_says_what_was_not_searched_and_what_to_type(file: Path) -> None:
    told = run(file, "search", "Connection", "--state", "failed", "--pipeline", "web").stdout.splitlines()
    assert told[-2:] == [
        "4 hits in 3 jobs. Searched 3 logs, of 1 of them only the end",
        "Of 4 failed jobs, 3 logs are loaded, 1 log gone before that",
    ]
    told = run(file, "search", "Connection", "--state", "passed").stdout.splitlines()
    assert told == [
        "No hit. Searched 1 log",
        "Of 2 passed jobs, 1 log is loaded; for more: `buildkite-elt load job_logs --state passed`",
    ]
    last = run(file, "search", "Connection", "--since", "", "--branch", "it's").stdout
    assert last == "No hit: the file has no job of this selection that has ended\n"
    ago = run(file, "search", "x", "--since", "2020-01-01", "--pipeline", "web").stdout.splitlines()[-1]
    assert ago.endswith("`buildkite-elt load job_logs --pipeline web --state all --since 2020-01-01`")


def test_what_hits_is_emphasised_on_a_terminal_only(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(file, "search", "reset", "-i", "-C1").stdout
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    told = run(file, "search", "reset", "-i", "-C1").stdout
    assert "\x1b[1;31mreset\x1b[0m by peer" in told
    assert "\x1b[1;31mRESET\x1b[0m again" in told
    assert re.search(r"\x1b\[2m.* {6}6- \x1b\[0m\x1b\[2mone", told)
    assert re.sub(r"\x1b\[[0-9;]*m", "", told) == plain
    boundary = run(file, "search", "--regex", r"\bset", "--step", "odd").stdout
    assert "\x1b[1;31m" not in boundary


def test_of_a_long_line_what_is_around_the_hit_is_shown_and_json_has_it_whole(file: Path) -> None:
    line = next(line for line in run(file, "search", "needle").stdout.splitlines() if "needle" in line)
    text = line.partition(": ")[2]
    assert text == "…" + "x" * 100 + "needle" + "y" * (400 - 107) + "…"
    (hit,) = search(file, "needle")["hits"]
    assert hit["text"] == "x" * 1_000 + "needle" + "y" * 1_000


def test_nothing_in_a_log_or_a_name_steers_the_terminal(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = "[31mred[0m  evil 2Jmark tab\there"
    for words in (("search", "red"), ("show", ODD), ("show", ODD, "--plain"), ("show", ODD, "--utc")):
        told = run(file, *words).output
        assert wanted in told
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u202c]", told)
    assert "acme/api #7 · Odd]0;evil · passed\nhttps://example.com/odd\n" in run(file, "search", "red").stdout
    assert search(file, "red")["hits"][0]["text"] == BELLS
    monkeypatch.setenv("FORCE_COLOR", "1")
    told = run(file, "search", "red").stdout
    assert "\x07" not in told
    assert "\x1b]" not in told
    assert set(re.findall(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", told)) <= {
        f"\x1b[{code}m" for code in ("0", "1", "34", "36", "1;31")
    }


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("a(b", "missing ): a(b"), (r"(?=a)", "invalid perl operator: (?="), (r"(a)\1", r"invalid escape sequence: \1")],
)
def test_a_bad_regex_is_refused_with_duckdbs_reason(file: Path, pattern: str, why: str) -> None:
    result = run(file, "search", "--regex", pattern)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"is no regular expression that DuckDB knows: {why}." in result.stderr


def test_what_cannot_be_meant_exits_with_2(file: Path) -> None:
    assert run(file, "search").exit_code == 2
    assert "--since 'x' is no moment" in run(file, "search", "a", "--since", "x").stderr
    assert "--until 'x' is no moment" in run(file, "search", "a", "--until", "x").stderr
    assert "not UTF-8" in run(file, "search", "a\udc80").stderr
    for words in (("-C", -1), ("-C", 1001), ("--limit", 0)):
        assert run(file, "search", "a", *words).exit_code == 2
    result = run(file, "show", TEST, "--plain", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is no build and no job: give a UUID" in run(file, "show", "nonsense").stderr


def test_a_file_without_logs_says_what_to_load(tmp_path: Path) -> None:
    for name, tables in (("none", TABLES[:2]), ("some", TABLES[:3])):
        result = run(make(tmp_path / f"{name}.duckdb", tables=tables), "search", "a")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "No log was loaded into this file yet, it has no job_log" in result.stderr
        assert "`buildkite-elt load builds job_logs`" in result.stderr
    empty = make(tmp_path / "empty.duckdb")
    none = "No hit: the file has no job of this selection that has ended"
    assert run(empty, "search", "a", "--since", "").stdout == f"{none}\n"
    since = run(empty, "search", "a", "--since", "2026-01-02").stdout
    assert since == f"{none} (builds since 2026-01-02; --since looks further back)\n"
    assert run(empty, "search", "a").exit_code == 1
    assert json.loads(run(empty, "search", "a", "--json").stdout)["hits"] == []
    missing = run(tmp_path / "nowhere.duckdb", "search", "a")
    assert (missing.exit_code, "There is no" in missing.stderr) == (1, True)
