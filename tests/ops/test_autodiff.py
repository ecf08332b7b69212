"""Automatic differentiation: each function beside central differences, and graphs of every form.

What is differentiated takes plain arrays as well: central differences are those of the same function on NumPy arrays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from elementwise_reference import ONE_OF_EACH_KIND
from numerics import (
    FLOATS,
    MANY_ROWS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    central_difference,
    few_on_gpu,
    layouts,
    loss_dtype,
    quick,
)
from numpy.testing import assert_allclose

from softgrad import ops
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES
from softgrad.ops import autodiff
from softgrad.train.model import MLP, Batch

Function = Callable[..., Any]


def polynomial(x: Any, y: Any) -> Any:
    return x**2 * y + y


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Positive, so that all have a logarithm; no two equal, so that the largest is one element."""
    return np.random.default_rng((seed, *shape)).uniform(0.5, 2.0, shape)


def weighed(f: Function, xp: Any) -> Function:
    """The number to which each element of f's result contributes with another weight."""

    def number(*arguments: Any) -> Any:
        result = f(*arguments)
        return (result * xp.asarray(np.cos(np.arange(result.size)).reshape(result.shape))).sum()

    return number


def check_slopes(backend: Arrays, f: Function, *arguments: np.ndarray) -> None:
    """f's value and its gradients by all arguments, in float64."""
    everything = tuple(range(len(arguments)))
    differentiated = autodiff.value_and_grad(weighed(f, backend.xp), argnums=everything)
    value, grads = differentiated(*map(backend.put, arguments))
    plain = weighed(f, np)
    assert_allclose(backend.get(value), plain(*arguments), rtol=1e-13)
    for place, grad in enumerate(grads):

        def of_one(x: np.ndarray, place: int = place) -> float:
            return float(plain(*arguments[:place], x, *arguments[place + 1 :]))

        expected = central_difference(of_one, arguments[place])
        assert grad.dtype == np.float64
        # Central differences are good to 1e-10, of terms up to 10 or so.
        assert_allclose(backend.get(grad), expected, rtol=1e-8, atol=1e-8)


def test_gradient_of_a_polynomial(backend: Arrays) -> None:
    value, grads = autodiff.value_and_grad(polynomial, argnums=(0, 1))(backend.put(1.0), backend.put(1.0))
    assert float(value) == 2
    assert [float(grad) for grad in grads] == [2, 2]


# ---- functions: each by all its arguments, in every form of broadcasting


class Case(NamedTuple):
    f: Function
    shapes: tuple[tuple[int, ...], ...]


