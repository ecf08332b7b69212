"""The commands `softgrad bench ops`, `formulas` and `train`: options in, one run, a report out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softgrad.bench.settings import ALL_PEERS, BACKENDS, BUDGET, DTYPES, ELEMENTS, FAMILIES, QUICK_BUDGET
from softgrad.failures import Commands
from softgrad.options import FAILURE, FilePath, data_dir_option, option

if TYPE_CHECKING:
    from softgrad.bench.settings import Settings


@click.group(cls=Commands, short_help="Measure speed beside other packages.")
def bench() -> None:
    """Measure speed beside other packages, in the same process, results compared first."""


output_path = FilePath(dir_okay=False)
json_file_option = click.option(
    "--json", "json_file", type=output_path, metavar="FILE", help="Write everything measured."
)
table_file_option = click.option(
    "--table", "table_file", type=output_path, metavar="FILE", help="Write the tables as Markdown."
)
backend_option = option("--backend", type=click.Choice(BACKENDS), default="cpu", help="What to measure.")


def _measuring(*more: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The options of what is measured cell by cell, with more of a command's own behind the second."""
    options = (
        backend_option,
        option("--quick", is_flag=True, help="A minute's glance: a choice of operations, few shapes, float32."),
        *more,
        option(
            "--dtype",
            type=click.Choice(DTYPES),
            multiple=True,
            help="May be repeated.  [default: float32 and float64, with --backend gpu also float16]",
        ),
        option(
            "--threads",
            type=click.IntRange(1),
            metavar="N",
            multiple=True,
            help="May be repeated; for the cpu.  [default: 1 and one a processor]",
        ),
        option("--elements", type=click.IntRange(1), default=ELEMENTS, metavar="N", help="Of each array on a gpu."),
        option(
            "--peer", type=click.Choice(ALL_PEERS), multiple=True, help="May be repeated.  [default: all installed]"
        ),
        option(
            "--budget",
            type=click.FloatRange(0, min_open=True),
            metavar="SECONDS",
            help=f"Seconds of timing for each contender of a cell.  [default: {BUDGET}, with --quick {QUICK_BUDGET}]",
        ),
        json_file_option,
        table_file_option,
        click.option("--chart", "chart_file", type=output_path, metavar="FILE", help="Draw the ratios (.png or .svg)."),
        click.pass_context,
    )

    def decorate(command: Any) -> Any:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


@bench.command(short_help="Time every operation beside other packages.")
@_measuring(
    option("--op", metavar="NAME", multiple=True, help="Only this one; may be repeated.  [default: all]"),
    option("--family", type=click.Choice(FAMILIES), help="Only operations of this kind."),
)
def ops(context: click.Context, /, **choices: Any) -> None:
    """Time every operation beside torch, jax, scipy and numpy, or on a GPU torch, torch.compile, triton and cupy.

    All contenders of a cell (operation, shape, dtype, threads) take turns in one process, after their results have
    been compared. Whoever is not installed is left out. A peer whose result differs is left out too, and the exit
    code is 1.

    \b
    softgrad bench ops --quick                     under a minute
    softgrad bench ops --op softmax --op gelu      two operations, everywhere
    softgrad bench ops --backend gpu               on the current CUDA device
    softgrad bench ops --json ops.json --table ops.md --chart ops.png
    """
    _measure(context, **choices)


@bench.command(short_help="Time formulas of one's own beside other packages.")
@_measuring()
def formulas(context: click.Context, /, **choices: Any) -> None:
    """Time formulas made by `ops.elementwise`, and their gradients, beside what other packages make of them.

    Six formulas, from x / (1 + exp(-1.5 x)) to one of twenty operations, beside numba.vectorize, numexpr, NumPy, JAX
    jitted, PyTorch, and torch.compile where there is a compiler for C++. The same as bench ops --family formulas.
    """
    _measure(context, op=(), family="formulas", **choices)


