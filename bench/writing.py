"""A run's files: JSON for programs, Markdown and a chart for people; each is written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softgrad.bench.peers import is_installed
from softgrad.bench.report import Report, markdown
from softgrad.bench.results import Results
from softgrad.train import strict_json
from softgrad.train.atomic import atomic_write

CHART_SUFFIXES = (".png", ".svg")


def check_files(json_file: Path | None, table_file: Path | None, chart_file: Path | None = None) -> None:
    """Refuse what could not be written, before anything is measured.

    Raises
    ------
    ValueError
        If a folder is missing, the chart's suffix is none we draw, or matplotlib is not installed.
    """
    for option, path in (("json", json_file), ("table", table_file), ("chart", chart_file)):
        if path is not None and not path.parent.is_dir():
            raise ValueError(f"{option} must be in a folder that exists; got {path}")
    if chart_file is not None:
        if chart_file.suffix not in CHART_SUFFIXES:
            raise ValueError(f"chart must end in {' or '.join(CHART_SUFFIXES)}; got {chart_file}")
        if not is_installed("matplotlib"):
            raise ValueError("chart needs matplotlib, which is not installed; install it with pip install matplotlib")


def write_files(found: dict[str, Any], report: Report, json_file: Path | None, table_file: Path | None) -> None:
    """Write those that are asked for: what was found as JSON, the report as Markdown."""
    if json_file is not None:
        atomic_write(json_file, strict_json.dumps(found, indent=1).encode())
    if table_file is not None:
        atomic_write(table_file, markdown(report).encode())


def write_chart(results: Results, chart_file: Path | None) -> None:
    """Write the picture, if it is asked for."""
    if chart_file is not None:
        from softgrad.bench.chart import chart

        atomic_write(chart_file, chart(results, chart_file.suffix.removeprefix(".")))
