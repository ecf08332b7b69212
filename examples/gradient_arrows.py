"""The gradient as arrows, deck 003: f(x, y) = x^2 y + y, whose gradient (2 x y, x^2 + 1) is (2, 2) at (1, 1).

An arrow points to where f grows fastest, is as long as f is steep there, and stands at a right angle to the contour. It
is computed by automatic differentiation, and compared with the formula and with differences.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import VERMILION, picture, plane

from softgrad.ops import autodiff

STEP = 1e-6


def f(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x**2 * y + y


def gradient(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At every point: each term of the sum depends on its own point alone."""
    return autodiff.grad(lambda x, y: autodiff.sum(f(x, y)), argnums=(0, 1))(x, y)


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    x, y = 1.0, 1.0
    by_hand = 2 * x * y, x**2 + 1
    differences = (f(x + STEP, y) - f(x - STEP, y)) / (2 * STEP), (f(x, y + STEP) - f(x, y - STEP)) / (2 * STEP)
    compare(
        ("f(1, 1)", "-", f(x, y)),
        ("gradient at (1, 1)", "drawn there", gradient(x, y)),
        ("(2xy, x^2 + 1)", "-", by_hand),
        ("by differences", "-", [round(slope, 6) for slope in differences]),
    )
    with picture(output, "gradient_arrows", 11, 4.8) as figure:
        axes = figure.add_subplot(1, 2, 1)
        x, y, _ = plane(-2, 2, 201)
        levels = axes.contourf(x, y, f(x, y), np.arange(-10, 11, 2))
        axes.contour(x, y, f(x, y), np.arange(-10, 11, 2), colors="white", linewidths=0.5)
        x, y, _ = plane(-1.6, 1.6, 9)
        axes.quiver(x, y, *gradient(x, y), color="white", angles="xy", scale_units="xy", scale=18, width=0.005)
        axes.quiver(1, 1, 2, 2, color=VERMILION, angles="xy", scale_units="xy", scale=4.5, width=0.012)
        title = "Gradient of x²y + y; that at (1, 1), (2, 2),\nis drawn four times as long"
        axes.set(aspect="equal", xlabel="x", ylabel="y", title=title)
        axes.grid(visible=False)
        figure.colorbar(levels, label="f(x, y)")

        axes = figure.add_subplot(1, 2, 2, projection="3d", computed_zorder=False)
        x, y, _ = plane(-2, 2, 41)
        axes.plot_surface(x, y, f(x, y), cmap="cividis", alpha=0.8, rstride=2, cstride=2, linewidth=0, zorder=1)
        # Over a quarter of (2, 2) the tangent climbs by a quarter of the gradient's square, 8.
        arrow = {"linewidth": 3, "arrow_length_ratio": 0.3, "zorder": 2}
        axes.quiver(1, 1, 2, 0.5, 0.5, 2, color=VERMILION, **arrow)
        axes.quiver(1, 1, -10, 0.5, 0.5, 0, color="black", **arrow)
        axes.scatter(1, 1, 2, color=VERMILION, s=40, zorder=2)
        axes.set(xlabel="x", ylabel="y", zlim=(-10, 10), xticks=range(-2, 3), yticks=range(-2, 3))
        axes.set_title("f as height: its slope at (1, 1), and the gradient below")
        axes.view_init(elev=25, azim=-60)


if __name__ == "__main__":
    main()
