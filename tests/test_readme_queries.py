"""README's ten questions, asked of the demo's file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

README = Path(__file__).parents[1] / "README.md"


QUIET = {"ghost_builds", "orphan_jobs", "retention_risks", "setting_changes"}
"""Nothing is lost in the demo or about to be, and one load sees no change."""


def queries() -> list[str]:
    text = README.read_text(encoding="utf-8").split("### Ten questions to start with")[1]
    block = text.split("```sql\n")[1].split("```")[0]
    return [one.strip() for one in block.split(";") if one.strip()]


@pytest.mark.slow
def test_each_of_readmes_queries_answers_on_the_demo(demo_file: Path) -> None:
    asked = queries()
    assert len(asked) == 10
    with duckdb.connect(str(demo_file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET schema = 'ci'")
        for query in asked:
            rows = connection.execute(query).fetchall()
            assert rows, query
        empty = []
        for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'ci'").fetchall():
            if not connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchall():
                empty.append(name)
    assert set(empty) == QUIET
