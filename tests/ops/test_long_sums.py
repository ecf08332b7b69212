"""Sums of very many numbers, of which each alone is lost beside the sum: none of the mass may go missing.

A row is one number and then one far below it, again and again: what rounding takes from it has always the same sign.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from devices import EXECUTED
from numba.core import config
from numerics import Arrays, assert_ulp

from softgrad import ops

pytestmark = pytest.mark.slow

# In the simulator, where a thread is Python, nothing can be long; and little where PTX is executed.
COUNT = 100 if config.ENABLE_CUDASIM else 100_000 if EXECUTED else 1_000_000
COLUMNS = 8

# Of the exact sum 1, of the result 1, and of exp or log 2.
ULP = 4


def logits(below: float, columns: int) -> np.ndarray:
    x = np.full((COUNT, columns), below, np.float32)
    x[COUNT // 3] = 0
    return x


@pytest.mark.parametrize("columns", [1, COLUMNS])  # as rows, and side by side
@pytest.mark.parametrize("below", [-3.0, -8.0, -15.5])
def test_softmax_family(backend: Arrays, below: float, columns: int) -> None:
    x = backend.put(logits(below, columns))
    others = math.exp(below)
    mass = 1 + (COUNT - 1) * others
    y = backend.get(ops.softmax(x, axis=0))
    assert_ulp(y[COUNT // 3], np.full(columns, 1 / mass), ULP)
    assert_ulp(y[0], np.full(columns, others / mass), ULP)
    assert_ulp(backend.get(ops.logsumexp(x, axis=0)), np.full(columns, math.log(mass)), ULP)
    assert_ulp(backend.get(ops.log_softmax(x, axis=0))[COUNT // 3], np.full(columns, -math.log(mass)), ULP)
    cooler = 1 + (COUNT - 1) * math.exp(below / 2)
    assert_ulp(backend.get(ops.softmax(x, axis=0, temperature=2.0))[COUNT // 3], np.full(columns, 1 / cooler), ULP)


@pytest.mark.parametrize("columns", [1, COLUMNS])
def test_gradients(backend: Arrays, columns: int) -> None:
    grad = np.full((COUNT, columns), 0.1, np.float32)
    grad[0] = 1e5
    total = 1e5 + (COUNT - 1) * float(np.float32(0.1))
    y = np.zeros((COUNT, columns), np.float32)  # of log_softmax: its exponential is 1
    found = backend.get(ops.log_softmax_backward(backend.put(grad), backend.put(y), axis=0))
    assert_ulp(found[1], np.full(columns, float(np.float32(0.1)) - total), ULP)
    found = backend.get(ops.softmax_backward(backend.put(grad), backend.put(y + 1), axis=0))
    assert_ulp(found[1], np.full(columns, float(np.float32(0.1)) - total), ULP)


def test_bias_gradient(backend: Arrays) -> None:
    grad = np.full((COUNT, COLUMNS), 0.1, np.float32)
    grad[0] = 1e5
    arrays = (backend.put(array, np.float32) for array in (np.zeros((COUNT, 1)), np.zeros((1, COLUMNS))))
    bias = ops.linear_backward(backend.put(grad), None, *arrays, input_grad=False)[2]
    assert_ulp(backend.get(bias), np.full(COLUMNS, 1e5 + (COUNT - 1) * float(np.float32(0.1))), ULP)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_gradient_has_an_infinite_sum(backend: Arrays, value: float) -> None:
    grad = np.ones((100, COLUMNS), np.float32)
    grad[70, 3] = value
    arrays = (backend.put(array, np.float32) for array in (np.ones((100, 1)), np.ones((1, COLUMNS))))
    bias = backend.get(ops.linear_backward(backend.put(grad), None, *arrays)[2])
    np.testing.assert_array_equal(bias, [100] * 3 + [value] + [100] * 4)


def test_information(backend: Arrays) -> None:
    p = np.full((1, COUNT), 0.5 / (COUNT - 1), np.float32)
    p[0, 0] = 0.5
    exact = p.astype(np.float64)
    q = p[:, ::-1].copy()
    given = backend.put(p), backend.put(q)
    cases: list[tuple[Any, tuple[Any, ...], float]] = [
        (ops.entropy, given[:1], -(exact * np.log(exact)).sum()),
        (ops.cross_entropy, given, -(exact * np.log(exact[:, ::-1])).sum()),
        (ops.kl_divergence, given, (exact * np.log(exact / exact[:, ::-1]) - exact + exact[:, ::-1]).sum()),
    ]
    for op, arrays, expected in cases:
        assert_ulp(backend.get(op(*arrays)), np.array([expected]), ULP)


def test_probability_targets(backend: Arrays) -> None:
    targets = np.full((1, COUNT), 0.5 / (COUNT - 1), np.float32)
    targets[0, 0] = 0.5
    x = logits(-3.0, 1).T
    exact = targets.astype(np.float64)
    log_probs = x - math.log(1 + (COUNT - 1) * math.exp(-3))
    loss = ops.softmax_cross_entropy(backend.put(x), backend.put(targets))
    assert_ulp(backend.get(loss), np.array(-(exact * log_probs).sum()), ULP)
