"""The formulas of the optimizer updates, with the semantics of ``torch.optim``."""

from __future__ import annotations

from numba.extending import register_jitable

from softgrad.kernels.formulas.primitives import fma, where


@register_jitable
def sgd(param, grad, lr, weight_decay):
    """param - lr (grad + weight_decay param)."""
    return fma(-lr, fma(weight_decay, param, grad), param)


@register_jitable
def sgd_momentum(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """The new param and velocity of SGD with momentum; Sutskever et al. 2013 in PyTorch's form.

    g = grad + weight_decay param;  v = momentum velocity + g;
    param - lr v, or with Nesterov's look-ahead param - lr (g + momentum v).
    """
    grad = fma(weight_decay, param, grad)
    velocity = fma(momentum, velocity, grad)
    step = where(nesterov, fma(momentum, velocity, grad), velocity)
    return fma(-lr, step, param), velocity
