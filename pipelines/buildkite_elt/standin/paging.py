"""Pages: `page`/`per_page` with a Link header (api.md 3.1), and `after`/`before` with links in the body (3.2)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import urlencode

import orjson

from .answer import Ask, Refusal
from .params import Params
from .world import Row

DEFAULT, MOST = 30, 100
DEEP = (
    "Listing builds this deep is not supported. Please narrow your query using filters such as branch or created_from."
)


def page(rows: Sequence[Row], ask: Ask, params: Params, deep: int | None = None) -> tuple[Sequence[Row], str]:
    """One page of the rows and its Link header; `deep`: how many rows a listing shows at most."""
    number, size = _number(params, "page", 1), _per_page(params)
    if deep is not None and number * size > deep:
        raise Refusal(400, DEEP)
    last = max(-(-len(rows) // size), 1)
    links: dict[str, int] = {}
    if number > 1:
        links |= {"first": 1, "prev": min(number - 1, last)}
    if number < last:
        links |= {"next": number + 1, "last": last}
    kept = [pair for pair in params.pairs if pair[0] not in ("page", "per_page")]
    link = ", ".join(
        f'<{_url(ask, [*kept, ("page", str(to)), ("per_page", str(size))])}>; rel="{rel}"' for rel, to in links.items()
    )
    return rows[(number - 1) * size : number * size], link


def cursor(rows: Sequence[Row], ask: Ask, params: Params) -> tuple[Sequence[Row], dict[str, str]]:
    """One page of the rows and the `links` of the body: self, and next while there is more."""
    size = _per_page(params)
    after, before = params.one("after"), params.one("before")
    if after is not None and before is not None:
        raise Refusal(400, "Give after or before, not both")
    ids = [row["id"] for row in rows]
    if before is not None:
        end = _place(ids, before)
        start = max(end - size, 0)
    else:
        start = _place(ids, after) + 1 if after is not None else 0
        end = min(start + size, len(rows))
    links = {"self": _url(ask, params.pairs)}
    if 0 < end < len(rows):
        kept = [pair for pair in params.pairs if pair[0] not in ("after", "before")]
        links["next"] = _url(ask, [*kept, ("after", _token(ids[end - 1]))])
    return rows[start:end], links


def _number(params: Params, name: str, default: int) -> int:
    value = params.one(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal()) or not 1 <= len(value) <= 9 or int(value) < 1:
        raise Refusal(400, f"{name} is a number from 1 on, not {value!r}")
    return int(value)


def _per_page(params: Params) -> int:
    size = _number(params, "per_page", DEFAULT)
    if size > MOST:
        raise Refusal(400, f"per_page is at most {MOST}")
    return size


def _token(identity: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"id": identity})).decode()


def _place(ids: list[str], token: str) -> int:
    try:
        return ids.index(orjson.loads(base64.urlsafe_b64decode(token))["id"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Refusal(400, "The cursor is invalid") from None


def _url(ask: Ask, pairs: Sequence[tuple[str, str]]) -> str:
    query = urlencode(pairs)
    return f"{ask.base}{ask.path}" + (f"?{query}" if query else "")
