"""Every element of a row is some thread's on the GPU, once, and finds its place in shared memory."""

from __future__ import annotations

from collections import Counter

import pytest

from softgrad.kernels.cuda.plans import MOST_THREADS, Plan, _plan
from softgrad.kernels.cuda.registers import column_of, in_row_of
from softgrad.kernels.cuda.staged import BANKS, staging_of
from softgrad.kernels.cuda.teams import WARP

WIDTHS = [*range(1, 260), 500, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 8200, 12_288, 16_384]
WIDER = [16_385, 20_000, 50_257, 131_072, 1_000_000]


def plans(classes: int) -> list[Plan]:
    """With packs, where rows can begin at a multiple of sixteen bytes, and without; alone in the registers, and not."""
    kinds = [("f", lanes) for lanes in (1, 4) if classes % lanes == 0]
    kinds += [("d", lanes) for lanes in (1, 2) if classes % lanes == 0]
    return [_plan(classes, lanes, number, twice) for number, lanes in kinds for twice in (False, True)]


@pytest.mark.parametrize("classes", [*WIDTHS, *WIDER])
def test_a_block_is_one_that_a_gpu_can_run(classes: int) -> None:
    for plan in plans(classes):
        assert plan.threads & (plan.threads - 1) == 0
        assert plan.threads <= MOST_THREADS[plan.number]
        assert plan.block_threads <= 1024
        assert plan.threads <= WARP or plan.rows == 1
        assert plan.block_threads % WARP == 0  # lanes that are not there cannot be waited for


@pytest.mark.parametrize("classes", WIDTHS)
def test_every_class_is_one_threads(classes: int) -> None:
    for plan in plans(classes):
        column, in_row = column_of(plan), in_row_of(plan)
        places = [(k, thread) for k in range(plan.items) for thread in range(plan.threads)]
        columns = [column(k, thread) for k, thread in places]
        assert sorted(columns) == list(range(plan.width))
        if plan.width >= classes:
            there = {at for at, (k, thread) in zip(columns, places, strict=True) if in_row(k, thread, classes)}
            assert there == set(range(classes))


@pytest.mark.parametrize("classes", WIDER)
def test_the_parts_of_a_wide_row_are_of_like_size(classes: int) -> None:
    for plan in plans(classes):
        parts = -(-classes // plan.width)
        last = classes - (parts - 1) * plan.width
        assert last > 0
        assert parts * plan.width - classes < parts * plan.threads * plan.lanes


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("classes", range(1, 129))
def test_staged_rows_have_places_of_their_own_and_few_share_a_bank(classes: int, twice: bool) -> None:
    plan = _plan(classes, 1, "f", twice)
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
