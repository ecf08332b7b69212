"""Call the public functions with hostile arguments, at random, and see that nothing breaks.

    PYTHONPATH=tests/support python tests/accuracy/fuzz_ops.py [--calls 1000000] [--seed 0] [--op softmax ...]

`fuzz_arguments` draws what is given, `fuzz_checks` says what may come of it. Of each call it is checked that

- it ends, without a crash, within a minute;
- what it raises is TypeError, ValueError or MemoryError, and no warning;
- nothing is written if it raises, and else nothing but what it is to write, to the byte;
- what it returns and writes is what the same call gives of plain copies of its arguments, and that it raises only if
  that does, or because of masks, read-only memory, or results that share memory.

Prints how many calls of each function returned and raised. A failing call is printed with the seed that repeats it.
"""

from __future__ import annotations

import faulthandler
import time
import warnings
from collections import Counter

import click
from fuzz_arguments import Fuzzer
from fuzz_checks import call
from signatures import PUBLIC

HANG_SECONDS = 60


@click.command()
@click.option("--calls", default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--op", "only", multiple=True, help="Only this function; may be repeated.  [default: all]")
def main(calls: int, seed: int, only: tuple[str, ...]) -> None:
    """Make so many calls, and report how they ended."""
    chosen = list(only) or PUBLIC
    endings: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(calls):
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            name = chosen[i % len(chosen)]
            try:
                endings[name][call(Fuzzer((seed << 32) + i), name)] += 1
            except Exception as error:
                raise click.ClickException(
                    f"call {i} of seed {seed}, {name}: {type(error).__name__}: {error}"
                ) from error
    faulthandler.cancel_dump_traceback_later()
    for name in chosen:
        counts = ", ".join(f"{ending} {count}" for ending, count in sorted(endings[name].items()))
        click.echo(f"{name:40} {counts}")
    click.echo(f"{calls} calls, seed {seed}, {time.perf_counter() - started:.0f} s: nothing broke")


if __name__ == "__main__":
    main()