PRIMITIVES = {
    "add": Case(lambda x, y: x + y, ((2, 3), (2, 3))),
    "add, broadcast": Case(lambda x, y: x + y, ((2, 1, 3), (4, 1))),
    "add, a number": Case(lambda x, y: x + y + 2 + (1 + x), ((), (3,))),
    "subtract": Case(lambda x, y: x - y, ((3,), (2, 3))),
    "subtract from": Case(lambda x: 2 - x - 1, ((3,),)),
    "multiply": Case(lambda x, y: x * y, ((2, 3), (2, 1))),
    "multiply, numbers": Case(lambda x, y: 3 * x * y * 0.5, ((), ())),
    "divide": Case(lambda x, y: x / y, ((2, 1), (3,))),
    "divide, a number": Case(lambda x: 1 / x + x / 3, ((4,),)),
    "power": Case(lambda x, y: x**y, ((2, 3), (3,))),
    "power of a number": Case(lambda x: 3**x + x**3 + x**-0.5 + x**0, ((4,),)),
    "negative": Case(lambda x: -x, ((2, 3),)),
    "vector @ vector": Case(lambda x, y: x @ y, ((3,), (3,))),
    "vector @ matrix": Case(lambda x, y: x @ y, ((3,), (3, 2))),
    "matrix @ vector": Case(lambda x, y: x @ y, ((2, 3), (3,))),
    "matrix @ matrix": Case(lambda x, y: x @ y, ((2, 3), (3, 4))),
    "vector @ matrices": Case(lambda x, y: x @ y, ((3,), (2, 3, 2))),
    "matrices @ vector": Case(lambda x, y: x @ y, ((2, 2, 3), (3,))),
    "matrices @ matrix": Case(lambda x, y: x @ y, ((2, 2, 3), (3, 2))),
    "matrix @ matrices": Case(lambda x, y: x @ y, ((2, 3), (2, 3, 2))),
    "matrices @ matrices, broadcast": Case(lambda x, y: x @ y, ((2, 1, 2, 3), (3, 3, 2))),
    "exp": Case(autodiff.exp, ((2, 3),)),
    "log": Case(autodiff.log, ((2, 3),)),
    "sqrt": Case(autodiff.sqrt, ((2, 3),)),
    "expm1": Case(autodiff.expm1, ((2, 3),)),
    "log1p": Case(autodiff.log1p, ((2, 3),)),
    "sin": Case(autodiff.sin, ((2, 3),)),
    "cos": Case(autodiff.cos, ((2, 3),)),
    "abs": Case(lambda x: abs(x - 1.25) + autodiff.abs(x), ((5,),)),
    "maximum": Case(autodiff.maximum, ((2, 3), (3,))),
    "maximum with a number": Case(lambda x: autodiff.maximum(x, 1.25) + autodiff.maximum(1.0, x), ((5,),)),
    "minimum": Case(autodiff.minimum, ((2, 3), (3,))),
    "clip": Case(lambda x: autodiff.clip(x, 0.9, 1.4) + autodiff.clip(x, None, 1.0) + autodiff.clip(x, 1.1), ((9,),)),
    "clip, by variables": Case(lambda x, y: autodiff.clip(3 * x, y, y + 1.5), ((2, 9), (9,))),
    "where": Case(lambda x, y: autodiff.where(x > 1.25, x * y, y), ((2, 3), (3,))),
    "where, numbers": Case(lambda x: autodiff.where(x < 1.25, x, 0) + autodiff.where(x >= 1, 2.0, x), ((5,),)),
    "sum": Case(autodiff.sum, ((2, 3),)),
    "sum over an axis": Case(lambda x: x.sum(axis=1) + x.sum(0)[0], ((2, 3),)),
    "sum over axes": Case(lambda x: x.sum(axis=(0, -1)), ((2, 3, 2),)),
    "sum, kept": Case(lambda x: x / x.sum(axis=-1, keepdims=True), ((2, 3),)),
    "mean": Case(autodiff.mean, ((2, 3),)),
    "mean over an axis": Case(lambda x: x - x.mean(axis=0, keepdims=True), ((2, 3),)),
    "mean over axes": Case(lambda x: x.mean(axis=(0, 2)), ((2, 3, 2),)),
    "max": Case(autodiff.max, ((2, 3),)),
    "max over an axis": Case(lambda x: x.max(axis=1), ((2, 3),)),
    "max, kept": Case(lambda x: x - x.max(axis=(0, 2), keepdims=True), ((2, 3, 2),)),
    "min": Case(autodiff.min, ((2, 3),)),
    "min over an axis": Case(lambda x: x.min(axis=1), ((2, 3),)),
    "reshape": Case(lambda x: x.reshape(3, -1) @ x.reshape((2, 3)), ((2, 3),)),
    "transpose": Case(lambda x: autodiff.transpose(x, axes=(1, -1, 0)), ((2, 3, 4),)),
    "T": Case(lambda x: x.T @ x, ((2, 3),)),
    "concatenate": Case(lambda x, y: autodiff.concatenate([x, [1.0, 2.0], y]), ((2,), (3,))),
    "concatenate, last axis": Case(lambda x, y: autodiff.concatenate((x, y, x), axis=-1), ((2, 1), (2, 3))),
    "stack": Case(lambda x, y: autodiff.stack([x, [1.0, 2.0], y, x]), ((2,), (2,))),
    "stack, last axis": Case(lambda x, y: autodiff.stack((x, y), axis=-1), ((2, 3), (2, 3))),
    "index": Case(lambda x: x[1], ((2, 3),)),
    "slices": Case(lambda x: x[::-2, None, 1:], ((3, 3),)),
    "ellipsis": Case(lambda x: x[..., -1], ((2, 3),)),
    "array of indices": Case(lambda x: x[[1, 1, 0, -1]], ((3, 2),)),
    "arrays of indices": Case(lambda x: x[[0, 1, 0], [2, 0, 2]], ((2, 3),)),
    "mask": Case(lambda x: x[x > 1.25], ((2, 3),)),
    "rows": Case(lambda x: sum(row * row for row in x), ((3, 2),)),
}


@pytest.mark.parametrize("name", list(PRIMITIVES))
def test_primitive(backend: Arrays, name: str) -> None:
    f, shapes = PRIMITIVES[name]
    check_slopes(backend, f, *(numbers(*shape, seed=place) for place, shape in enumerate(shapes)))


# ---- the functions of ops: their gradients are their backwards'

SIGNED = np.array([[-2.3, -0.7, 0.4], [1.6, 2.9, 7.1]])  # no kink of an activation among them
DIFFERENTIABLE = [name for name, row in ops.ACTIVATIONS.items() if row.backward]
WITH_PARAMETERS: dict[str, dict[str, Any]] = {
    "leaky_relu": {"negative_slope": 0.3},
    "elu": {"alpha": 0.7},
    "gelu": {"approximate": "tanh"},
    "softplus": {"beta": 2.0},
    "hardtanh": {"min_value": -0.5, "max_value": 2},
}


@pytest.mark.parametrize("name", quick(DIFFERENTIABLE, *ONE_OF_EACH_KIND, "gelu"))
def test_activation(backend: Arrays, name: str) -> None:
    f = getattr(autodiff, name)
    check_slopes(backend, f, SIGNED)
    options = WITH_PARAMETERS.get(name)
    if options:
        check_slopes(backend, lambda x: f(x, **options), SIGNED)


SOFTMAX_OPTIONS: list[dict[str, Any]] = [
    {},
    {"axis": 0},
    {"axis": (0, 1)},
    {"axis": None, "where": [[False, False, True], [True, False, True]]},
]


@pytest.mark.parametrize("options", few_on_gpu(SOFTMAX_OPTIONS, SOFTMAX_OPTIONS[0], SOFTMAX_OPTIONS[3]))
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_family(backend: Arrays, name: str, options: dict[str, Any]) -> None:
    def f(x: Any) -> Any:
        if name == "logsumexp":
            return autodiff.logsumexp(x, **options) + autodiff.logsumexp(x, keepdims=True, **options).sum()
        y = getattr(autodiff, name)(x, temperature=0.5, **options)
        return autodiff.where(y > -1e300, y, 0)  # what is hidden has the logarithm -inf

    check_slopes(backend, f, SIGNED)


