"""Measure the errors of kernels/simd/math.py in ULP, beside those of NumPy, SciPy and PyTorch.

    PYTHONPATH=tests/support python tests/accuracy/sweep_ulp.py [options]

    without options                     every float32 number; minutes a function
    --every 4099                        one float32 number in 4,099
    --function tanh --dtype float64     samples of float64

float32 is held against float64 results of NumPy and SciPy, whose own error is a billionth of a float32 ULP; float64
against mpmath. An ULP is that of the exact value, and below the normal numbers the smallest number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import click
import numpy as np
import scipy.special
from mpmath import mp, mpf
from numba import njit, vectorize

from softgrad.kernels.cpu.memory import lanes_of, load, load_first, store, store_first, zeros
from softgrad.kernels.simd import math as simd_math
from softgrad.kernels.simd import normal
from softgrad.kernels.simd.coefficients import ERF_SPLIT, TANH_SPLIT

torch: ModuleType | None
try:
    import torch
except ImportError:
    torch = None

# mpmath's precision is the process's: the same as in tests/support/reference.py, with which this may share one.
mp.dps = 60

# Small enough for a processor's cache.
CHUNK = 1 << 17


@dataclass(frozen=True)
class Function:
    """An elementary function and the same function elsewhere.

    Attributes
    ----------
    name, reference, exact
        Its name, in NumPy or SciPy for whole arrays, and in mpmath.
    low, high
        The interval that float64 is sampled from; its ends are where the function becomes constant or infinite.
    edges
        Where the algorithm changes or may fail, beside 0: float64 is sampled densely around these.
    """

    name: str
    reference: Callable[..., Any]
    exact: Callable[[mpf], mpf]
    low: float
    high: float
    edges: tuple[float, ...] = ()

    def accepts(self, x: np.ndarray) -> np.ndarray:
        """Which arguments the function is made for; NaN is one."""
        return ~(x > 0) if self.name == "exp_nonpositive" else np.full(x.shape, True)


HALF_LOG2 = 0.34657359027997264
EXP_EDGES = (HALF_LOG2, -HALF_LOG2, 3 * HALF_LOG2, -3 * HALF_LOG2, -708.4, -745.13)
LOG_EDGES = (-0.25, 0.5, -0.625, 2.0, -1.0)

FUNCTIONS = {
    function.name: function
    for function in (
        Function("exp", np.exp, mp.exp, -746.0, 710.0, (*EXP_EDGES, 709.78)),
        Function("exp_nonpositive", np.exp, mp.exp, -746.0, 0.0, EXP_EDGES),
        Function(
            "exp2", np.exp2, lambda x: mp.power(2, x), -1076.0, 1024.0, (0.5, -0.5, 1.5, -1022.0, -1074.5, 1023.9)
        ),
        Function("expm1", np.expm1, mp.expm1, -40.0, 710.0, (*EXP_EDGES[:4], -37.0, 2.0**-60, 709.78)),
        Function("log", np.log, mp.log, 0.0, 4.0, (1.0, 0.75, 1.5, 2.0**-1022)),
        Function("log2", np.log2, lambda x: mp.log(x, 2), 0.0, 4.0, (1.0, 0.75, 1.5, 2.0, 2.0**-1022)),
        Function("log1p", np.log1p, mp.log1p, -1.0, 4.0, LOG_EDGES),
        Function("rsqrt", lambda x: 1 / np.sqrt(x), lambda x: 1 / mp.sqrt(x), 0.0, 1e300, (1.0, 4.0, 2.0**-1022)),
        Function("tanh", np.tanh, mp.tanh, -20.0, 20.0, (TANH_SPLIT, -TANH_SPLIT)),
        Function("erf", scipy.special.erf, mp.erf, -6.0, 6.0, (ERF_SPLIT, -ERF_SPLIT)),
        Function("erfc", scipy.special.erfc, mp.erfc, -6.0, 27.3, (0.5, ERF_SPLIT, -ERF_SPLIT, 26.5, 27.2)),
    )
}


def implementation(name: str) -> Callable[..., Any]:
    """Ours, for a number or a vector."""
    module = simd_math if hasattr(simd_math, name) else normal
    function: Callable[..., Any] = getattr(module, name)
    return function


def compiled(function: Callable[..., Any]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of numbers and vectors for arrays of one axis, by vectors and a masked rest."""

    @njit(error_model="numpy")
    def run(x, out):
        lanes = lanes_of(x)
        for i in range(0, x.size - lanes + 1, lanes):
            store(out, i, function(load(x, i)))
        rest = x.size % lanes
        start = x.size - rest
        if rest:
            store_first(out, start, rest, function(load_first(x, start, rest, zeros(x))))

    def call(x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        run(x, out)
        return out

    return call


def peers(function: Function) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The function in other libraries, by the library's name."""
    library = "SciPy" if function.reference.__name__.startswith("erf") else "NumPy"
    found = {library: function.reference}
    if torch is not None:
        same = getattr(torch, function.name.removesuffix("_nonpositive"))
        found["PyTorch"] = lambda x: same(torch.from_numpy(x)).numpy()
    return found


# ---- arguments


def float32_arguments(every: int) -> Iterator[np.ndarray]:
    """All float32 numbers, or one in `every`, in chunks."""
    for start in range(0, 1 << 32, CHUNK * every):
        yield np.arange(start, min(start + CHUNK * every, 1 << 32), every, np.uint64).astype(np.uint32).view(np.float32)


def float64_arguments(function: Function, count: int, seed: int = 0) -> np.ndarray:
    """About `count` float64 numbers: from the interval, of every magnitude in it, and ever closer to the edges."""
    rng = np.random.default_rng(seed)
    size = count // 4
    magnitudes = 2.0 ** rng.uniform(-1074, np.log2(max(-function.low, function.high)), size)
    edges = np.array([*function.edges, 1.0])
    distance = 2.0 ** rng.uniform(-52, -4, size) * rng.choice([-1, 1], size)
    x = np.concatenate(
        [
            rng.uniform(function.low, function.high, size),
            rng.uniform(max(function.low, -1.5), min(function.high, 1.5), size),
            magnitudes * rng.choice([-1, 1], size),
            edges[rng.integers(edges.size, size=size)] * (1 + distance),
        ]
    )
    return x[(x >= function.low) & (x <= function.high)]


# ---- errors


@vectorize(["float64(float32, float64, float64)"])
def _float32_error(actual, exact, floor):
    rounded = np.float32(exact)
    # 2**(exponent - 23) from the bits of the exact value.
    exponent = (np.float64(max(abs(exact), floor)).view(np.int64) >> 52) & 0x7FF
    ulp = np.int64((max(exponent, 1023 - 126) - 23) << 52).view(np.float64)
    # Infinity is the number that follows the largest: beside the exact value of a result that should just fit.
    result = np.copysign(2.0**128, actual) if np.isinf(actual) else np.float64(actual)
    error = abs(result - exact) / ulp
    settled = (actual == rounded) & np.isinf(rounded) | np.isnan(actual) & np.isnan(rounded)
    return 0.0 if settled else np.inf if np.isnan(error) else error


def float32_errors(actual: np.ndarray, exact: np.ndarray, floor: np.ndarray | float = 0.0) -> np.ndarray:
    """The errors of float32 results in ULP, from float64 ones. What is not finite must be right: else inf.

    An ULP is that of the exact value, or of `floor` where that is larger.
    """
    with np.errstate(all="ignore"):
        return _float32_error(actual, exact, floor)


def float64_errors(actual: np.ndarray, x: np.ndarray, exact: Callable[[mpf], mpf]) -> np.ndarray:
    """The errors of float64 results in ULP, for finite arguments in the domain."""
    errors = np.empty(x.shape)
    for i, (argument, result) in enumerate(zip(x.tolist(), actual.tolist(), strict=True)):
        value = exact(mpf(argument))
        if not np.isfinite(float(value)):
            errors[i] = 0.0 if result == float(value) else np.inf
        elif not np.isfinite(result):
            errors[i] = np.inf
        else:
            exponent = mp.frexp(value)[1] - 1 if value else -1022
            errors[i] = abs(mpf(result) - value) / mpf(2) ** (max(exponent, -1022) - 52)
    return errors


@dataclass
class Worst:
    """The largest error met, and where."""

    error: float = -1.0
    argument: float = 0.0

    def meet(self, errors: np.ndarray, x: np.ndarray) -> None:
        if errors.size and errors.max() > self.error:
            place = int(np.argmax(errors))
            self.error, self.argument = float(errors[place]), float(x[place])


def sweep(function: Function, dtype: str, every: int, samples: int) -> dict[str, Worst]:
    """The largest error of ours and of its peers."""
    contenders = {"softgrad": compiled(implementation(function.name)), **peers(function)}
    worst = {name: Worst() for name in contenders}
    if dtype == "float64":
        x = float64_arguments(function, samples)
        with np.errstate(all="ignore"):
            for name, contender in contenders.items():
                worst[name].meet(float64_errors(contender(x), x, function.exact), x)
        return worst
    for chunk in float32_arguments(every):
        x = chunk[function.accepts(chunk)]
        with np.errstate(all="ignore"):
            exact = function.reference(x.astype(np.float64))
            for name, contender in contenders.items():
                worst[name].meet(float32_errors(contender(x), exact), x)
    return worst


@click.command()
@click.option("--function", "chosen", type=click.Choice([*FUNCTIONS, "all"]), default="all", show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="float32: one number in so many.")
@click.option("--samples", type=click.IntRange(4), default=20_000, show_default=True, help="float64: how many.")
def main(chosen: str, dtype: str, every: int, samples: int) -> None:
    """Print the largest error of each function of kernels/simd/math.py, and where it is."""
    for function in FUNCTIONS.values() if chosen == "all" else [FUNCTIONS[chosen]]:
        results = [
            f"{name} {worst.error:.3f} at {worst.argument!r}"
            for name, worst in sweep(function, dtype, every, samples).items()
        ]
        click.echo(f"{function.name} {dtype}: {'; '.join(results)}")


if __name__ == "__main__":
    main()
