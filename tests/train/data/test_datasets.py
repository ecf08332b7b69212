"""Data sets are found in the right place, fetched, verified, or refused with a message that helps."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from click.testing import CliRunner
from mirrors import Mirror

from softgrad.cli import main
from softgrad.train.data import datasets, download
from softgrad.train.data.catalogue import DATASETS, DatasetSpec, FileSpec
from softgrad.train.data.datasets import load_dataset
from softgrad.train.data.download import download_files
from softgrad.train.data.idx import read_idx, write_idx
from softgrad.train.errors import DatasetError

SHAPE = (4, 5)
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
REAL_MNIST = Path(os.environ.get("SOFTGRAD_DATA", "")) / "mnist"


def small_arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (30, *SHAPE), np.uint8),
        np.arange(30, dtype=np.uint8) % 10,
        rng.integers(0, 256, (10, *SHAPE), np.uint8),
        np.arange(10, dtype=np.uint8)[::-1].copy(),
    ]


def packed_files(folder: Path, arrays: list[np.ndarray]) -> dict[str, bytes]:
    """Return the published files, ``NAME.gz`` to bytes."""
    folder.mkdir()
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(folder / f"{name}.gz", array)
    return {f"{name}.gz": (folder / f"{name}.gz").read_bytes() for name in NAMES}


def small_spec(spec: DatasetSpec, files: dict[str, bytes], *, by_content: bool) -> DatasetSpec:
    """Return the catalogue's row with the sums of small files, and no mirrors."""
    rows = []
    for file, count in zip(spec.files, (30, 30, 10, 10), strict=True):
        data = files[f"{file.name}.gz"]
        digest = hashlib.sha256(gzip.decompress(data) if by_content else data).hexdigest()
        key = "sha256" if by_content else "gzip_sha256"
        rows.append(FileSpec(file.name, file.dimensions, count, **{key: digest}))  # type: ignore[arg-type]
    return replace(spec, files=tuple(rows), mirrors=(), image_shape=SHAPE)


@dataclass
class World:
    """A machine with nothing on it: small data sets in the catalogue, empty folders, no mirrors."""

    root: Path
    arrays: dict[str, list[np.ndarray]]
    files: dict[str, dict[str, bytes]]
    catalogue: dict[str, DatasetSpec]
    shared: Path = field(init=False)
    cache: Path = field(init=False)

    def __post_init__(self) -> None:
        self.shared = self.root / "shared"
        self.cache = self.root / "cache" / "datasets"

    def put(self, root: Path, name: str, *, raw: bool = False, spelling: str = "-idx") -> Path:
        folder = root / name
        folder.mkdir(parents=True)
        for file, data in self.files[name].items():
            target = folder / file.replace("-idx", spelling)
            if raw:
                target.with_suffix("").write_bytes(gzip.decompress(data))
            else:
                target.write_bytes(data)
        return folder

    def mirrors(self, name: str, *addresses: str) -> None:
        self.catalogue[name] = replace(self.catalogue[name], mirrors=addresses)

    def check(self, dataset: datasets.Dataset, name: str) -> None:
        assert dataset.name == name
        images, labels, test_images, test_labels = self.arrays[name]
        np.testing.assert_array_equal(dataset.train_images, images.reshape(30, 20), strict=True)
        np.testing.assert_array_equal(dataset.train_labels, labels.astype(np.int64), strict=True)
        np.testing.assert_array_equal(dataset.test_images, test_images.reshape(10, 20), strict=True)
        np.testing.assert_array_equal(dataset.test_labels, test_labels.astype(np.int64), strict=True)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    arrays = {"mnist": small_arrays(1), "fashion-mnist": small_arrays(2)}
    files = {name: packed_files(tmp_path / f"published-{name}", each) for name, each in arrays.items()}
    catalogue = {
        "mnist": small_spec(DATASETS["mnist"], files["mnist"], by_content=True),
        "fashion-mnist": small_spec(DATASETS["fashion-mnist"], files["fashion-mnist"], by_content=False),
        "digits": DATASETS["digits"],
    }
    monkeypatch.setattr(datasets, "DATASETS", catalogue)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.delenv("SOFTGRAD_DATA", raising=False)
    monkeypatch.delenv("SOFTGRAD_OFFLINE", raising=False)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return World(tmp_path, arrays, files, catalogue)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing = True
        server.shutdown()
        thread.join()


