"""Decision regions of a linear classifier of several classes, deck 000: the largest of w_c x + b_c decides.

Four classes of points, learned by softmax regression. The boundary between two is a line, where their logits are
equal; the regions are convex. Softmax says how sure the choice is; of two classes it is the sigmoid of the difference.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from matplotlib.colors import ListedColormap
from pictures import COLOURS, picture, plane, scatter_classes

from softgrad import ops
from softgrad.train import SoftmaxRegression

CENTRES = np.array([[-2.0, 1.5], [2.0, 2.0], [0.5, -2.0], [-3.0, -2.5]])
NAMES = [f"class {label}" for label in range(4)]
POINTS_A_CLASS = 60


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), POINTS_A_CLASS)
    points = CENTRES[labels] + 0.9 * rng.standard_normal((len(labels), 2))
    model = SoftmaxRegression(lr=0.5, epochs=300, batch_size=None).fit(points, labels)
    logits = model.decision_function(points)
    two = logits[:, :2]
    compare(
        ("decision", "arg-max of W x + b", model.predict(points)[::POINTS_A_CLASS]),
        ("accuracy", "-", model.score(points, labels)),
        ("mean cross-entropy", "-", ops.softmax_cross_entropy(logits, labels)),
        ("rows of softmax sum to 1, but for", "0", np.abs(ops.softmax(logits).sum(axis=1) - 1).max()),
        (
            "two classes: softmax - sigmoid",
            "0",
            np.abs(ops.softmax(two)[:, 0] - ops.sigmoid(two[:, 0] - two[:, 1])).max(),
        ),
    )
    x, _, grid = plane(-6, 5, 400)
    scores = model.decision_function(grid)
    with picture(output, "decision_regions", 9.6, 4.6) as figure:
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        left.imshow(
            scores.argmax(axis=1).reshape(x.shape),
            origin="lower",
            extent=(-6, 5, -6, 5),
            cmap=ListedColormap(COLOURS[:4]),
            alpha=0.3,
        )
        scatter_classes(left, points, labels, NAMES, s=28, linewidths=0.5)
        left.set(xlabel="x₁", ylabel="x₂", title="The class with the largest logit")
        image = right.imshow(
            ops.softmax(scores).max(axis=1).reshape(x.shape), origin="lower", extent=(-6, 5, -6, 5), vmin=0.25, vmax=1
        )
        right.set(xlabel="x₁", title="Softmax: how probable that class is")
        for axes in (left, right):
            axes.grid(visible=False)
        figure.colorbar(image, ax=right, label="largest probability")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)


if __name__ == "__main__":
    main()
