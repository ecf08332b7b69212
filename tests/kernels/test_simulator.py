"""The scheduler of the CUDA simulator finds what a GPU would hang or go wrong on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba.core import config

if not config.ENABLE_CUDASIM:
    pytest.skip("it needs NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

import scheduler
from numba import cuda, int32

pytestmark = pytest.mark.gpu


def run(kernel: Callable[..., None], threads: int, order: str | int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(scheduler, "order", order)
    out = np.zeros(threads, np.int32)
    cuda.jit(kernel)[1, threads](out)
    return out


def neighbour(out):
    shared = cuda.shared.array(64, int32)
    t = cuda.threadIdx.x
    shared[t] = t
    cuda.syncthreads()
    out[t] = shared[(t + 1) % 64]


def neighbour_without_a_barrier(out):
    shared = cuda.shared.array(64, int32)
    t = cuda.threadIdx.x
    shared[t] = 3 * t + 1000  # what no other test leaves in the memory
    out[t] = shared[(t + 1) % 64]


@pytest.mark.parametrize("order", ["forward", "reverse", 7])
def test_results_do_not_depend_on_the_order_of_threads(order: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(run(neighbour, 64, order, monkeypatch), (np.arange(64) + 1) % 64)


def test_a_missing_barrier_shows_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, reverse = (
        run(neighbour_without_a_barrier, 64, order, monkeypatch)[:-1] for order in ("forward", "reverse")
    )
    assert (forward != reverse).any()


def test_a_barrier_that_some_threads_pass_by_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(out):
        if cuda.threadIdx.x < 10:
            cuda.syncthreads()
        out[cuda.threadIdx.x] = cuda.shfl_xor_sync(0xFFFFFFFF, 1, 1)

    with pytest.raises(RuntimeError, match="a barrier that not all threads reach"):
        run(kernel, 32, "forward", monkeypatch)


def test_a_barrier_after_a_thread_has_returned_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(out):
        if cuda.threadIdx.x < 10:
            return
        cuda.syncthreads()

    with pytest.raises(RuntimeError, match="a barrier after a thread has returned"):
        run(kernel, 32, "forward", monkeypatch)


def test_a_warp_operation_after_a_lane_has_returned_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(out):
        if cuda.threadIdx.x == 3:
            return
        out[cuda.threadIdx.x] = cuda.shfl_xor_sync(0xFFFFFFFF, 1, 1)

    with pytest.raises(RuntimeError, match="a warp operation after a lane has returned"):
        run(kernel, 32, "forward", monkeypatch)


def test_lanes_exchange_values(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(out):
        t = cuda.threadIdx.x
        out[t] = cuda.shfl_xor_sync(0xFFFFFFFF, t, 5)

    np.testing.assert_array_equal(run(kernel, 64, "reverse", monkeypatch), np.arange(64) ^ 5)


def test_an_error_names_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(out):
        out[cuda.threadIdx.x + 1] = 0

    with pytest.raises(IndexError, match=r"thread \(63, 0, 0\) of block \(0, 0, 0\)"):
        run(kernel, 64, "forward", monkeypatch)
