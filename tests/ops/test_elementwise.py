"""Formulas of a user's own: their values, gradients and arguments, over every backend."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from numerics import Arrays, assert_same_bits, assert_ulp, central_difference, few_on_gpu, layouts, one_quick

from softgrad import formulas, ops
from softgrad.formulas import erf, exp, fabs, log1p, sigmoid, sqrt, tanh, where
from softgrad.ops import autodiff


@ops.elementwise
def swish(x, *, beta=1.0):
    """x sigmoid(beta x)"""
    return x * sigmoid(beta * x)


@ops.elementwise
def gelu_by_erf(x):
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@ops.elementwise
def rational(x):
    return x / (1 + abs(x) + x**2)


@ops.elementwise
def swiglu(x, gate, *, beta=1.0):
    return x * gate * sigmoid(beta * gate)


@ops.elementwise
def weighted_huber(x, t, weight, *, delta=1.0):
    distance = fabs(x - t)
    return weight * where(distance <= delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))


@ops.elementwise
def long_one(x, y):
    square = x * x + y * y
    wave = tanh(x) * exp(-0.5 * square) + log1p(square)
    return where((x > y) & (square < 9), wave / (1 + square), sqrt(1 + square) - wave * wave + x**3 / (2 + fabs(y)))


@ops.elementwise
def both_parts(x, y):
    """Two results."""
    return x * y, x / (1 + y * y)


SINGLE = [swish, gelu_by_erf, rational, swiglu, weighted_huber, long_one]
DTYPES = one_quick([np.float32, np.float64])


def arguments_of(formula: Any, shape: Any = (3, 37), dtype: Any = np.float64, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(scale=2.0, size=shape).astype(dtype) for _ in formula.arrays]


def exactly(formula: Any, arrays: list[np.ndarray], **parameters: float) -> np.ndarray:
    """The function itself, over one float64 number after the other."""
    wide = np.broadcast_arrays(*(np.asarray(array, np.float64) for array in arrays))
    values = [formula.__wrapped__(*numbers, **parameters) for numbers in zip(*(x.flat for x in wide), strict=True)]
    return np.array(values).reshape(wide[0].shape)


def gradients(formula: Any, grad: Any, *arrays: Any) -> tuple[Any, ...]:
    """Those by each array, of one too in a tuple."""
    found = formula.backward(grad, *arrays)
    return found if isinstance(found, tuple) else (found,)


def slopes(formula: Any, arrays: list[np.ndarray], **parameters: float) -> list[np.ndarray]:
    """Central differences of the function, element by element."""
    found = []
    for place in range(len(arrays)):

        def total(x: np.ndarray, place: int = place) -> float:
            return float(exactly(formula, [*arrays[:place], x, *arrays[place + 1 :]], **parameters).sum())

        found.append(central_difference(total, np.asarray(arrays[place], np.float64)))
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("formula", few_on_gpu(SINGLE, swish, swiglu, weighted_huber), ids=lambda one: one.__name__)
def test_values_are_those_of_the_function(backend: Arrays, formula: Any, dtype: Any) -> None:
    given = arguments_of(formula, dtype=dtype)
    result = backend.get(formula(*map(backend.put, given)))
    assert result.dtype == dtype
    # A few roundings of one half each, of terms not much larger than 1 or than the result.
    assert_ulp(result, exactly(formula, given), 8, floor=1.0)


@pytest.mark.parametrize("formula", few_on_gpu(SINGLE, swiglu, weighted_huber), ids=lambda one: one.__name__)
def test_gradients_are_central_differences(backend: Arrays, formula: Any) -> None:
    given = arguments_of(formula, (2, 9))
    grad = arguments_of(swish, (2, 9), seed=1)[0]
    found = gradients(formula, backend.put(grad), *map(backend.put, given))
    for gradient, slope in zip(found, slopes(formula, given), strict=True):
        np.testing.assert_allclose(backend.get(gradient), grad * slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("formula", few_on_gpu(SINGLE, swiglu), ids=lambda one: one.__name__)
def test_float32_gradients_are_those_of_float64_but_for_roundings(backend: Arrays, formula: Any) -> None:
    given = arguments_of(formula, (5, 21), np.float32)
    grad = arguments_of(swish, (5, 21), np.float32, seed=1)[0]
    found = gradients(formula, backend.put(grad), *map(backend.put, given))
    exact = gradients(formula, *(x.astype(np.float64) for x in (grad, *given)))
    for gradient, wide in zip(found, exact, strict=True):
        assert_ulp(backend.get(gradient), wide, 16, floor=1.0)


def test_parameters_are_numbers_of_the_call(backend: Arrays) -> None:
    x, gate = arguments_of(swiglu)
    result = swiglu(backend.put(x), backend.put(gate), beta=-0.25)
    assert_ulp(backend.get(result), exactly(swiglu, [x, gate], beta=-0.25), 8, floor=1.0)
    _, by_gate = swiglu.backward(1.0, backend.put(x), backend.put(gate), beta=-0.25)
    np.testing.assert_allclose(backend.get(by_gate), slopes(swiglu, [x, gate], beta=-0.25)[1], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000, 40_000])
def test_every_size_gives_every_element(backend: Arrays, size: int, small_arrays_shared: None) -> None:
    x, gate = arguments_of(swiglu, size, np.float32)
    y = backend.get(swiglu(backend.put(x), backend.put(gate)))
    dx, dgate = map(backend.get, swiglu.backward(backend.put(x), backend.put(x), backend.put(gate)))
    assert y.shape == dx.shape == dgate.shape == (size,)
    one_by_one = min(size, 50)
    for i in range(one_by_one):
        last = size - one_by_one + i
        alone = backend.put(x[last : last + 1]), backend.put(gate[last : last + 1])
        assert_same_bits(y[last : last + 1], backend.get(swiglu(*alone)))
        for whole, part in zip((dx, dgate), swiglu.backward(alone[0], *alone), strict=True):
            assert_same_bits(whole[last : last + 1], backend.get(part))


def test_memory_may_lie_in_any_way(backend: Arrays) -> None:
    x, gate = arguments_of(swiglu, (6, 20), np.float32)
    for name, view in layouts(x, backend.xp):
        y = swiglu(view, backend.put(gate))
        same = swiglu(backend.put(backend.get(view).astype(np.float32)), backend.put(gate))
        assert_same_bits(backend.get(y), backend.get(same), name)
        grads = swiglu.backward(view, view, backend.put(gate))
        copies = backend.put(backend.get(view).astype(np.float32))
        for one, other in zip(grads, swiglu.backward(copies, copies, backend.put(gate)), strict=True):
            assert_same_bits(backend.get(one), backend.get(other), name)


# ---- broadcasting, numbers, dtypes


def test_arrays_are_broadcast_and_gradients_summed_over_it(backend: Arrays) -> None:
    x, gate = arguments_of(swiglu, (4, 3))[0], arguments_of(swiglu, (3,), seed=2)[1]
    result = swiglu(backend.put(x), backend.put(gate))
    assert_ulp(backend.get(result), exactly(swiglu, [x, gate]), 8, floor=1.0)
    dx, dgate = swiglu.backward(1.0, backend.put(x), backend.put(gate))
    by_x, by_gate = slopes(swiglu, [x, np.broadcast_to(gate, x.shape)])
    np.testing.assert_allclose(backend.get(dx), by_x, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(backend.get(dgate), by_gate.sum(axis=0), rtol=1e-7, atol=1e-8)


def test_a_number_takes_the_dtype_of_the_arrays_beside_it(backend: Arrays) -> None:
    x = arguments_of(swiglu, 20, np.float32)[0]
    result = swiglu(backend.put(x), 2)
    assert_same_bits(backend.get(result), backend.get(swiglu(backend.put(x), backend.put(np.full(20, 2, np.float32)))))
    dx, dgate = swiglu.backward(backend.put(x), backend.put(x), 2)
    assert backend.get(dx).dtype == np.float32
    assert backend.get(dx).shape == (20,)
    whole = swiglu.backward(backend.put(x), backend.put(x), backend.put(np.full(20, 2, np.float32)))[1]
    np.testing.assert_allclose(float(backend.get(dgate)), backend.get(whole).astype(np.float64).sum(), rtol=1e-6)


def test_of_numbers_alone_the_result_is_a_number() -> None:
    result = swiglu(1, 2.0)
    assert isinstance(result, np.float64)
    assert result == pytest.approx(2 / (1 + math.exp(-2)))
    assert isinstance(swiglu(np.float32(1), np.array(2, np.float32)), np.float32)
    assert isinstance(swiglu(np.array(1.0), np.array(2.0), beta=2), np.float64)
    assert swiglu([1.0, 2.0], 10**400).tolist() == [np.inf, np.inf]  # beyond all floats
    dx, dgate = swiglu.backward(np.array(1.0), np.array(1.0), np.array(2.0))
    assert isinstance(dx, np.float64)
    assert isinstance(dgate, np.float64)


def test_integers_take_the_dtype_of_the_floats_beside_them(backend: Arrays) -> None:
    x = backend.put(np.float32([1, 2, 3]))
    assert_same_bits(
        backend.get(swiglu(x, backend.put(np.array([1, 0, 2])))), backend.get(swiglu(x, backend.put([1, 0, 2], "f4")))
    )
    assert backend.get(swiglu(backend.put([True, False]), backend.put([1, 2]))).dtype == np.float64


@pytest.mark.parametrize("dtype", few_on_gpu([np.float16, bfloat16], np.float16))
def test_16_bit_floats_are_computed_in_float32_and_rounded_once(backend: Arrays, dtype: Any) -> None:
    given = [x.astype(dtype) for x in arguments_of(swiglu, 50)]
    wide = [backend.put(x.astype(np.float32)) for x in given]
    narrow = [backend.put(x) for x in given]
    result = backend.get(swiglu(*narrow))
    assert_same_bits(result, backend.get(swiglu(*wide)).astype(dtype))
    grads = zip(swiglu.backward(narrow[0], *narrow), swiglu.backward(wide[0], *wide), strict=True)
    for one, other in grads:
        assert_same_bits(backend.get(one), backend.get(other).astype(dtype))


# ---- out


def test_results_are_written_to_out_which_may_be_an_argument(backend: Arrays) -> None:
    x, gate = arguments_of(swiglu, 30, np.float32)
    expected = backend.get(swiglu(backend.put(x), backend.put(gate)))
    for place in range(2):
        given = [backend.put(x), backend.put(gate)]
        assert swiglu(*given, out=given[place]) is given[place]
        assert_same_bits(backend.get(given[place]), expected)
    grads = [backend.get(one) for one in swiglu.backward(backend.put(x), backend.put(x), backend.put(gate))]
    given = [backend.put(x), backend.put(gate)]
    written = swiglu.backward(backend.put(x), *given, out=(given[1], None))
    assert written[0] is given[1]
    for one, other in zip(written, grads, strict=True):
        assert_same_bits(backend.get(one), other)


def test_out_is_untouched_by_what_is_refused(backend: Arrays) -> None:
    x = backend.put(np.ones(3, np.float32))
    out = backend.put(np.full(3, 7, np.float32))
    for call in (
        lambda: swiglu(x, backend.put(np.ones(4, np.float32)), out=out),
        lambda: swiglu(x, x, beta=math.inf, out=out),
        lambda: swiglu.backward(backend.put(np.ones(4, np.float32)), x, x, out=(out, None)),
        lambda: swiglu.backward(x, x, x, out=(out, out)),
    ):
        with pytest.raises(ValueError, match=r"must"):
            call()
    np.testing.assert_array_equal(backend.get(out), 7)


# ---- several results, options, other formulas


def test_a_formula_may_have_several_results(backend: Arrays) -> None:
    given = arguments_of(both_parts, 25)
    x, y = map(backend.put, given)
    product, quotient = both_parts(x, y)
    np.testing.assert_array_equal(backend.get(product), given[0] * given[1])
    np.testing.assert_array_equal(backend.get(quotient), given[0] / (1 + given[1] * given[1]))
    dx, dy = both_parts.backward((2.0, None), x, y)
    np.testing.assert_array_equal(backend.get(dx), 2 * given[1])
    np.testing.assert_array_equal(backend.get(dy), 2 * given[0])
    dx, dy = both_parts.backward((x, y), x, y)
    a, b = given
    np.testing.assert_allclose(backend.get(dx), a * b + b / (1 + b * b), rtol=1e-14)
    np.testing.assert_allclose(backend.get(dy), a * a - b * 2 * a * b / (1 + b * b) ** 2, rtol=1e-12)
    out = backend.put(given[0]), backend.put(given[0])
    assert all(one is other for one, other in zip(both_parts(x, y, out=out), out, strict=True))


def test_an_option_is_known_to_python() -> None:
    @ops.elementwise
    def activated(x, *, approximate="none", twice=False):
        y = tanh(x) if approximate == "tanh" else erf(x)
        for _ in range(3):
            y = y + 1
        return 2 * y if twice else y

    x = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(activated(x, approximate="tanh", twice=True), 2 * np.tanh(x) + 6, rtol=1e-15)
    np.testing.assert_allclose(activated(x), [math.erf(one) + 3 for one in x], rtol=1e-15)


def test_formulas_and_plain_functions_may_be_called_in_formulas(backend: Arrays) -> None:
    def squashed(v):
        return v / (1 + fabs(v))

    @ops.elementwise
    def outer(x, y):
        first, second = both_parts(squashed(x), y)
        return swish(first, beta=2.0) + second * formulas.softplus(x)

    def plain(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u = x / (1 + np.abs(x))
        return u * y / (1 + np.exp(-2 * u * y)) + u / (1 + y * y) * np.log1p(np.exp(x))

    x, y = arguments_of(outer, 40)
    np.testing.assert_allclose(backend.get(outer(backend.put(x), backend.put(y))), plain(x, y), rtol=1e-13)
    dx, dy = outer.backward(1.0, backend.put(x), backend.put(y))
    h = 1e-5
    np.testing.assert_allclose(backend.get(dx), (plain(x + h, y) - plain(x - h, y)) / (2 * h), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(backend.get(dy), (plain(x, y + h) - plain(x, y - h)) / (2 * h), rtol=1e-6, atol=1e-8)


def test_numpy_s_functions_are_those_of_formulas() -> None:
    @ops.elementwise
    def with_numpy(x):
        return np.where(np.logical_and(x > np.float32(0), x < 2), np.exp(np.minimum(x, 1)), np.abs(x) * np.square(x))

    x = np.linspace(-3, 3, 25)
    expected = np.where((x > 0) & (x < 2), np.exp(np.minimum(x, 1)), np.abs(x) ** 3)
    np.testing.assert_allclose(with_numpy(x), expected, rtol=1e-15)


def test_what_a_formula_refers_to_may_change_between_calls() -> None:
    space: dict[str, Any] = {"ops": ops, "factor": 2.0}
    exec(  # as cells of a notebook do it
        "def helper(v):\n    return factor * v\n\n@ops.elementwise\ndef scaled(x):\n    return helper(x) + 1\n", space
    )
    scaled, x = space["scaled"], np.float32([1, 2])
    np.testing.assert_array_equal(scaled(x), [3, 5])
    space["factor"] = 3.0
    for _ in range(2):
        np.testing.assert_array_equal(scaled(x), [4, 7])
    exec("def helper(v):\n    return v * v\n", space)
    for _ in range(2):
        np.testing.assert_array_equal(scaled(x), [2, 5])
    np.testing.assert_array_equal(scaled.backward(np.float32([1, 1]), x), [2, 4])

    exec("@ops.elementwise\ndef outer(x):\n    return scaled(x) * 2\n", space)
    outer = space["outer"]
    np.testing.assert_array_equal(outer(x), [4, 10])
    exec("def helper(v):\n    return factor * v\n", space)
    np.testing.assert_array_equal(outer(x), [8, 14])
    space["factor"] = 1.0
    np.testing.assert_array_equal(outer(x), [4, 6])
    scaled.derivative(lambda x: 100)
    np.testing.assert_array_equal(outer.backward(1.0, x), [200, 200])


def test_a_formula_is_pickled_by_its_name_and_shown_by_its_signature() -> None:
    assert pickle.loads(pickle.dumps(swiglu)) is swiglu
    assert repr(swiglu) == "<formula swiglu(x, gate, /, *, out=None, beta=1.0)>"
    assert swish.__doc__ == "x sigmoid(beta x)"
    assert (swiglu.arrays, dict(swiglu.parameters)) == (("x", "gate"), {"beta": 1.0})


# ---- derivatives


def test_the_slope_of_what_is_not_taken_does_not_count(backend: Arrays) -> None:
    @ops.elementwise
    def root(x, y):
        return where(x > 0, sqrt(x), 2 * y)

    x = backend.put([4.0, 0.0, -1.0])
    dx, dy = root.backward(1.0, x, backend.put([math.inf, 1.0, 1.0]))
    np.testing.assert_array_equal(backend.get(dx), [0.25, 0, 0])
    np.testing.assert_array_equal(backend.get(dy), [0, 2, 2])


def test_what_a_result_does_not_depend_on_has_gradient_0(backend: Arrays) -> None:
    @ops.elementwise
    def first(x, y):
        return x

    dx, dy = first.backward(backend.put([math.nan, 2.0]), backend.put([1.0, 1.0]), backend.put([1.0, math.inf]))
    np.testing.assert_array_equal(backend.get(dx), [math.nan, 2])
    np.testing.assert_array_equal(backend.get(dy), [0, 0])


def test_an_author_s_own_derivative_is_taken_in_other_formulas_too() -> None:
    @ops.elementwise
    def one_less_tanh(x):
        return 1 - tanh(x)

    x = np.float32([5.0, 12.0])
    exact = -1 / np.cosh(x.astype(np.float64)) ** 2

    @one_less_tanh.derivative
    def slope(x):
        return -4 * exp(-2 * fabs(x)) / (1 + exp(-2 * fabs(x))) ** 2 + 1000

    @ops.elementwise
    def doubled(x):
        return 2 * one_less_tanh(x)

    np.testing.assert_allclose(one_less_tanh.backward(np.ones(2, np.float32), x), exact + 1000, rtol=1e-6)
    np.testing.assert_allclose(doubled.backward(np.ones(2, np.float32), x), 2 * (exact + 1000), rtol=1e-6)

    own = ops.elementwise(both_parts.__wrapped__)

    @own.derivative
    def of_both(x, y):
        return (y, x), (1 / (1 + y * y), 7.0)

    a, b = arguments_of(own, 9)
    dx, dy = own.backward((a, b), a, b)
    np.testing.assert_allclose(dx, a * b + b / (1 + b * b), rtol=1e-13)
    np.testing.assert_allclose(dy, a * a + b * 7, rtol=1e-13)


# ---- in layers and autodiff


def test_a_formula_is_an_activation_of_linear(backend: Arrays) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    kept = backend.xp.empty((5, 4))
    y = ops.linear(*map(backend.put, (x, w, b)), activation=swish, preactivation=kept, beta=1.5)
    np.testing.assert_allclose(backend.get(y), exactly(swish, [x @ w + b], beta=1.5), rtol=1e-12)
    _, dw, _ = ops.linear_backward(backend.put(y), kept, backend.put(x), backend.put(w), activation=swish, beta=1.5)
    slope = slopes(swish, [x @ w + b], beta=1.5)[0]
    np.testing.assert_allclose(backend.get(dw), x.T @ (backend.get(y) * slope), rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match="formula of one array with one result"):
        ops.linear(x, w, activation=swiglu)


def test_a_formula_of_variables_is_one(backend: Arrays) -> None:
    given = arguments_of(swiglu, (4, 3))[0], arguments_of(swiglu, 3)[1]

    def loss(x: Any, gate: Any) -> Any:
        product, quotient = both_parts(swiglu(x, gate, beta=2.0), gate)
        return (product * quotient).sum()

    def plain(x: np.ndarray, gate: np.ndarray) -> float:
        y = x * gate / (1 + np.exp(-2 * gate))
        return float((y * gate * y / (1 + gate * gate)).sum())

    value, grads = autodiff.value_and_grad(loss, (0, 1))(*map(backend.put, given))
    assert float(backend.get(value)) == pytest.approx(plain(*given))
    found = map(backend.get, grads)
    for place, gradient in enumerate(found):
        expected = central_difference(
            lambda x, place=place: plain(*(x if i == place else one for i, one in enumerate(given))), given[place]
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
    weights = np.random.default_rng(0).normal(size=(3, 2))
    by_weights = autodiff.grad(lambda w: autodiff.linear(backend.put(given[0]), w, activation=swish).sum())
    slope = slopes(swish, [given[0] @ weights])[0]
    np.testing.assert_allclose(backend.get(by_weights(backend.put(weights))), given[0].T @ slope, rtol=1e-6, atol=1e-8)
    with pytest.raises(TypeError, match="takes no out"):
        swish(autodiff.Variable(1.0), out=np.empty(()))


def test_an_infinite_slope_of_another_result_is_not_gone_through() -> None:
    @ops.elementwise
    def parts(x):
        return 3 * x, sqrt(x)

    assert autodiff.grad(lambda x: parts(x)[0].sum())(np.zeros(2)).tolist() == [3, 3]
