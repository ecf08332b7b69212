"""What a person reads of a run: facts and tables, on the screen or in a Markdown file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from softgrad.bench.contention import BUSY
from softgrad.bench.results import LOSING, Results
from softgrad.bench.sheets import LOST, Sheet, rate_text, shape_text, sheets, thread_words
from softgrad.train.screen import Screen


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
    screen = Screen()
    screen.facts(report.facts)
    screen.say()
    for sheet in report.sheets:
        rows = [[(text, "bold red") if text.endswith(LOST) else text for text in row] for row in sheet.rows]
        screen.table(sheet.title, sheet.headings, rows, sheet.names)
    for line in report.warnings:
        screen.tell(("warning", "yellow"), f": {line}")
    for line in report.problems:
        screen.tell(("not timed", "red"), f": {line}")
    screen.tell(report.explanation)


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
