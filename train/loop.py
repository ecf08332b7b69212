"""The training loop: minibatch gradient descent, an `EpochRecord` an epoch, nothing allocated a step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from softgrad.ops.backend import CPU, Backend
from softgrad.ops.labels import check_labels
from softgrad.ops.training import gather_batch, ready_data
from softgrad.train.config import TrainConfig
from softgrad.train.data.datasets import Dataset
from softgrad.train.data.standardise import Standardisation
from softgrad.train.errors import DivergedError, divergence
from softgrad.train.evaluation import Evaluator
from softgrad.train.model import MLP, Batch
from softgrad.train.objectives import OBJECTIVES
from softgrad.train.optimizers import Optimizer
from softgrad.train.schedules import learning_rate


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to; a line of ``metrics.jsonl``.

    Losses are means in nats and accuracies fractions. Those of the training set are taken while it is learned
    from, batch by batch. `lr` is that of the epoch's last step, `seconds` the time spent training, without the
    evaluation on the test set.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    seconds: float
    samples_per_second: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Progress:
    """How far a run has come, exactly: with weights and optimizer state, all that resuming needs.

    The order of an epoch's batches is drawn from (seed, epoch), so that position is also the state of the
    random numbers.
    """

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Finished batches of the epoch under way."""
    loss_sum: Any = 0.0
    """Over the images of those batches: a number, and while the trainer adds up an array without axes."""
    correct: Any = 0
    """Images classified rightly in those batches, likewise."""
    seconds: float = 0.0
    """Time spent on those batches."""
    best_accuracy: float = -1.0
    """The best test accuracy of any epoch so far."""


