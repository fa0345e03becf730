"""A stand-in for Buildkite: both its APIs over HTTP, with a world behind them that moves. It imports no other part."""

from .answer import Bug, Seen
from .budget import Budgets
from .clock import Clock
from .server import Counts, Standin, serve
from .tokens import Token
from .trouble import KINDS, Trouble
from .world import Organization, World

__all__ = [
    "KINDS",
    "Budgets",
    "Bug",
    "Clock",
    "Counts",
    "Organization",
    "Seen",
    "Standin",
    "Token",
    "Trouble",
    "World",
    "serve",
]
