"""Self-information and entropy of a coin, deck 000.

Where the deck is wrong: it states I(x) = log P(x), which is negative; the surprise is -log P(x), and it is 0 only of
what is certain. Entropy is the average information of a source, not the inverse of it, and is largest for a fair coin.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, VERMILION, picture

from softgrad import ops


def coin_entropy(p: np.ndarray) -> np.ndarray:
    return ops.entropy(np.stack([p, 1 - p], axis=-1), base=2)


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    p = np.linspace(0, 1, 1001)
    h = coin_entropy(p)
    compare(
        ("I of the certain, bits", "0", ops.self_information(1.0, base=2)),
        ("I of p = 1/2, bits", "log p = -1", ops.self_information(0.5, base=2)),
        ("I of p = 1/8, bits", "3", ops.self_information(0.125, base=2)),
        ("I as p goes to 0", "infinite", ops.self_information(0.0, base=2)),
        ("H of a fair coin, bits", "the largest", coin_entropy(np.array([0.5]))),
        ("H is largest at p =", "1/2", p[h.argmax()]),
        ("H at p = 0.1, bits", "-", coin_entropy(np.array([0.1]))),
        ("H of 8 equal classes, bits", "3", ops.entropy(np.full(8, 1 / 8), base=2)),
    )
    with picture(output, "coin", 9.5, 4) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(p[1:], ops.self_information(p[1:], base=2), color=BLUE, linewidth=2)
        marked = np.array([1.0, 0.5, 0.25, 0.125])
        bits = ops.self_information(marked, base=2)
        left.plot(marked, bits, "o", color=VERMILION, clip_on=False)
        for x, y in zip(marked, bits, strict=True):
            left.annotate(
                f"p = {x:g}: {y:g} bit{'' if y == 1 else 's'}",
                (x, y),
                (-2, 20) if x == 1 else (8, 7),
                textcoords="offset points",
                ha="right" if x == 1 else "left",
            )
        left.set(
            xlim=(0, 1),
            ylim=(0, 8),
            xlabel="probability p of the event",
            ylabel="self-information, bits",
            title="-log₂ p: the rarer, the more surprising",
        )
        right.plot(p, h, color=BLUE, linewidth=2)
        right.plot([0.5], [1], "o", color=VERMILION)
        right.annotate("fair coin: 1 bit", (0.5, 1), (0, -34), textcoords="offset points", ha="center")
        right.set(
            xlim=(0, 1),
            ylim=(0, 1.05),
            xlabel="probability p of heads",
            ylabel="entropy, bits",
            title="H(p) = -p log₂ p - (1-p) log₂ (1-p)",
        )


if __name__ == "__main__":
    main()