def closed_address() -> str:
    """Return an address of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


# --- names and the embedded set --------------------------------------------------------------------------------


def test_unknown_name() -> None:
    with pytest.raises(
        ValueError, match="dataset must be one of auto, mnist, fashion-mnist, kmnist, digits; got 'mnits'"
    ):
        load_dataset("mnits")


def test_catalogue_is_complete() -> None:
    for name, spec in DATASETS.items():
        assert spec.name == name
        assert len(spec.class_names) == 10
        assert tuple(file.name for file in spec.files) == NAMES
        assert [file.dimensions for file in spec.files] == [3, 1, 3, 1]
        for file in spec.files:
            sums = [digest for digest in (file.sha256, file.gzip_sha256) if digest is not None]
            assert len(sums) == 1
            assert len(bytes.fromhex(sums[0])) == 32
        assert all(mirror.endswith("/") for mirror in spec.mirrors)
        assert bool(spec.mirrors) is (name != "digits")


def test_digits() -> None:
    digits = load_dataset("digits")
    assert (digits.name, digits.note, digits.source) == ("digits", "", "embedded in softgrad")
    assert (digits.image_shape, digits.max_value, digits.classes) == ((8, 8), 16, 10)
    assert digits.class_names == tuple("0123456789")
    for images, labels, count in (
        (digits.train_images, digits.train_labels, 1442),
        (digits.test_images, digits.test_labels, 355),
    ):
        assert images.dtype == np.uint8
        assert images.shape == (count, 64)
        assert images.flags.c_contiguous
        assert (images.min(), images.max()) == (0, 16)
        assert labels.dtype == np.int64
        assert labels.shape == (count,)
    assert np.bincount(digits.test_labels).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]


def test_digits_are_those_of_scikit_learn() -> None:
    source = pytest.importorskip("sklearn.datasets").load_digits()
    digits = load_dataset("digits")
    for label in range(10):
        of_class = source.images[source.target == label].reshape(-1, 64)
        test = np.arange(len(of_class)) % 5 == 4
        np.testing.assert_array_equal(digits.test_images[digits.test_labels == label], of_class[test])
        np.testing.assert_array_equal(digits.train_images[digits.train_labels == label], of_class[~test])


# --- where files are looked for --------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("raw", [False, True], ids=["gz", "raw"])
def test_data_dir(world: World, raw: bool, spelling: str) -> None:
    folder = world.put(world.shared, "mnist", raw=raw, spelling=spelling)
    dataset = load_dataset("mnist", world.shared)
    world.check(dataset, "mnist")
    assert dataset.source == str(folder)
    assert dataset.note == ""


def test_order_of_places(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTGRAD_DATA", str(world.shared))
    places = [world.root / "given", world.shared, world.cache]
    for place in reversed(places):
        folder = world.put(place, "mnist")
        data_dir = place if place == places[0] else None
        assert load_dataset("mnist", data_dir, download=False).source == str(folder)


def test_given_data_dir_is_the_only_place(world: World, monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    monkeypatch.setenv("SOFTGRAD_DATA", str(world.shared))
    world.put(world.shared, "mnist")
    world.put(world.cache, "mnist")
    world.mirrors("mnist", mirror.serve("m", world.files["mnist"]))
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", world.root / "given")
    message = str(caught.value)
    assert f"MNIST is not in {world.root / 'given' / 'mnist'}; put its files (train-images-idx3-ubyte.gz, " in message
    assert all(name in message for name in NAMES)
    assert message.endswith(") there")
    assert not mirror.asked


def test_half_a_set_says_what_is_lacking(world: World) -> None:
    folder = world.put(world.shared, "mnist")
    (folder / f"{NAMES[2]}.gz").unlink()
    with pytest.raises(DatasetError, match=r"is not in .* \(no t10k-images-idx3-ubyte\)"):
        load_dataset("mnist", world.shared)


def test_empty_variable_is_no_folder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTGRAD_DATA", "")
    monkeypatch.chdir(world.root)
    world.put(world.root, "mnist")
    with pytest.raises(DatasetError, match=r"MNIST is not in .*cache"):
        load_dataset("mnist", download=False)


# --- verification ----------------------------------------------------------------------------------------------


def test_mnist_in_place_of_fashion_mnist(world: World) -> None:
    """Some networks serve the one under the other's address: same names, same shapes."""
    world.put(world.shared, "mnist").rename(world.shared / "fashion-mnist")
    with pytest.raises(DatasetError, match=r"SHA-256 of the gzip file is wrong: expected .*, found "):
        load_dataset("fashion-mnist", world.shared)


