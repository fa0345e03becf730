"""What the report is made of: numbers, charts and tables, each a SELECT over the views; and the numbers on top.

Queries have three parameters: `$organization`; `$since`, midnight UTC that begins the 28 days; `$until`, when they end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .report_charts import Draw


@dataclass(frozen=True)
class Number:
    """One of the numbers on top. sql gives a row {value, note}; kind as for Column."""

    title: str
    kind: str
    sql: str


@dataclass(frozen=True)
class Chart:
    """see: a sentence, in which {name} is that column of the first row; empty: what is said where there are no rows."""

    title: str
    see: str
    unit: str
    draw: Draw
    empty: str
    sql: str
    kinds: Mapping[str, str] = field(default_factory=lambda: {"": "accent"})


@dataclass(frozen=True)
class Column:
    """kind: text, number, seconds, share, usd, moment; link: the column that has the address."""

    name: str
    title: str
    kind: str = "text"
    link: str = ""

    @property
    def side(self) -> str:
        """Numbers stand at the right."""
        return self.kind if self.kind in ("text", "moment") else "right"


@dataclass(frozen=True)
class Rows:
    """A table; whole: as wide as the page."""

    title: str
    empty: str
    columns: tuple[Column, ...]
    sql: str
    whole: bool = False


@dataclass(frozen=True)
class Section:
    """A heading, a sentence that says what is counted, and what stands under it."""

    title: str
    sentence: str
    parts: tuple[Chart | Rows, ...]


NUMBERS = (
    Number(
        "Builds",
        "number",
        """SELECT sum(builds) AS value, format('{:,} of them open', sum(builds_open)::BIGINT) AS note
        FROM builds_daily WHERE organization_slug = $organization AND day >= $since""",
    ),
    Number(
        "Success rate",
        "share",
        """SELECT sum(builds_passed) / nullif(sum(builds_passed + builds_failed), 0) AS value,
            format('{:,} passed, {:,} failed', sum(builds_passed)::BIGINT, sum(builds_failed)::BIGINT) AS note
        FROM builds_daily WHERE organization_slug = $organization AND day >= $since""",
    ),
    Number(
        "Wait, median",
        "seconds",
        """SELECT quantile_cont(wait_seconds, 0.5) AS value, format('{:,} jobs', count(*)) AS note
        FROM job_attempts
        WHERE organization_slug = $organization AND runnable_at >= $since AND wait_seconds IS NOT NULL""",
    ),
    Number(
        "Wait, p95",
        "seconds",
        """SELECT quantile_cont(wait_seconds, 0.95) AS value, 'one job in twenty waits longer' AS note
        FROM job_attempts
        WHERE organization_slug = $organization AND runnable_at >= $since AND wait_seconds IS NOT NULL""",
    ),
    Number(
        "Flaky jobs",
        "share",
        """WITH flaky AS (
            SELECT coalesce(sum(flakes), 0)::BIGINT AS flakes FROM flaky_steps WHERE organization_slug = $organization
        )
        SELECT any_value(flakes) / nullif(count(*), 0) AS value,
            format('{:,} of {:,} jobs', any_value(flakes), count(*)) AS note
        FROM job_attempts, flaky
        WHERE organization_slug = $organization AND is_latest_attempt AND state IN ('passed', 'failed', 'timed_out')
            AND created_at >= $until - INTERVAL 672 HOUR""",
    ),
    Number(
        "Cost",
        "usd",
        """SELECT sum(cost_usd) AS value,
            format('{:.0f} % of {:,} job hours have a price',
                100 * coalesce(sum(run_seconds) FILTER (WHERE cost_usd IS NOT NULL), 0) / nullif(sum(run_seconds), 0),
                (sum(run_seconds) / 3600)::BIGINT) AS note
        FROM job_costs WHERE organization_slug = $organization AND started_at >= $since""",
    ),
    Number(
        "Requests",
        "number",
        """SELECT rest_requests + graphql_requests AS value,
            format('of the last load: {:.0f} % of REST''s and {:.0f} % of GraphQL''s budget',
                rest_requests / (50 * greatest(ceil(greatest(run_seconds, waited_seconds) / 60), 1)) * 100,
                graphql_points / (5000 * greatest(ceil(greatest(run_seconds, waited_seconds) / 300), 1)) * 100) AS note
        FROM load_costs WHERE organization_slug = $organization ORDER BY started_at DESC LIMIT 1""",
    ),
)
"""The budget is what Buildkite usually grants a user: 50 requests a minute, 5,000 points in five (plan.USUAL)."""
