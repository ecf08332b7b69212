"""Kill training runs at random moments, go on with them, and see that nothing is lost.

    python tests/accuracy/kill_runs.py [--runs 200] [--seed 0]

Each run is a real process that is killed, once or more, by SIGKILL, SIGTERM, SIGHUP or SIGINT: at any moment, in the
first second, or while it saves. Then it is resumed, or begun anew in its directory where nothing was trained yet, until
it is finished. Of each it is checked that

- it can be resumed or begun anew, whatever the moment of the kill;
- its weights, optimizer state and metrics are those of a run that was never killed, bit for bit;
- no file is left in its directory but those of a run.

Prints how the kills fell, and how the runs went on.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np
from safetensors.numpy import load_file

SETTINGS = ["--dataset", "digits", "--hidden", "32", "--epochs", "12", "--optimizer", "adam", "--quiet"]
FILES = {"best.safetensors", "config.json", "last.safetensors", "metrics.jsonl"}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
MOMENTS = ("any", "first second", "saving")
MOST_KILLS = 3
INTERRUPTED = 130


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """A training process of its own group, silent."""
    command = [sys.executable, "-m", "softgrad.cli", "train", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes], what: str, *, killed: bool = False) -> int:
    """Wait for the end, which must be a good one, or if it was `killed` that of an interruption; its exit code."""
    _, errors = process.communicate(timeout=120)
    code = process.returncode
    if code and not (killed and (code < 0 or code == INTERRUPTED)):
        raise click.ClickException(f"{what} ended with {code}: {errors.decode()}")
    return code


def kill(process: subprocess.Popen[bytes], folder: Path, rng: random.Random, whole_seconds: float) -> str:
    """Send a signal at a random moment; what was done, in words."""
    moment, number = rng.choice(MOMENTS), rng.choice(SIGNALS)
    if moment == "saving":
        # A temporary file is there for a millisecond or so, many times a run.
        until = time.monotonic() + whole_seconds
        time.sleep(rng.uniform(0, whole_seconds / 2))
        while time.monotonic() < until and process.poll() is None:
            if folder.is_dir() and any(name.endswith(".tmp") for name in os.listdir(folder)):
                break
    else:
        time.sleep(rng.uniform(0, 1.0 if moment == "first second" else whole_seconds))
    if process.poll() is not None:
        return "too late"
    process.send_signal(number)
    return f"{signal.Signals(number).name}, {moment}"


def train_with_kills(folder: Path, rng: random.Random, whole_seconds: float, counts: Counter[str]) -> None:
    """Train to the end in the folder, killed up to so many times on the way."""
    for kills in range(rng.randint(1, MOST_KILLS) + 1):
        has_state = (folder / "last.safetensors").exists()
        resumed = has_state or ((folder / "config.json").exists() and rng.random() < 0.5)
        arguments = ["--resume", str(folder)] if resumed else ["--run-dir", str(folder), *SETTINGS]
        if kills:
            counts["resumed" if has_state else "resumed at the beginning" if resumed else "begun anew"] += 1
        process = start(*arguments)
        if kills < MOST_KILLS:
            counts[kill(process, folder, rng, whole_seconds)] += 1
        if finish(process, " ".join(arguments), killed=True) == 0:
            return
    begun = (folder / "config.json").exists()
    arguments = ["--resume", str(folder)] if begun else ["--run-dir", str(folder), *SETTINGS]
    finish(start(*arguments), " ".join(arguments))


def state_of(folder: Path) -> tuple[dict[str, bytes], list[object]]:
    """All tensors of a run's two checkpoints, and its metrics but for times."""
    tensors = {
        f"{name} {tensor}": np.ascontiguousarray(array).tobytes()
        for name in ("last", "best")
        for tensor, array in load_file(folder / f"{name}.safetensors").items()
    }
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timeless = [
        {key: value for key, value in line.items() if key not in ("seconds", "samples_per_second")} for line in lines
    ]
    return tensors, list(timeless)


def kill_runs(runs: int, seed: int, counts: Counter[str]) -> None:
    """So many runs; raises ClickException for one that is not as it should be, with its seed."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        for folder in (whole, Path(scratch) / "timed"):  # the first compiles what is not compiled yet
            started = time.monotonic()
            finish(start("--run-dir", str(folder), *SETTINGS), f"a run in {folder}")
            seconds = time.monotonic() - started
        expected = state_of(whole)
        for number in range(runs):
            folder = Path(scratch) / f"run{number}"
            train_with_kills(folder, random.Random(f"{seed} {number}"), seconds, counts)
            left = set(os.listdir(folder)) ^ FILES
            if left:
                raise click.ClickException(f"run {number} of seed {seed}: its files differ by {sorted(left)}")
            if state_of(folder) != expected:
                raise click.ClickException(f"run {number} of seed {seed} ended with other bits")
            shutil.rmtree(folder)


@click.command()
@click.option("--runs", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(runs: int, seed: int) -> None:
    """Kill so many runs, and report how they went on."""
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    kill_runs(runs, seed, counts)
    for what, count in sorted(counts.items()):
        click.echo(f"{what:30} {count}")
    click.echo(f"{runs} runs, seed {seed}, {time.perf_counter() - started:.0f} s: all ended as if never killed")


if __name__ == "__main__":
    main()
