"""Other packages' arrays are taken where they lie, without a copy, and never written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numerics import Arrays, assert_same_bits

from softgrad import ops


class Exported:
    """An array that can be had through DLPack alone."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class Elsewhere:
    """An array in the memory of a GPU, by what it says."""

    __cuda_array_interface__ = {"shape": (2,), "typestr": "<f4", "data": (0, False), "version": 3}  # noqa: RUF012


class Broken:
    """An array whose package does not give it away."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("call detach() first")


def test_what_dlpack_gives_is_taken() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5))
    assert_same_bits(ops.softmax(Exported(x)), ops.softmax(x))
    labels = np.arange(4)
    loss, grad = ops.softmax_cross_entropy_with_grad(Exported(x), Exported(labels))
    expected, expected_grad = ops.softmax_cross_entropy_with_grad(x, labels)
    assert loss == expected
    assert_same_bits(grad, expected_grad)


def test_it_is_taken_without_a_copy() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5))
    shared = ops.identity(Exported(x), out=x)  # the same memory: written where it is read
    assert shared is x


def test_what_may_not_be_written_is_only_read() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5))
    x.flags.writeable = False
    before = x.copy()
    for call in (ops.softmax, ops.log_softmax, ops.logsumexp, ops.gelu):
        call(Exported(x))
        with pytest.raises(ValueError, match=r"^out is read-only; pass an array that can be written to$"):
            call(x[0] if call is ops.logsumexp else x, out=np.broadcast_to(0.0, ()) if call is ops.logsumexp else x)
    assert_same_bits(x, before)


def test_arrays_of_a_gpu_and_of_the_host_are_not_mixed() -> None:
    with pytest.raises(TypeError, match=r"^grad is a \w+ array and y a NumPy array; bring them to one side with "):
        ops.softmax_backward(Elsewhere(), np.zeros(2, np.float32))
    with pytest.raises(TypeError, match=r"^y is a \w+ array and grad a \w+ array; bring them to one side with "):
        ops.softmax_backward(Exported(np.zeros(2, np.float32)), Elsewhere())


def test_what_its_package_does_not_give_away_is_a_type_error_with_its_words() -> None:
    message = r"^x must be an array or what can be made one; got Broken: call detach\(\) first$"
    with pytest.raises(TypeError, match=message):
        ops.softmax(Broken())
    with pytest.raises(TypeError, match=r"^x must be an array or what can be made one; got list: "):
        ops.softmax([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("package", ["torch", "jax.numpy"])
def test_other_packages_arrays(package: str) -> None:
    module = pytest.importorskip(package)
    x = np.random.default_rng(0).standard_normal((4, 5), np.float32)
    theirs = module.asarray(x)
    found = ops.softmax(theirs)
    assert type(found) is np.ndarray
    assert_same_bits(found, ops.softmax(x))


def test_results_are_the_backend_s_own(backend: Arrays) -> None:
    assert isinstance(ops.softmax(backend.put([1.0, 2.0])), backend.backend.array_type)