@pytest.mark.parametrize("classes", [3, 6])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_a_row_has_the_slopes_that_it_has_among_few(backend: Arrays, name: str, classes: int) -> None:
    options = {} if name == "logsumexp" else {"temperature": 0.5}
    weights = backend.put(numbers(classes)) if options else 3.0

    def of_sum(x: Any) -> Any:
        return (getattr(autodiff, name)(x, **options) * weights).sum()

    x = SIGNED.reshape(-1, classes)
    few, many = (autodiff.grad(of_sum)(backend.put(rows)) for rows in (x, again(x, MANY_ROWS)))
    assert_same_bits(backend.get(many), again(backend.get(few), MANY_ROWS))


def distributions(seed: int) -> np.ndarray:
    p = numbers(2, 3, 2, seed=seed)
    return p / p.sum(axis=1, keepdims=True)


DIVERGENCES = ["cross_entropy", "kl_divergence"]
INFORMATION_OPTIONS: list[dict[str, Any]] = [
    {"axis": 1, "base": 2.0},
    {"axis": 1, "keepdims": True},
    {"axis": (0, 1)},
    {"axis": None},
    {},
]


@pytest.mark.parametrize("options", INFORMATION_OPTIONS, ids=str)
@pytest.mark.parametrize(
    "name", quick(["entropy", "perplexity", "cross_entropy", "kl_divergence"], "entropy", "kl_divergence")
)
def test_information(backend: Arrays, name: str, options: dict[str, Any]) -> None:
    if name == "perplexity":
        options = {key: value for key, value in options.items() if key != "base"}
    count = 2 if name in DIVERGENCES else 1
    f = getattr(autodiff, name)
    check_slopes(backend, lambda *given: f(*given, validate=False, **options), *map(distributions, range(count)))


def test_self_information(backend: Arrays) -> None:
    check_slopes(backend, lambda p: autodiff.self_information(p) + autodiff.self_information(p, base=2), numbers(5) / 2)


TARGETS = {"sigmoid_cross_entropy": [[0.0, 1.0, 0.25], [1.0, 0.5, 0.0]], "hinge_loss": [[1, -1, 1], [-1, 1, -1]]}
LOSS_OPTIONS: dict[str, dict[str, Any]] = {
    "sigmoid_cross_entropy": {"pos_weight": 2.0, "weight": [1.0, 0.5, 3.0]},
    "huber_loss": {"delta": 2.0},
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "name", quick(["softmax_cross_entropy", *ELEMENTWISE_LOSSES], "softmax_cross_entropy", "huber_loss")
)
def test_loss(backend: Arrays, name: str, reduction: str) -> None:
    targets = [2, 0] if name == "softmax_cross_entropy" else TARGETS.get(name, [[0.5, -1.0, 0.0], [1.0, 2.0, 3.0]])
    options = LOSS_OPTIONS.get(name, {})
    check_slopes(backend, lambda x: getattr(autodiff, name)(x, targets, reduction=reduction, **options), SIGNED)


# None; one that saves its output, its input, or has a parameter.
@pytest.mark.parametrize("activation", quick([None, "relu", "silu", "elu"], None, "silu"))
def test_linear(backend: Arrays, activation: str | None) -> None:
    parameters = {"alpha": 0.7} if activation == "elu" else {}

    def f(x: Any, w: Any, b: Any = None) -> Any:
        return autodiff.linear(x - 1, w - 1, b, activation=activation, **parameters)

    check_slopes(backend, f, numbers(2, 25, 3), numbers(3, 4), numbers(4))  # on a GPU a thread takes several rows
    check_slopes(backend, f, numbers(3), numbers(3, 4))


def test_linear_of_constants_and_variables(backend: Arrays) -> None:
    x, w, b = (backend.put(numbers(*shape)) for shape in [(2, 3), (3, 4), (4,)])
    assert_same_bits(
        backend.get(autodiff.linear(x, w, b, activation="gelu")), backend.get(ops.linear(x, w, b, activation="gelu"))
    )
    grads = autodiff.grad(lambda *given: autodiff.linear(*given, activation="gelu").sum(), argnums=(0, 1, 2))(x, w, b)
    for place, expected in enumerate(grads):

        def of_one(one: Any, place: int = place) -> Any:
            given = [x, w, b]
            given[place] = one
            return autodiff.linear(*given, activation="gelu").sum()

        assert_same_bits(backend.get(autodiff.grad(of_one)((x, w, b)[place])), backend.get(expected))


LINEAR_LOSS_OPTIONS: list[dict[str, Any]] = [{}, {"reduction": "sum", "chunk_rows": 1, "label_smoothing": 0.25}]


@pytest.mark.parametrize("options", LINEAR_LOSS_OPTIONS)
def test_linear_cross_entropy(backend: Arrays, options: dict[str, Any]) -> None:
    def f(x: Any, w: Any, b: Any = None) -> Any:
        return autodiff.linear_cross_entropy(x, 3 * w, [1, 0], bias=b, **options) * 2

    check_slopes(backend, f, numbers(2, 3), numbers(3, 4), numbers(4))
    check_slopes(backend, lambda w: f(numbers(2, 3).tolist(), w), numbers(3, 4))


CROSS_ENTROPY_OPTIONS: list[dict[str, Any]] = [
    {"weight": [1.0, 2.0, 0.5], "label_smoothing": 0.25},
    {"ignore_index": 0, "z_loss": 0.5, "softcap": 5.0},
]


