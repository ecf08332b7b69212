"""What a call over CuPy arrays takes on the host, beside the driver's time, and what it asks of the GPU.

    python tools/host_time.py    a Markdown table: microseconds of a call, our launches, products, and CuPy's operations

No GPU is needed. CuPy is stood for by `StandIn`: its arrays lie in NumPy's memory and answer what ours are asked; a
launch, and a matrix product, does nothing. So what is timed is softgrad's own Python, and making arrays. A figure is
the least of many rounds, since the machine may be busy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import numpy as np

from softgrad import ops
from softgrad.train import TrainConfig, Trainer
from softgrad.train.data.datasets import Dataset

Call = Callable[[], Any]

# A round repeats its call until it takes about this long.
ROUND_SECONDS = 0.001

ROWS, CLASSES = 128, 10
PIXELS, BATCHES = 784, 16

# Where arrays begin, so far apart that they do not meet.
places = count(1 << 40, 1 << 32)

STREAM = SimpleNamespace(ptr=0)

asked = SimpleNamespace(launches=0, products=0, operations=0)


class Pointer:
    """Where an array lies."""

    __slots__ = ("device_id", "ptr")

    def __init__(self, ptr: int) -> None:
        self.ptr, self.device_id = ptr, 0


class StandIn(np.ndarray):
    """An array as CuPy's, in NumPy's memory."""

    __module__ = "cupy"

    @cached_property
    def data(self) -> Pointer:  # of a view; `empty` gives an array its own
        whole = self.base
        offset = self.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        return Pointer(whole.data.ptr + offset)

    def __array_ufunc__(self, function: Any, method: str, *arguments: Any, out: Any = None, **options: Any) -> Any:
        if function is np.matmul and out is not None:
            asked.products += 1
            return out[0]
        asked.operations += 1
        options["out"] = tuple(map(np.asarray, out)) if out else None
        result = getattr(function, method)(*map(np.asarray, arguments), **options)
        return out[0] if out else own(result)


def own(value: Any, dtype: Any = None) -> StandIn:
    """An array with memory of its own."""
    host = np.asarray(value, dtype)
    array = empty(host.shape, host.dtype)
    np.asarray(array)[...] = host
    return array


def empty(shape: Any, dtype: Any = float) -> StandIn:
    array = np.ndarray.__new__(StandIn, shape, dtype)
    array.data = Pointer(next(places))
    return array


def counted(name: str) -> Callable[..., Any]:
    """An operation of CuPy's."""

    def operation(array: StandIn, *arguments: Any, out: Any = None, **options: Any) -> Any:
        asked.operations += 1
        options |= {} if out is None else {"out": np.asarray(out)}
        result = getattr(np.asarray(array), name)(*map(np.asarray, arguments), **options)
        return own(result) if out is None else out

    return operation


for _name in ("take", "sum", "min", "max", "any", "all", "argmax"):
    setattr(StandIn, _name, counted(_name))


def _astype(array: StandIn, dtype: Any, **_: Any) -> StandIn:
    asked.operations += 1
    return own(np.asarray(array), dtype)


StandIn.astype = _astype  # type: ignore[method-assign, assignment]


def stand_in() -> ModuleType:
    """What is imported as `cupy`."""
    module: Any = ModuleType("cupy")
    module.__dict__.update(
        ndarray=StandIn, empty=empty, asarray=own, matmul=np.matmul, may_share_memory=np.may_share_memory,
        zeros=lambda shape, dtype=float: own(np.zeros(shape, dtype)),
        empty_like=lambda array: empty(array.shape, array.dtype),
        arange=lambda stop: own(np.arange(stop)),
        cuda=SimpleNamespace(
            is_available=lambda: True,
            get_current_stream=lambda: STREAM,
            runtime=SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1, runtimeGetVersion=lambda: 13000),
            Device=lambda: SimpleNamespace(compute_capability="90", attributes={"MultiProcessorCount": 132}),
        ),
    )  # fmt: skip
    return module


def turn_on() -> Any:
    """Have `cupy` be the stand-in, and a launch do nothing; gives the backend."""
    sys.modules["cupy"] = stand_in()
    from softgrad.kernels.cuda.launch import Kernel
    from softgrad.ops.backend import get_backend

    def launched(*_: Any) -> None:
        asked.launches += 1

    Kernel._load = lambda kernel, signature: launched  # type: ignore[method-assign]
    return get_backend("gpu")


