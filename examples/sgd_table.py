"""The table of stochastic gradient descent, deck 003: a line through three points, a point at a time, from zero.

Where decks 002 and 003 are wrong: they write the gradient as (y - y') x and then step against it, which is the sign
flipped; taken literally that diverges. The gradient is (y' - y) x. The deck's table follows the right one; it cuts its
numbers off, and ten epochs are not yet the least-squares line.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, COLOURS, GREY, VERMILION, picture

from softgrad import ops
from softgrad.train import LinearRegression

X, Y = np.array([50.0, 80.0, 120.0]), np.array([150.0, 200.0, 280.0])
LR = 1e-4
EPOCHS = 10


def descend(sign: float = 1.0) -> np.ndarray:
    """(w, b) before the first and after each step, shape (steps + 1, 2)."""
    theta = np.zeros(2)
    path = [theta.copy()]
    for _ in range(EPOCHS):
        for x, y in zip(X, Y, strict=True):
            inputs = np.array([x, 1.0])
            _, error = ops.l2_loss_with_grad(inputs @ theta, y)  # y' - y
            ops.sgd_update(theta, sign * error * inputs, lr=LR)
            path.append(theta.copy())
    return np.array(path)


def mean_loss(path: np.ndarray) -> np.ndarray:
    predictions = path @ np.stack([X, np.ones(3)])
    return ops.l2_loss(predictions, np.broadcast_to(Y, predictions.shape), reduction="none").mean(axis=1)


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    path, literal = descend(), descend(sign=-1.0)
    online = LinearRegression(solver="sgd", lr=LR, epochs=EPOCHS, shuffle=False).fit(X[:, None], Y)
    exact = LinearRegression().fit(X[:, None], Y)
    best = np.append(exact.coef_, exact.intercept_)
    compare(
        ("w, b after step 1", "0.750 0.015", path[1]),
        ("w, b after step 2", "1.869 0.028", path[2]),
        ("w, b after step 3", "2.536 0.034", path[3]),
        ("w, b after epoch 10", "2.26 0.051", path[-1]),
        ("the same by LinearRegression", "-", [*online.coef_, online.intercept_]),
        ("w, b of least squares", "-", best),
        ("half mean squared error after epoch 10", "-", mean_loss(path)[-1]),
        ("half mean squared error of least squares", "-", mean_loss(best[None])[0]),
        ("w, b after epoch 10, sign as printed", "-", literal[-1]),
    )
    with picture(output, "sgd_table", 10.5, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        left.scatter(X, Y, s=60, color="black", zorder=3, label="data")
        ends = np.array([0.0, 140.0])
        for step, name in ((1, "step 1"), (2, "step 2"), (3, "step 3"), (len(path) - 1, "epoch 10")):
            colour = {1: GREY, 2: COLOURS[5], 3: COLOURS[4]}.get(step, VERMILION)
            left.plot(ends, path[step][0] * ends + path[step][1], color=colour, label=name)
        left.plot(ends, best[0] * ends + best[1], "--", color=BLUE, label="least squares")
        left.set(
            xlim=(0, 140), ylim=(0, 360), xlabel="x", ylabel="y", title="The line after the first steps, and later"
        )
        left.legend(loc="upper left")
        right.semilogy(mean_loss(path), "o-", color=BLUE, markersize=3, label="(y′ - y) x, the gradient")
        right.semilogy(mean_loss(literal), "s--", color=VERMILION, markersize=3, label="(y - y′) x, as printed")
        right.axhline(mean_loss(best[None])[0], color="black", linewidth=1, linestyle=":", label="least squares")
        right.set(xlim=(0, 30), xlabel="step", ylabel="half mean squared error", title="The sign decides")
        right.legend(loc="upper left")


if __name__ == "__main__":
    main()
