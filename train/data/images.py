"""Read a picture from disk into the pixels of a data set, for ``softgrad predict``."""

from __future__ import annotations

import logging
import os
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from softgrad.terminal import one_line
from softgrad.train.errors import ImageError
from softgrad.train.regular_file import open_regular

# Pillow logs what it finds wrong with a file, which would be printed raw; the error that follows says it once.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Formats of pixels, whose readers are Pillow's own code and read the one file. Of the others some run programs, as
# Ghostscript for EPS, whatever a file is called.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")

# Tags of TIFF, by which EXIF counts too, and what they can say: EXIF 2.32, 4.6.4; TIFF 6.0, section 4.
ORIENTATION, BITS, PHOTOMETRIC, WHITE_IS_ZERO = 274, 258, 262, 0
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip

# A camera's largest. A picture is held some four times over while it becomes grey: of so many pixels in 0.8 GB.
MOST_PIXELS = 50_000_000

# As many pixels of red, green, blue and transparency, not packed. Some formats are read as a whole, or through notes
# of any length, before a size is known.
MOST_BYTES = 4 * MOST_PIXELS

# How Pillow unpacks a PNG's values of few bits, but not the one among them that is marked as transparent: times this.
FACTORS = {"L;2": 85, "L;4": 17}


def read_image(
    path: str | Path, image_shape: tuple[int, int], max_value: int, *, invert: bool = False
) -> NDArray[np.uint8]:
    """Read a picture as one row of pixels like those of the training images: light strokes on a dark ground.

    Colours become grey by their luminance (ITU-R 601), transparent parts show the background, and a camera's
    orientation mark is obeyed. The picture is scaled, antialiased, to fit `image_shape` with its proportions kept,
    centred, and padded with the background. One that has that shape already keeps its pixels.

    Parameters
    ----------
    path
        A file of one of the `FORMATS`; of an animation, the first frame.
    image_shape
        Height and width of the result.
    max_value
        The value of full brightness, 1 to 255.
    invert
        For dark ink on light paper: the background is white, and the result is inverted.

    Returns
    -------
    uint8 array of shape (height * width,), from 0 to `max_value`; the background is 0.

    Raises
    ------
    ImageError
        If the file is missing, damaged, no picture, of more than `MOST_PIXELS` or `MOST_BYTES`, or has pixels without a
        defined range.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name one image file")
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise ImageError(f"too large: more than {MOST_BYTES:,} bytes; scale it down")
            # Pillow's warnings are about details of a file that no user can act on, except one.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_readable_formats()) as image:
                if image.width * image.height > MOST_PIXELS:  # by its header, before memory is asked for
                    raise Image.DecompressionBombError
                _mark_transparent(image)
                image.load()
                grey = _upright(_to_grey(image, background=255 if invert else 0), image)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image that can be read; save it as PNG or JPEG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{path}: too large: more than {MOST_PIXELS:,} pixels; scale it down") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's decoders answer damaged files with errors of almost any type
        if isinstance(error, OSError) and error.strerror:  # this one came from the system
            raise ImageError(f"{path}: cannot be read: {error.strerror}; check the path") from error
        reason = one_line(str(error)) or type(error).__name__
        raise ImageError(f"{path}: damaged or cannot be decoded: {reason}; save it anew as PNG") from error

    pixels = np.asarray(_fit(ImageOps.invert(grey) if invert else grey, image_shape), np.uint32)
    return ((pixels * max_value + 127) // 255).astype(np.uint8).reshape(-1)


@cache
def _readable_formats() -> list[str]:
    """Those of the `FORMATS` that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _mark_transparent(image: Image.Image) -> None:
    """Make the value that a PNG marks as transparent one of those that its pixels will have; before they are loaded."""
    marked = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or marked is None or not image.tile:
        return
    packing = image.tile[0][3]
    if packing == "RGB;16B":
        raise ImageError("a transparent colour of 16 bits a channel is not told from others; save it as 8-bit PNG")
    if packing in FACTORS:
        image.info["transparency"] = marked * FACTORS[packing]


def _to_grey(image: Image.Image, background: int) -> Image.Image:
    """Return an 8-bit grey image, without transparency."""
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined range; save it as 8-bit PNG")
    # As older versions of Pillow call a 16-bit PNG, and all a PPM of more than 8 bits, which it scales to 16.
    wide = image.mode == "I" and image.format in ("PNG", "PPM")
    if image.mode == "I" and not wide:
        raise ImageError("signed or 32-bit pixels have no defined range; save it as 8-bit PNG")
    if wide or image.mode.startswith("I;16"):
        return _from_16_bits(image, background)
    if image.mode == "La":  # grey multiplied by its opacity, which has but this way
        image = image.convert("LA")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    # Palettes and CMYK know their way to grey only through RGB.
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _from_16_bits(image: Image.Image, background: int) -> Image.Image:
    """The same in 8 bits, which Pillow would clip at 255 instead; of a TIFF also from 12 bits."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    full = (1 << tags.get(BITS, (16,))[0]) - 1
    values = np.minimum(np.arange(1 << 16), full)
    grey = ((full - values if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else values) * 255 + full // 2) // full
    marked = image.info.get("transparency")
    if isinstance(marked, int):  # the value of the pixels that are not to be seen
        grey[marked] = background
    return image.convert("I").point(grey.tolist(), "L")


def _upright(grey: Image.Image, image: Image.Image) -> Image.Image:
    """Turned as the camera's mark in the picture says; if its notes cannot be read, as it is."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # the readers of notes raise almost anything, over pixels that are well
        return grey
    return grey if turn is None else grey.transpose(turn)


def _fit(image: Image.Image, image_shape: tuple[int, int]) -> Image.Image:
    """Scale an image to fit a height and width, and centre it on black."""
    height, width = image_shape
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Hamming has no negative weights: sharper filters leave faint rings on a background that must be exactly 0.
    scaled = image.resize(size, Image.Resampling.HAMMING)
    canvas = Image.new("L", (width, height), 0)
    canvas.paste(scaled, ((width - size[0]) // 2, (height - size[1]) // 2))
    return canvas
