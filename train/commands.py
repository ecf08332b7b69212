"""The commands `softgrad train`, `evaluate`, `predict` and `doctor`: options in, one call, a report out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softgrad.failures import Command
from softgrad.options import (
    INTERRUPTED,
    ActivationName,
    FilePath,
    HiddenSizes,
    LazyChoice,
    data_dir_option,
    import_option,
    json_option,
    option,
    setting,
)
from softgrad.terminal import say_error

if TYPE_CHECKING:
    from softgrad.train import Run


@click.command(
    cls=Command,
    short_help="Train a network and keep it in a run directory.",
    sections={
        "Data": ("dataset", "data_dir"),
        "Model": ("model", "hidden", "activation", "imports"),
        "Optimisation": (
            "optimizer", "lr", "momentum", "beta1", "beta2", "weight_decay", "batch_size", "epochs", "seed"
        ),
        "Schedule of the learning rate": ("schedule", "warmup_steps", "decay", "decay_steps"),
        "Computation": ("backend", "dtype"),
        "Output": ("run_dir", "resume", "as_json", "quiet"),
    },
)  # fmt: skip
@setting(
    "--dataset",
    type=LazyChoice("dataset"),
    help="What to learn. auto: MNIST if it can be had, else the digits that come with softgrad.",
)
@data_dir_option
@setting("--model", type=LazyChoice("model"), help="A multi-layer perceptron, or a linear model.")
@setting("--hidden", type=HiddenSizes(), help="Sizes of the hidden layers of an mlp.")
@setting("--activation", type=ActivationName(), help="Of the hidden layers; a formula of your own as module:name.")
@setting("--optimizer", type=LazyChoice("optimizer"), help="How weights are updated.")
@setting("--lr", type=float, help="Largest learning rate of the schedule.")
@setting("--momentum", type=float, help="How much of the velocity is kept at a step.")
@setting("--beta1", type=float, help="How much of the mean of gradients is kept at a step.")
@setting("--beta2", type=float, help="How much of the mean of their squares is kept at a step.")
@setting("--weight-decay", type=float, help="Factor of the L2 penalty; of adamw the decoupled decay.")
@setting("--batch-size", type=int, help="Images an update.")
@setting("--epochs", type=int, help="Passes over the training images.")
@setting("--seed", type=int, help="Of the first weights and of the shuffles.")
@setting("--schedule", type=LazyChoice("schedule"), help="How the learning rate changes.")
@setting("--warmup-steps", type=int, help="Steps in which it climbs before the schedule begins.")
@setting("--decay", type=float, help="Factor on the learning rate over the decay steps.")
@setting("--decay-steps", type=int, help="Steps of one decay.")
@setting("--backend", type=LazyChoice("backend"), help="Where to compute.")
@setting("--dtype", type=LazyChoice("dtype"), help="Of weights and arithmetic; with bfloat16, of storage.")
@click.option("--run-dir", type=FilePath(), help="Where to write.  [default: a new one under runs/]")
@click.option("--resume", type=FilePath(), metavar="RUN_DIR", help="Go on with an interrupted run.")
@import_option
@json_option
@click.option("--quiet", is_flag=True, help="Print only the result.")
@click.pass_context
def train(
    context: click.Context,
    /,
    data_dir: Path | None,
    run_dir: Path | None,
    resume: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a multi-layer perceptron, or a linear model, and write its weights and metrics to a run directory.

    \b
    softgrad train                                 everything at its default
    softgrad train --dataset mnist --epochs 5      insist on MNIST
    softgrad train --model softmax                 softmax regression
    softgrad train --optimizer adamw --schedule one-cycle --lr 0.003
    softgrad train --resume runs/20260101-120000-mnist

    A setting whose default is for some optimizers or schedules belongs to these alone: with another it is refused.
    """
    from softgrad.train.data.download import bars
    from softgrad.train.report import reporter
    from softgrad.train.stopping import stop_on_signal

    if resume is not None:
        _refuse_settings(context, (*settings, "run_dir"))
    with bars(shown=not (as_json or quiet)):
        run = _start(resume, run_dir, data_dir, settings)
    report = reporter(as_json=as_json, quiet=quiet)
    report.start(run, resumed=resume is not None)
    with stop_on_signal() as stopped, report.progress(run) as on_batch:
        for record in run.epochs(on_batch, stopped):
            report.epoch(record, run)
    report.end(run)
    if not run.trainer.finished:
        context.exit(INTERRUPTED)


def _start(resume: Path | None, run_dir: Path | None, data_dir: Path | None, settings: dict[str, Any]) -> Run:
    from softgrad.train import Run, TrainConfig

    if resume is not None:
        return Run.resume(resume, data_dir)
    return Run.start(TrainConfig(**settings), run_dir, data_dir)


