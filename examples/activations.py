"""Activation functions, deck 002: each one with its derivative, and the limits of both.

The deck tables sigmoid, tanh, ReLU and ELU; here are all that `ops.ACTIVATIONS` lists, Heaviside first, which has no
derivative to learn from. The limits are computed at -inf and inf themselves, not far out.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option, text
from pictures import BLUE, VERMILION, picture

from softgrad import ops

DECK = {"sigmoid": "0; 1 | 0; 0", "tanh": "-1; 1 | 0; 0", "relu": "0; z | 0; 1", "elu": "-alpha; z | 0; 1"}


def value_and_derivative(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """f(x), and f'(x) if f has a derivative: the backward pass of ones."""
    y = getattr(ops, name)(x)
    if ops.ACTIVATIONS[name].backward is None:
        return y, None
    saved = x if ops.ACTIVATIONS[name].saved == "input" else y
    return y, getattr(ops, f"{name}_backward")(np.ones_like(x), saved)


def limits(name: str) -> str:
    values, slopes = value_and_derivative(name, np.array([-np.inf, np.inf]))
    both = [values] if slopes is None else [values, slopes]
    return " | ".join("; ".join(text(limit + 0.0) for limit in pair) for pair in both)  # 0.0 makes -0 a plain 0


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    click.echo("limits of f at -inf; inf | limits of f' there")
    compare(*((name, DECK.get(name, "-"), limits(name)) for name in ops.ACTIVATIONS))

    x = np.linspace(-4, 4, 801)  # 0 is among them: the step of Heaviside is at the right place
    with picture(output, "activations", 11, 9) as figure:
        panels = figure.subplots(4, 5, sharex=True, sharey=True).ravel()
        for axes, name in zip(panels, ops.ACTIVATIONS, strict=True):
            y, slope = value_and_derivative(name, x)
            axes.axhline(0, color="black", linewidth=0.6)
            axes.axvline(0, color="black", linewidth=0.6)
            axes.plot(x, y, color=BLUE, linewidth=2)
            if slope is not None:
                axes.plot(x, slope, color=VERMILION, linewidth=1.6, linestyle="--")
            axes.set(title=name, xlim=(-4, 4), ylim=(-2.2, 4.2), xticks=range(-4, 5, 2), yticks=range(-2, 5, 2))
        figure.supxlabel("x")
        lines = panels[1].get_lines()[-2:]
        figure.legend(lines, ["f(x)", "f′(x)"], loc="outside upper center", ncols=2)


if __name__ == "__main__":
    main()