def test_raw_files_that_cannot_be_verified(world: World) -> None:
    world.put(world.shared, "fashion-mnist", raw=True)
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte: not a gzip file.*supply the \.gz"):
        load_dataset("fashion-mnist", world.shared)


def test_gzip_is_preferred_to_raw(world: World) -> None:
    folder = world.put(world.shared, "fashion-mnist")
    (folder / NAMES[0]).write_bytes(b"raw rubbish")
    world.check(load_dataset("fashion-mnist", world.shared), "fashion-mnist")


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_corrupt_local_file(world: World, name: str) -> None:
    """Also under auto: a damaged MNIST must not pass for an absent one."""
    folder = world.put(world.shared, "mnist", raw=True)
    path = folder / NAMES[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        DatasetError, match=f"{NAMES[0]}: SHA-256 of the content is wrong: expected .*, found .*; replace"
    ):
        load_dataset(name, world.shared)


def test_training_and_test_files_swapped(world: World) -> None:
    folder = world.put(world.shared, "mnist")
    (folder / f"{NAMES[3]}.gz").replace(folder / f"{NAMES[1]}.gz")
    world.put(world.root / "again", "mnist")
    (world.root / "again" / "mnist" / f"{NAMES[1]}.gz").replace(folder / f"{NAMES[3]}.gz")
    with pytest.raises(DatasetError, match=f"{NAMES[1]}.gz: wrong count: expected 30 items, found 10"):
        load_dataset("mnist", world.shared)


def test_images_and_labels_swapped(world: World) -> None:
    folder = world.put(world.shared, "mnist")
    (folder / f"{NAMES[1]}.gz").replace(folder / f"{NAMES[0]}.gz")
    (folder / f"{NAMES[1]}.gz").write_bytes(world.files["mnist"][f"{NAMES[0]}.gz"])
    with pytest.raises(DatasetError, match="wrong number of dimensions: expected 3, found 1"):
        load_dataset("mnist", world.shared)


@pytest.mark.parametrize(
    ("index", "array", "message"),
    [
        (1, np.array([*range(10), 10, *[0] * 19], np.uint8), r"labels must lie in \[0, 10\); found 10 at item 10"),
        (2, np.zeros((10, 5, 4), np.uint8), r"images must be \(4, 5\), found \(5, 4\)"),
    ],
)
def test_sound_files_of_unsound_content(world: World, index: int, array: np.ndarray, message: str) -> None:
    """The sums are those of the files, so that only the check under test can object."""
    world.arrays["mnist"][index] = array
    world.files["mnist"] = packed_files(world.root / "unsound", world.arrays["mnist"])
    world.catalogue["mnist"] = small_spec(DATASETS["mnist"], world.files["mnist"], by_content=True)
    world.put(world.shared, "mnist")
    with pytest.raises(DatasetError, match=f"{NAMES[index]}.gz: {message}"):
        load_dataset("mnist", world.shared)


# --- downloads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_second_mirror_when_the_first_has_nothing(
    world: World, mirror: Mirror, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.mirrors(name, mirror.address("gone"), mirror.serve("good", world.files[name]))
    with caplog.at_level(logging.INFO, "softgrad"):
        world.check(load_dataset(name), name)
    assert leftovers(world.cache / name) == sorted(world.files[name])
    # One failure is enough to leave a mirror, and servers are told not to unpack.
    assert mirror.asked == [f"/gone/{NAMES[0]}.gz", *(f"/good/{file}" for file in world.files[name])]
    assert mirror.encodings == {"identity"}
    assert f"downloading {mirror.address('good')}{NAMES[0]}.gz" in caplog.text
    # And the next load takes the files that are there.
    world.check(load_dataset(name), name)
    assert len(mirror.asked) == 5


