"""The variables that each build was started with: their names, and as much of the values as was asked for.

Loaded only when it is named. A value is null, or a hash where there is a key (`--hash-key-file`); `--show env:NAME`
stores that variable's value as it is, `--show env` every one. A point a build.
"""

from collections.abc import Iterator

from ..table import Errand, Item, Table, col


def rows(build: Item) -> Iterator[Item]:
    """One row a variable; only the first `=` parts name and value, and of one that is given twice the last counts."""
    pairs = (pair.partition("=") for pair in listed(build.get("env")) if isinstance(pair, str))
    for name, value in {name: value for name, equals, value in pairs if equals}.items():
        yield {
            "name": name,
            "value": [name, value],
            "build_id": build.get("id"),
            "pipeline_id": build.get("pipeline_id"),
        }


def listed(env: object) -> list[object]:
    return env if isinstance(env, list) else []


TABLE = Table(
    grain="one row per build and variable",
    fetch=Errand("builds", bind={"build": "id"}, given={"pipeline_id": "pipeline_id"}),
    rows=rows,
    key=("build_id", "name"),
    scope="graphql",
    load="merge",
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("build_id", "text", "Its build's UUID."),
        col("name", "text", "Name of the variable."),
        col("value", "variable", "Its value as far as it was asked for: see above."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
