"""Secrets in log lines, masked before anything is stored; counted by kind, and never kept.

The agent has masked the values that it knew (api.md 6.5); these are shapes of tokens that it did not, and the user's
own. RE2 reads them, so that no line and no pattern can make it slow; one pass (sieve.py) tells which lines may be
touched, and only those are looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import BadInput
from .sieve import Sieve

MASK = "[redacted]"
NAMES = (
    "TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS|PRIVATE_KEY|ACCESS_KEY|SECRET_KEY|API_KEY|CONNECTION_STRING"
)
SIGNED = "X-Amz-(?:Signature|Credential|Security-Token)|sig|signature|token|api_key|access_token|client_secret"
VALUE = r"[^\s\"'$\[(][^\s\"']{5,}"
BEGIN = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"

KNOWN: tuple[tuple[str, str], ...] = (
    ("buildkite", r"\bbk[a-z]{2}_[A-Za-z0-9_-]{8,}"),
    ("github", r"\bgh[pousr]_[A-Za-z0-9]{30,}"),
    ("github", r"\bgithub_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_-]{16,}"),
    ("aws", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("aws", r"(?i)(aws_?secret_?(?:access_?)?key[\"']?\s*[:=]\s*[\"']?)[A-Za-z0-9/+=]{40}"),
    ("slack", r"\bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}"),
    ("slack", r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9/_-]{10,}"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    ("npm", r"\bnpm_[A-Za-z0-9]{30,}"),
    ("huggingface", r"\bhf_[A-Za-z0-9]{30,}"),
    ("private_key", rf"({BEGIN})[^\[].*?(-----END|$)"),
    ("url_password", r"(://[^\s/:@\"']*:)[^\s/@\[][^\s/@]*(@)"),
    ("url_password", r"(://)[A-Za-z0-9_-]{20,}(@)"),
    ("signed_url", rf"(?i)([?&](?:{SIGNED})=)[^&\s\"'#\[][^&\s\"'#]*"),
    ("authorization", r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?[a-z]+ +)[^\s\"',\[]{4,}"),
    ("authorization", r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?)[^\s\"',\[]{10,}"),
    ("authorization", r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{16,}"),
    ("assignment", rf"(?i)(\b[A-Z0-9_]*_(?:{NAMES})(?:=|[\"']?\s*:\s+|[\"']\s*[:=]\s*)[\"']?){VALUE}"),
    ("assignment", rf"(\b(?:{NAMES})=[\"']?){VALUE}"),
)
"""Kind and pattern, in this order; a first group is kept before the mask, a second one after it.

No pattern matches the mask itself, nor the agent's `[REDACTED]`.
"""
IN_KEY = re.compile(r"\s*(?:[A-Za-z0-9+/=]{1,128}|[A-Za-z-]{4,12}: \S.*)?\s*")
"""What may stand between the first and the last line of a private key."""


ESCAPES = (
    r"\x1b(?:\[[ -?]*[@-~]?|[\]_PX^][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]+[0-~]?|[0-~]?)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]"
)
"""What may stand within a secret without changing what is read; CR and LF stay."""
MARKERS = re.compile(rb"(?:\x1b_bk;[^\x07\x1b\n]*(?:\x07|\x1b\\))*")
FRAME = 4 << 20
"""Bytes of log in a frame of the archive."""
SEAM = 1 << 14
"""Bytes on each side of a cut within a line that are looked at for secrets; none is longer."""


class Redactor:
    """Masks secrets in columns of lines: the known kinds, and `patterns` of the user, each (kind, RE2 pattern).

    Raises BadInput for a pattern that cannot be meant.
    """

    def __init__(self, patterns: Iterable[tuple[str, str]] = ()) -> None:
        known = [(kind, pattern, REPLACEMENTS[re.compile(pattern).groups]) for kind, pattern in KNOWN]
        self._rows = [*((kind, checked(kind, pattern), MASK) for kind, pattern in patterns), *known]
        self._any = "|".join(f"(?:{pattern})" for pattern in (BEGIN, *(pattern for _, pattern, _ in self._rows)))
        self._own = "|".join(f"(?:{pattern})" for _, pattern, _ in self._rows[: -len(known)])
        self._sieve = Sieve([BEGIN, *(pattern for kind, pattern, _ in known if kind != "private_key")])

    def apply(self, lines: Any) -> tuple[Any, Counter[str]]:
        """The string column with its secrets masked, and how many of each kind they were."""
        masked, counts, _ = self.mask(lines)
        return masked, counts

    def touches(self, lines: Any) -> Any:
        """Which lines of a string or binary column have something to mask, as a boolean column."""
        if pa.types.is_binary(lines.type):
            return pc.match_substring_regex(lines, self._any)
        maybe = self._sieve.lines(lines)
        touched = np.zeros(len(lines), np.bool_)
        touched[maybe] = pc.match_substring_regex(lines.take(maybe), self._any)
        if self._own:
            touched |= pc.match_substring_regex(lines, self._own).to_numpy(zero_copy_only=False)
        return pa.array(touched)

    def mask(self, lines: Any, in_key: bool = False) -> tuple[Any, Counter[str], bool]:
        """As `apply`, for lines that follow others: `in_key` is whether a private key goes on from there, and here."""
        counts: Counter[str] = Counter()
        touched = self.touches(lines)
        if not pc.any(touched).as_py():
            return self._keys(lines, [], counts, in_key) if in_key else (lines, counts, False)
        found = lines.filter(touched)
        for kind, pattern, replacement in self._rows:
            count = pc.sum(pc.count_substring_regex(found, pattern)).as_py()
            if count:
                counts[kind] += count
                found = pc.replace_substring_regex(found, pattern, replacement)
        begins = pc.indices_nonzero(pc.match_substring_regex(found, BEGIN + r"\W*$"))
        begins = pc.indices_nonzero(touched).take(begins).to_pylist()
        return self._keys(pc.replace_with_mask(lines, touched, found), begins, counts, in_key)

    def _keys(
        self, lines: Any, begins: list[int], counts: Counter[str], in_key: bool
    ) -> tuple[Any, Counter[str], bool]:
        """The lines masked that follow a private key's first, up to its last or to what cannot be in one."""
        inside: set[int] = set()
        if begins:
            counts["private_key"] += len(begins)
        for begin in [-1, *begins] if in_key else begins:
            end = begin + 1
            while end < len(lines) and IN_KEY.fullmatch(lines[end].as_py()):
                end += 1
            inside.update(range(begin + 1, end))
            in_key = end == len(lines)
        if inside:
            lines = pc.if_else(pa.array([at in inside for at in range(len(lines))]), MASK, lines)
        return lines, counts, in_key


