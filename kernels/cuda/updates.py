"""Optimizer updates on the card: each one pass over a parameter, its gradient and its state, in place."""

from __future__ import annotations

import numpy as np

from softgrad.kernels.cuda.elementwise import launch_binary
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.formulas.updates import sgd, sgd_momentum


def _sgd_momentum_element(param, grad, velocity, size, lr, momentum, nesterov, weight_decay):
    i = thread_of_grid()
    if i < size:
        param[i], velocity[i] = sgd_momentum(param[i], grad[i], velocity[i], lr, momentum, nesterov, weight_decay)


_sgd_momentum = Kernel(_sgd_momentum_element)


def sgd_update(param, grad, lr, weight_decay):
    """Plain gradient descent on a contiguous parameter."""
    launch_binary(sgd, param, grad, (lr, weight_decay), param)


def sgd_momentum_update(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """Gradient descent with momentum; `velocity` has the parameter's shape and is updated with it."""
    if param.size:
        lr, momentum, weight_decay = map(param.dtype.type, (lr, momentum, weight_decay))
        numbers = lr, momentum, np.bool_(nesterov), weight_decay
        blocks = blocks_for(param.size, THREADS)
        _sgd_momentum.launch(blocks, THREADS, param, grad, velocity, np.int64(param.size), *numbers)
