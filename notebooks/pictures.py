"""The pictures of docs/pictures: charts of the notebooks, run over the demo, as SVG. `make pictures` makes them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import vl_convert
from nbclient import NotebookClient

HERE = Path(__file__).parent
FOLDER = HERE.parent / "docs" / "pictures"
PICTURES = {
    "waits": ("02_why_do_we_wait", "hours"),
    "flaky": ("03_flaky_and_retries", "steps"),
    "costs": ("05_cost_and_capacity", "days"),
}
"""Picture -> notebook and id of the cell that draws it."""

LINE = 'warehouse = connect("../buildkite.duckdb")'
"""What a user changes in a notebook."""


def run(notebook: Path, folder: Path, line: str = LINE) -> Any:
    """The notebook with its outputs, run in `folder`. Charts hand on their specs: HTML would load scripts."""
    made = nbformat.read(notebook, as_version=4)
    made.cells.insert(0, nbformat.v4.new_code_cell('import altair\n\naltair.renderers.enable("json");'))
    for cell in made.cells:
        cell.source = cell.source.replace(LINE, line)
    NotebookClient(made, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return made


def charts(notebook: Any) -> dict[str, Any]:
    """Vega-Lite specs of a notebook that was run, by the ids of their cells."""
    outputs = ((cell.id, one.get("data", {})) for cell in notebook.cells for one in cell.get("outputs", ()))
    return {name: data["application/json"] for name, data in outputs if "application/json" in data}


def mark(spec: Any) -> str:
    """What stands in the SVG of a spec: two machines have other fonts, and so other SVG, but the same spec."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def svg(spec: Any) -> str:
    """The picture, on white, so that it reads on a dark page, too."""
    return f"{vl_convert.vegalite_to_svg(spec)}\n<!-- Written by make pictures; of the spec {mark(spec)} -->\n"


def main() -> None:
    """Make a demo and every picture anew."""
    from buildkite_elt.cli import app

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "notebooks"
        folder.mkdir()
        app(["demo", "--database", str(Path(made) / "buildkite.duckdb")], standalone_mode=False)
        os.umask(0o022)  # The command keeps what it writes to its user; these are for all.
        FOLDER.mkdir(exist_ok=True)
        for picture, (notebook, cell) in PICTURES.items():
            spec = charts(run(HERE / f"{notebook}.ipynb", folder))[cell]
            (FOLDER / f"{picture}.svg").write_text(svg(spec), encoding="utf-8")


if __name__ == "__main__":
    main()
