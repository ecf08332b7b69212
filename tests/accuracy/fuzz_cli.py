"""Call the command line with hostile arguments, paths, variables and widths, at random, and see that nothing breaks.

    python tests/accuracy/fuzz_cli.py [--calls 2000] [--seed 0]

In this process, in a folder of its own. Of each call it is checked that

- it ends with 0, 1 or 2, and with 2 only where something that was given can be named;
- an error is a line that begins with "Error: ", and nothing is unexpected;
- nothing that a terminal would obey is printed, and what is asked for as JSON is JSON;
- no file that it was given is changed, and nothing is written beside the folder.

A failing call is printed with the seed that repeats it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result
from PIL import Image

from softgrad.cli import main as command_line
from softgrad.train import strict_json

ENDLESS = "9" * 40  # epochs
TEXTS = (
    "", " ", "x", "-", "--", "-1", "0", "1", "2", "1e999", "nan", "inf", "-0", "1_0", "٣", ENDLESS, "0x10", "none",
    "None", "true", "a" * 5000, "\x1b[2J", "\x9b2J", "a\nb", "\r", "\t", "\x7f", "\u202e", "\u2028", ":100:", "[bold]",
    "[/]", "%s", "{}", "$HOME", "~", "~nobody", "~/x", "'", '"', "\\", "\udcff", "é", "😀", "a=b", "-h", "1,2", "\0",
    ",", "8,", "8,0", "8,-1",
)  # fmt: skip
NAMES = ("plain", "with  spaces", "a\tb", "a\nb", "\x1b[31mred", "\x9b", "\u202egnp", ":100:", "[bold]", "it's", "é",
         "日本", "\udcff\udcfe", "-dash", "~", "$(x)", "%d", "%PDF")  # fmt: skip
CHOICES: dict[str, tuple[str, ...]] = {
    "--dataset": ("digits", "auto", "mnist"),
    "--backend": ("cpu", "auto", "gpu"),
    "--model": ("mlp", "softmax", "perceptron", "adaline", "logistic"),
    "--hidden": ("8", "4,4", "none"),
    "--activation": ("relu", "gelu"),
    "--optimizer": ("sgd", "nesterov", "adam", "adamw"),
    "--lr": ("0.1", "1e-5", "1e30"),
    "--momentum": ("0.9",),
    "--beta1": ("0.5",),
    "--weight-decay": ("0", "0.1"),
    "--schedule": ("constant", "step", "cosine"),
    "--warmup-steps": ("0", "1"),
    "--decay": ("0.5",),
    "--decay-steps": ("3",),
    "--batch-size": ("128", "1442"),
    "--epochs": ("1", "2"),
    "--seed": ("0", "1"),
    "--dtype": ("float32", "float64"),
    "--split": ("test", "train"),
    "--top": ("1", "3", "99"),
    "--temperature": ("0", "1", "inf"),
}
PATHS = ("--run-dir", "--resume", "--data-dir")
FLAGS = {
    "train": ("--json", "--quiet", "--nonsense", "--help"),
    "evaluate": ("--json", "--nonsense"),
    "predict": ("--json", "--invert", "--nonsense"),
    "doctor": ("--json",),
}
OF_COMMAND = {
    "train": [name for name in CHOICES if name not in ("--split", "--top", "--temperature")] + list(PATHS),
    "evaluate": ["--dataset", "--split", "--backend", "--data-dir"],
    "predict": ["--top", "--temperature", "--backend"],
    "doctor": ["--data-dir"],
}
WIDTHS = ("", "0", "1", "7", "30", "40", "80", "120", "-1", "x", "²", "9" * 30)

# What a terminal obeys; of the outputs the tab, a name's, and the end of a line are left.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Broken(Exception):
    """What a call did that it must not."""


class Place:
    """A folder with what the calls are given: a run, pictures, and files of every wrong kind under hostile names."""

    def __init__(self, root: Path) -> None:
        self.inside, beside = root / "inside", root / "beside"
        for folder in (self.inside / "given", self.inside / "home", beside):
            folder.mkdir(parents=True)
        (beside / "keep").write_text("kept")
        self.root = root
        self.run = self.inside / "run"
        made = CliRunner().invoke(
            command_line, ["train", "--dataset", "digits", "--hidden", "4", "--epochs", "1", "--run-dir", str(self.run)]
        )
        if made.exit_code:
            raise click.ClickException(made.output)
        self.given = [self._given(i, name) for i, name in enumerate(NAMES)]
        self.pictures = self.given[::3]
        self.before = self.state()

    def _given(self, i: int, name: str) -> Path:
        path = self.inside / "given" / name
        checkpoint = (self.run / "last.safetensors").read_bytes()
        picture = io.BytesIO()
        Image.new("L", (8, 8), 255).save(picture, "PNG")
        png = picture.getvalue()
        contents = (png, b"", checkpoint[:-1], png, b"text", checkpoint, png, checkpoint[:9], None)
        content = contents[i % len(contents)]
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        return path

    def state(self) -> dict[Path, str]:
        """The digests of what was given, and the names of what lies beside."""
        files = [path for path in self.given if path.is_file()]
        digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        return digests | dict.fromkeys([*self.root.glob("*"), *(self.root / "beside").glob("*")], "")

    def path(self, draw: random.Random) -> str:
        """A path inside, of what is there or not."""
        name = draw.choice(NAMES)
        kind = draw.randrange(6)
        if kind == 0:
            return str(self.run)
        if kind == 1:
            return str(draw.choice(self.given) / name)
        if kind == 2:
            return draw.choice(["", "new/" + name, "n" * 300, "\0", "~/" + name, "/proc/x", "/dev/null", "."])
        return str(draw.choice(self.given)) if kind < 5 else str(self.run / "last.safetensors")


def arguments(draw: random.Random, place: Place) -> list[str]:
    """A command with some of its options, most of them right."""
    if draw.random() < 0.03:
        return [draw.choice((*TEXTS, "bench", "train"))][: draw.randrange(2)]
    command = draw.choice(("train", "train", "train", "evaluate", "predict", "predict", "doctor"))
    given = [command]
    if command == "train":
        given += ["--epochs=1", "--hidden=4", "--dataset=digits", f"--run-dir=new/{draw.randrange(10**9)}"][
            : draw.choice((4, 4, 4, 3))
        ]
        if draw.random() < 0.1:
            given = ["train"]
            given += ["--resume", place.path(draw)]
    elif command != "doctor":
        given += [str(place.run) if draw.random() < 0.5 else place.path(draw)]
        given += (
            [str(draw.choice(place.pictures)), place.path(draw)][: draw.randrange(1, 3)] if command == "predict" else []
        )
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        name = draw.choice(OF_COMMAND[command])
        value = place.path(draw) if name in PATHS else draw.choice(CHOICES[name] if draw.random() < 0.8 else TEXTS)
        if name == "--epochs" and value == ENDLESS:
            continue
        given += [f"{name}={value}"] if draw.random() < 0.5 else [name, value]
    if draw.random() < 0.5:
        given.insert(draw.randrange(1, len(given) + 1), draw.choice(FLAGS[command]))
    if draw.random() < 0.05:
        given.insert(draw.randrange(len(given) + 1), draw.choice(TEXTS))
    return given


def variables(draw: random.Random, place: Place) -> dict[str, str | None]:
    """Environment variables; the network stays switched off."""
    found: dict[str, str | None] = {"SOFTGRAD_OFFLINE": "1", "HOME": str(place.inside / "home"), "SOFTGRAD_DATA": None}
    if draw.random() < 0.5:
        found["COLUMNS"] = draw.choice(WIDTHS)
    if draw.random() < 0.2:
        found["LINES"] = draw.choice(WIDTHS)
    if draw.random() < 0.2:
        found["SOFTGRAD_DATA"] = str(draw.choice(place.given))
    if draw.random() < 0.2:
        option = draw.choice([*CHOICES, "--json", "--quiet"])
        command = draw.choice(("TRAIN", "EVALUATE", "PREDICT"))
        name = f"SOFTGRAD_{command}_{option[2:].replace('-', '_').upper()}"
        found[name] = draw.choice([text for text in TEXTS if "\0" not in text])
    return found


def check(result: Result, given: list[str], place: Place) -> None:
    """Raise Broken unless the call did what it may."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise Broken(f"raised {type(result.exception).__name__}: {result.exception}")
    if result.exit_code not in (0, 1, 2):
        raise Broken(f"ended with {result.exit_code}")
    for text in (result.stdout, result.stderr):
        if found := OBEYED.search(text):
            raise Broken(f"printed {found[0]!r} in {text[max(0, found.start() - 40) : found.end() + 10]!r}")
    if "(unexpected:" in result.stderr or "Traceback" in result.output:
        raise Broken(f"did not expect: {result.stderr}")
    lines = result.stderr.splitlines()
    is_help = "Usage:" in result.output
    if result.exit_code and not is_help and not (lines and all(line.startswith("Error: ") for line in lines)):
        raise Broken(f"ended with {result.exit_code} and said {result.stderr!r}")
    if result.exit_code == 2 and not is_help and len(lines) != 1:
        raise Broken(f"used {len(lines)} lines: {result.stderr}")
    if "--json" in given and not is_help and result.exit_code == 0:
        for line in result.stdout.splitlines():
            strict_json.loads(line)
    if place.state() != place.before:
        raise Broken("changed what it was given, or wrote beside its folder")


