"""Text that is safe on a terminal: what one would obey is shown, what an encoding lacks is no error."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

# What a terminal acts on instead of showing it: control characters but the tab, line ends, marks that turn the
# direction of text, and halves of surrogate pairs, which stand for bytes that are no text.
_OBEYED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    r"""The text, with Python's escape for each character that a terminal would obey.

    Examples
    --------
    >>> print(safe("a[bold]:100: \x1b[2Jé"))
    a[bold]:100: \x1b[2Jé
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """A message in one safe line; a name's own spaces stay."""
    return safe(re.sub(r"\s*\n\s*", " ", text.strip()))


def say_error(text: str) -> None:
    """Print a message in one line on the error stream, in its own encoding, of which `click.echo` has doubts."""
    sys.stderr.write(f"Error: {one_line(text)}\n")


def shell_word(path: Path | str) -> str:
    """The path as a shell takes it; one that cannot be shown in the $'...' of bash, zsh and POSIX 2024."""
    name = str(path)
    if safe(name) == name:
        return shlex.quote(name)
    shown = (chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\x{b:02x}" for b in os.fsencode(name))
    return f"$'{''.join(shown)}'"


@contextlib.contextmanager
def forgiving_streams() -> Iterator[None]:
    """Within, what an output's encoding lacks is written as an escape, and is no error."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with contextlib.suppress(ValueError):  # closed by now
                stream.reconfigure(errors=errors)
