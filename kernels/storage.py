"""Files that this process will run: where they are kept, and which of them are believed.

Machine code is as dangerous as any program. So a folder or a file counts only if it belongs to this user or to root,
who could change the interpreter as well, and if nobody else may write to it. Root believes no other user. Folders are
made for this user alone. A cache that root has filled, as in the image of a container, serves every user who can read
it; one that cannot be written is read. Links to folders are followed, and the folder at their end is judged; a file
must be a regular one itself. What was opened is judged, not its name, which may mean another file a moment later.

Where there are no user ids (Windows), the user's profile folder is private by itself, and nothing is asked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
import time
from pathlib import Path

import platformdirs

# Seconds after which a temporary file is one that a killed process has left; writing takes some milliseconds. Should
# the writer be alive after all, it loses the entry, which is then compiled anew.
ABANDONED_SECONDS = 60.0

ROOT_UID = 0


def user_cache() -> Path | None:
    """The user's cache folder for softgrad; None where there is no home: no ``$HOME``, and no password entry."""
    try:
        folder = platformdirs.user_cache_path("softgrad")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older releases answer "~/.cache", a folder named ~


def own_folder(folder: Path) -> None:
    """Make the folder, private to this user, unless it is there.

    Raises
    ------
    OSError
        If it cannot be made, or is not to be trusted.
    """
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)
    _must_be_trusted(folder.stat(), folder)


def read_own(file: Path) -> bytes:
    """The contents of a file.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file or is not to be trusted.
    """
    with open(file, "rb", opener=_open_own) as opened:
        return opened.read()


def write_own(file: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it; it is private to this user.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=f"{file.name}.", suffix=".tmp", delete=False
        ) as opened:
            temporary = opened.name
            opened.write(content)
        os.replace(temporary, file)
    except BaseException:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise


def remove_abandoned(folder: Path, names: re.Pattern[str]) -> None:
    """Remove what killed writers of files of such names have left in the folder."""
    before = time.time() - ABANDONED_SECONDS
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".tmp") and _is_written(entry, names) and entry.stat().st_mtime < before:
                os.unlink(entry)


def remove_oldest(current: Path, folders: re.Pattern[str], files: re.Pattern[str], kept: int) -> None:
    """Keep the last used of the folders beside `current` that have such names; `kept` counts `current`, which stays.

    A folder that holds anything but files of such names is left alone.
    """
    with contextlib.suppress(OSError), os.scandir(current.parent) as entries:
        others = [
            entry
            for entry in entries
            if folders.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and entry.name != current.name
        ]
        for old in sorted(others, key=lambda entry: entry.stat().st_mtime, reverse=True)[kept - 1 :]:
            with contextlib.suppress(OSError), os.scandir(old) as contents:
                found = list(contents)
                if all(_is_written(entry, files) for entry in found):
                    for entry in found:
                        os.unlink(entry)
                    os.rmdir(old)


def _is_written(entry: os.DirEntry[str], names: re.Pattern[str]) -> bool:
    """Is it what `write_own` writes: a regular file of such a name, or what that is called at first?"""
    name = re.sub(r"\.\w+\.tmp$", "", entry.name)
    return names.fullmatch(name) is not None and entry.is_file(follow_symlinks=False)


def _open_own(path: str, flags: int) -> int:
    # Not to wait for a writer, should it be a FIFO.
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file", path)
        _must_be_trusted(status, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _must_be_trusted(status: os.stat_result, path: str | Path) -> None:
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid not in (os.geteuid(), ROOT_UID):
        raise PermissionError(errno.EPERM, f"belongs to another user, {status.st_uid}", str(path))
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "can be written by other users", str(path))
