"""Read damaged and hostile files of every kind that softgrad reads, at random, and see that nothing breaks.

    python tests/accuracy/fuzz_files.py [--files 10000] [--seed 0] [--kind picture ...]

A sound file is made at random, then bits are flipped, parts cut out, doubled, moved or filled, and headers edited; of
half of them the sums of PNG and gzip are made right again, so that the damage is met and not only the sum. Of each file
it is checked that

- reading it ends, within some seconds and some memory;
- it ends with the error that is documented, in one line that names the file, or with what is of the right kind;
- there is no other exception, and no warning.

Prints how many of each kind were read and refused. A failing file is kept, and printed with the seed that repeats it.
"""

from __future__ import annotations

import faulthandler
import gzip
import io
import random
import resource
import struct
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from PIL import Image

from softgrad.ops.backend import CPU
from softgrad.train import DATASETS, TrainConfig, Trainer, load_checkpoint, load_dataset, save_checkpoint
from softgrad.train.data.idx import read_idx
from softgrad.train.data.images import FORMATS, read_image
from softgrad.train.errors import CheckpointError, DatasetError, ImageError
from softgrad.train.loop import EpochRecord
from softgrad.train.metrics import append_record, read_metrics

HANG_SECONDS = 20
SLOW_SECONDS = 5.0
MOST_MEMORY = 1 << 30

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB")
SHAPE = (4, 4)

# The smallest of a data set's files.
LABELS = DATASETS["digits"].files[3]

PNG_MAGIC, GZIP_MAGIC = b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\0"

# Sound files of a kind, which are damaged again and again.
SOUND = 200


class Kind(NamedTuple):
    """A kind of file: a sound one's contents, how it is read, and the error that refuses it; None if none does."""

    make: Callable[[random.Random], bytes]
    read: Callable[[Path], None]
    error: type[Exception] | None


# ---- sound files


def make_picture(rng: random.Random) -> bytes:
    size = rng.choice((1, 3, 8, 17, 40)), rng.choice((1, 4, 9, 33))
    mode = rng.choice(MODES)
    image = Image.frombytes("L", size, rng.randbytes(size[0] * size[1]))
    image = Image.new(mode, size, 3000) if mode in ("I;16", "I", "F") else image.convert("RGB").convert(mode)
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["transparency"] = 3
    if rng.random() < 0.3:
        options["exif"] = b"Exif\0\0" + rng.randbytes(40)
    content = io.BytesIO()
    try:
        image.save(content, rng.choice(FORMATS), **options)
    except Exception:  # no such mode, or no such notes, in that format
        content = io.BytesIO()
        Image.new("L", size, 77).save(content, "PNG")
    return content.getvalue()


def make_idx(rng: random.Random) -> bytes:
    shape = [rng.randrange(1, 6) for _ in range(rng.choice((1, 3)))]
    raw = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    raw += rng.randbytes(int(np.prod(shape)))
    return gzip.compress(raw) if rng.random() < 0.6 else raw


def make_labels(rng: random.Random) -> bytes:
    return (package_files("softgrad.train.data") / "digits" / f"{LABELS.name}.gz").read_bytes()


def make_checkpoint(rng: random.Random) -> bytes:
    config = TrainConfig(dataset="digits", hidden=(rng.choice((1, 3)),), optimizer=rng.choice(("sgd", "adam")))
    trainer = Trainer(config, load_dataset("digits"), CPU)
    trainer.progress = replace(trainer.progress, epoch=rng.randrange(3), batch=rng.randrange(12))
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "model", trainer)
        return (Path(folder) / "model").read_bytes()


def make_metrics(rng: random.Random) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        for epoch in range(1, rng.randrange(2, 6)):
            numbers = [rng.choice((0.5, 1e300, float("nan"), float("inf"))) for _ in range(7)]
            append_record(path, EpochRecord(epoch, 12 * epoch, *numbers))
        return path.read_bytes()


# ---- readers, which raise AssertionError for what is not as it should be


def check_picture(path: Path) -> None:
    pixels = read_image(path, SHAPE, 16)
    assert pixels.shape == (16,)
    assert pixels.dtype == np.uint8
    assert pixels.max() <= 16


def check_idx(path: Path) -> None:
    array = read_idx(path)
    assert array.dtype == np.uint8
    assert array.size <= 1 << 20


def check_labels(path: Path) -> None:
    """As the loader of data sets reads them: what is let through is what was published."""
    np.testing.assert_array_equal(read_idx(path, **LABELS.expected), load_dataset("digits").test_labels)


def check_checkpoint(path: Path) -> None:
    checkpoint = load_checkpoint(path)
    checkpoint.model(CPU)
    raise AssertionError("a damaged checkpoint was taken for a sound one")


