"""What activations are given: parameters, matching arrays, any shape, layout and memory; and any numbers at all."""

from __future__ import annotations

import numpy as np
import pytest
from elementwise_reference import ACTIVATIONS, each
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numerics import FLOATS, Arrays, assert_same_bits, assert_ulp, layouts, one_quick, quick

from softgrad import ops

# ---- parameters

BAD_PARAMETERS = [
    ("relu", {"alpha": 1.0}, TypeError, "relu has no parameter 'alpha'; it takes no parameters"),
    ("elu", {"beta": 1.0}, TypeError, "elu has no parameter 'beta'; it takes alpha"),
    ("hardtanh", {"low": 1.0}, TypeError, "hardtanh has no parameter 'low'; it takes min_value, max_value"),
    ("elu", {"alpha": "1"}, TypeError, "alpha must be a number; got str"),
    ("elu", {"alpha": np.inf}, ValueError, "alpha must be a finite float32 number; got inf"),
    ("elu", {"alpha": np.nan}, ValueError, "alpha must be a finite float32 number; got nan"),
    ("elu", {"alpha": 1e39}, ValueError, "alpha must be a finite float32 number; got 1e+39"),
    ("celu", {"alpha": 0}, ValueError, "celu: alpha must not be 0; got 0"),
    ("celu", {"alpha": 1e-50}, ValueError, "celu: alpha must not be 0; got 0"),  # which it is in float32
    ("softplus", {"beta": 0.0}, ValueError, "softplus: beta must be above 0; got 0"),
    ("softplus", {"beta": -2.0}, ValueError, "softplus: beta must be above 0; got -2"),
    ("hardtanh", {"min_value": 2.0}, ValueError, "hardtanh: min_value must not be above max_value; got 2 and 1"),
]


@pytest.mark.parametrize(("name", "parameters", "error", "message"), BAD_PARAMETERS)
def test_bad_parameters_raise_and_leave_out_alone(
    backend: Arrays, name: str, parameters: dict[str, object], error: type[Exception], message: str
) -> None:
    x, out = backend.put([1, -1], np.float32), backend.put([7, 7], np.float32)
    with pytest.raises(error) as raised:
        getattr(ops, name)(x, out=out, **parameters)
    assert str(raised.value) == message
    with pytest.raises(error) as raised:
        getattr(ops, f"{name}_backward")(x, x, out=out, **parameters)
    assert str(raised.value) == message
    np.testing.assert_array_equal(backend.get(out), [7, 7])


def test_heaviside_has_no_backward_and_says_why(backend: Arrays) -> None:
    message = "heaviside has no backward: its derivative is 0 wherever it exists, so nothing can be learned through it"
    with pytest.raises(ValueError, match=f"^{message}$"):
        ops.heaviside_backward(backend.put([1.0]), backend.put([1.0]))


def test_gelu_takes_its_approximation_by_name(backend: Arrays) -> None:
    x, grad = backend.put(np.linspace(-5, 5, 21)), backend.put(np.linspace(1, 2, 21))
    assert_same_bits(backend.get(ops.gelu(x, approximate="tanh")), backend.get(ops.gelu_tanh(x)))
    assert_same_bits(backend.get(ops.gelu(x, approximate="none")), backend.get(ops.gelu(x)))
    assert_same_bits(
        backend.get(ops.gelu_backward(grad, x, approximate="tanh")), backend.get(ops.gelu_tanh_backward(grad, x))
    )
    assert np.max(np.abs(backend.get(ops.gelu(x)) - backend.get(ops.gelu_tanh(x)))) > 1e-4
    for call in (lambda: ops.gelu(x, approximate="erf"), lambda: ops.gelu_backward(grad, x, approximate="erf")):
        with pytest.raises(ValueError, match=r"^approximate must be \"none\" or \"tanh\"; got 'erf'$"):
            call()


def test_backward_wants_matching_arrays(backend: Arrays) -> None:
    grad = backend.put([1.0, 2.0])
    with pytest.raises(ValueError, match=r"^grad must have shape \(3,\), as y has; got shape \(2,\)$"):
        ops.tanh_backward(grad, backend.put([1.0, 2.0, 3.0]))
    message = r"^grad must be float32, as x is; got float64; convert one with \.astype\(\)$"
    with pytest.raises(TypeError, match=message):
        ops.silu_backward(grad, backend.put([1, 2], np.float32))


