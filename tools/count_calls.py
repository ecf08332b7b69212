"""Count the routes: what a call takes from its first line to its kernel, as a reader who follows it does.

python tools/count_calls.py    a Markdown table: calls of softgrad's Python functions, the files they are in, and how
                               often the way leads from one file to another

The softgrad that is imported is measured, after each call has been made once. Compiled code and what it runs do not
count. With ``NUMBA_ENABLE_CUDASIM=1`` the GPU's row is measured in Numba's simulator, itself not counted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import click
import numpy as np

import softgrad
from softgrad import ops
from softgrad.ops.backend import Backend, get_backend
from softgrad.ops.gpu import BackendUnavailableError
from softgrad.train import TrainConfig, Trainer, load_dataset

SIMULATED = "NUMBA_ENABLE_CUDASIM" in os.environ
SUPPORT = Path(__file__).resolve().parent.parent / "tests" / "support"

PACKAGE = Path(softgrad.__file__).resolve().parent
PARTS = tuple(f"{PACKAGE / part}{os.sep}" for part in ("kernels", "ops", "train"))

# Expressions, for which Python makes functions, but which no reader has to look up; and what only the simulator needs.
PASSED_OVER = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>", "_as_pointer")

# Below a frame of one of these, compiled code runs, or the simulator in its place.
COMPILED = (f"{os.sep}numba{os.sep}", f"{os.sep}numba_cuda{os.sep}", f"{os.sep}simulator{os.sep}")

ROWS, CLASSES = 64, 10
EPOCHS = 2

Call = Callable[[], Any]


class Route:
    """The files of the package's functions that are called between `start` and `stop`, in order."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def start(self) -> None:
        sys.setprofile(self._note)

    def stop(self) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        wanted = event == "call" and code.co_filename.startswith(PARTS) and code.co_name not in PASSED_OVER
        if wanted and _is_called_from_here(frame):
            self.files.append(code.co_filename)

    @property
    def figures(self) -> tuple[int, int, int]:
        """Calls, files and moves."""
        moves = sum(one != other for one, other in pairwise(self.files))
        return len(self.files), len(set(self.files)), moves


def _is_called_from_here(frame: FrameType | None) -> bool:
    """Does the way to the frame begin in this file, and pass through no compiled code?"""
    while frame is not None and frame.f_code.co_filename != __file__:
        if any(part in frame.f_code.co_filename for part in COMPILED):
            return False
        frame = frame.f_back
    return frame is not None


def route_of(call: Call) -> Route:
    """The route of a call that has been made before."""
    call()
    route = Route()
    route.start()
    call()
    route.stop()
    return route


def calls() -> Iterator[tuple[str, Call]]:
    """The calls to measure, by what is typed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, CLASSES)).astype(np.float32)
    shares, labels = ops.softmax(x), rng.integers(0, CLASSES, ROWS)
    where, out = x < 1, np.empty_like(x)
    yield "softmax(x)", lambda: ops.softmax(x)
    yield "softmax(x, temperature=2.0)", lambda: ops.softmax(x, temperature=2.0)
    yield "softmax(x, axis=0)", lambda: ops.softmax(x, axis=0)
    yield "softmax(x, where=where, out=out)", lambda: ops.softmax(x, where=where, out=out)
    yield "softmax_cross_entropy_with_grad(x, labels)", lambda: ops.softmax_cross_entropy_with_grad(x, labels)
    yield (
        "softmax_cross_entropy_with_grad(x, labels, label_smoothing=0.1)",
        lambda: ops.softmax_cross_entropy_with_grad(x, labels, label_smoothing=0.1),
    )
    yield "entropy(p)", lambda: ops.entropy(shares)
    gpu = _gpu()
    if gpu is not None:
        x_there, labels_there = gpu.xp.asarray(x), gpu.xp.asarray(labels)
        yield (
            "softmax_cross_entropy_with_grad(x, labels) on the GPU",
            lambda: ops.softmax_cross_entropy_with_grad(x_there, labels_there),
        )


def step_route(optimizer: str) -> Route:
    """The route of a training step of `softgrad train`, a network of three layers, in the midst of an epoch."""
    config = TrainConfig(dataset="digits", optimizer=optimizer, epochs=EPOCHS, backend="cpu")
    trainer = Trainer(config, load_dataset("digits"), get_backend("cpu"))
    route = Route()

    def on_batch(trainer: Trainer) -> None:
        route.stop()
        if trainer.progress.epoch == EPOCHS - 1 and trainer.progress.batch == 1:
            route.start()

    for _ in trainer.fit(on_batch):
        pass
    return route


def _gpu() -> Backend | None:
    if SIMULATED:
        sys.path[:0] = [str(SUPPORT / "stand_in"), str(SUPPORT / "simulator")]
        import scheduler

        scheduler.install()
    try:
        return get_backend("gpu")
    except BackendUnavailableError:
        return None


@click.command()
def main() -> None:
    """Print calls, files and moves of each route as a Markdown table."""
    click.echo("| call | calls | files | moves |\n|---|--:|--:|--:|")
    for name, call in calls():
        click.echo(f"| {name} | {' | '.join(map(str, route_of(call).figures))} |")
    step = " | ".join(map(str, step_route("momentum").figures))
    click.echo(f"| a training step of three layers | {step} |")


if __name__ == "__main__":
    main()