@contextlib.contextmanager
def a_place() -> Iterator[Place]:
    """A place, with the working directory inside it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        place = Place(Path(root))
        os.chdir(place.inside)
        try:
            yield place
        finally:
            os.chdir(before)


def fuzz(calls: int, seed: int) -> Counter[tuple[str, int]]:
    """Make so many calls; how often each command ended with each code."""
    endings: Counter[tuple[str, int]] = Counter()
    with a_place() as place:
        for i in range(calls):
            draw = random.Random((seed << 32) + i)
            given, environment = arguments(draw, place), variables(draw, place)
            charset = draw.choice(("utf-8", "utf-8", "ascii", "latin-1"))
            result = CliRunner(charset=charset).invoke(command_line, given, env=environment, color=True)
            try:
                check(result, given, place)
            except Exception as error:
                changed = {name: value for name, value in environment.items() if name != "HOME"}
                raise click.ClickException(
                    f"call {i} of seed {seed}, {given!r} with {changed!r} in {charset}: {error}"
                ) from error
            endings[given[0] if given and given[0] in OF_COMMAND else "other", result.exit_code] += 1
            shutil.rmtree(place.inside / "new", ignore_errors=True)
    return endings


@click.command()
@click.option("--calls", default=2000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(**settings: Any) -> None:
    """Make so many calls, and report how they ended."""
    started = time.perf_counter()
    endings = fuzz(**settings)
    for (command, code), count in sorted(endings.items()):
        click.echo(f"{command:10} {code} {count:8}")
    click.echo(
        f"{endings.total()} calls, seed {settings['seed']}, {time.perf_counter() - started:.0f} s: nothing broke"
    )


if __name__ == "__main__":
    main()
