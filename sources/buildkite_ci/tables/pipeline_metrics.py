"""Buildkite's own dashboard numbers of each pipeline, a reading a load.

Speed is the mean duration of the latest 30 builds, Reliability the share that passed in 30 days, Builds the builds a
week over four weeks; all of the default branch, or of every branch where there is none. The API has no history and
takes no dates: what was not read is lost (api.md 5.2). A metric without a value is a row too.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..table import GraphQL, Item, Table, col, part

NUMBER = re.compile(
    r"\s*(-?(?:\d{1,3}(?:[,_ \u00a0\u202f]\d{3})+(?!\d)|\d+)(?:\.\d+)?)(?![.,]?\d)\s*(.*?)\s*", re.DOTALL
)


def rows(pipeline: Item) -> Iterator[Item]:
    """One row a metric of the pipeline."""
    edges = part(pipeline, "metrics").get("edges")
    for edge in edges if isinstance(edges, list) else ():
        node = part(edge, "node") if isinstance(edge, Mapping) else None
        if node:
            number, unit = parsed(node.get("value"))
            told = {"pipeline_id": pipeline.get("id"), "pipeline_slug": pipeline.get("slug")}
            yield {**node, **told, "value_number": number, "value_unit": unit}


def parsed(value: Any) -> tuple[float | None, str | None]:
    """`17.5m` -> 17.5, "m"; `1,204/week` -> 1204.0, "/week"; nothing where no number leads."""
    found = NUMBER.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None, None
    number = float(re.sub(r"[^\d.-]", "", found[1]))
    return (number, found[2] or None) if math.isfinite(number) else (None, None)


TABLE = Table(
    grain="one row per pipeline, metric and reading",
    fetch=GraphQL(),
    rows=rows,
    key=("pipeline_id", "label", "observed_at"),
    scope="graphql",
    load="append",
    columns=(
        col("organization_slug", "text", "The organization."),
        col("pipeline_id", "text", "The pipeline's UUID."),
        col("pipeline_slug", "text", "The pipeline's slug."),
        col("label", "text", "Which metric: Speed, Reliability, Builds."),
        col("graphql_id", "text", "GraphQL id of the metric.", "id"),
        col("value", "text", "The value as Buildkite prints it, like 17.5m; null if there is none."),
        col("value_number", "double", "The number that the value begins with."),
        col("value_unit", "text", "What comes after the number: m, %, /week."),
        col("url", "url", "Where Buildkite shows it."),
        col("observed_at", "timestamp", "When it was read, by the server's clock."),
    ),
)
