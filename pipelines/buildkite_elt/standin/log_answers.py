"""What the routes of a job's log answer (api.md 6.1): JSON, the raw bytes, or the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from . import rest
from .answer import Answer, Blocks, Refusal, as_json
from .logs import Log, header_times
from .rest import Call
from .world import HOST, Row

PLAIN = {"Content-Type": "text/plain; charset=utf-8", "Accept-Ranges": "bytes"}


def log(call: Call) -> Answer:
    """JSON, or the raw bytes for `.txt` and for Accept: text/plain; HEAD tells the size.

    A log that is not begun is empty; one of a job that never ran, or is over and has none, is a 404. Which of the two
    Buildkite answers for the latter is not known (api.md 6.1): a test that wants the other puts an empty log there.
    The answer's notes hold the other forms that it could have had, for trouble (log_trouble.py).
    """
    row = rest.job(call)
    make = call.org.logs.get(row["id"])
    if make is None and (row["type"] != "script" or not row["started_at"] or row["finished_at"]):
        raise Refusal(404, "No log found")
    kept = make if isinstance(make, Log) else Log(make() if make else b"")
    raw = kept.body()
    times = kept.header_times or (header_times(row) if make and make is not kept else ())
    forms = {
        "plain": partial(_plain, raw),
        "json": partial(_told, row, call.org.slug, raw, times),
    }
    plain = call.ask.path.endswith(".txt") or "text/plain" in call.ask.headers.get("accept", "")
    wanted = call.ask.headers.get("range")
    if wanted is not None:
        answer = _suffix(raw, wanted, plain)
    else:
        answer = forms["plain" if plain or call.ask.method == "HEAD" else "json"]()
    answer.notes["forms"] = forms
    return answer


def _plain(raw: bytes | Blocks) -> Answer:
    return Answer(200, dict(PLAIN), raw)


def _told(row: Row, slug: str, raw: bytes | Blocks, times: Sequence[int]) -> Answer:
    """The whole log in JSON: what is no UTF-8 is replaced, `size` is that of the raw bytes."""
    whole = Answer(200, {}, raw)
    url = row["log_url"] or f"{HOST}/organizations/{slug}/jobs/{row['id']}/log"
    content = whole.body.decode(errors="replace")
    return as_json({"url": url, "content": content, "size": whole.size, "header_times": list(times)})


def _suffix(raw: bytes | Blocks, wanted: str, plain: bool) -> Answer:
    """The last bytes; every other range is a 400, and of an empty log there are none."""
    count = wanted.removeprefix("bytes=-")
    if not plain or count == wanted or not count.isascii() or not count.isdecimal() or int(count) == 0:
        raise Refusal(400, "Only suffix ranges of the plain text log are supported")
    size = raw.size if isinstance(raw, Blocks) else len(raw)
    if not size:
        return as_json({"message": "The log is empty"}, 416, **{"Content-Range": "bytes */0"})
    start = max(size - int(count), 0)
    part = Blocks(raw.make, size - start, start) if isinstance(raw, Blocks) else raw[start:]
    return Answer(206, PLAIN | {"Content-Range": f"bytes {start}-{size - 1}/{size}"}, part)
