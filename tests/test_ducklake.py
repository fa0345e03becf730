"""dlt's own destination ducklake, with its catalogue in PostgreSQL, in an environment that has DuckDB's extensions."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import ducklake, needs_uv
from postgres import Server


@needs_uv
@pytest.mark.slow
def test_loads_into_ducklake_with_its_catalogue_in_postgres(postgres: Server, tmp_path: Path) -> None:
    told = ducklake(postgres.url, tmp_path, builds_per_day=1)
    assert (told["wrong"], told["versions"]) == ([], 2)
    first, second, late = (load["builds"] for load in told["loads"])
    assert second < late < first
    assert told["views"] > 60
