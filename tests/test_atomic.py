"""A file is replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from softgrad.train.atomic import atomic_write

# Run in a process of its own, whose files may not grow beyond 4,096 bytes: the kernel then refuses the write as
# it does on a full disk.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from softgrad.train.atomic import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    atomic_write(Path(sys.argv[1]), b"new" * 100_000)
except OSError as error:
    sys.exit(error.errno)
"""


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    atomic_write(path, b"old")
    assert path.read_bytes() == b"old"
    atomic_write(path, b"")
    assert path.read_bytes() == b""
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    path, plain = tmp_path / "atomic", tmp_path / "plain"
    plain.write_bytes(b"")
    atomic_write(path, b"")
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        # At this moment the old file must still be there, beside the temporary one.
        assert path.read_bytes() == b"old"
        assert len(os.listdir(tmp_path)) == 2
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
        with pytest.raises(OSError, match="No space left"):
            atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            atomic_write(tmp_path / "file.bin", b"new")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit on a file's size is tried on Linux only")
def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=False)
    assert done.returncode == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "no" / "file.bin", b"new")


def test_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is in place by then: a platform without syncing of folders is no failure."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "file.bin"
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
