"""Softmax and loss of three logits, deck 004: (-1.45, -7.82, -3.78), label 0.

Where the deck is wrong: its -6.4377 is the logarithm of 0.0016, a rounded number; log-softmax gives -6.4644 without
a detour over the probability. Of the label's class, whose logarithm alone enters the loss, both give 0.0944.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, VERMILION, picture

from softgrad import ops

LOGITS = np.array([-1.45, -7.82, -3.78])


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    probs, logs = ops.softmax(LOGITS), ops.log_softmax(LOGITS)
    loss, grad = ops.softmax_cross_entropy_with_grad(LOGITS[None], [0])
    compare(
        ("softmax", "0.9099 0.0016 0.0885", probs),
        ("log of the rounded softmax", "-0.0944 -6.4377 -2.4247", np.log([0.9099, 0.0016, 0.0885])),
        ("log-softmax", "-", logs),
        ("loss", "0.0944", loss),
        ("gradient, softmax - one-hot", "-", grad[0]),
    )
    with picture(output, "three_logits", 10, 3.4) as figure:
        values = {"logit z": LOGITS, "softmax(z)": probs, "-log softmax(z), nats": -logs}
        for axes, (name, numbers) in zip(figure.subplots(1, 3), values.items(), strict=True):
            axes.bar(range(3), numbers, 0.6, color=[VERMILION, BLUE, BLUE])
            axes.axhline(0, color="black", linewidth=0.8)
            for x, number in enumerate(numbers):
                below = number < 0
                axes.annotate(
                    f"{round(number, 4):g}",
                    (x, number),
                    (0, -3 if below else 3),
                    textcoords="offset points",
                    ha="center",
                    va="top" if below else "bottom",
                )
            axes.set(title=name, xlabel="class", xticks=range(3))
            axes.margins(y=0.15)
            axes.grid(visible=False, axis="x")
        figure.suptitle("The label is class 0 (vermilion): its -log softmax is the loss", fontsize=10)


if __name__ == "__main__":
    main()
