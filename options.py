"""What the commands' options are made of: their types, defaults and sections, those that are shared, and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

# Exit codes; 2 is click's own, 130 the shell's convention for Ctrl-C.
FAILURE, WRONG_USE, INTERRUPTED = 1, 2, 130


class LazyChoice(click.ParamType):  # type: ignore[type-arg]  # generic in click's annotations only
    """One of what a setting of `TrainConfig` can be, fetched only when it is needed: importing Numba takes a while."""

    name = "name"

    def __init__(self, setting: str) -> None:
        self._setting = setting

    @property
    def choices(self) -> tuple[str, ...]:
        from softgrad.train.config import CHOICES
        from softgrad.train.data.catalogue import DATASETS

        return ("auto", *DATASETS) if self._setting == "dataset" else tuple(CHOICES[self._setting])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.choices)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            self.fail(f"must be one of {', '.join(self.choices)}; got {value!r}", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.choices if name.startswith(incomplete)]


class ActivationName(LazyChoice):
    """An activation of softgrad, or a formula as module:name, whose module is then imported, from this folder too."""

    def __init__(self) -> None:
        super().__init__("activation")

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.choices)}|MODULE:NAME]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from softgrad.ops.lookup import find_activation, is_formula_name

        if not is_formula_name(value):
            return super().convert(value, param, ctx)
        import_module(value.partition(":")[0])
        try:
            find_activation(value)
        except (ValueError, TypeError) as error:
            self.fail(str(error), param, ctx)
        return str(value)


def import_module(name: str) -> None:
    """Import a module of the user's, from the current folder too; raises click.UsageError if it cannot be."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever the user's module does wrong
        raise click.UsageError(f"the module {name} cannot be imported: {type(error).__name__}: {error}") from error


def _imported(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        import_module(name)
    return value


import_option = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    expose_value=False,
    callback=_imported,
    help="Import a module first, which has the activation that the model was trained with.",
)


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


class SettingOption(click.Option):
    """An option for the setting of its name, whose default stands in `TrainConfig` alone.

    Of a setting whose default the optimizer, the schedule or the model decides, the help says which they are.
    """

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        from softgrad.train.config import TrainConfig

        return getattr(TrainConfig, str(self.name))

    def get_help_extra(self, ctx: click.Context) -> Any:
        from softgrad.train.config import ADALINE_LR, HIDDEN, defaults_of

        extra = super().get_help_extra(ctx)
        if self.name == "hidden":
            return {**extra, "default": ",".join(map(str, HIDDEN))}
        choices: dict[str, list[str]] = {}
        for name, default in defaults_of(str(self.name)).items():
            choices.setdefault("a third of all" if default is None else f"{default:g}", []).append(name)
        if choices:
            extra["default"] = "; ".join(f"{default} for {', '.join(names)}" for default, names in choices.items())
        if self.name == "lr":
            extra["default"] += f"; at most {ADALINE_LR:g} for the model adaline"
        return extra


class SectionedCommand(click.Command):
    """A command whose help lists its options in `sections`, names of parameters by title; the others come last."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.sections = sections or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.name: record for option in options if (record := option.get_help_record(ctx))}
        listed = {name for names in self.sections.values() for name in names}
        others = [name for name in records if name not in listed]
        for title, names in {**self.sections, "Other" if listed else "Options": others}.items():
            with formatter.section(title):
                formatter.write_dl([records[name] for name in names])


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """A click option that shows its default and its environment variable."""
    return click.option(*names, **{"show_default": True, "show_envvar": True, **settings})


def setting(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option for the setting of `TrainConfig` of that name, with the default that it has there."""
    return option(*names, cls=SettingOption, **settings)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, for programs.")
data_dir_option = click.option(
    "--data-dir",
    type=FilePath(),
    help="The folder that holds a folder for each data set; by default $SOFTGRAD_DATA, then the user's cache, "
    "then a download.",
)
