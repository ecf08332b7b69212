"""Fetch files from mirrors in order; a file gets its name only after it has been checked."""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from softgrad.terminal import one_line
from softgrad.train.atomic import atomic_write
from softgrad.train.errors import DatasetError, remedy
from softgrad.train.screen import Screen

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0

# The connect timeout is for each address of a host (there may be eight) and does not cover the look-up of its
# name, so one mirror could take a minute to fail. This is the limit on a mirror's first sign of life.
FIRST_ANSWER_SECONDS = 4.0

# What a mirror must send, at least, in every so many seconds: with less, MNIST would take half an hour.
LEAST_RATE_SECONDS = 20.0
LEAST_RATE_BYTES = 100_000
LOOK_SECONDS = 0.1

# More than twice the largest published file: a mirror may send anything, but not without end.
MAX_BYTES = 1 << 26

_log = logging.getLogger(__name__)
_bars_are_shown: ContextVar[bool] = ContextVar("bars_are_shown", default=True)


@contextlib.contextmanager
def bars(*, shown: bool) -> Iterator[None]:
    """Within, downloads draw a bar where the error stream is a terminal, or draw none."""
    token = _bars_are_shown.set(shown)
    try:
        yield
    finally:
        _bars_are_shown.reset(token)


class _MirrorError(Exception):
    """Why a mirror is given up, naming the address."""


class _BoundedBuffer(io.BytesIO):
    """Memory for a download, which refuses to outgrow `MAX_BYTES`, and what comes when it was given up."""

    abandoned = False

    def write(self, data: Any, /) -> int:
        if self.abandoned:
            raise ValueError("given up")
        if self.tell() + len(data) > MAX_BYTES:
            raise ValueError(f"sends more than the {MAX_BYTES:,} bytes allowed")
        return super().write(data)


def download_files(
    names: Sequence[str],
    mirrors: Sequence[str],
    folder: Path,
    check: Callable[[str, io.BufferedIOBase], object],
) -> None:
    """Download files into a folder from the first mirrors that serve them whole and unaltered.

    A mirror that fails once is not asked again; files already fetched from it are kept, having been checked.

    Parameters
    ----------
    names
        The files' names, the same on every mirror and in the folder.
    mirrors
        Base addresses, each ending in a slash, in the order in which to try them.
    folder
        Where the files go; made if need be.
    check
        Called with a name and the downloaded content before the file is written; raises ValueError to refuse it.

    Raises
    ------
    DatasetError
        If no mirror is left, with each mirror's reason, or if the folder cannot be written.
    """
    remaining = list(names)
    reasons = []
    for mirror in mirrors:
        try:
            _probe(mirror, remaining[0])
            for name in tuple(remaining):
                _store(folder / name, _fetch(mirror, name, check))
                remaining.remove(name)
            return
        except _MirrorError as error:
            reasons.append(str(error))
    raise DatasetError("; ".join(reasons))


def _probe(mirror: str, name: str) -> None:
    """Raise _MirrorError unless the mirror gives any answer, even "not found", in good time."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    downloader = _downloader()

    def ask() -> None:
        try:
            downloader(mirror + name, None, None, check_only=True)
        except Exception as error:  # handed to the thread that waits
            answers.put(error)
        else:
            answers.put(None)

    # A daemon, because a look-up of a name cannot be interrupted and must not delay the program's end.
    threading.Thread(target=ask, name="softgrad-probe", daemon=True).start()
    try:
        error = answers.get(timeout=FIRST_ANSWER_SECONDS)
    except queue.Empty:
        raise _MirrorError(f"{mirror}: no answer within {FIRST_ANSWER_SECONDS:g} s") from None
    if error is not None:
        raise _MirrorError(f"{mirror}: {_reason(error)}") from error


def _fetch(mirror: str, name: str, check: Callable[[str, io.BufferedIOBase], object]) -> bytes:
    """Download one file into memory and check it."""
    url = mirror + name
    _log.info("downloading %s", url)
    buffer = _BoundedBuffer()
    try:
        _receive(url, buffer)
        buffer.seek(0)
        check(name, buffer)
    except (OSError, ValueError) as error:  # every error of requests is an OSError
        raise _MirrorError(f"{url}: {_reason(error)}") from error
    return buffer.getvalue()


def _receive(url: str, buffer: _BoundedBuffer) -> None:
    """Have the file written to the buffer, showing how much has come; ValueError if it comes too slowly.

    A mirror that sends a byte now and then keeps every timeout of a connection waiting, so the rate is looked at from
    another thread, which is left alone with its connection when it is given up.
    """
    ends: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    # What pooch tells of a file's size; the rest of its bar is not wanted, for ours also knows of the rate.
    size = SimpleNamespace(total=None, update=lambda _: None, reset=lambda: None, close=lambda: None)
    downloader = _downloader(progressbar=size)

    def receive() -> None:
        try:
            downloader(url, buffer, None)
        except Exception as error:  # handed to the thread that waits
            ends.put(error)
        else:
            ends.put(None)

    threading.Thread(target=receive, name="softgrad-download", daemon=True).start()
    with _bar(url) as show:
        begun, bytes_then = time.monotonic(), 0
        while True:
            with contextlib.suppress(queue.Empty):
                error = ends.get(timeout=LOOK_SECONDS)
                if error is None:
                    return
                try:
                    raise error
                finally:
                    del error  # which would keep this frame, and this it, and both an open connection
            received = buffer.tell()
            show(received, size.total or None)
            if time.monotonic() - begun >= LEAST_RATE_SECONDS:
                if received - bytes_then < LEAST_RATE_BYTES:
                    buffer.abandoned = True
                    raise ValueError(f"sends too slowly: {received - bytes_then:,} bytes in {LEAST_RATE_SECONDS:g} s")
                begun, bytes_then = time.monotonic(), received


@contextlib.contextmanager
def _bar(url: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on the error stream, told the bytes received and all there will be; nothing where that is no terminal."""
    console = Screen(stderr=True).rich
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    shown = console.is_terminal and _bars_are_shown.get()
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task(url.rpartition("/")[2], total=None)
        yield lambda received, total: progress.update(task, completed=received, total=total)


def _store(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}; {remedy(error)}") from error


def _downloader(**options: Any) -> Any:
    import pooch  # a quarter of a second, and most runs download nothing

    # Some servers unpack a .gz on the way unless told not to; the sums are of the packed file.
    headers = {"Accept-Encoding": "identity"}
    return pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS), headers=headers, **options)


def _reason(error: BaseException) -> str:
    """Say in a few words what lies under the layers of a network error."""
    response = getattr(error, "response", None)
    if response is not None:
        return one_line(f"HTTP {response.status_code} {response.reason}")
    while type(error).__module__.startswith(("requests", "urllib3")):
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(text)
