"""docs/benchmarks.md, to standard output: the first table of each page that a benchmark wrote, and where it is from."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "speed": "From response bytes to rows",
    "logs": "Job logs",
    "views": "Views over a million jobs",
    "destinations": "Destinations",
    "cost": "Requests, and what others lose",
    "spark": "Apache Spark",
}
"""docs/benchmarks-NAME.md, and its heading here."""

ROWS = 40
"""Of a table, at most."""


def page() -> str:
    """docs/benchmarks.md."""
    told = {name: (DOCS / f"benchmarks-{name}.md").read_text(encoding="utf-8") for name in PAGES}
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Each heading leads to the page that says how it was measured, and when.",
    ]
    for name, heading in PAGES.items():
        lines += ["", f"## [{heading}](benchmarks-{name}.md)", "", told[name].splitlines()[3], "", *_table(told[name])]
    return "\n".join(lines) + "\n"


def _table(text: str) -> list[str]:
    """The first lines of the first table."""
    lines = text.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith("|"))
    end = next((at for at, line in enumerate(lines) if at > begin and not line.startswith("|")), len(lines))
    left = end - begin - 2 - ROWS
    return [*lines[begin : min(end, begin + 2 + ROWS)], *(["", f"{left} more are there."] if left > 0 else [])]


if __name__ == "__main__":
    sys.stdout.write(page())