def _measure(
    context: click.Context, json_file: Path | None, table_file: Path | None, chart_file: Path | None, **choices: Any
) -> None:
    import os

    from softgrad.bench.progress import run_with_progress
    from softgrad.bench.report import ops_report, print_report
    from softgrad.bench.results import Results
    from softgrad.bench.writing import check_files, write_chart, write_files

    check_files(json_file, table_file, chart_file)
    results = Results(_bench_settings(**choices), os.environ.get("OPENBLAS_CORETYPE", "not set"))
    try:
        run_with_progress(results)
    finally:  # after Ctrl-C or a failure what there is is shown and written all the same
        if results.cells:
            report = ops_report(results)
            print_report(report)
            write_files(results.to_json(), report, json_file, table_file)
            write_chart(results, chart_file)
    if results.problems:
        context.exit(FAILURE)


def _bench_settings(
    backend: str,
    quick: bool,
    op: tuple[str, ...],
    family: str | None,
    dtype: tuple[str, ...],
    threads: tuple[int, ...],
    elements: int,
    peer: tuple[str, ...],
    budget: float | None,
) -> Settings:
    """What was asked for, the rest at its default."""
    from softgrad.bench.cases import QUICK_OPERATIONS, find_operations
    from softgrad.bench.peers import find_peers
    from softgrad.bench.settings import ON_GPU, USUAL_DTYPES, Settings, all_threads

    _check_backend(backend, threads)
    if backend == "cpu" and elements != ELEMENTS:
        raise ValueError("elements has no meaning with --backend cpu; leave it out")
    counts = threads or (1, all_threads())
    return Settings(
        operations=find_operations(op or (QUICK_OPERATIONS if quick and family != "formulas" else ()), family),
        dtypes=dtype or (DTYPES[:1] if quick else USUAL_DTYPES[backend]),
        threads=(ON_GPU,) if backend == "gpu" else tuple(sorted(set(counts))),
        peers=find_peers(peer, backend),
        budget=budget or (QUICK_BUDGET if quick else BUDGET),
        quick=quick,
        backend=backend,
        elements=elements,
    )


def _check_backend(backend: str, threads: tuple[int, ...] | int | None) -> None:
    """Raise the error that says why it cannot run here, or that threads are not for it."""
    from softgrad.ops.backend import get_backend

    get_backend(backend)
    if backend == "gpu" and threads:
        raise ValueError("threads has no meaning with --backend gpu; leave one of the two out")


@bench.command(short_help="Time an epoch of training beside PyTorch.")
@backend_option
@click.option(
    "--dataset",
    type=click.Choice(["mnist", "digits"]),
    help="What to learn.  [default: MNIST if it is at hand, else digits]",
)
@data_dir_option
@option("--epochs", type=click.IntRange(1), default=5, metavar="N", help="Of each training.")
@option("--rounds", type=click.IntRange(1), default=3, metavar="N", help="Trainings of each side, in turn.")
@option("--threads", type=click.IntRange(1), metavar="N", help="On the cpu.  [default: one a processor]")
@json_file_option
@table_file_option
def train(
    backend: str,
    dataset: str | None,
    data_dir: Path | None,
    epochs: int,
    rounds: int,
    threads: int | None,
    json_file: Path | None,
    table_file: Path | None,
) -> None:
    """Time an epoch, and the way to 98 % test accuracy, beside PyTorch if it is installed.

    Both sides train the network of `softgrad train` at its defaults, in new processes that take turns; on a GPU
    PyTorch also with torch.compile and CUDA graphs. Nothing is downloaded.

    \b
    softgrad bench train --data-dir data           MNIST, on the cpu
    softgrad bench train --backend gpu             on the current CUDA device
    """
    from softgrad.bench.progress import train_with_progress
    from softgrad.bench.report import print_report
    from softgrad.bench.settings import ON_GPU, all_threads
    from softgrad.bench.training import TrainingSettings, training_report
    from softgrad.bench.writing import check_files, write_files
    from softgrad.train import load_dataset

    _check_backend(backend, threads)
    check_files(json_file, table_file)
    data = load_dataset(dataset or "auto", data_dir, download=False)
    count = ON_GPU if backend == "gpu" else threads or all_threads()
    settings = TrainingSettings(backend, data.name, str(data_dir) if data_dir else None, epochs, rounds, count)
    results = train_with_progress(settings)
    report = training_report(results)
    print_report(report)
    write_files(results.to_json(), report, json_file, table_file)
