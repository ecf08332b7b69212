"""Time and memory of a linear layer's cross-entropy with its gradients: in chunks, with whole logits, by PyTorch.

    python -m softgrad.bench.linear_cross_entropy [--rows 8192] [--inputs 1024] [--classes 32768] [--peer-python PYTHON]

float32, labels, one loss and the gradients of x and w. Each side runs in a process of its own, in turn. Memory is the
growth of the process's peak over the first call, less its results: what is held beside arguments and results.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from softgrad.bench.run import environment_for

SIDES = {
    "chunks": "linear_cross_entropy_with_grad",
    "whole": "linear, softmax_cross_entropy_with_grad, linear_backward",
    "torch": "F.linear, F.cross_entropy, backward",
}
MIB = 1 << 20
# Bytes in the unit of ru_maxrss.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024

Call = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]


def call_of(side: str, threads: int) -> Call:
    """A side's function of x, w and labels, which returns the loss and both gradients."""
    if side == "torch":
        import torch

        torch.set_num_threads(threads)

        def by_torch(x: np.ndarray, w: np.ndarray, labels: np.ndarray) -> Any:
            leaves = torch.from_numpy(x).requires_grad_(), torch.from_numpy(w).requires_grad_()
            loss = torch.nn.functional.cross_entropy(leaves[0] @ leaves[1], torch.from_numpy(labels))
            loss.backward()
            return loss.item(), leaves[0].grad, leaves[1].grad

        return by_torch
    from softgrad import ops

    def in_chunks(x: np.ndarray, w: np.ndarray, labels: np.ndarray) -> Any:
        loss, (dx, dw, _) = ops.linear_cross_entropy_with_grad(x, w, labels)
        return loss, dx, dw

    def whole(x: np.ndarray, w: np.ndarray, labels: np.ndarray) -> Any:
        logits = ops.linear(x, w)
        loss, grad = ops.softmax_cross_entropy_with_grad(logits, labels, out=logits)
        dx, dw, _ = ops.linear_backward(grad, None, x, w, overwrite_grad=True)
        return loss, dx, dw

    return in_chunks if side == "chunks" else whole


def problem(rows: int, inputs: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inputs), np.float32)
    w = rng.standard_normal((inputs, classes), np.float32)
    w *= np.float32(inputs**-0.5)
    return x, w, rng.integers(0, classes, rows)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def measure(side: str, threads: int, shape: tuple[int, int, int], calls: int) -> dict[str, float]:
    """The least seconds of a call, the bytes beside arguments and results, and the loss."""
    call = call_of(side, threads)
    call(*problem(300, 64, 2000))  # libraries loaded, kernels compiled
    arguments = problem(*shape)
    before = peak_bytes()
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        loss, *grads = call(*arguments)
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 1:  # later ones find freed memory that is not given back
            beside = peak_bytes() - before - sum(grad.nbytes for grad in grads)
        del grads
    return {"seconds": min(seconds), "bytes": beside, "loss": float(loss)}


@click.command()
@click.option("--rows", default=8192, show_default=True)
@click.option("--inputs", default=1024, show_default=True)
@click.option("--classes", default=32_768, show_default=True)
@click.option("--rounds", default=2, show_default=True, help="Each side's turns.")
@click.option("--calls", default=2, show_default=True, help="In a turn.")
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--peer-python", help="A Python that has torch, and numba to import softgrad; without it torch is left out."
)
@click.option("--side", type=click.Choice(list(SIDES)), hidden=True)
def main(
    rows: int, inputs: int, classes: int, rounds: int, calls: int, threads: int, peer_python: str | None,
    side: str | None,
) -> None:  # fmt: skip
    """Measure every side in turn and print seconds, and MiB beside arguments and results."""
    shape = rows, inputs, classes
    if side is not None:
        click.echo(json.dumps(measure(side, threads, shape, calls)))
        return
    pythons = {"chunks": sys.executable, "whole": sys.executable}
    if peer_python:
        pythons["torch"] = peer_python
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    sizes = ["--rows", str(rows), "--inputs", str(inputs), "--classes", str(classes)]
    for _ in range(rounds):
        for name, python in pythons.items():
            command = [
                python,
                "-m",
                "softgrad.bench.linear_cross_entropy",
                *sizes,
                "--calls",
                str(calls),
                "--threads",
                str(threads),
                "--side",
                name,
            ]
            output = subprocess.run(
                command, env=environment_for(threads), check=True, capture_output=True, text=True
            ).stdout
            found[name].append(json.loads(output))
    click.echo(f"x {rows} x {inputs}, w {inputs} x {classes}: logits of {rows * classes * 4 / MIB:.0f} MiB")
    for name, turns in found.items():
        seconds, memory = min(turn["seconds"] for turn in turns), max(turn["bytes"] for turn in turns) / MIB
        click.echo(f"{name:8} {seconds:8.3f} s {memory:8.0f} MiB   loss {turns[0]['loss']:.6f}   ({SIDES[name]})")


if __name__ == "__main__":
    main()
