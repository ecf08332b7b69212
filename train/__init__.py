"""A small trainer over `softgrad.ops`: data sets, a multi-layer perceptron, linear models, the loop, checkpoints.

from softgrad.train import Run, TrainConfig

run = Run.start(TrainConfig(dataset="digits"))
for record in run.epochs():
    print(record.epoch, record.test_accuracy)
"""

from softgrad.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from softgrad.train.config import TrainConfig
from softgrad.train.datasets import DATASETS, Dataset, load_dataset
from softgrad.train.full_batch import FullBatchResult, minimise
from softgrad.train.linear_models import (
    Adaline,
    LinearRegression,
    LogisticRegression,
    Perceptron,
    SoftmaxRegression,
)
from softgrad.train.loop import EpochRecord, Progress, Trainer
from softgrad.train.model import MLP
from softgrad.train.run import Run

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
