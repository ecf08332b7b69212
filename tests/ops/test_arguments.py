"""What any op takes for an array and gives back for one, whatever it computes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numerics import FLOATS, assert_same_bits, loss_dtype, quick

from softgrad import ops
from softgrad.ops.backend import get_backend

LABELS = np.array([0, 1])
W = np.eye(3)
ONES = np.ones((2, 3))

# Every op as a function of one array of shape (2, 3), with the name that argument goes by in its messages.
OPS: dict[str, tuple[Callable[[Any], Any], str]] = {
    **{name: (getattr(ops, name), "x") for name in ops.ACTIVATIONS},
    **{name: (getattr(ops, name), "x") for name in ("softmax", "log_softmax", "logsumexp")},
    "silu_backward": (lambda x: ops.silu_backward(x, x), "grad"),
    "softmax_backward": (lambda x: ops.softmax_backward(x, x), "grad"),
    "log_softmax_backward": (lambda x: ops.log_softmax_backward(x, x), "grad"),
    "self_information": (lambda x: ops.self_information(x, validate=False), "p"),
    "entropy": (lambda x: ops.entropy(x, validate=False), "p"),
    "perplexity": (lambda x: ops.perplexity(x, validate=False), "p"),
    "cross_entropy": (lambda x: ops.cross_entropy(x, x, validate=False), "p"),
    "kl_divergence": (lambda x: ops.kl_divergence(x, x, validate=False), "p"),
    "softmax_cross_entropy": (lambda x: ops.softmax_cross_entropy(x, LABELS), "logits"),
    "softmax_cross_entropy_with_grad": (lambda x: ops.softmax_cross_entropy_with_grad(x, LABELS)[1], "logits"),
    "sigmoid_cross_entropy": (lambda x: ops.sigmoid_cross_entropy(x, ONES), "logits"),
    "squared_error_with_grad": (lambda x: ops.squared_error_with_grad(x, ONES)[1], "predictions"),
    "linear": (lambda x: ops.linear(x, W), "x"),
    "accuracy": (lambda x: ops.accuracy(x, LABELS), "logits"),
}

# Those that give losses, or measures of rows.
OF_LOSSES = (
    "entropy",
    "perplexity",
    "cross_entropy",
    "kl_divergence",
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
)

BAD_ARRAYS = [
    (np.zeros((2, 3), np.complex128), "complex128"),
    (np.zeros((2, 3), np.complex64), "complex64"),
    (np.full((2, 3), None), "object"),
    (np.full((2, 3), "1"), "<U1"),
    (np.full((2, 3), b"1"), "|S1"),
    (np.zeros((2, 3), "M8[s]"), "datetime64[s]"),
    (np.zeros((2, 3), "m8[s]"), "timedelta64[s]"),
    (np.zeros((2, 3), "f4,f4"), "[('f0', '<f4'), ('f1', '<f4')]"),
]
if np.dtype(np.longdouble).itemsize > 8:  # on some platforms it is float64
    BAD_ARRAYS.append((np.zeros((2, 3), np.longdouble), str(np.dtype(np.longdouble))))


@pytest.mark.parametrize(("array", "dtype"), BAD_ARRAYS, ids=[dtype for _, dtype in BAD_ARRAYS])
@pytest.mark.parametrize("name", OPS)
def test_what_holds_no_real_numbers_raises(name: str, array: np.ndarray, dtype: str) -> None:
    call, argument = OPS[name]
    with pytest.raises(TypeError) as raised:
        call(array)
    assert str(raised.value) == (
        f"{argument} must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got {dtype}"
    )


@pytest.mark.parametrize("name", OPS)
def test_lists_and_tuples_are_arrays(name: str) -> None:
    call, _ = OPS[name]
    x = np.array([[0.5, -1.0, 2.0], [0.25, 3.0, -0.5]])
    expected = call(x)
    for given in (x.tolist(), tuple(map(tuple, x)), memoryview(x)):
        assert_same_bits(call(given), expected, type(given).__name__)


@pytest.mark.parametrize("dtype", [*quick([*FLOATS, ">f4"], np.float64), ">f8", np.int32, np.uint8, np.bool_, ">i2"])
@pytest.mark.parametrize("name", [name for name in OPS if name not in ("accuracy", "linear")])
def test_dtype_of_the_result(name: str, dtype: Any) -> None:
    call, _ = OPS[name]
    result = call(np.ones((2, 3)).astype(dtype))
    dtype = np.dtype(dtype)
    own = dtype.newbyteorder("=") if dtype.kind == "f" else np.dtype(np.float64)
    assert result.dtype == (loss_dtype(own) if name in OF_LOSSES else own)
    assert result.dtype.isnative


@pytest.mark.parametrize("name", OPS)
def test_arguments_are_left_alone(name: str) -> None:
    call, _ = OPS[name]
    x = np.random.default_rng(0).normal(size=(2, 3))
    before = x.copy()
    call(x)
    assert_same_bits(x, before)


# ---- backends


class StandIn:
    """What an array of a GPU package looks like from outside: its type comes from a module of that name."""


StandIn.__module__ = "cupy"
StandIn.__name__ = StandIn.__qualname__ = "ndarray"


def test_numpy_and_cupy_arrays_do_not_mix() -> None:
    with pytest.raises(TypeError) as raised:
        ops.softmax_cross_entropy(StandIn(), LABELS)
    assert str(raised.value) == (
        "logits is a CuPy array and targets a NumPy array; bring them to one side with "
        "cupy.asarray(targets) or logits.get()"
    )
    with pytest.raises(TypeError) as raised:
        ops.softmax(np.zeros(3), out=StandIn())
    assert str(raised.value) == (
        "out is a CuPy array and x a NumPy array; bring them to one side with cupy.asarray(x) or out.get()"
    )


NO_GPU = """
import sys
sys.modules["cupy"] = None  # as if it were not installed
from softgrad import ops
from softgrad.ops.backend import get_backend
from softgrad.ops.gpu import BackendUnavailableError
Array = type("ndarray", (), {"__module__": "cupy"})
for call in (lambda: ops.softmax(Array()), lambda: get_backend("gpu")):
    try:
        call()
    except BackendUnavailableError as error:
        print(error)
"""


def test_without_a_gpu_package_the_message_says_what_to_install() -> None:
    out = subprocess.run([sys.executable, "-c", NO_GPU], capture_output=True, text=True, check=True).stdout
    first, second = out.splitlines()
    assert first == second
    assert first.startswith("the GPU backend cannot run: ")
    assert first.endswith(", or use NumPy arrays and the cpu backend")


def test_backends_go_by_name() -> None:
    assert get_backend("cpu").name == "cpu"
    assert get_backend("auto").name in ("cpu", "gpu")
    with pytest.raises(ValueError, match=r"^backend must be auto, cpu or gpu; got 'tpu'$"):
        get_backend("tpu")


NO_IMPORT = """
import sys
import numpy as np
from softgrad import ops
ops.softmax(np.ones((3, 4)))
ops.softmax_cross_entropy_with_grad(np.ones((3, 4)), [0, 1, 2])
assert not [name for name in sys.modules if name.partition(".")[0] == "cupy"]
"""


def test_no_gpu_package_is_imported_for_numpy_arrays() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", NO_IMPORT], check=True)
