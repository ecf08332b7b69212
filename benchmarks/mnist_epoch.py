"""Time an epoch of a 784-256-128-10 MLP on MNIST: softgrad's trainer beside PyTorch's, in turn, each in its process.

    python benchmarks/mnist_epoch.py --data-dir FOLDER [--rounds 5] [--threads 2] [--peer-python PYTHON]

Both sides train the same network on the same images in batches of 128: float32, ReLU, softmax cross-entropy, SGD with
Nesterov momentum 0.9 and weight decay 5e-4, a new order every epoch. softgrad gathers and standardises uint8 pixels in
every batch and counts the accuracy; PyTorch is given the standardised floats and counts nothing. Processes alternate,
since the thread pools of two BLAS libraries in one process disturb each other. OPENBLAS_CORETYPE is unset for both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

from softgrad.bench.copy_rate import copy_rate
from softgrad.bench.run import environment_for

EPOCHS = 4  # in each process: the first warms up and is not counted


def softgrad_seconds(data_dir: Path) -> tuple[list[float], float]:
    """Seconds of each epoch after the first, and the test accuracy, by softgrad."""
    from softgrad.ops.backend import get_backend
    from softgrad.train import TrainConfig, Trainer, load_dataset

    config = TrainConfig(dataset="mnist", epochs=EPOCHS)
    trainer = Trainer(config, load_dataset("mnist", data_dir), get_backend("cpu"))
    records = list(trainer.fit())
    return [record.seconds for record in records[1:]], records[-1].test_accuracy


def torch_seconds(data_dir: Path) -> tuple[list[float], float]:
    """The same by PyTorch."""
    import torch

    from softgrad.train import load_dataset
    from softgrad.train.standardise import Standardisation

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    data = load_dataset("mnist", data_dir)
    inputs = Standardisation.of(data.train_images)

    def tensor(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images.astype(np.float32) * np.float32(inputs.scale) + np.float32(inputs.shift))

    train, labels = tensor(data.train_images), torch.from_numpy(data.train_labels)
    test, test_labels = tensor(data.test_images), torch.from_numpy(data.test_labels)
    net = torch.nn.Sequential(
        torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    for layer in net[::2]:
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batches = -(-len(train) // 128)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * batches)
    criterion = torch.nn.CrossEntropyLoss()
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for chosen in torch.randperm(len(train)).split(128):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(net(train[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds.append(time.perf_counter() - started)
    with torch.no_grad():
        accuracy = (net(test).argmax(1) == test_labels).float().mean().item()
    return seconds[1:], accuracy


SIDES = {"softgrad": softgrad_seconds, "torch": torch_seconds}


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, help="Holds mnist/.")
@click.option("--rounds", default=5, show_default=True, help="Processes of each side, in turn.")
@click.option("--threads", default=2, show_default=True)
@click.option("--peer-python", default=sys.executable, help="A Python with torch and softgrad; default: this one.")
@click.option("--side", type=click.Choice(list(SIDES)), hidden=True)
def main(data_dir: Path, rounds: int, threads: int, peer_python: str, side: str | None) -> None:
    """Time an epoch of MNIST: softgrad beside PyTorch."""
    if side is not None:
        seconds, accuracy = SIDES[side](data_dir)
        click.echo(json.dumps({"seconds": seconds, "accuracy": accuracy}))
        return
    environment, was = environment_for(threads), os.environ.get("OPENBLAS_CORETYPE", "not set")
    pythons = {"softgrad": sys.executable, "torch": peer_python}
    results: dict[str, list[dict[str, object]]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name in SIDES:
            command = [pythons[name], __file__, "--data-dir", str(data_dir), "--side", name]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise click.ClickException(f"{name}: {done.stderr.strip()}")
            results[name].append(json.loads(done.stdout))
    rate = copy_rate(threads)
    click.echo(f"threads {threads}, copy rate {rate:.1f} GB/s, OPENBLAS_CORETYPE was {was}, unset for the runs")
    medians = {}
    for name, runs in results.items():
        times = [second for run in runs for second in run["seconds"]]  # type: ignore[attr-defined]
        medians[name] = statistics.median(times)
        click.echo(
            f"{name:9} median {medians[name]:.3f} s an epoch (best {min(times):.3f}, worst {max(times):.3f}, "
            f"{len(times)} epochs), test accuracy after {EPOCHS} epochs {runs[-1]['accuracy']:.4f}"
        )
    click.echo(f"torch / softgrad: {medians['torch'] / medians['softgrad']:.2f}")


if __name__ == "__main__":
    main()
