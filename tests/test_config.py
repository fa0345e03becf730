"""Where the token, the organizations and the moment come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from buildkite_ci.errors import BadInput
from buildkite_elt import config
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from conftest import Command

SCRIPT = Path(sys.executable).with_name("buildkite-elt")


def test_the_token_may_lie_in_a_file_of_ones_own(
    command: Command, standin: Standin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BUILDKITE_API_TOKEN")
    file = tmp_path / "token"
    file.write_text(standin.token + "\n")
    file.chmod(0o644)
    told = command("check", "--token-file", file)
    assert told.exit_code == 2
    assert f"can be read by others: chmod 600 {file}" in told.stderr
    file.chmod(0o600)
    assert command("check", "--token-file", file).exit_code == 0
    assert command("check", "--token-file", "nowhere").exit_code == 2


def test_dlts_own_configuration_works(environment: None, standin: Standin, tmp_path: Path) -> None:
    """A token in secrets.toml is taken, the rest from config.toml; a token in config.toml is refused."""
    settings = tmp_path / ".dlt"
    settings.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BUILDKITE_")}
    urls = f'rest_url = "{standin.rest_url}"\ngraphql_url = "{standin.graphql_url}"\n'
    (settings / "config.toml").write_text(f'[sources.buildkite_ci]\norganization = "acme-inc"\n{urls}')
    (settings / "secrets.toml").write_text(f'[sources.buildkite_ci]\napi_token = "{standin.token}"\n')
    words = [str(SCRIPT), "load", "teams", "--json"]
    told = subprocess.run(words, env=clean, cwd=tmp_path, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["organizations"][0]["organization"] == "acme-inc"
    asked = len(standin.seen)
    (settings / "config.toml").write_text(f'[sources.buildkite_ci]\napi_token = "{standin.token}"\n{urls}')
    told = subprocess.run(words, env=clean, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 2
    assert "move it to .dlt/secrets.toml" in told.stderr
    assert standin.token not in told.stderr
    assert len(standin.seen) == asked


def test_the_organizations(command: Command, monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
    """One that the token sees is taken; of several it says which; a comma list loads them all."""
    with Standin(demo(days=16, pipelines=12, builds_per_day=2, organizations=("acme-inc", "beta-ltd"))) as two:
        monkeypatch.setenv("BUILDKITE_REST_URL", two.rest_url)
        monkeypatch.setenv("BUILDKITE_API_TOKEN", two.token)
        told = command("load", "teams")
        assert told.exit_code == 2
        assert "sees 2 organizations: acme-inc, beta-ltd" in told.stderr
        assert command("load", "teams", "--organization", "acme-inc, beta-ltd").exit_code == 0
        monkeypatch.setenv("BUILDKITE_ORGANIZATION", "beta-ltd,acme-inc")
        assert command("load", "teams").exit_code == 0
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute("SELECT DISTINCT organization_slug FROM ci.teams ORDER BY ALL").fetchall()
    assert found == [("acme-inc",), ("beta-ltd",)]


NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30d", NOON - timedelta(days=30)),
        ("12h", NOON - timedelta(hours=12)),
        ("2w", NOON - timedelta(weeks=2)),
        ("2026-09-01", datetime(2026, 9, 1, tzinfo=UTC)),
        ("2026-09-01T10:00:00+02:00", datetime(2026, 9, 1, 8, tzinfo=UTC)),
        ("2026-09-01T10:00:00Z", datetime(2026, 9, 1, 10, tzinfo=UTC)),
        ("", None),
    ],
)
def test_since(text: str, moment: datetime | None) -> None:
    assert config.since(text, NOON) == moment


def test_since_refuses_what_is_to_come() -> None:
    with pytest.raises(BadInput, match="future"):
        config.since("2026-10-02", NOON)


def test_share() -> None:
    assert [config.share(text) for text in ("20%", " 0.2 ", "0", "99.5%")] == pytest.approx([0.2, 0.2, 0.0, 0.995])
    for text in ("", "20", "100%", "-1%", "nan", "much"):
        with pytest.raises(BadInput, match="--reserve"):
            config.share(text)
