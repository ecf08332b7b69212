"""Automatic differentiation: what is refused, and what is said then."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softgrad import ops
from softgrad.ops import autodiff


def total(x: Any) -> Any:
    return x.sum()


class OnCard:
    """An array in a GPU's memory, for all who ask."""

    __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012


# ---- what is to be differentiated by

NO_NUMBERS = [
    (True, "argument 0 must hold numbers to have a gradient; got bool; convert it, as in x.astype(float)"),
    ({"w": [np.ones(2), np.arange(3) > 1]}, "argument 0['w'][1] must hold numbers to have a gradient; got bool"),
    (np.ones(2, complex), "argument 0 must be an array of real numbers"),
    ("x", "argument 0 must be an array of real numbers"),
    (np.array([None]), "argument 0 must be an array of real numbers"),
]


@pytest.mark.parametrize(("argument", "message"), NO_NUMBERS)
def test_only_numbers_have_a_gradient(argument: Any, message: str) -> None:
    for transform in (autodiff.grad, autodiff.value_and_grad):
        with pytest.raises(TypeError) as caught:
            transform(lambda x: 1.0)(argument)
        assert str(caught.value).startswith(message)


def test_a_variable_holds_floats() -> None:
    assert autodiff.Variable([1, 2]).dtype == np.float64
    with pytest.raises(TypeError, match=r"^value must hold numbers to have a gradient; got bool; convert it"):
        autodiff.Variable([True])
    with pytest.raises(TypeError, match=r"^value is a Variable already; gradients of gradients are not supported"):
        autodiff.Variable(autodiff.Variable(1.0))


def test_constants_may_hold_anything() -> None:
    grad = autodiff.grad(lambda x, rows, name: (x[rows] * 2).sum() if name == "double" else x.sum())
    np.testing.assert_array_equal(grad(np.ones(3), np.array([0, 0, 2]), "double"), [4.0, 0.0, 2.0])


@pytest.mark.parametrize("argnums", [1.0, "0", [0], (0, "1"), None])
def test_argnums_are_integers(argnums: Any) -> None:
    with pytest.raises(TypeError, match=r"^argnums must be an integer or a tuple of integers; got "):
        autodiff.grad(total, argnums=argnums)


def test_argnums_name_arguments() -> None:
    with pytest.raises(ValueError, match=r"^argnums must name positional arguments, 1 here; got 1$"):
        autodiff.grad(total, argnums=1)(np.ones(2))
    with pytest.raises(ValueError, match=r"^argnums must name positional arguments, 0 here; got 0$"):
        autodiff.grad(total)(x=np.ones(2))
    with pytest.raises(ValueError, match=r"^argnums must be different; got \(0, -2\)$"):
        autodiff.grad(lambda x, y: x, argnums=(0, -2))(1.0, 1.0)


def test_f_is_a_function() -> None:
    with pytest.raises(TypeError, match=r"^f must be a function; got float64; pass f itself, not what it returns$"):
        autodiff.grad(total(np.ones(2)))


# ---- what it returns

NO_NUMBERS = [
    (lambda x: x, r"got shape \(2,\); take its sum or mean"),
    (lambda x: x[:1], r"got shape \(1,\); take its sum or mean"),
    (lambda x: x.value, r"got shape \(2,\); take its sum or mean"),
    (lambda x: (x.sum(), x.sum()), "got tuple"),
    (lambda x: None, "got NoneType"),
    (lambda x: "1", "got str"),
]


@pytest.mark.parametrize(("f", "found"), NO_NUMBERS)
def test_f_returns_a_number(f: Callable[[Any], Any], found: str) -> None:
    with pytest.raises(ValueError, match=rf"^f's result must be a number to be differentiated; {found}$"):
        autodiff.value_and_grad(f)(np.ones(2))


