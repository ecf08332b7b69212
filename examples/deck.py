"""What the examples share: their options, and the table of what a deck states beside what is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

output_option = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/examples"),
    show_default=True,
    help="Folder for the pictures.",
)
quick_option = click.option("--quick", is_flag=True, help="Train and draw little: to see that it runs.")


def compare(*rows: tuple[str, Any, Any]) -> None:
    """Print rows of a name, what the deck states and what is computed; "-" where the deck has no number."""
    cells = [("", "deck", "computed"), *((name, text(stated), text(computed)) for name, stated, computed in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(2)]
    for name, stated, computed in cells:
        click.echo(f"{name:{widths[0]}}   {stated:{widths[1]}}   {computed}".rstrip())
    click.echo()


def text(value: Any) -> str:
    """Strings as they are; numbers to 8 digits; arrays as their numbers in a row."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray | list | tuple):
        return " ".join(text(item) for item in value)
    return str(value) if isinstance(value, int | np.integer) else f"{value:.8g}"
