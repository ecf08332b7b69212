"""What the commands' options are made of: their types, those that several commands share, and exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

# Exit codes; 2 is click's own, 130 the shell's convention for Ctrl-C.
FAILURE, WRONG_USE, INTERRUPTED = 1, 2, 130


class LazyChoice(click.ParamType):  # type: ignore[type-arg]  # generic in click's annotations only
    """One of a list of names that is fetched only when it is needed: importing Numba takes a while."""

    name = "name"

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    @property
    def choices(self) -> tuple[str, ...]:
        from softgrad.train import config, datasets

        if self._attribute == "dataset":
            return ("auto", *datasets.DATASETS)
        names: tuple[str, ...] = getattr(config, self._attribute)
        return names

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.choices)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            self.fail(f"must be one of {', '.join(self.choices)}; got {value!r}", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.choices if name.startswith(incomplete)]


class HiddenSizes(click.ParamType):  # type: ignore[type-arg]
    """Sizes of hidden layers, as in 256,128; "none" for no hidden layer."""

    name = "sizes"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N,N,...|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if value == "none":
            return ()
        try:
            sizes = tuple(int(size) for size in value.split(","))
        except ValueError:
            sizes = (0,)
        if min(sizes) < 1:
            self.fail(f"must be positive whole numbers, such as 256,128, or none; got {value!r}", param, ctx)
        return sizes


class FilePath(click.Path):
    """A path that names something; of one that follows `=` or comes from a variable, `~` is this user's home."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value)
        if not text or "\0" in text:
            self.fail(f"must be the name of a file or a folder; got {text!r}", param, ctx)
        return super().convert(os.path.expanduser(text) if isinstance(param, click.Option) else text, param, ctx)


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """A click option that shows its default and its environment variable."""
    return click.option(*names, **{"show_default": True, "show_envvar": True, **settings})


class SettingOption(click.Option):
    """An option that is a setting of optimizers or of schedules; its help says of which, with their defaults."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        from softgrad.train.config import defaults_of

        choices: dict[str, list[str]] = {}
        for name, default in defaults_of(str(self.name)).items():
            choices.setdefault("a third of all" if default is None else f"{default:g}", []).append(name)
        defaults = "; ".join(f"{default} for {', '.join(names)}" for default, names in choices.items())
        return {**super().get_help_extra(ctx), "default": defaults}


def setting_option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option for a setting whose default depends on the optimizer or the schedule."""
    return option(*names, cls=SettingOption, **settings)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, for programs.")
data_dir_option = click.option(
    "--data-dir",
    type=FilePath(),
    help="The folder that holds a folder for each data set; by default $SOFTGRAD_DATA, then the user's cache, "
    "then a download.",
)
