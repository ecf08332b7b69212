"""A short run of the fuzzer of files, and that it finds what is broken; fuzz_files.py makes long ones."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import fuzz_files
import pytest

FILES = 60  # of each kind


@pytest.mark.parametrize("name", fuzz_files.KINDS)
def test_damaged_files_are_refused_or_read(name: str, tmp_path: Path) -> None:
    kind = fuzz_files.KINDS[name]
    sound = [kind.make(random.Random(seed)) for seed in range(3)]
    endings: Counter[str] = Counter()
    for seed in range(FILES):
        rng = random.Random(seed)
        endings[fuzz_files.try_file(kind, fuzz_files.damaged(rng.choice(sound), rng), tmp_path / "file")] += 1
    assert endings["refused" if kind.error else "read"] > FILES // 3


def test_it_finds_what_is_broken(tmp_path: Path) -> None:
    def wrong_error(path: Path) -> None:
        raise KeyError(path)

    def no_name(path: Path) -> None:
        raise ValueError("it does not work")

    def two_lines(path: Path) -> None:
        raise ValueError(f"{path} is bad\nvery bad")

    for read, says in ((wrong_error, "KeyError"), (no_name, "no name in"), (two_lines, "not one printable line")):
        kind = fuzz_files.Kind(lambda rng: b"", read, ValueError)
        with pytest.raises(AssertionError, match=says):
            fuzz_files.try_file(kind, b"x", tmp_path / "file")
