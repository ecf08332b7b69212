"""MNIST, decks 003 and 004: softmax regression and an MLP, what they have learned, and what they get wrong.

The data set is MNIST where $SOFTGRAD_DATA or the cache has it, else the digits that come with softgrad.
Where deck 003 is wrong: 60,000 training digits are all there are, not as many of each class.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option, quick_option
from pictures import picture, weight_images

from softgrad import ops
from softgrad.ops.backend import CPU
from softgrad.train import Dataset, TrainConfig, Trainer, load_dataset
from softgrad.train.evaluation import Evaluation, Evaluator, class_probabilities

MOST_SHOWN = 16


def train(data: Dataset, hidden: tuple[int, ...], quick: bool) -> tuple[Trainer, Evaluation]:
    trainer = Trainer(TrainConfig(data.name, hidden=hidden, epochs=1 if quick else 3), data, CPU)
    for record in trainer.fit():
        click.echo(f"hidden {hidden}: epoch {record.epoch}, test accuracy {record.test_accuracy:.4f}")
    return trainer, Evaluator(trainer.model, data.test_images, data.test_labels, trainer.inputs).run()


def draw_confusion(output: Path, data: Dataset, evaluations: dict[str, Evaluation]) -> None:
    with picture(output, "mnist_confusion", 11, 5.4) as figure:
        for axes, (name, result) in zip(figure.subplots(1, 2), evaluations.items(), strict=True):
            shares = result.confusion / result.confusion.sum(axis=1, keepdims=True)
            axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)  # the root makes rare mistakes visible
            for (row, column), count in np.ndenumerate(result.confusion):
                colour = "white" if shares[row, column] > 0.4 else "black"
                axes.text(column, row, str(count) if count else "", ha="center", va="center", fontsize=8, color=colour)
            axes.set(xlabel="predicted", ylabel="label", title=f"{name}: {result.accuracy:.2%} right, counts")
            axes.set_xticks(range(data.classes), data.class_names)
            axes.set_yticks(range(data.classes), data.class_names)
            axes.grid(visible=False)


def draw_mistakes(output: Path, data: Dataset, trainer: Trainer) -> None:
    probs = class_probabilities(trainer.model, data.test_images, trainer.inputs)
    predicted = probs.argmax(axis=1)
    losses = ops.self_information(probs[np.arange(len(probs)), data.test_labels])
    wrong = np.flatnonzero(predicted != data.test_labels)
    worst = wrong[np.argsort(-losses[wrong])][:MOST_SHOWN]
    with picture(output, "mnist_mistakes", 10, 3.5) as figure:
        panels = figure.subplots(2, MOST_SHOWN // 2).ravel()
        for axes in panels:
            axes.axis("off")
        for axes, i in zip(panels, worst, strict=False):
            axes.imshow(data.test_images[i].reshape(data.image_shape), cmap="gray_r")
            said, label = data.class_names[predicted[i]], data.class_names[data.test_labels[i]]
            axes.set_title(f"{label}, taken for {said}\nloss {losses[i]:.1f} nats", fontsize=8)
        figure.suptitle(f"The worst of the MLP's {len(wrong)} mistakes on {len(probs):,} test images", fontsize=10)


@click.command(help=__doc__)
@output_option
@quick_option
def main(output: Path, quick: bool) -> None:
    data = load_dataset("digits" if quick else "auto", download=False)
    linear, linear_result = train(data, (), quick)
    mlp, mlp_result = train(data, (64,), quick)
    counts = np.bincount(data.train_labels)
    compare(
        (f"training images of {data.name}", "60,000 a class", counts.sum()),
        ("of each class", "60,000", f"{counts.min()} to {counts.max()}"),
        ("pixels of an image", "784", data.train_images.shape[1]),
        ("test accuracy of softmax regression", "-", linear_result.accuracy),
        ("test accuracy of the MLP", "-", mlp_result.accuracy),
    )
    for trainer, name, title in (
        (linear, "mnist_softmax_weights", "Softmax regression: what speaks for a digit (red) and against it (blue)"),
        (mlp, "mnist_mlp_weights", "MLP: the first 32 of its 64 hidden neurons, red for and blue against"),
    ):
        weights = dict(trainer.model.named(trainer.model.params))["layers.0.weight"]
        weight_images(output, name, weights[:, :32], data.image_shape, title)
    draw_confusion(output, data, {"Softmax regression": linear_result, "MLP with 64 hidden neurons": mlp_result})
    draw_mistakes(output, data, mlp)


if __name__ == "__main__":
    main()
