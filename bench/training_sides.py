"""The sides of `softgrad bench train`, each in a process of its own: settings in, a JSON object out.

    python -m softgrad.bench.training_sides SIDE SETTINGS

Both train the same network on the same images in batches of 128: float32, ReLU, softmax cross-entropy, SGD with
Nesterov momentum, weight decay and a cosine schedule (`TrainConfig`'s defaults), a new order every epoch. softgrad
gathers and standardises uint8 pixels in every batch and counts the accuracy; PyTorch is given the standardised floats
and counts nothing. Before the clock starts a side has trained for an epoch and thrown that away, so that everything is
compiled; what it spends on testing is not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from softgrad.bench.training import Side, TrainingSettings
from softgrad.ops.backend import get_backend
from softgrad.train import TrainConfig, Trainer, load_dataset
from softgrad.train.data.datasets import Dataset
from softgrad.train.data.standardise import Standardisation

Epoch = tuple[float, float]


def softgrad_epochs(data: Dataset, config: TrainConfig) -> Iterator[Epoch]:
    """Seconds and test accuracy of each epoch, by softgrad."""
    backend = get_backend(config.backend)
    for _ in Trainer(config, data, backend).fit():
        break
    for record in Trainer(config, data, backend).fit():
        yield record.seconds, record.test_accuracy


class TorchTrainer:
    """The same training as PyTorch's users write it; `compiled` with torch.compile and its CUDA graphs."""

    def __init__(self, data: Dataset, config: TrainConfig, *, compiled: bool) -> None:
        import torch

        torch.manual_seed(config.seed)
        self.torch, self.config = torch, config
        self.device = torch.device("cuda" if config.backend == "gpu" else "cpu")
        if config.backend == "cpu":
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        inputs = Standardisation.of(data.train_images)

        def tensor(images: np.ndarray) -> Any:
            scaled = images.astype(np.float32) * np.float32(inputs.scale) + np.float32(inputs.shift)
            return torch.from_numpy(scaled).to(self.device)

        self.train, self.test = tensor(data.train_images), tensor(data.test_images)
        self.labels = torch.from_numpy(data.train_labels).to(self.device)
        self.test_labels = torch.from_numpy(data.test_labels).to(self.device)
        self.batches = -(-len(self.train) // config.batch_size)

        sizes = (self.train.shape[1], *config.hidden, data.classes)
        layers: list[Any] = []
        for i, (size_in, size_out) in enumerate(pairwise(sizes)):
            layers += [torch.nn.ReLU()] if i else []
            layers.append(torch.nn.Linear(size_in, size_out))
        self.net = torch.nn.Sequential(*layers).to(self.device)
        for layer in layers[::2]:
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            nesterov=True,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.schedule = self._new_schedule()
        criterion = torch.nn.CrossEntropyLoss()

        def loss_of(x: Any, labels: Any) -> Any:
            return criterion(self.net(x), labels)

        self.loss_of = torch.compile(loss_of, mode="reduce-overhead", dynamic=False) if compiled else loss_of

    def _new_schedule(self) -> Any:
        return self.torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.config.epochs * self.batches)

    def epochs(self) -> Iterator[Epoch]:
        """Seconds and test accuracy of each epoch, after one that leaves no trace."""
        first = {name: value.clone() for name, value in self.net.state_dict().items()}
        self._epoch()
        self.net.load_state_dict(first)  # in place: a captured graph knows the parameters by their addresses
        for state in self.optimizer.state.values():
            state["momentum_buffer"].zero_()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr
        self.schedule = self._new_schedule()
        for _ in range(self.config.epochs):
            seconds = self._epoch()
            with self.torch.no_grad():
                right = (self.net(self.test).argmax(1) == self.test_labels).float().mean()
            yield seconds, float(right)

    def _epoch(self) -> float:
        self._wait()
        started = time.perf_counter()
        for chosen in self.torch.randperm(len(self.train), device=self.device).split(self.config.batch_size):
            self.optimizer.zero_grad(set_to_none=True)
            self.loss_of(self.train[chosen], self.labels[chosen]).backward()
            self.optimizer.step()
            self.schedule.step()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()


def epochs_of(side: Side, data: Dataset, config: TrainConfig) -> Iterator[Epoch]:
    """Seconds and test accuracy of each epoch of that side."""
    if side == "softgrad":
        return softgrad_epochs(data, config)
    return TorchTrainer(data, config, compiled=side == "torch_compile").epochs()


def main() -> None:
    """Train as one side and print each epoch's seconds and test accuracy."""
    side, settings = sys.argv[1], TrainingSettings(**json.loads(sys.argv[2]))
    data = load_dataset(settings.dataset, Path(settings.data_dir) if settings.data_dir else None, download=False)
    # What a library prints must not come into the JSON.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = TrainConfig(dataset=settings.dataset, epochs=settings.epochs, backend=settings.backend)
    json.dump(list(epochs_of(side, data, config.resolved())), out)


if __name__ == "__main__":
    main()
