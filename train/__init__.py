"""A small trainer over `softgrad.ops`: data sets, a multi-layer perceptron, linear models, the loop, checkpoints.

from softgrad.train import Run, TrainConfig

run = Run.start(TrainConfig(dataset="digits"))
for record in run.epochs():
    print(record.epoch, record.test_accuracy)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgrad.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from softgrad.train.config import TrainConfig
    from softgrad.train.data.datasets import DATASETS, Dataset, load_dataset
    from softgrad.train.full_batch import FullBatchResult, minimise
    from softgrad.train.linear.models import Adaline, LogisticRegression, Perceptron, SoftmaxRegression
    from softgrad.train.linear.regression import LinearRegression
    from softgrad.train.loop import EpochRecord, Progress, Trainer
    from softgrad.train.model import MLP
    from softgrad.train.run import Run

# Where each name is. They bring Numba with them (about half a second), for which `softgrad --help` need not wait.
_MODULES = {
    "DATASETS": "data.datasets",
    "MLP": "model",
    "Adaline": "linear.models",
    "Checkpoint": "checkpoint",
    "Dataset": "data.datasets",
    "EpochRecord": "loop",
    "FullBatchResult": "full_batch",
    "LinearRegression": "linear.regression",
    "LogisticRegression": "linear.models",
    "Perceptron": "linear.models",
    "Progress": "loop",
    "Run": "run",
    "SoftmaxRegression": "linear.models",
    "TrainConfig": "config",
    "Trainer": "loop",
    "load_checkpoint": "checkpoint",
    "load_dataset": "data.datasets",
    "minimise": "full_batch",
    "save_checkpoint": "checkpoint",
}

__all__ = [
    "DATASETS",
    "MLP",
    "Adaline",
    "Checkpoint",
    "Dataset",
    "EpochRecord",
    "FullBatchResult",
    "LinearRegression",
    "LogisticRegression",
    "Perceptron",
    "Progress",
    "Run",
    "SoftmaxRegression",
    "TrainConfig",
    "Trainer",
    "load_checkpoint",
    "load_dataset",
    "minimise",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
