"""Notebooks: kept without outputs, run over the demo and over another file, and what they say is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebooks import pictures

import buildkite_elt

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SENTENCES = tomllib.loads((ROOT / "tests" / "notebook_sentences.toml").read_text(encoding="utf-8"))["sentence"]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def folder(file: Path, home: Path, name: str = "buildkite.duckdb") -> Path:
    """Where a notebook runs, with the file beside that folder."""
    (home / name).symlink_to(file)
    made = home / "notebooks"
    made.mkdir()
    return made


def said(notebook: Any) -> str:
    """A notebook's words in one line each cell."""
    return "\n".join(" ".join(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")


def checked(notebook: Any) -> dict[str, Any]:
    """The charts of a notebook that was run, none of them empty; it has said nothing on stdout or stderr."""
    kinds = {output.output_type for cell in notebook.cells for output in cell.get("outputs", ())}
    assert kinds == {"execute_result"}
    charts = pictures.charts(notebook)
    assert [*charts] == [cell.id for cell in notebook.cells if "alt.Chart(" in cell.source]
    for name, spec in charts.items():
        assert spec["datasets"], name
        assert all(spec["datasets"].values()), f"{name} is empty"
    return charts


def test_there_are_five() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@each
def test_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA, "an editor left something there"
    for cell in notebook.cells:
        assert re.fullmatch("[a-z]+(-[a-z]+)*", cell.id), f"{cell.id} is no name"
        assert cell.metadata == {}
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source.splitlines()[-1] == pictures.LINE


@each
def test_a_sentence_stands_under_each_picture(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    shown = [cell for cell in cells if "alt.Chart(" in cell.source]
    assert len(shown) >= 3
    for cell, below in zip(cells, [*cells[1:], None], strict=True):
        if cell in shown:
            assert below.cell_type == "markdown"
            assert below.id == f"see-{cell.id}"


@each
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", said(nbformat.read(path, as_version=4))):
        assert (path.parent / link).exists(), link


@pytest.mark.slow
@each
def test_runs_over_the_demo_and_its_pictures_are_those_in_docs(path: Path, demo_file: Path, tmp_path: Path) -> None:
    charts = checked(pictures.run(path, folder(demo_file, tmp_path)))
    for picture, (notebook, cell) in pictures.PICTURES.items():
        if notebook == path.stem:
            there = (pictures.FOLDER / f"{picture}.svg").read_text(encoding="utf-8")
            assert pictures.mark(charts[cell]) in there, "`make pictures` makes it anew"


@pytest.mark.slow
def test_runs_over_another_file_by_one_line(command: Callable[..., Any], tmp_path: Path) -> None:
    """A smaller organization, in a dataset of another name."""
    there = ("--database", tmp_path / "mine.duckdb", "--dataset", "acme", "--since", "2026-09-01")
    for tables in ((), ("job_logs",)):
        done = command("load", *tables, *there)
        assert done.exit_code == 0, done.stderr
    here = tmp_path / "notebooks"
    here.mkdir()
    for path in NOTEBOOKS:
        checked(pictures.run(path, here, 'warehouse = connect("../mine.duckdb", "acme")'))


@pytest.mark.slow
@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda one: one["says"][:40])
def test_what_is_said_of_the_demo_is_so(sentence: dict[str, str], demo_file: Path) -> None:
    with buildkite_elt.connect(demo_file) as warehouse:
        assert warehouse.execute(sentence["sql"]).fetchall() == [(True,)]


def test_whatever_is_said_of_the_demo_is_looked_at() -> None:
    words = "\n".join(said(nbformat.read(path, as_version=4)) for path in NOTEBOOKS)
    found = re.findall(r"[Oo]n the demo,? ([^\n]*?)(?:\.(?=\s|$)|$)", words, re.MULTILINE)
    assert sorted(found) == sorted(one["says"] for one in SENTENCES)
