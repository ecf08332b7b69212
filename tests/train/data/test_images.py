"""Pictures of every kind become the pixels that the training images would have had."""

from __future__ import annotations

import errno
import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softgrad.train.data.images import read_image
from softgrad.train.errors import ImageError

SHAPE = (4, 4)
GREY = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


def save(folder: Path, image: Image.Image, name: str = "image.png", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def solid(mode: str, colour: object, size: tuple[int, int] = (4, 4)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


@pytest.mark.parametrize("as_text", [False, True])
def test_right_size_passes_through(tmp_path: Path, as_text: bool) -> None:
    path = save(tmp_path, Image.fromarray(GREY))
    pixels = read_image(str(path) if as_text else path, SHAPE, 255)
    np.testing.assert_array_equal(pixels, GREY.reshape(-1), strict=True)


def test_shape_is_height_by_width(tmp_path: Path) -> None:
    wide = np.arange(28, dtype=np.uint8).reshape(4, 7)
    path = save(tmp_path, Image.fromarray(wide))
    np.testing.assert_array_equal(read_image(path, (4, 7), 255), wide.reshape(-1), strict=True)


def test_scaling_to_max_value_rounds(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = save(tmp_path, Image.fromarray(ramp))
    expected = np.floor(np.arange(256) * 16 / 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path, (16, 16), 16), expected, strict=True)


def test_invert(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(GREY))
    np.testing.assert_array_equal(read_image(path, SHAPE, 255, invert=True), 255 - GREY.reshape(-1), strict=True)


# --- modes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (solid("1", 1), "i.png", 255),
        (solid("L", 77), "i.png", 77),
        (solid("LA", (77, 255)), "i.png", 77),
        (solid("RGB", (255, 0, 0)), "i.png", 76),
        (solid("RGB", (0, 255, 0)), "i.png", 150),
        (solid("RGB", (0, 0, 255)), "i.png", 29),
        (solid("RGB", (9, 9, 9)), "i.bmp", 9),
        (solid("RGBA", (0, 255, 0, 255)), "i.png", 150),
        (solid("RGB", (0, 255, 0)).quantize(4), "i.png", 150),
        (solid("CMYK", (0, 0, 0, 0)), "i.tif", 255),
        (solid("CMYK", (255, 0, 255, 0)), "i.tif", 150),
        (solid("I;16", 65535), "i.png", 255),
        (solid("I;16", 257 * 77), "i.png", 77),
        (solid("I;16", 257 * 77), "i.tif", 77),
        (solid("I;16", 257 * 77 + 129), "i.png", 78),
        (solid("I", 257 * 77), "i.ppm", 77),
        (solid("I;16", 257 * 77), "i.pgm", 77),
        (solid("LAB", (128, 128, 128)), "i.tif", 119),
        (solid("YCbCr", (77, 128, 128)), "i.jpg", 77),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_modes(tmp_path: Path, image: Image.Image, name: str, expected: int) -> None:
    path = save(tmp_path, image, name)
    assert read_image(path, SHAPE, 255).tolist() == [expected] * 16


@pytest.mark.parametrize(("invert", "half"), [(False, 100), (True, 27.5)], ids=["on black", "on white"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_shows_the_background(tmp_path: Path, mode: str, invert: bool, half: float) -> None:
    """Half of 200 on black is 100; on white it is 100 + 127.5, which inverts to 27.5."""
    colour = (200,) * (len(mode) - 1)
    path = save(tmp_path, solid(mode, (*colour, 0)))
    assert read_image(path, SHAPE, 255, invert=invert).tolist() == [0] * 16
    path = save(tmp_path, solid(mode, (*colour, 128)))
    np.testing.assert_allclose(read_image(path, SHAPE, 255, invert=invert), half, atol=1)


@pytest.mark.parametrize(
    "image", [solid("P", 3), solid("L", 3), solid("RGB", (3, 3, 3))], ids=["palette", "grey", "colour"]
)
def test_colour_marked_as_transparent(tmp_path: Path, image: Image.Image) -> None:
    mark = (3, 3, 3) if image.mode == "RGB" else 3
    if image.mode == "P":
        image.putpalette([90] * 768)
    path = save(tmp_path, image, transparency=mark)
    assert read_image(path, SHAPE, 255).tolist() == [0] * 16
    assert read_image(path, SHAPE, 255, invert=True).tolist() == [0] * 16


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    path = save(tmp_path, solid("L", 10), "image.gif", save_all=True, append_images=[solid("L", 200)], duration=100)
    assert read_image(path, SHAPE, 255).tolist() == [10] * 16


@pytest.mark.parametrize("value", [70000, 3])
@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_range(tmp_path: Path, mode: str, value: int) -> None:
    path = save(tmp_path, solid(mode, value), "image.tif")
    with pytest.raises(ImageError, match=r"image.tif: .* have no defined range; save it as 8-bit PNG"):
        read_image(path, SHAPE, 255)


def test_orientation_mark_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    path = save(tmp_path, Image.fromarray(GREY), exif=exif)
    np.testing.assert_array_equal(read_image(path, SHAPE, 255).reshape(SHAPE), np.rot90(GREY, -1))


# --- geometry --------------------------------------------------------------------------------------------------


def test_proportions_are_kept_and_the_rest_is_background(tmp_path: Path) -> None:
    tall = save(tmp_path, solid("L", 255, (20, 40)), "tall.png")
    expected = np.zeros((8, 8), np.uint8)
    expected[:, 2:6] = 255
    np.testing.assert_array_equal(read_image(tall, (8, 8), 255).reshape(8, 8), expected)
    wide = save(tmp_path, solid("L", 255, (4, 2)), "wide.png")
    np.testing.assert_array_equal(read_image(wide, (8, 8), 255).reshape(8, 8), expected.T)


def test_padding_is_black_after_inversion(tmp_path: Path) -> None:
    path = save(tmp_path, solid("L", 0, (1, 4)))
    pixels = read_image(path, SHAPE, 16, invert=True).reshape(SHAPE)
    assert pixels.tolist() == [[0, 16, 0, 0]] * 4


@pytest.mark.parametrize("size", [(1000, 1), (1, 1000)])
def test_extreme_proportions(tmp_path: Path, size: tuple[int, int]) -> None:
    """The short side rounds to zero pixels and must stay one."""
    pixels = read_image(save(tmp_path, solid("L", 255, size)), (8, 8), 255)
    assert np.count_nonzero(pixels) == 8


def test_scaling_is_antialiased(tmp_path: Path) -> None:
    """Fine stripes become their mean; picking single pixels would give black or white."""
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    pixels = read_image(save(tmp_path, Image.fromarray(stripes)), (8, 8), 255)
    np.testing.assert_allclose(pixels, 127.5, atol=16)


def test_a_digit_drawn_large_comes_back(tmp_path: Path) -> None:
    """An edge loses 6 % to its neighbour, a corner twice that; one pixel further the background is exactly 0."""
    small = np.zeros((8, 8), np.uint8)
    small[2:6, 3:5] = 255
    path = save(tmp_path, Image.fromarray(255 - np.kron(small, np.ones((50, 50), np.uint8))))
    pixels = read_image(path, (8, 8), 255, invert=True).reshape(8, 8)
    np.testing.assert_allclose(pixels.astype(int), small, atol=30)
    around = np.ones((8, 8), bool)
    around[1:7, 2:6] = False
    assert not pixels[around].any()


def test_warnings_of_pillow_do_not_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors in these tests, so one that leaked would be seen."""
    path = save(tmp_path, Image.fromarray(GREY))
    plain_open = Image.open

    def warning_open(path: Path, **options: object) -> Image.Image:
        warnings.warn("Metadata Warning, tag 256 had too many entries", UserWarning, stacklevel=2)
        return plain_open(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", warning_open)
    np.testing.assert_array_equal(read_image(path, SHAPE, 255), GREY.reshape(-1))


# --- errors ----------------------------------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        read_image(path, SHAPE, 255)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", "cannot be read: No such file or directory; check the path")
    refused(tmp_path, "is a folder; name one image file")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", deny)
    refused(tmp_path / "image.png", "cannot be read: Permission denied; check the path")


@pytest.mark.parametrize("content", [b"", b"this is text", b"\x89PNG\r\n\x1a\n"])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    refused(path, "not an image that can be read|damaged or cannot be decoded")


@pytest.mark.parametrize("name", ["i.png", "i.jpg", "i.gif", "i.bmp", "i.tif", "i.webp"])
def test_truncated(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    whole = save(tmp_path, Image.fromarray(noise), name).read_bytes()
    for part in (2, 3, 5):
        (tmp_path / name).write_bytes(whole[: len(whole) // part])
        refused(tmp_path / name, "not an image that can be read|damaged or cannot be decoded")


def test_every_damage_of_a_png_is_refused_or_harmless(tmp_path: Path) -> None:
    """Whatever Pillow raises, and it raises much, arrives as ImageError; nothing warns."""
    whole = save(tmp_path, Image.fromarray(GREY)).read_bytes()
    path = tmp_path / "bad.png"
    refusals = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_image(path, SHAPE, 255)
        except ImageError:
            refusals += 1
    assert refusals > len(whole) // 2


def png(width: int, height: int, bits: int, colours: int, row: bytes, **chunks: bytes) -> bytes:
    """The bytes of a PNG by its specification, of so many bits in that type of colour, each row the same."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    before = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * height if row else b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + chunk(b"IEND", b"")


def bomb(path: Path, side: int) -> Path:
    """Write a PNG that announces side x side pixels."""
    path.write_bytes(png(side, side, 8, 0, b""))
    return path


def test_a_value_marked_as_transparent_in_16_bits(tmp_path: Path) -> None:
    values = np.array([[257 * 200, 9, 257 * 50, 9]] * 4, np.uint16)
    path = save(tmp_path, Image.fromarray(values), transparency=9)
    assert read_image(path, SHAPE, 255).tolist() == [200, 0, 50, 0] * 4
    assert read_image(path, SHAPE, 255, invert=True).tolist() == [55, 0, 205, 0] * 4


@pytest.mark.parametrize(
    ("bits", "row", "marked", "expected"),
    [
        (1, b"\xb0", 1, [0, 0, 0, 0]),
        (1, b"\xb0", 0, [255, 0, 255, 255]),
        (2, b"\x1b", 2, [0, 85, 0, 255]),
        (4, b"\x12\x3f", 2, [17, 0, 51, 255]),
        (8, b"\1\2\3\xc8", 200, [1, 2, 3, 0]),
        (16, struct.pack(">4H", 0, 0x1234, 0x1299, 0xFFFF), 0x1234, [0, 0, 19, 255]),
    ],
)
def test_a_value_marked_as_transparent_in_so_many_bits(
    tmp_path: Path, bits: int, row: bytes, marked: int, expected: list[int]
) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(4, 1, bits, 0, row, tRNS=struct.pack(">H", marked)))
    assert read_image(path, (1, 4), 255).tolist() == expected


def test_a_colour_of_16_bits_marked_as_transparent(tmp_path: Path) -> None:
    """Its pixels arrive in 8 bits, in which other colours look the same."""
    path = tmp_path / "image.png"
    path.write_bytes(png(2, 1, 16, 2, struct.pack(">6H", *[0x6400] * 3, *[0x6434] * 3), tRNS=b"\x64\x34" * 3))
    refused(path, "transparent colour of 16 bits .* save it as 8-bit PNG")


def tiff(bits: int, samples: int, row: bytes, **tags: int) -> bytes:
    """The bytes of a TIFF of four pixels by its specification; PhotometricInterpretation and ExtraSamples by name."""
    entries = {256: 4, 257: 1, 258: bits, 259: 1, 262: tags.get("photometric", 1), 273: 8, 277: samples, 279: len(row)}
    if samples > 1:  # two shorts lie in the entry itself
        entries |= {258: bits | bits << 16, 338: tags["extra"]}
    assert len(row) % 2 == 0
    entry = struct.Struct("<HHII")
    listed = [entry.pack(tag, 3, 2 if tag == 258 and samples > 1 else 1, entries[tag]) for tag in sorted(entries)]
    return (
        struct.pack("<4sI", b"II*\0", 8 + len(row)) + row + struct.pack("<H", len(listed)) + b"".join(listed) + bytes(4)
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tiff(12, 1, b"\x00\x07\xff\x80\x0f\xff"), [0, 127, 128, 255]),
        (tiff(8, 2, b"\x09\xff\x64\x80\0\0\xff\xff", extra=1), [9, 100, 0, 255]),
        (tiff(8, 2, b"\x09\xff\xc8\x80\x63\0\xff\xff", extra=2), [9, 100, 0, 255]),
        (tiff(8, 2, b"\x09\xff\xc8\x80\x63\0\xff\xff", extra=0), [9, 200, 99, 255]),
        (tiff(1, 1, b"\x60\0", photometric=0), [255, 0, 0, 255]),
    ],
    ids=["12 bits", "opacity within", "opacity", "a channel of no meaning", "white is zero"],
)
def test_tiff_of_every_make(tmp_path: Path, content: bytes, expected: list[int]) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    assert read_image(path, (1, 4), 255).tolist() == expected


def test_white_that_is_zero_in_16_bits(tmp_path: Path) -> None:
    plain = save(tmp_path, solid("I;16", 257 * 77), "i.tif")
    content = plain.read_bytes()
    photometric = struct.pack("<HHIH", 262, 3, 1, 1)
    assert content.count(photometric) == 1
    plain.write_bytes(content.replace(photometric, struct.pack("<HHIH", 262, 3, 1, 0)))
    assert read_image(plain, SHAPE, 255).tolist() == [255 - 77] * 16


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 30, b"junk"]
)
def test_notes_that_cannot_be_read_do_not_hide_the_pixels(tmp_path: Path, exif: bytes) -> None:
    path = save(tmp_path, Image.fromarray(GREY), exif=exif)
    np.testing.assert_array_equal(read_image(path, SHAPE, 255), GREY.reshape(-1))


def test_what_runs_programs_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a program was run")

    monkeypatch.setattr("subprocess.Popen.__init__", run)
    path = tmp_path / "photo.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    refused(path, "not an image that can be read")


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), Path(os.devnull)):
        refused(path, "cannot be read: no regular file; check the path")


def test_what_unpacks_to_too_much_is_refused_by_its_header(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 8000)  # Pillow would not even warn
    tracemalloc.start()
    refused(path, "too large: more than 50,000,000 pixels; scale it down")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("head", [b"RIFF\xff\xff\xff\xffWEBP", b"\x89PNG\r\n\x1a\n", b""])
def test_a_file_beyond_any_picture_is_not_read(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "image.webp"
    with path.open("wb") as file:  # which takes no room on the disk
        file.write(head)
        file.truncate(1 << 32)
    tracemalloc.start()
    refused(path, "too large: more than 200,000,000 bytes; scale it down")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("side", [10_000, 60_000], ids=["Pillow warns", "Pillow raises"])
def test_decompression_bomb(tmp_path: Path, side: int) -> None:
    refused(bomb(tmp_path / "bomb.png", side), "too large: more than 50,000,000 pixels; scale it down")
