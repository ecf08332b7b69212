"""The ratios of a run as one picture: a row for each operation, a dot for each cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from softgrad.bench.results import Cell, Results
from softgrad.bench.sheets import thread_words

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple")
MARKERS = {"float32": "o", "float64": "s", "float16": "^"}
ROW_INCHES, EXTRA_INCHES, WIDTH_INCHES = 0.21, 1.6, 11.0


def chart(results: Results, picture_format: str) -> bytes:
    """The picture as a "png" or "svg" file's contents: allocating on the left, with out= on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    operations = list(dict.fromkeys(cell.operation for cell in results.cells))
    figure = Figure((WIDTH_INCHES, EXTRA_INCHES + ROW_INCHES * len(operations)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, out in zip(panels, (False, True), strict=True):
        _draw(axes, results, operations, out=out)
    panels[0].set_yticks(range(len(operations)), operations, fontsize=8)
    panels[0].set_ylim(len(operations) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    figure.legend(by_label.values(), by_label.keys(), loc="outside upper center", ncols=len(by_label), frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format=picture_format, dpi=150)
    return file.getvalue()


def _draw(axes: Any, results: Results, operations: Sequence[str], *, out: bool) -> None:
    """One panel; threads have their colour and, a little apart, their own line in each row."""
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.grid(axis="x", which="both", alpha=0.25)
    axes.set_axisbelow(True)
    for row in range(0, len(operations), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
    threads = results.settings.threads
    for i, count in enumerate(threads):
        for dtype in results.settings.dtypes:
            cells = [cell for cell in results.cells if (cell.threads, cell.dtype) == (count, dtype)]
            points = _points(cells, operations, out=out)
            offset = 0.3 * (i - (len(threads) - 1) / 2)
            axes.scatter(
                [ratio for _, ratio in points],
                [row + offset for row, _ in points],
                s=14,
                alpha=0.75,
                linewidths=0.8,
                marker=MARKERS[dtype],
                edgecolors=COLOURS[i % len(COLOURS)],
                facecolors=COLOURS[i % len(COLOURS)] if dtype == "float32" else "none",
                label=f"{thread_words(count)}, {dtype}",
            )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_xlabel("best peer's time / softgrad's (right of the line softgrad is quicker)", fontsize=8)
    axes.set_title("with out=" if out else "allocating", fontsize=10)
    axes.tick_params(labelsize=8)


def _points(cells: Sequence[Cell], operations: Sequence[str], *, out: bool) -> list[tuple[int, float]]:
    """Row and ratio of every cell that has one."""
    return [(operations.index(cell.operation), ratio) for cell in cells if (ratio := cell.ratio(out=out)) is not None]
