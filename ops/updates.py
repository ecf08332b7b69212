"""Optimizer updates, in place and fused: one pass over the parameter, its gradient and its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrad.ops.arguments import (
    apart,
    check_dtype,
    check_number,
    check_out,
    check_shape,
    compute_dtype,
    contiguous,
    fits,
    float_array,
    into,
    is_array,
    is_ready,
)
from softgrad.ops.backend import CPU, Backend, backend_of


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
    ready = is_ready(param) and fits(grad, param) and apart(param, grad)
    backend = CPU if ready and velocity is None else backend_of(param=param, grad=grad, velocity=velocity)
    if not ready:
        _check_state(backend, param, "param")
        grad = float_array(backend, grad, "grad")
        check_shape(grad, param.shape, "grad", "as param has")
        check_dtype(grad, param.dtype, "grad", "as param is")
    dtype = compute_dtype(param.dtype)
    lr = check_number(lr, "lr", minimum=0.0, dtype=dtype)
    momentum = check_number(momentum, "momentum", minimum=0.0, dtype=dtype)
    weight_decay = check_number(weight_decay, "weight_decay", minimum=0.0, dtype=dtype)
    grad = grad if ready else contiguous(backend, grad, dtype)

    if momentum == 0:
        if nesterov:
            raise ValueError(f"nesterov needs momentum above 0; got momentum {momentum}")

        def plain(target: Any) -> None:
            backend.kernels.sgd_update(target, grad, lr, weight_decay)

        _update(backend, param, (grad,), plain)
        return

    if velocity is None:
        raise ValueError("velocity must be an array like param when momentum is above 0; got None")
    check_out(backend, velocity, param.shape, param.dtype, "velocity")
    if velocity is param or not apart(velocity, param):
        raise ValueError("velocity and param must not share memory; pass an array of zeros like param")

    def with_momentum(target: Any) -> None:
        def step(state: Any) -> None:
            backend.kernels.sgd_momentum_update(target, grad, state, lr, momentum, nesterov, weight_decay)

        _update(backend, velocity, (grad,), step)

    _update(backend, param, (grad,), with_momentum)


def _check_state(backend: Backend, array: Any, name: str) -> None:
    """Raise TypeError or ValueError unless `array` is an array of floats that can be written to."""
    if not is_array(backend, array) or array.dtype.kind != "f":
        kind = array.dtype if is_array(backend, array) else type(array).__name__
        raise TypeError(f"{name} must be an array of floats, since it is updated in place; got {kind}")
    float_array(backend, array, name)
    check_out(backend, array, array.shape, array.dtype, name)


def _update(backend: Backend, array: Any, reads: tuple[Any, ...], step: Callable[[Any], None]) -> None:
    """Have `step` update `array`, or a clean copy of it that is then written back."""
    if is_ready(array) and all(apart(array, read) for read in reads):
        step(array)
        return

    def write(target: Any) -> None:
        if target is not array:
            target[...] = array
        step(target)

    into(backend, array, array.shape, array.dtype, reads, write)
