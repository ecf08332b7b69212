"""The adaptive updates as tests go through them: every variant, its states, and steps on any backend."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import reference
from numerics import Arrays

from softgrad import ops

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Variant:
    """An update with options, and the states it then has."""

    name: str
    states: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    @property
    def counts(self) -> bool:
        """Does it ask for the number of the step?"""
        return self.name != "rmsprop"

    def step_options(self, step: int) -> dict[str, Any]:
        return {**self.options, "step": step} if self.counts else self.options

    def fresh(self, size: Any) -> State:
        """The states before the first step, in float64."""
        return {name: np.zeros(size) for name in self.states}

    def drawn(self, rng: np.random.Generator, size: Any) -> State:
        """States as they may be in the midst of a run: means below the root of the mean of squares."""
        return {name: rng.uniform(1.0, 4.0, size) if is_square(name) else rng.uniform(-0.9, 0.9, size)
                for name in self.states}  # fmt: skip

    def update(self, param: Any, grad: Any, states: dict[str, Any], step: int) -> None:
        """The public function's step, in place."""
        assert getattr(ops, f"{self.name}_update")(param, grad, **states, **self.step_options(step)) is None

    def expected(self, param: np.ndarray, grad: np.ndarray, states: State, step: int) -> tuple[np.ndarray, State]:
        """The reference's step, in float64."""
        result: tuple[np.ndarray, State] = getattr(reference, self.name)(param, grad, states, **self.step_options(step))
        return result


def is_square(state: str) -> bool:
    """Is it a mean or a sum of squares, and never negative?"""
    return state in ("state_sum", "square_avg", "exp_avg_sq", "max_exp_avg_sq")


def put(backend: Arrays, states: State, dtype: Any) -> dict[str, Any]:
    return {name: backend.put(state, dtype) for name, state in states.items()}


ADAM = ("exp_avg", "exp_avg_sq")
ADAM_VARIANTS: tuple[dict[str, Any], ...] = (
    {"lr": 0.01},
    {"lr": 0.0},
    {"lr": 0.01, "weight_decay": 0.0},
    {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3},
    {"lr": 0.01, "betas": (0.0, 0.5)},
    {"lr": 0.01, "betas": (0.4, 0.9), "amsgrad": True},
    {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True},
)

VARIANTS: tuple[Variant, ...] = (
    Variant("adagrad", ("state_sum",), {"lr": 0.1}),
    Variant("adagrad", ("state_sum",), {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    Variant("rmsprop", ("square_avg",), {"lr": 0.01}),
    Variant("rmsprop", ("square_avg",), {"lr": 0.01, "alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
    Variant("rmsprop", ("square_avg",), {"lr": 0.01, "alpha": 0.0}),
    Variant("rmsprop", ("square_avg", "grad_avg"), {"lr": 0.01, "centered": True, "weight_decay": 0.1}),
    Variant("rmsprop", ("square_avg", "momentum_buffer"), {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    Variant("rmsprop", ("square_avg", "grad_avg", "momentum_buffer"), {"lr": 0.01, "momentum": 0.9, "centered": True}),
    *(
        Variant(name, (*ADAM, "max_exp_avg_sq") if "amsgrad" in options else ADAM, options)
        for name in ("adam", "adamw")
        for options in ADAM_VARIANTS
    ),
)

# One of each rule, but SGD's, with decay and without, which go ways of their own.
LARGEST = tuple(
    replace(variant, options=variant.options | {"weight_decay": decay})
    for variant in (VARIANTS[1], VARIANTS[5], VARIANTS[6], VARIANTS[7], VARIANTS[11], VARIANTS[-1])
    for decay in (0.1, 0.0)
)
