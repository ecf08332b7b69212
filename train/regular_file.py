"""Open a file without being kept waiting: a pipe may have no other end, and a device may never end."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file to read its bytes.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    """
    file = open(path, "rb", opener=without_waiting)  # noqa: SIM115  (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return file


def without_waiting(path: str, flags: int) -> int:
    """An opener for `open` by which a pipe without its other end is opened, or refused, at once."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
