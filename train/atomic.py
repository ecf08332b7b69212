"""Write a file whole or not at all: a reader, or a crash, never meets half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def atomic_write(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` in one step, synced to the disk.

    The bytes go to a temporary file in the same folder, which is then renamed: at every moment `path` is either
    the old file or the new one. On any error the temporary file is removed and the old file is untouched.

    Parameters
    ----------
    path
        The file to write; its folder must exist.
    data
        The whole contents.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        # Not `tempfile`: its files are private to the user, and a shared folder of data or runs must stay shared.
        with temporary.open("xb") as file:
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


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where the platform can sync a folder (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
