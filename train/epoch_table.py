"""The epochs of a run in lines and columns, and the summary of its first, best and last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from softgrad.train.loop import EpochRecord


@dataclass(frozen=True)
class EpochColumn:
    """A column of the lines that tell of the epochs; those of a higher rank go first where it is narrow."""

    heading: str
    meaning: str
    rank: int
    cell: Callable[[EpochRecord, int], str]
    style: str = ""

    def width(self, epochs: int) -> int:
        """Of the heading and two spaces, or of "12/200" and one."""
        return max(len(self.heading) + 2, 2 * len(str(epochs)) + 2)


EPOCH_COLUMNS = (
    EpochColumn("epoch", "epoch", 0, lambda record, epochs: f"{record.epoch}/{epochs}"),
    EpochColumn("train loss", "train loss", 3, lambda record, _: f"{record.train_loss:.4f}"),
    EpochColumn("accuracy", "train accuracy", 4, lambda record, _: f"{record.train_accuracy:.2%}"),
    EpochColumn("test loss", "test loss", 2, lambda record, _: f"{record.test_loss:.4f}"),
    EpochColumn("accuracy", "test accuracy", 1, lambda record, _: f"{record.test_accuracy:.2%}", "bold"),
    EpochColumn("seconds", "seconds", 5, lambda record, _: f"{record.seconds:.2f}"),
    EpochColumn("samples/s", "samples/s", 6, lambda record, _: f"{record.samples_per_second:,.0f}"),
)


def columns_in(width: int, epochs: int) -> list[EpochColumn]:
    """Those that fit, in order."""
    columns = list(EPOCH_COLUMNS)
    while len(columns) > 1 and sum(column.width(epochs) for column in columns) > width:
        columns.remove(max(columns, key=lambda column: column.rank))
    return columns


SUMMARY = ("", "epoch", "train loss", "train accuracy", "test loss", "test accuracy", "seconds")


def summary(records: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """First, best and last epoch side by side."""
    best = max(records, key=lambda record: record["test_accuracy"])
    return [
        (
            label,
            str(record["epoch"]),
            f"{record['train_loss']:.4f}",
            f"{record['train_accuracy']:.2%}",
            f"{record['test_loss']:.4f}",
            f"{record['test_accuracy']:.2%}",
            f"{record['seconds']:.2f}",
        )
        for label, record in (("first", records[0]), ("best", best), ("last", records[-1]))
    ]
