"""Optimizer updates: each one pass over a parameter, its gradient and its state, in place."""

from __future__ import annotations

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.formulas.updates import sgd, sgd_momentum


def _sgd_range(start, stop, param, grad, lr, weight_decay):
    param = param[start:stop]
    grad = grad[start:stop]
    for i in range(param.size):
        param[i] = sgd(param[i], grad[i], lr, weight_decay)


def _sgd_momentum_range(start, stop, param, grad, velocity, lr, momentum, nesterov, weight_decay):
    param = param[start:stop]
    grad = grad[start:stop]
    velocity = velocity[start:stop]
    for i in range(param.size):
        param[i], velocity[i] = sgd_momentum(param[i], grad[i], velocity[i], lr, momentum, nesterov, weight_decay)


_sgd = over_range(_sgd_range)
_sgd_momentum = over_range(_sgd_momentum_range)


def sgd_update(param, grad, lr, weight_decay):
    """Plain gradient descent on a contiguous parameter."""
    _sgd(param.size, param.size, param.reshape(-1), grad.reshape(-1), lr, weight_decay)


def sgd_momentum_update(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """Gradient descent with momentum; `velocity` has the parameter's shape and is updated with it."""
    _sgd_momentum(
        param.size,
        param.size,
        param.reshape(-1),
        grad.reshape(-1),
        velocity.reshape(-1),
        lr,
        momentum,
        nesterov,
        weight_decay,
    )
