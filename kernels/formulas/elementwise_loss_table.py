"""The table of elementwise losses: a row for each, from which ops, kernels and tests follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from softgrad.kernels.formulas import elementwise_losses as formulas


def _positive_delta(delta: float) -> str | None:
    return None if delta > 0 else f"delta must be above 0; got {delta:g}"


def _anything(**parameters: float) -> str | None:
    return None


class Condition(NamedTuple):
    """What every element of an array must fulfil: a formula that says whether it does, and the same in words."""

    holds: Callable[..., object]
    words: str


PROBABILITIES = Condition(formulas.is_probability, "lie in [0, 1]")
SIGNS = Condition(formulas.is_sign, "be -1 or 1")
WEIGHTS = Condition(formulas.is_weight, "be finite and not below 0")


@dataclass(frozen=True, eq=False)  # rows are themselves: compared and hashed by identity
class ElementwiseLoss:
    """One row of the table: a formula pair, what it takes, and what is said of it.

    Attributes
    ----------
    forward, gradient
        The formulas of an element: ``(x, target, *weights, *parameters)`` to the loss, and to its derivative by x.
    predictions
        What x is called.
    formula, derivative
        The same, for readers, of x and t.
    source
        Where else the loss is defined so.
    targets
        What the targets must fulfil, or None.
    weights
        Names of the weights, numbers or arrays not below 0, by default 1.
    parameters
        Name and default of each parameter.
    check
        Says what is wrong with a set of parameters, or None.
    """

    forward: Callable[..., Any]
    gradient: Callable[..., Any]
    predictions: str
    formula: str
    derivative: str
    source: str
    targets: Condition | None = None
    weights: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[..., str | None] = _anything

    @property
    def name(self) -> str:
        return self.forward.__name__

    @cached_property
    def defaults(self) -> tuple[float, ...]:
        """The weights and parameters of a plain call."""
        return (*(1.0 for _ in self.weights), *self.parameters.values())


_ROWS = (
    ElementwiseLoss(
        formulas.sigmoid_cross_entropy,
        formulas.sigmoid_cross_entropy_gradient,
        "logits",
        "weight (pos_weight t softplus(-x) + (1 - t) softplus(x))",
        "weight ((1 - t) sigmoid(x) - pos_weight t sigmoid(-x))",
        "``torch.nn.functional.binary_cross_entropy_with_logits``",
        targets=PROBABILITIES,
        weights=("pos_weight", "weight"),
    ),
    ElementwiseLoss(
        formulas.squared_error,
        formulas.squared_error_gradient,
        "predictions",
        "(x - t)^2",
        "2 (x - t)",
        "``torch.nn.functional.mse_loss``",
    ),
    ElementwiseLoss(
        formulas.l2_loss,
        formulas.l2_loss_gradient,
        "predictions",
        "(x - t)^2 / 2",
        "x - t",
        "``optax.losses.l2_loss``",
    ),
    ElementwiseLoss(
        formulas.hinge_loss,
        formulas.hinge_loss_gradient,
        "scores",
        "max(0, 1 - t x)",
        "-t if t x < 1 else 0, at the kink too",
        "``optax.losses.hinge_loss``",
        targets=SIGNS,
    ),
    ElementwiseLoss(
        formulas.huber_loss,
        formulas.huber_loss_gradient,
        "predictions",
        "d^2 / 2 if |d| <= delta else delta (|d| - delta / 2), d = x - t",
        "min(max(x - t, -delta), delta)",
        "``torch.nn.functional.huber_loss``",
        parameters=MappingProxyType({"delta": 1.0}),
        check=_positive_delta,
    ),
)

ELEMENTWISE_LOSSES: Mapping[str, ElementwiseLoss] = MappingProxyType({row.name: row for row in _ROWS})
