"""Cross-entropy of four rows over three classes, deck 003: each loss is -log of the probability at the label.

The third row has its largest probability at class 0 and the label 2: it is misclassified, which the loss shows only
as one larger number.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, VERMILION, picture

from softgrad import ops

PROBS = np.array(
    [[0.3792, 0.3104, 0.3104], [0.3072, 0.4147, 0.2780], [0.4263, 0.2248, 0.3490], [0.2668, 0.2978, 0.4354]]
)
LABELS = np.array([0, 1, 2, 2])


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    # The deck's rows are rounded and sum to 0.9999 or 1.0001: no distributions to the last digit, hence no check.
    losses = ops.cross_entropy(ops.one_hot(LABELS, 3), PROBS, validate=False)
    predicted = PROBS.argmax(axis=1)
    compare(
        ("cross-entropy of each row", "0.969692 0.880200 1.05268 0.831490", losses),
        ("mean", "0.9335", losses.mean()),
        ("label", "0 1 2 2", LABELS),
        ("arg-max", "-", predicted),
        ("accuracy", "-", ops.accuracy(PROBS, LABELS)),
    )
    with picture(output, "four_by_three", 8.5, 3.8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
        image = left.imshow(PROBS, vmin=0, vmax=0.5, aspect="auto")
        for (row, column), p in np.ndenumerate(PROBS):
            left.text(column, row, f"{p:.4f}", ha="center", va="center", color="black" if p > 0.25 else "white")
        for row, label in enumerate(LABELS):
            box = {"xy": (label - 0.46, row - 0.44), "width": 0.92, "height": 0.88}
            left.add_patch(type(left.patch)(**box, fill=False, edgecolor=VERMILION, linewidth=3))
        left.set(
            xticks=range(3), yticks=range(4), xlabel="class", ylabel="row", title="Probabilities; the label is framed"
        )
        left.grid(visible=False)
        figure.colorbar(image, ax=left, label="probability")
        colours = [BLUE if hit else VERMILION for hit in predicted == LABELS]
        right.barh(range(4), losses, color=colours)
        for row, (loss, hit) in enumerate(zip(losses, predicted == LABELS, strict=True)):
            right.annotate(f"{loss:.4f}" + ("" if hit else "\nmisclassified"), (0.03, row), va="center", color="white")
        right.set(xlabel="cross-entropy, nats", title=f"Loss, mean {losses.mean():.4f}", xlim=(0, 1.2))
        right.grid(visible=False, axis="y")


if __name__ == "__main__":
    main()
