"""An activation of your own, deck 002: one function gives the layer, its gradient and a network that learns digits.

Three formulas, written as one would write them for a number, beside ReLU: a swish with a steeper gate, squareplus
(Barron 2021, arXiv:2112.11687), which needs no exponential, and a bump that is flat far from 0.
"""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from deck import compare, output_option, quick_option
from pictures import picture

from softgrad import ops
from softgrad.formulas import exp, sigmoid, sqrt, where
from softgrad.ops.backend import CPU
from softgrad.train import TrainConfig, Trainer, load_dataset


@ops.elementwise
def steep_swish(x, *, beta=2.0):
    return x * sigmoid(beta * x)


@ops.elementwise
def squareplus(x, *, width=4.0):
    root = sqrt(x * x + width)
    # x + root cancels below 0.
    return 0.5 * where(x > 0, x + root, width / (root - x))


@ops.elementwise
def bump(x):
    return (x + x**2) * exp(-0.5 * x**2)


ACTIVATIONS = {"relu": "relu", "steep_swish": steep_swish, "squareplus": squareplus, "bump": bump}


def difference(formula: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences, which a gradient must agree with."""
    return (formula(x + step) - formula(x - step)) / (2 * step)


@click.command(help=__doc__)
@output_option
@quick_option
def main(output: Path, quick: bool) -> None:
    x = np.linspace(-5, 5, 401)
    data, epochs = load_dataset("digits"), 2 if quick else 25
    accuracies = {}
    for name, activation in ACTIVATIONS.items():
        config = TrainConfig("digits", hidden=(32,), activation=activation, epochs=epochs, batch_size=32)
        accuracies[name] = [record.test_accuracy for record in Trainer(config, data, CPU).fit()]
    own = {name: formula for name, formula in ACTIVATIONS.items() if name != "relu"}
    off = {name: np.abs(formula.backward(1.0, x) - difference(formula, x)).max() for name, formula in own.items()}
    compare(
        *((f"{name}: gradient is off differences by", "-", error) for name, error in off.items()),
        *((f"{name}: test accuracy", "-", found[-1]) for name, found in accuracies.items()),
    )
    with picture(output, "your_own_activation", 12, 3.8) as figure:
        values, slopes, learned = figure.subplots(1, 3)
        for name in ACTIVATIONS:
            formula = own.get(name, ops.relu)
            slope = formula.backward(1.0, x) if name in own else ops.relu_backward(np.ones_like(x), ops.relu(x))
            values.plot(x, formula(x), label=name)
            slopes.plot(x, slope)
            learned.plot(range(1, epochs + 1), [100 * share for share in accuracies[name]])
        values.set(title="The formula", xlabel="x", ylim=(-1.2, 5.2))
        values.legend(loc="upper left")
        slopes.set(title="Its gradient, found by itself", xlabel="x")
        learned.set(title="Digits, 64-32-10", xlabel="epoch", ylabel="test accuracy, %")


if __name__ == "__main__":
    main()
