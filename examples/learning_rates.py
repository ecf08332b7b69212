"""Learning rates, deck 002: too small, good, too large and decaying, on one valley, f(x, y) = (x^2 + 10 y^2) / 2.

A step multiplies x by 1 - lr and y by 1 - 10 lr. At lr = 0.2 y only changes its sign, back and forth for ever; above,
it grows. A rate that starts at 0.2 and falls gets the best of both.
Where deck 002 is wrong: it writes the gradient of a squared error as X (Y - f), the sign flipped, and would climb.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import COLOURS, GREY, MARKERS, picture, plane

from softgrad import ops
from softgrad.train.schedules import learning_rate

CURVATURE = np.array([1.0, 10.0])
START = np.array([-2.5, 1.0])
STEPS = 60
REGIMES = {
    "too small, 0.005": ("constant", 0.005),
    "good, 0.15": ("constant", 0.15),
    "too large, 0.2": ("constant", 0.2),
    "far too large, 0.21": ("constant", 0.21),
    "decaying from 0.2": ("cosine", 0.2),
}


def descend(schedule: str, lr: float) -> np.ndarray:
    theta = START.copy()
    path = [theta.copy()]
    for step in range(STEPS):
        ops.sgd_update(theta, CURVATURE * theta, lr=learning_rate(schedule, lr, step, STEPS))
        path.append(theta.copy())
    return np.array(path)


def loss(points: np.ndarray) -> np.ndarray:
    return points**2 @ CURVATURE / 2


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    paths = {name: descend(*regime) for name, regime in REGIMES.items()}
    words = ("hardly moves", "-", "circles the minimum", "gets nowhere", "a remedy")
    compare(
        ("loss at the start", "-", loss(START)),
        *(
            (f"loss after {STEPS} steps, {name}", word, loss(path[-1]))
            for word, (name, path) in zip(words, paths.items(), strict=True)
        ),
    )
    with picture(output, "learning_rates", 11.5, 6.2) as figure:
        panels = figure.subplots(2, 3)
        x, y, points = plane(-3, 3)
        heights = loss(points).reshape(x.shape)
        for i, (axes, (name, path)) in enumerate(zip(panels.ravel(), paths.items(), strict=False)):
            axes.contour(x, y, heights, np.geomspace(0.05, 40, 12), colors=GREY, linewidths=0.7)
            axes.plot(*path.T, marker=MARKERS[i], color=COLOURS[i], markersize=4, linewidth=1)
            axes.plot(0, 0, "k*", markersize=10)
            axes.set(title=name, xlim=(-3, 3), ylim=(-2.5, 2.5), xlabel="x", ylabel="y")
            axes.grid(visible=False)
        axes = panels[1, 2]
        for i, (name, path) in enumerate(paths.items()):
            axes.semilogy(loss(path), color=COLOURS[i], marker=MARKERS[i], markevery=10, markersize=4, label=name)
        axes.set(xlim=(0, STEPS), ylim=(1e-13, 1e6), xlabel="step", ylabel="f(x, y)", title="loss")
        axes.legend(fontsize=8, loc="lower left")


if __name__ == "__main__":
    main()
