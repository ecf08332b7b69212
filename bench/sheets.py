"""The tables of a run, as text in rows and columns; `report` prints them and writes them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from softgrad.bench.cases import MEMORY_BOUND
from softgrad.bench.results import LOSING, Cell, Results, Time, geometric_mean
from softgrad.bench.settings import ON_GPU

# Data moved by a call beyond which the share of the copy rate is printed: smaller data may stay in a cache.
LARGE_BYTES = 60_000_000

# The kernels of which that share is printed: those that do little but move memory, and the softmax. On a GPU it is
# printed of all, since there all should do little else.
NEAR_COPIES = ("softmax", "softmax_backward", *MEMORY_BOUND)

LOST = "!"  # marks a losing cell, so that it is seen without colour too
NOTHING = "-"

T = TypeVar("T")


@dataclass(frozen=True)
class Sheet:
    """One table; the first `names` columns are words, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1


def sheets(results: Results) -> Iterator[Sheet]:
    """All tables of the run that have rows."""
    for sheet in _all_sheets(results):
        if sheet.rows:
            yield sheet


def _all_sheets(results: Results) -> Iterator[Sheet]:
    for threads in results.settings.threads:
        for dtype in results.settings.dtypes:
            cells = [cell for cell in results.cells if (cell.threads, cell.dtype) == (threads, dtype)]
            where = f"{dtype}, {thread_words(threads)}"
            for family in ("rows", "elementwise", "formulas"):
                yield _by_shape(f"{family}, {where}", [cell for cell in cells if cell.family == family])
            yield _by_cell(f"other, {where}", [cell for cell in cells if cell.family == "other"])
    yield _large_sheet(results)
    yield _overhead_sheet(results)
    yield _summary_sheet(results)
    yield _losing_sheet(results)


def _by_shape(title: str, cells: Sequence[Cell]) -> Sheet:
    """A row for each operation and mode, a column for each shape."""
    shapes = _distinct(cells, lambda cell: cell.shape)
    rows = []
    for operation in _distinct(cells, lambda cell: cell.operation):
        own = {cell.shape: cell for cell in cells if cell.operation == operation}
        for out in (False, True):
            ratios = [ratio_text(own[shape], out=out) if shape in own else NOTHING for shape in shapes]
            if any(ratio != NOTHING for ratio in ratios):
                rows.append(("  with out=" if out else operation, *ratios))
    return Sheet(f"Times quicker than the best peer: {title}", ("", *map(shape_text, shapes)), tuple(rows))


def _by_cell(title: str, cells: Sequence[Cell]) -> Sheet:
    """A row for each operation, shape and mode."""
    rows = []
    for cell in cells:
        for out in (False, True):
            ours, best = cell.ours(out=out), cell.best_peer(out=out)
            if ours and best:
                name = cell.operation + (" with out=" if out and cell.ours(out=False) else "")
                times = (time_text(ours.seconds), time_text(best.seconds), best.label)
                rows.append((name, shape_text(cell.shape), ratio_text(cell, out=out), *times))
    headings = ("", "shape", "ratio", "softgrad", "best peer", "which is")
    return Sheet(f"Times quicker than the best peer: {title}", headings, tuple(rows), names=2)


def _large_cells(results: Results) -> Iterator[Cell]:
    """On a GPU all cells, else the largest of each kernel that does little but move memory."""
    large = [cell for cell in results.cells if cell.traffic > LARGE_BYTES]
    if results.settings.backend == "gpu":
        yield from large
        return
    for threads in results.settings.threads:
        for dtype in results.settings.dtypes:
            for operation in NEAR_COPIES:
                own = (operation, threads, dtype)
                cells = [cell for cell in large if (cell.operation, cell.threads, cell.dtype) == own]
                if cells:
                    yield max(cells, key=lambda cell: cell.traffic)


def _large_sheet(results: Results) -> Sheet:
    """Rates of large arrays beside plain copies."""
    rows = []
    for cell in _large_cells(results):
        rates = (text for out in (False, True) for text in _rate_texts(results, cell, out=out))
        where = "card" if cell.threads == ON_GPU else str(cell.threads)
        rows.append((cell.operation, shape_text(cell.shape), cell.dtype, where, *rates))
    copies = "; ".join(f"{thread_words(threads)} {rate_text(rates)}" for threads, rates in results.copy_rates.items())
    return Sheet(
        f"Large arrays (over {LARGE_BYTES / 1e6:.0f} MB moved) beside plain copies, GB/s: {copies}",
        ("", "shape", "dtype", "threads", "GB/s", "of a copy", "with out=", "of a copy"),
        tuple(rows),
        names=3,
    )


