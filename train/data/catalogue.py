"""The catalogue of data sets: what each one holds, where it is published, and the sums that prove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class FileSpec:
    """One IDX file of a data set: its name without ``.gz``, and what it must hold, proved by one of two sums.

    `sha256` is the sum of the content, so that a raw file and one packed anew are held to the same; `gzip_sha256`
    is the sum of the .gz as published, for the sets whose publishers state no other.
    """

    name: str
    dimensions: int
    count: int
    sha256: str | None = None
    gzip_sha256: str | None = None

    @property
    def expected(self) -> dict[str, Any]:
        """The keyword arguments with which `read_idx` and `parse_idx` verify this file."""
        return {
            "dimensions": self.dimensions,
            "count": self.count,
            "sha256": self.sha256,
            "gzip_sha256": self.gzip_sha256,
        }


@dataclass(frozen=True)
class DatasetSpec:
    """A row of the catalogue; `files` are the training images and labels, then the test images and labels."""

    name: str
    title: str
    image_shape: tuple[int, int]
    max_value: int
    class_names: tuple[str, ...]
    files: tuple[FileSpec, ...]
    mirrors: tuple[str, ...] = ()


_UNKNOWN = (None,) * 4


def _four_files(
    train_count: int,
    test_count: int,
    *,
    sha256: Sequence[str | None] = _UNKNOWN,
    gzip_sha256: Sequence[str | None] = _UNKNOWN,
) -> tuple[FileSpec, ...]:
    """Return the four files of a set, with the one kind of sum or the other."""
    layout = (
        ("train-images-idx3-ubyte", 3, train_count),
        ("train-labels-idx1-ubyte", 1, train_count),
        ("t10k-images-idx3-ubyte", 3, test_count),
        ("t10k-labels-idx1-ubyte", 1, test_count),
    )
    sums = zip(layout, sha256, gzip_sha256, strict=True)
    return tuple(FileSpec(*file, content, packed) for file, content, packed in sums)


_DIGIT_NAMES = tuple("0123456789")
_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"

_MNIST = DatasetSpec(
    name="mnist",
    title="MNIST",
    image_shape=(28, 28),
    max_value=255,
    class_names=_DIGIT_NAMES,
    files=_four_files(
        60000,
        10000,
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

_FASHION_MNIST = DatasetSpec(
    name="fashion-mnist",
    title="Fashion-MNIST",
    image_shape=(28, 28),
    max_value=255,
    class_names=tuple(_CLOTHES.split(",")),
    files=_four_files(
        60000,
        10000,
        gzip_sha256=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    # The second is plain http, as KMNIST's: the sums protect what arrives.
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)

_KMNIST = DatasetSpec(
    name="kmnist",
    title="KMNIST",
    image_shape=(28, 28),
    max_value=255,
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    files=_four_files(
        60000,
        10000,
        gzip_sha256=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
    mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
)

_DIGITS = DatasetSpec(
    name="digits",
    title="digits",
    image_shape=(8, 8),
    max_value=16,
    class_names=_DIGIT_NAMES,
    files=_four_files(
        1442,
        355,
        sha256=(
            "6c79919002e3ed11143953d311140d576ca9ddd7c446e4f6b3f180db3f338586",
            "997d8237ea59870b42f811eaad3e13914b38ab6a9a5e9ad6affdff0f34e7cfdc",
            "88da4b2d933ed942b8ea93f24d8e589c9c9c227961c9f5667c8e9f8f818b642b",
            "6ff66f7ef309c514bc431118f706c8249a50930d6256e9191340a2d710351535",
        ),
    ),
)

DATASETS: Mapping[str, DatasetSpec] = MappingProxyType(
    {spec.name: spec for spec in (_MNIST, _FASHION_MNIST, _KMNIST, _DIGITS)}
)
