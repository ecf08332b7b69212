"""Optimizers: an update of `ops` with its state, over the flat parameters of a model."""

from __future__ import annotations

from typing import Any

from softgrad import ops
from softgrad.train.config import TrainConfig
from softgrad.train.model import MLP


class SGD:
    """Stochastic gradient descent: "sgd", "momentum" or "nesterov", with weight decay.

    Attributes
    ----------
    state : dict of str to ndarray
        Flat arrays like the model's `params`, by name; what a checkpoint keeps.
    """

    def __init__(self, model: MLP, config: TrainConfig) -> None:
        self._model = model
        self._momentum = 0.0 if config.optimizer == "sgd" else config.momentum
        self._nesterov = config.optimizer == "nesterov" and self._momentum > 0
        self._weight_decay = config.weight_decay
        self.state: dict[str, Any] = {"velocity": model.zeros()} if self._momentum else {}

    def step(self, lr: float) -> None:
        """Update the model's parameters from its gradients, in one pass."""
        ops.sgd_update(
            self._model.params,
            self._model.grads,
            lr=lr,
            momentum=self._momentum,
            velocity=self.state.get("velocity"),
            nesterov=self._nesterov,
            weight_decay=self._weight_decay,
        )