def test_mirror_without_any_server(world: World, mirror: Mirror) -> None:
    world.mirrors("mnist", closed_address(), mirror.serve("good", world.files["mnist"]))
    world.check(load_dataset("mnist"), "mnist")


def test_files_of_two_mirrors(world: World, mirror: Mirror) -> None:
    """What the first mirror gave is kept, since it was checked."""
    good = mirror.serve("good", world.files["mnist"])
    half = mirror.serve("half", world.files["mnist"])
    mirror.pages[f"/half/{NAMES[2]}.gz"] = "drop"
    world.mirrors("mnist", half, good)
    world.check(load_dataset("mnist"), "mnist")
    assert mirror.asked == [
        f"/half/{NAMES[0]}.gz",
        f"/half/{NAMES[1]}.gz",
        f"/half/{NAMES[2]}.gz",
        f"/good/{NAMES[2]}.gz",
        f"/good/{NAMES[3]}.gz",
    ]


@pytest.mark.parametrize("raw", [False, True], ids=["gz", "raw"])
def test_only_what_the_cache_lacks_is_fetched(world: World, mirror: Mirror, raw: bool) -> None:
    folder = world.put(world.cache, "mnist", raw=raw)
    (folder / (NAMES[1] if raw else f"{NAMES[1]}.gz")).unlink()
    world.mirrors("mnist", mirror.serve("good", world.files["mnist"]))
    world.check(load_dataset("mnist"), "mnist")
    assert mirror.asked == [f"/good/{NAMES[1]}.gz"]


def test_every_mirror_fails_with_its_own_reason(world: World, mirror: Mirror) -> None:
    closed = closed_address()
    dropping = mirror.serve("dropping", {f"{NAMES[0]}.gz": b""})
    mirror.pages[f"/dropping/{NAMES[0]}.gz"] = "drop"
    wrong = mirror.serve("wrong", world.files["mnist"])
    cut = mirror.serve("cut", {name: data[:-9] for name, data in world.files["fashion-mnist"].items()})
    page = mirror.serve("page", {f"{NAMES[0]}.gz": b"<html>please log in</html>"})
    gone = mirror.address("gone")
    world.mirrors("fashion-mnist", closed, gone, dropping, wrong, cut, page)
    with pytest.raises(DatasetError) as caught:
        load_dataset("fashion-mnist")
    message = str(caught.value)
    first = f"{NAMES[0]}.gz"
    expected = world.catalogue["fashion-mnist"].files[0].gzip_sha256
    for reason in (
        f"{closed}: Connection refused; ",
        f"{gone}{first}: HTTP 404 Not Found; ",
        f"{dropping}{first}: IncompleteRead",
        f"{wrong}{first}: SHA-256 of the gzip file is wrong: expected {expected}, found ",
        f"{cut}{first}: SHA-256",
        f"{page}{first}: not a gzip file",
        "$SOFTGRAD_DATA/fashion-mnist",
        "--data-dir",
    ):
        assert reason in message
    assert "\n" not in message
    assert leftovers(world.cache / "fashion-mnist") == []


@pytest.mark.parametrize("damage", ["cut", "other", "flip"])
def test_wrong_bytes_leave_nothing_behind(world: World, mirror: Mirror, damage: str) -> None:
    files = dict(world.files["mnist"])
    first = f"{NAMES[0]}.gz"
    content = gzip.decompress(files[first])
    files[first], reason = {
        "cut": (files[first][:-9], "truncated"),
        "other": (gzip.compress(content[:-1] + b"x"), "SHA-256 of the content is wrong: expected .*, found "),
        "flip": (files[first][:-8] + b"xxxx" + files[first][-4:], "corrupt gzip stream: CRC"),
    }[damage]
    world.mirrors("mnist", mirror.serve("bad", files))
    with pytest.raises(DatasetError, match=reason):
        load_dataset("mnist")
    assert leftovers(world.cache / "mnist") == []


