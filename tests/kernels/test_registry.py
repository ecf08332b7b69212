"""Formulas as a stranger writes them: described by decorators, taken by the kernels, refused where they are wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numerics import Arrays, one_quick

from softgrad import ops
from softgrad.kernels.formulas import registry
from softgrad.kernels.formulas.primitives import const, fabs, fma, where
from softgrad.kernels.formulas.registry import (
    ACTIVATIONS,
    ELEMENTWISE_LOSSES,
    UPDATE_RULES,
    activation,
    backward_of,
    elementwise_loss,
    gradient_of,
    update_rule,
)

TABLES = (registry._activations, registry._elementwise_losses, registry._update_rules)


@pytest.fixture(autouse=True)
def _tables_as_before() -> Iterator[None]:
    before = [dict(table) for table in TABLES]
    yield
    for table, rows in zip(TABLES, before, strict=True):
        table.clear()
        table.update(rows)


def blend() -> Callable[..., Any]:
    """An activation with three parameters, more than any of the library's."""

    @activation(formula="a x where x > c, else b x", check=lambda a, b, c: None if a > b else "a must be above b")
    def blend(x, a=2.0, b=0.5, c=0.25):
        return where(x > const(x, c), a * x, b * x)

    @backward_of(blend, derivative="a where x > c, else b")
    def blend_backward(grad, x, a, b, c):
        return grad * where(x > const(x, c), a, b)

    return blend


def test_an_activation_s_row_says_what_its_decorators_and_its_signature_say() -> None:
    formula = blend()
    row = ACTIVATIONS["blend"]
    assert list(ACTIVATIONS)[-1] == "blend"
    assert (row.forward, row.saved, row.parameters) == (
        inspect.unwrap(formula),
        "input",
        {"a": 2.0, "b": 0.5, "c": 0.25},
    )
    assert (row.formula, row.derivative) == ("a x where x > c, else b x", "a where x > c, else b")
    assert row.check(a=1, b=2, c=0) == "a must be above b"
    assert formula(np.float32(3.0)) == 6.0  # the function is itself, and its defaults hold


@pytest.mark.parametrize("dtype", one_quick([np.float64, np.float32]))
@pytest.mark.parametrize("size", one_quick([7, 300_000]))
def test_the_kernels_take_any_number_of_parameters(backend: Arrays, dtype: type, size: int) -> None:
    blend()
    row = ACTIVATIONS["blend"]
    size = size if backend.backend.name == "cpu" else min(size, 1000)
    x = np.linspace(-2, 2, size).astype(dtype)
    put, kernels = backend.put(x), backend.backend.kernels
    out = backend.put(np.zeros_like(x))
    kernels.activation_forward(row)(put, (3.0, -1.0, 0.5), out)
    np.testing.assert_array_equal(backend.get(out), np.where(x > 0.5, 3 * x, -x))
    kernels.activation_backward(row)(put, put, (3.0, -1.0, 0.5), out)
    np.testing.assert_array_equal(backend.get(out), np.where(x > 0.5, 3 * x, -x))


def test_a_layer_has_it_by_name(backend: Arrays) -> None:
    blend()
    x, w = backend.put(np.float32([[1.0, -2.0]])), backend.put(np.eye(2, dtype=np.float32))
    y = ops.linear(x, w, activation="blend", a=4.0)
    np.testing.assert_array_equal(backend.get(y), np.float32([[4.0, -1.0]]))
    with pytest.raises(ValueError, match="blend: a must be above b"):
        ops.linear(x, w, activation="blend", a=0.0)


def test_a_loss_tells_weights_from_parameters_by_their_defaults(backend: Arrays) -> None:
    @elementwise_loss(formula="weight |x - t| + low", source="nowhere")
    def absolute_error(x, t, weight, low=0.5):
        return fma(weight, fabs(x - t), low)

    @gradient_of(absolute_error, derivative="weight sign(x - t)")
    def absolute_error_gradient(x, t, weight, low):
        return where(x > t, weight, -weight)

    row = ELEMENTWISE_LOSSES["absolute_error"]
    assert (row.weights, row.parameters, row.defaults) == (("weight",), {"low": 0.5}, (1.0, 0.5))
    x, t, w = np.float32([1, 2, 3]), np.float32([2, 2.5, 1]), np.float32([1, 2, 3])
    put = [backend.put(array) for array in (x, t, w)]
    losses, grad = backend.put(np.zeros(3, np.float32)), backend.put(np.zeros(3, np.float32))
    kernel = backend.backend.kernels.elementwise_loss_with_grad(row)
    total = kernel(put[0], put[1], (put[2], 0.5), None, 2.0, losses, grad)
    np.testing.assert_array_equal(backend.get(losses), w * abs(x - t) + 0.5)
    np.testing.assert_array_equal(backend.get(grad), 2 * w * np.sign(x - t))
    assert float(total) == float((w * abs(x - t) + 0.5).sum())


