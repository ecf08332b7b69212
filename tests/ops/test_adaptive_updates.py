"""Adagrad, RMSprop, Adam and AdamW: several steps against the formulas, in any memory, nothing written on an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numerics import FLOATS, KERNEL_DTYPES, Arrays, assert_same_bits, assert_ulp, one_quick, quick
from optimizers import LARGEST, VARIANTS, Variant, is_square, put

from softgrad import ops
from softgrad.kernels.formulas.registry import UPDATE_RULES

STEPS = 20


@pytest.mark.parametrize("size", one_quick([7, 40_003]))  # 40,003 is above the parallel threshold, with an odd rest
@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_several_steps(backend: Arrays, variant: Variant, dtype: type, size: int) -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=size).astype(dtype).astype(np.float64)
    exact_states = variant.fresh(size)
    param, states = backend.put(exact, dtype), put(backend, exact_states, dtype)
    for step in range(1, STEPS + 1):
        grad = rng.normal(size=size).astype(dtype)
        exact, exact_states = variant.expected(exact, grad.astype(np.float64), exact_states, step)
        variant.update(param, backend.put(grad), states, step)
    # A step rounds a state about three times and the step to param, which is small beside it, ten times. Sums of both
    # signs are held to the size of their terms.
    assert_ulp(backend.get(param), exact, 3 * STEPS, floor=1.0)
    for name, state in states.items():
        assert_ulp(backend.get(state), exact_states[name], 3 * STEPS, floor=0.0 if is_square(name) else 1.0)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_float16_is_computed_in_float32(backend: Arrays, variant: Variant) -> None:
    rng = np.random.default_rng(1)
    size = 55  # whole packs of eight, and the largest part of one
    start, grad = (rng.normal(size=size).astype(np.float16) for _ in range(2))
    before = {name: state.astype(np.float16) for name, state in variant.drawn(rng, size).items()}
    param, states = backend.put(start), put(backend, before, np.float16)
    variant.update(param, backend.put(grad), states, 3)
    wide = {name: state.astype(np.float64) for name, state in before.items()}
    expected, expected_states = variant.expected(start.astype(np.float64), grad.astype(np.float64), wide, 3)
    assert_ulp(backend.get(param), expected, 0.51, floor=0.1)
    for name, state in states.items():
        assert state.dtype == np.float16
        assert_ulp(backend.get(state), expected_states[name], 0.51, floor=0.1)


# ---- the rules themselves


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_every_lane_is_computed_alike(backend: Arrays, variant: Variant, dtype: type) -> None:
    """The bits of an element depend neither on its place nor on the number of elements."""
    rng = np.random.default_rng(2)
    size = 151
    start, grad = rng.normal(size=(2, size)).astype(dtype)
    before = variant.drawn(rng, size)
    param, states = backend.put(start), put(backend, before, dtype)
    variant.update(param, backend.put(grad), states, 3)
    for i in (0, 15, 16, 33, 150):
        one = backend.put(start[i : i + 1])
        its_states = put(backend, {name: state[i : i + 1] for name, state in before.items()}, dtype)
        variant.update(one, backend.put(grad[i : i + 1]), its_states, 3)
        assert_same_bits(backend.get(one), backend.get(param)[i : i + 1])
        for name, state in its_states.items():
            assert_same_bits(backend.get(state), backend.get(states[name])[i : i + 1], name)


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", UPDATE_RULES)
def test_rule_runs_as_plain_python_and_agrees_with_the_kernel(backend: Arrays, name: str, dtype: type) -> None:
    rule, rng = UPDATE_RULES[name], np.random.default_rng(3)
    numbers = tuple(rng.uniform(0.1, 0.9, len(rule.numbers)).astype(dtype).tolist())
    arrays = rng.uniform(0.5, 2.0, (2 + len(rule.states), 33)).astype(dtype)
    plain = [rule.step(*column, *map(dtype, numbers)) for column in arrays.T]
    assert {type(value) for values in plain for value in values} == {dtype}
    param, grad, *states = map(backend.put, arrays)
    backend.backend.kernels.update(rule)(param, grad, states, numbers)
    for found, expected in zip((param, *states), zip(*plain, strict=True), strict=True):
        assert_ulp(backend.get(found), np.array(expected, np.float64), 1)  # in plain Python float32's fma rounds twice


# ---- edges


def test_with_betas_0_the_old_means_are_forgotten(backend: Arrays) -> None:
    param, grad, exp_avg, exp_avg_sq = (backend.put([value], np.float32) for value in (1, 3, 1e30, 4))
    ops.adam_update(param, grad, lr=0.0, step=5, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, betas=(0, 0))
    assert_same_bits(backend.get(exp_avg), np.float32([3]))
    assert_same_bits(backend.get(exp_avg_sq), np.float32([9]))


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_extremes(backend: Arrays, variant: Variant, dtype: type) -> None:
    info = np.finfo(dtype)
    grad = np.array([np.nan, np.inf, info.max, -info.max, info.smallest_subnormal, info.tiny, 0.0, -0.0, 1.0], dtype)
    param, states = backend.put(np.ones(9), dtype), put(backend, variant.fresh(9), dtype)
    variant.update(param, backend.put(grad), states, 1)
    found = backend.get(param)
    assert np.isnan(found[:2]).all()  # the second for infinity over infinity
    assert np.isfinite(found[2:]).all()
    expected, _ = variant.expected(np.ones(5), grad[4:].astype(np.float64), variant.fresh(5), 1)
    assert_ulp(found[4:], expected, 4)


@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_nan_stays_in_its_element(backend: Arrays, variant: Variant) -> None:
    rng = np.random.default_rng(4)
    grad, before = rng.normal(size=20).astype(np.float32), variant.drawn(rng, 20)
    clean, clean_states = backend.put(np.ones(20), np.float32), put(backend, before, np.float32)
    variant.update(clean, backend.put(grad), clean_states, 3)
    grad[7] = np.nan
    param, states = backend.put(np.ones(20), np.float32), put(backend, before, np.float32)
    variant.update(param, backend.put(grad), states, 3)
    others = np.arange(20) != 7
    for found, expected in zip((param, *states.values()), (clean, *clean_states.values()), strict=True):
        assert np.isnan(backend.get(found)[7])
        assert_same_bits(backend.get(found)[others], backend.get(expected)[others])


def test_without_decay_an_infinite_param_harms_no_state(backend: Arrays) -> None:
    param, grad = backend.put([np.inf]), backend.put([2.0])
    exp_avg, exp_avg_sq, velocity = (backend.put([0.0]) for _ in range(3))
    ops.adam_update(param, grad, lr=0.1, step=1, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, betas=(0.5, 0.75))
    ops.sgd_update(param, grad, lr=0.1, momentum=0.5, velocity=velocity)
    ops.sgd_update(param, grad, lr=0.1)
    assert [backend.get(array).item() for array in (param, exp_avg, exp_avg_sq, velocity)] == [np.inf, 1, 1, 2]


def test_variance_that_rounding_makes_negative_is_zero(backend: Arrays) -> None:
    param, grad = backend.put([1.0]), backend.put([1.0])
    square_avg, grad_avg = backend.put([1.0]), backend.put([1.0 + 2**-51])
    ops.rmsprop_update(param, grad, lr=0.25, square_avg=square_avg, centered=True, grad_avg=grad_avg, eps=0.5)
    assert backend.get(grad_avg)[0] ** 2 > backend.get(square_avg)[0]
    assert_same_bits(backend.get(param), np.array([0.5]))


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_nothing_to_update(backend: Arrays, variant: Variant, shape: tuple[int, ...]) -> None:
    param = backend.xp.zeros(shape)
    variant.update(param, param, put(backend, variant.fresh(shape), np.float64), 1)
    assert param.shape == shape


# ---- memory


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float16, np.float32))
@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_layout_does_not_matter(backend: Arrays, variant: Variant, dtype: type) -> None:
    rng = np.random.default_rng(5)
    start, grad = rng.normal(size=(2, 4, 6)).astype(dtype)
    before = variant.drawn(rng, (4, 6))
    param, states = backend.put(start), put(backend, before, dtype)
    variant.update(param, backend.put(grad), states, 3)

    memory = backend.xp.full((8, 13), 7, dtype)
    strided = memory[::2, 1::2]
    strided[...] = backend.put(start)
    flipped = {name: backend.put(state[::-1], dtype)[::-1] for name, state in before.items()}
    variant.update(strided, backend.xp.asfortranarray(backend.put(grad)), flipped, 3)
    assert_same_bits(backend.get(strided), backend.get(param))
    for name, state in flipped.items():
        assert_same_bits(backend.get(state), backend.get(states[name]), name)
    assert (backend.get(memory)[1::2] == 7).all(), "written outside param"
    assert (backend.get(memory)[:, ::2] == 7).all(), "written outside param"


@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_neighbours_of_an_odd_size_are_left_alone(backend: Arrays, variant: Variant) -> None:
    """As slices that begin beside a multiple of sixteen bytes, with something before and behind."""
    rng = np.random.default_rng(6)
    start, grad = rng.normal(size=(2, 41)).astype(np.float32)
    before = variant.drawn(rng, 41)
    param, states = backend.put(start), put(backend, before, np.float32)
    variant.update(param, backend.put(grad), states, 3)

    def framed(values: np.ndarray) -> Any:
        frame = backend.xp.full(43, 7, np.float32)
        frame[1:-1] = backend.put(values, np.float32)
        return frame

    frames = {name: framed(values) for name, values in {"param": start, **before}.items()}
    variant.update(frames["param"][1:-1], backend.put(grad), {name: frames[name][1:-1] for name in before}, 3)
    for name, expected in {"param": param, **states}.items():
        found = backend.get(frames[name])
        assert_same_bits(found[1:-1], backend.get(expected), name)
        assert found[0] == found[-1] == 7, name


@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_grad_may_share_memory_with_what_is_written(backend: Arrays, variant: Variant) -> None:
    rng = np.random.default_rng(7)
    size = 100
    values, before = np.abs(rng.normal(size=size + 1)), variant.drawn(rng, size)
    first = variant.states[0]
    for place in ("param", first):
        given = {"param": rng.normal(size=size), **before, place: values[:-1]}
        expected = {name: backend.put(array) for name, array in given.items()}
        wanted = {name: state for name, state in expected.items() if name != "param"}
        variant.update(expected["param"], backend.put(values[1:]), wanted, 3)
        buffer = backend.put(values)
        found = {name: backend.put(array) for name, array in given.items()} | {place: buffer[:-1]}
        states = {name: state for name, state in found.items() if name != "param"}
        variant.update(found["param"], buffer[1:], states, 3)
        for name, array in found.items():
            assert_same_bits(backend.get(array), backend.get(expected[name]), name)


@pytest.mark.parametrize("variant", LARGEST, ids=str)
def test_arrays_that_are_written_must_not_share_memory(backend: Arrays, variant: Variant) -> None:
    rng = np.random.default_rng(8)
    start, before = rng.normal(size=5), variant.drawn(rng, 5)
    for name in variant.states:
        for other in ("param", *variant.states):
            if other == name:
                continue
            arrays = {"param": backend.put(start), **put(backend, before, np.float64)}
            arrays[name] = arrays[other]
            kept = {which: backend.get(array).copy() for which, array in arrays.items()}
            states = {which: array for which, array in arrays.items() if which != "param"}
            with pytest.raises(ValueError, match=r"must not share memory; pass an array of zeros like param$"):
                variant.update(arrays["param"], backend.put(start), states, 3)
            for which, array in arrays.items():
                assert_same_bits(backend.get(array), kept[which], which)


def test_states_that_are_not_needed_are_left_alone(backend: Arrays) -> None:
    param, grad, used = (backend.put([1.0, 2.0]) for _ in range(3))
    spare, other = backend.put([np.nan, 3.0]), backend.put([4.0])  # of another shape, even
    ops.rmsprop_update(param, grad, lr=0.1, square_avg=used, momentum_buffer=spare, grad_avg=other)
    ops.adam_update(param, grad, lr=0.1, step=1, exp_avg=used, exp_avg_sq=backend.put([1.0, 1.0]), max_exp_avg_sq=spare)
    assert_same_bits(backend.get(spare), np.array([np.nan, 3.0]))
    assert_same_bits(backend.get(other), np.array([4.0]))
    assert np.isfinite(backend.get(param)).all()


# ---- errors

ZEROS = np.zeros(3)
ADAM = {"lr": 1, "step": 1, "exp_avg": ZEROS, "exp_avg_sq": ZEROS}
RMSPROP = {"lr": 1, "square_avg": ZEROS}
ADAGRAD = {"lr": 1, "step": 1, "state_sum": ZEROS}
MISSING = "pass zeros like param before the first step"

BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("adam", {"lr": -1}, ValueError, "lr must be a finite float64 number not below 0; got -1"),
    ("adam", {"lr": "fast"}, TypeError, "lr must be a number; got str"),
    ("adam", {"eps": -1e-9}, ValueError, "eps must be a finite float64 number not below 0; got -1e-09"),
    ("adam", {"weight_decay": np.nan}, ValueError, "weight_decay must be a finite float64 number not below 0; got nan"),
    ("adam", {"step": 0}, ValueError, "step must be 1 for the first step, or above; got 0"),
    ("adam", {"step": 1.0}, TypeError, "step must be an integer, 1 for the first step; got float"),
    ("adam", {"step": True}, TypeError, "step must be an integer, 1 for the first step; got bool"),
    ("adam", {"betas": 0.9}, TypeError, "betas must be a pair of numbers; got 0.9"),
    ("adam", {"betas": (0.9,)}, TypeError, "betas must be a pair of numbers; got (0.9,)"),
    ("adam", {"betas": (1.0, 0.9)}, ValueError, "betas[0] must be below 1; got 1.0"),
    ("adam", {"betas": (0.9, 1)}, ValueError, "betas[1] must be below 1; got 1"),
    ("adam", {"betas": (0.9, -0.1)}, ValueError, "betas[1] must be a finite float64 number not below 0; got -0.1"),
    ("adam", {"betas": ("a", 0.9)}, TypeError, "betas[0] must be a number; got str"),
    ("adam", {"exp_avg": None}, ValueError, f"exp_avg must be an array like param; got None; {MISSING}"),
    ("adam", {"exp_avg_sq": np.zeros(4)}, ValueError,
     "exp_avg_sq must have shape (3,), as the result has; got shape (4,)"),
    ("adam", {"exp_avg_sq": np.zeros(3, np.float32)}, TypeError,
     "exp_avg_sq must be float64, as the result is; got float32"),
    ("adam", {"exp_avg_sq": [0.0] * 3}, TypeError, "exp_avg_sq must be a numpy.ndarray to write to; got list"),
    ("adam", {"exp_avg_sq": np.broadcast_to(0.0, 3)}, ValueError,
     "exp_avg_sq is read-only; pass an array that can be written to"),
    ("adam", {"amsgrad": True}, ValueError,
     f"max_exp_avg_sq must be an array like param with amsgrad; got None; {MISSING}"),
    ("adam", {"grad": np.zeros(4)}, ValueError, "grad must have shape (3,), as param has; got shape (4,)"),
    ("adamw", {"weight_decay": -1}, ValueError, "weight_decay must be a finite float64 number not below 0; got -1"),
    ("adamw", {"amsgrad": True}, ValueError,
     f"max_exp_avg_sq must be an array like param with amsgrad; got None; {MISSING}"),
    ("rmsprop", {"alpha": 1}, ValueError, "alpha must be below 1; got 1"),
    ("rmsprop", {"alpha": -0.5}, ValueError, "alpha must be a finite float64 number not below 0; got -0.5"),
    ("rmsprop", {"momentum": -0.5}, ValueError, "momentum must be a finite float64 number not below 0; got -0.5"),
    ("rmsprop", {"eps": np.inf}, ValueError, "eps must be a finite float64 number not below 0; got inf"),
    ("rmsprop", {"square_avg": None}, ValueError, f"square_avg must be an array like param; got None; {MISSING}"),
    ("rmsprop", {"momentum": 0.5}, ValueError,
     f"momentum_buffer must be an array like param when momentum is above 0; got None; {MISSING}"),
    ("rmsprop", {"centered": True}, ValueError,
     f"grad_avg must be an array like param when centered; got None; {MISSING}"),
    ("rmsprop", {"grad": np.zeros(3, complex)}, TypeError,
     "grad must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
    ("adagrad", {"lr_decay": -1}, ValueError, "lr_decay must be a finite float64 number not below 0; got -1"),
    ("adagrad", {"step": np.int64(-3)}, ValueError, "step must be 1 for the first step, or above; got -3"),
    ("adagrad", {"state_sum": None}, ValueError, f"state_sum must be an array like param; got None; {MISSING}"),
    ("adagrad", {"eps": "small"}, TypeError, "eps must be a number; got str"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD)
def test_error_leaves_everything_alone(
    name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    good = {"adam": ADAM, "adamw": ADAM, "rmsprop": RMSPROP, "adagrad": ADAGRAD}[name]
    given = {key: value.copy() if value is ZEROS else value for key, value in (good | options).items()}
    param, grad = np.array([1.0, 2.0, 3.0]), given.pop("grad", np.ones(3))
    with pytest.raises(error) as raised:
        getattr(ops, f"{name}_update")(param, grad, **given)
    assert str(raised.value) == message
    assert_same_bits(param, np.array([1.0, 2.0, 3.0]))
    for value in given.values():
        if isinstance(value, np.ndarray):
            assert not value.any()


def test_the_wrong_number_type_for_the_dtype_raises() -> None:
    param, state = np.ones(3, np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"^lr must be a finite float32 number not below 0; got 1e\+39$"):
        ops.adagrad_update(param, param.copy(), lr=1e39, step=1, state_sum=state)
