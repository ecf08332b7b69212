"""Every element of a row is some thread's on the GPU, once, and finds its place in shared memory."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from softgrad.kernels.cuda import held
from softgrad.kernels.cuda.launch import STATIC_SHARED
from softgrad.kernels.cuda.plans import MOST_THREADS, REGISTER_FILE, Plan, _plan
from softgrad.kernels.cuda.registers import column_of, in_row_of
from softgrad.kernels.cuda.staged import BANKS, staging_of
from softgrad.kernels.cuda.teams import WARP
from softgrad.kernels.cuda.wide import parts_of

WIDTHS = [*range(1, 260), 500, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 8200, 12_288, 16_384]
WIDER = [16_385, 20_000, 50_257, 131_072, 1_000_000]

# Rows that registers hold once, with more of them or not, and more than once.
KINDS = [(False, True), (False, False), (True, False)]


def plans(classes: int) -> list[Plan]:
    """With packs, whether all rows begin at a multiple of sixteen bytes or not, and without; held once, and twice."""
    kinds = [("f", 1), ("f", 4), ("d", 1), ("d", 2)]
    return [_plan(classes, lanes, number, twice, more) for number, lanes in kinds for twice, more in KINDS]


@pytest.mark.parametrize("classes", [*WIDTHS, *WIDER])
def test_a_block_is_one_that_a_gpu_can_run(classes: int) -> None:
    for plan in plans(classes):
        assert plan.threads % WARP == 0 or plan.threads & (plan.threads - 1) == 0
        assert plan.threads <= MOST_THREADS[plan.number]
        assert plan.block_threads * plan.items * np.dtype(plan.number).itemsize <= REGISTER_FILE * 4
        assert plan.block_threads <= 1024
        assert plan.threads <= WARP or plan.rows == 1
        assert plan.block_threads % WARP == 0  # lanes that are not there cannot be waited for


@pytest.mark.parametrize("classes", WIDTHS)
def test_every_class_is_one_threads(classes: int) -> None:
    for plan in plans(classes):
        column, in_row = column_of(plan), in_row_of(plan)
        places = [(k, thread) for k in range(plan.items) for thread in range(plan.threads)]
        columns = [column(k, thread) for k, thread in places]
        assert sorted(columns) == list(range(plan.columns))
        for low in range(plan.lanes if plan.ragged and plan.width >= classes else 1):
            row = (0, -low, low, low + min(classes, plan.width))
            there = {at for at, (k, thread) in zip(columns, places, strict=True) if in_row(k, (thread, *row[1:]))}
            assert there == set(range(*row[2:]))


@pytest.mark.parametrize("classes", WIDER)
def test_the_parts_of_a_wide_row_are_of_like_size(classes: int) -> None:
    for plan in plans(classes):
        parts = parts_of(classes, plan)
        last = classes - (parts - 1) * plan.columns
        assert last > 0
        assert parts * plan.columns - classes < parts * plan.threads * plan.lanes


class Row:
    """An array as plans see it: of a dtype, at the beginning of a page."""

    data = SimpleNamespace(ptr=512)

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)


@pytest.mark.parametrize("kilobytes", [99, 163, 227])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_held_as_far_as_shared_memory_goes(
    kilobytes: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, array = kilobytes << 10, Row(dtype)
    monkeypatch.setattr(held, "shared_bytes", lambda: most)
    for classes in range(16_384 // array.dtype.itemsize, most // array.dtype.itemsize, 501):
        one, two = held.held_plan(classes, array), held.held_plan(classes, array, twice=True)
        for found in filter(None, (one, two)):
            plan, both = found
            needed = held._bytes(plan, classes, both) + STATIC_SHARED
            assert needed <= most
            assert needed >= classes * array.dtype.itemsize * (1 + both)
            assert WARP <= plan.threads <= MOST_THREADS[plan.number]
            assert held._places(plan, classes) <= 1.1 * classes  # nearly no work beyond the row
        assert (one is None) == (two is None)
    # Nothing but the end of a round is left unused.
    assert held.held_plan((most - STATIC_SHARED - (16 << 10)) // array.dtype.itemsize, array) is not None
    assert held.held_plan(most // array.dtype.itemsize, array) is None


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("classes", range(1, 129))
def test_staged_rows_have_places_of_their_own_and_few_share_a_bank(classes: int, twice: bool) -> None:
    plan = _plan(classes, 1, "f", twice, False)
    assert plan.staged == classes
    staging = staging_of(plan)
    places = [int(staging.at(row, column)) for row in range(plan.rows) for column in range(classes)]
    assert len(set(places)) == len(places)
    assert max(places) < staging.places
    for k in range(plan.items):
        lanes = [divmod(lane, plan.threads) for lane in range(WARP)]
        mine = [(row, k * plan.threads + thread) for row, thread in lanes if k * plan.threads + thread < classes]
        banks = Counter(int(staging.at(row, column)) % BANKS for row, column in mine)
        assert max(banks.values()) <= 4, (k, banks)