def _rate_texts(results: Results, cell: Cell, *, out: bool) -> tuple[str, str]:
    rate, share = cell.rate(out=out), results.share(cell, out=out)
    return (f"{rate:.1f}" if rate else NOTHING, f"{share:.0%}" if share else NOTHING)


def _overhead_sheet(results: Results) -> Sheet:
    """What `ops.softmax` adds to its kernel."""
    rows = []
    for cost in results.overheads:
        for mode, call in (("allocating", cost.call), ("with out=", cost.call_out)):
            micros = (cost.kernel * 1e6, call * 1e6, (call - cost.kernel) * 1e6)
            rows.append((mode, str(cost.threads), *(f"{value:.2f}" for value in micros)))
    title = "Call overhead: ops.softmax of 128×10 float32 beside its kernel, in µs"
    return Sheet(title, ("", "threads", "kernel", "call", "difference"), tuple(rows))


def _summary_sheet(results: Results) -> Sheet:
    """Geometric means and losing cells of each table, and of all."""
    rows = []
    for group in _distinct(results.cells, _group):
        threads, dtype, family = group
        summary = _summary(cell for cell in results.cells if _group(cell) == group)
        rows.append((family, dtype, str(threads), *summary))
    if len(rows) > 1:
        rows.append(("all", "", "", *_summary(results.cells)))
    return Sheet(
        f"Geometric means of the ratios, and how many cells are lost (ratio below {LOSING})",
        ("", "dtype", "threads", "mean", "cells", "lost", "out= mean", "cells", "lost"),
        tuple(rows),
        names=2,
    )


def _group(cell: Cell) -> tuple[int, str, str]:
    return cell.threads, cell.dtype, cell.family


def _summary(cells: Iterable[Cell]) -> Iterator[str]:
    """Mean, count and losses, allocating and then with out=."""
    own = list(cells)
    for out in (False, True):
        ratios = [ratio for cell in own if (ratio := cell.ratio(out=out)) is not None]
        mean = geometric_mean(ratios)
        yield f"{mean:.2f}×" if mean else NOTHING
        yield str(len(ratios))
        yield str(sum(cell.is_lost(out=out) for cell in own))


def _losing_sheet(results: Results) -> Sheet:
    """The losing cells, the worst first."""
    lost = [(cell, out) for cell in results.cells for out in (False, True) if cell.is_lost(out=out)]
    rows = []
    for cell, out in sorted(lost, key=lambda pair: pair[0].ratio(out=pair[1]) or 0):
        ours, best = _both_times(cell, out=out)
        rows.append(
            (
                cell.operation,
                "out=" if out else "",
                shape_text(cell.shape),
                cell.dtype,
                best.label,
                str(cell.threads),
                ratio_text(cell, out=out),
                time_text(ours.seconds),
                time_text(best.seconds),
            )
        )
    headings = ("", "", "shape", "dtype", "winner", "threads", "ratio", "softgrad", "its time")
    return Sheet("Losing cells", headings, tuple(rows), names=5)


def _both_times(cell: Cell, *, out: bool) -> tuple[Time, Time]:
    ours, best = cell.ours(out=out), cell.best_peer(out=out)
    assert ours is not None
    assert best is not None
    return ours, best


def _distinct(cells: Sequence[Cell], key: Callable[[Cell], T]) -> list[T]:
    """The keys of the cells, each once, in order."""
    return list(dict.fromkeys(map(key, cells)))


def thread_words(threads: int) -> str:
    """As in "1 thread", or that it was a GPU."""
    if threads == ON_GPU:
        return "a GPU"
    return f"{threads} thread" + ("s" if threads > 1 else "")


def shape_text(shape: tuple[int, ...]) -> str:
    """As in "128×10", and "1e5" for so many elements."""
    if len(shape) == 1:
        return f"{shape[0]:.0e}".replace("e+0", "e")
    return "×".join(map(str, shape))


def rate_text(rates: Sequence[float]) -> str:
    """The median of copy rates, and from where to where they went."""
    return f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"


def ratio_text(cell: Cell, *, out: bool) -> str:
    """The ratio with two digits; a losing one is marked."""
    ratio = cell.ratio(out=out)
    if ratio is None:
        return NOTHING
    digits = 2 if ratio < 1 else 1 if ratio < 9.95 else 0
    return f"{ratio:.{digits}f}×" + (LOST if ratio < LOSING else "")


def time_text(seconds: float) -> str:
    """Three digits, in µs or ms."""
    value, unit = (seconds * 1e6, "µs") if seconds < 1e-3 else (seconds * 1e3, "ms")
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
