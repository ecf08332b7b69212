"""Rebuild the embedded `digits` data set in train/data/digits from scikit-learn's copy of UCI optdigits.

python tools/make_digits.py            write the four files
python tools/make_digits.py --check    compare them with what would be written; exit 1 on a difference
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from softgrad.train.data.idx import read_idx, write_idx
from softgrad.train.errors import DatasetError

FOLDER = Path(__file__).resolve().parent.parent / "train" / "data" / "digits"

# Within each class, in the order of the file, every fifth image is held out. (Not every fifth of the whole file:
# the labels there come in cycles.)
HOLD_OUT = 5


def split() -> dict[str, NDArray[np.uint8]]:
    """Return the arrays to write, by file name."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    if not np.array_equal(images, digits.images) or images.shape != (1797, 8, 8) or images.max() != 16:
        raise SystemExit("scikit-learn's digits are not 1,797 images of 8 x 8 whole numbers from 0 to 16")
    test = np.zeros(len(labels), bool)
    for label in range(10):
        test[np.flatnonzero(labels == label)[HOLD_OUT - 1 :: HOLD_OUT]] = True
    return {
        "train-images-idx3-ubyte.gz": images[~test],
        "train-labels-idx1-ubyte.gz": labels[~test],
        "t10k-images-idx3-ubyte.gz": images[test],
        "t10k-labels-idx1-ubyte.gz": labels[test],
    }


def content_sum(array: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of an array's unpacked IDX file, as the catalogue in train/data/catalogue.py states it."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return hashlib.sha256(header + array.tobytes()).hexdigest()


@click.command()
@click.option(
    "--check", is_flag=True, help="Write nothing; compare with the files in place and exit 1 on a difference."
)
def main(check: bool) -> None:
    """Write the four files of train/data/digits from scikit-learn's copy of UCI optdigits."""
    differs = False
    for name, array in split().items():
        state = "written"
        if check:
            # The unpacked bytes are what counts: versions of zlib pack the same bytes differently.
            try:
                read_idx(FOLDER / name, sha256=content_sum(array))
                state = "same"
            except DatasetError as error:
                state = f"DIFFERS: {error}"
                differs = True
        else:
            write_idx(FOLDER / name, array)
        click.echo(f"{name}  {'x'.join(map(str, array.shape)):>8}  sha256 {content_sum(array)}  {state}")
        if array.ndim == 1:
            click.echo(f"  images a class: {np.bincount(array).tolist()}")
    sys.exit(differs)


if __name__ == "__main__":
    main()
