"""The command line: `softgrad train | evaluate | predict | doctor | bench`; each command is loaded when asked for."""

from __future__ import annotations

import importlib
import sys
from collections import UserDict
from typing import Any

import click

from softgrad import __version__
from softgrad.failures import Commands


class Loading(UserDict[str, Any]):
    """Commands by name, each loaded when it is asked for from the module in which it has that name."""

    def __getitem__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.data[name]), name)


COMMANDS = Loading(
    train="softgrad.train.commands",
    evaluate="softgrad.train.commands",
    predict="softgrad.train.commands",
    doctor="softgrad.train.commands",
    bench="softgrad.bench.commands",
)


@click.group(
    cls=Commands,
    commands=COMMANDS,
    context_settings={
        "auto_envvar_prefix": "SOFTGRAD",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="softgrad")
def main() -> None:
    """Train and use small networks for images with softgrad's kernels.

    Start with `softgrad train`: it needs no options and no downloads.
    """


if __name__ == "__main__":
    sys.exit(main())
