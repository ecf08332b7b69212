"""`softgrad.formulas`: the same numbers in plain Python, in functions that Numba compiles, and from the ops."""

from __future__ import annotations

import inspect
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numerics import assert_same_bits, assert_ulp, quick

from softgrad import formulas, ops
from softgrad.kernels.formulas.registry import ACTIVATIONS, ELEMENTWISE_LOSSES

PRIMITIVES = {"exp", "exp2", "expm1", "log", "log2", "log1p", "sqrt", "rsqrt", "erf", "erfc"}
PRIMITIVES |= {"fabs", "copysign", "fma", "where", "minimum", "maximum"}
FORWARDS = [row.name for row in ACTIVATIONS.values()]
BACKWARDS = [row.backward.__name__ for row in ACTIVATIONS.values() if row.backward]
GRADIENTS = [row.gradient.__name__ for row in ELEMENTWISE_LOSSES.values() if row.gradient]
OF_TABLES = {*FORWARDS, *BACKWARDS, *ELEMENTWISE_LOSSES, *GRADIENTS}

# One of each number of arguments, and those that divide, or call the longest functions.
NAMES = quick(
    sorted(formulas.__all__),
    "exp", "fma", "where", "maximum", "sigmoid", "leaky_relu", "gelu", "softplus_backward", "huber_loss",
    "sigmoid_cross_entropy_gradient",
)  # fmt: skip

# Python's own operators, which take arrays as well.
OF_ANYTHING = {"identity", "identity_backward", "fabs", "where", "maximum", "minimum", "squared_error"}
OF_ANYTHING |= {"squared_error_gradient", "l2_loss_gradient"}


def count(name: str) -> int:
    """How many of the arguments are numbers that change from element to element; the others are parameters."""
    if name in FORWARDS:
        return 1
    if name in {*BACKWARDS, *ELEMENTWISE_LOSSES, *GRADIENTS}:
        return 2
    return len(inspect.signature(getattr(formulas, name)).parameters)


