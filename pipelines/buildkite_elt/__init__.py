"""buildkite-elt as a library: `load`, `Origin`, `Target`, `connect` and `Standin`, imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frames import connect
    from .loads import Origin, Target, load
    from .standin import Standin

__version__ = "0.1.0"

HOMES = {"load": "loads", "Origin": "loads", "Target": "loads", "connect": "frames", "Standin": "standin"}
"""The public names -> the module that each is from. Importing any of those costs a second, importing this nothing."""

__all__ = ["Origin", "Standin", "Target", "__version__", "connect", "load"]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{HOMES[name]}", __name__), name)
