"""Optimizer updates, in place and fused: one pass over the parameter, its gradient and its states."""

from __future__ import annotations

from typing import Any

from softgrad.kernels.formulas.registry import UPDATE_RULES
from softgrad.ops.scalars import shown
from softgrad.ops.update_steps import check_numbers, check_step, prepared, take_step


def sgd_update(
    param: Any,
    grad: Any,
    /,
    *,
    lr: float,
    momentum: float = 0.0,
    velocity: Any = None,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """One step of stochastic gradient descent, in place: param -= lr v, with v = momentum v + grad + decay param.

    With `nesterov` the step is lr (grad + decay param + momentum v) instead; without momentum it is
    lr (grad + decay param).

    Parameters
    ----------
    param : ndarray
        Any shape; written.
    grad : array_like
        Of param's shape and dtype; of a float32 `param` also of 16-bit floats.
    lr : float
        The learning rate, 0 or above.
    momentum : float, default 0
        0 or above.
    velocity : ndarray, optional
        Of param's shape and dtype; read and written, zeros before the first step. Needed with momentum.
    nesterov : bool, default False
        Look ahead along the momentum; needs momentum above 0.
    weight_decay : float, default 0
        The L2 penalty's factor, 0 or above.

    Raises
    ------
    TypeError
        If an argument is no array of floats or no number, or dtypes or devices differ.
    ValueError
        If a number is out of range, shapes differ, or `velocity` is missing. Nothing has been written then.

    Notes
    -----
    The semantics are those of ``torch.optim.SGD`` with dampening 0; Sutskever et al. 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param = np.array([1.0, 2.0])
    >>> ops.sgd_update(param, np.array([10.0, 10.0]), lr=0.01)
    >>> param
    array([0.9, 1.9])
    """
    backend, grad, ready = prepared(param, grad, velocity=velocity)
    lr, momentum, weight_decay = check_numbers(grad.dtype, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if momentum > 0:
        rule = UPDATE_RULES["sgd_nesterov" if nesterov else "sgd_momentum"]
        take_step(backend, ready, rule, param, grad, (velocity,), (lr, weight_decay, momentum))
    elif nesterov:
        raise ValueError(f"nesterov needs momentum above 0; got momentum {momentum}")
    else:
        take_step(backend, ready, UPDATE_RULES["sgd"], param, grad, (), (lr, weight_decay))


def adagrad_update(
    param: Any,
    grad: Any,
    /,
    *,
    lr: float,
    step: int,
    state_sum: Any,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
) -> None:
    """One step of Adagrad, in place: param -= lr g / (sqrt(s) + eps), with g = grad + decay param and s += g^2.

    The learning rate of a step is lr / (1 + (step - 1) lr_decay).

    Parameters
    ----------
    param : ndarray
        Any shape; written.
    grad : array_like
        Of param's shape and dtype; of a float32 `param` also of 16-bit floats.
    lr : float
        The learning rate, 0 or above.
    step : int
        The number of this step, 1 for the first.
    state_sum : ndarray
        The sum of squares s, of param's shape and dtype; read and written, zeros before the first step.
    lr_decay : float, default 0
        How much slower each step is than the one before, 0 or above.
    weight_decay : float, default 0
        The L2 penalty's factor, 0 or above.
    eps : float, default 1e-10
        Keeps the quotient finite, 0 or above.

    Raises
    ------
    TypeError
        If an argument is no array of floats or no number, or dtypes or devices differ.
    ValueError
        If a number is out of range, shapes differ, a state is missing, or arrays that are written share memory.
        Nothing has been written then.

    Notes
    -----
    The semantics are those of ``torch.optim.Adagrad``; Duchi et al. 2011. 16-bit floats are computed in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param, state_sum = np.array([1.0, 2.0]), np.zeros(2)
    >>> ops.adagrad_update(param, np.array([10.0, -1.0]), lr=0.5, step=1, state_sum=state_sum)
    >>> param, state_sum
    (array([0.5, 2.5]), array([100.,   1.]))
    """
    backend, grad, ready = prepared(param, grad, state_sum=state_sum)
    lr, lr_decay, weight_decay, eps = check_numbers(
        grad.dtype, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps
    )
    numbers = lr / (1 + (check_step(step) - 1) * lr_decay), weight_decay, eps
    take_step(backend, ready, UPDATE_RULES["adagrad"], param, grad, (state_sum,), numbers)


def rmsprop_update(
    param: Any,
    grad: Any,
    /,
    *,
    lr: float,
    square_avg: Any,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    momentum_buffer: Any = None,
    centered: bool = False,
    grad_avg: Any = None,
) -> None:
    """One step of RMSprop, in place: param -= lr g / (sqrt(s) + eps), with s = alpha s + (1 - alpha) g^2.

    Here g = grad + decay param. If `centered`, sqrt(s) is sqrt(s - a^2) instead, with a = alpha a + (1 - alpha) g.
    With momentum the step is lr b instead, with b = momentum b + the quotient.

    Parameters
    ----------
    param : ndarray
        Any shape; written.
    grad : array_like
        Of param's shape and dtype; of a float32 `param` also of 16-bit floats.
    lr : float
        The learning rate, 0 or above.
    square_avg : ndarray
        The mean of squares s, of param's shape and dtype; read and written, zeros before the first step.
    alpha : float, default 0.99
        How much of a mean is kept at a step, at least 0 and below 1.
    eps : float, default 1e-8
        Keeps the quotient finite, 0 or above.
    weight_decay : float, default 0
        The L2 penalty's factor, 0 or above.
    momentum : float, default 0
        0 or above.
    momentum_buffer : ndarray, optional
        The velocity b, as square_avg. Needed with momentum, else left alone.
    centered : bool, default False
        Divide by the standard deviation of the gradient. A variance that rounding makes negative is 0.
    grad_avg : ndarray, optional
        The mean a, as square_avg. Needed if `centered`, else left alone.

    Raises
    ------
    TypeError
        If an argument is no array of floats or no number, or dtypes or devices differ.
    ValueError
        If a number is out of range, shapes differ, a state is missing, or arrays that are written share memory.
        Nothing has been written then.

    Notes
    -----
    The semantics are those of ``torch.optim.RMSprop``; Hinton 2012, centered Graves 2013. 16-bit floats
    are computed in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param, square_avg = np.array([1.0, 2.0]), np.zeros(2)
    >>> ops.rmsprop_update(param, np.array([4.0, -8.0]), lr=0.5, square_avg=square_avg, alpha=0.75, eps=0.0)
    >>> param, square_avg
    (array([0., 3.]), array([ 4., 16.]))
    """
    backend, grad, ready = prepared(
        param, grad, square_avg=square_avg, grad_avg=grad_avg, momentum_buffer=momentum_buffer
    )
    lr, kept, eps, weight_decay, momentum = check_numbers(
        grad.dtype, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum
    )
    rule, states, numbers = "rmsprop", [square_avg], [lr, weight_decay, eps, kept, 1 - kept]
    if centered:
        rule += "_centered"
        states.append(grad_avg)
    if momentum > 0:
        rule += "_momentum"
        states.append(momentum_buffer)
        numbers.append(momentum)
    take_step(backend, ready, UPDATE_RULES[rule], param, grad, states, numbers)


def adam_update(
    param: Any,
    grad: Any,
    /,
    *,
    lr: float,
    step: int,
    exp_avg: Any,
    exp_avg_sq: Any,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    max_exp_avg_sq: Any = None,
) -> None:
    """One step of Adam, in place: param -= lr m' / (sqrt(v') + eps), m' and v' the unbiased means of g and g^2.

    Here g = grad + decay param, m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, m' = m / (1 - beta1^step)
    and v' = v / (1 - beta2^step). With `amsgrad` the largest v so far takes the place of v in the step.

    Parameters
    ----------
    param : ndarray
        Any shape; written.
    grad : array_like
        Of param's shape and dtype; of a float32 `param` also of 16-bit floats.
    lr : float
        The learning rate, 0 or above.
    step : int
        The number of this step, 1 for the first.
    exp_avg : ndarray
        The mean m, of param's shape and dtype; read and written, zeros before the first step.
    exp_avg_sq : ndarray
        The mean of squares v, as exp_avg.
    betas : pair of float, default (0.9, 0.999)
        How much of m and of v is kept at a step, at least 0 and below 1.
    eps : float, default 1e-8
        Keeps the quotient finite, 0 or above.
    weight_decay : float, default 0
        The L2 penalty's factor, 0 or above.
    amsgrad : bool, default False
        Divide by the largest v so far.
    max_exp_avg_sq : ndarray, optional
        That, as exp_avg. Needed with `amsgrad`, else left alone.

    Raises
    ------
    TypeError
        If an argument is no array of floats or no number, or dtypes or devices differ.
    ValueError
        If a number is out of range, shapes differ, a state is missing, or arrays that are written share memory.
        Nothing has been written then.

    Notes
    -----
    The semantics are those of ``torch.optim.Adam``; Kingma and Ba 2015, AMSGrad Reddi et al. 2018. 16-bit floats
    are computed in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param, exp_avg, exp_avg_sq = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> grad = np.array([10.0, -0.1])
    >>> ops.adam_update(param, grad, lr=0.5, step=1, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
    >>> param.round(6)
    array([0.5, 2.5])
    """
    _adam(param, grad, lr, step, exp_avg, exp_avg_sq, betas, eps, weight_decay, amsgrad, max_exp_avg_sq, False)


def adamw_update(
    param: Any,
    grad: Any,
    /,
    *,
    lr: float,
    step: int,
    exp_avg: Any,
    exp_avg_sq: Any,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    max_exp_avg_sq: Any = None,
) -> None:
    """One step of Adam with decoupled weight decay, in place: param *= 1 - lr decay, then Adam's step without decay.

    Parameters and errors are those of `adam_update`, but that `weight_decay` is 1e-2 by default.

    Notes
    -----
    The semantics are those of ``torch.optim.AdamW``; Loshchilov and Hutter 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param, exp_avg, exp_avg_sq = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> grad = np.array([10.0, 0.0])
    >>> ops.adamw_update(param, grad, lr=0.5, step=1, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, weight_decay=0.1)
    >>> param.round(6)
    array([0.45, 1.9 ])
    """
    _adam(param, grad, lr, step, exp_avg, exp_avg_sq, betas, eps, weight_decay, amsgrad, max_exp_avg_sq, True)


def _adam(
    param: Any,
    grad: Any,
    lr: Any,
    step: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    betas: Any,
    eps: Any,
    weight_decay: Any,
    amsgrad: bool,
    max_exp_avg_sq: Any,
    decoupled: bool,
) -> None:
    backend, grad, ready = prepared(param, grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, max_exp_avg_sq=max_exp_avg_sq)
    lr, eps, weight_decay = check_numbers(grad.dtype, lr=lr, eps=eps, weight_decay=weight_decay)
    step = check_step(step)
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise TypeError(f"betas must be a pair of numbers; got {shown(betas)}") from None
    beta1, beta2 = check_numbers(grad.dtype, **{"betas[0]": beta1, "betas[1]": beta2})
    numbers = (
        lr / (1 - beta1**step),
        0.0 if decoupled else weight_decay,
        eps,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        1 / (1 - beta2**step) ** 0.5,
        1 - lr * weight_decay if decoupled else 1.0,
    )
    if amsgrad:
        states = exp_avg, exp_avg_sq, max_exp_avg_sq
        take_step(backend, ready, UPDATE_RULES["adam_amsgrad"], param, grad, states, numbers)
    else:
        take_step(backend, ready, UPDATE_RULES["adam"], param, grad, (exp_avg, exp_avg_sq), numbers)
