"""Signatures: each tool's errors, and no line that only looks like one; a user's file; what stays of equal failures."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from bench import log_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkite_ci.errors import BadInput
from buildkite_ci.joblog import read, read_many
from buildkite_ci.joblog_spec import ALARM, Flag
from buildkite_ci.redaction import MASK, Redactor
from buildkite_ci.signatures import Signatures, best, normalized
from logs_made import any_log

OURS = Signatures.read()
LINES = tomllib.loads((Path(__file__).parent / "signature_lines.toml").read_text(encoding="utf-8"))
SAMPLES = Path(__file__).parents[2] / "shared" / "buildkite" / "samples" / "logs"
MS = 1_745_322_209_921

PIECES = st.sampled_from(list("0123456789abfxszmTZ /\\.,:;-_+'\"<>[]()#|=%~\t\x1b"))
WORDS = st.sampled_from(
    (
        *("/a/b", "C:\\x\\", "12:34:56", "2026-11-25", "T", " ", "5", "5cf26b27", "ms", " s", "/var/tmp/", "a", "MB"),
        *(
            "_",
            "0x1f",
            "1,234",
            ".5",
            "#1 ",
            "| ",
            "'",
            ":",
            "01965d4f-2fb3-4b74-8cf1-b0b10999fce5",
            "-",
            "[gw1] [ 3%] ",
        ),
    )
)

Row = dict[str, Any]


def reading(log: bytes, signatures: Signatures = OURS, **how: Any) -> tuple[list[Any], Any]:
    told = read([log], errors=signatures.errors, **how)
    return list(told), told


def matches(log: bytes, signatures: Signatures = OURS, **how: Any) -> list[Row]:
    batches, _ = reading(log, signatures, **how)
    return [row for batch in batches for row in signatures.matches(batch).to_pylist()]


def numbers(text: str, signatures: Signatures = OURS) -> list[tuple[str, float, str | None]]:
    batches, _ = reading(text.encode(), signatures)
    rows = [row for batch in batches for row in signatures.numbers(batch).to_pylist()]
    return [(row["name"], row["value"], row["unit"]) for row in rows]


def why(log: str, **how: Any) -> str | None:
    """The text of the best match of a log."""
    batches, told = reading(log.encode(), **how)
    found = best(pa.concat_tables(OURS.matches(batch) for batch in batches), told.groups)
    return str(found["text"]) if found else None


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def signature(name: str, pattern: str, more: str = 'class = "ours"\nweight = 1') -> str:
    return f"[[signature]]\nname = {name!r}\npattern = '''{pattern}'''\n{more}\n"


def test_every_signature_has_lines_here() -> None:
    assert [row.name for row in OURS.signatures if not LINES.get(row.name, {}).get("yes")] == []
    assert [name for name in LINES if not LINES[name]["no"]] == []
    assert LINES.keys() == {row.name for row in OURS.signatures}


@pytest.mark.parametrize("name", LINES)
def test_a_signature_matches_its_lines_and_none_like_them(name: str) -> None:
    yes, no = LINES[name]["yes"], LINES[name]["no"]
    log = "\n".join(("told", *yes, *no)).encode()
    assert [(row["text"], row["signature"]) for row in matches(log)] == [(text, name) for text in yes]


@pytest.mark.parametrize(
    "ahead", ["(09:22:36) ", "[2026-11-25T01:02:03Z] ", "2026-11-25 01:02:03,123 ", "#12 3.456 ", "web-1  | "]
)
def test_what_stands_ahead_is_passed_over(ahead: str) -> None:
    (row,) = matches(f"{ahead}E: Unable to locate package nope".encode())
    assert (row["signature"], row["normalized"]) == ("package-dependency", "E: Unable to locate package nope")


def test_a_match_says_where_what_and_how_much() -> None:
    log = (
        f"\x1b_bk;t={MS}\x07--- one\r\n\x1b_bk;t={MS + 1}\x07\x1b[31m🚨 Error: The command exited with status 3\x1b[0m"
    )
    (row,) = matches(log.encode())
    assert row.pop("at").timestamp() * 1000 == MS + 1
    assert row == {
        "line": 2,
        "group_number": 1,
        "signature": "agent-exit",
        "class": "agent",
        "weight": 0.1,
        "text": "🚨 Error: The command exited with status 3",
        "normalized": "🚨 Error: The command exited with status <n>",
    }


def test_the_text_of_a_match_is_redacted_and_many_logs_keep_their_jobs() -> None:
    secret = "ghp_" + "aB3" * 14
    log = f"ok\nfatal: repository 'https://x:{secret}@example.com/a' not found\n".encode()
    (many,) = read_many([("a", b"ok\n"), ("b", log)], redactor=Redactor(), errors=OURS.errors)
    (row,) = OURS.matches(many.lines).to_pylist()
    assert (row["job_id"], row["line"], row["signature"]) == ("b", 2, "git")
    assert secret not in str(row)
    assert MASK in row["text"]


def test_a_log_without_errors_has_none() -> None:
    assert matches(log_corpus.one(2_000_000)) == []
    assert matches(b"") == []
    found = [row["text"] for seed in range(60) for row in matches(any_log(Random(f"signatures {seed}")))]
    assert found
    assert [text for text in found if ALARM not in text] == []


def test_only_failed_real_logs_have_errors() -> None:
    paths = sorted(SAMPLES.glob("*.log"))
    if not paths:
        pytest.skip("the samples are not here: ../shared/buildkite/samples/logs")
    failed = [
        path.name for path in paths if any(row["signature"] == "agent-exit" for row in matches(path.read_bytes()))
    ]
    assert len(failed) == 1
    assert [path.name for path in paths if matches(path.read_bytes())] == failed


class TestBest:
    def test_the_heaviest_wins_wherever_it_stands(self) -> None:
        assert why("Killed\n--- x\nFAILED a.py::b\n^^^ +++\n🚨 Error: The command exited with status 1\n") == "Killed"

    def test_the_first_of_the_last_group_that_was_expanded(self) -> None:
        log = "--- a\nFAILED a.py::a\n^^^ +++\n--- b\nFAILED a.py::b\nFAILED a.py::c\n^^^ +++\n--- c\nFAILED a.py::d\n"
        assert why(log) == "FAILED a.py::b"
        assert why("cut off\n" + log, tail=True) == "FAILED a.py::b"

    def test_else_the_last_before_the_agents_own_error_else_the_last(self) -> None:
        log = "--- a\nFAILED a.py::a\nFAILED a.py::b\n--- b\n🚨 Error: The command exited with status 1\n"
        assert why(log + "FAILED a.py::c\n") == "FAILED a.py::b"
        assert why(log.replace("🚨", "")) == "FAILED a.py::b"
        assert why("🚨 Error: The command exited with status 1\nFAILED a.py::c\n") == "FAILED a.py::c"

    def test_the_agents_own_if_there_is_no_other_and_none_of_none(self) -> None:
        assert why("x\n🚨 Error: The command exited with status 1\n") == "🚨 Error: The command exited with status 1"
        assert why("x\n") is None

    def test_of_the_real_log_that_failed(self) -> None:
        if not SAMPLES.is_dir():
            pytest.skip("the samples are not here: ../shared/buildkite/samples/logs")
        (path,) = SAMPLES.glob("rulespy-*.log")
        assert "FAILED in 3 out of 3" in str(why(path.read_text(encoding="utf-8")))


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                "=== 3 failed, 120 passed, 2 skipped in 4.56s (0:01:02) ===",
                {"pytest_failed": 3, "pytest_passed": 120, "pytest_skipped": 2, "pytest_seconds": 4.56},
            ),
            ("=== 1 passed, 2 errors in 0.10s ===", {"pytest_passed": 1, "pytest_errors": 2, "pytest_seconds": 0.1}),
            ("2 failed, 1 passed in 0.64s", {"pytest_failed": 2, "pytest_passed": 1, "pytest_seconds": 0.64}),
            ("Ran 12 tests in 0.123s", {"unittest_tests": 12, "unittest_seconds": 0.123}),
            ("Tests:       1 failed, 12 passed, 13 total", {"jest_failed": 1, "jest_tests": 13}),
            ("Time:        3.21 s, estimated 4 s", {"jest_seconds": 3.21}),
            ("      Tests  1 failed | 12 passed (13)", {"vitest_failed": 1, "vitest_tests": 13}),
            ("  12 passing (34ms)", {"mocha_passed": 12}),
            ("  3 failing", {"mocha_failed": 3}),
            (
                "ok  \tex.com/a\t0.123s\tcoverage: 81.2% of statements",
                {"go_package_seconds": 0.123, "coverage_go": 81.2},
            ),
            ("total:\t\t\t(statements)\t\t79.3%", {"coverage_go": 79.3}),
            ("DONE 120 tests, 3 failures in 12.3s", {"gotestsum_tests": 120, "gotestsum_failed": 3}),
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s",
                {"rust_passed": 12, "rust_failed": 0, "rust_seconds": 0.05},
            ),
            ("12 examples, 1 failure, 2 pending", {"rspec_examples": 12, "rspec_failures": 1}),
            ("Finished in 1.5 seconds (files took 0.5 seconds to load)", {"rspec_seconds": 1.5}),
            ("12 runs, 30 assertions, 1 failures, 0 errors, 0 skips", {"minitest_runs": 12, "minitest_failures": 1}),
            ("[INFO] Tests run: 12, Failures: 1, Errors: 0, Skipped: 2", {"maven_tests": 12, "maven_failures": 1}),
            ("12 tests completed, 3 failed", {"gradle_failed": 3}),
            ("90% tests passed, 1 tests failed out of 10", {"ctest_failed": 1, "ctest_tests": 10}),
            (
                "(09:23:09) INFO: Elapsed time: 1,052.140s, Critical Path: 20.38s",
                {"bazel_seconds": 1052.14, "bazel_critical_path_seconds": 20.38},
            ),
            (
                "INFO: 1,032 processes: 3 remote cache hit, 28 internal.",
                {"bazel_processes": 1032, "bazel_remote_cache_hits": 3},
            ),
            ("INFO: Build completed successfully, 3 total actions", {"bazel_actions": 3}),
            ("TOTAL                 120     12    90%", {"coverage_python": 90}),
            ("All files      |   81.25 |    70 |   60 |   81 |", {"coverage_istanbul": 81.25}),
            ("Line Coverage: 81.5% (163 / 200)", {"coverage_simplecov": 81.5}),
            ("81.50% coverage, 163/200 lines covered", {"coverage_tarpaulin": 81.5}),
            ("BUILD SUCCESSFUL in 12s", {"gradle_seconds": 12}),
            ("    Finished `dev` profile [unoptimized] target(s) in 1.23s", {"cargo_seconds": 1.23}),
            ("[INFO] Total time:  12.3 s", {"maven_seconds": 12.3}),
            ("webpack 5.90.0 compiled successfully in 1234 ms", {"webpack_ms": 1234}),
            ("✓ built in 1.23s", {"vite_seconds": 1.23}),
            ("+ First Load JS shared by all            84.2 kB", {"next_first_load_kb": 84.2}),
            ("added 1,234 packages, and audited 1,235 packages in 3s", {"npm_packages": 1234}),
            ("Sending build context to Docker daemon  12.3MB", {"docker_context_mb": 12.3}),
        ],
    )
    def test_a_line_gives(self, text: str, told: dict[str, float]) -> None:
        assert {name: value for name, value, _ in numbers(text)} == told

    def test_every_number_is_tried_and_plain_lines_give_none(self) -> None:
        (tried,) = (mark.args[1] for mark in type(self).test_a_line_gives.pytestmark)  # type: ignore[attr-defined]
        assert {name for _, told in tried for name in told} == {number.name for number in OURS.named}
        assert numbers("12 passed\nTests: all\nTime: now\n100%\ncoverage\n3 failed in a row\n") == []

    def test_what_is_no_finite_number_is_left_out(self, file: Callable[[str], Path]) -> None:
        ours = Signatures.read(file("[[number]]\nname = 'n'\npattern = 'n=(\\S*)'\nunit = 'kB'\n"))
        log = "n=1\nn=-1,234.5e1\nn=.5\nn=1e999\nn=nan\nn=12,34\nn=\nn=1.2.3\nn=" + "9" * 400
        assert numbers(log, ours) == [("n", 1.0, "kB"), ("n", -12345.0, "kB"), ("n", 0.5, "kB")]


class TestFile:
    def test_the_users_come_first_replace_in_their_place_and_switch_off(self, file: Callable[[str], Path]) -> None:
        log = b"error: ours\nerror: not ours\nrustc says ACME-1\nmake: *** [all] Error 1\n"
        assert [row["signature"] for row in matches(log)] == ["error", "error", "make"]
        more = file(signature("acme", ".*ACME-[0-9]") + signature("error", "error: ours") + signature("make", "", ""))
        told = Signatures.read(more)
        assert [(row["text"], row["class"]) for row in matches(log, told)] == [
            ("error: ours", "ours"),
            ("rustc says ACME-1", "ours"),
        ]
        assert told.signatures[0].name == "acme"
        several = Signatures.read(file(signature("x", "").replace("''''''", "['(?i)a1', 'b2']")))
        assert [row["text"] for row in matches(b"A1\nb2\nB2\nxb2\n", several)] == ["A1", "b2"]
        last = Signatures.read(more, file(signature("acme", "", "") + signature("new", "rustc")))
        assert [row["signature"] for row in matches(log, last)] == ["error", "new"]

    def test_a_file_without_anything_changes_nothing_and_all_may_be_off(self, file: Callable[[str], Path]) -> None:
        assert Signatures.read(file("")).signatures == OURS.signatures
        off = "".join(signature(row.name, "", "") for row in OURS.signatures)
        off += "".join(f"[[number]]\nname = {row.name!r}\npattern = ''\n" for row in OURS.named)
        none = Signatures.read(file(off))
        batches, told = reading("🚨 Error: x\nerror: y\nRan 12 tests in 0.123s".encode(), none)
        assert [none.matches(batch).num_rows + none.numbers(batch).num_rows for batch in batches] == [0]
        assert told.summary["error_lines"] == 1

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (signature("x", "(a"), r"signature 'x' has a pattern that RE2 does not read \(.*missing \)"),
            (signature("x", "a(?!b)"), r"signature 'x' .*RE2 does not read .*lookahead"),
            (signature("x", "a*"), "signature 'x' .*matches an empty line"),
            (signature("x", "a", 'class = "b"\nweight = 1.5'), "signature 'x' has a weight of 1.5; .*between 0 and 1"),
            (signature("x", "a", 'class = "b"\nweight = "1"'), "signature 'x' needs a weight that is a number"),
            (signature("x", "a", 'class = "b"\nweight = true'), "signature 'x' needs a weight that is a number"),
            (signature("x", "a", "weight = 1"), "signature 'x' needs a class that is a text"),
            (signature("x", "a", 'class = ""\nweight = 1'), "signature 'x' has an empty class"),
            (signature("x", "a", 'class = "b"\nweight = 1\ncolor = 1'), "signature 'x' has the key 'color'"),
            (signature("x", "a") + signature("x", "b"), "signature 'x' is there twice"),
            (signature("x", "", ""), "no signature 'x' that could be switched off"),
            ("[[signature]]\npattern = 'a'\n", "signature None needs a name"),
            ("[[number]]\nname = 'n'\npattern = 'a=1'\n", "number 'n' .*without exactly one group"),
            ("[[number]]\nname = 'n'\npattern = '(a)(b)'\n", "number 'n' .*without exactly one group"),
            ("[[number]]\nname = 'n'\npattern = '(a)'\nweight = 1\n", "number 'n' has the key 'weight'"),
            ("[signature]\nname = 'x'\n", r"'signature' is neither \[\[signature\]\]"),
            ("color = 1\n", "'color' is neither"),
            ("first = [1]\n", "first is to be a list of patterns"),
            ("[[signature]]\nname = 'x'\npattern = []\n", "signature 'x' needs a pattern that is a text or a list"),
            (
                signature("x", "a").replace("'''a'''", "['a', '(']"),
                "signature 'x' has a pattern that RE2 does not read",
            ),
            ("first = ['(']\n", "first has a pattern that RE2 does not read"),
            ("x", "is not TOML"),
        ],
    )
    def test_what_cannot_be_meant_is_told(self, file: Callable[[str], Path], text: str, told: str) -> None:
        path = file(text)
        with pytest.raises(BadInput, match=told) as raised:
            Signatures.read(path)
        assert str(path) in str(raised.value)

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"gone\.toml cannot be read: No such file"):
            Signatures.read(tmp_path / "gone.toml")

    def test_patterns_that_are_good_alone_but_too_many_together_are_told(self, file: Callable[[str], Path]) -> None:
        long = "абвгдежзийклмнопрст"
        with pytest.raises(BadInput, match=r"at once: .*too large"):
            Signatures.read(file("".join(signature(f"x{n}", f"(?:{long}{n}){{1000}}") for n in range(20))))


class TestNormalized:
    @pytest.mark.parametrize(
        ("texts", "told"),
        [
            (("a 1", "a  22", "a 3,456.7", "\x1b[31ma\x1b[0m 5 "), "a <n>"),
            (("id 01965d4f-2fb3-4b74-8cf1-b0b10999fce5", "id 01965D4F-2FB3-4B74-8CF1-B0B10999FCE6"), "id <id>"),
            (("at 5cf26b27", "at 92c48e57c6353feb0452ad82f7cfc2c744616fa4", "at 0x7f", "at 12345678"), "at <n>"),
            (("x at 2026-11-25T01:02:03.456Z", "x at 01:02:03", "x at 2026-11-25 01:02:03 +0100"), "x at <time>"),
            (("took 1.5s", "took 12 ms", "took 1m 30s", "took 3 minutes"), "took <duration>"),
            (("no /builds/a-1/acme/web/src/x.c", "no /var/lib/b/src/x.c", "no C:\\b\\x.c"), "no <path>/x.c"),
            (("no '/Users/me/My Work/x.c'", "no '/b/x.c'"), "no '<path>/x.c'"),
            (("in /var/tmp/a1b2/c", "in /var/folders/x7/y/T/z", f"in /{'tmp'}/q.txt"), "in <tmp>"),
            (("[gw0] [  1%] FAILED a.py::b", "[gw11] [ 99%] FAILED a.py::b", "FAILED a.py::b"), "FAILED a.py::b"),
        ],
    )
    def test_equal_failures_are_equal(self, texts: tuple[str, ...], told: str) -> None:
        assert set(normalized(pa.array(texts)).to_pylist()) == {told}

    @pytest.mark.parametrize(
        "text", ["error[E0308]: x", "src/a.c: x86_64", "defaced", "see https://example.com/a/b", ""]
    )
    def test_names_stay(self, text: str) -> None:
        assert normalized(pa.array([text])).to_pylist() == [text]

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.text(PIECES, max_size=40) | st.text(max_size=20) | st.lists(WORDS).map("".join), min_size=1, max_size=20
        )
    )
    def test_once_more_changes_nothing(self, texts: list[str]) -> None:
        once = normalized(pa.array(texts, pa.string()))
        assert normalized(once).to_pylist() == once.to_pylist()


@pytest.mark.parametrize(
    "one", ["a", "a ", " ", "a:", "E   ", "1", "1,", "= ", "/a", "error: ", "\\", "'", "(", "aA.", "é"]
)
def test_no_line_takes_long(one: str) -> None:
    """A line of 1 MB takes about as long a byte as one of 100 kB: no pattern is more than linear."""
    texts = [pa.array([one * (size // len(one)) + end]) for size in (100_000, 1_000_000) for end in ("", "!")]

    def seconds(text: Any) -> float:
        batch = pa.RecordBatch.from_pydict(
            {"line": pa.array([1], pa.int32()), "text": text, "flags": pa.array([int(Flag.ERROR)], pa.int16())}
        )
        began = time.process_time()
        OURS.errors(text)
        OURS.matches(batch)
        OURS.numbers(batch)
        return time.process_time() - began

    short, long = (min(seconds(text) for _ in range(2) for text in pair) for pair in (texts[:2], texts[2:]))
    assert long < 25 * max(short, 0.01)


def test_the_paper_says_what_is(file: Callable[[str], Path]) -> None:
    paper = (Path(__file__).parents[1] / "docs" / "logs.md").read_text(encoding="utf-8")
    example = Signatures.read(file(paper.split("```toml\n")[2].split("```")[0]))
    (row,) = matches(b"flexlm: error: no such feature exists.\nrm: cannot remove 'a'\n", example)
    assert (row["signature"], row["weight"]) == ("licence-server", 0.95)
    assert numbers("text segment:  1,234 bytes", example) == [("firmware_bytes", 1234.0, "bytes")]
    ours = paper.split("Ours: ")[1].split(" |")[0].split(", ")
    assert ours == sorted({row.kind for row in OURS.signatures})
