"""Threads: the same bits for any number of them, and any number of callers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numba
import pytest
from numerics import one_quick

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.launch import Kernel
from softgrad.kernels.cpu.threads import thread_count

# 1033 rows of 130: above the parallel threshold, and divisible by no number of threads or block of rows or columns.
CALLS = """
import hashlib, json, sys
import numpy as np
import numba
from softgrad import ops
from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.threads import threading_layer

rng = np.random.default_rng(0)
x, grad, saved = rng.normal(0, 4, (3, 1033, 130)).astype(np.float32)
w = np.zeros((3, 130), np.float32)
y, log_y = ops.softmax(x), ops.log_softmax(x)
labels = rng.integers(0, 130, 1033)
pixels = rng.integers(0, 256, (1100, 130)).astype(np.uint8)
inputs = np.zeros((1033, 3), np.float32)

def sgd():
    param, velocity = x.copy(), saved.copy()
    ops.sgd_update(param, grad, lr=0.1, momentum=0.9, velocity=velocity, nesterov=True)
    return param, velocity

def adam():
    param, means = x.copy(), (saved.copy(), np.abs(grad))
    ops.adam_update(param, grad, lr=0.1, step=3, exp_avg=means[0], exp_avg_sq=means[1])
    return param, *means

CALLS = {
    "silu": lambda: ops.silu(x),
    "silu_backward": lambda: ops.silu_backward(grad, saved),
    "softmax": lambda: ops.softmax(x),
    "softmax axis 0": lambda: ops.softmax(x, axis=0),
    "log_softmax axis 0": lambda: ops.log_softmax(x, axis=0),
    "logsumexp axis 0": lambda: ops.logsumexp(x, axis=0),
    "softmax_backward axis 0": lambda: ops.softmax_backward(grad, y, axis=0),
    "log_softmax_backward axis 0": lambda: ops.log_softmax_backward(grad, log_y, axis=0),
    "log_softmax": lambda: ops.log_softmax(x, temperature=0.7),
    "logsumexp": lambda: ops.logsumexp(x),
    "softmax_backward": lambda: ops.softmax_backward(grad, y),
    "log_softmax_backward": lambda: ops.log_softmax_backward(grad, log_y),
    "cross-entropy": lambda: ops.softmax_cross_entropy(x, labels),
    "cross-entropy with gradient": lambda: ops.softmax_cross_entropy_with_grad(x, labels, reduction="sum"),
    "sample_categorical": lambda: ops.sample_categorical(x, rng=1),
    "self_information": lambda: ops.self_information(y),
    "entropy": lambda: ops.entropy(y),
    "perplexity": lambda: ops.perplexity(y, axis=0, validate=False),
    "kl_divergence": lambda: ops.kl_divergence(y, y[::-1]),
    "cross-entropy of probabilities": lambda: ops.softmax_cross_entropy_with_grad(x, abs(x), label_smoothing=0.1),
    "linear": lambda: ops.linear(inputs, w, saved[0], activation="silu"),
    "bias gradient": lambda: ops.linear_backward(grad, saved, inputs, w, activation="silu"),
    "accuracy": lambda: ops.accuracy(x, labels),
    "one_hot": lambda: ops.one_hot(labels, 130),
    "gather_scale": lambda: ops.gather_scale(pixels, np.arange(1033)[::-1], scale=0.1, dtype=np.float32),
    "sgd_update": sgd,
    "adam_update": adam,
}

assert x.nbytes >= threads.PARALLEL_BYTES

def digest(result):
    parts = result if isinstance(result, tuple) else (result,)
    return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()
"""

FOR_EACH_NUMBER_OF_THREADS = """
found = {name: [] for name in CALLS}
for count in (1, 2, 3, 4):
    numba.set_num_threads(count)
    for name, call in CALLS.items():
        found[name].append(digest(call()))
print(json.dumps(found))
"""

FROM_SEVERAL_PYTHON_THREADS = """
from concurrent.futures import ThreadPoolExecutor
names = list(CALLS) * 6
with ThreadPoolExecutor(4) as pool:  # first of all, so that kernels are also compiled and loaded at once
    found = list(pool.map(lambda name: digest(CALLS[name]()), names))
