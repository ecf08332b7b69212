"""Hyperplanes, deck 000: the line w x + w0 = 0 and its normal in 2-D, the plane and its normal in 3-D.

The normal w points to the side where w x + w0 is positive; |w0| / |w| is how far the hyperplane lies from the origin.
With a 1 appended to every point the bias becomes one more weight, and the affine map a linear one.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, VERMILION, picture, plane, scatter_classes

from softgrad import ops

NORMAL, BIAS = np.array([1.0, 2.0]), np.array([-2.0])
POINTS = np.array([[0.0, 0.0], [-1.0, 1.0], [2.0, -1.0], [2.0, 1.5], [0.5, 2.0], [3.0, 0.5]])
NORMAL_3D, BIAS_3D = np.array([1.0, 2.0, 2.0]), -3.0


def rank_of(normal: np.ndarray) -> int:
    """How many dimensions one equation takes away."""
    return int(np.linalg.matrix_rank(normal[None]))


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    scores = ops.linear(POINTS, NORMAL[:, None], BIAS)[:, 0]
    with_one = np.column_stack([POINTS, np.ones(len(POINTS))])
    augmented = ops.linear(with_one, np.append(NORMAL, BIAS)[:, None])[:, 0]
    sides = ops.heaviside(scores)
    compare(
        ("dimension in 2-D and 3-D", "a line, a plane", [2 - rank_of(NORMAL), 3 - rank_of(NORMAL_3D)]),
        ("normal, bias in 2-D", "-", [*NORMAL, *BIAS]),
        ("w x + w0 of the points", "-", scores),
        ("<theta | (x, 1)>", "the same", augmented),
        ("side", "sign of w x + w0", sides),
        ("distance from the origin, 2-D", "-", np.abs(BIAS) / np.linalg.norm(NORMAL)),
        ("distance from the origin, 3-D", "-", [abs(BIAS_3D) / np.linalg.norm(NORMAL_3D)]),
    )
    foot = -BIAS * NORMAL / (NORMAL @ NORMAL)
    with picture(output, "hyperplane", 10, 4.6) as figure:
        axes = figure.add_subplot(1, 2, 1)
        x = np.array([-2.0, 4.0])
        axes.plot(x, -(BIAS + NORMAL[0] * x) / NORMAL[1], color="black", label="w x + w₀ = 0")
        names = ["w x + w₀ < 0", "w x + w₀ > 0"]
        scatter_classes(axes, POINTS, sides.astype(int), names, s=60)
        arrow = {"arrowstyle": "-|>", "color": "black", "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", foot + NORMAL / 2, foot, arrowprops=arrow)
        axes.annotate("w / 2, normal to the line", foot + NORMAL / 2, (6, 4), textcoords="offset points")
        axes.set(
            xlim=(-2, 4),
            ylim=(-2, 3),
            aspect="equal",
            xlabel="x₁",
            ylabel="x₂",
            title="In 2-D a line: w = (1, 2), w₀ = -2",
        )
        axes.legend(loc="lower left", frameon=True)

        axes = figure.add_subplot(1, 2, 2, projection="3d")
        x, y, _ = plane(-2, 3, 20)
        axes.plot_surface(x, y, -(BIAS_3D + NORMAL_3D[0] * x + NORMAL_3D[1] * y) / NORMAL_3D[2], color=BLUE, alpha=0.5)
        foot = -BIAS_3D * NORMAL_3D / (NORMAL_3D @ NORMAL_3D)
        axes.quiver(*foot, *NORMAL_3D, color=VERMILION, linewidth=2.5, arrow_length_ratio=0.15)
        axes.text(*(foot + NORMAL_3D + (-2.2, 0.0, 0.3)), "normal w", color=VERMILION)
        axes.set(xlim=(-2, 3), ylim=(-2, 3), zlim=(-3, 5), xlabel="x₁", ylabel="x₂", zlabel="x₃", box_aspect=(5, 5, 8))
        axes.set_title("In 3-D a plane: w = (1, 2, 2), w₀ = -3")
        axes.view_init(elev=18, azim=-60)


if __name__ == "__main__":
    main()
