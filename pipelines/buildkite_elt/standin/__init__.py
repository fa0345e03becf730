"""A stand-in for Buildkite: both its APIs over HTTP, with a world behind them that moves. It imports no other part."""

from .answer import Bug, Seen
from .budget import Budgets
from .clock import Clock
from .logs import LEAKED, Log
from .server import Counts, Standin, serve
from .tokens import Token
from .trouble import KINDS, Trouble
from .world import Organization, World

__all__ = [
    "KINDS",
    "LEAKED",
    "Budgets",
    "Bug",
    "Clock",
    "Counts",
    "Log",
    "Organization",
    "Seen",
    "Standin",
    "Token",
    "Trouble",
    "World",
    "serve",
]
