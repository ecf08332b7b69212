"""Optimizer updates: each one pass over a parameter, its gradient and its state, in place."""

from __future__ import annotations

from softgrad.kernels.cpu.launch import flat, over_range
from softgrad.kernels.cpu.memory import THROUGH_CACHE, lanes_of, line_begin, load_within, zeros
from softgrad.kernels.cpu.simd import broadcast
from softgrad.kernels.formulas.updates import sgd, sgd_momentum

_put = THROUGH_CACHE.put


def _sgd_range(start, stop, param, grad, lr, weight_decay):
    fill = zeros(param)
    lr, weight_decay = broadcast(fill, (lr, weight_decay))
    for i in range(line_begin(param, start), stop, lanes_of(param)):
        p, g = load_within(param, i, start, stop, fill), load_within(grad, i, start, stop, fill)
        _put(param, i, start, stop, sgd(p, g, lr, weight_decay))


def _sgd_momentum_range(start, stop, param, grad, velocity, lr, momentum, nesterov, weight_decay):
    fill = zeros(param)
    lr, momentum, weight_decay = broadcast(fill, (lr, momentum, weight_decay))
    for i in range(line_begin(param, start), stop, lanes_of(param)):
        p, g = load_within(param, i, start, stop, fill), load_within(grad, i, start, stop, fill)
        p, v = sgd_momentum(p, g, load_within(velocity, i, start, stop, fill), lr, momentum, nesterov, weight_decay)
        _put(param, i, start, stop, p)
        _put(velocity, i, start, stop, v)


_sgd = over_range(_sgd_range)
_sgd_momentum = over_range(_sgd_momentum_range)


def sgd_update(param, grad, lr, weight_decay):
    """Plain gradient descent on a contiguous parameter."""
    _sgd(param.size, param.nbytes, flat(param), flat(grad), lr, weight_decay)


def sgd_momentum_update(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """Gradient descent with momentum; `velocity` has the parameter's shape and is updated with it."""
    arrays = flat(param), flat(grad), flat(velocity)
    _sgd_momentum(param.size, param.nbytes, *arrays, lr, momentum, nesterov, weight_decay)
