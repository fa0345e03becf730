"""No secret of the demo world and no token comes into the file, the working directory, or a message."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin, World
from buildkite_elt.standin.cast import SECRET
from buildkite_elt.standin.demo import demo
from buildkite_elt.standin.world import Organization
from test_loads import LONG_AGO, PLENTY, loader

READ_BY_1 = 68
"""The newest storage version that DuckDB 1.5 opens; 2.0's own is 69 (the number stands in a file's header)."""


def canaries(world: World, organization: Organization) -> list[str]:
    """What must not be found: tokens, agents' secrets, capability URLs, env values, e-mails and addresses."""
    found = [SECRET, *(token.value for token in world.tokens.values())]
    found += [agent["access_token"] for agent in organization.agents.values()]
    found += [agent["ip_address"] for agent in organization.agents.values() if agent["ip_address"]]
    found += [
        row["provider"]["webhook_url"] for row in organization.pipelines.values() if row["provider"]["webhook_url"]
    ]
    return found + [member["email"] for member in organization.members.values()]


def texts(file: Path) -> Iterator[tuple[str, str]]:
    """Every row of every table of the file as JSON, staging and dlt's own tables included."""
    with duckdb.connect(str(file), read_only=True) as connection:
        tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        for schema, table in tables:
            rows = connection.execute(f'SELECT to_json(t)::varchar FROM "{schema}"."{table}" t').fetchall()
            yield f"{schema}.{table}", "\n".join(row for (row,) in rows)


def test_no_secret_is_stored_unless_it_was_asked_for(tmp_path: Path) -> None:
    file, world = tmp_path / "buildkite.duckdb", demo()
    with Standin(world, budgets=PLENTY) as standin:
        loader(standin, file)()
    held = dict(texts(file))
    hidden = canaries(world, world.organizations["acme-inc"])
    assert len(hidden) > 50
    assert [(table, one) for table, text in held.items() for one in hidden if one in text] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["buildkite.duckdb", "buildkite.duckdb.load.ci.lock"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.iterdir())] == [0o600, 0o600]
    assert int.from_bytes(file.read_bytes()[12:20], "little") <= READ_BY_1, "DuckDB 1.x cannot open it"


def test_emails_and_addresses_are_stored_as_they_came_when_asked_for(tmp_path: Path) -> None:
    file, world = tmp_path / "buildkite.duckdb", demo(builds_per_day=3, days=16)
    with Standin(world, budgets=PLENTY) as standin:
        origin = Origin(("acme-inc",), standin.token, standin.rest_url, standin.graphql_url, ("emails", "ips"))
        load(origin, Target(database=file), ("members", "agents"), LONG_AGO)
    held = dict(texts(file))
    emails = [member["email"] for member in world.organizations["acme-inc"].members.values()]
    assert all(email in held["ci.members"] for email in emails)
    assert not any(
        agent["access_token"] in held["ci.agents"] for agent in world.organizations["acme-inc"].agents.values()
    )


def test_what_a_killed_load_leaves_behind_holds_no_token(tmp_path: Path) -> None:
    world = demo(builds_per_day=3, days=16)
    with Standin(world, budgets=PLENTY) as standin:
        given = {
            "BUILDKITE_API_TOKEN": standin.token,
            "BUILDKITE_REST_URL": standin.rest_url,
            "BUILDKITE_GRAPHQL_URL": standin.graphql_url,
        }
        words = [str(Path(sys.executable).parent / "buildkite-elt"), "load", "-o", "acme-inc", "--since", "2020-01-01"]
        with subprocess.Popen([*words, "-d", "x.duckdb"], env=os.environ | given, cwd=tmp_path) as running:
            until = time.monotonic() + 60
            while len(standin.seen) < 20 and time.monotonic() < until:
                time.sleep(0.02)
            running.kill()
        assert len(standin.seen) >= 20
        token = standin.token.encode()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("x.duckdb.load" in str(path) for path in left)
    for path in left:
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        assert token not in content, path
        assert SECRET.encode() not in content, path


def test_no_message_tells_the_token(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Standin(demo(builds_per_day=3, days=16), budgets=PLENTY) as standin:
        standin.trouble.add("401", nth=3, message=f"Bad token {standin.token}")
        origin = Origin(("acme-inc",), standin.token, standin.rest_url, standin.graphql_url)
        with pytest.raises(Exception, match="401") as raised:
            load(origin, Target(database=tmp_path / "x.duckdb"), (), LONG_AGO)
        told = f"{raised.value!r} {raised.value} {origin!r}" + "".join(capfd.readouterr())
        assert standin.token not in told
