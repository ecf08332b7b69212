"""Write a file whole or not at all: a reader, or a crash, never meets half of one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

# What replaces a file `name` is called `.name.<this>` until it is whole.
TEMPORARY = re.compile(r"[0-9a-f]{12}\.tmp")

# Where names stand for what is open or for devices, though a link may lead from there to a regular file.
NO_FILES = ("/dev", "/proc")


def atomic_write(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step, synced to the disk.

    The bytes go to a temporary file in the same folder, which is then renamed: at every moment `path` is either
    the old file or the new one. On any error the temporary file is removed and the old file is untouched. The new file
    has the old one's mode and, where that is allowed, its owner. A link is followed, and stays.

    What is there and is no regular file, a device or a pipe as ``/dev/stdout``, is written to.

    Parameters
    ----------
    path
        The file to write; its folder must exist.
    data
        The whole contents.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, the disk is full, or nobody reads the pipe.
    """
    if _is_no_file(path):
        _write_through(path, data)
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        # Not `tempfile`: its files are private to the user, and a shared folder of data or runs must stay shared.
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            with contextlib.suppress(OSError, AttributeError):  # no such file yet; not ours to give; Windows
                before = path.stat()
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        # The first error is the one to tell, whatever becomes of the removal.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(*paths: Path) -> None:
    """Remove what killed processes have left of these files, half-written; nobody may be writing them."""
    names = {f".{path.name}.": path for path in paths}
    for folder in {path.parent for path in paths}:
        for entry in folder.iterdir():
            head, tail = entry.name[:-16], entry.name[-16:]
            if head in names and TEMPORARY.fullmatch(tail) and names[head].parent == folder and entry.is_file():
                entry.unlink(missing_ok=True)


def _is_no_file(path: Path) -> bool:
    try:
        exists = path.stat()
    except OSError:
        return False
    return not stat.S_ISREG(exists.st_mode) or os.path.realpath(path.parent).startswith(NO_FILES)


def _write_through(path: Path, data: bytes) -> None:
    opened = _open_here(path)
    if opened is None:
        # Opening a pipe that nobody reads would wait for ever; without waiting it is an error.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
        os.set_blocking(descriptor, True)
    else:
        descriptor = os.dup(opened)
    with open(descriptor, "wb") as file:
        file.write(data)


def _open_here(path: Path) -> int | None:
    """The number of the open file of this process that a name stands for, as ``/dev/stdout`` and ``/dev/fd/3`` do.

    Opened anew it would have a place of its own, and what is written next by its number would cover the data.
    """
    own = f"/proc/{os.getpid()}/fd"
    for name in (path, Path(os.readlink(path)) if path.is_symlink() else path):
        if os.path.realpath(name.parent) == own and name.name.isdigit():
            return int(name.name)
    return None


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the platform can sync a folder (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
