"""What every operation costs on a GPU, counted by executing its kernels' PTX, and what a model makes of the counts.

    PYTHONPATH=tests/support python tools/gpu_counts.py FILE.md [NAME ...]

Of a call whose kernels are there already. tests/kernels/test_gpu_counts.py holds the counts to bounds.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
from gpu_model import CARDS, SECTOR_BYTES, WARP, Card, Shape, seconds

SUPPORT = Path(__file__).resolve().parent.parent / "tests" / "support"

# The elements of an array, unless a row has more: enough that what a launch begins and ends with hardly counts.
ELEMENTS = 1 << 17
WIDTHS = {
    "float32": (1, 4, 10, 16, 17, 33, 64, 100, 128, 512, 1000, 1024, 4096, 4097, 16_384, 16_385, 48_000, 131_072),
    "float64": (10, 100, 1000, 4096, 131_072),
    "bfloat16": (10, 64, 1000, 4096, 48_000),
    "float16": (64, 4096),
}

# The operations of 16-bit floats that are counted, one of each kind.
OF_HALVES = (
    "softmax",
    "softmax_backward",
    "logsumexp",
    "softmax_cross_entropy_with_grad",
    "relu",
    "gelu",
    "gelu_backward",
)

# The model is asked about arrays that are so many times as large.
SCALE = 1 << 10


@dataclass(frozen=True)
class Launch:
    """A launch of a call: the room that a block needs, the blocks, warp instructions, and bytes moved."""

    shape: Shape
    grid: int
    slots: int
    bytes: int
    sectors: int


@dataclass(frozen=True)
class Cost:
    """What a call costs.

    Attributes
    ----------
    elements
        Of its first argument.
    needed
        The bytes of its arguments and results.
    cupy_calls
        How often CuPy was asked to compute something, where that is ours to do.
    """

    elements: int
    needed: int
    launches: tuple[Launch, ...]
    cupy_calls: int

    @property
    def slots(self) -> float:
        """Instruction slots an element: a warp's instruction takes one of each lane's."""
        return sum(one.slots for one in self.launches) * WARP / self.elements

    @property
    def bytes(self) -> float:
        """Bytes an element that threads read and write."""
        return sum(one.bytes for one in self.launches) / self.elements

    @property
    def sector_bytes(self) -> float:
        """Bytes an element of the sectors that are moved for them."""
        return sum(one.sectors for one in self.launches) * SECTOR_BYTES / self.elements

    @property
    def largest(self) -> Launch:
        return max(self.launches, key=lambda one: one.slots)

    def share_of_copies(self, card: Card) -> float:
        """How near a copy of the needed bytes it comes by the model, of arrays many times as large."""
        time = 0.0
        for one in self.launches:
            scale = SCALE if one.grid > 1 else 1  # what one block adds at the end does not grow
            time += seconds(card, one.shape, one.grid * scale, one.slots * scale, one.sectors * scale)
        return self.needed * SCALE / card.copy_rate / time


def turn_on() -> None:
    """Have kernels executed as PTX, before anything asks for the GPU backend."""
    os.environ.setdefault("SOFTGRAD_PTX", "sm_90")
    sys.path.insert(0, str(SUPPORT / "stand_in"))
    import ptx.switch

    ptx.switch.turn_on()


def counted(call: Callable[[], Any]) -> tuple[tuple[Launch, ...], int]:
    """What a call launches the second time, and how often it asks CuPy."""
    import cupy
    from ptx.totals import measured

    call()
    before = cupy.calls()
    with measured() as launches:
        call()
    found = tuple(
        Launch(
            Shape(int(np.prod(one.block)), registers_of(one.program.text), one.shared_bytes),
            int(np.prod(one.grid)),
            int(one.counts.slots),
            int(one.counts.load_bytes + one.counts.store_bytes),
            int(one.counts.load_sectors + one.counts.store_sectors),
        )
        for one in launches
    )
    return found, cupy.calls() - before


@cache
def registers_of(ptx: str) -> int:
    """The registers of a thread, by the linker."""
    from ptx.switch import linked

    capability = re.search(r"\.target sm_(\d+)(\d)", ptx)
    found = re.search(r"Used (\d+) registers", linked(ptx, (int(capability[1]), int(capability[2])))[1])
    return int(found[1])


# ---- what is counted

# Options whose kernels are others than the plain one's, by the word behind the operation's name.
OPTIONS: dict[str, Callable[[int, Any], dict[str, Any]]] = {
    "label_smoothing": lambda classes, xp: {"label_smoothing": 0.1},
    "weight": lambda classes, xp: {"weight": xp.linspace(0.5, 1.5, classes)},
}


def names() -> list[str]:
    """Every operation that is counted: the benchmark's over rows and elements, and cross-entropy with options."""
    from softgrad.bench.cases import OPERATIONS

    found = [name for name, one in OPERATIONS.items() if one.family in ("rows", "elementwise")]
    return [*found, *(f"softmax_cross_entropy_with_grad {option}" for option in OPTIONS)]


