"""SGD: several steps against the formulas of torch.optim, in any memory, nothing written on an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from numerics import KERNEL_DTYPES, Arrays, assert_same_bits, assert_ulp, one_quick

from softgrad import ops

VARIANTS: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.0},
    {"lr": 0.1, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 1.5},
]

STEPS = 5


def in_dtype(options: dict[str, Any], dtype: type) -> dict[str, Any]:
    """The options as numbers of the dtype that is computed in, for the reference in float64."""
    computed_in = np.float64 if dtype == np.float64 else np.float32
    return {name: v if isinstance(v, bool) else float(computed_in(v)) for name, v in options.items()}


@pytest.mark.parametrize(
    "size", [1, *one_quick([17, 40_003])]
)  # 40,003 is above the parallel threshold, with an odd rest
@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_several_steps(backend: Arrays, options: dict[str, Any], dtype: type, size: int) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=size).astype(dtype)
    grads = [rng.normal(size=size).astype(dtype) for _ in range(STEPS)]
    param, velocity = backend.put(start), backend.xp.zeros(size, dtype)
    for grad in grads:
        assert ops.sgd_update(param, backend.put(grad), velocity=velocity, **options) is None
    wide = [grad.astype(np.float64) for grad in grads]
    expected, expected_velocity = reference.sgd(start.astype(np.float64), wide, **in_dtype(options, dtype))
    # A step rounds three times; param and velocity are sums of terms of about 1 (1.5^5 = 8 with momentum 1.5).
    assert_ulp(backend.get(param), expected, 3 * STEPS, floor=1.0)
    if "momentum" in options:
        assert_ulp(backend.get(velocity), expected_velocity, 3 * STEPS, floor=1.0)
    else:
        assert_same_bits(backend.get(velocity), np.zeros(size, dtype))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_float16_is_computed_in_float32(backend: Arrays, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    start, grad = rng.normal(size=50).astype(np.float16), rng.normal(size=50).astype(np.float16)
    param, velocity = backend.put(start), backend.xp.zeros(50, np.float16)
    ops.sgd_update(param, backend.put(grad), velocity=velocity, **options)
    expected, expected_velocity = reference.sgd(
        start.astype(np.float64), [grad.astype(np.float64)], **in_dtype(options, np.float16)
    )
    assert param.dtype == np.float16
    assert_ulp(backend.get(param), expected, 0.51, floor=0.1)
    if "momentum" in options:
        assert_ulp(backend.get(velocity), expected_velocity, 0.51, floor=0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("options", [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True}], ids=str)
def test_layout_does_not_matter(backend: Arrays, options: dict[str, Any], dtype: type) -> None:
    rng = np.random.default_rng(2)
    start, grad, speed = (rng.normal(size=(4, 6)).astype(dtype) for _ in range(3))
    param, velocity = backend.put(start), backend.put(speed)
    ops.sgd_update(param, backend.put(grad), velocity=velocity, **options)

    memory = backend.xp.full((8, 13), 7, dtype)
    strided = memory[::2, 1::2]
    strided[...] = backend.put(start)
    flipped = backend.put(speed[::-1])[::-1]
    ops.sgd_update(strided, backend.xp.asfortranarray(backend.put(grad)), velocity=flipped, **options)
    assert_same_bits(backend.get(strided), backend.get(param))
    assert_same_bits(backend.get(flipped), backend.get(velocity))
    assert (backend.get(memory)[1::2] == 7).all(), "written outside param"
    assert (backend.get(memory)[:, ::2] == 7).all(), "written outside param"


def test_grad_may_share_memory_with_what_is_written(backend: Arrays) -> None:
    values = np.random.default_rng(3).normal(size=40_001)
    expected = backend.put(values[:-1])
    ops.sgd_update(expected, backend.put(values[1:]), lr=0.5)
    buffer = backend.put(values)
    ops.sgd_update(buffer[:-1], buffer[1:], lr=0.5)
    assert_same_bits(backend.get(buffer[:-1]), backend.get(expected))

    param, speed = backend.put(values[:-1]), backend.put(values[1:])
    ops.sgd_update(param, backend.put(values[:-1]), lr=0.5, momentum=0.9, velocity=speed)
    same, buffer = backend.put(values[:-1]), backend.put(values)
    ops.sgd_update(same, buffer[:-1], lr=0.5, momentum=0.9, velocity=buffer[1:])
    assert_same_bits(backend.get(same), backend.get(param))
    assert_same_bits(backend.get(buffer[1:]), backend.get(speed))


def test_nothing_to_update(backend: Arrays) -> None:
    param = backend.xp.zeros((0, 3))
    ops.sgd_update(param, param, lr=0.1, momentum=0.9, velocity=backend.xp.zeros((0, 3)))
    assert param.shape == (0, 3)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"lr": -0.1}, ValueError, "lr must be a finite float64 number not below 0; got -0.1"),
    ({"lr": np.nan}, ValueError, "lr must be a finite float64 number not below 0; got nan"),
    ({"lr": "fast"}, TypeError, "lr must be a number; got str"),
    ({"lr": 1, "momentum": -1}, ValueError, "momentum must be a finite float64 number not below 0; got -1"),
    ({"lr": 1, "weight_decay": -1}, ValueError, "weight_decay must be a finite float64 number not below 0; got -1"),
    ({"lr": 1, "weight_decay": np.inf}, ValueError,
     "weight_decay must be a finite float64 number not below 0; got inf"),
    ({"lr": 1, "nesterov": True}, ValueError, "nesterov needs momentum above 0; got momentum 0.0"),
    ({"lr": 1, "momentum": 0.9}, ValueError,
     "velocity must be an array like param when momentum is above 0; got None; "
     "pass zeros like param before the first step"),
    ({"lr": 1, "momentum": 0.9, "velocity": np.zeros(4)}, ValueError,
     "velocity must have shape (3,), as the result has; got shape (4,)"),
    ({"lr": 1, "momentum": 0.9, "velocity": np.zeros(3, np.float32)}, TypeError,
     "velocity must be float64, as the result is; got float32"),
    ({"lr": 1, "grad": np.zeros(4)}, ValueError, "grad must have shape (3,), as param has; got shape (4,)"),
    ({"lr": 1, "grad": np.zeros(3, np.float32)}, TypeError,
     "grad must be float64, as param is; got float32; convert one with .astype()"),
    ({"lr": 1, "grad": np.zeros(3, complex)}, TypeError,
     "grad must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_error_leaves_param_alone(options: dict[str, Any], error: type[Exception], message: str) -> None:
    param = np.array([1.0, 2.0, 3.0])
    grad = options.get("grad", np.ones(3))
    with pytest.raises(error) as raised:
        ops.sgd_update(param, grad, **{name: value for name, value in options.items() if name != "grad"})
    assert str(raised.value) == message
    assert_same_bits(param, np.array([1.0, 2.0, 3.0]))


BAD_PARAMS: list[tuple[Any, type[Exception], str]] = [
    ([1.0, 2.0], TypeError, "param must be an array of floats, since it is updated in place; got list"),
    (np.zeros(2, int), TypeError, "param must be an array of floats, since it is updated in place; got int64"),
    (np.zeros(2, complex), TypeError, "param must be an array of floats, since it is updated in place; got complex128"),
    (np.broadcast_to(1.0, 2), ValueError, "param is read-only; pass an array that can be written to"),
]


@pytest.mark.parametrize(("param", "error", "message"), BAD_PARAMS)
def test_param_that_cannot_be_updated_raises(param: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        ops.sgd_update(param, np.ones(2), lr=0.1)
    assert str(raised.value) == message


def test_velocity_in_params_memory_raises(backend: Arrays) -> None:
    param = backend.put([1.0, 2.0, 3.0])
    message = "^velocity and param must not share memory; pass an array of zeros like param$"
    with pytest.raises(ValueError, match=message):
        ops.sgd_update(param, backend.put([1.0, 1.0, 1.0]), lr=0.1, momentum=0.9, velocity=param)
    np.testing.assert_array_equal(backend.get(param), [1, 2, 3])
