"""Secrets in log lines: each known kind is masked and counted, plain text stays, and the archive keeps none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pytest

from buildkite_ci import redaction
from buildkite_ci.errors import BadInput
from buildkite_ci.redaction import KNOWN, MASK, Redactor, archive

WORD = "aB3" * 14
FRAME = 1 << 16
"""Shorter than it is in earnest, as is SEAM."""
SECRETS = {
    "buildkite": (f"token bkua_{WORD} x", f"bkua_{WORD}"),
    "github": (f"ghp_{WORD}", f"ghp_{WORD}"),
    "gitlab": (f"glpat-{WORD}", f"glpat-{WORD}"),
    "aws": (f"id AKIA{'Q7' * 8} x", f"AKIA{'Q7' * 8}"),
    "slack": (f"xoxb-{WORD}", f"xoxb-{WORD}"),
    "jwt": (f"eyJ{WORD}.eyJ{WORD}.{WORD}", WORD),
    "npm": (f"npm_{WORD}", f"npm_{WORD}"),
    "huggingface": (f"hf_{WORD}", f"hf_{WORD}"),
    "url_password": ("clone https://me:hunter22@example.com/a.git", "hunter22"),
    "signed_url": ("https://example.com/a?X-Amz-Signature=abcdef0123", "abcdef0123"),
    "authorization": (f"Authorization: Bearer {WORD}", WORD),
    "assignment": ("DEPLOY_PASSWORD=correcthorse", "correcthorse"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_masked_and_counted_by_its_kind(kind: str) -> None:
    text, secret = SECRETS[kind]
    masked, counts = Redactor().apply(pa.array(["before", text, "after"]))
    assert masked[0].as_py() == "before"
    assert masked[2].as_py() == "after"
    assert secret not in masked[1].as_py()
    assert MASK in masked[1].as_py()
    assert counts == Counter({kind: 1})


def test_every_known_kind_is_tried_here() -> None:
    assert {kind for kind, _ in KNOWN} == {*SECRETS, "private_key"}


def test_what_is_masked_is_not_masked_again() -> None:
    lines = pa.array([text for text, _ in SECRETS.values()])
    masked, _ = Redactor().apply(lines)
    assert Redactor().apply(masked) == (masked, Counter())


def test_a_private_key_is_masked_also_where_it_goes_on_in_another_column() -> None:
    redactor = Redactor()
    first, counts, in_key = redactor.mask(pa.array(["x", "-----BEGIN RSA PRIVATE KEY-----", WORD]))
    assert (first[2].as_py(), counts, in_key) == (MASK, Counter(private_key=1), True)
    second, counts, in_key = redactor.mask(pa.array([WORD, "-----END RSA PRIVATE KEY-----", "told"]), in_key)
    assert second.to_pylist() == [MASK, "-----END RSA PRIVATE KEY-----", "told"]
    assert not counts
    assert not in_key


def test_plain_lines_stay() -> None:
    lines = pa.array(["", "ok 12 passed", "https://example.com/a?b=c", "a_token: none", "DEPLOY_TOKEN=$TOKEN"])
    assert Redactor().apply(lines) == (lines, Counter())


def test_a_pattern_of_the_user_is_used_and_a_bad_one_is_told() -> None:
    masked, counts = Redactor([("ours", r"ACME-\d+")]).apply(pa.array(["key ACME-17 and ACME-18"]))
    assert (masked.to_pylist(), counts) == ([f"key {MASK} and {MASK}"], Counter(ours=2))
    for pattern in ("(", "(?=a)b", "a*"):
        with pytest.raises(BadInput, match="'ours'"):
            Redactor([("ours", pattern)])


def raw(frames: Iterable[bytes]) -> bytes:
    with pa.input_stream(pa.py_buffer(b"".join(frames)), compression="zstd") as stream:
        told: bytes = stream.read()
        return told


def test_the_archive_is_the_log_but_for_its_secrets() -> None:
    marker, text = b"\x1b_bk;t=1745322209921\x07", SECRETS["github"][0].encode()
    log = marker + b"told\r\n" + marker + text[:9] + b"\x1b[0m" + text[9:] + b"\n" + marker + b"\xff end"
    assert (
        raw(archive([log[:20], log[20:]], Redactor()))
        == marker + b"told\r\n" + marker + MASK.encode() + b"\n" + marker + b"\xff end"
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "FRAME", FRAME)
    monkeypatch.setattr(redaction, "SEAM", 1 << 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("filler", [b"x ", b"-+"])
def test_a_secret_that_lies_over_the_end_of_a_frame_is_not_in_the_archive(kind: str, filler: bytes) -> None:
    text, secret = (some.encode() for some in SECRETS[kind])
    inside = text.index(secret)
    for begin in (FRAME - inside, FRAME - inside - len(secret) // 2, FRAME - len(text) + 1):
        log = b" ".join((filler * (begin // 2), text, filler * 2000))
        kept = raw(archive([log[at : at + 9000] for at in range(0, len(log), 9000)], Redactor()))
        assert secret not in kept
        assert kept.count(MASK.encode()) == 1
        assert kept.startswith(filler * 100)
        assert kept.endswith(filler * 100)


@pytest.mark.usefixtures("small")
def test_without_a_redactor_the_archive_has_a_long_line_byte_by_byte() -> None:
    log = b"\x1b[32m" * (FRAME // 2) + b"\n"
    assert raw(archive([log])) == log
