"""What lines of job logs mean: signatures of errors, and numbers by named patterns; both are data.

`signatures.toml` has ours, files of the user add to it (docs/logs.md). RE2 reads all patterns, so that no line and no
pattern can make it slow. One pass by one alternation tells which lines any pattern matches, and only those are looked
at again, one pattern after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import BadInput
from .joblog_spec import ALARM, Flag
from .signature_file import AHEAD, Rows, alternation, refusal, whole
from .signature_file import read as read_file

OURS = Path(__file__).with_name("signatures.toml")
DIGITS = r"-?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
"""A number, its thousands apart or not."""
BEFORE = r"(^|[\s'\"`(\[=,:])"
"""What a path may stand behind, which is no other path."""

NORMAL: tuple[tuple[str, str], ...] = (
    (r"\x1b(?:\[[ -?]*[@-~]?)?", ""),
    (r"[\x00-\x20\x7f]+", " "),
    (r"^ | $", ""),
    (rf"^(?:{AHEAD})+", ""),
    (BEFORE + r"(?:/private)?(?:/tmp|/var/tmp|/var/folders|/dev/shm)/[^\s'\"`:,;()\[\]<>]+", r"\1<tmp>"),
    (r"(['\"`])(?:[A-Za-z]:)?[\\/](?:[^'\"`\\/<>:]+[\\/])+", r"\1<path>/"),
    (BEFORE + r"(?:[A-Za-z]:)?[\\/](?:[\w.@+~-]+[\\/])+", r"\1<path>/"),
    (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (
        r"\b(?:\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z| ?[+-]\d\d:?\d\d)?)?"
        r"|\d\d:\d\d:\d\d(?:[.,]\d+)?Z?)\b",
        "<time>",
    ),
    (
        r"\b\d+(?:[.,]\d+)* ?(?:ns|us|µs|ms|secs?|seconds?|mins?|minutes?|hours?|hrs?|[smh])"
        r"(?: ?\d+(?:[.,]\d+)* ?(?:ns|us|µs|ms|secs?|seconds?|mins?|minutes?|[sm]))*\b",
        "<duration>",
    ),
    (
        r"(?i)\b(?:0x[0-9a-f]+|\d[0-9a-f]{6,}|[a-f]\d[0-9a-f]{5,}|[a-f]{2}\d[0-9a-f]{4,}|[a-f]{3}\d[0-9a-f]{3,}"
        r"|[a-f]{4}\d[0-9a-f]{2,}|[a-f]{5}\d[0-9a-f]+|[a-f]{6,}\d[0-9a-f]*)\b",
        "<n>",
    ),
    (r"\b\d+(?:[.,]\d+)*((?i:[kmgt]?i?b)?)\b", r"<n>\1"),
)
"""Pattern and replacement, in this order: escapes and runs of blanks; what stands ahead; temporary files, the folders
of absolute paths; UUIDs, moments, durations, hashes of seven digits and more, numbers. Names keep their digits."""


class Signature(NamedTuple):
    """What tells of an error. `pattern` is from the line's beginning, what may stand ahead passed over."""

    name: str
    kind: str
    weight: float
    pattern: str
    first: str = ""
    """What the line must match, too: something short, so that the long pattern of all is seldom needed."""


class Number(NamedTuple):
    """A number that is looked for, and what it counts."""

    name: str
    unit: str | None
    pattern: str


