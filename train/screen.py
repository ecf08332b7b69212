"""The way to the screen: names as they are, prose wrapped at spaces, tables that break no number."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from softgrad.terminal import safe

# Where nothing tells the width, as in a pipe, nothing is wrapped.
UNBOUNDED = 1000

# Below this, a fact stands under its name and not beside it.
NARROW = 72

Words = str | tuple[str, str]  # plain, or with a style
"""A piece of a line: its text, or the text and a style of Rich."""


class _Line:
    """A line as it is: Rich itself would unfold tabs and break it."""

    def __init__(self, parts: Iterable[Words]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for part in self._parts:
            text, style = (part, "") if isinstance(part, str) else part
            yield Segment(safe(text), Style.parse(style))
        yield Segment.line()


class Screen:
    """Prints lines, prose and tables to an output stream.

    Attributes
    ----------
    rich
        The console below, for bars.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        sizes = ("COLUMNS", "LINES")  # Rich fails on some that are no numbers
        usable = {k: v for k, v in os.environ.items() if k not in sizes or re.fullmatch("[1-9][0-9]{0,3}", v)}
        self.rich = Console(highlight=False, markup=False, emoji=False, stderr=stderr, _environ=usable)
        self._bounded = self.rich.is_terminal or "COLUMNS" in usable
        if not self._bounded:
            self.rich.width = UNBOUNDED

    @property
    def width(self) -> int:
        """Columns there are."""
        return self.rich.width

    def say(self, *parts: Words) -> None:
        """Print one line, whatever its length, so that it can be copied and searched."""
        self.rich.print(_Line(parts), soft_wrap=True)

    def tell(self, *parts: Words, indent: int = 0) -> None:
        """Print prose, wrapped at spaces where the width is known; later lines are indented."""
        if not self._bounded:
            self.say(*parts)
            return
        text = Text.assemble(*_safe_parts(parts))
        for i, line in enumerate(text.divide(_breaks(text.plain, self.width, indent))):
            line.rstrip()
            self.rich.print(Text(" " * indent * (i > 0)) + line, soft_wrap=True)

    def facts(self, facts: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
        """Print names and what is to be known of each, beside or below it."""
        rows = list(facts.items() if isinstance(facts, Mapping) else facts)
        width = max((cell_len(name) for name, _ in rows), default=0)
        for name, fact in rows:
            if self.width < NARROW:
                self.say((name, "bold"))
                self.tell("  ", fact, indent=2)
            else:
                self.tell((name, "bold"), " " * (width - cell_len(name) + 2), fact, indent=width + 2)

    def table(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[Words]], names: int = 1) -> None:
        """Print a table whose first `names` columns are words, the others numbers, which are never broken.

        Where it is wider than the screen, it goes on below with the columns that found no place; where the words alone
        fill the screen, each row becomes a list.
        """
        if title:
            self.tell((title, "bold"))
        # Rich would unfold a tab into spaces, and break the cell there.
        cells = [[(text.replace("\t", "\\t"), style) for text, style in _safe_parts(row)] for row in rows]
        columns = [[safe(heading), *(row[i][0] for row in cells)] for i, heading in enumerate(headings)]
        widths = [max(map(cell_len, column)) for column in columns]
        if _table_width(widths) <= self.width:
            self._part(headings, cells, widths, names, range(len(widths)))
            return
        # Narrower: headings break at spaces, names anywhere.
        limit = max(self.width * 2 // 5, 4)
        numbers = [max((cell_len(text) for text in column[1:]), default=0) for column in columns]
        words = [max(map(cell_len, column[0].split() or [""])) for column in columns]
        for i in range(len(widths)):
            widths[i] = min(widths[i], limit) if i < names else max(numbers[i], min(words[i], limit))
        if any(_table_width([*widths[:names], width]) > self.width for width in widths[names:]):
            self._lists(headings, cells, names)
            return
        start = names
        while start < len(widths):
            end = start + 1
            while end < len(widths) and _table_width([*widths[:names], *widths[start : end + 1]]) <= self.width:
                end += 1
            self._part(headings, cells, widths, names, [*range(names), *range(start, end)])
            start = end

    def _part(
        self,
        headings: Sequence[str],
        cells: Sequence[Sequence[tuple[str, str]]],
        widths: Sequence[int],
        names: int,
        shown: Sequence[int],
    ) -> None:
        """Print those columns in those widths."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for i in shown:
            heading = Text(safe(headings[i]))
            table.add_column(heading, justify="left" if i < names else "right", width=widths[i], overflow="fold")
        for row in cells:
            table.add_row(*(Text(*row[i]) for i in shown))
        self.rich.print(table, crop=False)
        self.say()

    def _lists(self, headings: Sequence[str], cells: Sequence[Sequence[tuple[str, str]]], names: int) -> None:
        for row in cells:
            self.tell((" ".join(text for text, _ in row[:names] if text), "bold"), indent=2)
            for heading, (text, style) in zip(headings[names:], row[names:], strict=True):
                self.tell(f"  {heading}: ", (text, style), indent=4)
        self.say()


def _safe_parts(parts: Iterable[Words]) -> Iterator[tuple[str, str]]:
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        yield safe(text), style


def _breaks(text: str, width: int, indent: int) -> Iterator[int]:
    """Where lines begin but the first; a word that is longer than a line stays whole."""
    column = 0
    for word in re.finditer(r"^\s*\S+\s*|\S+\s*", text):
        if column > indent and column + cell_len(word[0].rstrip()) > width:
            yield word.start()
            column = indent
        column += cell_len(word[0])


def _table_width(widths: Sequence[int]) -> int:
    """Of columns in the box: a space after each, and one between them."""
    return sum(widths) + 2 * len(widths) - 1
