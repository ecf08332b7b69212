"""Under ``np.errstate(all="raise")`` only what the caller computes raises: results are the same, bit for bit.

The operations of `ops` are called so by the fuzzer, at random and beside plain calls; here are their conversions, and
training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numerics import FLOATS, assert_same_bits, quick

from softgrad import ops
from softgrad.ops import autodiff
from softgrad.ops.backend import CPU
from softgrad.train import LinearRegression, LogisticRegression, SoftmaxRegression, TrainConfig, Trainer, load_dataset
from softgrad.train.config import MODELS

# Subnormal in float16, beyond it, and what a softmax makes of them.
SPIKY = np.array([[6e4, -6e4, 6e-8, 1e-7], [np.nan, np.inf, -np.inf, 0.0], [1.0, 20.0, -3e-5, -17.0]])

CASES: dict[str, Any] = {
    "softmax": lambda x: ops.softmax(x),
    "softmax, columns": lambda x: ops.softmax(x, axis=0),
    "softmax, a tiny temperature": lambda x: ops.softmax(x, temperature=1e-320),
    "log_softmax": lambda x: ops.log_softmax(x, where=[True, False, True, True]),
    "logsumexp": lambda x: ops.logsumexp(x, axis=None),
    "gelu": ops.gelu,
    "softplus, with a parameter": lambda x: ops.softplus(x, beta=1e-30),
    "linear": lambda x: ops.linear(x, x.T * 1, activation="mish"),
    "cross-entropy": lambda x: ops.softmax_cross_entropy_with_grad(x, [0, 1, 2], label_smoothing=1e-30)[1],
    "elementwise loss": lambda x: ops.sigmoid_cross_entropy_with_grad(x, np.full(x.shape, 0.5))[1],
    "gather_scale": lambda x: ops.gather_scale(x, [2, 0], scale=1e-30, dtype="float32"),
    "strided out": lambda x: ops.tanh(x, out=np.zeros((3, 8), x.dtype)[:, ::2]),
    "autodiff": lambda x: autodiff.grad(lambda x: (autodiff.softmax(x) * 1e-5).sum())(x),
}


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("name", CASES)
def test_operations(name: str, dtype: type) -> None:
    x = SPIKY.astype(dtype)
    with np.errstate(all="ignore"):
        expected = CASES[name](x)
    with np.errstate(all="raise"):
        found = CASES[name](x)
    assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("update", [ops.adam_update, ops.adamw_update, ops.rmsprop_update, ops.adagrad_update])
def test_updates(update: Any, dtype: type) -> None:
    states = {"adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq"), "rmsprop": ("square_avg",),
              "adagrad": ("state_sum",)}[update.__name__.removesuffix("_update")]  # fmt: skip
    step = {} if update is ops.rmsprop_update else {"step": 1}
    after = []
    for mode in ("ignore", "raise"):
        arrays = [np.full(3, value, dtype) for value in (6e-8, 1e-7, *[0.0] * len(states))]
        with np.errstate(all=mode):  # type: ignore[call-overload]
            update(*arrays[:2], lr=1e-7, **step, **dict(zip(states, arrays[2:], strict=True)))
        after.append(arrays)
    for found, expected in zip(*after, strict=True):
        assert_same_bits(found, expected)


@pytest.mark.parametrize("model", MODELS)
def test_training(model: str) -> None:
    config = TrainConfig(dataset="digits", model=model, hidden=() if model != "mlp" else (8,), epochs=1, lr=0.5)
    params = []
    for mode in ("ignore", "raise"):
        trainer = Trainer(config, load_dataset("digits"), CPU)
        with np.errstate(all=mode):  # type: ignore[call-overload]
            trainer.model.params[...] = trainer.model.params * 30  # scores whose gradients underflow
            list(trainer.fit())
        params.append(trainer.model.params)
    assert_same_bits(*params)


@pytest.mark.parametrize("model", [LogisticRegression, SoftmaxRegression, LinearRegression])
def test_linear_models(model: Any) -> None:
    x = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    learned = []
    for mode in ("ignore", "raise"):
        with np.errstate(all=mode):  # type: ignore[call-overload]
            fitted = model(epochs=20, **({"lr": 90.0} if model is not LinearRegression else {})).fit(x, y)
            fitted.score(x, y)
        learned.append(fitted.coef_)
    assert_same_bits(*learned)
