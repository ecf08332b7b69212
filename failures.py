"""How commands fail: in one line that a terminal cannot mistake, with an exit code; both are decided here alone.

0 is success, 1 a failure, 2 wrong use (an option, an argument or a variable that must be given otherwise), 130 Ctrl-C.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from softgrad.options import INTERRUPTED, WRONG_USE, SectionedCommand
from softgrad.terminal import forgiving_streams, one_line, say_error

_DEBUG = "softgrad.debug"


def _keep_debug(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[_DEBUG] = True  # shared by a command with the groups above it


def debug_option() -> click.Option:
    """The flag that every command and group has."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_keep_debug,
        help="Show the whole traceback of an error.",
    )


class Command(SectionedCommand):
    """A command; names the option, or the variable, that an error begins with."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.append(debug_option())

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            option = None if ctx.meta.get(_DEBUG) else _option_named(str(error), ctx)
            if option is None:
                raise
            raise click.UsageError(f"{_spelled(option, ctx)} {str(error).partition(' ')[2]}") from error


class Commands(click.Group):
    """A group of commands; turns every expected error into one line and an exit code."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.append(debug_option())

    def main(self, *args: Any, **settings: Any) -> Any:
        with forgiving_streams():
            return super().main(*args, **settings)

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        try:
            return super().make_context(*args, **settings)
        except click.ClickException as error:
            raise _in_one_line(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise _in_one_line(error) from error
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):  # of a pipe, click makes a quiet end
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if ctx.meta.get(_DEBUG):
                raise
            raise _in_one_line(click.ClickException(_explained(error))) from error


def _explained(error: Exception) -> str:
    from softgrad.ops import BackendUnavailableError
    from softgrad.train.errors import SoftgradError, remedy

    message = str(error)
    if isinstance(error, SoftgradError | BackendUnavailableError | ValueError):
        return message
    if isinstance(error, OSError):
        if error.filename is None or error.strerror is None:
            return message
        return f"{error.filename}: {error.strerror}; {remedy(error)}"
    if isinstance(error, MemoryError):
        return f"out of memory: {message}; a smaller --batch-size or --hidden needs less"
    return f"{type(error).__name__}: {message} (unexpected: run again with `softgrad --debug` and report it)"


def _in_one_line(error: click.ClickException) -> click.ClickException:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    if isinstance(error, click.BadParameter) and error.ctx and error.param and error.param_hint is None:
        spelled = _spelled(error.param, error.ctx)
        error.param_hint = f"'{spelled}'" if spelled.startswith("-") else spelled
    line = _WrongUse if error.exit_code == WRONG_USE else _Failure
    return line(one_line(error.format_message()))


class _Failure(click.ClickException):
    def show(self, file: Any = None) -> None:
        say_error(self.message)


class _WrongUse(click.UsageError):
    # Click would print the usage before the one line that matters.
    def show(self, file: Any = None) -> None:
        say_error(self.message)


def _option_named(message: str, ctx: click.Context) -> click.Parameter | None:
    """The option whose setting a message starts with: of "batch_size must be ..." it is --batch-size."""
    option = "--" + message.partition(" ")[0].replace("_", "-")
    return next((param for param in ctx.command.params if option in param.opts), None)


def _spelled(param: click.Parameter, ctx: click.Context) -> str:
    """As it was given: the option, the argument, or the environment variable."""
    if ctx.get_parameter_source(str(param.name)) == ParameterSource.ENVIRONMENT:
        return f"{ctx.auto_envvar_prefix}_{param.name}".upper()
    return max(param.opts, key=len) if isinstance(param, click.Option) else param.make_metavar(ctx)