class Signatures:
    """Signatures and numbers in the order in which they are looked for; `read` makes them."""

    def __init__(self, signatures: Iterable[Signature], numbers: Iterable[Number]) -> None:
        self.signatures, self.named = tuple(signatures), tuple(numbers)
        firsts = dict.fromkeys(row.first for row in self.signatures)
        self._errors = {
            first: alternation(row.pattern for row in self.signatures if row.first == first) for first in firsts
        }
        self._number = alternation(row.pattern for row in self.named)
        for pattern in (*self._errors.values(), self._number):
            if wrong := refusal(pattern):
                raise BadInput(f"RE2 cannot read all patterns of signatures, or of numbers, at once: {wrong}")

    @classmethod
    def read(cls, *files: Path) -> Signatures:
        """Ours, and those of the files: one of the same name replaces, others come before all that were there.

        Raises BadInput, with the file and the name, for what cannot be meant.
        """
        signatures: dict[str, Signature] = {}
        numbers: dict[str, Number] = {}
        for path in (OURS, *files):
            told = read_file(path)
            known(path, "signature", told.signatures, signatures)
            known(path, "number", told.numbers, numbers)
            rows = told.signatures.values()
            signatures = over(signatures, {
                row["name"]: Signature(row["name"], row["class"], row["weight"], row["pattern"], told.first)
                if row["pattern"] else None for row in rows
            })  # fmt: skip
            numbers = over(numbers, {
                row["name"]: Number(row["name"], row.get("unit"), row["pattern"])
                if row["pattern"] else None for row in told.numbers.values()
            })  # fmt: skip
        return cls(signatures.values(), numbers.values())

    def errors(self, texts: Any) -> Any:
        """Which texts tell of an error, as a boolean column."""
        found = pa.array(np.zeros(len(texts), np.bool_))
        for first, pattern in self._errors.items():
            hits = pc.match_substring_regex(texts, first or pattern)
            if first and hits.true_count:
                hits = pc.replace_with_mask(hits, hits, pc.match_substring_regex(texts.filter(hits), pattern))
            found = pc.or_(found, hits)
        return found

    def matches(self, batch: Any) -> Any:
        """Of a batch of lines those with Flag.ERROR that a signature matches: where, the first one that does, text.

        The agent's own error is flagged without a signature; it has ours for it, unless that is switched off. So is
        left out what the masking of a secret has made unlike its signature.
        """
        flagged = pc.bit_wise_and(batch["flags"], pa.scalar(int(Flag.ERROR), pa.int16()))
        lines = batch.filter(pc.not_equal(flagged, 0))
        texts, left, found = lines["text"], np.arange(len(lines)), np.full(len(lines), -1)
        for at, signature in enumerate(self.signatures):
            if not len(left):
                break
            hits = np.asarray(pc.match_substring_regex(texts.take(pa.array(left)), whole(signature.pattern)))
            found[left[hits]], left = at, left[~hits]
        lines, first = lines.filter(pa.array(found >= 0)), pa.array(found[found >= 0])
        told = {
            "signature": pa.array([one.name for one in self.signatures], pa.string()).take(first),
            "class": pa.array([one.kind for one in self.signatures], pa.string()).take(first),
            "weight": pa.array([one.weight for one in self.signatures], pa.float64()).take(first),
            "text": lines["text"],
            "normalized": normalized(lines["text"]),
        }
        return pa.table({**where(lines, "job_id", "line", "at", "group_number"), **told})

    def numbers(self, batch: Any) -> Any:
        """The numbers in a batch of lines: where, name, value, unit. What is no finite number is left out."""
        lines = batch.filter(pc.match_substring_regex(batch["text"], self._number))
        named = self.named if len(lines) else self.named[:1]
        none = valued(lines.slice(0, 0), Number("", None, "()"))
        return pa.concat_tables([none, *(valued(lines, number) for number in named)])


def known(path: Path, table: str, rows: Rows, there: dict[str, Any]) -> None:
    """Raises BadInput if a row switches off what is not there."""
    for name, row in rows.items():
        if not row["pattern"] and name not in there:
            raise BadInput(f"{path}: there is no {table} {name!r} that could be switched off")


def over(there: dict[str, Any], rows: dict[str, Any]) -> dict[str, Any]:
    """What is there with the rows of another file: new ones first, the same names in their places, None for off."""
    new = {name: row for name, row in rows.items() if name not in there}
    told = new | {name: rows.get(name, row) for name, row in there.items()}
    return {name: row for name, row in told.items() if row}


def where(lines: Any, *names: str) -> dict[str, Any]:
    """Of these columns those that the lines have."""
    return {name: lines[name] for name in names if name in lines.schema.names}


def valued(lines: Any, number: Number) -> Any:
    """The lines that have the number, with it."""
    pattern = whole(number.pattern)
    found = lines.filter(pc.match_substring_regex(lines["text"], pattern))
    texts = pc.replace_substring_regex(found["text"], f"{pattern}.*", r"\1")
    right = pc.match_substring_regex(texts, f"^{DIGITS}$")
    values = pc.cast(pc.replace_substring(texts.filter(right), ",", ""), pa.float64())
    found, finite = found.filter(right), pc.is_finite(values)
    found, values = found.filter(finite), values.filter(finite)
    name, unit = (pa.repeat(pa.scalar(one, pa.string()), len(found)) for one in (number.name, number.unit))
    return pa.table({**where(found, "job_id", "line", "at"), "name": name, "value": values, "unit": unit})


def normalized(texts: Any) -> Any:
    """The texts without what differs from one failure to the next like it; once more changes nothing."""
    for pattern, replacement in NORMAL:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def best(matches: Any, groups: Any) -> dict[str, Any] | None:
    """The match of a job that says best why it failed, as a row; None if there is none.

    It is of the heaviest ones the first in the last group that was expanded (`^^^ +++`) and has one; else the last
    before the agent's own error; else the last.
    """
    if not len(matches):
        return None
    rows = matches.filter(pc.equal(matches["weight"], pc.max(matches["weight"]))).sort_by("line")
    expanded = groups.filter(groups["expanded"])["number"]
    inside = rows.filter(pc.is_in(rows["group_number"], pc.cast(expanded, rows["group_number"].type)))
    if len(inside):
        inside = inside.filter(pc.equal(inside["group_number"], pc.max(inside["group_number"])))
        return dict(inside.slice(0, 1).to_pylist()[0])
    alarm = pc.min(matches.filter(pc.starts_with(matches["text"], ALARM))["line"])
    before = rows.filter(pc.less(rows["line"], alarm)) if alarm.is_valid else rows
    rows = before if len(before) else rows
    return dict(rows.slice(len(rows) - 1).to_pylist()[0])
