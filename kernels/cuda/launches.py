"""Launches that are made again and again: what decides them is looked at once, and then only their arrays change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softgrad.kernels.cuda.launch import (
    NUMBERS,
    SIMULATED,
    Kernel,
    Sizes,
    device_of,
    flattened,
    signature_of,
    three,
)

# So many launches are kept of each kind.
MOST_LAUNCHES = 1024


class Launch:
    """A launch of which all but the arrays is decided, so that it takes little time to make it again.

    It is made of a launch's blocks, threads and arguments, in which all numbers come behind the arrays, and called with
    arrays of the same dtypes, in the same order.

    Attributes
    ----------
    numbers
        Those of the arguments.
    """

    __slots__ = ("_blocks", "_form", "_functions", "_kernel", "_threads", "numbers")

    def __init__(self, kernel: Kernel, blocks: Sizes, threads: Sizes, *arguments: Any) -> None:
        self._kernel, self._blocks, self._threads = kernel, three(blocks), three(threads)
        self.numbers = tuple(one for one in flattened(arguments) if type(one) in NUMBERS)
        self._form = _form_of(arguments)
        self._functions: dict[int, Any] = {}

    def __call__(self, *arrays: Any, numbers: tuple[Any, ...] | None = None) -> None:
        """Run it on the current stream, with these numbers if there are others.

        Raises
        ------
        ValueError
            If an array is on another device than the current one.
        """
        numbers = self.numbers if numbers is None else numbers
        if SIMULATED:
            self._kernel.launch(self._blocks, self._threads, *self.arguments_with(*arrays, *numbers))
            return
        device = device_of(arrays)
        function = self._functions.get(device)
        if function is None:
            signature = signature_of(self.arguments_with(*arrays, *numbers))
            function = self._functions[device] = self._kernel.loaded(device, signature)
        function(self._blocks, self._threads, arrays + numbers)

    def arguments_with(self, *given: Any) -> tuple[Any, ...]:
        """The arguments as the kernel's function takes them."""
        return _filled(self._form, iter(given))


class Launches(dict[Any, Launch]):
    """Launches by what decides them: shapes, dtypes, alignment.

    A number that may be -0 is given anew each time: as a part of the key it would be the same as 0.
    """

    def __setitem__(self, key: Any, launch: Launch) -> None:
        if len(self) >= MOST_LAUNCHES:  # of shapes that always change none comes again
            self.clear()
        super().__setitem__(key, launch)


def _form_of(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """How tuples lie in each other, None in the place of all else: what keeps the form keeps no memory."""
    return tuple(_form_of(one) if type(one) is tuple else None for one in arguments)


def _filled(form: tuple[Any, ...], given: Iterator[Any]) -> tuple[Any, ...]:
    """The way back."""
    return tuple(next(given) if one is None else _filled(one, given) for one in form)
