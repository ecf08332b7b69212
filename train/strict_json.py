"""JSON as RFC 8259 has it: what is not finite, for which it has no word, is null."""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """The value as JSON text, with null for every float that is not finite.

    Examples
    --------
    >>> dumps({"loss": math.nan, "accuracy": 0.5})
    '{"loss": null, "accuracy": 0.5}'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def print_line(**fields: Any) -> None:
    """Print one JSON object on a line; what is not finite is null."""
    text = dumps(fields).replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is
    print(text, flush=True)  # noqa: T201  (the output asked for)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        If it is not UTF-8, or no JSON: also for NaN and Infinity, and what is nested too deeply to be read.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