def calls(gpu: Any) -> Iterator[tuple[str, Call]]:
    """The calls to measure, by what is typed."""
    rng = np.random.default_rng(0)
    x, y, grad = (own(rng.standard_normal((ROWS, CLASSES), np.float32)) for _ in range(3))
    out, labels = empty(x.shape, x.dtype), own(rng.integers(0, CLASSES, ROWS))
    wide = own(np.ones((ROWS, 256), np.float32))
    w, b = own(np.ones((CLASSES, 256), np.float32)), own(np.ones(256, np.float32))
    param, step_grad, velocity = (own(np.ones(1000, np.float32)) for _ in range(3))
    results = empty((ROWS, 256), np.float32), empty((CLASSES, 256), np.float32), empty(256, np.float32)
    loss = ops.softmax_cross_entropy_with_grad
    yield "softmax(x)", lambda: ops.softmax(x)
    yield "softmax(x, out=out)", lambda: ops.softmax(x, out=out)
    yield "softmax_backward(grad, y)", lambda: ops.softmax_backward(grad, y)
    yield "relu(x)", lambda: ops.relu(x)
    yield "relu(x, out=out)", lambda: ops.relu(x, out=out)
    yield "relu_backward(grad, y)", lambda: ops.relu_backward(grad, y)
    yield "softmax_cross_entropy(x, labels)", lambda: ops.softmax_cross_entropy(x, labels, validate=False)
    yield "softmax_cross_entropy_with_grad(x, labels)", lambda: loss(x, labels, validate=False)
    yield "softmax_cross_entropy_with_grad(x, labels, out=out)", lambda: loss(x, labels, validate=False, out=out)
    yield "count_correct(x, labels)", lambda: ops.count_correct(x, labels, validate=False)
    yield "linear(x, w, b, out=out)", lambda: ops.linear(x, w, b, activation="relu", out=results[0])
    yield (
        "linear_backward(grad, y, x, w, out=out)",
        lambda: ops.linear_backward(wide, wide, x, w, activation="relu", input_grad=False, out=(None, *results[1:])),
    )
    yield (
        "sgd_update(param, grad, momentum=0.9)",
        lambda: ops.sgd_update(param, step_grad, lr=0.1, momentum=0.9, velocity=velocity),
    )
    yield f"a training step of {PIXELS}-256-128-{CLASSES}", step(gpu)


def step(gpu: Any) -> Call:
    """A training step in the midst of an epoch."""
    rng = np.random.default_rng(0)
    rows = ROWS * BATCHES
    pixels, labels = rng.integers(0, 256, (rows, PIXELS), np.uint8), rng.integers(0, CLASSES, rows)
    data = Dataset(
        "random", pixels, labels, pixels[:1], labels[:1], (28, 28), 255, CLASSES, tuple("0123456789"), "here"
    )
    trainer = Trainer(TrainConfig(dataset="digits", batch_size=ROWS), data, gpu)
    order = trainer._shuffled(0)

    def call() -> None:
        trainer.progress.batch %= BATCHES
        trainer._train_batch(order)

    return call


def seconds(call: Call, rounds: int) -> float:
    """Of a call, the least of so many rounds."""
    call()
    started = time.perf_counter()
    call()
    repeats = max(1, round(ROUND_SECONDS / max(time.perf_counter() - started, 1e-7)))
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        found.append((time.perf_counter() - started) / repeats)
    return min(found)


def asked_by(call: Call) -> tuple[int, int, int]:
    """Our launches, products, and operations of CuPy's."""
    call()
    vars(asked).update(launches=0, products=0, operations=0)
    call()
    return asked.launches, asked.products, asked.operations


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--only", multiple=True, help="A call by a part of what is typed; may be repeated.")
def main(rounds: int, only: tuple[str, ...]) -> None:
    """Print what calls take on the host, and what they ask of the GPU, as a Markdown table."""
    click.echo("| call | us | launches | products | CuPy's |\n|:--|--:|--:|--:|--:|")
    for name, call in calls(turn_on()):
        if not only or any(one in name for one in only):
            counts = " | ".join(map(str, asked_by(call)))
            click.echo(f"| {name} | {seconds(call, rounds) * 1e6:.1f} | {counts} |")


if __name__ == "__main__":
    main()
