"""The rules of the optimizer updates, with the semantics of ``torch.optim``.

A rule is ``rule(param, grad, *states, numbers)`` and returns the new param and states. What depends on the step alone
is worked out before, in float64, and is among the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from numba.extending import register_jitable

from softgrad.kernels.formulas.primitives import const, fma, sqrt, where

Rule = Callable[..., Any]


def arrays_of(rule: Rule) -> int:
    """How many arrays a rule goes through: param, grad and the states."""
    return len(signature(rule).parameters) - 1


@register_jitable
def _decayed(grad, param, weight_decay):
    """grad + weight_decay param; without decay it is grad alone, whatever the param."""
    return where(weight_decay > const(grad, 0.0), fma(weight_decay, param, grad), grad)


@register_jitable
def _mean(mean, value, kept, fresh):
    """kept mean + fresh value, where kept + fresh = 1."""
    return fma(kept, mean, fresh * value)


@register_jitable
def _square_mean(mean, value, kept, fresh):
    """kept mean + fresh value^2, which overflows only where it must."""
    return fma(fresh * value, value, kept * mean)


# ---- SGD; Sutskever et al. 2013 in PyTorch's form


@register_jitable
def sgd(param, grad, numbers):
    """param - lr (grad + weight_decay param)."""
    lr, weight_decay = numbers
    return (fma(-lr, _decayed(grad, param, weight_decay), param),)


@register_jitable
def sgd_momentum(param, grad, velocity, numbers):
    """g = grad + weight_decay param;  v = momentum velocity + g;  param - lr v."""
    lr, weight_decay, momentum = numbers
    velocity = fma(momentum, velocity, _decayed(grad, param, weight_decay))
    return fma(-lr, velocity, param), velocity


@register_jitable
def sgd_nesterov(param, grad, velocity, numbers):
    """As `sgd_momentum`, but looking ahead: param - lr (g + momentum v)."""
    lr, weight_decay, momentum = numbers
    grad = _decayed(grad, param, weight_decay)
    velocity = fma(momentum, velocity, grad)
    return fma(-lr, fma(momentum, velocity, grad), param), velocity


# ---- Adagrad; Duchi et al. 2011


@register_jitable
def adagrad(param, grad, state_sum, numbers):
    """g = grad + weight_decay param;  s = state_sum + g^2;  param - lr g / (sqrt(s) + eps)."""
    lr, weight_decay, eps = numbers
    grad = _decayed(grad, param, weight_decay)
    state_sum = fma(grad, grad, state_sum)
    return fma(-lr, grad / (sqrt(state_sum) + eps), param), state_sum


# ---- RMSprop; Hinton 2012, centered: Graves 2013


@register_jitable
def _deviation(square_avg, grad_avg):
    """The standard deviation; 0 where rounding has made the variance negative."""
    variance = fma(-grad_avg, grad_avg, square_avg)
    zero = const(variance, 0.0)
    return sqrt(where(variance < zero, zero, variance))


@register_jitable
def rmsprop(param, grad, square_avg, numbers):
    """g = grad + weight_decay param;  s = alpha square_avg + (1 - alpha) g^2;  param - lr g / (sqrt(s) + eps)."""
    lr, weight_decay, eps, kept, fresh, _ = numbers
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    return fma(-lr, grad / (sqrt(square_avg) + eps), param), square_avg


@register_jitable
def rmsprop_centered(param, grad, square_avg, grad_avg, numbers):
    """As `rmsprop`, with a = alpha grad_avg + (1 - alpha) g and sqrt(s - a^2) for sqrt(s)."""
    lr, weight_decay, eps, kept, fresh, _ = numbers
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    grad_avg = _mean(grad_avg, grad, kept, fresh)
    return fma(-lr, grad / (_deviation(square_avg, grad_avg) + eps), param), square_avg, grad_avg


@register_jitable
def rmsprop_momentum(param, grad, square_avg, momentum_buffer, numbers):
    """As `rmsprop`, with b = momentum momentum_buffer + g / (sqrt(s) + eps);  param - lr b."""
    lr, weight_decay, eps, kept, fresh, momentum = numbers
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    momentum_buffer = fma(momentum, momentum_buffer, grad / (sqrt(square_avg) + eps))
    return fma(-lr, momentum_buffer, param), square_avg, momentum_buffer


@register_jitable
def rmsprop_centered_momentum(param, grad, square_avg, grad_avg, momentum_buffer, numbers):
    """As `rmsprop_centered`, with the momentum of `rmsprop_momentum`."""
    lr, weight_decay, eps, kept, fresh, momentum = numbers
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    grad_avg = _mean(grad_avg, grad, kept, fresh)
    momentum_buffer = fma(momentum, momentum_buffer, grad / (_deviation(square_avg, grad_avg) + eps))
    return fma(-lr, momentum_buffer, param), square_avg, grad_avg, momentum_buffer


# ---- Adam; Kingma and Ba 2015, decoupled decay: Loshchilov and Hutter 2019, AMSGrad: Reddi et al. 2018


@register_jitable
def adam(param, grad, exp_avg, exp_avg_sq, numbers):
    """g = grad + weight_decay param;  m = beta1 exp_avg + (1 - beta1) g;  v = beta2 exp_avg_sq + (1 - beta2) g^2;

    shrink param - lr m / (scale sqrt(v) + eps). The bias corrections are in lr and scale.
    """
    lr, weight_decay, eps, kept1, fresh1, kept2, fresh2, scale, shrink = numbers
    grad = _decayed(grad, param, weight_decay)
    exp_avg = _mean(exp_avg, grad, kept1, fresh1)
    exp_avg_sq = _square_mean(exp_avg_sq, grad, kept2, fresh2)
    return fma(-lr, exp_avg / fma(scale, sqrt(exp_avg_sq), eps), shrink * param), exp_avg, exp_avg_sq


@register_jitable
def adam_amsgrad(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, numbers):
    """As `adam`, with the largest v so far for v in the step."""
    lr, weight_decay, eps, kept1, fresh1, kept2, fresh2, scale, shrink = numbers
    grad = _decayed(grad, param, weight_decay)
    exp_avg = _mean(exp_avg, grad, kept1, fresh1)
    exp_avg_sq = _square_mean(exp_avg_sq, grad, kept2, fresh2)
    # NaN is kept: a comparison with it does not hold.
    largest = where(max_exp_avg_sq > exp_avg_sq, max_exp_avg_sq, exp_avg_sq)
    return fma(-lr, exp_avg / fma(scale, sqrt(largest), eps), shrink * param), exp_avg, exp_avg_sq, largest
