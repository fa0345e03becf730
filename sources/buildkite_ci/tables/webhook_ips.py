"""Address ranges that Buildkite's webhooks come from, and when each came and went.

They are the same for every organization, and need no token. New ranges are announced a week ahead (api.md 4.1).
"""

from collections.abc import Iterator

from ..table import Item, Rest, Table, col


def rows(meta: Item) -> Iterator[Item]:
    """One row a range, with what else the answer holds."""
    ranges = meta.get("webhook_ips")
    rest = {name: value for name, value in meta.items() if name != "webhook_ips"}
    for one in ranges if isinstance(ranges, list) else ():
        yield {**rest, "range": one}


TABLE = Table(
    grain="one row per address range and time that it was in use",
    fetch=Rest("meta", one=True),
    rows=rows,
    key=("range",),
    scope="",
    load="scd2",
    columns=(col("range", "text", "Address range in CIDR form."),),
)
