"""docs/benchmarks-logs.md, to standard output, from what bench/logs.py measured: `python -m bench.told DATE FILE …`."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("buildkite-elt", "numpy", "pyarrow", "hyperscan", "duckdb", "dlt")


def row(figure: dict[str, Any]) -> str:
    """A figure: its median, the least and the most, and whether it is what was aimed at."""
    runs, target = figure["runs"], figure["target"]
    middle = statistics.median(runs)
    met = "" if target is None else "yes" if (middle <= target if figure["most"] else middle >= target) else "**no**"
    aim = "" if target is None else f"{'≤' if figure['most'] else '≥'} {short(target)}"
    told = f"{short(middle)} | {short(min(runs))} – {short(max(runs))} | {len(runs)} | {aim} | {met}"
    return f"| {figure['name'].strip()} | {figure['unit']} | {told} |"


def short(value: float) -> str:
    """Four digits that count, and no exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def machine(date: str, load: str) -> str:
    """When, on what and with what it was measured. load: of the machine."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{date}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python "
        f"{platform.python_version()}, {versions}. Load of the machine at the end: {load}."
    )


def main() -> None:
    date, files = sys.argv[1], [Path(name) for name in sys.argv[2:]]
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    corpus = found[0]["corpus"]
    loads = ", ".join(f"{one['load'][0]:.1f}" for one in found)
    lines = [
        "# Benchmarks of job logs",
        "",
        "Written by `make bench-logs`; do not edit.",
        machine(date, loads),
        "",
        f"The logs are made up, like real ones: {corpus['bytes']:.0f} bytes and {corpus['controls']:.1f} control bytes "
        f"a line; zstd leaves {corpus['zstd']:.1%} of them. Medians, the least and the most.",
        "",
        "| what | unit | median | | runs | aim | met |",
        "|---|---|---:|---:|---:|---:|---|",
        *(row(figure) for one in found for figure in one["figures"]),
        "",
        "Secrets and signatures are measured on top of parsing alone.",
        "",
    ]
    sys.stdout.write("\n".join(lines))


if __name__ == "__main__":
    main()
