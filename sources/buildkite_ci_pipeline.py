"""An organization's builds, jobs and the rest of its CI, from Buildkite into DuckDB.

`dlt init buildkite_ci duckdb --location REPOSITORY` copies this file and the folder `buildkite_ci` beside it. Put the
organization into .dlt/config.toml and the API token into .dlt/secrets.toml, both under [sources.buildkite_ci].
"""

import dlt

from buildkite_ci import buildkite


def load() -> None:
    """Everything that the token may read; a second run asks only for what is new, ended or was open."""
    pipeline = dlt.pipeline(pipeline_name="buildkite_ci", destination="duckdb", dataset_name="ci")
    print(pipeline.run(buildkite()))


if __name__ == "__main__":
    load()
