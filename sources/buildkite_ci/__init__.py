"""Buildkite as a dlt source: `from buildkite_ci import buildkite`, then `pipeline.run(buildkite("acme-inc"))`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dlt
from dlt.extract import DltResource

from . import catalog as _catalog
from .extract import Run
from .privacy import Privacy
from .resources import resources
from .times import instant
from .wire import GRAPHQL_URL, REST_URL, Wire

DAYS = 30
"""How many days back the first load reaches unless `since` says otherwise."""


@dlt.source(name="buildkite_ci", max_table_nesting=0)
def buildkite(
    organization: str = dlt.config.value,
    api_token: str = dlt.secrets.value,
    tables: Sequence[str] = (),
    since: str | datetime | None = None,
    rest_url: str = REST_URL,
    graphql_url: str = GRAPHQL_URL,
    show: Sequence[str] = (),
    hash_key: str = "",
) -> Iterator[DltResource]:
    """Every table of one organization, or those named in `tables` (with the rest of their families).

    organization: its slug, as in buildkite.com/SLUG. since: builds created at or after it are loaded (ISO 8601);
    30 days back if not given. show, hash_key: see privacy.Privacy. Raises what errors.py lists; a table that the
    token may not read is left out and logged.
    """
    run = Run(
        Wire(api_token, rest_url, graphql_url),
        organization,
        since if isinstance(since, datetime) else instant(since) if since else datetime.now(UTC) - timedelta(DAYS),
        Privacy(frozenset(show), hash_key),
    )
    yield from resources(run, _catalog.with_families(tables))


__all__ = ["buildkite"]
