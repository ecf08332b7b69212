"""`softgrad.formulas`, and formulas of users' own, in kernels for a GPU: the code, and their numbers there."""

from __future__ import annotations

import inspect
from typing import Any

import numba
import numpy as np
import pytest
from devices import STAND_IN, gpu_compiler_or_skip, gpu_or_skip
from numba import cuda, types
from numerics import Arrays, assert_ulp, quick
from ptx.reading import float64_of

from softgrad import formulas
from softgrad.kernels.cuda import launch
from softgrad.kernels.cuda.elementwise import elementwise_kernel
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.formulas.authored import Authored

NAMES = quick(sorted(formulas.__all__), "exp", "fma", "where", "maximum", "gelu", "leaky_relu", "huber_loss")

UNARY = (
    formulas.exp, formulas.expm1, formulas.log, formulas.log1p, formulas.sqrt, formulas.erf, formulas.erfc,
    formulas.tanh, formulas.fabs, formulas.exp2, formulas.log2, formulas.rsqrt,
)  # fmt: skip
exp, expm1, log, log1p, sqrt, erf, erfc, tanh, fabs, exp2, log2, rsqrt = UNARY


def of_each(x, out, size):
    i = thread_of_grid()
    if i < size:
        out[i] = exp(x[i])
        out[size + i] = expm1(x[i])
        out[2 * size + i] = log(x[i])
        out[3 * size + i] = log1p(x[i])
        out[4 * size + i] = sqrt(x[i])
        out[5 * size + i] = erf(x[i])
        out[6 * size + i] = erfc(x[i])
        out[7 * size + i] = tanh(x[i])
        out[8 * size + i] = fabs(x[i])
        out[9 * size + i] = exp2(x[i])
        out[10 * size + i] = log2(x[i])
        out[11 * size + i] = rsqrt(x[i])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_primitives_are_those_of_the_cpu(dtype: type) -> None:
    gpu = Arrays(gpu_or_skip())
    x = np.random.default_rng(0).uniform(0, 3, 120).astype(dtype)
    x[:5] = [0.0, 1e-30, 5e-40, np.inf, np.nan]
    x[5:70] *= 20
    out = gpu.put(np.zeros((len(UNARY), x.size), dtype))
    launch.Kernel(of_each).launch(1, 128, gpu.put(x), out, np.int64(x.size))
    with np.errstate(all="ignore"):
        expected = np.array([[float(function(np.float64(value))) for value in x] for function in UNARY])
    assert_ulp(gpu.get(out), expected, 2 if dtype is np.float32 else 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(STAND_IN, reason="for users' arrays Numba itself compiles")
def test_cuda_jit_takes_them_and_float32_stays_float32(name: str) -> None:
    gpu_compiler_or_skip()
    function = getattr(formulas, name)
    count = len(inspect.signature(function).parameters)

    def one(x, out):
        i = cuda.grid(1)
        if i < out.size:
            out[i] = function(x[i])

    def two(x, y, out):
        i = cuda.grid(1)
        if i < out.size:
            out[i] = function(x[i], y[i])

    def three(x, y, z, out):
        i = cuda.grid(1)
        if i < out.size:
            out[i] = function(x[i], y[i], z[i])

    def four(x, y, z, w, out):
        i = cuda.grid(1)
        if i < out.size:
            out[i] = function(x[i], y[i], z[i], w[i])

    kernel: Any = (one, two, three, four)[count - 1]
    kinds = [numba.float32[::1]] * (count + 1)
    if name == "where":
        kinds[0] = numba.boolean[::1]
    with launch._device_of((9, 0)):
        ptx, _ = cuda.compile(kernel, numba.void(*kinds), cc=(9, 0), device=False, abi="numba", output="ptx")
    assert not float64_of(ptx)
    assert ".approx" not in ptx
    assert "call" not in ptx


def swish(x, beta=1.0):
    return x * formulas.sigmoid(beta * x)


def swiglu(x, gate, beta=1.0):
    return x * gate * formulas.sigmoid(beta * gate)


def huber(x, t, weight, delta=1.0):
    distance = fabs(x - t)
    return weight * formulas.where(distance <= delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))


@pytest.mark.parametrize("capability", quick([(8, 0), (9, 0), (10, 0)], (9, 0)))
@pytest.mark.parametrize("formula", [swish, swiglu, huber])
@pytest.mark.skipif(STAND_IN, reason="numba-cuda itself compiles")
def test_a_formula_of_a_user_s_own_stays_float32_and_takes_16_bytes_at_a_time(
    formula: Any, capability: tuple[int, int]
) -> None:
    gpu_compiler_or_skip()
    arrays = len(inspect.signature(formula).parameters) - 1
    traced = Authored(formula).traced((True,) * arrays, {})
    for function, inputs, outs in ((traced.forward, arrays, 1), (traced.backward(), arrays + 1, arrays)):
        kernel = elementwise_kernel(function, inputs, outs, 4, "f")
        pointer = types.CPointer(types.float32)
        places = types.UniTuple(pointer, inputs), types.UniTuple(pointer, outs)
        signature = types.void(*places, types.int64, types.UniTuple(types.float32, 1))
        _, ptx = launch.ptx_of(kernel.lowered(signature, capability), capability)
        assert not float64_of(ptx)
        assert ptx.count("ld.global.v4.f32") == 2 * inputs
        assert ptx.count("st.global.v4.f32") == 2 * outs
        assert ".local" not in ptx
