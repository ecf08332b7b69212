"""Noise of mini-batches, deck 002: the larger the batch, the less its gradient strays from that of all images.

Softmax regression on the digits that come with softgrad. Of batches drawn at random the gradient is off by an amount
that falls as 1 / sqrt(size): four times the images, half the noise. Training
shows the same noise, and its price: larger batches make fewer steps.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option, quick_option
from pictures import BLUE, SKY, VERMILION, picture

from softgrad import ops
from softgrad.ops.backend import CPU
from softgrad.train import Dataset, TrainConfig, Trainer, load_dataset
from softgrad.train.data.standardise import Standardisation

SIZES = (1, 4, 16, 64, 256, 1024)
TRAINED = {4: SKY, 32: VERMILION, 256: BLUE}


def noise_of_gradients(data: Dataset, draws: int) -> list[float]:
    """For each size |gradient of a batch - of all| / |of all|, the root mean square over random batches."""
    inputs, rng = Standardisation.of(data.train_images), np.random.default_rng(0)
    x, labels = data.train_images * inputs.scale + inputs.shift, data.train_labels
    w = rng.standard_normal((x.shape[1], data.classes)) / np.sqrt(x.shape[1])

    def gradient(chosen: np.ndarray) -> np.ndarray:
        _, grad = ops.softmax_cross_entropy_with_grad(ops.linear(x[chosen], w), labels[chosen])
        return ops.linear_backward(grad, None, x[chosen], w, input_grad=False)[1]

    full = gradient(np.arange(len(x)))
    noise = []
    for size in SIZES:
        strays = [np.linalg.norm(gradient(rng.integers(len(x), size=size)) - full) for _ in range(draws)]
        noise.append(float(np.sqrt(np.mean(np.square(strays))) / np.linalg.norm(full)))
    return noise


def losses_by_batch(data: Dataset, size: int, epochs: int) -> np.ndarray:
    """The images seen and the mean loss of each batch as it is learned from, by plain gradient descent."""
    config = TrainConfig(
        "digits", hidden=(), optimizer="sgd", schedule="constant", batch_size=size, epochs=epochs, lr=0.02
    )
    sums = []  # of the losses of the epoch so far, with how many images and which epoch
    notes = Trainer(config, data, CPU).fit(
        on_batch=lambda trainer: sums.append((trainer.progress.epoch, trainer.rows_seen, trainer.progress.loss_sum))
    )
    list(notes)
    epoch, seen, total = np.array(sums).T
    first = np.diff(epoch, prepend=-1) > 0
    rows, losses = (np.where(first, sequence, np.diff(sequence, prepend=0.0)) for sequence in (seen, total))
    return np.stack([rows.cumsum(), losses / rows])


@click.command(help=__doc__)
@output_option
@quick_option
def main(output: Path, quick: bool) -> None:
    data = load_dataset("digits")
    noise = noise_of_gradients(data, draws=20 if quick else 200)
    slope = np.polyfit(np.log(SIZES), np.log(noise), 1)[0]
    compare(
        *((f"noise of batches of {size}", "-", value) for size, value in zip(SIZES, noise, strict=True)),
        ("noise goes as size to the power", "falls", slope),
    )
    with picture(output, "batch_noise", 10.5, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        left.loglog(SIZES, noise, "o", markersize=7, label="measured")
        left.loglog(SIZES, noise[0] / np.sqrt(SIZES), "--", color="black", label="1 / √size, through the first")
        left.set(
            xlabel="batch size",
            ylabel="noise, relative to the gradient",
            title="|gradient of a batch - of all| / |of all|",
        )
        left.minorticks_off()
        left.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        left.set_yticks([0.125, 0.25, 0.5, 1, 2, 4], ["1/8", "1/4", "1/2", "1", "2", "4"])
        left.legend()
        for size, colour in TRAINED.items():
            seen, losses = losses_by_batch(data, size, epochs=1 if quick else 3)
            right.plot(seen, losses, color=colour, linewidth=0.8 if size == 4 else 1.8, label=f"batches of {size}")
        right.set(xlim=0, ylim=0, xlabel="images seen", ylabel="loss of the batch, nats")
        right.set_title("Training with one learning rate: fewer steps, less noise")
        right.legend()


if __name__ == "__main__":
    main()
