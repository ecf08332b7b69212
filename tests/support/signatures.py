"""A call of any public operation, its arguments found by its signature: a new one is tried without a line here."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numerics import KERNEL_DTYPES

from softgrad import ops

# Rows, classes, inputs and outputs are as many, so that one argument fits the place of another; from 8 columns on
# softmax over axis 0 takes kernels of its own.
SIZE = 45
SQUARE, ROW = (SIZE, SIZE), (SIZE,)

STATES = ("velocity", "state_sum", "square_avg", "momentum_buffer", "grad_avg", "exp_avg", "exp_avg_sq")
STATES += ("max_exp_avg_sq",)
WRITTEN = ("out", "out[0]", "out[1]", "out[2]", "param", "preactivation", *STATES)
OPTIONS: dict[str, Any] = {
    "lr": 0.1, "step": 2, "momentum": 0.5, "num_classes": SIZE, "centered": True, "amsgrad": True,
    "activation": "silu", "overwrite_grad": True, "validate": False, "rng": 1,
}  # fmt: skip

# The public operations; `elementwise` makes one of a function.
PUBLIC = [name for name in ops.__all__ if inspect.isfunction(getattr(ops, name)) and name != "elementwise"]

NAMES = [name for name in PUBLIC if name != "heaviside_backward"]

# Each operation in the dtype in which other tests have its kernels compiled.
OVER_ROWS = ("softmax", "log_softmax", "logsumexp", "linear_cross", "entropy", "perplexity", "cross_", "kl_", "sample_")

Drawn = dict[str, tuple[type, tuple[int, ...]]]


def parameters_of(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(ops, name)).parameters)


def arrays_of(name: str) -> Drawn:
    """The dtype and shape of each array argument; the parts of a tuple are out[0], out[1] ..."""
    found: Drawn = {}
    of_classes = name.startswith(("softmax_cross", "linear_cross"))
    floats = np.float64 if name.startswith(OVER_ROWS) else np.float32
    for key, parameter in parameters_of(name).items():
        if key == "out" and name == "linear_backward":
            found |= {f"out[{i}]": (floats, shape) for i, shape in enumerate((SQUARE, SQUARE, ROW))}
        elif key in ("labels", "indices") or (key == "targets" and of_classes):
            found[key] = np.int64, ROW
        elif key == "where":
            found[key] = np.bool_, SQUARE
        elif key in ("b", "bias") or (key == "weight" and of_classes) or (key == "out" and name == "logsumexp"):
            found[key] = floats, ROW
        elif key in ("weight", "pos_weight", *WRITTEN) or (
            parameter.kind is parameter.POSITIONAL_ONLY and key != "num_classes"
        ):
            found[key] = floats, SQUARE
    return found


def drawn(name: str) -> dict[str, np.ndarray]:
    """Numbers that every operation takes, for each array argument: in (0, 1), labels 0 and 1."""
    rng = np.random.default_rng(0)
    return {
        key: (rng.random(shape) * 0.8 + 0.1 if dtype in KERNEL_DTYPES else rng.integers(0, 2, shape)).astype(dtype)
        for key, (dtype, shape) in arrays_of(name).items()
    }


def called(name: str, arrays: dict[str, Any], **options: Any) -> list[Any]:
    """The results of the operation, of a tuple its parts, and the arrays that it may have written."""
    given: dict[str, Any] = OPTIONS | ({"dtype": np.float32} if name == "one_hot" else {}) | options | arrays
    if name == "linear_backward":
        given["out"] = tuple(given.get(f"out[{i}]") for i in range(3))
    positional, named = [], {}
    for key, parameter in parameters_of(name).items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(given.get(key, parameter.default))
        elif key in given:
            named[key] = given[key]
    results = getattr(ops, name)(*positional, **named)
    parts = results if isinstance(results, tuple) else (results,)
    flat = [part for result in parts for part in (result if isinstance(result, tuple) else (result,))]
    return [*(result for result in flat if result is not None), *(arrays[key] for key in arrays if key in WRITTEN)]
