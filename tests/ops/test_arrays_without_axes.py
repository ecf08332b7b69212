"""Numbers and arrays without axes: taken wherever an array is, and given back as NumPy's own functions give them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from numerics import Arrays, assert_ulp, loss_dtype, quick

from softgrad import ops
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES

FORWARDS = [name for name in ops.ACTIVATIONS if hasattr(ops, name)]
BACKWARDS = [f"{name}_backward" for name, row in ops.ACTIVATIONS.items() if row.backward]
NORMALISED = ["softmax", "log_softmax"]
NORMALISED_BACKWARDS = ["softmax_backward", "log_softmax_backward"]
OF_ONE = [*FORWARDS, *BACKWARDS, *NORMALISED, *NORMALISED_BACKWARDS, "logsumexp", "self_information"]
LOSSES = [*ELEMENTWISE_LOSSES, *(f"{name}_with_grad" for name in ELEMENTWISE_LOSSES)]

# One of each way that a function goes.
QUICK = ["relu", "relu_backward", "softmax", "log_softmax_backward", "logsumexp", "self_information", "entropy"]

# Numbers in every form, with the dtype of their results.
FORMS: list[tuple[Callable[[float], Any], type]] = [
    (float, np.float64), (np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float16),
    (lambda x: np.array(x, np.float32), np.float32), (lambda x: np.array(x), np.float64), (lambda x: 1, np.float64),
    (lambda x: True, np.float64), (lambda x: np.array(1, np.int8), np.float64),
]  # fmt: skip


def arrays_of(name: str, value: Any) -> list[Any]:
    """The value for each array that the function takes."""
    parameters = inspect.signature(getattr(ops, name)).parameters.values()
    return [value for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]


@pytest.mark.parametrize("name", quick(OF_ONE, "relu", "relu_backward", "softmax", "self_information"))
def test_a_number_gives_a_number(name: str) -> None:
    op = getattr(ops, name)
    for form, dtype in FORMS:
        given = arrays_of(name, form(0.75))
        result = op(*given)
        assert type(result) is dtype, form
        expected = op(*(np.asarray(value).reshape(1) for value in given))
        np.testing.assert_array_equal(result, expected if expected.ndim == 0 else expected[0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", quick(LOSSES, "huber_loss", "sigmoid_cross_entropy_with_grad"))
def test_losses_of_a_number_are_numbers(name: str, reduction: str) -> None:
    op = getattr(ops, name)
    for form, dtype in FORMS:
        found = op(form(0.75), 1, reduction=reduction)
        loss, *grads = found if isinstance(found, tuple) else (found,)
        assert type(loss) is loss_dtype(dtype), form
        assert [type(grad) for grad in grads] == [dtype] * len(grads), form


def test_a_loss_of_one_row_is_a_number() -> None:
    for targets in (1, [0.25, 0.75]):
        assert type(ops.softmax_cross_entropy([1.0, 2.0], targets, reduction="none")) is np.float64
    loss, grad = ops.softmax_cross_entropy_with_grad(np.float32([1, 2]), 1, reduction="none")
    assert (type(loss), grad.shape) == (np.float32, (2,))


@pytest.mark.parametrize("name", quick([*OF_ONE, "entropy"], *QUICK))
def test_without_axes_on_every_backend(backend: Arrays, name: str) -> None:
    """On a GPU what has no axes stays an array there; `out` of that shape is written and returned."""
    op = getattr(ops, name)
    number = backend.put(1.0)
    result = op(*arrays_of(name, number))
    assert backend.get(result).shape == ()
    if "out" in inspect.signature(op).parameters:
        out = backend.put(7.0)
        assert op(*arrays_of(name, number), out=out) is out
        np.testing.assert_array_equal(backend.get(out), backend.get(result))


@pytest.mark.parametrize("axis", [-1, 0, None, (), np.array(0), np.int8(-1)])
def test_a_number_has_the_axes_that_numpy_gives_it(axis: Any) -> None:
    assert float(np.sum(3.0, axis=axis)) == 3.0
    assert ops.softmax(1000.0, axis=axis) == 1.0
    assert ops.log_softmax(1000.0, axis=axis, temperature=0.5) == 0.0
    assert ops.logsumexp(1000.0, axis=axis) == 1000.0
    assert ops.logsumexp(1000.0, axis=axis, keepdims=True) == 1000.0
    assert ops.softmax_backward(2.0, 1.0, axis=axis) == 0.0
    assert ops.log_softmax_backward(2.0, 0.0, axis=axis) == 0.0
    assert ops.entropy(1.0, axis=axis) == ops.kl_divergence(1.0, 1.0, axis=axis) == 0.0
    assert ops.perplexity(1.0, axis=axis) == 1.0
    with pytest.raises(ValueError, match=r"^p must hold distributions along axis .*; row \(?0?\)? sums to 0.5"):
        ops.entropy(0.5, axis=axis)


@pytest.mark.parametrize("axis", [1, -2, (0,), 2**70])
def test_a_number_has_no_other_axes(axis: Any) -> None:
    for op in (ops.softmax, ops.logsumexp, ops.entropy):
        with pytest.raises(ValueError, match=r"integers in .* for shape \(\); got "):
            op(1.0, axis=axis)


def test_edges_of_a_number() -> None:
    for op in (ops.softmax, ops.log_softmax):
        assert math.isnan(op(math.nan))
        assert math.isnan(op(math.inf))
        assert math.isnan(op(-math.inf))
    assert (ops.logsumexp(math.inf), ops.logsumexp(-math.inf)) == (math.inf, -math.inf)
    assert (ops.softmax(1.0, where=False), ops.log_softmax(1.0, where=False)) == (0.0, -math.inf)
    assert (ops.logsumexp(1.0, where=False), ops.softmax(1.0, where=True)) == (-math.inf, 1.0)


# ---- SciPy, whose functions are over all axes by default

X = np.array([[-25.0, 0.0, 25.0, 50.0], [1.0, 325.0, 749.0, 750.0]])
LIKE_SCIPY: list[tuple[Any, dict[str, Any]]] = [
    (1000, {}), (1000.0, {}), (np.float32(-3), {}), ([1000, 0, 0, 0], {}), ([1.0, 1.0], {}), (np.arange(4.0), {}),
    (np.arange(4.0).reshape(2, 2) + 100, {}), (X, {"axis": 1}), (X.T, {"axis": 0}), (X, {"axis": 0}), (X, {}),
    (X.reshape(2, 2, 2), {"axis": (1, 2)}), (X.reshape(2, 2, 2), {"axis": (-1, 0)}), (np.float32(X), {"axis": 1}),
    (np.full(1000, 10000), {}), (np.arange(200.0), {}), (np.log([1e-40] * 100_000), {}), ([-np.inf, 1.0], {}),
    ([[1e10, 1e-10], [-1e10, -np.inf]], {"axis": -1}), ([], {}), (np.zeros((0, 3)), {"axis": 1}),
]  # fmt: skip


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_like_scipy(name: str) -> None:
    for x, options in LIKE_SCIPY:
        if name != "logsumexp" and np.size(x) == 0:
            continue  # SciPy raises
        expected = getattr(scipy.special, name)(x, **options)
        found = getattr(ops, name)(x, **{"axis": None, **options})
        assert np.shape(found) == np.shape(expected)
        assert found.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, rtol=1e-13 if found.dtype == np.float64 else 1e-6, atol=1e-10)


def test_elementwise_like_scipy() -> None:
    x = np.array([-np.inf, -750.0, -40.0, -1e-300, 0.0, 1e-8, 0.5, 36.0, 750.0, np.inf, np.nan])
    assert_ulp(ops.sigmoid(x), scipy.special.expit(x), 4)
    assert_ulp(ops.log_sigmoid(x), scipy.special.log_expit(x), 4)
    p = np.array([0.0, 5e-324, 0.25, 1.0])
    np.testing.assert_allclose(ops.entropy(p[:, None], validate=False), scipy.special.entr(p), rtol=1e-15, atol=0)
    p = np.array([0.0, 1e-300, 0.25, 1.0])
    q = p[::-1].copy()
    found = ops.kl_divergence(p[:, None], q[:, None], validate=False)
    np.testing.assert_allclose(found, scipy.special.kl_div(p, q), rtol=1e-13, atol=0)


def test_hardtanh_of_equal_limits_is_a_constant(backend: Arrays) -> None:
    x = backend.put([-1.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(backend.get(ops.hardtanh(x, min_value=0, max_value=0)), [0, 0, 0, np.nan])
    np.testing.assert_array_equal(backend.get(ops.hardtanh(x, min_value=1.5, max_value=1.5)), [1.5] * 3 + [np.nan])
    y = backend.put([0.0, 0.0, 0.0])
    grad = ops.hardtanh_backward(backend.put([1.0, np.inf, -1.0]), y, min_value=0, max_value=0)
    np.testing.assert_array_equal(backend.get(grad), [0, 0, 0])
    with pytest.raises(ValueError, match=r"^hardtanh: min_value must not be above max_value; got 1 and 0$"):
        ops.hardtanh(x, min_value=1, max_value=0)
