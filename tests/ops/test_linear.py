"""Linear layers: products, bias and activation forward, all three gradients back, for any shape and dtype.

Where x, w and b are small multiples of 1/4, every product and sum is exact in float32: whatever order BLAS adds
in, x @ w + b is one number, and results can be compared to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from elementwise_reference import ACTIVATIONS, ONE_OF_EACH_KIND, each
from layers import layer, product
from numerics import Arrays, assert_same_bits, assert_ulp, central_difference, quarters, quick

from softgrad import ops

DIFFERENTIABLE = [name for name, row in ops.ACTIVATIONS.items() if row.backward]


# ---- every activation


@pytest.mark.parametrize("name", quick(ops.ACTIVATIONS, *ONE_OF_EACH_KIND))
def test_forward_is_the_activation_of_the_product(backend: Arrays, name: str) -> None:
    x, w, b = layer()
    z = product(x, w, b)
    expected = backend.get(getattr(ops, name)(backend.put(z)))
    # Kept or not, as backward needs it; one kernel of the two for each activation, since compiling is what takes time.
    kept = backend.xp.zeros(z.shape, z.dtype) if ops.ACTIVATIONS[name].saved == "input" else None
    result = ops.linear(backend.put(x), backend.put(w), backend.put(b), activation=name, preactivation=kept)
    assert_same_bits(backend.get(result), expected)
    if kept is not None:
        assert_same_bits(backend.get(kept), z)


def test_preactivation_need_not_be_kept(backend: Arrays) -> None:
    x, w, b = layer()
    expected = backend.get(ops.silu(backend.put(product(x, w, b))))
    result = ops.linear(backend.put(x), backend.put(w), backend.put(b), activation="silu")
    assert_same_bits(backend.get(result), expected)


@pytest.mark.parametrize("name", quick(DIFFERENTIABLE, *ONE_OF_EACH_KIND))
def test_backward_is_that_of_the_activation_and_the_product(backend: Arrays, name: str) -> None:
    x, w, b = layer()
    z = backend.put(product(x, w, b))
    grad = backend.put(quarters(np.random.default_rng(1), 9, 7))
    saved = z if ops.ACTIVATIONS[name].saved == "input" else getattr(ops, name)(z)
    dz = backend.get(getattr(ops, f"{name}_backward")(grad, saved)).astype(np.float64)
    dx, dw, db = ops.linear_backward(grad, saved, backend.put(x), backend.put(w), activation=name)
    check_gradients(backend, (dx, dw, db), dz, x, w)


def check_gradients(backend: Arrays, found: tuple[Any, Any, Any], dz: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
    """Against float64 sums: of n terms each rounded once when added, measured against the sum of their sizes."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    dx, dw, db = reference.linear_backward(dz, x, w)
    sizes = reference.linear_backward(abs(dz), abs(x), abs(w))
    rows, outputs = dz.reshape(-1, dz.shape[-1]).shape
    assert_ulp(backend.get(found[0]), dx, 1 + outputs, floor=sizes[0])
    assert_ulp(backend.get(found[1]), dw, 1 + rows, floor=sizes[1])
    assert_ulp(backend.get(found[2]), db, 0.51, floor=sizes[2] * 1e-8)  # added in float64


def test_parameters_of_the_activation_are_passed_on(backend: Arrays) -> None:
    x, w, b = layer()
    z, arguments = backend.put(product(x, w, b)), [backend.put(array) for array in (x, w, b)]
    result = ops.linear(*arguments, activation="hardtanh", min_value=-0.5, max_value=3)
    assert_same_bits(backend.get(result), backend.get(ops.hardtanh(z, min_value=-0.5, max_value=3)))
    grad = backend.xp.ones(z.shape, z.dtype)
    _, _, db = ops.linear_backward(grad, z, *arguments[:2], activation="elu", alpha=0.25)
    expected = backend.get(ops.elu_backward(grad, z, alpha=0.25)).astype(np.float64).sum(axis=0)
    assert_ulp(backend.get(db), expected, 0.51)


