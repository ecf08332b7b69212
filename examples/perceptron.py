"""The perceptron, decks 002 and 003: the lines it learns for AND and OR, why XOR has none, and the two lines that do.

The rule w += (y - y') x, b += y - y' stops after an epoch without a mistake. For XOR there is no such epoch, however
long one waits; a hidden layer of two perceptrons, with deck 003's weights and threshold 1, gets all four rows right.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import picture, plane, scatter_classes

from softgrad.train.linear.logic_nets import GATES, INPUTS, XOR_LAYERS, learn_gate, threshold_network


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    x, y, points = plane(-0.5, 1.5, 400)
    rows, regions = [], {}
    for gate in ("and", "or", "xor"):
        name, model = gate.upper(), learn_gate(gate)
        found = model.score(INPUTS, GATES[gate]) == 1
        epochs = model.n_iter_ if found else "never"
        rows.append((f"{name}: weights, bias, epochs", "-", [*model.coef_[0], *model.intercept_, epochs]))
        title = f"{name}: found in {epochs} epochs" if found else f"{name}: not found in {model.n_iter_:,} epochs"
        regions[title] = GATES[gate], model.predict(points)
    regions["XOR by two hidden perceptrons"] = GATES["xor"], threshold_network(points, XOR_LAYERS)
    compare(*rows, ("XOR by the network", "0 1 1 0", threshold_network(INPUTS, XOR_LAYERS)[:, 0]))

    with picture(output, "perceptron", 11.5, 3.4) as figure:
        panels = figure.subplots(1, 4, sharex=True, sharey=True)
        for axes, (title, (labels, fires)) in zip(panels, regions.items(), strict=True):
            axes.contourf(x, y, fires.reshape(x.shape), [-0.5, 0.5, 1.5], colors=["#dcebf5", "#f8dcc8"])
            scatter_classes(axes, np.array(INPUTS), np.array(labels), ["output 0", "output 1"], s=90)
            axes.set(title=title, aspect="equal", xticks=[0, 1], yticks=[0, 1], xlabel="x₁")
        panels[0].set_ylabel("x₂")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, title="wanted (marker), given (background)", loc="outside lower center", ncols=2)


if __name__ == "__main__":
    main()
