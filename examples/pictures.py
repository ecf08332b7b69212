"""The style of the examples' pictures, and the file each one ends in; pyplot and its state are not used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart too.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#777777"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "figure.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "image.cmap": "cividis",
}


@contextmanager
def picture(folder: Path, name: str, width: float, height: float) -> Iterator[Figure]:
    """A figure of that many inches to draw in, written at the end to ``folder/name.png`` with 150 dots an inch."""
    with mpl.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        yield figure
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=150)
    click.echo(f"picture: {path}")


def plane(low: float, high: float, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square grid: its two axes' coordinates, and its points, shape (count * count, 2)."""
    x, y = np.meshgrid(np.linspace(low, high, count), np.linspace(low, high, count))
    return x, y, np.stack([x.ravel(), y.ravel()], axis=1)


def scatter_classes(axes: Any, points: np.ndarray, labels: np.ndarray, names: list[str], **options: Any) -> None:
    """Points by class, each class with a colour and a marker of its own."""
    for label, name in enumerate(names):
        chosen = points[labels == label]
        style = {"color": COLOURS[label], "marker": MARKERS[label], "edgecolors": "white", "zorder": 3, **options}
        axes.scatter(chosen[:, 0], chosen[:, 1], label=name, **style)


def weight_images(folder: Path, file: str, weights: np.ndarray, shape: tuple[int, int], title: str) -> None:
    """An image of each column of the weights, from blue, below 0, over white to red, on one scale for all."""
    limit = np.quantile(np.abs(weights), 0.999)
    columns = 5 if weights.shape[1] <= 10 else 8
    rows = -(-weights.shape[1] // columns)
    with picture(folder, file, 1.35 * columns + 1.2, 1.5 * rows + 0.5) as figure:
        panels = figure.subplots(rows, columns)
        for i, (axes, column) in enumerate(zip(panels.ravel(), weights.T, strict=True)):
            image = axes.imshow(column.reshape(shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set(xticks=[], yticks=[], title=f"{i}")
        figure.colorbar(image, ax=panels, label="weight", shrink=0.8)
        figure.suptitle(title, fontsize=10)