def test_mirror_that_never_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listening socket that nobody serves: connections succeed and then nothing comes."""
    monkeypatch.setattr(download, "FIRST_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(download, "READ_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.mirrors("mnist", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(DatasetError, match=r"no answer within 0\.1 s"):
            load_dataset("mnist")
        for thread in threading.enumerate():
            if thread.name == "softgrad-probe":
                assert thread.daemon, "it must not delay the end of the program"
                thread.join(timeout=60)
                assert not thread.is_alive()


def test_mirror_that_sends_without_end(world: World, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 100)
    world.mirrors("mnist", mirror.serve("huge", dict.fromkeys(world.files["mnist"], bytes(101))))
    with pytest.raises(DatasetError, match="sends more than the 100 bytes allowed"):
        load_dataset("mnist")


def test_mirror_that_drips(world: World, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then, which no timeout of a connection notices: the next mirror is asked."""
    monkeypatch.setattr(download, "LEAST_RATE_SECONDS", 0.3)
    monkeypatch.setattr(download, "LOOK_SECONDS", 0.02)
    dripping = mirror.serve("drip", dict.fromkeys(world.files["mnist"], b""))
    mirror.pages |= {path: "drip" for path in mirror.pages if path.startswith("/drip/")}
    world.mirrors("mnist", dripping)
    with pytest.raises(DatasetError, match=r"drip/train-images-idx3-ubyte.gz: sends too slowly: \d+ bytes in 0.3 s"):
        load_dataset("mnist")
    assert leftovers(world.cache / "mnist") == []
    world.mirrors("mnist", dripping, mirror.serve("good", world.files["mnist"]))
    world.check(load_dataset("mnist"), "mnist")


