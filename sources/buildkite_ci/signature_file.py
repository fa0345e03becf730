"""A file of signatures and numbers (`signatures.toml`, and a user's beside it): read, and each row checked."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from .errors import BadInput

AHEAD = (
    r"[(\[]?(?:\d{4}[-/]\d\d[-/]\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?[)\]]?:? +"
    r"|#\d+ (?:\d+\.\d+ )?|[\w.-]+ +\| |\[gw\d+\] +\[ *\d+%\] "
)
"""What may stand before a line's own words: a moment, a step of a docker build, a container's name, pytest's worker."""
LEAD = r"[^\w/]*"
"""What may stand before that in what `first` tells: blanks, bullets and the like."""
KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "signature": {"name": str, "pattern": str, "class": str, "weight": (int, float)},
    "number": {"name": str, "pattern": str, "unit": str},
}
"""The tables of a file, and their keys; only `unit` may be missing, and all but the name of what is switched off."""
WORDS = {"weight": "number", "pattern": "text or a list of texts"}
"""What a key is to be that is not just a text."""

Rows = dict[str, dict[str, Any]]


class File(NamedTuple):
    """The rows of a file by name, those that are switched off with an empty pattern; and its `first`."""

    signatures: Rows
    numbers: Rows
    first: str


def read(path: Path) -> File:
    """Raises BadInput, with the file and the name, for what cannot be meant."""
    told, found = toml(path), {table: Rows() for table in KEYS}
    first = joined(told.pop("first", ""))
    fault = pattern_fault("first", first) if isinstance(first, str) else "is to be a list of patterns"
    if first != "" and fault:
        raise BadInput(f"{path}: first {fault}")
    for table, rows in told.items():
        if table not in KEYS or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadInput(f"{path}: {table!r} is neither [[signature]] nor [[number]]")
        for row in rows:
            row = {**row, "pattern": joined(row.get("pattern"))}
            fault = row_fault(table, row) or ("is there twice" if row["name"] in found[table] else "")
            if fault:
                raise BadInput(f"{path}: {table} {row.get('name')!r} {fault}")
            found[table][row["name"]] = row
    return File(found["signature"], found["number"], whole(f"{LEAD}(?:{first})") if first else "")


def joined(pattern: Any) -> Any:
    """One pattern of a list of them; whatever else it is stays as it is."""
    if isinstance(pattern, list) and pattern and all(isinstance(one, str) for one in pattern):
        return "|".join(f"(?:{one})" for one in pattern)
    return pattern


def toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise BadInput(f"{path} cannot be read: {wrong.strerror}") from None
    except ValueError as wrong:
        raise BadInput(f"{path} is not TOML: {wrong}") from None


def row_fault(table: str, row: Mapping[str, Any]) -> str:
    """Why a row cannot be meant; nothing if it can."""
    keys, pattern = KEYS[table], row.get("pattern")
    needed = ["name", "pattern"] if pattern == "" else [key for key in keys if key != "unit"]
    for key in (*row, *needed):
        if key not in keys:
            return f"has the key {key!r}; it may have {', '.join(keys)}"
        if not isinstance(row.get(key), keys[key]) or isinstance(row[key], bool):
            return f"needs a {key} that is a {WORDS.get(key, 'text')}"
        if row[key] == "" and key != "pattern":
            return f"has an empty {key}"
    if not 0 <= row.get("weight", 0) <= 1:
        return f"has a weight of {row['weight']}; it is to be between 0 and 1"
    return pattern_fault(table, pattern) if pattern else ""


def pattern_fault(table: str, pattern: str) -> str:
    """Why a pattern cannot be used; nothing if it can."""
    if wrong := refusal(pattern):
        said = "it knows neither lookahead, lookbehind nor backreferences"
        return f"has a pattern that RE2 does not read ({wrong}); {said}"
    if pc.match_substring_regex(pa.array([""]), whole(pattern))[0].as_py():
        return "has a pattern that matches an empty line, and so all"
    if table == "number" and (refusal(pattern, r"\1") or not refusal(pattern, r"\2")):
        return "has a pattern without exactly one group, the one around the number; others are written (?:…)"
    return ""


def refusal(pattern: str, replacement: str = "") -> str:
    """Why RE2 does not take a pattern, or not with this replacement; nothing if it does."""
    try:
        pc.replace_substring_regex(pa.array([""]), pattern, replacement)
    except pa.ArrowInvalid as wrong:
        return str(wrong)
    return ""


def whole(pattern: str) -> str:
    """The pattern from a line's beginning, what may stand ahead passed over."""
    return f"^(?:{AHEAD})?(?:{pattern})"


def alternation(patterns: Iterable[str]) -> str:
    """One for all, from a line's beginning; of none, one that nothing matches."""
    return whole("|".join(f"(?:{pattern})" for pattern in patterns) or r"[^\x00-\x{10FFFF}]")
