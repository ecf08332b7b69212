"""What a card does with the kernels: their share of its copy rate, beside CuPy and PyTorch; a launch; an epoch.

    python benchmarks/gpu.py --output FOLDER [--elements 67108864] [--quick]

Needs a card, CuPy and softgrad's GPU backend; PyTorch takes part where it is installed. Every contender's result is
compared with ours before anything is timed. Then all of a cell take turns; times are the card's own, between two
events, and medians over the rounds. Writes gpu.json and gpu.md.
"""

from __future__ import annotations

import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from softgrad import ops
from softgrad.bench.peers.peer import as_tuple
from softgrad.ops.backend import get_backend
from softgrad.train import TrainConfig, Trainer, load_dataset
from softgrad.train.errors import DatasetError

Call = Callable[[], Any]

CLASSES = (10, 100, 1000, 4096, 32_768, 131_072, 262_144)
DTYPES = ("float32", "float64", "float16")
ROWS = (
    "softmax",
    "log_softmax",
    "logsumexp",
    "softmax_backward",
    "log_softmax_backward",
    "softmax_cross_entropy_with_grad",
)
ELEMENTWISE = ("relu", "relu_backward", "sigmoid", "sigmoid_backward", "tanh", "gelu", "gelu_backward")

ROUNDS, ROUND_SECONDS = 15, 0.002
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-10}


@dataclass(frozen=True)
class Cell:
    """One operation at one shape: GB/s of ours, and how many times its time each peer takes."""

    operation: str
    shape: tuple[int, ...]
    dtype: str
    gigabytes_a_second: float
    share_of_copies: float
    ratios: dict[str, float]


def torch_functions() -> dict[str, Callable[..., Any]]:
    """PyTorch's own names for the operations, eager."""
    import torch
    from torch.nn import functional

    def cross_entropy_with_grad(logits: Any, labels: Any) -> Any:
        leaf = logits.detach().requires_grad_()
        loss = functional.cross_entropy(leaf, labels)
        return loss, torch.autograd.grad(loss, leaf)[0]

    aten = torch.ops.aten
    return {
        "softmax": lambda x: torch.softmax(x, -1),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "logsumexp": lambda x: torch.logsumexp(x, -1),
        "softmax_backward": lambda g, y: aten._softmax_backward_data(g, y, -1, y.dtype),
        "log_softmax_backward": lambda g, y: aten._log_softmax_backward_data(g, y, -1, y.dtype),
        "softmax_cross_entropy_with_grad": cross_entropy_with_grad,
        "relu": torch.relu,
        "relu_backward": lambda g, x: aten.threshold_backward(g, x, 0),
        "sigmoid": torch.sigmoid,
        "sigmoid_backward": aten.sigmoid_backward,
        "tanh": torch.tanh,
        "gelu": functional.gelu,
        "gelu_backward": aten.gelu_backward,
    }


def cupy_functions(xp: Any) -> dict[str, Callable[..., Any]]:
    """CuPy's, as far as it has them."""
    special = importlib.import_module("cupyx.scipy.special")
    return {
        "softmax": lambda x: special.softmax(x, axis=-1),
        "log_softmax": lambda x: special.log_softmax(x, axis=-1),
        "logsumexp": lambda x: special.logsumexp(x, axis=-1),
        "relu": lambda x: xp.maximum(x, 0),
        "sigmoid": special.expit,
        "tanh": xp.tanh,
    }


