"""Assertions and inputs that numerical tests share: errors in ULP, central differences, awkward arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo
from mpmath import mpf
from numba.core import config

from softgrad.ops.backend import Backend

FLOATS = (np.float16, np.float32, np.float64)
KERNEL_DTYPES = (np.float32, np.float64)


def loss_dtype(dtype: Any) -> Any:
    """The dtype of the losses of arrays of that dtype."""
    return np.float32 if np.dtype(dtype).itemsize == 2 else dtype


# Elements of the largest array that is worth the wait in Numba's CUDA simulator.
SIMULATED_MOST = 1500


@dataclass(frozen=True)
class Arrays:
    """A backend's arrays: how a test's NumPy arrays get there, and its results back."""

    backend: Backend

    @property
    def xp(self) -> Any:
        return self.backend.xp

    def put(self, value: Any, dtype: Any = None) -> Any:
        """An array of the backend with the value's numbers, in memory of its own."""
        array = self.xp.array(value, dtype)
        if array.size > SIMULATED_MOST and self.backend.name == "gpu" and config.ENABLE_CUDASIM:
            pytest.skip(f"{array.size} elements are too many for the simulator")
        return array

    def get(self, result: Any) -> np.ndarray:
        """A result of an op, array or number, as a NumPy array."""
        return np.asarray(result.get() if hasattr(result, "get") else result)


def quick(values: Iterable[Any], *chosen: Any) -> list[Any]:
    """Values for a parameter, all but those chosen marked slow."""
    return _marked(values, chosen, pytest.mark.slow)


def _marked(values: Iterable[Any], unmarked: Sequence[Any], mark: pytest.MarkDecorator) -> list[Any]:
    return [value if value in unmarked else pytest.param(value, marks=mark) for value in values]


def one_quick(values: Sequence[Any]) -> list[Any]:
    """All but the first marked slow: they go the same way, and take kernels of their own."""
    return quick(values, values[0])


def few_on_gpu(values: Iterable[Any], *chosen: Any) -> list[Any]:
    """Values for a parameter, of which a GPU's quick tests take those chosen alone.

    The others go the same way in kernels of their own, which take seconds to compile.
    """
    return _marked(values, chosen, pytest.mark.alike)


# Where all dtypes go the way of float32: float64 is slow, and on a GPU float16, too.
FLOATS_LIKE_FLOAT32 = [*few_on_gpu([np.float16, np.float32], np.float32), *quick([np.float64])]


def few_together_on_gpu(values: Iterable[tuple[Any, ...]], *chosen: tuple[Any, ...]) -> list[Any]:
    """As `few_on_gpu`, values for several parameters at once."""
    return [value if value in chosen else pytest.param(*value, marks=pytest.mark.alike) for value in values]


def ulp_size(magnitude: np.ndarray, dtype: Any) -> np.ndarray:
    """The distance of neighbouring numbers of the dtype at a magnitude; below its normal numbers, the smallest one."""
    info = finfo(dtype)  # of bfloat16 too
    _, exponent = np.frexp(np.abs(magnitude))  # magnitude in [2^(exponent - 1), 2^exponent)
    return np.ldexp(1.0, np.clip(exponent - 1, info.minexp, info.maxexp - 1) - info.nmant)


def ulp_error(actual: np.ndarray, exact: np.ndarray, floor: Any = 0.0) -> np.ndarray:
    """|actual - exact| in ULP of actual's dtype at the larger of |exact| and `floor`.

    `exact` holds float64 or mpmath numbers. Equal infinities and NaN beside NaN have error 0; an exact value
    beyond the dtype's range is infinity.
    """
    with np.errstate(over="ignore"):
        high = exact.astype(np.float64)
    low = np.zeros(exact.shape)
    if exact.dtype == object:  # what float64 does not hold of an exact value, for results that are float64
        finite = np.isfinite(high)
        low[finite] = [float(value - mpf(float(near))) for value, near in zip(exact[finite], high[finite], strict=True)]
    with np.errstate(all="ignore"):
        rounded = high.astype(actual.dtype)
        floor = np.broadcast_to(np.asarray(floor).astype(np.float64), high.shape)
        size = ulp_size(np.maximum(np.abs(high), np.abs(floor)), actual.dtype)
        error = np.abs((actual.astype(np.float64) - high) - low) / size
    same = (actual == rounded) & np.isinf(rounded) | np.isnan(actual) & np.isnan(rounded)
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def assert_ulp(actual: Any, exact: Any, ulp: Any, *, floor: Any = 0.0, inputs: Any = None) -> None:
    """Assert that every element is within `ulp` of the exact value; see `ulp_error` for how that is measured.

    `ulp` and `floor` may be arrays. `inputs` are the arguments, to be printed beside the worst mismatch.
    """
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"shape {actual.shape}, expected {exact.shape}"
    error = ulp_error(actual, exact, floor)
    excess = error - ulp
    if error.size == 0 or np.max(excess) <= 0:
        return
    worst = np.unravel_index(np.argmax(excess), error.shape)
    position = tuple(map(int, worst))
    at = "" if inputs is None else f", input {np.asarray(inputs)[position]!r}"
    raise AssertionError(
        f"{np.count_nonzero(excess > 0)} of {error.size} elements are off; worst at {position}{at}: "
        f"got {actual[position]!r}, exact {exact[position]}, error {error[position]:.3g} ULP, "
        f"allowed {np.broadcast_to(ulp, error.shape)[position]:g}"
    )


