"""Numbers in other packages' arrays without axes."""

from __future__ import annotations

from typing import Any

import numpy as np


class Boxed:
    """A number in another package's array without axes."""

    ndim = 0

    def __init__(self, number: Any) -> None:
        self.number = number

    def item(self) -> Any:
        return self.number


class Exported:
    """The same, of a package that NumPy asks for an array."""

    ndim = 0

    def __init__(self, number: Any) -> None:
        self.number = number

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.number)
