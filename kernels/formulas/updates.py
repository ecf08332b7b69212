"""The rules of the optimizer updates, with the semantics of ``torch.optim``.

A rule is ``rule(param, grad, *states, /, *numbers)`` and returns the new param and states; `registry.update_rule` makes
the rows of `UPDATE_RULES` of them. What depends on the step alone is worked out before, in float64, and is among the
numbers.
"""

from __future__ import annotations

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, fma, sqrt, where
from softgrad.kernels.formulas.registry import update_rule


@jitable
def _decayed(grad, param, weight_decay):
    """grad + weight_decay param; without decay it is grad alone, whatever the param."""
    return where(weight_decay > const(grad, 0.0), fma(weight_decay, param, grad), grad)


@jitable
def _mean(mean, value, kept, fresh):
    """kept mean + fresh value, where kept + fresh = 1."""
    return fma(kept, mean, fresh * value)


@jitable
def _square_mean(mean, value, kept, fresh):
    """kept mean + fresh value^2, which overflows only where it must."""
    return fma(fresh * value, value, kept * mean)


# ---- SGD; Sutskever et al. 2013 in PyTorch's form


@update_rule
def sgd(param, grad, /, lr, weight_decay):
    """param - lr (grad + weight_decay param)."""
    return (fma(-lr, _decayed(grad, param, weight_decay), param),)


@update_rule
def sgd_momentum(param, grad, velocity, /, lr, weight_decay, momentum):
    """g = grad + weight_decay param;  v = momentum velocity + g;  param - lr v."""
    velocity = fma(momentum, velocity, _decayed(grad, param, weight_decay))
    return fma(-lr, velocity, param), velocity


@update_rule
def sgd_nesterov(param, grad, velocity, /, lr, weight_decay, momentum):
    """As `sgd_momentum`, but looking ahead: param - lr (g + momentum v)."""
    grad = _decayed(grad, param, weight_decay)
    velocity = fma(momentum, velocity, grad)
    return fma(-lr, fma(momentum, velocity, grad), param), velocity


# ---- Adagrad; Duchi et al. 2011


@update_rule
def adagrad(param, grad, state_sum, /, lr, weight_decay, eps):
    """g = grad + weight_decay param;  s = state_sum + g^2;  param - lr g / (sqrt(s) + eps)."""
    grad = _decayed(grad, param, weight_decay)
    state_sum = fma(grad, grad, state_sum)
    return fma(-lr, grad / (sqrt(state_sum) + eps), param), state_sum


# ---- RMSprop; Hinton 2012, centered: Graves 2013


@jitable
def _deviation(square_avg, grad_avg):
    """The standard deviation; 0 where rounding has made the variance negative."""
    variance = fma(-grad_avg, grad_avg, square_avg)
    zero = const(variance, 0.0)
    return sqrt(where(variance < zero, zero, variance))


@update_rule
def rmsprop(param, grad, square_avg, /, lr, weight_decay, eps, kept, fresh):
    """g = grad + weight_decay param;  s = alpha square_avg + (1 - alpha) g^2;  param - lr g / (sqrt(s) + eps)."""
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    return fma(-lr, grad / (sqrt(square_avg) + eps), param), square_avg


@update_rule
def rmsprop_centered(param, grad, square_avg, grad_avg, /, lr, weight_decay, eps, kept, fresh):
    """As `rmsprop`, with a = alpha grad_avg + (1 - alpha) g and sqrt(s - a^2) for sqrt(s)."""
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    grad_avg = _mean(grad_avg, grad, kept, fresh)
    return fma(-lr, grad / (_deviation(square_avg, grad_avg) + eps), param), square_avg, grad_avg


@update_rule
def rmsprop_momentum(param, grad, square_avg, momentum_buffer, /, lr, weight_decay, eps, kept, fresh, momentum):
    """As `rmsprop`, with b = momentum momentum_buffer + g / (sqrt(s) + eps);  param - lr b."""
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    momentum_buffer = fma(momentum, momentum_buffer, grad / (sqrt(square_avg) + eps))
    return fma(-lr, momentum_buffer, param), square_avg, momentum_buffer


@update_rule
def rmsprop_centered_momentum(
    param, grad, square_avg, grad_avg, momentum_buffer, /, lr, weight_decay, eps, kept, fresh, momentum
):
    """As `rmsprop_centered`, with the momentum of `rmsprop_momentum`."""
    grad = _decayed(grad, param, weight_decay)
    square_avg = _square_mean(square_avg, grad, kept, fresh)
    grad_avg = _mean(grad_avg, grad, kept, fresh)
    momentum_buffer = fma(momentum, momentum_buffer, grad / (_deviation(square_avg, grad_avg) + eps))
    return fma(-lr, momentum_buffer, param), square_avg, grad_avg, momentum_buffer


# ---- Adam; Kingma and Ba 2015, decoupled decay: Loshchilov and Hutter 2019, AMSGrad: Reddi et al. 2018


@update_rule
def adam(param, grad, exp_avg, exp_avg_sq, /, lr, weight_decay, eps, kept1, fresh1, kept2, fresh2, scale, shrink):
    """g = grad + weight_decay param;  m = beta1 exp_avg + (1 - beta1) g;  v = beta2 exp_avg_sq + (1 - beta2) g^2;

    shrink param - lr m / (scale sqrt(v) + eps). The bias corrections are in lr and scale.
    """
    grad = _decayed(grad, param, weight_decay)
    exp_avg = _mean(exp_avg, grad, kept1, fresh1)
    exp_avg_sq = _square_mean(exp_avg_sq, grad, kept2, fresh2)
    return fma(-lr, exp_avg / fma(scale, sqrt(exp_avg_sq), eps), shrink * param), exp_avg, exp_avg_sq


@update_rule
def adam_amsgrad(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, /,
    lr, weight_decay, eps, kept1, fresh1, kept2, fresh2, scale, shrink,
):  # fmt: skip
    """As `adam`, with the largest v so far for v in the step."""
    grad = _decayed(grad, param, weight_decay)
    exp_avg = _mean(exp_avg, grad, kept1, fresh1)
    exp_avg_sq = _square_mean(exp_avg_sq, grad, kept2, fresh2)
    # NaN is kept: a comparison with it does not hold.
    largest = where(max_exp_avg_sq > exp_avg_sq, max_exp_avg_sq, exp_avg_sq)
    return fma(-lr, exp_avg / fma(scale, sqrt(largest), eps), shrink * param), exp_avg, exp_avg_sq, largest
