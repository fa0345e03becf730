"""Reading a query string, strictly: what the stand-in does not know, or cannot read, is a 400.

Buildkite ignores what it does not know; here a misspelt filter must not look like an answer.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import UTC, timedelta
from urllib.parse import parse_qsl

from .answer import Refusal, iso, parse_time

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

FLAGS = frozenset({"include_retried_jobs", "exclude_jobs", "exclude_pipeline", "include_test_engine", "omit_body"})
"""Read where a row is shown, so looked at before: a listing without rows refuses them as well."""


class Params:
    """The query of one request; `known` holds the names that its route reads (without `[]`, `meta_data[` for a map)."""

    def __init__(self, query: str, known: Container[str]) -> None:
        self.pairs = parse_qsl(query, keep_blank_values=True)
        for name, _ in self.pairs:
            if re.sub(r"(\[\]|(?<=\[).+\])$", "", name) not in known:
                raise Refusal(400, f"{name} is not a parameter of this listing")
        for name in FLAGS & {name for name, _ in self.pairs}:
            self.flag(name)

    def many(self, name: str) -> list[str]:
        """Every value of `name` and of `name[]`."""
        return [value for key, value in self.pairs if key in (name, f"{name}[]")]

    def one(self, name: str) -> str | None:
        """The only value of `name`; None without one."""
        values = [value for key, value in self.pairs if key == name]
        if len(values) > 1:
            raise Refusal(400, f"{name} may be given once")
        return values[0] if values else None

    def keyed(self, name: str) -> dict[str, str]:
        """`name[key]=value` as a table."""
        return {key[len(name) + 1 : -1]: value for key, value in self.pairs if key.startswith(f"{name}[")}

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.one(name)
        if value not in (None, "true", "false"):
            raise Refusal(400, f"{name} is true or false, not {value!r}")
        return default if value is None else value == "true"

    def choices(self, name: str, allowed: Container[str], status: int = 400) -> list[str]:
        """Every value of `name`; one that is not allowed is refused with `status`."""
        values = self.many(name)
        for value in values:
            if value not in allowed:
                raise Refusal(status, f"{value!r} is not a {name}")
        return values

    def uuid(self, name: str) -> str | None:
        value = self.one(name)
        if value is not None and not UUID.fullmatch(value):
            raise Refusal(400, f"{name} is a UUID, not {value!r}")
        return value

    def moment(self, name: str) -> str | None:
        """A bound as ISO text with milliseconds, rounded up: texts in milliseconds then compare exactly."""
        value = self.one(name)
        if value is None:
            return None
        moment = parse_time(value)
        if moment is None:
            raise Refusal(400, f"{name} is a time with a zone, not {value!r}")
        return iso(moment.astimezone(UTC) + timedelta(microseconds=-moment.microsecond % 1000))
