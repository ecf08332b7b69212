"""Optimizer updates, in place and fused: one pass over the parameter, its gradient and its states."""

from __future__ import annotations

from typing import Any

from softgrad.kernels.formulas import updates as rules
from softgrad.ops.arguments import (
    check_dtype,
    check_number,
    check_real,
    check_shape,
    compute_dtype,
    contiguous,
    fits,
    float_array,
    is_array,
    is_ready,
    shown,
    whole_number,
)
from softgrad.ops.backend import CPU, Backend, backend_of
from softgrad.ops.results import Result, apart, check_apart, writable

# States that only some options need, and which.
NEEDED_FOR = {
    "velocity": " when momentum is above 0",
    "momentum_buffer": " when momentum is above 0",
    "grad_avg": " when centered",
    "max_exp_avg_sq": " with amsgrad",
}


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
        Of param's shape and dtype.
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
    backend, grad, ready = _arrays(param, grad, velocity=velocity)
    dtype = grad.dtype
    lr = check_number(lr, "lr", minimum=0.0, dtype=dtype)
    momentum = check_number(momentum, "momentum", minimum=0.0, dtype=dtype)
    weight_decay = check_number(weight_decay, "weight_decay", minimum=0.0, dtype=dtype)
    if momentum == 0:
        if nesterov:
            raise ValueError(f"nesterov needs momentum above 0; got momentum {momentum}")
        _update(backend, ready, rules.sgd, param, grad, {}, (lr, weight_decay))
        return
    rule = rules.sgd_nesterov if nesterov else rules.sgd_momentum
    _update(backend, ready, rule, param, grad, {"velocity": velocity}, (lr, weight_decay, momentum))


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
        Of param's shape and dtype.
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
    The semantics are those of ``torch.optim.Adagrad``; Duchi et al. 2011. float16 is computed in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param, state_sum = np.array([1.0, 2.0]), np.zeros(2)
    >>> ops.adagrad_update(param, np.array([10.0, -1.0]), lr=0.5, step=1, state_sum=state_sum)
    >>> param, state_sum
    (array([0.5, 2.5]), array([100.,   1.]))
    """
    backend, grad, ready = _arrays(param, grad, state_sum=state_sum)
    dtype = grad.dtype
    lr = check_number(lr, "lr", minimum=0.0, dtype=dtype)
    lr_decay = check_number(lr_decay, "lr_decay", minimum=0.0)
    weight_decay = check_number(weight_decay, "weight_decay", minimum=0.0, dtype=dtype)
    eps = check_number(eps, "eps", minimum=0.0, dtype=dtype)
    step = _check_step(step)
    numbers = lr / (1 + (step - 1) * lr_decay), weight_decay, eps
    _update(backend, ready, rules.adagrad, param, grad, {"state_sum": state_sum}, numbers)


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
        Of param's shape and dtype.
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
    The semantics are those of ``torch.optim.RMSprop``; Hinton 2012, centered Graves 2013. float16 is computed in
    float32.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> param, square_avg = np.array([1.0, 2.0]), np.zeros(2)
    >>> ops.rmsprop_update(param, np.array([4.0, -8.0]), lr=0.5, square_avg=square_avg, alpha=0.75, eps=0.0)
    >>> param, square_avg
    (array([0., 3.]), array([ 4., 16.]))
    """
    backend, grad, ready = _arrays(
        param, grad, square_avg=square_avg, grad_avg=grad_avg, momentum_buffer=momentum_buffer
    )
    dtype = grad.dtype
    lr = check_number(lr, "lr", minimum=0.0, dtype=dtype)
    kept = _check_kept(alpha, "alpha")
    eps = check_number(eps, "eps", minimum=0.0, dtype=dtype)
    weight_decay = check_number(weight_decay, "weight_decay", minimum=0.0, dtype=dtype)
    momentum = check_number(momentum, "momentum", minimum=0.0, dtype=dtype)
    rule, states = rules.rmsprop, {"square_avg": square_avg}
    if centered:
        rule, states["grad_avg"] = rules.rmsprop_centered, grad_avg
    if momentum > 0:
        rule = rules.rmsprop_centered_momentum if centered else rules.rmsprop_momentum
        states["momentum_buffer"] = momentum_buffer
    _update(backend, ready, rule, param, grad, states, (lr, weight_decay, eps, kept, 1 - kept, momentum))


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
        Of param's shape and dtype.
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
    The semantics are those of ``torch.optim.Adam``; Kingma and Ba 2015, AMSGrad Reddi et al. 2018. float16 is computed
    in float32.

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
    backend, grad, ready = _arrays(param, grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, max_exp_avg_sq=max_exp_avg_sq)
    dtype = grad.dtype
    lr = check_number(lr, "lr", minimum=0.0, dtype=dtype)
    eps = check_number(eps, "eps", minimum=0.0, dtype=dtype)
    weight_decay = check_number(weight_decay, "weight_decay", minimum=0.0, dtype=dtype)
    step = _check_step(step)
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise TypeError(f"betas must be a pair of numbers; got {shown(betas)}") from None
    beta1, beta2 = _check_kept(beta1, "betas[0]"), _check_kept(beta2, "betas[1]")
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
    rule, states = rules.adam, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    if amsgrad:
        rule, states["max_exp_avg_sq"] = rules.adam_amsgrad, max_exp_avg_sq
    _update(backend, ready, rule, param, grad, states, numbers)