def assert_same_bits(actual: Any, expected: Any, case: str = "") -> None:
    """Assert equality to the bit, NaN and signs of zero included, and of dtype and shape. `case` is printed."""
    actual, expected = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
    assert actual.dtype == expected.dtype, case
    assert actual.shape == expected.shape, case
    different = actual.reshape(-1, 1).view(np.uint8) != expected.reshape(-1, 1).view(np.uint8)
    rows = np.flatnonzero(different.any(axis=1))
    assert rows.size == 0, (
        f"{case}: {rows.size} of {actual.size} elements differ; first at {rows[0]}: {actual.flat[rows[0]]!r}, "
        f"expected {expected.flat[rows[0]]!r}"
    )


def central_difference(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of a number f(x), one element of x after another, in float64.

    The error is of the order step^2 from the formula and 1e-16 / step from rounding, about 1e-10 together.
    """
    assert x.dtype == np.float64
    gradient = np.empty_like(x)
    for position in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[position] += step
        below[position] -= step
        gradient[position] = (f(above) - f(below)) / (above[position] - below[position])
    return gradient


def spiky(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Logits whose softmax over the last axis is not flat: small noise, and outliers of 8 to 16 in every row.

    They are multiples of 1/64 below 32, so that differences of two are exact in every dtype: an error of the
    result is the kernel's own, not that of rounding ``x - max(x)``.
    """
    x = rng.normal(0.0, 1.0, shape)
    outlier = rng.random(shape) < 0.05
    outlier[..., 0] = True
    x = np.where(outlier, rng.uniform(8.0, 16.0, shape), x)
    x = (np.round(x * 64) / 64).astype(dtype)
    if x.size and shape[-1] > 1:
        wide = x.astype(np.float64)
        share = 1 / np.exp(wide - wide.max(axis=-1, keepdims=True)).sum(axis=-1)
        assert (share > 1.05 / shape[-1]).all(), "the largest probability is that of a flat softmax"
    return x


def labelled_logits(rows: int, classes: int, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Spiky logits and labels, about half of them at the largest logit."""
    rng = np.random.default_rng(rows * 1009 + classes)
    logits = spiky(rng, (rows, classes), dtype)
    labels = np.where(rng.random(rows) < 0.5, logits.argmax(axis=1), rng.integers(0, classes, rows))
    return logits, labels


# On a GPU so many narrow rows are whole blocks and most of one, and as many losses as a last block adds up.
MANY_ROWS = 2046
# And so many elements several blocks of packs, a pack alone in its thread and a part of one, whatever the dtype.
MANY_ELEMENTS = 7687


def ulp_of_many(backend: Arrays) -> int:
    """Of a sum of `MANY_ROWS` losses in float64: the CPU adds them one after another, each rounded."""
    return 2 if backend.backend.name == "gpu" else 64


def again(array: np.ndarray, count: int) -> np.ndarray:
    """So many rows, or elements: the array's, over and over."""
    return np.resize(array, (count, *array.shape[1:]))


def quarters(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    """Multiples of 1/4 in [-2, 2]: sums of their products are exact in float32, in whatever order they are added."""
    return (rng.integers(-8, 9, shape) / 4).astype(dtype)


def layouts(array: np.ndarray, xp: Any = np) -> Iterator[tuple[str, Any]]:
    """The same values in every way memory can hold them, as (name, view). A broadcast view repeats the first row."""
    array = xp.asarray(array)
    yield "C order", xp.ascontiguousarray(array)
    yield "Fortran order", xp.asfortranarray(array)

    apart = xp.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    apart[..., ::2] = array
    yield "every other element", apart[..., ::2]

    backwards = xp.ascontiguousarray(array[::-1])
    yield "negative stride", backwards[::-1]
    yield "broadcast", xp.broadcast_to(array[:1], array.shape)
    if xp is not np:
        return

    memory = np.zeros(array.nbytes + 1, np.uint8)
    misaligned = memory[1:].view(array.dtype).reshape(array.shape)
    misaligned[...] = array
    yield "misaligned", misaligned
    yield "big-endian", array.astype(array.dtype.newbyteorder(">"))

    fixed = array.copy()
    fixed.flags.writeable = False
    yield "read-only", fixed
