"""Read a picture from disk into the pixels of a data set, for ``softgrad predict``."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from softgrad.train.errors import ImageError


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
        A file in any format that Pillow reads; of an animation, the first frame.
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
        If the file is missing, damaged, no picture, too large, or has pixels without a defined range.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name one image file")
    try:
        with warnings.catch_warnings():
            # Pillow's warnings are about details of a file that no user can act on, except one.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                grey = _to_grey(ImageOps.exif_transpose(image), background=255 if invert else 0)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image that can be read; save it as PNG or JPEG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{path}: too large: more than {Image.MAX_IMAGE_PIXELS:,} pixels; scale it down") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's decoders answer damaged files with errors of almost any type
        if isinstance(error, OSError) and error.strerror:  # this one came from the system
            raise ImageError(f"{path}: cannot be read: {error.strerror}; check the path") from error
        reason = " ".join(str(error).split())
        raise ImageError(f"{path}: damaged or cannot be decoded: {reason}; save it anew as PNG") from error

    pixels = np.asarray(_fit(ImageOps.invert(grey) if invert else grey, image_shape), np.uint32)
    return ((pixels * max_value + 127) // 255).astype(np.uint8).reshape(-1)


def _to_grey(image: Image.Image, background: int) -> Image.Image:
    """Return an 8-bit grey image, without transparency."""
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined range; save it as 8-bit PNG")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow would clip at 255. Mode I holds 32 bits; what it carries in practice is a 16-bit PNG.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("32-bit pixels have no defined range; save it as 8-bit PNG")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    # Palettes and CMYK know their way to grey only through RGB.
    return image if image.mode == "L" else image.convert("RGB").convert("L")


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
