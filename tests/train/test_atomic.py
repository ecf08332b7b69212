"""A file is replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
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


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a folder below /dev")
def test_a_file_among_devices_is_a_file() -> None:
    """A run may well be kept in memory: its checkpoints are replaced there, not written one after the other."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "file"
        for data in (b"older, longer", b"new"):
            atomic_write(path, data)
            assert path.read_bytes() == data
        assert os.listdir(folder) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("links", [0, 1, 2])
def test_an_open_file_is_written_where_it_stands(tmp_path: Path, links: int) -> None:
    """What was redirected there stays there, though by its name it is a regular file."""
    with (tmp_path / "file").open("wb+", buffering=0) as file:
        name = Path(f"/dev/fd/{file.fileno()}")
        for number in range(links):
            (tmp_path / f"link{number}").symlink_to(name if number == 0 else "link0")
            name = tmp_path / f"link{number}"
        file.write(b"before ")
        atomic_write(name, b"data")
        file.write(b" after")
        file.seek(0)
        assert file.read() == b"before data after"
    with pytest.raises(OSError, match="Bad file descriptor"):
        atomic_write(Path("/dev/fd/987654"), b"data")


@pytest.mark.skipif(os.name == "nt", reason="links are not everybody's on Windows")
def test_links_in_a_circle_stay(tmp_path: Path) -> None:
    path = tmp_path / "circle"
    path.symlink_to("circle")
    with pytest.raises(OSError, match="symbolic links"):
        atomic_write(path, b"data")
    assert path.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_private_is_so_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    sizes, change_mode = [], os.fchmod

    def look(descriptor: int, mode: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        change_mode(descriptor, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", look)
        atomic_write(path, b"new")
    assert sizes == [0], "the mode comes before the data"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives files to others")
def test_owner_and_group_survive(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    atomic_write(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_another_name_of_the_file_keeps_the_old(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "other").hardlink_to(tmp_path / "file")
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "other").read_bytes() == b"old"