REPLACEMENTS = (MASK, rf"\1{MASK}", rf"\1{MASK}\2")
"""By the number of a pattern's groups."""


def checked(kind: str, pattern: str) -> str:
    """The user's pattern, if it can be used."""
    try:
        empty = pc.match_substring_regex(pa.array([""]), pattern)[0].as_py()
    except pa.ArrowInvalid as wrong:
        raise BadInput(
            f"the pattern {pattern!r} for secrets of the kind {kind!r} is not one that RE2 reads ({wrong}); "
            "it knows neither lookahead, lookbehind nor backreferences"
        ) from None
    if empty:
        raise BadInput(f"the pattern {pattern!r} for secrets of the kind {kind!r} matches an empty line, and so all")
    return pattern


def archive(blocks: Iterable[bytes], redactor: Redactor | None = None, level: int = 3) -> Iterator[bytes]:
    """A log as zstd frames of about FRAME bytes; one after the other they are a file that any zstd reads.

    The bytes are those of the log, but for lines with a secret, also in an escape or written over since: of such a
    line its markers and its masked text are kept. A line longer than a frame is looked at in parts, none of which ends
    in a secret or near one.
    """
    codec, in_key = pa.Codec("zstd", level), False
    for piece in pieces(blocks, redactor):
        if redactor:
            piece, in_key = masked(piece, redactor, in_key)
        yield codec.compress(piece, asbytes=True)


def pieces(blocks: Iterable[bytes], redactor: Redactor | None) -> Iterator[bytes]:
    """Whole lines, FRAME bytes of them at most (SEAM more at the end); of a longer line as much as `seam` says."""
    held = bytearray()
    for block in blocks:
        held += block
        while len(held) >= FRAME + SEAM:
            end = held.rfind(b"\n", 0, FRAME) + 1 or seam(held, redactor)
            yield bytes(held[:end])
            del held[:end]
    if held:
        yield bytes(held)


def seam(held: bytearray, redactor: Redactor | None) -> int:
    """Where to cut a line that is longer than a frame: behind a CR or blank, and where no secret is within SEAM bytes.

    At FRAME, if all of its second half is a secret; no token is that long.
    """
    for most in range(FRAME, FRAME // 2, -SEAM):
        end = max(held.rfind(mark, most - SEAM, most) + 1 for mark in (b"\r", b" ")) or most
        around = bytes(held[end - SEAM : end + SEAM])
        if not redactor or not pc.any(redactor.touches(pa.array([around, plain(around)]))).as_py():
            return end
    return FRAME


def plain(raw: bytes) -> bytes:
    """Without escapes and what else ESCAPES names."""
    told: bytes = pc.replace_substring_regex(pa.array([raw]), ESCAPES, "")[0].as_py()
    return told


def masked(piece: bytes, redactor: Redactor, in_key: bool) -> tuple[bytes, bool]:
    """The raw lines with secrets masked in what is read of them, CRs and all, and in what is not."""
    raw = piece.split(b"\n")
    read = pa.array(plain(piece).decode("utf-8", "replace").split("\n"), pa.string())
    told, _, in_key = redactor.mask(read, in_key)
    changed = pc.or_(pc.not_equal(told, read), redactor.touches(pa.array(raw, pa.binary())))
    for at in pc.indices_nonzero(changed).to_pylist():
        markers = MARKERS.match(raw[at])
        raw[at] = (markers[0] if markers else b"") + told[at].as_py().encode()
    return b"\n".join(raw), in_key