class Trainer:
    """A model, its data and its optimizer, and the loop over them.

    Parameters
    ----------
    config : TrainConfig
        The settings; `config.dataset` need not be resolved.
    dataset : Dataset
        What to learn and to test on.
    backend : Backend
        Where to compute.

    Raises
    ------
    ValueError
        If the batch is larger than the training set, the warm-up is no shorter than the run, or a training label is
        outside the classes.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, backend: Backend) -> None:
        rows = len(dataset.train_images)
        if config.batch_size > rows:
            raise ValueError(
                f"batch_size must be at most {rows}, the number of training images of {dataset.name}; "
                f"got {config.batch_size}"
            )
        self.batches = math.ceil(rows / config.batch_size)
        if config.warmup_steps >= config.epochs * self.batches:
            raise ValueError(
                f"warmup_steps must be below {config.epochs * self.batches}, the number of steps in {config.epochs} "
                f"epochs of {dataset.name}; got {config.warmup_steps}"
            )
        check_labels(CPU, dataset.train_labels, dataset.classes, given=dataset.train_labels)
        self.config = config.resolved()
        self.dataset = dataset
        self.progress = Progress()
        self.inputs = Standardisation.of(dataset.train_images)
        sizes = (dataset.train_images.shape[1], *config.hidden, dataset.classes)
        self.model = MLP(sizes, config.activation, config.dtype, backend)
        if config.model == "mlp":  # the linear models, whose losses are convex, begin at zeros
            self.model.initialise(config.seed)
        numbers = config.update_settings()
        self.lr = numbers.pop("lr")
        self.optimizer = Optimizer(self.model, config.optimizer, numbers)
        self._learning_rate: Callable[[int], float] = partial(
            learning_rate, config.schedule, self.lr, total_steps=config.epochs * self.batches,
            warmup_steps=config.warmup_steps, **config.schedule_settings(),
        )  # fmt: skip

        xp = backend.xp
        # Mode "clip" writes straight to `out`, where NumPy's default would go through a buffer; CuPy knows no modes.
        self._take = {"mode": "clip"} if xp is np else {}
        self._images, self._labels = ready_data(backend, dataset.train_images, dataset.train_labels)
        self._objective = OBJECTIVES[config.objective]
        self._targets = self._objective.targets(self._labels, dataset.classes, self.model.dtype)
        self._evaluator = Evaluator(self.model, dataset.test_images, dataset.test_labels, self.inputs, config.objective)
        self._batch = Batch(self.model, config.batch_size)
        self._last_batch = self._batch.first(rows - (self.batches - 1) * config.batch_size)
        self._loss_sum, self._correct = xp.zeros((), np.float64), xp.zeros((), np.int64)

    @property
    def finished(self) -> bool:
        """Have all epochs been trained?"""
        return self.progress.epoch >= self.config.epochs

    @property
    def step(self) -> int:
        """The number of updates made."""
        return self.progress.epoch * self.batches + self.progress.batch

    @property
    def rows_seen(self) -> int:
        """Images of the epoch under way that have been learned from."""
        return min(self.progress.batch * self.config.batch_size, len(self._labels))

    def read_progress(self) -> Progress:
        """`progress` with all its numbers on the host, for which a GPU must have done what it was given."""
        started = time.perf_counter()
        progress = self.progress
        progress.loss_sum, progress.correct = float(progress.loss_sum), int(progress.correct)
        progress.seconds += time.perf_counter() - started
        return progress

    def fit(
        self, on_batch: Callable[[Trainer], None] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[EpochRecord]:
        """Train from where `progress` stands to the last epoch, yielding a record after each.

        Parameters
        ----------
        on_batch : callable, optional
            Called after each batch.
        stop : callable, optional
            Asked after each batch whether to end there; `progress` then says where that is.

        Raises
        ------
        DivergedError
            If a loss or a weight is not finite after an epoch, or where `stop` ended one.
        """
        while not self.finished:
            order = self._shuffled(self.progress.epoch)
            while self.progress.batch < self.batches:
                self._train_batch(order)
                if on_batch is not None:
                    on_batch(self)
                if stop is not None and stop():
                    self.check_finite()
                    return
            yield self._finish_epoch()

    def check_finite(self) -> None:
        """Raise DivergedError unless the losses of the epoch under way and the weights are finite."""
        self._check(divergence(self.model.backend.xp, self.read_progress().loss_sum, self.model.params))

    def _check(self, what: str | None) -> None:
        if what is not None:
            raise DivergedError(
                f"training diverged in epoch {self.progress.epoch + 1}: {what}; "
                f"try a smaller learning rate than {self.lr:g}"
            )

    def _shuffled(self, epoch: int) -> Any:
        rng = np.random.default_rng((self.config.seed, 1, epoch))
        return self.model.backend.xp.asarray(rng.permutation(len(self._labels)))

    def _add_up_in_arrays(self, progress: Progress) -> None:
        """Go on with the sums of the epoch in arrays: on a GPU no step then waits for another."""
        self._loss_sum[...], self._correct[...] = progress.loss_sum, progress.correct
        progress.loss_sum, progress.correct = self._loss_sum, self._correct

    # What a step rounds to 0 or to infinity is the loss's to tell, whatever the caller has NumPy raise.
    @np.errstate(all="ignore")
    def _train_batch(self, order: Any) -> None:
        started = time.perf_counter()
        progress, model = self.progress, self.model
        if isinstance(progress.loss_sum, int | float):  # they have been read
            self._add_up_in_arrays(progress)
        first = progress.batch * self.config.batch_size
        batch = self._batch if progress.batch + 1 < self.batches else self._last_batch

        # Nothing is validated here: the labels have been, and for an answer of a GPU one would have to wait.
        scale, shift = self.inputs.scale, self.inputs.shift
        gather_batch(model.backend, self._images, self._labels, order, first, scale, shift, batch.inputs, batch.labels)
        targets = batch.labels
        if self._targets is not self._labels:
            chosen = order[first : first + len(targets)]
            targets = self._targets.take(chosen, axis=0, out=batch.targets, **self._take)
        product, grad = model.forward(batch, last_bias=False), batch.grads[-1]
        self._objective.step(
            model.backend, product, model.last_bias, batch.labels, targets, progress.loss_sum, progress.correct, grad
        )
        model.backward(batch, grad)
        step = self.step
        self.optimizer.step(self._learning_rate(step), step)

        progress.batch += 1
        progress.seconds += time.perf_counter() - started

    def _finish_epoch(self) -> EpochRecord:
        self.check_finite()
        progress, rows = self.progress, len(self._labels)
        test = self._evaluator.run()
        if not math.isfinite(test.loss):  # of finite weights that are too large for finite scores
            self._check(f"the loss on the test images is {test.loss}")
        record = EpochRecord(
            epoch=progress.epoch + 1,
            step=self.step,
            train_loss=progress.loss_sum / rows,
            train_accuracy=progress.correct / rows,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            lr=self._learning_rate(self.step - 1),
            seconds=progress.seconds,
            samples_per_second=rows / progress.seconds,
        )
        self.progress = Progress(epoch=progress.epoch + 1, best_accuracy=max(progress.best_accuracy, test.accuracy))
        return record
