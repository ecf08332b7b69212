"""AND as a softmax of two classes, deck 001: a 1 beside the inputs, a weight matrix, probabilities, the loss.

Softmax of two classes is the sigmoid of the logits' difference, and so the boundary is where the two logits are equal.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import picture, plane, scatter_classes

from softgrad import ops

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
WEIGHTS = np.array([[-1, 1], [-1, 1], [2, -1]], float)  # the last row is the bias
LABELS = np.array([0, 0, 0, 1])
DECK = ("0.95 0.05", "0.73 0.27", "0.73 0.27", "0.27 0.73")


def logits_of(points: np.ndarray) -> np.ndarray:
    return ops.linear(points, WEIGHTS[:2], WEIGHTS[2])


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    logits = logits_of(INPUTS)
    probs = ops.softmax(logits)
    losses = ops.softmax_cross_entropy(logits, LABELS, reduction="none")
    apart = np.abs(ops.sigmoid(logits[:, 1] - logits[:, 0]) - probs[:, 1]).max()
    compare(
        *((f"P of {x:.0f} AND {y:.0f} = 0, 1", DECK[i], probs[i]) for i, (x, y) in enumerate(INPUTS)),
        ("arg-max", "0 0 0 1", probs.argmax(axis=1)),
        ("cross-entropy of each row", "-", losses),
        ("mean cross-entropy", "-", ops.softmax_cross_entropy(logits, LABELS)),
        ("softmax - sigmoid(z1 - z0), at most", "0", apart),
    )
    with picture(output, "and_softmax", 5.0, 4.4) as figure:
        axes = figure.add_subplot()
        x, y, points = plane(-0.5, 1.5)
        true = ops.softmax(logits_of(points))[:, 1].reshape(x.shape)
        levels = axes.contourf(x, y, true, np.linspace(0, 1, 11), alpha=0.8)
        axes.contour(x, y, true, [0.5], colors="white", linewidths=2, linestyles="--")
        scatter_classes(axes, INPUTS, LABELS, ["AND is 0", "AND is 1"], s=130, edgecolors="white", linewidths=1.5)
        for point, p in zip(INPUTS, probs[:, 1], strict=True):
            axes.annotate(f"{p:.3f}", point, (9, 9), textcoords="offset points", color="white" if p < 0.6 else "black")
        axes.set(
            aspect="equal",
            xlabel="x₁",
            ylabel="x₂",
            xticks=[0, 1],
            yticks=[0, 1],
            title="P(AND is 1); dashed: one half",
        )
        axes.grid(visible=False)
        figure.colorbar(levels, label="probability of class 1")
        figure.legend(loc="outside lower center", ncols=2)


if __name__ == "__main__":
    main()
