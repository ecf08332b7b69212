"""The optimizer updates beside ``torch.optim``'s: a step from the same state, and twenty steps on their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numerics import assert_ulp
from optimizers import VARIANTS, Variant, is_square

from softgrad import ops

torch = pytest.importorskip("torch")

STEPS, SIZE = 20, 300
OPTIMIZERS = {"adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW"}
THEIR_NAMES = {"state_sum": "sum"}

SGD_OPTIONS: tuple[dict[str, Any], ...] = (
    {"lr": 0.1, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
)


class Torch:
    """PyTorch's optimizer of a variant, with one parameter."""

    def __init__(self, variant: Variant, param: np.ndarray) -> None:
        self.param = torch.from_numpy(param.copy()).requires_grad_()
        self.optimizer = getattr(torch.optim, OPTIMIZERS[variant.name])([self.param], foreach=False, **variant.options)

    def step(self, grad: np.ndarray, param: np.ndarray, states: dict[str, np.ndarray], step: int) -> None:
        """A step from the param and states given."""
        with torch.no_grad():
            self.param.copy_(torch.from_numpy(param))
        own = {THEIR_NAMES.get(name, name): torch.from_numpy(state.copy()) for name, state in states.items()}
        self.optimizer.state[self.param] = {"step": torch.tensor(float(step - 1)), **own}
        self.go_on(grad)

    def go_on(self, grad: np.ndarray) -> None:
        """A step from where it is."""
        self.param.grad = torch.from_numpy(grad.copy())
        self.optimizer.step()

    def arrays(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        states = self.optimizer.state[self.param]
        found = {name: states[THEIR_NAMES.get(name, name)].numpy() for name in names}
        return {"param": self.param.detach().numpy(), **found}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_step_from_the_same_state(variant: Variant, dtype: type) -> None:
    rng = np.random.default_rng(0)
    param = rng.normal(size=SIZE).astype(dtype)
    states = {name: state.astype(dtype) for name, state in variant.fresh(SIZE).items()}
    theirs = Torch(variant, param)
    for step in range(1, STEPS + 1):
        grad = rng.normal(size=SIZE).astype(dtype)
        before = {"param": param.copy(), **{name: state.copy() for name, state in states.items()}}
        theirs.step(grad, param, states, step)
        variant.update(param, grad, states, step)
        expected = theirs.arrays(variant.states)
        for name, found in {"param": param, **states}.items():
            # What is a sum of both signs is held to the size of its terms.
            terms = 0.0 if is_square(name) else np.maximum(np.abs(before[name]), np.abs(grad))
            assert_ulp(found, expected[name].astype(np.float64), 4, floor=terms)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_twenty_steps_on_their_own(variant: Variant, dtype: type) -> None:
    rng = np.random.default_rng(1)
    param = rng.normal(size=SIZE).astype(dtype)
    states = {name: state.astype(dtype) for name, state in variant.fresh(SIZE).items()}
    theirs = Torch(variant, param)
    for step in range(1, STEPS + 1):
        grad = rng.normal(size=SIZE).astype(dtype)
        theirs.go_on(grad)
        variant.update(param, grad, states, step)
    for name, expected in theirs.arrays(variant.states).items():
        found = param if name == "param" else states[name]
        assert_ulp(found, expected.astype(np.float64), 4 * STEPS, floor=0.0 if is_square(name) else 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", SGD_OPTIONS, ids=str)
def test_sgd(options: dict[str, Any], dtype: type) -> None:
    rng = np.random.default_rng(2)
    param, velocity = rng.normal(size=SIZE).astype(dtype), np.zeros(SIZE, dtype)
    own = torch.from_numpy(param.copy()).requires_grad_()
    optimizer = torch.optim.SGD([own], foreach=False, **options)
    for _ in range(STEPS):
        grad = rng.normal(size=SIZE).astype(dtype)
        own.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        ops.sgd_update(param, grad, velocity=velocity, **options)
    assert_ulp(param, own.detach().numpy().astype(np.float64), 4 * STEPS, floor=1.0)
