"""Optimizers, deck 002: the paths of six on one surface, the bent valley (1 - x)^2 + 10 (y - x^2)^2.

Each starts at the same point, with a learning rate that suits it, for rates of different optimizers mean different
things. The minimum, 0, is at (1, 1).
"""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import COLOURS, MARKERS, picture

from softgrad import ops
from softgrad.ops import autodiff

START = np.array([-1.3, 1.5])
STEPS = 400
GOAL = 1e-3


def f(points: np.ndarray) -> np.ndarray:
    x, y = points[..., 0], points[..., 1]
    return (1 - x) ** 2 + 10 * (y - x**2) ** 2


gradient = autodiff.grad(f)


def updates() -> dict[str, Callable[[np.ndarray, np.ndarray, int], None]]:
    """An update for each optimizer, over states of its own."""
    a, b, c, d, e, g = np.zeros((6, 2))
    return {
        "SGD, 0.01": lambda w, grad, step: ops.sgd_update(w, grad, lr=0.01),
        "momentum, 0.01": lambda w, grad, step: ops.sgd_update(w, grad, lr=0.01, momentum=0.9, velocity=a),
        "Nesterov, 0.01": lambda w, grad, step: ops.sgd_update(
            w, grad, lr=0.01, momentum=0.9, velocity=b, nesterov=True
        ),
        "Adagrad, 0.5": lambda w, grad, step: ops.adagrad_update(w, grad, lr=0.5, step=step, state_sum=c),
        "RMSprop, 0.02": lambda w, grad, step: ops.rmsprop_update(w, grad, lr=0.02, square_avg=d),
        "Adam, 0.1": lambda w, grad, step: ops.adam_update(w, grad, lr=0.1, step=step, exp_avg=e, exp_avg_sq=g),
    }


def descend(update: Callable[[np.ndarray, np.ndarray, int], None]) -> np.ndarray:
    theta = START.copy()
    path = [theta.copy()]
    for step in range(1, STEPS + 1):
        update(theta, gradient(theta), step)
        path.append(theta.copy())
    return np.array(path)


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    paths = {name: descend(update) for name, update in updates().items()}
    rows = []
    for name, path in paths.items():
        reached = np.flatnonzero(f(path) < GOAL)
        steps = f"{reached[0]} steps" if reached.size else f"not in {STEPS} steps"
        rows.append((name, "-", f"f < {GOAL:g}: {steps}; f at the end {f(path[-1]):.3g}"))
    compare(*rows)
    x, y = np.meshgrid(np.linspace(-1.7, 1.7, 200), np.linspace(-0.6, 2.4, 200))
    ground = np.log10(f(np.stack([x, y], axis=-1)))
    with picture(output, "optimizer_paths", 12, 5.2) as figure:
        panels = figure.subplot_mosaic("ABCLL;DEFLL")
        loss = panels["L"]
        for i, (letter, (name, path)) in enumerate(zip("ABCDEF", paths.items(), strict=True)):
            axes = panels[letter]
            axes.contourf(x, y, ground, 14, alpha=0.4)
            axes.plot(*path.T, color=COLOURS[i], linewidth=1.2, marker=MARKERS[i], markersize=4, markevery=20)
            axes.plot(*START, "kX", markersize=8)
            axes.plot(1, 1, "k*", markersize=12)
            axes.set(xlim=(-1.7, 1.7), ylim=(-0.6, 2.4), title=name, xticks=[-1, 0, 1], yticks=[0, 1, 2])
            axes.grid(visible=False)
            axes.set(xlabel="x" if letter in "DEF" else "", ylabel="y" if letter in "AD" else "")
            loss.semilogy(f(path), color=COLOURS[i], marker=MARKERS[i], markevery=(7 * i, 50), label=name)
        loss.axhline(GOAL, color="black", linewidth=0.8, linestyle=":")
        loss.set(xlim=(0, STEPS), ylim=(1e-8, 50), xlabel="step", ylabel="f(x, y)", title="loss")
        loss.legend(loc="lower right")
        title = "Six optimizers in one bent valley, from the cross to the star; a marker every 20 steps"
        figure.suptitle(title, fontsize=10)


if __name__ == "__main__":
    main()
