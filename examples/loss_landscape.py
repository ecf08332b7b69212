"""The loss landscape of a small MLP, deck 002: a slice through its trained weights along two random directions.

A network's weights may be scaled without changing what it computes, so a plain random direction would say nothing; each
neuron's part of it is given the norm of that neuron's weights (Li et al. 2018, arXiv:1712.09913). Biases stay.
"""

from pathlib import Path

import click
import numpy as np
from deck import compare, output_option, quick_option
from pictures import VERMILION, picture

from softgrad import ops
from softgrad.ops.backend import CPU
from softgrad.train import TrainConfig, Trainer, load_dataset
from softgrad.train.model import MLP, Batch

REACH = 1.0  # in units of the weights' own norms


def direction(model: MLP, rng: np.random.Generator) -> np.ndarray:
    """Like the model's params: normal numbers, each neuron's with the norm of its weights."""
    flat = model.zeros()
    for (name, part), (_, weights) in zip(model.named(flat), model.named(model.params), strict=True):
        if name.endswith("weight"):
            draw = rng.standard_normal(weights.shape)
            part[...] = draw * np.linalg.norm(weights, axis=0) / np.linalg.norm(draw, axis=0)
    return flat


@click.command(help=__doc__)
@output_option
@quick_option
def main(output: Path, quick: bool) -> None:
    data = load_dataset("digits")
    config = TrainConfig("digits", hidden=(32,), activation="tanh", epochs=2 if quick else 30, dtype="float64")
    trainer = Trainer(config, data, CPU)
    record = list(trainer.fit())[-1]
    model, inputs, images = trainer.model, trainer.inputs, data.train_images
    batch = Batch(model, len(images))
    ops.gather_scale(images, np.arange(len(images)), scale=inputs.scale, shift=inputs.shift, out=batch.inputs)
    trained, rng = model.params.copy(), np.random.default_rng(0)
    along, across = direction(model, rng), direction(model, rng)
    steps = np.linspace(-REACH, REACH, 11 if quick else 41)
    losses = np.empty((len(steps), len(steps)))
    for (row, column), _ in np.ndenumerate(losses):
        model.params[...] = trained + steps[column] * along + steps[row] * across
        losses[row, column] = ops.softmax_cross_entropy(model.forward(batch), data.train_labels)
    middle = len(steps) // 2
    compare(
        ("parameters", "-", trained.size),
        ("test accuracy", "-", record.test_accuracy),
        ("loss at the trained weights", "a hollow", losses[middle, middle]),
        ("lowest loss of the slice", "-", losses.min()),
        ("highest loss of the slice", "-", losses.max()),
    )
    with picture(output, "loss_landscape", 11, 4.8) as figure:
        axes = figure.add_subplot(1, 2, 1)
        levels = axes.contourf(steps, steps, losses, 20)
        axes.contour(steps, steps, losses, 20, colors="white", linewidths=0.4)
        axes.plot(0, 0, "*", color=VERMILION, markeredgecolor="white", markersize=16)
        axes.annotate("trained", (0, 0), (0, -22), textcoords="offset points", ha="center", color="white")
        axes.set(
            aspect="equal", xlabel="first direction", ylabel="second direction", title="Loss around the trained weights"
        )
        axes.grid(visible=False)
        figure.colorbar(levels, label="cross-entropy, nats")
        axes = figure.add_subplot(1, 2, 2, projection="3d")
        axes.plot_surface(*np.meshgrid(steps, steps), losses, cmap="cividis", rstride=1, cstride=1, linewidth=0)
        ticks = [-REACH, 0, REACH]
        axes.set(
            xlabel="first direction",
            ylabel="second direction",
            xticks=ticks,
            yticks=ticks,
            title="The same as height",
        )
        axes.view_init(elev=35, azim=-55)


if __name__ == "__main__":
    main()