def test_the_result_of_gradients_is_a_number() -> None:
    x = autodiff.Variable([1.0, 2.0])
    with pytest.raises(ValueError, match=r"^result must be a number to be differentiated; got shape \(2,\)"):
        autodiff.gradients(x * 2, x)
    with pytest.raises(TypeError, match=r"^result must be a Variable; got float64; make one with autodiff.Variable$"):
        autodiff.gradients(x.value.sum(), x)
    with pytest.raises(TypeError, match=r"^variables must be a Variable; got int; make one"):
        autodiff.gradients(x.sum(), [x, 1])


def test_gradients_of_gradients_are_refused() -> None:
    """And not taken for constants, which would give a wrong number."""
    inner = autodiff.grad(lambda x: x**3)
    with pytest.raises(TypeError, match=r"^argument 0 is a Variable already; gradients of gradients are not supported"):
        autodiff.grad(inner)(2.0)
    closes_over = autodiff.grad(lambda y: autodiff.grad(lambda x: x * y)(1.0) * y)
    with pytest.raises(TypeError, match=r"^f's result depends on a Variable that is none of its arguments; pass it "):
        closes_over(2.0)


# ---- what takes no Variable


def test_integers_are_float64() -> None:
    value, grads = autodiff.value_and_grad(lambda x, n: (x**n).sum(), argnums=(0, 1))(np.arange(1, 4, dtype=np.int8), 2)
    assert float(value) == 14
    assert [grad.dtype for grad in grads] == [np.float64] * 2
    np.testing.assert_allclose(grads[0], [2, 4, 6], rtol=1e-15)


OURS = {
    np.sin: "sin", np.cos: "cos", np.exp: "exp", np.log: "log", np.tanh: "tanh", np.absolute: "abs", np.fabs: "abs",
    np.negative: "the functions", np.arctan: "the functions", np.floor: "the functions",
    np.sum: "sum", np.max: "max", np.amin: "min", np.clip: "clip", np.stack: "stack", np.concatenate: "concatenate",
    np.transpose: "transpose", np.prod: "the functions", (lambda x: np.where(True, x, 0)): "where",
    (lambda x: np.maximum(x, 0)): "maximum", (lambda x: np.add(x, 1, out=np.ones(2))): "the functions",
    np.add.reduce: "the functions",
}  # fmt: skip


@pytest.mark.parametrize("call", OURS)
def test_numpy_s_functions_say_what_to_use(call: Callable[..., Any]) -> None:
    message = (
        rf"^numpy\.[\w.]+ takes no Variable; use {OURS[call]} of softgrad.ops.autodiff, or its .value, which counts "
    )
    with pytest.raises(TypeError, match=message):
        call(autodiff.Variable([1.0, 2.0]))


def test_a_variable_becomes_no_array_and_no_number() -> None:
    x = autodiff.Variable([1.0, 2.0])
    remedy = r"use the functions of softgrad.ops.autodiff, or its .value, which counts as a constant$"
    for call in (np.asarray, np.array, lambda x: np.ones(2).dot(np.array([x, x]))):
        with pytest.raises(TypeError, match=rf"^a Variable does not become an array, which has no gradient; {remedy}"):
            call(x)
    for call in (float, int, math.sin):
        with pytest.raises(TypeError, match=rf"^a Variable does not become a number, which has no gradient; {remedy}"):
            call(x[0])
    with pytest.raises(TypeError, match=rf"^x must be an array or what can be made one; got Variable: .*{remedy}"):
        ops.softmax(x)


def test_the_truth_of_several_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="truth value of an array"):
        bool(autodiff.Variable([1.0, 2.0]))
    assert not autodiff.Variable(0.0)


def test_an_array_beside_a_variable_leaves_arithmetic_to_it() -> None:
    x, array = autodiff.Variable([1.0, 2.0]), np.array([3.0, 4.0])
    for result in (array + x, array - x, array * x, array / x, array**x, array @ x, np.float64(3) * x):
        assert isinstance(result, autodiff.Variable)
    np.testing.assert_array_equal(array > x, [True, True])
    np.testing.assert_array_equal(array == x + 2, [True, True])
    assert x.__array_ufunc__ is None  # by which CuPy knows to leave arithmetic to it
    with pytest.raises(TypeError, match=r"^numpy\.add takes no Variable"):
        array += x  # would have to become an array
    np.testing.assert_array_equal(array, [3.0, 4.0])


