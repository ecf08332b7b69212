"""No file that softgrad reads or adds to keeps it waiting for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from softgrad.train import Run
from softgrad.train.errors import CheckpointError
from softgrad.train.loop import EpochRecord
from softgrad.train.metrics import append_record, keep_records
from softgrad.train.regular_file import open_regular

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")


def test_bytes_of_a_file_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(OSError, match="no regular file"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_pipes_in_a_run_directory(tmp_path: Path) -> None:
    record = EpochRecord(1, 12, *[0.5] * 7)
    metrics = tmp_path / "metrics.jsonl"
    os.mkfifo(metrics)
    keep_records(metrics, [])
    with pytest.raises(OSError, match="No such device or address"):
        append_record(metrics, record)
    reader = os.open(metrics, os.O_RDONLY | os.O_NONBLOCK)
    append_record(metrics, record)
    assert os.read(reader, 1000).startswith(b'{"epoch": 1, ')
    os.close(reader)
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="no regular file"):
        Run.resume(tmp_path)
