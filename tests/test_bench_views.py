"""The bench of the views: its copies hang together as the demo does."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from bench.views import made, page, timed


@pytest.mark.slow
def test_the_copies_join_as_the_demo_does(demo_file: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(demo_file), read_only=True) as small:
        held, joined, flaky = (
            small.execute(f"SELECT count(*) FROM ci.{what}").fetchall()[0][0]
            for what in ("jobs", "jobs AS j JOIN ci.builds AS b ON j.build_id = b.id", "flaky_steps")
        )
    with duckdb.connect(str(tmp_path / "big.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        assert made(connection, demo_file, 3 * held) == 3 * held
        joins = "SELECT count(*) FROM jobs AS j JOIN builds AS b ON j.build_id = b.id"
        assert connection.execute(joins).fetchall() == [(3 * joined,)]
        assert connection.execute("SELECT count(*) FROM flaky_steps").fetchall() == [(3 * flaky,)]
        figures = {name: timed(connection, name, 2) for name in ("flaky_steps", "job_attempts")}
    assert f"over {3 * held:,} jobs" in page(figures, 3 * held, "today")