@pytest.mark.parametrize("options", CROSS_ENTROPY_OPTIONS)
def test_options_of_cross_entropy(backend: Arrays, options: dict[str, Any]) -> None:
    f = autodiff.softmax_cross_entropy
    check_slopes(backend, lambda x: f(x, [2, 0], **options), SIGNED)
    images = numbers(2, 3, 2)
    check_slopes(backend, lambda x: f(x, [[2, 0], [0, 1]], reduction="none", **options), images)
    check_slopes(backend, lambda x: f(x, 1, reduction="none", **options), SIGNED[0])


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("options", [{}, *CROSS_ENTROPY_OPTIONS])
def test_rows_have_the_losses_and_slopes_that_they_have_among_few(
    backend: Arrays, options: dict[str, Any], reduction: str
) -> None:
    def of_rows(x: Any, labels: Any) -> Any:
        return autodiff.softmax_cross_entropy(x, labels, reduction=reduction, **options).sum()

    labels, times = np.array([2, 0]), MANY_ROWS // len(SIGNED)
    differentiated = autodiff.value_and_grad(of_rows)
    value, grad = map(backend.get, differentiated(backend.put(SIGNED), backend.put(labels)))
    rows = backend.put(again(SIGNED, MANY_ROWS)), backend.put(again(labels, MANY_ROWS))
    values, grads = map(backend.get, differentiated(*rows))
    share = times if reduction == "mean" else 1
    assert_allclose(values, value * times / share, rtol=1e-13)
    assert_allclose(grads, again(grad, MANY_ROWS) / share, rtol=1e-13, atol=1e-18)


def test_every_operation_with_a_backward_is_there() -> None:
    halves = {
        name.removesuffix(ending)
        for name in ops.__all__
        for ending in ("_backward", "_with_grad")
        if name.endswith(ending)
    } | {"entropy", "perplexity", "cross_entropy", "kl_divergence", "self_information"}
    assert {"gelu", "softmax", "linear", "linear_cross_entropy", "huber_loss"} < halves
    assert halves <= set(autodiff.__all__)
    assert all(callable(getattr(autodiff, name)) for name in autodiff.__all__)


# ---- graphs


def test_a_variable_used_again_and_again(backend: Arrays) -> None:
    x = backend.put([1.0, 2.0, 3.0])
    grad = autodiff.grad(lambda x: (x * x + x * x[::-1] + x).sum())(x)
    np.testing.assert_array_equal(backend.get(grad), [2 + 2 * 3 + 1, 4 + 2 * 2 + 1, 6 + 2 * 1 + 1])


def test_each_node_is_visited_once() -> None:
    depth = 200  # 2^200 paths lead from the result to x

    def f(x: Any) -> Any:
        for _ in range(depth):
            x = (x + x) / 2
        return x

    assert autodiff.value_and_grad(f)(1.5) == (1.5, 1.0)


def test_diamond_whose_sides_are_of_different_length(backend: Arrays) -> None:
    def f(x: Any) -> Any:
        short = x * 3
        long = autodiff.exp(autodiff.log(short * x))
        return (long * short + short).sum()

    check_slopes(backend, f, numbers(3))


@pytest.mark.slow
def test_long_chain() -> None:
    length = 100_000

    def f(x: Any) -> Any:
        total = x
        for _ in range(length):
            total = total + x
        return total

    assert autodiff.value_and_grad(f)(1.0) == (length + 1, length + 1)


def test_big_fan_in(backend: Arrays) -> None:
    count = 500
    x = backend.put(numbers(count))
    joined = autodiff.grad(lambda x: autodiff.concatenate([x[i : i + 1] * i for i in range(count)]).sum())(x)
    np.testing.assert_array_equal(backend.get(joined), np.arange(count))
    many = [backend.put(float(i)) for i in range(count)]
    grads = autodiff.grad(lambda many: sum(one * one for one in many))(many)
    assert [float(grad) for grad in grads] == [2 * i for i in range(count)]


def test_gradients_of_what_was_computed_on_the_way(backend: Arrays) -> None:
    x = autodiff.Variable(backend.put([1.0, 2.0]))
    y = x * x
    z, unrelated = (y * y).sum(), autodiff.Variable(backend.put([[3.0]]))
    found = autodiff.gradients(z, [x, y, z, unrelated])
    for grad, expected in zip(found, ([4.0, 32.0], [2.0, 8.0], 1.0, [[0.0]]), strict=True):
        np.testing.assert_array_equal(backend.get(grad), expected)
    np.testing.assert_array_equal(backend.get(autodiff.gradients(z, x)), [4.0, 32.0])  # a graph can be used again


def test_threads_do_not_meet() -> None:
    found: dict[int, Any] = {}

    def work(k: int) -> None:
        found[k] = autodiff.grad(lambda x: (x * x * k).sum())(np.ones(50))[0]

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {k: 2.0 * k for k in range(8)}


# ---- arguments and results


class Layer(NamedTuple):
    weight: Any
    bias: Any