def shapes_of(name: str, dtype: str) -> list[tuple[int, ...]]:
    """Where an operation is counted."""
    from softgrad.bench.cases import OPERATIONS

    if dtype in ("bfloat16", "float16") and name not in OF_HALVES:
        return []
    if OPERATIONS[name.partition(" ")[0]].family == "elementwise":
        return [(ELEMENTS,)]
    return [(max(ELEMENTS // width, 2), width) for width in WIDTHS[dtype]]


def cost(name: str, shape: tuple[int, ...], dtype: str) -> Cost:
    """What an operation costs there."""
    from softgrad import ops
    from softgrad.bench.cases import OPERATIONS
    from softgrad.bench.device import device_of
    from softgrad.bench.operation import array_bytes
    from softgrad.ops.dtypes import dtype_named

    function, _, option = name.partition(" ")
    device = device_of("gpu")
    case = OPERATIONS[function].case(shape, dtype_named(dtype), device)
    options = dict(case.operation.options)
    if option:
        options |= OPTIONS[option](shape[-1], device.xp)
    results: list[Any] = []

    def call() -> None:
        found = getattr(ops, function)(*case.arguments, **options)
        results[:] = found if isinstance(found, tuple) else [found]

    launches, cupy_calls = counted(call)
    return Cost(case.arguments[0].size, case.read + array_bytes(results), launches, cupy_calls)


ABOUT = """# What the kernels for the GPU cost, counted

Of a call whose kernels are there already, by executing their PTX for {} (`make gpu-counts`): instruction slots an
element (warp instructions times 32), bytes an element that threads read and write, and those of the sectors moved for
them, registers of a thread and blocks that a processor of an H100 holds, of the launch that costs most, and launches.
The last columns are no measurements, but the share of a copy's rate that a model (`tools/gpu_model.py`) predicts of
arrays a thousand times as large.
"""


HEADS = "operation", "dtype", "shape", "slots", "bytes", "in sectors", "registers", "blocks", "launches"

# What tells a row of the table from all others.
Key = tuple[str, str, str]


def key_of(name: str, dtype: str, shape: tuple[int, ...]) -> Key:
    return name, dtype, "×".join(map(str, shape))


def cells_of(one: Cost) -> list[str]:
    """A row of the table without its key."""
    cells = [f"{one.slots:.0f}", f"{one.bytes:.1f}", f"{one.sector_bytes:.1f}"]
    cells += [str(one.largest.shape.registers), str(one.largest.shape.blocks(CARDS[0])), str(len(one.launches))]
    return [*cells, *(f"{one.share_of_copies(card):.0%}" for card in CARDS)]


def document(rows: dict[Key, list[str]]) -> Iterator[str]:
    """The table, as Markdown."""
    yield ABOUT.format(os.environ["SOFTGRAD_PTX"])
    yield "| " + " | ".join([*HEADS, *(card.name for card in CARDS)]) + " |"
    yield "| --- | --- |" + " ---: |" * (len(HEADS) - 2 + len(CARDS))
    for key, cells in rows.items():
        yield "| " + " | ".join([*key, *cells]) + " |"


def table(file: Path) -> dict[Key, list[str]]:
    """The rows of a table that was written before."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ") for line in lines[2:]]
    return {(name, dtype, shape): cells for name, dtype, shape, *cells in rows}


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("wanted", nargs=-1, metavar="[NAME]...")
@click.option(
    "--dtype", "dtypes", multiple=True, default=tuple(WIDTHS), type=click.Choice(tuple(WIDTHS)), show_default=True
)
@click.option("--width", "widths", type=int, multiple=True, help="Of rows; all of the table's by default.")
def main(file: Path, wanted: tuple[str, ...], dtypes: tuple[str, ...], widths: tuple[int, ...]) -> None:
    """Count what operations cost, all or those of these names, and write the table into FILE.

    Rows of FILE that are not asked for are kept.
    """
    turn_on()
    if unknown := set(wanted) - set(names()):
        raise click.UsageError(f"no operation {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    kept = table(file) if file.exists() else {}
    rows: dict[Key, list[str]] = {}
    for name, dtype in product(names(), WIDTHS):
        for shape in shapes_of(name, dtype):
            key = key_of(name, dtype, shape)
            asked = (not wanted or name in wanted) and dtype in dtypes
            if asked and (len(shape) == 1 or not widths or shape[1] in widths):
                one = cost(name, shape, dtype)
                rows[key] = cells_of(one)
                click.echo(f"{name} {dtype} {shape}: {one.slots:.1f} slots an element", err=True)
            elif key in kept:
                rows[key] = kept[key]
    file.write_text("\n".join(document(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