def arguments(name: str, dtype: type, size: int = 1003) -> list[np.ndarray]:
    """An array for each such argument, of numbers in its range; targets are such as targets can be."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 4, size).astype(dtype)
    x[:4] = [np.nan, 0.0, -0.0, 30.0]
    others = list(rng.normal(0, 2, (count(name) - 1, size)).astype(dtype))
    if name == "where":
        return [x > 0, *others]
    if name in BACKWARDS:
        return [*others, x]
    if name in {*ELEMENTWISE_LOSSES, *GRADIENTS}:
        return [x, rng.choice([-1.0, 1.0] if name.startswith("hinge") else [0.0, 1.0], size).astype(dtype)]
    if name in ("log", "log2", "sqrt", "rsqrt"):
        x = np.abs(x)
    if name == "log1p":
        x = np.abs(x) - dtype(1)
    return [x, *others]


def parameters(name: str) -> tuple[float, ...]:
    """Numbers for the parameters, float64 whatever the others are."""
    parameter_count = len(inspect.signature(getattr(formulas, name)).parameters) - count(name)
    return (-1.3, 0.7) if name.startswith("hardtanh") else (0.3, 1.7)[:parameter_count]


def looped(name: str, **options: Any) -> Any:
    """The function over arrays, by a loop such as a user writes."""
    function, numbers = getattr(formulas, name), parameters(name)

    @numba.njit(**options)
    def one(x, out):
        for i in range(out.size):
            out[i] = function(x[i], *numbers)

    @numba.njit(**options)
    def two(x, y, out):
        for i in range(out.size):
            out[i] = function(x[i], y[i], *numbers)

    @numba.njit(**options)
    def three(x, y, z, out):
        for i in range(out.size):
            out[i] = function(x[i], y[i], z[i], *numbers)

    return {1: one, 2: two, 3: three}[count(name)]


def called(loop: Callable[..., Any], arrays: list[np.ndarray]) -> np.ndarray:
    out = np.empty_like(arrays[-1])
    loop(*arrays, out)
    return out


# ---- which there are


def test_all_formulas_of_the_tables_are_there() -> None:
    assert {*formulas.__all__} == OF_TABLES | PRIMITIVES
    assert sorted(formulas.__all__) == formulas.__all__


@pytest.mark.parametrize("name", sorted(formulas.__all__))
def test_each_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(formulas, name))


# ---- plain Python


@pytest.mark.parametrize("name", sorted(formulas.__all__))
@pytest.mark.parametrize("kind", [int, bool, np.int8, np.int64])
def test_what_is_no_float_counts_as_float64(name: str, kind: type) -> None:
    given, numbers = [kind(value) for value in [3, 1, 0][: count(name)]], parameters(name)
    expected = getattr(formulas, name)(*map(float, given), *numbers)
    assert getattr(formulas, name)(*given, *numbers) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("name", sorted({*formulas.__all__} - OF_ANYTHING))
def test_arrays_are_for_ops(name: str) -> None:
    arrays = [np.array([0.5, 2.0])] * count(name)
    with pytest.raises(TypeError, match=r"a formula takes numbers; got ndarray; of arrays softgrad\.ops has the same"):
        getattr(formulas, name)(*arrays, *parameters(name))


# ---- compiled


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", quick([np.float32, np.float64], np.float32))
def test_compiled_it_gives_what_plain_python_gives(name: str, dtype: type) -> None:
    arrays = arguments(name, dtype, 203)
    found = called(looped(name), arrays)
    with np.errstate(all="ignore"):
        plain = [getattr(formulas, name)(*values, *parameters(name)) for values in zip(*arrays, strict=True)]
    # Both are within 4 ULP; where terms of a slope cancel, beside the largest.
    assert_ulp(found, np.array(plain, np.float64), 8, floor=np.float64(4.0))
    assert all(isinstance(value, dtype) for value in plain if name != "where")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", quick([numba.float32, numba.float64], numba.float32))
def test_a_result_has_the_type_of_the_numbers(name: str, number: Any) -> None:
    function, numbers = getattr(formulas, name), parameters(name)
    one, two, three = (
        numba.njit(call)
        for call in (
            lambda x: function(x, *numbers),
            lambda x, y: function(x, y, *numbers),
            lambda x, y, z: function(x, y, z, *numbers),
        )
    )
    kinds = [number] * count(name)
    if name == "where":
        kinds[0] = numba.boolean
    call = {1: one, 2: two, 3: three}[len(kinds)]
    call.compile(tuple(kinds))
    assert call.nopython_signatures[0].return_type == number


@pytest.mark.parametrize("name", NAMES)
def test_integers_compiled_count_as_float64(name: str) -> None:
    given = [np.array([3, 1, 2]), np.array([1, 0, 1]), np.array([2, 2, 1])][: count(name)]
    if name == "where":
        given[0] = given[0] > 1
    out = np.empty(3)
    looped(name)(*given, out)
    expected = [getattr(formulas, name)(*map(float, values), *parameters(name)) for values in zip(*given, strict=True)]
    np.testing.assert_allclose(out, expected, rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_options_of_the_caller_change_no_bit(name: str) -> None:
    arrays = arguments(name, np.float32)
    expected = called(looped(name, error_model="numpy"), arrays)
    assert_same_bits(called(looped(name), arrays), expected)
    # Only what the formula itself computes: its result goes straight to memory.
    assert_same_bits(called(looped(name, fastmath=True), arrays), expected)


@pytest.mark.parametrize("name", quick(FORWARDS, "sigmoid", "gelu", "softplus"))
@pytest.mark.parametrize("dtype", quick([np.float32, np.float64], np.float32))
def test_a_loop_has_the_bits_of_the_op(name: str, dtype: type) -> None:
    (x,) = arguments(name, dtype)
    row = ACTIVATIONS[name]
    options = dict(zip(row.parameters, parameters(name), strict=True))
    assert_same_bits(called(looped(name), [x]), getattr(ops, name)(x, **options))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of another processor LLVM decides otherwise")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", quick([np.float32, np.float64], np.float32))
def test_a_loop_becomes_simd_code(name: str, dtype: type) -> None:
    if (name, dtype) == ("erfc", np.float64):
        pytest.skip("LLVM counts vectors of two as dearer than numbers: its polynomials are the longest")
    loop = looped(name)
    called(loop, arguments(name, dtype))
    (code,) = loop.inspect_llvm().values()
    assert f" x {'float' if dtype is np.float32 else 'double'}>" in code


def test_vectorize_takes_them() -> None:
    @numba.vectorize(["float32(float32, float32)", "float64(float64, float64)"])
    def swiglu(x, gate):
        return x * gate * formulas.sigmoid(gate)

    x, gate = arguments("copysign", np.float32)
    found = swiglu(x, gate)
    assert found.dtype == np.float32
    assert_same_bits(found, x * gate * ops.sigmoid(gate))


USERS_MODULE = """
import numba, numpy as np
from softgrad.formulas import gelu

@numba.njit(cache=True)
def smoothed(x):
    return gelu(x) + np.float32(1)

print(smoothed(np.float32(0.5)), *smoothed.stats.cache_hits.values())
"""


def test_a_cached_function_of_a_user_is_loaded_again(tmp_path: Path) -> None:
    module = tmp_path / "users_module.py"
    module.write_text(USERS_MODULE)
    run = partial(subprocess.run, capture_output=True, text=True, check=True, cwd=tmp_path)
    first, second = (run([sys.executable, module]).stdout.split() for _ in range(2))
    assert first[0] == second[0] == str(float(formulas.gelu(np.float32(0.5)) + np.float32(1)))
    assert (first[1:], second[1:]) == ([], ["1"])
