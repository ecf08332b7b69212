"""Optimizers: an update of `ops` with its states, over the flat parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from softgrad import ops
from softgrad.train.model import MLP


@dataclass(frozen=True)
class Method:
    """What an optimizer is made of.

    Attributes
    ----------
    update
        The function of `ops`.
    settings
        What a user can set, with the defaults; chosen on images of MNIST that were kept apart for it.
    states
        The names of the arrays that it keeps, as the update and ``torch.optim`` name them.
    counts
        Does the update ask for the number of the step?
    """

    update: Callable[..., None]
    settings: Mapping[str, float]
    states: tuple[str, ...] = ()
    counts: bool = False


SGD = {"lr": 0.05, "weight_decay": 5e-4}
MOMENTUM = {**SGD, "momentum": 0.9}
ADAM = {"lr": 2e-3, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999}

OPTIMIZERS: Mapping[str, Method] = MappingProxyType(
    {
        "sgd": Method(ops.sgd_update, SGD),
        "momentum": Method(ops.sgd_update, MOMENTUM, ("velocity",)),
        "nesterov": Method(partial(ops.sgd_update, nesterov=True), MOMENTUM, ("velocity",)),
        "adagrad": Method(ops.adagrad_update, {"lr": 0.01, "weight_decay": 0.0}, ("state_sum",), counts=True),
        "rmsprop": Method(ops.rmsprop_update, {"lr": 1e-3, "weight_decay": 0.0}, ("square_avg",)),
        "adam": Method(ops.adam_update, ADAM, ("exp_avg", "exp_avg_sq"), counts=True),
        "adamw": Method(ops.adamw_update, {**ADAM, "weight_decay": 1e-2}, ("exp_avg", "exp_avg_sq"), counts=True),
    }
)


class Optimizer:
    """A method with its numbers and its states, for one model.

    Parameters
    ----------
    model : MLP
        Whose parameters to update.
    name : str
        One of `OPTIMIZERS`.
    numbers : mapping of str to float
        The method's settings but lr, which comes with each step.

    Attributes
    ----------
    state : dict of str to ndarray
        Flat arrays like the model's `params`, by name; what a checkpoint keeps.
    """

    def __init__(self, model: MLP, name: str, numbers: Mapping[str, float]) -> None:
        options: dict[str, Any] = dict(numbers)
        if options.get("momentum") == 0:  # then there is no velocity, and nothing to look ahead along
            name = "sgd"
            del options["momentum"]
        if "beta1" in options:
            options["betas"] = options.pop("beta1"), options.pop("beta2")
        method = OPTIMIZERS[name]
        self._model, self._options, self._counts = model, options, method.counts
        self._update = method.update
        self.state: dict[str, Any] = {state: model.zeros() for state in method.states}

    def step(self, lr: float, step: int) -> None:
        """Update the model's parameters from its gradients, in one pass; `step` counts from 0."""
        count = {"step": step + 1} if self._counts else {}
        self._update(self._model.params, self._model.grads, lr=lr, **count, **self._options, **self.state)