def check_metrics(path: Path) -> None:
    folder = path.with_name("run")
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_bytes(path.read_bytes())
    records = read_metrics(folder)
    epochs = [record["epoch"] for record in records]
    assert epochs == sorted(set(epochs))


KINDS: dict[str, Kind] = {
    "picture": Kind(make_picture, check_picture, ImageError),
    "idx": Kind(make_idx, check_idx, DatasetError),
    "data set": Kind(make_labels, check_labels, DatasetError),
    "checkpoint": Kind(make_checkpoint, check_checkpoint, CheckpointError),
    "metrics": Kind(make_metrics, check_metrics, None),
}


# ---- damage


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The contents with something wrong in them: never the same."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        how, at = rng.randrange(8), rng.randrange(len(data) + 1)
        length = rng.choice((1, 2, 4, 16, 200))
        if how == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif how == 1:
            del data[at:]
        elif how == 2:
            del data[at : at + length]
        elif how == 3:
            data[at:at] = rng.randbytes(length)
        elif how == 4:
            data[at:at] = data[at : at + length]
        elif how == 5:
            data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\n")) * length
        elif how == 6:  # a header that promises much
            data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\x01\0\0", b"\0\0\0\0"))
        else:
            data[at : at + length] = rng.randbytes(length)
    if rng.random() < 0.5:
        data = bytearray(sealed(bytes(data)))
    return bytes(data) if data != content else bytes(data) + b"\n\0"


def sealed(data: bytes) -> bytes:
    """A damaged PNG or gzip file with the sums that its contents now have, as far as it can be followed."""
    if data.startswith(PNG_MAGIC):
        parts, at = [PNG_MAGIC], len(PNG_MAGIC)
        while at + 12 <= len(data):
            end = at + 8 + int.from_bytes(data[at : at + 4], "big")
            if end + 4 > len(data):
                break
            parts += [data[at:end], struct.pack(">I", zlib.crc32(data[at + 4 : end]))]
            at = end + 4
        return b"".join(parts) + data[at:]
    if data.startswith(GZIP_MAGIC):
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            raw = unpacker.decompress(data[10:], 1 << 20)
        except zlib.error:
            return data
        if unpacker.eof:
            packed = data[: len(data) - len(unpacker.unused_data)]
            return packed + struct.pack("<II", zlib.crc32(raw), len(raw)) + unpacker.unused_data[8:]
    return data


@cache
def sound(name: str, number: int) -> bytes:
    """One of the sound files of a kind, of which there are `SOUND`."""
    return KINDS[name].make(random.Random(number))


def try_file(kind: Kind, content: bytes, path: Path) -> str:
    """Read a file of those contents: how it ended. Raises AssertionError if something broke."""
    path.write_bytes(content)
    started, peak = time.monotonic(), _peak_bytes()
    message = None
    try:
        kind.read(path)
    except Exception as error:
        if kind.error is None or not isinstance(error, kind.error):
            raise AssertionError(f"{type(error).__name__}: {error}") from error
        message = str(error)
    if message is not None:
        assert str(path) in message, f"no name in: {message}"
        assert message.isprintable(), f"not one printable line: {message!r}"
    assert time.monotonic() - started < SLOW_SECONDS, "it took too long"
    assert _peak_bytes() - peak < MOST_MEMORY, "it took too much memory"
    return "read" if message is None else "refused"


def _peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@click.command()
@click.option("--files", default=10_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", "only", multiple=True, type=click.Choice(list(KINDS)), help="May be repeated.  [default: all]")
def main(files: int, seed: int, only: tuple[str, ...]) -> None:
    """Read so many damaged files, and report how that ended."""
    chosen = only or tuple(KINDS)
    endings: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    started = time.perf_counter()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("error")
        path = Path(folder) / "file"
        for i in range(files):
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            name, rng = chosen[i % len(chosen)], random.Random(f"{seed} {i}")
            content = damaged(sound(name, rng.randrange(SOUND)), rng)
            try:
                endings[name][try_file(KINDS[name], content, path)] += 1
            except Exception as error:
                kept = Path(tempfile.mkdtemp()) / name
                kept.write_bytes(content)
                raise click.ClickException(f"file {i} of seed {seed}, {name}, kept as {kept}: {error}") from error
    faulthandler.cancel_dump_traceback_later()
    for name in chosen:
        click.echo(f"{name:12} " + ", ".join(f"{ending} {count}" for ending, count in sorted(endings[name].items())))
    click.echo(f"{files} files, seed {seed}, {time.perf_counter() - started:.0f} s: nothing broke")


if __name__ == "__main__":
    main()
