"""Two checkouts side by side: the cells of `softgrad bench ops`, and small calls with options, timed in turn.

python tools/compare_checkouts.py ../before                        every cell of a quick run, and the small calls
python tools/compare_checkouts.py ../before --every                every shape that the benchmark has
python tools/compare_checkouts.py ../before --only softmax --only entropy

Each checkout runs in a process of its own, and they take turns, so that a busy machine slows both. A figure is the
median over the rounds; the ratio is the median of the rounds' own, this checkout's time over the other's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parent.parent

# A turn repeats its call until it takes about this long.
TURN_SECONDS = 0.002

DTYPES = "float32", "float64"

Call = Callable[[], Any]


# ---- the process of a checkout


def small_calls() -> dict[str, Call]:
    """Calls of a batch's last layer, (128, 10) float32, of which most of the time is what surrounds the kernel."""
    import numpy as np

    from softgrad import ops

    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal((128, 10), np.float32) for _ in range(2))
    y, out, labels = ops.softmax(x), np.empty_like(x), rng.integers(0, 10, 128)
    mask, weight = x > -1, np.linspace(0.5, 1.5, 10, dtype=np.float32)
    w, b = rng.standard_normal((10, 16), np.float32), np.zeros(16, np.float32)
    hidden = ops.linear(x, w, b, activation="relu")
    param, velocity = np.ones((2, 1000), np.float32)
    loss = ops.softmax_cross_entropy_with_grad
    return {
        "softmax": lambda: ops.softmax(x),
        "softmax temperature": lambda: ops.softmax(x, temperature=2.0),
        "softmax where": lambda: ops.softmax(x, where=mask),
        "softmax axis=0": lambda: ops.softmax(x, axis=0),
        "softmax out": lambda: ops.softmax(x, out=out),
        "softmax_backward": lambda: ops.softmax_backward(grad, y),
        "logsumexp": lambda: ops.logsumexp(x),
        "entropy": lambda: ops.entropy(y),
        "cross-entropy": lambda: ops.softmax_cross_entropy(x, labels),
        "cross-entropy with gradient": lambda: loss(x, labels),
        "cross-entropy with gradient, out": lambda: loss(x, labels, out=out),
        "cross-entropy with gradient, label_smoothing": lambda: loss(x, labels, label_smoothing=0.1),
        "cross-entropy with gradient, weight": lambda: loss(x, labels, weight=weight),
        "sigmoid_cross_entropy with gradient": lambda: ops.sigmoid_cross_entropy_with_grad(x, y),
        "relu": lambda: ops.relu(x),
        "gelu_backward": lambda: ops.gelu_backward(grad, x),
        "leaky_relu negative_slope": lambda: ops.leaky_relu(x, negative_slope=0.2),
        "linear relu": lambda: ops.linear(x, w, b, activation="relu"),
        "linear_backward relu": lambda: ops.linear_backward(hidden, hidden, x, w, activation="relu"),
        "sgd_update momentum": lambda: ops.sgd_update(param, param, lr=0.0, momentum=0.9, velocity=velocity),
        "accuracy": lambda: ops.accuracy(x, labels),
        "one_hot": lambda: ops.one_hot(labels, 10),
        "sample_categorical": lambda: ops.sample_categorical(x, rng=0),
    }


def serve() -> None:
    """Answer each line of JSON, what to call, with the seconds of a call; the first answer prepares it."""
    from softgrad.bench.cases import OPERATIONS
    from softgrad.bench.peers import load_peer

    ours, small = load_peer("softgrad"), small_calls()
    current: Any = None
    for line in sys.stdin:
        wanted = json.loads(line)
        if wanted != current:
            name, dtype, shape = current = wanted
            if shape is None:
                call = small[name]
            else:
                case = OPERATIONS[name].case(tuple(shape), dtype)
                call = ours.contender(ours.ways_of(case)[0], case).call
            call()
            started = time.perf_counter()
            call()
            repeats = max(1, round(TURN_SECONDS / max(time.perf_counter() - started, 1e-7)))
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        click.echo((time.perf_counter() - started) / repeats)


# ---- the process that compares


@contextmanager
def serving(checkout: Path) -> Iterator[Callable[[list[Any]], float]]:
    """A function that has the checkout time a call, in a process of its own, in which that is softgrad."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "softgrad").symlink_to(checkout, target_is_directory=True)
        environment = {**os.environ, "PYTHONPATH": folder}
        environment.pop("OPENBLAS_CORETYPE", None)
        command = [sys.executable, __file__, "--serve", "."]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            to, answers = process.stdin, process.stdout

            def ask(wanted: list[Any]) -> float:
                print(json.dumps(wanted), file=to, flush=True)
                return float(answers.readline())

            try:
                yield ask
            finally:
                to.close()


def cells(every: bool, only: tuple[str, ...]) -> Iterator[list[Any]]:
    """What is to be called: name, dtype and shape; of a small call the name alone."""
    from softgrad.bench.cases import OPERATIONS

    yield from ([name, None, None] for name in small_calls() if not only or name in only)
    for name, operation in OPERATIONS.items():
        if not only or name in only:
            shapes = operation.shapes if every else operation.quick_shapes
            yield from ([name, dtype, list(shape)] for dtype in DTYPES for shape in shapes if dtype in operation.dtypes)


@click.command(help=__doc__.partition("\n\n")[0] if __doc__ else None)
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", is_flag=True, help="Every shape that the benchmark has, not only a quick run's.")
@click.option("--only", multiple=True, help="A call by its name; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True)
@click.option("--serve", "as_server", is_flag=True, hidden=True)
def main(other: Path, every: bool, only: tuple[str, ...], rounds: int, as_server: bool) -> None:
    if as_server:
        serve()
        return
    click.echo("| call | dtype | shape | other, us | this, us | ratio |\n|:--|:--|:--|--:|--:|--:|")
    with serving(other.resolve()) as before, serving(HERE) as after:
        for wanted in cells(every, only):
            before(wanted), after(wanted)
            pairs = [(before(wanted), after(wanted)) for _ in range(rounds)]
            old, new = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
            ratio = statistics.median(new_time / old_time for old_time, new_time in pairs)
            name, dtype, shape = wanted
            where = "float32" if dtype is None else dtype, "128 x 10" if shape is None else " x ".join(map(str, shape))
            click.echo(f"| {name} | {' | '.join(where)} | {old:.2f} | {new:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
