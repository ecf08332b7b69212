"""The table of activations: a row for each, from which ops, kernels, tests and the command line follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from softgrad.kernels.formulas import activations as formulas


def _nonzero_alpha(alpha: float) -> str | None:
    return None if alpha != 0 else f"alpha must not be 0; got {alpha:g}"


def _positive_beta(beta: float) -> str | None:
    return None if beta > 0 else f"beta must be above 0; got {beta:g}"


def _ordered_limits(min_value: float, max_value: float) -> str | None:
    return (
        None
        if min_value <= max_value
        else f"min_value must not be above max_value; got {min_value:g} and {max_value:g}"
    )


def _anything(**parameters: float) -> str | None:
    return None


@dataclass(frozen=True, eq=False)  # rows are themselves: compared and hashed by formulas.identity
class Activation:
    """One row of the table: a formula pair, what its backward needs, and its parameters.

    Attributes
    ----------
    forward, backward
        The formulas; `backward` is None where no useful derivative exists.
    saved
        Which array of the forward pass the backward formula takes: its "input" or its "output".
    formula, derivative
        The same, for readers.
    parameters
        Name and default of each parameter, in the order the formulas take them.
    check
        Says what is wrong with a set of parameters, or None.
    """

    forward: Callable[..., object]
    backward: Callable[..., object] | None
    saved: Literal["input", "output"]
    formula: str
    derivative: str
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[..., str | None] = _anything

    @property
    def name(self) -> str:
        return self.forward.__name__


def _row(
    forward: Callable[..., object],
    backward: Callable[..., object] | None,
    saved: Literal["input", "output"],
    formula: str,
    derivative: str,
    check: Callable[..., str | None] = _anything,
    **parameters: float,
) -> Activation:
    return Activation(forward, backward, saved, formula, derivative, MappingProxyType(parameters), check)


_ROWS = (
    _row(formulas.heaviside, None, "input", "1 if x >= 0 else 0", "0 wherever it exists"),
    _row(formulas.identity, formulas.identity_backward, "output", "x", "1"),
    _row(formulas.sigmoid, formulas.sigmoid_backward, "output", "1 / (1 + exp(-x))", "y (1 - y)"),
    _row(formulas.tanh, formulas.tanh_backward, "output", "tanh(x)", "1 - y^2"),
    _row(formulas.relu, formulas.relu_backward, "output", "max(x, 0)", "1 if y > 0 else 0"),
    _row(
        formulas.leaky_relu,
        formulas.leaky_relu_backward,
        "input",
        "x if x > 0 else negative_slope x",
        "1 if x > 0 else negative_slope",
        negative_slope=0.01,
    ),
    _row(
        formulas.elu,
        formulas.elu_backward,
        "input",
        "x if x > 0 else alpha (exp(x) - 1)",
        "1 if x > 0 else alpha exp(x)",
        alpha=1.0,
    ),
    _row(
        formulas.selu,
        formulas.selu_backward,
        "input",
        "1.0507 (x if x > 0 else 1.6733 (exp(x) - 1))",
        "1.0507 (1 if x > 0 else 1.6733 exp(x))",
    ),
    _row(
        formulas.celu,
        formulas.celu_backward,
        "input",
        "x if x > 0 else alpha (exp(x / alpha) - 1)",
        "1 if x > 0 else exp(x / alpha)",
        check=_nonzero_alpha,
        alpha=1.0,
    ),
    _row(
        formulas.gelu,
        formulas.gelu_backward,
        "input",
        "x Phi(x), Phi the standard normal distribution function",
        "Phi(x) + x phi(x), phi the standard normal density",
    ),
    _row(
        formulas.gelu_tanh,
        formulas.gelu_tanh_backward,
        "input",
        "0.5 x (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3)",
        "0.5 (1 + tanh(u)) + 0.5 x (1 - tanh(u)^2) du/dx",
    ),
    _row(formulas.silu, formulas.silu_backward, "input", "x s, s = sigmoid(x)", "s (1 + x (1 - s))"),
    _row(formulas.mish, formulas.mish_backward, "input", "x t, t = tanh(softplus(x))", "t + x (1 - t^2) sigmoid(x)"),
    _row(
        formulas.softplus,
        formulas.softplus_backward,
        "input",
        "log(1 + exp(beta x)) / beta",
        "sigmoid(beta x)",
        check=_positive_beta,
        beta=1.0,
    ),
    _row(formulas.softsign, formulas.softsign_backward, "input", "x / (1 + |x|)", "1 / (1 + |x|)^2"),
    _row(formulas.log_sigmoid, formulas.log_sigmoid_backward, "input", "log(sigmoid(x))", "sigmoid(-x)"),
    _row(
        formulas.hardtanh,
        formulas.hardtanh_backward,
        "output",
        "min(max(x, min_value), max_value)",
        "1 if min_value < y < max_value else 0",
        check=_ordered_limits,
        min_value=-1.0,
        max_value=1.0,
    ),
    _row(formulas.relu6, formulas.relu6_backward, "output", "min(max(x, 0), 6)", "1 if 0 < y < 6 else 0"),
    _row(
        formulas.hardsigmoid,
        formulas.hardsigmoid_backward,
        "input",
        "min(max(x + 3, 0), 6) / 6",
        "1/6 if -3 < x < 3 else 0",
    ),
    _row(
        formulas.hardswish,
        formulas.hardswish_backward,
        "input",
        "x min(max(x + 3, 0), 6) / 6",
        "0 if x <= -3, 1 if x >= 3, else x / 3 + 1/2",
    ),
)

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType({row.name: row for row in _ROWS})