@pytest.mark.parametrize("name", [None, "sigmoid", "silu"])  # none; one that keeps its output; one its input
def test_gradients_are_the_slopes_of_forward(backend: Arrays, name: str | None) -> None:
    rng = np.random.default_rng(2)
    arguments = [rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)]
    grad = rng.normal(size=(4, 5))

    def f(place: int) -> Callable[[np.ndarray], float]:
        def loss(values: np.ndarray) -> float:
            given = [backend.put(values if i == place else array) for i, array in enumerate(arguments)]
            output = ops.linear(*given, activation=name, preactivation=backend.xp.zeros((4, 5)))
            return float((backend.get(output) * grad).sum())

        return loss

    given = [backend.put(array) for array in arguments]
    kept = backend.xp.zeros((4, 5))
    output = ops.linear(*given, activation=name, preactivation=kept)
    saved = None if name is None else kept if ops.ACTIVATIONS[name].saved == "input" else output
    gradients = ops.linear_backward(backend.put(grad), saved, *given[:2], activation=name)
    for place, gradient in enumerate(gradients):
        numeric = central_difference(f(place), arguments[place])
        np.testing.assert_allclose(backend.get(gradient), numeric, rtol=1e-7, atol=1e-9)


# ---- shapes and dtypes


# Leading axes of every number; no rows, no inputs; widths around the 64 columns of a backward step; more than
# 128 KiB, which threads share.
SHAPES = [((5,), 7), ((2, 3, 5), 7), ((0, 5), 7), ((4, 0), 7), ((4, 5), 0), ((3, 4), 1), ((9, 5), 63), ((9, 5), 64)]
SHAPES += [((9, 5), 65), ((301, 3), 130)]


@pytest.mark.parametrize(("shape", "outputs"), SHAPES)
def test_any_shape(backend: Arrays, shape: tuple[int, ...], outputs: int) -> None:
    x, w, b = layer(shape, outputs)
    z = product(x, w, b)
    result = ops.linear(backend.put(x), backend.put(w), backend.put(b), activation="relu")
    assert_same_bits(backend.get(result), np.maximum(z, 0))
    assert_same_bits(backend.get(ops.linear(backend.put(x), backend.put(w))), product(x, w))

    grad = quarters(np.random.default_rng(3), *z.shape)
    dx, dw, db = ops.linear_backward(backend.put(grad), result, backend.put(x), backend.put(w), activation="relu")
    expected = reference.linear_backward(np.where(z > 0, grad, 0).astype(np.float64), x, w)
    for found, gradient in zip((dx, dw, db), expected, strict=True):
        assert_same_bits(backend.get(found), gradient.astype(np.float32))  # exact: sums of sixteenths


def test_float16_is_computed_in_float32(backend: Arrays) -> None:
    rng = np.random.default_rng(4)
    x, w, b = (rng.normal(size=shape).astype(np.float16) for shape in [(9, 50), (50, 7), (7,)])
    kept = backend.xp.zeros((9, 7), np.float16)
    y = ops.linear(*map(backend.put, (x, w, b)), activation="silu", preactivation=kept)
    z = reference.linear(*(array.astype(np.float64) for array in (x, w, b)))
    assert y.dtype == np.float16
    ulp = 0.51 if backend.backend.name == "cpu" else 3  # there products are rounded, and what is made of them
    assert_ulp(backend.get(kept), z, ulp, floor=0.5)
    assert_ulp(backend.get(y), each(ACTIVATIONS["silu"].forward, z), ulp, floor=0.5)

    grad = rng.normal(size=(9, 7)).astype(np.float16)
    gradients = ops.linear_backward(backend.put(grad), kept, backend.put(x), backend.put(w), activation="silu")
    slope = each(ACTIVATIONS["silu"].slope, backend.get(kept).astype(np.float64)).astype(np.float64)
    expected = reference.linear_backward(grad * slope, x.astype(np.float64), w.astype(np.float64))
    for found, gradient in zip(gradients, expected, strict=True):
        assert found.dtype == np.float16
        assert_ulp(backend.get(found), gradient, ulp, floor=0.5)


def test_integers_are_computed_in_float64(backend: Arrays) -> None:
    x, w = backend.put([[1, 2]]), backend.put([[3], [4]])
    assert_same_bits(backend.get(ops.linear(x, w, backend.put([5]))), np.array([[16.0]]))


def test_infinities_and_nan_go_where_they_must_without_a_warning(backend: Arrays) -> None:
    x, w = backend.put([[np.inf, 1.0], [np.nan, 1.0], [3e300, 1.0]]), backend.put([[1e10, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(backend.get(ops.linear(x, w)), [[np.inf, np.nan], [np.nan, np.nan], [np.inf, 1.0]])
