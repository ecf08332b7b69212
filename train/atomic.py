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

# The numbers of this process's open files, wherever the system keeps them: on Linux a link into /proc.
OPEN_FILES = "/dev/fd"

# What links may lead through before they are taken to lead in a circle; Linux's limit.
MOST_LINKS = 40


def atomic_write(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step, synced to the disk.

    The bytes go to a temporary file in the same folder, which is then renamed: at every moment `path` is either
    the old file or the new one. On any error the temporary file is removed and the old file is untouched. The new file
    has the old one's mode and, where that is allowed, its owner and group. A link is followed, and stays; another name
    of the same file (a hard link) keeps the old contents.

    What is there and is no regular file, a device or a pipe, is written to; so is an open file that is named by its
    number, as ``/dev/stdout`` and ``/dev/fd/3`` do.

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
    number = _own_number(path)
    before = _status(path)
    if number is not None:
        # Opened anew it would have a place of its own, and what is written next by its number would cover the data.
        _write_through(os.dup(number), data)
        return
    if before is not None and not stat.S_ISREG(before.st_mode):
        # Opening a pipe that nobody reads would wait for ever; without waiting it is an error.
        _write_through(os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)), data)
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        # Not `tempfile`: its files are private to the user, and a shared folder of data or runs must stay shared.
        with temporary.open("xb") as file:
            if before is not None:  # before there is anything in it to read
                _take_after(before, file.fileno())
            file.write(data)
            file.flush()
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


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _own_number(path: Path) -> int | None:
    """The number of the open file of this process that a name stands for, or the links it leads through."""
    open_files = os.path.realpath(OPEN_FILES)
    for _ in range(MOST_LINKS):
        if path.name.isdigit() and os.path.realpath(path.parent) == open_files:
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / os.readlink(path)
    return None


def _write_through(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        file.write(data)


def _take_after(before: os.stat_result, descriptor: int) -> None:
    """Give an open file the mode of another, and its owner and group where this user may."""
    for owner, group in ((before.st_uid, -1), (-1, before.st_gid)):
        with contextlib.suppress(OSError, AttributeError):  # not ours to give; Windows
            os.fchown(descriptor, owner, group)
    with contextlib.suppress(OSError, AttributeError):  # a file system without modes; Windows
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the platform can sync a folder (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
