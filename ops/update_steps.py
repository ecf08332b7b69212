"""What the updates share: their arguments checked, and a rule's step, in place or by way of clean copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from softgrad.kernels.formulas.registry import UpdateRule
from softgrad.ops.arguments import check_dtype, check_real, check_shape, contiguous, float_array, is_array
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.dtypes import FLOAT32, FLOAT64, compute_dtype, is_float, is_half
from softgrad.ops.ready import all_disjoint, is_like, ready_backend, same_or_disjoint
from softgrad.ops.results import Result, check_disjoint, writable
from softgrad.ops.scalars import check_number, shown, whole_number

# States that only some options need, and which.
NEEDED_FOR = {
    "velocity": " when momentum is above 0",
    "momentum_buffer": " when momentum is above 0",
    "grad_avg": " when centered",
    "max_exp_avg_sq": " with amsgrad",
}

# Numbers that are computed with in float64 before a step, and what each must be below; all others reach the kernel.
BELOW = {"lr_decay": math.inf, "alpha": 1.0, "betas[0]": 1.0, "betas[1]": 1.0}

# Beyond this the powers of a mean's shares are 0, and an integer may be no float.
LAST_STEP = 1 << 60


def check_numbers(dtype: Any, **given: Any) -> list[float]:
    """The numbers as floats, in order; `dtype` is that in which the kernel computes.

    Raises TypeError or ValueError unless each is finite, not below 0, and in its range.
    """
    numbers = []
    for name, value in given.items():
        # A float from 0 to 1 is in every range.
        numbers.append(value if type(value) is float and 0.0 <= value < 1.0 else _checked(dtype, name, value))
    return numbers


def _checked(dtype: Any, name: str, value: Any) -> float:
    number = check_number(value, name, minimum=0.0, dtype=FLOAT64 if name in BELOW else compute_dtype(dtype))
    if name in BELOW and number >= BELOW[name]:
        raise ValueError(f"{name} must be below {BELOW[name]:g}; got {shown(value)}")
    return number


def check_step(step: Any) -> int:
    """`step` as the number of a step; raises TypeError or ValueError unless it can be one."""
    if type(step) is int and 1 <= step <= LAST_STEP:
        return step
    number = whole_number(step, "step", "an integer, 1 for the first step")
    if number < 1:
        raise ValueError(f"step must be 1 for the first step, or above; got {shown(step)}")
    return min(number, LAST_STEP)


def prepared(param: Any, grad: Any, **states: Any) -> tuple[Backend, Any, bool]:
    """The backend, the gradient as kernels take it, and whether both arrays have been ready.

    Raises TypeError or ValueError unless param can be updated and grad is like it; the states are yet to be checked.
    """
    backend = ready_backend(param)
    if backend is not None and is_like(backend, grad, param) and same_or_disjoint(param, grad, backend.may_share):
        return backend, grad, True
    backend = backend_of(param=param, grad=grad, **states)
    if not is_array(backend, param) or not is_float(param.dtype):
        kind = param.dtype if is_array(backend, param) else type(param).__name__
        raise TypeError(f"param must be an array of floats, since it is updated in place; got {kind}")
    dtype = param.dtype.newbyteorder("=")
    check_real(dtype, "param")
    writable(backend, param, param.shape, dtype, "param")
    grad = float_array(backend, grad, "grad")
    check_shape(grad, param.shape, "grad", "as param has")
    if not (dtype == FLOAT32 and is_half(grad.dtype)):
        check_dtype(grad, dtype, "grad", "as param is")
    return backend, contiguous(backend, grad, grad.dtype), False


def take_step(
    backend: Backend,
    ready: bool,
    rule: UpdateRule,
    param: Any,
    grad: Any,
    states: Sequence[Any],
    numbers: Sequence[float],
) -> None:
    """Check the states, then take the rule's step, in place or with clean copies that are then written back."""
    step = backend.kernels.update(rule)
    for state in states:
        ready = ready and is_like(backend, state, param)
    if ready and (not states or all_disjoint(backend, states, (param, grad))):
        step(param, grad, states, numbers)
        return

    named = dict(zip(rule.states, states, strict=True))
    backend_of(param=param, grad=grad, **named)
    for name, state in named.items():
        if state is None:
            raise ValueError(
                f"{name} must be an array like param{NEEDED_FOR.get(name, '')}; got None; "
                "pass zeros like param before the first step"
            )
    shape, dtype = param.shape, param.dtype.newbyteorder("=")
    written = {"param": param, **named}
    results = [Result(backend, array, shape, dtype, (grad,), name=name) for name, array in written.items()]
    check_disjoint(backend, results, "pass an array of zeros like param")
    for result in results:
        result.load()
    of_param, *of_states = [result.target for result in results]
    step(of_param, grad, of_states, numbers)
    for result in results:
        result.returned()
