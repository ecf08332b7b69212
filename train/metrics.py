"""``metrics.jsonl``, the records of a run's epochs: a JSON object a line, null for what is not finite."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

from softgrad.train import strict_json
from softgrad.train.atomic import atomic_write
from softgrad.train.loop import EpochRecord
from softgrad.train.regular_file import without_waiting

NAME = "metrics.jsonl"

Record = dict[str, Any]

WHOLE = ("epoch", "step")
NAMES = tuple(field.name for field in fields(EpochRecord))


def append_record(path: Path, record: EpochRecord) -> None:
    """Add a line to that file."""
    with open(path, "ab", opener=without_waiting) as file:
        file.write(_line(record.to_json()))


def read_metrics(run_dir: Path) -> list[Record]:
    """The records of a run directory's ``metrics.jsonl``, by their epochs; what is no record is passed over.

    Lines may be cut off by a crash, damaged, or somebody else's. A null is NaN.
    """
    path = run_dir / NAME
    found: dict[int, Record] = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        record = _record(line)
        if record is not None:
            found[record["epoch"]] = record
    return [found[epoch] for epoch in sorted(found)]


def keep_records(path: Path, records: list[Record]) -> None:
    """Make these the records of that file, which is not touched if they are already."""
    lines = b"".join(map(_line, records))
    if lines != (path.read_bytes() if path.is_file() else b""):
        atomic_write(path, lines)


def _line(record: Record) -> bytes:
    return strict_json.dumps(record).encode() + b"\n"


def _record(line: bytes) -> Record | None:
    try:
        values = strict_json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict) or not set(NAMES) <= set(values):
        return None
    record = {name: math.nan if values[name] is None and name not in WHOLE else values[name] for name in NAMES}
    numbers = all(type(record[name]) in ((int,) if name in WHOLE else (int, float)) for name in NAMES)
    return record if numbers and record["epoch"] >= 1 else None
