"""The weather code, decks 004 and 000: how many bits a report takes, and entropy as the bound that no code passes.

Five kinds of weather are sent from city A by a fixed code, by the code that deck 004 gives, by Huffman's, and by the
ideal lengths -log2 p; then city B, with other weather, is sent by A's code.
Where deck 000 is wrong: the length of a code word is log2(1 / q), not 1 / q.
"""

from heapq import heapify, heappop, heappush
from pathlib import Path

import click
import numpy as np
from deck import compare, output_option
from pictures import BLUE, GREEN, GREY, ORANGE, VERMILION, picture

from softgrad import ops

WEATHER = ("sunny", "cloudy", "partly\ncloudy", "rain", "storm")
A = np.array([0.25, 0.45, 0.2, 0.09, 0.01])
B = np.array([0.3, 0.2, 0.2, 0.25, 0.05])
FIXED = np.full(5, 3)
GIVEN = np.array([len(word) for word in ("1100", "0", "10", "1101", "1110")])


def huffman_lengths(probabilities: np.ndarray) -> np.ndarray:
    """The length of each code word: the two rarest groups become one, a bit longer, until all are (Huffman 1952)."""
    lengths = np.zeros(len(probabilities), int)
    groups = [(float(p), [i]) for i, p in enumerate(probabilities)]
    heapify(groups)
    while len(groups) > 1:
        (p, first), (q, second) = heappop(groups), heappop(groups)
        lengths[first + second] += 1
        heappush(groups, (p + q, first + second))
    return lengths


@click.command(help=__doc__)
@output_option
def main(output: Path) -> None:
    huffman, ideal = huffman_lengths(A), ops.self_information(A, base=2)
    entropy, crossed = ops.entropy(A, base=2), ops.cross_entropy(B, A, base=2)
    compare(
        ("fixed code, bits a report", "3", A @ FIXED),
        ("given code", "2.25", A @ GIVEN),
        ("Huffman's code", "-", A @ huffman),
        ("ideal lengths", "2 1.15 2.32 3.47 6.64", ideal),
        ("entropy of A", "1.86", entropy),
        ("sum of p (1 / p)", "length 1 / q", A @ (1 / A)),
        ("entropy of B", "-", ops.entropy(B, base=2)),
        ("cross-entropy of B under A", "2.5", crossed),
        ("KL divergence of B from A", "-", ops.kl_divergence(B, A, base=2)),
    )
    with picture(output, "weather_code", 11, 4.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        codes = {"fixed": (FIXED, GREY), "given": (GIVEN, ORANGE), "Huffman": (huffman, GREEN), "ideal": (ideal, BLUE)}
        for i, (name, (lengths, colour)) in enumerate(codes.items()):
            left.bar(np.arange(5) + 0.2 * (i - 1.5), lengths, 0.2, color=colour, label=name)
        left.set_xticks(range(5), [f"{name}\n{p:g}" for name, p in zip(WEATHER, A, strict=True)])
        left.set(xlabel="weather, with its probability in A", ylabel="length of the code word, bits")
        left.set_title("Long words for rare weather")
        left.legend(ncols=2, loc="upper left")
        bars = {name: (A @ lengths, colour) for name, (lengths, colour) in codes.items()}
        bars |= {"ideal of A,\nsent from B": (crossed, VERMILION)}
        right.bar(range(5), [value for value, _ in bars.values()], color=[colour for _, colour in bars.values()])
        for x, (value, _) in enumerate(bars.values()):
            right.annotate(f"{value:.4g}", (x, value), (0, 3), textcoords="offset points", ha="center")
        right.axhline(entropy, color="black", linestyle="--", linewidth=1)
        right.set_xticks(range(5), bars)
        right.set(ylim=(0, 3.4), ylabel="bits a report, on average", title="No code goes below the entropy (dashed)")
        for axes in (left, right):
            axes.grid(visible=False, axis="x")


if __name__ == "__main__":
    main()
