"""Moments as the API writes them, and back."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(text: str) -> datetime:
    """ISO 8601, or the older `2015-05-03 10:02:03 UTC` (api.md 4.15); UTC. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def told(moment: datetime) -> str:
    """A moment as a filter takes it: ISO 8601, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
