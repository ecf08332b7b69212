"""16-bit floats from memory and back: every number widened, and whatever lies between two rounded to the nearest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from numba import njit
from numerics import assert_same_bits

from softgrad.kernels.cpu.memory import lanes_of, load_until, number_at, set_number, store_until, zeros
from softgrad.kernels.simd import half
from softgrad.ops.dtypes import as_bits

DTYPES = [np.float16, bfloat16]
EVERY = np.arange(1 << 16, dtype=np.uint16)


@pytest.fixture(params=[True, False], ids=["by the processor", "in integers"], autouse=True)
def processor_converts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it has instructions for float16; a machine without them must not be told that it has."""
    if request.param and not half._processor_converts():
        pytest.skip("this processor has no instructions for float16")
    monkeypatch.setattr(half, "_processor_converts", lambda: request.param)


def copies() -> dict[str, Callable[[Any, Any], None]]:
    """What copies one array to another: number by number, and in vectors."""

    @njit
    def by_number(x, out):
        for i in range(x.size):
            set_number(out, i, number_at(x, i))

    @njit
    def by_vector(x, out):
        for i in range(0, x.size, lanes_of(x)):
            store_until(out, i, x.size, load_until(x, i, x.size, zeros(x)))

    return {"by number": by_number, "by vector": by_vector}


def between(numbers: np.ndarray) -> np.ndarray:
    """Float32 numbers at, between and just beside the given ones and their midpoints, beyond the largest too."""
    ordered = np.unique(numbers[np.isfinite(numbers)].astype(np.float64))
    middles = np.concatenate([(ordered[1:] + ordered[:-1]) / 2, 1.5 * ordered[[0, -1]] - 0.5 * ordered[[1, -2]]])
    with np.errstate(over="ignore"):
        exact = np.concatenate([ordered, middles]).astype(np.float32)
    beside = np.nextafter(exact, np.float32(np.inf)), np.nextafter(exact, np.float32(-np.inf))
    return np.concatenate([exact, *beside, np.array([np.inf, -np.inf, -0.0], np.float32)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_is_widened_exactly(dtype: Any) -> None:
    given = EVERY.view(dtype)
    with np.errstate(invalid="ignore"):
        expected = given.astype(np.float32)
    known = ~np.isnan(expected)
    for name, copy in copies().items():
        found = np.empty(given.size, np.float32)
        copy(as_bits(given), found)
        assert_same_bits(found[known], expected[known], name)
        assert np.isnan(found[~known]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_stored_is_rounded_to_the_nearest(dtype: Any) -> None:
    with np.errstate(all="ignore"):
        given = between(EVERY.view(dtype).astype(np.float32))
        expected = given.astype(dtype)
    for name, copy in copies().items():
        found = np.empty(given.size, dtype)
        copy(given, as_bits(found))
        assert_same_bits(found, expected, name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_nan(dtype: Any) -> None:
    given = np.array([0x7F800001, 0x7FFFFFFF, 0xFF800001, 0x7FC00000, 0x7F80FFFF], np.uint32).view(np.float32)
    for copy in copies().values():
        found = np.empty(given.size, dtype)
        copy(given, as_bits(found))
        assert np.isnan(found.astype(np.float32)).all()


@pytest.mark.parametrize("count", [0, 1, 5, 15, 16, 17, 31, 33])
def test_nothing_beyond_is_written(count: int) -> None:
    given = np.arange(count, dtype=np.float16)
    for copy in copies().values():
        memory = np.full(count + 40, 7, np.float16)
        copy(as_bits(given), as_bits(memory[4 : 4 + count]))
        np.testing.assert_array_equal(memory[4 : 4 + count], given)
        assert (memory[:4] == 7).all()
        assert (memory[4 + count :] == 7).all()
