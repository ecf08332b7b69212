"""Read and write IDX files, the format of MNIST and its relatives, packed with gzip or raw.

An IDX file is two zero bytes, one byte for the type of the elements, one for the number of dimensions, then each
dimension as a big-endian 32-bit number, then the elements in C order (Y. LeCun, C. Cortes and C. Burges, "The
MNIST database of handwritten digits", 1998).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softgrad.train.atomic import atomic_write
from softgrad.train.errors import DatasetError
from softgrad.train.regular_file import open_regular

GZIP_MAGIC = b"\x1f\x8b"

UNSIGNED_BYTE = 0x08

# NumPy's own limit.
MAX_DIMENSIONS = 64

# Twenty times MNIST. A header is only a claim: no file makes the reader take more memory than this.
MAX_BYTES = 1 << 30

CHUNK_BYTES = 1 << 20


def read_idx(
    path: str | Path,
    *,
    dimensions: int | None = None,
    count: int | None = None,
    sha256: str | None = None,
    gzip_sha256: str | None = None,
) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes; gzip is known by its first bytes, not by the file's name.

    Parameters
    ----------
    path
        The file.
    dimensions
        The number of dimensions it must have.
    count
        The length its first dimension must have.
    sha256
        The SHA-256, in hexadecimal, that its content must have: header and elements, unpacked.
    gzip_sha256
        The SHA-256 that the file itself must have; only a gzip file can be held to it.

    Returns
    -------
    uint8 array of the shape in the file's header, C-contiguous and writable.

    Raises
    ------
    DatasetError
        If the file is missing, damaged, too short, too long, of another type of element, or not what was expected.
    """
    try:
        with open_regular(path) as file:
            return parse_idx(file, dimensions=dimensions, count=count, sha256=sha256, gzip_sha256=gzip_sha256)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise DatasetError(f"{path}: {error}; replace the file by a good copy") from error


def parse_idx(
    file: io.BufferedIOBase,
    *,
    dimensions: int | None = None,
    count: int | None = None,
    sha256: str | None = None,
    gzip_sha256: str | None = None,
) -> NDArray[np.uint8]:
    """Read IDX from an open, seekable binary file, as `read_idx` does from a path.

    Raises
    ------
    ValueError
        Saying what is wrong with the content; the caller knows where it came from, and the remedy.
    """
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    if gzip_sha256 is not None:
        if not packed:
            raise ValueError("not a gzip file, and only the published .gz can be verified: supply the .gz")
        _check_sum("the gzip file", hashlib.file_digest(file, "sha256").hexdigest(), gzip_sha256)
        file.seek(0)
    if not packed:
        return _parse(file, dimensions, count, sha256)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            return _parse(unpacked, dimensions, count, sha256)
    except EOFError as error:
        raise ValueError("truncated: the gzip stream breaks off") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"corrupt gzip stream: {error}") from error


def _parse(file: io.BufferedIOBase, dimensions: int | None, count: int | None, sha256: str | None) -> NDArray[np.uint8]:
    """Read unpacked IDX: the header is judged before any element is read."""
    magic = _read(file, 4, "the header")
    if magic[:2] != b"\0\0":
        raise ValueError(f"not an IDX file: it must begin with bytes 00 00, found {magic[:2].hex(' ')}")
    if magic[2] != UNSIGNED_BYTE:
        raise ValueError(f"IDX type code must be 0x08 (unsigned byte), found 0x{magic[2]:02x}")
    expected = f"{dimensions}" if dimensions is not None else f"1 to {MAX_DIMENSIONS}"
    if not 1 <= magic[3] <= MAX_DIMENSIONS or dimensions not in (None, magic[3]):
        raise ValueError(f"wrong number of dimensions: expected {expected}, found {magic[3]}")

    lengths = _read(file, 4 * magic[3], "the header")
    shape = struct.unpack(f">{magic[3]}I", lengths)
    if count not in (None, shape[0]):
        raise ValueError(f"wrong count: expected {count} items, found {shape[0]}")
    # A zero among the dimensions must not hide the size of the others, which NumPy counts all the same.
    if math.prod(max(length, 1) for length in shape) > MAX_BYTES:
        raise ValueError(f"the header announces shape {shape}, more than the {MAX_BYTES:,} bytes allowed")

    elements = _read(file, math.prod(shape), "the elements")
    if file.read(1):
        raise ValueError(f"oversized: bytes follow the {len(elements):,} that the header announces")
    if sha256 is not None:
        digest = hashlib.sha256(magic + lengths)
        digest.update(elements)
        _check_sum("the content", digest.hexdigest(), sha256)
    return np.frombuffer(elements, np.uint8).reshape(shape)


def _read(file: io.BufferedIOBase, size: int, part: str) -> bytearray:
    """Read exactly `size` bytes, taking memory as they arrive and not as they are announced."""
    data = bytearray()
    while len(data) < size:
        chunk = file.read(min(CHUNK_BYTES, size - len(data)))
        if not chunk:
            raise ValueError(f"truncated: {part} should take {size:,} bytes, found {len(data):,}")
        data += chunk
    return data


def _check_sum(part: str, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(f"SHA-256 of {part} is wrong: expected {expected}, found {found}")


def write_idx(path: str | Path, array: NDArray[np.uint8]) -> None:
    """Write an IDX file of unsigned bytes, atomically; packed with gzip if the name ends in ``.gz``.

    The same array always gives the same bytes: the gzip header holds neither a time nor a name.

    Parameters
    ----------
    path
        The file; its folder must exist.
    array
        uint8, with 1 to 64 dimensions.

    Raises
    ------
    TypeError
        If `array` is not uint8.
    ValueError
        If `array` has no dimension.
    OSError
        If the file cannot be written.
    """
    if array.dtype != np.uint8:
        raise TypeError(f"array must have dtype uint8, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"array must have 1 to {MAX_DIMENSIONS} dimensions, got 0")
    path = Path(path)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    data = header + array.tobytes()
    if path.suffix == ".gz":
        # `gzip.compress` would let zlib write the header, which then differs between systems and Pythons.
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
            file.write(data)
        data = packed.getvalue()
    atomic_write(path, data)