def test_nested_arguments(backend: Arrays) -> None:
    def f(parameters: Any, x: Any, scale: float = 1.0) -> Any:
        (first, *others), named = parameters["layers"], parameters["named"]
        assert others == [None]
        return (x @ first.weight + first.bias).sum() * scale + named[0]

    weight, x = backend.put(numbers(3, 2)), backend.put(numbers(2, 3))
    parameters = {"layers": [Layer(weight, backend.put([0.5, 0.25])), None], "named": (2.0, backend.put([[1.0]]))}
    value, grad = autodiff.value_and_grad(f)(parameters, x, scale=2.0)
    plain = f(parameters, x, scale=2.0)
    assert float(value) == float(plain)
    assert list(grad) == ["layers", "named"]
    assert type(grad["layers"]) is list
    assert type(grad["layers"][0]) is Layer
    assert grad["layers"][1] is None
    assert type(grad["named"]) is tuple
    np.testing.assert_array_equal(
        backend.get(grad["layers"][0].weight), 2 * np.tile(backend.get(x).sum(axis=0)[:, None], (1, 2))
    )
    np.testing.assert_array_equal(backend.get(grad["layers"][0].bias), [4.0, 4.0])
    assert float(grad["named"][0]) == 1
    np.testing.assert_array_equal(backend.get(grad["named"][1]), [[0.0]])


def test_argnums(backend: Arrays) -> None:
    x, y = backend.put(2.0), backend.put(3.0)
    assert float(autodiff.grad(polynomial, argnums=1)(x, y)) == 5
    assert float(autodiff.grad(polynomial, argnums=-1)(x, y)) == 5
    assert [float(grad) for grad in autodiff.grad(polynomial, argnums=(1, 0))(x, y)] == [5, 12]
    (only,) = autodiff.grad(polynomial, argnums=(0,))(x, y)
    assert float(only) == 12
    assert autodiff.grad(polynomial, argnums=())(x, y) == ()