def _refuse_settings(context: click.Context, names: tuple[str, ...]) -> None:
    """A resumed run keeps its settings: those given beside --resume would be ignored, so they are an error."""
    typed = click.core.ParameterSource.COMMANDLINE
    given = [f"--{name.replace('_', '-')}" for name in names if context.get_parameter_source(name) == typed]
    if given:
        raise click.UsageError(
            f"{given[0]} cannot be given with --resume: a resumed run keeps its settings; leave it out, or start anew"
        )


@click.command(cls=Command, short_help="Test a trained model: accuracy, loss, confusions.")
@click.argument("model", type=FilePath())
@option("--dataset", type=LazyChoice("dataset"), default=None, help="What to test on.  [default: what it learned]")
@data_dir_option
@option("--split", type=click.Choice(["test", "train"]), default="test", help="Which part of the data set.")
@setting("--backend", type=LazyChoice("backend"), help="Where to compute.")
@import_option
@json_option
def evaluate(model: Path, dataset: str | None, data_dir: Path | None, split: str, backend: str, as_json: bool) -> None:
    """Test a trained MODEL (a run directory or a .safetensors file): accuracy, loss, classes, confusions."""
    from softgrad.ops.backend import get_backend
    from softgrad.train import load_checkpoint, load_dataset
    from softgrad.train.data.download import bars
    from softgrad.train.evaluation import Evaluator
    from softgrad.train.tables import print_evaluation

    checkpoint = load_checkpoint(model)
    with bars(shown=not as_json):
        data = load_dataset(dataset or checkpoint.config.dataset, data_dir)
    checkpoint.check_fits(data)
    images, labels = (data.test_images, data.test_labels) if split == "test" else (data.train_images, data.train_labels)
    network = checkpoint.model(get_backend(backend))
    evaluation = Evaluator(network, images, labels, checkpoint.inputs, checkpoint.config.objective).run()
    print_evaluation(evaluation, data, split, as_json=as_json)


@click.command(cls=Command, short_help="Classify image files with a trained model.")
@click.argument("model", type=FilePath())
@click.argument("images", type=FilePath(), nargs=-1, required=True)
@option("--invert", is_flag=True, help="For dark ink on light paper; the data sets are light on dark.")
@option("--top", type=click.IntRange(1), default=3, help="How many classes to show.")
@option("--temperature", type=click.FloatRange(0), default=1.0, help="Below 1 sharpens, above 1 flattens.")
@setting("--backend", type=LazyChoice("backend"), help="Where to compute.")
@import_option
@json_option
def predict(
    model: Path,
    images: tuple[Path, ...],
    invert: bool,
    top: int,
    temperature: float,
    backend: str,
    as_json: bool,
) -> None:
    """Classify image files of any size with a trained MODEL (a run directory or a .safetensors file)."""
    import numpy as np

    from softgrad.ops.backend import get_backend
    from softgrad.train import load_checkpoint
    from softgrad.train.data.images import read_image
    from softgrad.train.errors import ImageError
    from softgrad.train.evaluation import class_probabilities
    from softgrad.train.tables import print_predictions

    checkpoint = load_checkpoint(model)
    network = checkpoint.model(get_backend(backend))
    shape, max_value = checkpoint.image_shape, checkpoint.max_value
    readable, pixels, unreadable = [], [], []
    for path in images:
        try:
            pixels.append(read_image(path, shape, max_value, invert=invert))
            readable.append(path)
        except ImageError as error:  # the others are classified all the same
            unreadable.append(error)
    if readable:
        objective = checkpoint.config.objective
        probabilities = class_probabilities(network, np.stack(pixels), checkpoint.inputs, temperature, objective)
        print_predictions(readable, probabilities, checkpoint.class_names, top, as_json=as_json)
    for one in unreadable[:-1]:
        say_error(str(one))
    if unreadable:
        raise unreadable[-1]


@click.command(cls=Command, short_help="Tell what softgrad finds here, and what holds it back.")
@data_dir_option
@json_option
def doctor(data_dir: Path | None, as_json: bool) -> None:
    """Tell what softgrad finds on this machine, and what holds it back."""
    from softgrad.ops.environment import Environment
    from softgrad.train.tables import print_environment

    print_environment(Environment.here(), _data_found(data_dir), as_json=as_json)


def _data_found(data_dir: Path | None) -> dict[str, str]:
    """Where each data set lies, or why it cannot be had, or whether it can by a download."""
    from softgrad.train import DATASETS, load_dataset
    from softgrad.train.data.datasets import is_offline
    from softgrad.train.errors import DatasetError

    found = {}
    for name in DATASETS:
        try:
            found[name] = load_dataset(name, data_dir, download=False).source
        except DatasetError as error:
            can_download = data_dir is None and not is_offline()
            download = f"; `softgrad train --dataset {name}` downloads it" if can_download else ""
            found[name] = f"not found: {error}{download}"
    return found
