"""REST listings: every page of one, by the Link header or by the body's links.next (api.md section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .errors import BadAnswer
from .wire import Answer, Wire

PER_PAGE = 100


@dataclass(frozen=True)
class Page:
    """One page's items and the server's clock when it was made."""

    items: list[dict[str, Any]]
    at: datetime


def pages(wire: Wire, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Page]:
    """Each page of a listing. Stops where no next page is named, never at a short page; raises BadAnswer at a loop."""
    answer = wire.get(path, {"per_page": PER_PAGE, **(params or {})})
    asked = {answer.next}
    while True:
        yield Page(answer.body, answer.at)
        if not answer.next:
            return
        answer = _following(wire, answer)
        if answer.next in asked and answer.next:
            raise BadAnswer(f"The listing {path} goes in a circle: its next page is one we had")
        asked.add(answer.next)


def _following(wire: Wire, answer: Answer) -> Answer:
    return wire.get(answer.next or "")


def one(wire: Wire, path: str) -> Page:
    """A single object, as a page of one."""
    answer = wire.get(path, shape=dict)
    return Page([answer.body], answer.at)
