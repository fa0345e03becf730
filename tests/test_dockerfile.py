"""The Dockerfile, which no test builds: hadolint reads it, and it copies what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from environments import ROOT

HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.skipif(not HADOLINT, reason="hadolint, which lints a Dockerfile, has no wheel for this machine")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([str(HADOLINT), "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_slim_not_root_and_has_one_volume() -> None:
    steps = [line.split(maxsplit=1) for line in re.sub(r"\\\n", " ", TEXT).splitlines() if line and line[0] not in "# "]
    told: dict[str, list[str]] = {}
    for word, rest in steps:
        told.setdefault(word, []).append(rest)
    assert "-slim" in told["FROM"][0]
    assert (told["USER"], told["VOLUME"]) == (["1000"], ["/data"])
    assert told["ENTRYPOINT"] == ['["buildkite-elt"]']
    assert any("uv sync --locked" in run for run in told["RUN"])
    assert TEXT.startswith("# Built nowhere in our tests")


def test_what_it_copies_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.MULTILINE) for name in line.split()}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_its_uv_is_the_one_that_make_installs() -> None:
    pinned = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    assert f"uv=={pinned[1]}" in TEXT