alone = {name: digest(call()) for name, call in CALLS.items()}
wrong = sorted({name for name, value in zip(names, found) if value != alone[name]})
print(json.dumps({"layer": threading_layer(), "wrong": wrong}))
"""

FORKS_AND_SIGNALS = """
import os, signal, threading, time, warnings
from numba.core.compiler_lock import global_compiler_lock
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a fork beside threads

alone = digest(ops.softmax(x))
numba.set_num_threads(1)
ops.softmax(x)  # what a child without threads calls is compiled here
numba.set_num_threads(4)

def child():
    # A child's number of threads, or what went wrong there; one that hangs is killed by its alarm.
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        if not global_compiler_lock._lock.acquire(blocking=False):
            os._exit(98)
        os._exit(threads.thread_count() if {digest(ops.softmax(x)) for _ in range(2)} == {alone} else 99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def children(count):
    found = [child()]
    while len(found) < count and found[-1] == found[0] > 0:
        found.append(child())
    return found

def compile():
    with global_compiler_lock:
        started.set()
        time.sleep(0.2)

def compute():
    while len(handled) < 50:
        ops.softmax(x)

found = {"layer": threading_layer(), "idle": children(2)}
started, handled = threading.Event(), []
compiler = threading.Thread(target=compile)
compiler.start()
started.wait()
found["compiling"] = children(1)
compiler.join()
worker = threading.Thread(target=compute)
worker.start()
found["computing"] = children(42)

def handler(*_):
    handled.append(digest(ops.softmax(x)) == alone)
    if len(handled) < 50:
        signal.setitimer(signal.ITIMER_REAL, 0.001)

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001)
while len(handled) < 50:
    ops.softmax(x)
worker.join()
print(json.dumps({**found, "handled": all(handled)}))
"""


def run(script: str, **environment: str) -> dict[str, Any]:
    """Run the script in a process of its own, with four threads whatever the number of cores."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", CALLS + script],
        env={**os.environ, "NUMBA_NUM_THREADS": "4", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    # Before it, Numba says of each fork beside another thread that tbb could not stop its own.
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    digests = run(FOR_EACH_NUMBER_OF_THREADS)
    assert len(digests) >= 21
    assert {name: found for name, found in digests.items() if len(set(found)) > 1} == {}


# workqueue aborts the process when two Python threads enter it at once: here they may not.
@pytest.mark.slow
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_several_python_threads_may_call_at_once(layer: str) -> None:
    found = run(FROM_SEVERAL_PYTHON_THREADS, NUMBA_THREADING_LAYER=layer)
    assert found["wrong"] == []
    if layer == "workqueue":
        assert found["layer"] == "workqueue"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("layer", one_quick(["default", "omp", "workqueue"]))
def test_forks_and_signal_handlers_neither_hang_nor_abort(layer: str) -> None:
    try:
        found = run(FORKS_AND_SIGNALS, NUMBA_THREADING_LAYER=layer)
    except AssertionError as error:
        if layer == "omp" and "No threading layer could be loaded" in str(error):
            pytest.skip("there is no omp here")
        raise
    assert found["layer"] == layer or layer == "default"
    # omp cannot start anew in a child; the others can, unless there was another thread at the fork.
    assert found["idle"] == [1 if found["layer"] == "omp" else 4] * 2
    assert found["compiling"][0] in (1, 4)  # as the thread that compiled has ended or not
    assert found["computing"] == [1] * 42
    assert found["handled"] is True


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.mark.usefixtures("restored_threads")
def test_number_of_threads_is_the_users() -> None:
    for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(count)
        assert thread_count() == count


def test_small_work_wakes_no_threads() -> None:
    calls: list[tuple[str, int]] = []
    kernel = Kernel(lambda size: calls.append(("serial", size)), lambda size: calls.append(("shared", size)))
    kernel(7, threads.PARALLEL_BYTES - 1)
    kernel(8, threads.PARALLEL_BYTES)
    assert calls == [("serial", 7), ("shared", 8)]