def test_a_rule_s_states_and_numbers_are_those_of_its_signature(backend: Arrays) -> None:
    @update_rule
    def heavy_ball(param, grad, velocity, /, lr, momentum):
        velocity = fma(momentum, velocity, grad)
        return fma(-lr, velocity, param), velocity

    rule = UPDATE_RULES["heavy_ball"]
    assert (rule.step, rule.states, rule.numbers) == (heavy_ball, ("velocity",), ("lr", "momentum"))
    param, grad, velocity = (backend.put(np.full((2, 3), value)) for value in (1.0, 2.0, 4.0))
    backend.backend.kernels.update(rule)(param, grad, [velocity], (0.5, 0.25))
    np.testing.assert_array_equal(backend.get(velocity), np.full((2, 3), 3.0))
    np.testing.assert_array_equal(backend.get(param), np.full((2, 3), -0.5))


# ---- what is refused, and how


def f(x, a=1.0):
    return x


def backward(grad, x, a):
    return grad


def relu(x):
    return x


def keyword(x, *, a=1.0):
    return x


def no_default(x, a):
    return x


def other_name(z):
    return z


def option(x, out=1.0):
    return x


def text(x, a="one"):
    return x


def rule_without_slash(param, grad, lr):
    return (param,)


PLAIN = activation(formula="x")


@pytest.mark.parametrize(
    ("decorator", "function", "error", "words"),
    [
        (PLAIN, relu, ValueError, "named relu already"),
        (PLAIN, lambda x: x, TypeError, "a function with a name"),
        (PLAIN, 3, TypeError, "a function with a name"),
        (PLAIN, keyword, TypeError, "keyword must take its arguments one by one"),
        (PLAIN, no_default, TypeError, "the parameter a must have a default"),
        (PLAIN, other_name, TypeError, r"other_name must take \(x, ...\); it takes \(z\)"),
        (PLAIN, option, ValueError, "the operation has an option out"),
        (PLAIN, text, TypeError, "the default of a must be a number; got 'one'"),
        (elementwise_loss(formula="x", source="nowhere"), f, TypeError, r"f must take \(x, t, ...\)"),
        (
            backward_of(f, derivative="1"),
            backward,
            TypeError,
            "'f' is not an activation; its decorator",
        ),
        (gradient_of(f, derivative="1"), f, TypeError, "'f' is not an elementwise loss"),
        (update_rule, rule_without_slash, TypeError, r"\(param, grad, \*states, /, \*numbers\)"),
    ],
)
def test_a_wrong_use_is_said(decorator: Any, function: Any, error: type[Exception], words: str) -> None:
    before = [dict(table) for table in TABLES]
    with pytest.raises(error, match=words):
        decorator(function)
    assert [dict(table) for table in TABLES] == before


def test_a_backward_takes_what_its_forward_does_and_is_given_once() -> None:
    def wrong(grad, x, b):
        return grad

    def of_output(grad, y, a):
        return grad

    PLAIN(f)
    with pytest.raises(TypeError, match=r"wrong must take \(grad, x, a\); it takes \(grad, x, b\)"):
        backward_of(f, derivative="1")(wrong)
    assert inspect.unwrap(backward_of(f, derivative="1")(of_output)) is of_output
    assert ACTIVATIONS["f"].saved == "output"
    with pytest.raises(ValueError, match="f has a backward, of_output"):
        backward_of(f, derivative="1")(backward)


def test_an_activation_without_backward_cannot_be_learned_through() -> None:
    PLAIN(f)
    with pytest.raises(ValueError, match="f has no backward: its derivative is not given"):
        ops.linear_backward(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), activation="f")