def arguments_of(xp: Any, operation: str, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """The arrays an operation takes, on the card."""
    rng = np.random.default_rng(0)
    block = rng.standard_normal(min(int(np.prod(shape)), 1 << 20))  # drawn once and repeated: the host is slow
    x = xp.resize(xp.asarray(block * 3), shape).astype(dtype)
    if operation == "softmax_cross_entropy_with_grad":
        return x, xp.asarray(rng.integers(0, shape[1], shape[0]))
    if not operation.endswith("_backward"):
        return (x,)
    row = ops.ACTIVATIONS.get(operation.removesuffix("_backward"))
    saves_output = row is None or row.saved == "output"
    return x, getattr(ops, operation.removesuffix("_backward"))(x) if saves_output else x[::-1].copy()


def contenders_of(xp: Any, operation: str, arguments: tuple[Any, ...]) -> Iterator[tuple[str, Call]]:
    """Everyone who has the operation, ours first."""
    ours = getattr(ops, operation)
    options = {"validate": False} if operation.startswith("softmax_cross") else {}
    yield "softgrad", lambda: ours(*arguments, **options)
    function = cupy_functions(xp).get(operation)
    if function is not None:
        yield "cupy", lambda: function(*arguments)
    try:
        import torch
    except ImportError:
        return
    tensors = tuple(torch.from_dlpack(argument) for argument in arguments)
    eager = torch_functions()[operation]
    yield "torch", lambda: eager(*tensors)
    if operation in ("softmax", "gelu") and arguments[0].dtype == np.float32:
        compiled = torch.compile(eager, dynamic=False)
        yield "torch.compile", lambda: compiled(*tensors)


def agrees(result: Any, expected: Any, dtype: str) -> bool:
    """Is it our result, to rounding?"""
    tolerance = TOLERANCE[dtype]
    for one, other in zip(as_tuple(result), as_tuple(expected), strict=True):
        found = one.cpu().numpy() if hasattr(one, "cpu") else one.get()
        limit = tolerance * float(abs(other).max())
        if not np.allclose(found, other.get(), rtol=tolerance, atol=limit):
            return False
    return True


def card_seconds(xp: Any, call: Call, repeats: int) -> float:
    """The card's time for a call, the mean over so many."""
    begin, end = xp.cuda.Event(), xp.cuda.Event()
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(xp.cuda.get_elapsed_time(begin, end)) / 1e3 / repeats


def medians(xp: Any, calls: dict[str, Call]) -> dict[str, float]:
    """The median of a call of each, who take turns."""
    repeats = {name: max(1, int(ROUND_SECONDS / max(card_seconds(xp, call, 2), 1e-6))) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name].append(card_seconds(xp, call, repeats[name]))
    return {name: statistics.median(found) for name, found in times.items()}


def copy_rate(xp: Any, elements: int) -> float:
    """GB/s read plus written by CuPy's plain copy."""
    source, target = xp.ones(elements, np.float32), xp.zeros(elements, np.float32)
    seconds = medians(xp, {"copy": lambda: xp.copyto(target, source)})["copy"]
    return 2 * source.nbytes / seconds / 1e9


def measure(xp: Any, operation: str, shape: tuple[int, ...], dtype: str, rate: float) -> Cell:
    """Compare and time one cell."""
    arguments = arguments_of(xp, operation, shape, dtype)
    calls: dict[str, Call] = {}
    expected: Any = None
    for name, call in contenders_of(xp, operation, arguments):
        try:
            result = call()
            expected = result if expected is None else expected
            if name != "softgrad" and not agrees(result, expected, dtype):
                raise ArithmeticError("another result than ours")
        except Exception as error:  # whatever a peer may raise: it is left out, and said so
            if name == "softgrad":
                raise
            click.echo(f"{name} is left out of {operation} {shape} {dtype}: {error}", err=True)
            continue
        calls[name] = call
    seconds = medians(xp, calls)
    traffic = sum(array.nbytes for array in (*arguments, *as_tuple(expected)))
    speed = traffic / seconds["softgrad"] / 1e9
    ratios = {name: seconds[name] / seconds["softgrad"] for name in calls if name != "softgrad"}
    return Cell(operation, shape, dtype, speed, speed / rate, ratios)


def launch_microseconds(xp: Any) -> float:
    """What a call of an op on a small array costs the host, which does not wait for the card."""
    x = xp.zeros(1000, np.float32)
    ops.relu(x, out=x)
    xp.cuda.Device().synchronize()
    started = time.perf_counter()
    for _ in range(1000):
        ops.relu(x, out=x)
    seconds = time.perf_counter() - started
    xp.cuda.Device().synchronize()
    return seconds * 1e3


def epochs(dataset: str, count: int) -> list[dict[str, float]]:
    """Seconds and test accuracy of each epoch of a 784-256-128-10 network, or of the digits' one."""
    data = load_dataset(dataset, download=False)
    trainer = Trainer(TrainConfig(dataset=dataset, epochs=count), data, get_backend("gpu"))
    return [{"seconds": record.seconds, "test_accuracy": record.test_accuracy} for record in trainer.fit()]


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    epochs = ", ".join(f"{epoch['seconds'] * 1e3:.0f} ms" for epoch in results["epochs"])
    lines = [
        f"# {results['device']}",
        "",
        f"Copies {results['copy_rate']:.0f} GB/s; a call of an op on a small array {results['launch_us']:.1f} us; "
        f"epochs of {results['dataset']}: {epochs}.",
        "",
        "| operation | shape | dtype | GB/s | of copies | times quicker than |",
        "|---|---|---|---:|---:|---|",
    ]
    for cell in results["cells"]:
        peers = ", ".join(f"{name} {ratio:.2f}" for name, ratio in cell["ratios"].items())
        shape = "×".join(map(str, cell["shape"]))
        speed, share = cell["gigabytes_a_second"], cell["share_of_copies"]
        lines.append(f"| {cell['operation']} | {shape} | {cell['dtype']} | {speed:.0f} | {share:.0%} | {peers} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for gpu.json and gpu.md.")
@click.option("--elements", default=1 << 26, show_default=True, help="Of an array.")
@click.option("--quick", is_flag=True, help="float32 only, and few widths.")
def main(output: Path, elements: int, quick: bool) -> None:
    """Measure the GPU kernels."""
    xp = get_backend("gpu").xp
    rate = copy_rate(xp, elements)
    classes, dtypes = (CLASSES[2:5:2], DTYPES[:1]) if quick else (CLASSES, DTYPES)
    work = [(name, (max(1, elements // width), width)) for name in ROWS for width in classes if width <= elements]
    work += [(name, (elements,)) for name in ELEMENTWISE]
    cells = [asdict(measure(xp, name, shape, dtype, rate)) for name, shape in work for dtype in dtypes]
    try:
        dataset, found = "mnist", epochs("mnist", 5)
    except DatasetError:
        dataset, found = "digits", epochs("digits", 5)
    device = xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    results = {
        "device": device, "copy_rate": rate, "launch_us": launch_microseconds(xp), "dataset": dataset, "epochs": found,
        "cells": cells,
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    (output / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "gpu.md").write_text(table(results))
    click.echo(table(results))


if __name__ == "__main__":
    main()
