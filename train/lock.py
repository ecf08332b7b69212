"""A lock on a folder, which ends with the process that holds it, however that process ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import weakref
from pathlib import Path

NAME = ".lock"


class FolderLock:
    """The lock on a folder, from its making until `release`, the garbage collector or the end of the process.

    It is the operating system's, on an open file in the folder: a process that is killed leaves the file, without the
    lock. Whoever takes the lock next takes over the file, and removes it in the end.

    Parameters
    ----------
    folder : Path
        Must exist.

    Attributes
    ----------
    release : callable
        Gives the folder back, and does nothing the second time.
    certain : bool
        Is nobody else there? Not where the file system has no locks, as some network shares: nobody is kept out then.

    Raises
    ------
    BlockingIOError
        If another process, or another `FolderLock` of this one, holds it.
    OSError
        If the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        handle, self.certain = _open_and_lock(path)
        self.release = weakref.finalize(self, _release, handle, path, os.getpid())

    @property
    def held(self) -> bool:
        """Has it not been released?"""
        return self.release.alive


def _open_and_lock(path: Path) -> tuple[int, bool]:
    while True:
        handle = _open(path)
        try:
            certain = _lock(handle)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle, certain
        except BaseException:
            os.close(handle)
            raise
        # The last owner has removed the file since it was opened: nobody else would see a lock on it.
        os.close(handle)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # left by a process of another user; such a file can be locked, but for some network shares
        return os.open(path, os.O_RDONLY)


def _release(handle: int, path: Path, owner: int) -> None:
    if os.getpid() != owner:  # a copy that a fork made: closing it leaves the lock with the process that took it
        os.close(handle)
    elif sys.platform == "win32":  # an open file cannot be removed: not ours, and not that of the next owner either
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()
    else:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock the open file; False where the file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise BlockingIOError(errno.EWOULDBLOCK, "in use by another process") from error
    except OSError:
        return False
    return True