def test_the_bar_knows_how_much_will_come(
    world: World, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only a mirror that stops in the midst of a file gives the bar time to be drawn."""
    monkeypatch.setattr(download, "LEAST_RATE_SECONDS", 0.5)
    monkeypatch.setattr(download, "LOOK_SECONDS", 0.02)
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal
    world.mirrors("mnist", mirror.serve("drip", dict.fromkeys(world.files["mnist"], b"")))
    mirror.pages |= dict.fromkeys(mirror.pages, "drip")
    with pytest.raises(DatasetError, match="too slowly"):
        load_dataset("mnist")
    shown = capfd.readouterr().err
    assert f"{NAMES[0]}.gz" in shown
    assert "/1.0 MB" in re.sub("\x1b[^m]*m", "", shown)


@pytest.mark.parametrize("options", [(), ("--quiet",), ("--json",)])
def test_bars_are_for_people(
    world: World, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    world.mirrors("mnist", mirror.serve("good", world.files["mnist"]))
    command = ("train", "--dataset", "mnist", "--epochs", "1", "--hidden", "4", "--batch-size", "16", *options)
    result = CliRunner().invoke(main, [*command, "--run-dir", str(world.root / "run")])
    assert result.exit_code == 0, result.output
    assert (f"{NAMES[0]}.gz" in result.stderr) == (not options)


def test_pipes_among_the_files_are_not_waited_for(world: World) -> None:
    folder = world.put(world.shared, "mnist")
    (folder / f"{NAMES[0]}.gz").unlink()
    os.mkfifo(folder / f"{NAMES[0]}.gz")
    with pytest.raises(DatasetError, match=f"no {NAMES[0]}"):
        load_dataset("mnist", world.shared)
    with pytest.raises(DatasetError, match="cannot be read: no regular file; check the path"):
        read_idx(folder / f"{NAMES[0]}.gz")


def test_cache_that_cannot_be_written(world: World, mirror: Mirror) -> None:
    world.mirrors("mnist", mirror.serve("good", world.files["mnist"]))
    world.cache.parent.mkdir()
    world.cache.write_bytes(b"a file where a folder should be")
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte.gz: cannot be written: "):
        load_dataset("mnist")


def test_check_sees_name_and_content(tmp_path: Path, mirror: Mirror) -> None:
    seen = []

    def check(name: str, file: io.BufferedIOBase) -> None:
        assert not (tmp_path / name).exists(), "checked before it has its name"
        seen.append((name, file.read()))

    download_files(["a", "b"], [mirror.serve("x", {"a": b"A", "b": b"B"})], tmp_path, check)
    assert seen == [("a", b"A"), ("b", b"B")]
    assert (tmp_path / "a").read_bytes() == b"A"
    assert leftovers(tmp_path) == ["a", "b"]


# --- auto and offline ------------------------------------------------------------------------------------------


def test_auto_takes_mnist_from_disk_or_mirror(world: World, mirror: Mirror) -> None:
    world.mirrors("mnist", mirror.serve("good", world.files["mnist"]))
    for _ in range(2):
        dataset = load_dataset("auto")
        world.check(dataset, "mnist")
        assert dataset.note == ""
    assert len(mirror.asked) == 4


def test_auto_falls_back_and_says_so(world: World, mirror: Mirror) -> None:
    closed = closed_address()
    world.mirrors("mnist", closed, mirror.address("gone"))
    dataset = load_dataset("auto")
    assert dataset.name == "digits"
    assert dataset.train_images.shape == (1442, 64)
    assert dataset.note == (
        f"MNIST is not in {world.cache / 'mnist'}, and could not be downloaded ({closed}: Connection refused; "
        f"{mirror.address('gone')}{NAMES[0]}.gz: HTTP 404 Not Found); using the embedded digits set. "
        "For MNIST, put its four files in $SOFTGRAD_DATA/mnist or pass --data-dir."
    )
    # Each mirror was asked once, not once for each of the four files.
    assert mirror.asked == [f"/gone/{NAMES[0]}.gz"]


def test_auto_with_a_data_dir_without_mnist(world: World) -> None:
    """A folder that was named is not passed over in silence."""
    with pytest.raises(DatasetError) as caught:
        load_dataset("auto", world.root / "given")
    message = str(caught.value)
    assert message.startswith(f"MNIST is not in {world.root / 'given' / 'mnist'}; put its files (")
    assert message.endswith(") there; or leave out --data-dir, or name another data set")


@pytest.mark.parametrize("variable", [None, "1", "true"])
def test_offline(world: World, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    world.mirrors("mnist", mirror.serve("good", world.files["mnist"]))
    if variable is not None:
        monkeypatch.setenv("SOFTGRAD_OFFLINE", variable)
    allowed = variable is not None
    reason = ", and downloading is switched off by SOFTGRAD_OFFLINE" if allowed else ""
    with pytest.raises(DatasetError, match=f"mnist{reason}; put its files"):
        load_dataset("mnist", download=allowed)
    dataset = load_dataset("auto", download=allowed)
    assert dataset.name == "digits"
    assert f"mnist{reason}; using the embedded digits set." in dataset.note
    assert not mirror.asked


@pytest.mark.parametrize("variable", ["", "0"])
def test_offline_switched_off(world: World, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("SOFTGRAD_OFFLINE", variable)
    world.mirrors("mnist", mirror.serve("good", world.files["mnist"]))
    world.check(load_dataset("mnist"), "mnist")


def test_network_packages_are_imported_only_to_download() -> None:
    code = "import sys, softgrad.train.data.datasets; sys.exit(bool({'pooch', 'requests'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the real thing --------------------------------------------------------------------------------------------


@pytest.mark.mnist
def test_real_mnist() -> None:
    mnist = load_dataset("mnist", REAL_MNIST.parent)
    assert mnist.train_images.shape == (60000, 784)
    assert mnist.test_images.shape == (10000, 784)
    assert mnist.train_images.mean() / 255 == pytest.approx(0.130660, abs=5e-7)
    assert mnist.train_images.std() / 255 == pytest.approx(0.308108, abs=5e-7)
    counts = np.bincount(mnist.train_labels)
    assert (counts.min(), counts.max()) == (5421, 6742)
    assert mnist.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@pytest.mark.mnist
def test_real_mnist_is_taken_by_auto_and_raw(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for name in NAMES:
        (tmp_path / "mnist" / name).write_bytes(gzip.decompress((REAL_MNIST / f"{name}.gz").read_bytes()))
    assert load_dataset("auto", tmp_path).name == "mnist"
    (tmp_path / "mnist").rename(tmp_path / "fashion-mnist")
    with pytest.raises(DatasetError, match=r"supply the \.gz"):
        load_dataset("fashion-mnist", tmp_path)
