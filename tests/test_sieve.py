"""The sieve in front of RE2 leaves out no line that has a secret, whatever stands beside it and around it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkite_ci.redaction import BEGIN, KNOWN, Redactor
from buildkite_ci.sieve import Sieve, widened
from test_redaction import SECRETS

REDACTOR = Redactor([("ours", r"^sesame-\d+$")])
EVERY = "|".join(f"(?:{pattern})" for pattern in (r"^sesame-\d+$", BEGIN, *(pattern for _, pattern in KNOWN)))
WORDS = (
    *(text for text, _ in SECRETS.values()),
    *(text[: len(text) // 2] for text, _ in SECRETS.values()),
    *(
        "-----BEGIN RSA PRIVATE KEY-----",
        "sesame-1",
        "_TOKEN",
        "_TO\u212aEN=abcdef",
        "=",
        ":",
        ": ",
        '"',
        "://",
        "@",
        "?sig=",
    ),
    *("bearer ", "AKIA", "\v", "\t", " ", "é", "🚨", "\x00", "a" * 40, ""),
)
LINE = st.lists(st.sampled_from(WORDS), max_size=5).map("".join) | st.text(max_size=20)


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(LINE, max_size=30), skip=st.integers(0, 3))
def test_the_lines_that_are_touched_are_those_that_re2_finds_in_all_of_them(lines: list[str], skip: int) -> None:
    texts = pa.array(["before", *lines, "after"], pa.string()).slice(skip)
    assert REDACTOR.touches(texts).to_pylist() == pc.match_substring_regex(texts, EVERY).to_pylist()


@pytest.mark.parametrize(("kind", "pattern"), KNOWN, ids=[f"{kind} {at}" for at, (kind, _) in enumerate(KNOWN)])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_a_pattern_matches_its_wide_form_matches_too(kind: str, pattern: str, data: st.DataObject) -> None:
    letters = st.characters(min_codepoint=32, max_codepoint=126)
    text = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=letters))
    texts = pa.array(["x", f"{data.draw(letters)}{text}", "x"])
    found = pc.match_substring_regex(texts, pattern)
    if found[1].as_py():
        assert 1 in Sieve([BEGIN if kind == "private_key" else pattern]).lines(texts).to_pylist()


def test_a_long_secret_is_told_of_once() -> None:
    for _, pattern in KNOWN:
        assert not widened(pattern).endswith((",}", "*", "+"))
    lines = Sieve([r"\bnpm_[A-Za-z0-9]{30,}"]).lines(pa.array(["", "npm_" + "a" * 1_000_000, ""]))
    assert lines.to_pylist() == [1]
