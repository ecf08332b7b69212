"""Activations as NumPy ufuncs: whatever way NumPy hands the memory over, the result is that of the whole loop."""

from __future__ import annotations

import numpy as np
import pytest

from softgrad import ops
from softgrad.kernels.cpu.activations import backward_ufuncs, forward_ufuncs
from softgrad.kernels.formulas.registry import ACTIVATIONS

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]

# Without parameters, with one, with two.
NAMES = ["gelu", "leaky_relu", "hardtanh"]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(scale=3.0, size=shape).astype(dtype)


def operands(row, dtype):
    return [np.asarray(value, dtype) for value in row.parameters.values()]


@pytest.fixture(params=NAMES)
def row(request):
    return ACTIVATIONS[request.param]


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    return request.param


def test_the_rows_tested_have_all_numbers_of_parameters():
    counts = {len(row.parameters) for row in ACTIVATIONS.values()}
    assert counts == {len(ACTIVATIONS[name].parameters) for name in NAMES}


@pytest.mark.parametrize("view", [np.s_[::2], np.s_[::-1], np.s_[5:6], np.s_[:, None], np.s_[:0]], ids=str)
def test_memory_in_steps_is_taken_element_by_element(row, dtype, view):
    x, grad = numbers(100, dtype), numbers(100, dtype, seed=1)
    forward, backward = forward_ufuncs(row)[dtype], backward_ufuncs(row)[dtype]
    parameters = operands(row, dtype)
    y, slope = forward(x, *parameters), backward(grad, x, *parameters)
    np.testing.assert_array_equal(forward(x[view], *parameters), y[view])
    np.testing.assert_array_equal(backward(grad[view], x[view], *parameters), slope[view])
    out = np.zeros(100, dtype)
    forward(x[view], *parameters, out[view])
    np.testing.assert_array_equal(out[view], y[view])


def test_an_output_that_overlaps_its_input_by_a_part_is_as_if_apart(row, dtype):
    x = numbers(101, dtype)
    expected = forward_ufuncs(row)[dtype](x[:-1].copy(), *operands(row, dtype))
    result = getattr(ops, row.name)(x[:-1], out=x[1:])
    assert result.base is x
    np.testing.assert_array_equal(result, expected)


def test_misaligned_memory_is_copied(row, dtype):
    raw = np.zeros(100 * dtype.itemsize + 1, np.uint8)
    x = raw[1:].view(dtype)
    x[...] = numbers(100, dtype)
    assert not x.flags.aligned
    np.testing.assert_array_equal(getattr(ops, row.name)(x), getattr(ops, row.name)(x.copy()))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_floating_point_flag_becomes_a_warning_or_an_error(name, dtype):
    info = np.finfo(dtype)
    x = np.array([np.nan, np.inf, -np.inf, info.max, -info.max, info.smallest_subnormal, -info.tiny, 0.0], dtype)
    with np.errstate(all="raise"):
        getattr(ops, name)(x)
        if ACTIVATIONS[name].backward is not None:
            getattr(ops, f"{name}_backward")(x, x)


def test_flags_raised_by_numpy_itself_are_still_reported(dtype):
    ops.gelu(numbers(10, dtype))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        np.divide(np.ones(3, dtype), np.zeros(3, dtype))


def test_an_array_without_axes_gives_a_number_as_numpy_s_ufuncs_do(row, dtype):
    x = np.array(-1.5, dtype)
    y, slope = getattr(ops, row.name)(x), getattr(ops, f"{row.name}_backward")(x, x)
    for result in (y, slope):
        assert type(result) is dtype.type


def test_columns_first_come_back_rows_first(row, dtype):
    x = np.asfortranarray(numbers((7, 5), dtype))
    y = getattr(ops, row.name)(x)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, getattr(ops, row.name)(x.copy("C")))


def test_other_dtypes_have_no_ufunc(row):
    for dtype in (np.float16, np.int64, np.bool_, np.complex64, np.longdouble, np.dtype(">f4"), np.object_):
        assert forward_ufuncs(row)[np.dtype(dtype)] is None