def test_arrays_of_a_gpu_and_of_the_host_are_not_mixed() -> None:
    x = autodiff.Variable(np.ones(2))
    for call in (lambda: x + OnCard(), lambda: OnCard() @ x, lambda: autodiff.maximum(x, OnCard())):
        with pytest.raises(TypeError, match=r"^[xy] is a \w+ array and [xy] a NumPy array; bring them to one side"):
            call()
    with pytest.raises(TypeError, match=r"^arrays\[1\] is a \w+ array and arrays\[0\] a NumPy array"):
        autodiff.concatenate([x, OnCard()])


def test_out_would_be_written_over() -> None:
    x = autodiff.Variable(np.ones((2, 3)))
    for call in (autodiff.relu, autodiff.softmax, autodiff.linear):
        arguments = (x, np.ones((3, 2))) if call is autodiff.linear else (x,)
        with pytest.raises(TypeError, match=r"^autodiff.\w+ takes no out: the result is kept for the gradient; leave"):
            call(*arguments, out=np.empty((2, 3)))
    with pytest.raises(TypeError, match=r"^autodiff.squared_error takes no out"):
        autodiff.squared_error(x, x.value, out=np.empty((2, 3)))


def test_targets_are_constants() -> None:
    x = autodiff.Variable(np.ones((2, 3)))
    with pytest.raises(TypeError, match=r"^targets must be constants, which have no gradient; pass the .value"):
        autodiff.squared_error(x, x)
    with pytest.raises(TypeError, match=r"^targets must be constants, which have no gradient; pass the .value"):
        autodiff.linear_cross_entropy(x, np.ones((3, 2)), x[:, :2])


# ---- what ops refuse


def test_an_activation_without_a_derivative() -> None:
    assert autodiff.heaviside(autodiff.Variable([-1.0, 1.0])).sum().value == 1.0
    with pytest.raises(ValueError, match=r"^heaviside has no backward: its derivative is 0 wherever it exists"):
        autodiff.grad(lambda x: autodiff.heaviside(x).sum())(np.ones(3))
    with pytest.raises(ValueError, match=r"^heaviside has no backward"):
        autodiff.grad(lambda x: autodiff.linear(x, np.ones((3, 2)), activation="heaviside").sum())(np.ones(3))


def test_errors_are_those_of_ops() -> None:
    x = autodiff.Variable(np.ones((2, 3)))
    with pytest.raises(
        ValueError, match=r"^targets must lie in \[0, 3\)|^labels must lie in \[0, 3\); found 3 at row 1"
    ):
        autodiff.softmax_cross_entropy(x, [0, 3])
    with pytest.raises(ValueError, match=r"^activation must be one of heaviside, "):
        autodiff.linear(x, np.ones((3, 2)), activation="nothing")
    with pytest.raises(ValueError, match=r"^x must have shape \(\.\.\., 4\) to fit w of shape \(4, 2\)"):
        autodiff.linear(x, np.ones((4, 2)), activation="silu")
    with pytest.raises(ValueError, match=r"^w must have shape \(inputs, outputs\); got shape \(\)$"):
        autodiff.linear(x, 1.0, activation="silu")
    with pytest.raises(ValueError, match="axis must be None"):
        autodiff.softmax(x, axis=2)
    with pytest.raises(TypeError, match="has no parameter"):
        autodiff.relu(x, negative_slope=1.0)


def test_losses_that_are_known_only_together() -> None:
    x, w = np.ones((2, 3)), np.ones((3, 4))
    assert autodiff.linear_cross_entropy(x, w, [0, 1], reduction="none").shape == (2,)
    with pytest.raises(
        ValueError, match=r'^reduction must be "mean" or "sum" for a gradient, .*; got "none"; use linear'
    ):
        autodiff.linear_cross_entropy(autodiff.Variable(x), w, [0, 1], reduction="none")