# Beyond this the powers of a mean's shares are 0, and an integer may be no float.
LAST_STEP = 1 << 60


def _check_step(step: Any) -> int:
    """`step` as the number of a step; raises TypeError or ValueError unless it can be one."""
    number = whole_number(step, "step", "an integer, 1 for the first step")
    if number < 1:
        raise ValueError(f"step must be 1 for the first step, or above; got {shown(step)}")
    return min(number, LAST_STEP)


def _check_kept(value: Any, name: str) -> float:
    """`value` as the share of a mean that is kept at a step: a number at least 0 and below 1."""
    kept = check_number(value, name, minimum=0.0)
    if kept >= 1:
        raise ValueError(f"{name} must be below 1; got {shown(value)}")
    return kept


def _arrays(param: Any, grad: Any, **states: Any) -> tuple[Backend, Any, bool]:
    """The backend, the gradient as kernels take it, and whether both arrays have been ready.

    Raises TypeError or ValueError unless param can be updated and grad is like it; the states are yet to be checked.
    """
    if is_ready(param) and fits(grad, param) and apart(param, grad):
        return CPU, grad, True
    backend = backend_of(param=param, grad=grad, **states)
    if not is_array(backend, param) or param.dtype.kind != "f":
        kind = param.dtype if is_array(backend, param) else type(param).__name__
        raise TypeError(f"param must be an array of floats, since it is updated in place; got {kind}")
    dtype = param.dtype.newbyteorder("=")
    check_real(dtype, "param")
    writable(backend, param, param.shape, dtype, "param")
    grad = float_array(backend, grad, "grad")
    check_shape(grad, param.shape, "grad", "as param has")
    check_dtype(grad, dtype, "grad", "as param is")
    return backend, contiguous(backend, grad, compute_dtype(dtype)), False


def _update(
    backend: Backend,
    ready: bool,
    rule: rules.Rule,
    param: Any,
    grad: Any,
    states: dict[str, Any],
    numbers: tuple[float, ...],
) -> None:
    """Check the states, then take the rule's step, in place or with clean copies that are then written back."""
    step = backend.kernels.update(rule)
    if ready and _are_ready(states, param, grad):
        step(param, grad, states.values(), numbers)
        return

    backend_of(param=param, grad=grad, **states)
    for name, state in states.items():
        if state is None:
            raise ValueError(
                f"{name} must be an array like param{NEEDED_FOR.get(name, '')}; got None; "
                "pass zeros like param before the first step"
            )
    shape, dtype, written = param.shape, param.dtype.newbyteorder("="), {"param": param, **states}
    results = [Result(backend, array, shape, dtype, (grad,), name=name) for name, array in written.items()]
    check_apart(backend, results, "pass an array of zeros like param")
    for result in results:
        result.load()
    of_param, *of_states = [result.target for result in results]
    step(of_param, grad, of_states, numbers)
    for result in results:
        result.returned()


def _are_ready(states: dict[str, Any], param: Any, grad: Any) -> bool:
    """Can a CPU kernel write to the states as they are, beside the ready arrays param and grad?"""
    written = [param]
    for state in states.values():
        if not fits(state, param) or not apart(state, grad):
            return False
        for other in written:
            if state is other or not apart(state, other):
                return False
        written.append(state)
    return True
