"""Where the time of a load goes: pyinstrument's samples, summed up by what they were for."""

from __future__ import annotations

import time
from typing import Any

from pyinstrument import Profiler

PARTS = {
    ("wire.py", "once"): "HTTP: the answer's bytes",
    ("typed.py", "decode"): "JSON to objects",
    ("table.py", "read"): "objects to Arrow",
    ("writers.py", "write_data"): "Arrow to Parquet",
    ("warehouse.py", "select"): "questions to the warehouse",
    ("load.py", "run"): "Parquet to DuckDB",
    ("loads.py", "_views"): "making the views",
}
"""(file, function): what it and everything below it is for, but for what stands here too."""
DLT = "dlt, the rest"
OURS = "buildkite-elt, the rest"
_PROFILER = Profiler(interval=0.002)
_BEGAN = [0.0]


def begin() -> None:
    _BEGAN[0] = time.perf_counter()
    _PROFILER.start()


def end() -> dict[str, float]:
    """{part: seconds by the clock}."""
    session = _PROFILER.stop()
    parts: dict[str, float] = {}
    root = session.root_frame()
    if root:
        _add(root, OURS, parts)
    return parts


def _add(frame: Any, part: str, parts: dict[str, float]) -> None:
    path = (frame.file_path or "").replace("\\", "/")
    own = PARTS.get((path.rpartition("/")[2], frame.function))
    if own:
        part = own
    elif part in (OURS, DLT) and "buildkite_" in path:
        part = OURS
    elif part == OURS and "/dlt/" in path:
        part = DLT
    below = sum(child.time for child in frame.children)
    parts[part] = parts.get(part, 0.0) + frame.time - below
    for child in frame.children:
        _add(child, part, parts)
