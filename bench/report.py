"""What a person reads of a run: facts and tables, on the screen or in a Markdown file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from softgrad.bench.contention import BUSY
from softgrad.bench.results import LOSING, Results
from softgrad.bench.sheets import LOST, Sheet, rate_text, shape_text, sheets, thread_words

# Of what is piped or kept, where no terminal has a width.
FILE_WIDTH = 100


@dataclass(frozen=True)
class Report:
    """What there is to read.

    Attributes
    ----------
    title, explanation
        What was measured, and how the tables are to be read.
    facts
        What changes the results, by name.
    sheets
        The tables.
    warnings
        What makes the results doubtful.
    problems
        Who was not timed, and why.
    """

    title: str
    explanation: str
    facts: tuple[tuple[str, str], ...]
    sheets: tuple[Sheet, ...]
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def print_report(report: Report) -> None:
    """Print it, in the terminal's width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    for name, fact in report.facts:
        console.print(f"[bold]{name:<10}[/] {escape(fact)}", soft_wrap=True)
    console.print()
    for sheet in report.sheets:
        console.print(f"[bold]{escape(sheet.title)}[/]", soft_wrap=True)
        console.print(_rich_table(sheet))
    for line in report.warnings:
        console.print(f"[yellow]warning[/]: {escape(line)}", soft_wrap=True)
    for line in report.problems:
        console.print(f"[red]not timed[/]: {escape(line)}", soft_wrap=True)
    console.print(report.explanation, soft_wrap=True)


def markdown(report: Report) -> str:
    """It as a Markdown document."""
    lines = [f"# {report.title}", "", report.explanation, ""]
    lines += [f"- {name}: {fact}" for name, fact in report.facts]
    for sheet in report.sheets:
        lines += ["", f"## {sheet.title}", "", _markdown_row(sheet.headings)]
        lines.append(_markdown_row(["---" if i < sheet.names else "---:" for i in range(len(sheet.headings))]))
        lines += [_markdown_row([f"**{text}**" if text.endswith(LOST) else text for text in row]) for row in sheet.rows]
    for heading, notes in (("Warnings", report.warnings), ("Not timed", report.problems)):
        if notes:
            lines += ["", f"## {heading}", "", *(f"- {line}" for line in notes)]
    return "\n".join(lines) + "\n"


def _rich_table(sheet: Sheet) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, heading in enumerate(sheet.headings):  # where it is narrow, words are folded and numbers kept whole
        is_name = i < sheet.names
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(f"[bold red]{text}[/]" if text.endswith(LOST) else escape(text) for text in row))
    return table


def _markdown_row(texts: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(texts)} |"


# ---- of `softgrad bench ops`

EXPLANATION = (
    f"Ratios are the best peer's median time over softgrad's; {LOST} marks those below {LOSING}. "
    "Both sides allocate their results, or with out= both write to memory they are given."
)


def ops_report(results: Results) -> Report:
    """The report of a run of `softgrad bench ops`."""
    return Report(
        "softgrad bench ops",
        EXPLANATION,
        tuple(environment_facts(results)),
        tuple(sheets(results)),
        tuple(warning_lines(results)),
        tuple(problem_lines(results)),
    )


def environment_facts(results: Results) -> Iterator[tuple[str, str]]:
    """What changes the results, by name."""
    for found in list(results.environments.values())[:1]:  # but for the threads the same in every process
        packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
        yield "softgrad", f"{found['softgrad']}, Python {found['python']}, {packages}"
        if results.settings.backend == "gpu":
            yield "card", found["gpu"]
        yield "processor", f"{found['cpu']}, {found['simd_bits']}-bit SIMD, {found['system']}"
        yield "BLAS", f"{found['blas']}; OPENBLAS_CORETYPE was {results.openblas_coretype}, unset for the run"
    for threads, found in results.environments.items():
        pools = f"Numba {found['threads']} on {found['threading_layer']}, BLAS {found['blas_threads']}"
        rates = results.copy_rates.get(threads)
        copies = f"; copies {rate_text(rates)} GB/s" if rates else ""
        yield thread_words(threads), pools + copies


def warning_lines(results: Results) -> list[str]:
    """What makes the results doubtful."""
    return [
        f"with {thread_words(threads)}, other processes took {share:.0%} of the processors; measure on a quiet machine"
        for threads, share in results.others.items()
        if share is not None and share > BUSY
    ]


def problem_lines(results: Results) -> list[str]:
    """Every contender that was not timed, and why."""
    return [
        f"{problem.contender} in {cell.operation} {shape_text(cell.shape)} {cell.dtype}, "
        f"{thread_words(cell.threads)}: {problem.reason}"
        for cell, problem in results.problems
    ]
