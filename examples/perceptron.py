"""The perceptron, decks 002 and 003: the lines it learns for AND and OR, why XOR has none, and the two lines that do.

The rule w += (y - y') x, b += y - y' stops after an epoch without a mistake. For XOR there is no such epoch, however
long one waits; a hidden layer of two perceptrons, with deck 003's weights and threshold 1, gets all four rows right.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import picture, plane, scatter_classes

from softgrad import ops

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
GATES = {"AND": np.array([0, 0, 0, 1]), "OR": np.array([0, 1, 1, 1]), "XOR": np.array([0, 1, 1, 0])}
HIDDEN, OUTPUT = np.array([[1, -0.5], [-0.5, 1]]), np.array([[1.0], [1.0]])  # one column for each neuron
THRESHOLD = 1.0


def learn(labels: np.ndarray, epochs: int = 1000) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Weights, bias and the epoch that made no mistake, or None; from zero, a row at a time."""
    w, b = np.zeros((2, 1)), np.zeros(1)
    for epoch in range(1, epochs + 1):
        mistakes = 0
        for x, label in zip(INPUTS, labels, strict=True):
            error = label - ops.heaviside(ops.linear(x, w, b))
            w += error * x[:, None]
            b += error
            mistakes += int(abs(error[0]))
        if not mistakes:
            return w, b, epoch
    return w, b, None


def xor_network(points: np.ndarray) -> np.ndarray:
    """OR[AND(x1, not x2), AND(not x1, x2)]: a neuron fires where its sum reaches the threshold."""
    hidden = ops.linear(points, HIDDEN, np.full(2, -THRESHOLD), activation="heaviside")
    return ops.linear(hidden, OUTPUT, np.full(1, -THRESHOLD), activation="heaviside")[:, 0]


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    learned = {gate: learn(labels) for gate, labels in GATES.items()}
    compare(
        *(
            (f"{gate}: weights, bias, epochs", "-", [*w.ravel(), *b, epoch or "never"])
            for gate, (w, b, epoch) in learned.items()
        ),
        ("XOR by the network", "0 1 1 0", xor_network(INPUTS)),
    )
    x, y, points = plane(-0.5, 1.5, 400)
    regions = {
        f"{gate}: {'found in ' + str(epoch) + ' epochs' if epoch else 'never found (1,000 epochs)'}": (
            GATES[gate],
            ops.linear(points, w, b, activation="heaviside")[:, 0],
        )
        for gate, (w, b, epoch) in learned.items()
    } | {"XOR by two hidden perceptrons": (GATES["XOR"], xor_network(points))}
    with picture(output, "perceptron", 11.5, 3.4) as figure:
        panels = figure.subplots(1, 4, sharex=True, sharey=True)
        for axes, (title, (labels, fires)) in zip(panels, regions.items(), strict=True):
            axes.contourf(x, y, fires.reshape(x.shape), [-0.5, 0.5, 1.5], colors=["#dcebf5", "#f8dcc8"])
            scatter_classes(axes, INPUTS, labels, ["output 0", "output 1"], s=90)
            axes.set(title=title, aspect="equal", xticks=[0, 1], yticks=[0, 1], xlabel="x₁")
        panels[0].set_ylabel("x₂")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, title="wanted (marker), given (background)", loc="outside lower center", ncols=2)


if __name__ == "__main__":
    main()
