"""Load a data set: look for its files, download them if need be, and verify them every time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softgrad.kernels.storage import user_cache
from softgrad.train.data.catalogue import DATASETS, DatasetSpec
from softgrad.train.data.download import download_files
from softgrad.train.data.idx import parse_idx, read_idx
from softgrad.train.errors import DatasetError

__all__ = ["DATASETS", "Dataset", "DatasetSpec", "load_dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, training and test part.

    Images are uint8, shape (N, height * width), C-contiguous, with pixels from 0 to `max_value`; labels are int64,
    shape (N,), from 0 to `classes` - 1. `source` says where the files lie; `note`, if not empty, says in one plain
    line why this is not the data set that was hoped for.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    image_shape: tuple[int, int]
    max_value: int
    classes: int
    class_names: tuple[str, ...]
    source: str
    note: str = ""


class _NotAtHandError(Exception):
    """Why a data set cannot be had: "is not in ...", to follow its name."""


def load_dataset(name: str, data_dir: str | Path | None = None, *, download: bool = True) -> Dataset:
    """Load a data set by name, from disk if it is there, else from its mirrors; verified every time.

    A set's files lie in a folder of its own, ``mnist/train-images-idx3-ubyte.gz`` and so on, packed or raw. That
    folder is looked for in `data_dir` and nowhere else if it is given; otherwise in ``$SOFTGRAD_DATA``, then in the
    user's cache, into which a download goes.

    Parameters
    ----------
    name
        A name from `DATASETS`, or "auto": MNIST if it can be had, else `digits`, with the reason in `Dataset.note`;
        with a `data_dir` only MNIST.
        The set `digits` is part of the package and is looked for nowhere else.
    data_dir
        The only folder in which to look.
    download
        Whether to use the network; ``SOFTGRAD_OFFLINE=1`` also keeps from it.

    Raises
    ------
    ValueError
        If there is no data set of that name.
    DatasetError
        If the set cannot be had, or a file is damaged or is not what it must be.
    """
    names = ("auto", *DATASETS)
    if name not in names:
        raise ValueError(f"dataset must be one of {', '.join(names)}; got {name!r}")
    if name == "digits":
        return _load_embedded(DATASETS["digits"])
    spec = DATASETS["mnist" if name == "auto" else name]
    try:
        folder, paths = _locate(spec, data_dir, download=download)
    except _NotAtHandError as error:
        wanted = ", ".join(f"{file.name}.gz" for file in spec.files)
        if data_dir is not None:  # where a person says the data are, nothing else will do
            other = "; or leave out --data-dir, or name another data set" if name == "auto" else ""
            raise DatasetError(f"{spec.title} {error}; put its files ({wanted}) there{other}") from error
        place = f"in $SOFTGRAD_DATA/{spec.name} or pass --data-dir"
        if name != "auto":
            raise DatasetError(f"{spec.title} {error}; put its files ({wanted}) {place}") from error
        note = f"{spec.title} {error}; using the embedded digits set. For {spec.title}, put its four files {place}."
        return replace(_load_embedded(DATASETS["digits"]), note=note)
    return _load(spec, paths, source=str(folder))


def is_offline() -> bool:
    """Does ``SOFTGRAD_OFFLINE`` keep from using the network?"""
    return os.environ.get("SOFTGRAD_OFFLINE", "") not in ("", "0")


def _locate(spec: DatasetSpec, data_dir: str | Path | None, *, download: bool) -> tuple[Path, list[Path]]:
    """Return the folder and the four files of a data set, downloading them if that is needed and allowed."""
    cache = user_cache()
    if data_dir is not None:
        roots = [Path(data_dir)]
    else:
        shared = os.environ.get("SOFTGRAD_DATA")
        roots = [*([Path(os.path.expanduser(shared))] if shared else []), *([cache / "datasets"] if cache else [])]

    places = []
    for folder in (root / spec.name for root in roots):
        found = {file.name: _find(folder, file.name) for file in spec.files}
        paths = [path for path in found.values() if path is not None]
        if len(paths) == len(spec.files):
            return folder, paths
        missing = [name for name, path in found.items() if path is None]
        # One file that is there tells of a set half copied: then say what is lacking.
        places.append(f"{folder} (no {', '.join(missing)})" if paths else f"{folder}")
    absent = f"is not in {' or '.join(places)}" if places else "is nowhere to be looked for"

    if data_dir is not None:
        raise _NotAtHandError(absent)
    if is_offline():
        raise _NotAtHandError(f"{absent}, and downloading is switched off by SOFTGRAD_OFFLINE")
    if not download:
        raise _NotAtHandError(absent)
    if cache is None:
        raise _NotAtHandError(f"{absent}, and this user has no home folder to download it to")
    # The cache was looked at last, so `missing` is what it lacks.
    expected = {f"{file.name}.gz": file.expected for file in spec.files if file.name in missing}
    try:
        download_files(list(expected), spec.mirrors, folder, lambda name, file: parse_idx(file, **expected[name]))
    except DatasetError as error:
        raise _NotAtHandError(f"{absent}, and could not be downloaded ({error})") from error
    return folder, [found[file.name] or folder / f"{file.name}.gz" for file in spec.files]


def _find(folder: Path, name: str) -> Path | None:
    """Return the file of that name, packed before raw, also as some mirrors spell it (``train-images.idx3-ubyte``)."""
    names = (name, name.replace("-idx", ".idx"))
    candidates = [folder / f"{variant}{suffix}" for suffix in (".gz", "") for variant in names]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _load_embedded(spec: DatasetSpec) -> Dataset:
    """Load a data set that is part of the package."""
    folder = files("softgrad.train.data") / spec.name
    with (
        as_file(folder / f"{spec.files[0].name}.gz") as train_images,
        as_file(folder / f"{spec.files[1].name}.gz") as train_labels,
        as_file(folder / f"{spec.files[2].name}.gz") as test_images,
        as_file(folder / f"{spec.files[3].name}.gz") as test_labels,
    ):
        paths = (train_images, train_labels, test_images, test_labels)
        return _load(spec, paths, source="embedded in softgrad")


def _load(spec: DatasetSpec, paths: Sequence[Path], source: str) -> Dataset:
    """Read and verify the four files."""
    arrays = [read_idx(path, **file.expected) for path, file in zip(paths, spec.files, strict=True)]
    train_images, test_images = (_flatten(spec, arrays[i], paths[i]) for i in (0, 2))
    train_labels, test_labels = (_as_labels(spec, arrays[i], paths[i]) for i in (1, 3))
    return Dataset(
        name=spec.name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        image_shape=spec.image_shape,
        max_value=spec.max_value,
        classes=len(spec.class_names),
        class_names=spec.class_names,
        source=source,
    )


def _flatten(spec: DatasetSpec, images: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    if images.shape[1:] != spec.image_shape:
        raise DatasetError(f"{path}: images must be {spec.image_shape}, found {images.shape[1:]}; replace the file")
    return images.reshape(len(images), -1)


def _as_labels(spec: DatasetSpec, labels: NDArray[np.uint8], path: Path) -> NDArray[np.int64]:
    classes = len(spec.class_names)
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        raise DatasetError(
            f"{path}: labels must lie in [0, {classes}); found {labels[wrong[0]]} at item {wrong[0]}; replace the file"
        )
    return labels.astype(np.int64)
