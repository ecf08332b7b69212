"""Every activation and its gradient beside PyTorch's, at random parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from softgrad import ops

torch = pytest.importorskip("torch")
functional = torch.nn.functional

CASES = 20  # of each activation and dtype

# Ours rounds better than theirs: float32 exponentials are off by some ULP there, tails by more.
TOLERANCE = {np.float32: 2e-6, np.float64: 2e-14}
IN_FLOAT32 = {"hardsigmoid": np.float32}  # their 1/6 is a float32 in any dtype

THEIRS = {
    "identity": lambda x: x * 1,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "log_sigmoid": functional.logsigmoid,
    "softplus": lambda x, **beta: functional.softplus(x, threshold=40, **beta),  # beyond 20 they take x alone
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
THEIR_NAMES = {"min_value": "min_val", "max_value": "max_val"}


def parameters_of(name: str, rng: np.random.Generator) -> dict[str, float]:
    """Random ones that the activation allows."""
    low = float(rng.uniform(-2, 0))
    values = {
        "negative_slope": float(rng.uniform(0.01, 0.5)),
        "alpha": 2.0 ** int(rng.integers(-2, 3)),  # in celu they take its reciprocal in float32
        "beta": float(rng.uniform(0.5, 3)),
        "min_value": low,
        "max_value": low + float(rng.uniform(0.5, 3)),
    }
    return {key: values[key] for key in ops.ACTIVATIONS[name].parameters}


def theirs(name: str, x: Any, parameters: dict[str, float]) -> Any:
    function = THEIRS.get(name) or getattr(functional, name)
    return function(x, **{THEIR_NAMES.get(key, key): value for key, value in parameters.items()})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name, row in ops.ACTIVATIONS.items() if row.backward is not None])
def test_activation_like_torch(name: str, dtype: type) -> None:
    tolerance = TOLERANCE[IN_FLOAT32.get(name, dtype)]
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        x = (rng.standard_normal((3, 41)) * (1, 4, 15)[seed % 3]).astype(dtype)
        parameters = parameters_of(name, rng) if seed else {}
        leaf = torch.from_numpy(x.copy()).requires_grad_()
        expected = theirs(name, leaf, parameters)
        found = getattr(ops, name)(x, **parameters)
        values = expected.detach().numpy()
        assert_allclose(found, values, rtol=tolerance, atol=tolerance, err_msg=f"{seed} {parameters}")
        grad = rng.standard_normal(x.shape).astype(dtype)
        (slope,) = torch.autograd.grad(expected, leaf, torch.from_numpy(grad))
        saved = x if ops.ACTIVATIONS[name].saved == "input" else found
        backward = getattr(ops, f"{name}_backward")(grad, saved, **parameters)
        limit = 30 * tolerance  # PyTorch goes from the input where ours takes the output, which has been rounded
        assert_allclose(backward, slope.numpy(), rtol=limit, atol=limit, err_msg=f"{seed} {parameters}")


def test_heaviside_like_torch() -> None:
    x = np.array([-np.inf, -1.0, -0.0, 0.0, 5e-324, 2.0, np.inf])
    expected = torch.heaviside(torch.from_numpy(x), torch.ones((), dtype=torch.float64))
    np.testing.assert_array_equal(ops.heaviside(x), expected.numpy())
