"""IDX files are read exactly or refused, packed or raw."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softgrad.train.data.idx import MAX_BYTES, read_idx, write_idx
from softgrad.train.errors import DatasetError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + bytes(range(24))
GOOD_SUM = hashlib.sha256(CONTENT).hexdigest()
WRONG_SUM = "0" * 64

both = pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])


def store(folder: Path, content: bytes, packed: bool) -> Path:
    # The name says nothing of the packing: the reader must look at the bytes.
    path = folder / "file-idx"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def refused(path: Path, match: str, **expected: object) -> str:
    """Check that a file is refused in one line that names it and says `match`."""
    with pytest.raises(DatasetError, match=match) as caught:
        read_idx(path, **expected)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@both
def test_reads_what_the_format_says(tmp_path: Path, packed: bool) -> None:
    path = store(tmp_path, CONTENT, packed)
    array = read_idx(path, dimensions=3, count=2, sha256=GOOD_SUM)
    np.testing.assert_array_equal(array, ARRAY, strict=True)
    assert array.flags.c_contiguous
    assert array.flags.writeable


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=6)),
    suffix=st.sampled_from(["", ".gz"]),
    fortran=st.booleans(),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, suffix: str, fortran: bool) -> None:
    path = tmp_path_factory.getbasetemp() / f"round-trip{suffix}"
    write_idx(path, np.asfortranarray(array) if fortran else array)
    np.testing.assert_array_equal(read_idx(path), array, strict=True)


def test_writes_the_format_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_idx(tmp_path / "raw", ARRAY)
    assert (tmp_path / "raw").read_bytes() == CONTENT
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, ARRAY)
    packed = (tmp_path / "a.gz").read_bytes()
    assert gzip.decompress(packed) == CONTENT
    assert (tmp_path / "b.gz").read_bytes() == packed
    assert packed[3] == 0, "no name in the gzip header"
    assert packed[4:8] == bytes(4), "no time in the gzip header"


def test_write_refuses_other_arrays(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="array must have dtype uint8, got float32"):
        write_idx(tmp_path / "x", np.zeros(3, np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="array must have 1 to 64 dimensions, got 0"):
        write_idx(tmp_path / "x", np.array(3, np.uint8))
    assert not list(tmp_path.iterdir())


@both
def test_every_truncation_is_refused(tmp_path: Path, packed: bool) -> None:
    whole = store(tmp_path, CONTENT, packed).read_bytes()
    cut = tmp_path / "cut"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        refused(cut, "truncated")


@both
def test_content_too_short_or_too_long(tmp_path: Path, packed: bool) -> None:
    path = store(tmp_path, CONTENT[:-1], packed)
    refused(path, "truncated: the elements should take 24 bytes, found 23")
    path = store(tmp_path, CONTENT + b"x", packed)
    refused(path, "oversized: bytes follow the 24")


def test_every_flipped_bit_of_a_gzip_file_is_noticed_or_harmless(tmp_path: Path) -> None:
    whole = store(tmp_path, CONTENT, packed=True).read_bytes()
    bad = tmp_path / "bad"
    noticed = 0
    for position in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        bad.write_bytes(flipped)
        try:
            # A few bits mean nothing to a reader: the time in the header, the padding of the last block.
            np.testing.assert_array_equal(read_idx(bad), ARRAY, strict=True)
        except DatasetError:
            noticed += 1
    assert noticed > 6 * len(whole)


def test_corrupt_gzip(tmp_path: Path) -> None:
    whole = bytearray(store(tmp_path, CONTENT, packed=True).read_bytes())
    path = tmp_path / "bad"
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    refused(path, "corrupt gzip stream: CRC")
    path.write_bytes(whole[:10] + b"\xff" * 8 + whole[18:])
    refused(path, "corrupt gzip stream")
    path.write_bytes(bytes(whole) + b"rubbish")
    refused(path, "corrupt gzip stream: Not a gzipped file")


@both
def test_wrong_header(tmp_path: Path, packed: bool) -> None:
    refused(store(tmp_path, b"<html>404</html>", packed), "not an IDX file: .* found 3c 68")
    refused(store(tmp_path, b"\0\0\x0d" + CONTENT[3:], packed), "type code must be 0x08 .* found 0x0d")
    path = store(tmp_path, b"\0\0\x08\0" + b"x", packed)
    refused(path, "wrong number of dimensions: expected 1 to 64, found 0")
    path = store(tmp_path, b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"x", packed)
    refused(path, "wrong number of dimensions: expected 1 to 64, found 65")


@both
def test_what_was_expected(tmp_path: Path, packed: bool) -> None:
    path = store(tmp_path, CONTENT, packed)
    refused(path, "wrong number of dimensions: expected 1, found 3", dimensions=1)
    refused(path, "wrong count: expected 60000 items, found 2", count=60000)
    message = refused(path, "SHA-256 of the content is wrong", sha256=WRONG_SUM)
    assert f"expected {WRONG_SUM}, found {GOOD_SUM}" in message


def test_sum_of_the_gzip_file(tmp_path: Path) -> None:
    path = store(tmp_path, CONTENT, packed=True)
    file_sum = hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(read_idx(path, gzip_sha256=file_sum), ARRAY)
    message = refused(path, "SHA-256 of the gzip file is wrong", gzip_sha256=WRONG_SUM)
    assert f"expected {WRONG_SUM}, found {file_sum}" in message
    refused(store(tmp_path, CONTENT, packed=False), "supply the .gz", gzip_sha256=file_sum)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", "No such file")
    refused(tmp_path, "cannot be read")


@both
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 4, (0, 2**32 - 1, 2**32 - 1, 2**32 - 1), (MAX_BYTES + 1,)])
def test_absurd_size_is_refused(tmp_path: Path, packed: bool, shape: tuple[int, ...]) -> None:
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    refused(store(tmp_path, header + b"few", packed), "more than the 1,073,741,824 bytes allowed")


@both
def test_memory_follows_the_file_and_not_its_header(tmp_path: Path, packed: bool) -> None:
    claim = bytes([0, 0, 8, 1]) + struct.pack(">I", MAX_BYTES)
    path = store(tmp_path, claim + b"few", packed)
    tracemalloc.start()
    try:
        refused(path, "truncated: the elements should take 1,073,741,824 bytes, found 3")
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES // 50
    finally:
        tracemalloc.stop()


def test_decompression_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = store(tmp_path, CONTENT + bytes(100_000_000), packed=True)
    tracemalloc.start()
    try:
        refused(path, "oversized")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
