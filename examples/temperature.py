"""Temperature, deck 000: one distribution at several temperatures, and 100,000 draws from each.

Where the deck is wrong: p^(1/T) alone is no distribution, it must be divided by its sum. Softmax of
log(p) / T does both. At T = 0 all is on the most probable class, at infinity every class is as probable.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, ORANGE, picture

from softgrad import ops

P = np.array([0.45, 0.25, 0.15, 0.10, 0.05])
TEMPERATURES = (0.0, 0.5, 1.0, 2.0, 10.0, np.inf)
DRAWS = 100_000


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    logits = np.log(P)
    exact = {t: ops.softmax(logits, temperature=t) for t in TEMPERATURES}
    draws = {t: ops.sample_categorical(logits, temperature=t, shape=DRAWS, rng=0) for t in TEMPERATURES}
    shares = {t: np.bincount(draws[t], minlength=len(P)) / DRAWS for t in TEMPERATURES}
    compare(
        ("sum of p^(1/T), T = 0.5", "1", np.sum(P**2)),
        ("sum of p^(1/T), T = 2", "1", np.sum(np.sqrt(P))),
        ("p^(1/T) over its sum, T = 2", "-", np.sqrt(P) / np.sum(np.sqrt(P))),
        ("softmax(log(p) / T), T = 2", "-", exact[2.0]),
        ("T = 0", "the most probable", exact[0.0]),
        ("T = 1", "p", exact[1.0]),
        ("T = inf", "uniform", exact[np.inf]),
        *((f"entropy in bits, T = {t:g}", "-", ops.entropy(exact[t], base=2)) for t in TEMPERATURES),
        *((f"largest error of a share, T = {t:g}", "-", np.abs(shares[t] - exact[t]).max()) for t in TEMPERATURES),
    )
    with picture(output, "temperature", 11, 5.4) as figure:
        panels = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, t in zip(panels.ravel(), TEMPERATURES, strict=True):
            classes = np.arange(len(P))
            axes.bar(classes - 0.2, exact[t], 0.4, color=BLUE, label="probability")
            axes.bar(classes + 0.2, shares[t], 0.4, color=ORANGE, label="share of 100,000 draws")
            name = "∞" if np.isinf(t) else f"{t:g}"
            axes.set(title=f"T = {name}, entropy {ops.entropy(exact[t], base=2):.2f} bits", ylim=(0, 1.05))
            axes.set_xticks(classes, [f"{p:.2f}" for p in P])
            axes.grid(visible=False, axis="x")
        figure.supxlabel("class, by its probability p at T = 1")
        figure.supylabel("probability")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)


if __name__ == "__main__":
    main()