# ---- memory

SHAPES = [(), (0,), (1,), (3, 0, 2), (5, 7), (2, 3, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_kept(backend: Arrays, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    y = backend.get(ops.silu(backend.put(x)))
    assert y.shape == shape
    assert_ulp(y, each(ACTIVATIONS["silu"].forward, x), 4)
    assert backend.get(ops.silu_backward(backend.put(x), backend.put(x))).shape == shape


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float16, np.float32))
def test_layout_does_not_matter(backend: Arrays, dtype: type) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 8)).astype(dtype)
    for layout, view in layouts(x, backend.xp):
        values = backend.put(view, dtype)
        expected = backend.get(ops.silu_backward(values, values))
        assert_same_bits(backend.get(ops.silu(view)), backend.get(ops.silu(values)), layout)
        assert_same_bits(backend.get(ops.silu_backward(view, view)), expected, layout)
        result = ops.silu_backward(values, view, out=backend.xp.zeros((8, 6), dtype).T)  # a strided out
        assert_same_bits(backend.get(result), expected, layout)


# Below the parallel threshold of 128 KiB, one thread; above it, every thread a piece.
@pytest.mark.parametrize("size", one_quick([100, 40_000]))
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_out_may_be_an_input_or_overlap_it(backend: Arrays, size: int, dtype: type) -> None:
    values = np.random.default_rng(2).normal(size=size).astype(dtype)
    grads = values[::-1].copy()
    expected = backend.get(ops.silu(backend.put(values)))
    expected_grad = backend.get(ops.silu_backward(backend.put(grads), backend.put(values)))

    x = backend.put(values)
    assert ops.silu(x, out=x) is x
    assert_same_bits(backend.get(x), expected)

    for which in ("grad", "saved"):
        grad, saved = backend.put(grads), backend.put(values)
        out = grad if which == "grad" else saved
        assert ops.silu_backward(grad, saved, out=out) is out
        assert_same_bits(backend.get(out), expected_grad)

    for shift in (1, -1):  # `out` one element behind x, and one before it
        buffer = backend.xp.zeros(size + 1, dtype)
        x, out = (buffer[:-1], buffer[1:]) if shift == 1 else (buffer[1:], buffer[:-1])
        x[...] = backend.put(values)
        ops.silu(x, out=out)
        assert_same_bits(backend.get(out), expected)
        x[...] = backend.put(values)
        ops.silu_backward(backend.put(grads), x, out=out)
        assert_same_bits(backend.get(out), expected_grad)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ops.ACTIVATIONS))
def test_place_in_a_large_array_does_not_matter(backend: Arrays, name: str) -> None:
    # 40,003 is above the parallel threshold and a multiple of nothing: pieces have odd ends. Whether an element
    # is computed in a vector or in the rest of one, in which thread, its bits are those of a call with it alone.
    x = np.random.default_rng(3).normal(0, 4, 40_003).astype(np.float32)
    y = backend.get(getattr(ops, name)(backend.put(x)))
    for part in (slice(0, 1), slice(19_990, 20_013), slice(-5, None)):
        assert_same_bits(y[part], backend.get(getattr(ops, name)(backend.put(x[part]))))


# ---- any array at all

SPECIAL = st.sampled_from([0.0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, -1e-45])
FLOAT32 = st.floats(width=32) | SPECIAL


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "mish", "softplus", "hardtanh"])
@given(x=arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5), elements=FLOAT32))
def test_any_array_stays_in_bounds_and_keeps_nan(backend: Arrays, name: str, x: np.ndarray) -> None:
    bounds = {"sigmoid": (0, 1), "hardtanh": (-1, 1), "gelu": (-0.17, np.inf), "mish": (-0.31, np.inf)}
    low, high = bounds.get(name, (0, np.inf))
    y = backend.get(getattr(ops, name)(backend.put(x)))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    assert y.shape == x.shape
    assert ((y >= low) & (y <= high) | np.isnan(x)).all()