def test_what_nothing_depends_on_has_gradient_0(backend: Arrays) -> None:
    x, y = backend.put(numbers(2, 3), np.float32), backend.put(numbers(4))
    value, (dx, dy) = autodiff.value_and_grad(lambda x, y: (y * 2).sum(), argnums=(0, 1))(x, y)
    assert_same_bits(backend.get(dx), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(backend.get(dy), 2.0)
    assert value.dtype == np.float64
    value, dx = autodiff.value_and_grad(lambda x: 3.0)(x)
    assert value == 3.0
    assert_same_bits(backend.get(dx), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_stay_what_they_are(backend: Arrays, dtype: type) -> None:
    def f(x: Any, w: Any, b: Any) -> Any:
        hidden = autodiff.gelu(x @ w + b) * 2 + 1 / (x.sum() + 3) - x.mean(axis=0).max()
        hidden = autodiff.maximum(hidden, 0.5) + autodiff.where(hidden > 0, hidden**2, 0.0) + hidden[[0, 0]]
        return autodiff.softmax_cross_entropy(autodiff.concatenate([hidden, hidden / 2.0], axis=1), [1, 0])

    arguments = [backend.put(numbers(*shape), dtype) for shape in [(2, 3), (3, 4), (4,)]]
    value, grads = autodiff.value_and_grad(f, argnums=(0, 1, 2))(*arguments)
    assert value.dtype == loss_dtype(dtype)
    assert [grad.dtype for grad in grads] == [dtype] * 3
    wide = autodiff.grad(f, argnums=(0, 1, 2))(*(backend.put(backend.get(x), np.float64) for x in arguments))
    for grad, expected in zip(grads, wide, strict=True):
        # A dozen roundings, each of terms no larger than the largest of the gradient.
        floor = abs(backend.get(expected)).max()
        assert_ulp(backend.get(grad), backend.get(expected), 12, floor=floor)


def test_sums_over_what_was_broadcast_are_exact(backend: Arrays) -> None:
    """Added in float32, one after the other, the ones would all be lost beside 2^24."""
    rows = 1000
    weights = np.ones((rows, 1), np.float32)
    weights[0] = 2.0**24
    grad = autodiff.grad(lambda b, w: (b * w).sum())(backend.put([0.0], np.float32), backend.put(weights))
    np.testing.assert_array_equal(backend.get(grad), np.float32(2.0**24 + rows - 1))


def test_gradients_are_arrays_of_their_own(backend: Arrays) -> None:
    x, y = backend.put(numbers(2, 3)), backend.put(numbers(2, 3, seed=1))
    before = [backend.get(array).copy() for array in (x, y)]
    dx, dy, dz = autodiff.grad(lambda x, y, z: (x + y.T.T + z).sum(), argnums=(0, 1, 2))(x, y, x)
    for grad in (dx, dy, dz):
        np.testing.assert_array_equal(backend.get(grad), 1.0)
        grad *= 5  # neither is it read-only, nor are others written to
    for array, values in zip((x, y), before, strict=True):
        assert_same_bits(backend.get(array), values)


def test_what_may_not_be_written_is_only_read() -> None:
    x = numbers(3, 4)
    x.flags.writeable = False
    grad = autodiff.grad(lambda x: (x * x).sum() + x[1].sum() + autodiff.relu(x).sum())(x)
    np.testing.assert_array_equal(grad, 2 * x + 1 + np.array([[0.0], [1.0], [0.0]]))


def test_every_layout_of_memory(backend: Arrays) -> None:
    def f(x: Any) -> Any:
        return (autodiff.softmax(x) * x[:, ::-1] + x.T.reshape(x.shape)).sum() + x[[0, 0]].sum()

    for name, view in layouts(numbers(4, 5), backend.xp):
        value, grad = autodiff.value_and_grad(f)(view)
        plain = backend.put(np.array(backend.get(view), np.float64))
        expected_value, expected = autodiff.value_and_grad(f)(plain)
        assert_allclose(backend.get(value), backend.get(expected_value), rtol=1e-14, err_msg=name)  # NumPy's sums
        assert_same_bits(backend.get(grad), backend.get(expected), name)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_nothing_at_all(backend: Arrays, shape: tuple[int, ...]) -> None:
    def f(x: Any) -> Any:
        y = autodiff.relu(x) * 2 + autodiff.concatenate([x, x])[: len(x)]
        return (y + x.sum(axis=-1, keepdims=True)).T.sum() + x[x > 0].sum()

    value, grad = autodiff.value_and_grad(f)(backend.put(np.zeros(shape)))
    assert float(value) == 0
    assert grad.shape == shape


def test_limits(backend: Arrays) -> None:
    """No warning on the way back, and infinities and NaN only where they are the slope."""

    def slopes(f: Function, *values: float, dtype: type = np.float64) -> list[float]:
        x = backend.put(values, dtype)
        with np.errstate(all="ignore"):  # forward NumPy warns, as always
            return backend.get(autodiff.grad(lambda x: f(x).sum())(x)).tolist()

    inf, nan = np.inf, np.nan
    np.testing.assert_array_equal(slopes(autodiff.log, 0.0, inf, nan, 5e-324), [inf, 0, nan, inf])
    np.testing.assert_array_equal(slopes(autodiff.sqrt, 0.0, inf, nan), [inf, 0, nan])
    np.testing.assert_array_equal(slopes(autodiff.abs, -2.0, -0.0, 0.0, inf, nan), [-1, 0, 0, 1, nan])
    np.testing.assert_array_equal(slopes(lambda x: autodiff.clip(x, -1, 1), -2.0, -1.0, 1.0, inf, nan), [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(slopes(autodiff.exp, -inf, inf, nan, 0.0), [0, inf, nan, 1])
    np.testing.assert_array_equal(slopes(lambda x: x**0, 0.0, inf, -1.0), [0, 0, 0])
    np.testing.assert_array_equal(slopes(lambda x: x**1, 0.0, inf, -1.0), [1, 1, 1])
    np.testing.assert_array_equal(slopes(lambda x: 0.0**x, 0.0, 2.0), [0, 0])
    np.testing.assert_array_equal(slopes(lambda x: x * 3e38, 1.0, dtype=np.float32), [np.float32(3e38)])
    # By way of 1 / y^2 it would be NaN.
    x, y = backend.put([1e-200]), backend.put([1e-200])
    assert_ulp(backend.get(autodiff.grad(lambda y: (x / y).sum())(y)), np.array([-1e200]), 2)


# ---- what was not taken


def slopes_of(backend: Arrays, f: Function, *arguments: Any) -> list[Any]:
    """The gradients of the sum of f's result; where it is computed NumPy warns of infinities, as always."""
    given = [backend.put(x, np.float64) for x in arguments]
    with np.errstate(all="ignore"):
        grads = autodiff.grad(lambda *given: f(*given).sum(), argnums=tuple(range(len(given))))(*given)
    return [backend.get(grad) for grad in grads]


X = [-1.0, 0.0, 4.0]  # sqrt has no slope, an infinite one, 1/4; log(sqrt(x)) and sqrt(x)^2 none at the first two

NOT_TAKEN = {
    "sqrt": (lambda x: autodiff.where(x > 0, autodiff.sqrt(x), x), [1, 1, 0.25]),
    "the other side": (lambda x: autodiff.where(x <= 0, 0.0, autodiff.log(x)), [0, 0, 0.25]),
    "deeper": (
        lambda x: autodiff.where(x > 0, autodiff.log(autodiff.sqrt(x) * x) / x, x), [1, 1, (1.5 - np.log(8)) / 16]
    ),
    "one in another": (
        lambda x: autodiff.where(x >= 0, autodiff.where(x > 0, 1 / x, 3 * x), autodiff.sqrt(x) * 0 + 5 * x),
        [np.nan, 3, -1 / 16],  # at -1 the root is taken
    ),
    "a number": (lambda x: autodiff.where(x.sum() > 99, autodiff.sqrt(x).sum(), (2 * x).sum()), [2, 2, 2]),
    "broadcast": (
        lambda x: autodiff.where([[True], [False]], autodiff.where(x > 0, autodiff.sqrt(x), x), x), [2, 2, 1.25]
    ),
    "twice, taken once": (
        lambda x: (lambda y: autodiff.where(x > 0, y, 0.0) + autodiff.where(x < 1, y * x, 0.0))(autodiff.sqrt(x)),
        [np.nan, np.nan, 0.25],
    ),
    "maximum": (lambda x: autodiff.maximum(autodiff.log(autodiff.abs(x)), -5), [-1, 0, 0.25]),
    "clip": (lambda x: autodiff.clip(autodiff.log(autodiff.abs(x)), -5, 5), [-1, 0, 0.25]),
    "max": (lambda x: autodiff.max(autodiff.sqrt(abs(x))), [0, 0, 0.25]),
    "index": (lambda x: autodiff.sqrt(x)[2], [0, 0, 0.25]),
    "slice": (lambda x: autodiff.sqrt(x)[2:] * 2, [0, 0, 0.5]),
    "mask": (lambda x: autodiff.sqrt(x)[x > 0], [0, 0, 0.25]),
    "indices": (lambda x: autodiff.where([True, False], autodiff.sqrt(x)[[2, 0]], 0.0), [0, 0, 0.25]),
    "the same index": (lambda x: autodiff.where([True, False], autodiff.sqrt(x)[[2, 2]], 0.0), [0, 0, 0.25]),
    "sum": (
        lambda x: autodiff.where(
            [True, False], autodiff.sqrt(autodiff.stack([x[:2] + 2, x[:2]])).sum(axis=1), 0.0
        ),
        [0.5, 0.5 / np.sqrt(2), 0],
    ),
    "mean": (
        lambda x: autodiff.where(
            [[True], [False]], autodiff.sqrt(autodiff.stack([x + 5, x])).mean(axis=1, keepdims=True), 0.0
        ),
        [1 / 12, 1 / np.sqrt(180), 1 / 18],
    ),
    "reshape, T": (
        lambda x: autodiff.where((x > 0).reshape(3, 1), autodiff.sqrt(x).reshape(1, 3).T, 0.0), [0, 0, 0.25]
    ),
    "concatenate": (lambda x: autodiff.concatenate([autodiff.sqrt(x), x])[2:], [1, 1, 1.25]),
    "stack": (lambda x: autodiff.where(x > 0, autodiff.stack([autodiff.sqrt(x), x]), 0.0), [0, 0, 1.25]),
    "rows of softmax": (
        lambda x: autodiff.where(
            [[True], [False]], autodiff.softmax(autodiff.stack([x, autodiff.sqrt(x)])), 0.0
        ),
        [0, 0, 0],
    ),
    "logsumexp": (
        lambda x: autodiff.where(
            [True, False], autodiff.logsumexp(autodiff.stack([x * 0, autodiff.sqrt(x)])), x[0]
        ),
        [1, 0, 0],
    ),
    "losses of rows": (
        lambda x: autodiff.where(
            [True, False],
            autodiff.softmax_cross_entropy(autodiff.stack([x * 0, autodiff.sqrt(x)]), [0, 0], reduction="none"), x[0],
        ),
        [1, 0, 0],
    ),
    "elementwise losses": (
        lambda x: autodiff.where(x > 0, autodiff.l2_loss(autodiff.sqrt(x), [0, 0, 0], reduction="none"), x), [1, 1, 0.5]
    ),
    "activation": (lambda x: autodiff.where(x > 0, autodiff.relu(autodiff.sqrt(x)), x), [1, 1, 0.25]),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_was_not_taken_does_not_count(backend: Arrays, name: str) -> None:
    f, expected = NOT_TAKEN[name]
    (found,) = slopes_of(backend, f, X)
    assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("columns", [1, 2])
def test_products_of_what_was_not_taken(backend: Arrays, columns: int) -> None:
    """Rows, columns and single elements of a product, of matrices with NaN and infinities in them."""
    x = np.array([[1.0, -1.0], [4.0, 0.0], [9.0, 1.0]])  # roots: NaN in the first row, an infinite slope in the second
    w = np.array([[2.0, np.inf], [3.0, 5.0]])[:, :columns]
    taken = np.array([[False, False], [False, False], [True, False]])[:, :columns]
    root = np.sqrt(np.abs(x))
    for product in (lambda a, b: a @ b, autodiff.linear, lambda a, b: autodiff.linear(a, b, activation="silu")):
        activated = product(np.array([[1.0]]), np.array([[1.0]])) != 1  # silu, whose slope is 1 at what is large

        def f(x: Any, w: Any, product: Function = product) -> Any:
            return autodiff.where(backend.put(taken), product(autodiff.sqrt(x), w), 0.0)

        dx, dw = slopes_of(backend, f, x, w)
        z = root[2] @ w[:, 0]
        s = 1 / (1 + np.exp(-z))
        slope = s * (1 + z * (1 - s)) if activated else 1.0
        assert_allclose(dx, [[0, 0], [0, 0], slope * w[:, 0] / (2 * root[2])], rtol=1e-12)
        assert_allclose(dw, np.stack([slope * root[2], [0, 0]], axis=1)[:, :columns], rtol=1e-12)


def test_a_row_of_a_product_of_which_some_was_taken(backend: Arrays) -> None:
    """An infinite weight of a column that this row did not take does not count for it, but for the row that did."""
    taken = backend.put([[True, False], [True, True]])
    dx, dw = slopes_of(backend, lambda x, w: autodiff.where(taken, x @ w, 0.0), [[1.0], [2.0]], [[3.0, np.inf]])
    np.testing.assert_array_equal(dx, [[3], [np.inf]])
    np.testing.assert_array_equal(dw, [[3, 2]])


def test_a_computed_zero_counts(backend: Arrays) -> None:
    """Only what was not taken is left out: a slope of 0 times an infinite one is what it is."""
    np.testing.assert_array_equal(slopes_of(backend, lambda x: autodiff.sqrt(x) * 0, [0.0, 4.0]), [[np.nan, 0]])


def test_logsumexp_of_logarithms(backend: Arrays) -> None:
    """It is log(sum(v)), whose slope is 1 / sum(v), at 0 as well."""
    logsumexp, log = autodiff.logsumexp, autodiff.log
    for v in ([0.0, 1.0], [0.0, 0.0, 4.0], [[0.0, 2.0], [0.5, 0.0]], [0.0], [0.0, 0.0]):
        sums = np.broadcast_to(np.sum(v, axis=-1, keepdims=True), np.shape(v))
        with np.errstate(divide="ignore"):
            assert_allclose(slopes_of(backend, lambda v: logsumexp(log(v)), v)[0], 1 / sums, rtol=1e-15)
    (hidden,) = slopes_of(backend, lambda v: logsumexp(log(v), where=backend.put([True, True, False])), [0.0, 2.0, 0.0])
    np.testing.assert_array_equal(hidden, [0.5, 0.5, 0])
    (some,) = slopes_of(
        backend, lambda v: autodiff.where(backend.put([True, False]), logsumexp(log(v)), 0.0), [[0.0, 2.0], [0.0, 0.0]]
    )
    np.testing.assert_array_equal(some, [[0.5, 0.5], [0, 0]])
    x = autodiff.Variable(backend.put([0.0, 1.0]))
    with np.errstate(divide="ignore"):
        y = log(x)
    np.testing.assert_array_equal(backend.get(autodiff.gradients(logsumexp(y), y)), [0, 1])


def test_a_sum_of_nothing_has_no_slope(backend: Arrays) -> None:
    nothing = backend.put([[-np.inf, -np.inf], [0.0, -np.inf]])
    (grad,) = slopes_of(backend, lambda t: autodiff.logsumexp(t + nothing), [[0.5, 1.0], [0.5, 1.0]])
    np.testing.assert_array_equal(grad, [[0, 0], [1, 0]])


def test_information_of_what_cannot_happen(backend: Arrays) -> None:
    """0 log 0 is 0, and so is its part of the gradient by the logits."""
    logits = [0.0, 1.0, -np.inf]
    for f in (
        lambda x: autodiff.entropy(autodiff.softmax(x)),
        lambda x: autodiff.kl_divergence(autodiff.softmax(x), [0.25, 0.75, 0.0]),
        lambda x: autodiff.cross_entropy(autodiff.softmax(x), [0.25, 0.75, 0.0]),
        lambda x: autodiff.cross_entropy([0.25, 0.75, 0.0], autodiff.softmax(x)),
    ):

        def of_two(x: Any, f: Function = f) -> Any:
            return f(autodiff.concatenate([x, np.array([-np.inf])]))

        (found,) = slopes_of(backend, f, logits)
        expected = central_difference(lambda x: float(of_two(x)), np.array(logits[:2]))
        assert_allclose(found, [*expected, 0], rtol=1e-8, atol=1e-9)


def test_equal_elements_share(backend: Arrays) -> None:
    x, y = backend.put([1.0, 3.0, np.nan, 2.0]), backend.put([1.0, 2.0, 0.0, np.nan])
    dx, dy = autodiff.grad(lambda x, y: autodiff.maximum(x, y).sum(), argnums=(0, 1))(x, y)
    np.testing.assert_array_equal(backend.get(dx), [0.5, 1, 1, 1])
    np.testing.assert_array_equal(backend.get(dy), [0.5, 0, 1, 1])
    x = backend.put([[1.0, 4.0, 4.0], [np.nan, 1.0, 2.0], [np.inf, 1.0, np.inf]])
    expected = [[0, 0.5, 0.5], [1, 0, 0], [0.5, 0, 0.5]]
    np.testing.assert_array_equal(backend.get(autodiff.grad(lambda x: x.max(axis=1).sum())(x)), expected)


def test_plain_arrays_give_plain_arrays(backend: Arrays) -> None:
    x = backend.put(numbers(2, 3))
    for f in (autodiff.exp, autodiff.gelu, autodiff.softmax, lambda x: autodiff.max(x, axis=0), lambda x: x[0]):
        assert isinstance(f(x), backend.backend.array_type)
        variable = f(autodiff.Variable(x))
        assert isinstance(variable, autodiff.Variable)
        assert_same_bits(backend.get(variable.value), backend.get(f(x)))


def test_what_a_variable_says_of_itself(backend: Arrays) -> None:
    x = autodiff.Variable(backend.put(numbers(2, 3), np.float32))
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.float32, 2)
    assert x.T.shape == (3, 2)
    assert repr(autodiff.Variable([1.5])) == "Variable(array([1.5]))"
    assert backend.get(x > 0).all()
    assert not backend.get(x.value < x - 1).any()
    assert backend.get(x == x).all()
    assert len({x, x}) == 1
    assert bool(x[0, 0] != 0)


# ---- a network


@pytest.mark.parametrize("activation", ["silu", "tanh"])  # one saves its input, the other its output
@pytest.mark.parametrize("dtype", few_on_gpu(["float32", "float64"], "float32"))
def test_network_like_the_trainer_s(backend: Arrays, dtype: str, activation: str) -> None:
    rows, sizes = MANY_ROWS, (7, 8, 5, 4)
    model = MLP(sizes, activation, dtype, backend.backend)
    model.initialise(seed=3)
    batch = Batch(model, rows)
    batch.inputs[...] = backend.put(numbers(rows, sizes[0]), dtype)
    batch.labels[...] = backend.put(np.arange(rows) % sizes[-1])

    def network(layers: list[tuple[Any, Any]], x: Any, labels: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = autodiff.linear(x, weight, bias, activation=activation)
        return autodiff.softmax_cross_entropy(autodiff.linear(x, *layers[-1]), labels)

    parameters = [array for _, array in model.named(model.params)]
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    value, grads = autodiff.value_and_grad(network)(layers, batch.inputs, batch.labels)

    logits = model.forward(batch)
    loss, grad = ops.softmax_cross_entropy_with_grad(logits, batch.labels, out=logits)
    model.backward(batch, grad)
    assert_same_bits(backend.get(value), backend.get(loss))
    expected = [array for _, array in model.named(model.grads)]
    for found, theirs in zip([array for layer in grads for array in layer], expected, strict=True):
        assert_same_bits(backend.get(found), backend.get(theirs))
