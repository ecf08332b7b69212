"""How functions are compiled that only other compiled code calls.

Numba adds to each a wrapper by which C could call it. Nobody does, and it is a sixth of what compiling takes.
"""

from __future__ import annotations

from functools import partial

from numba import extending

_OPTIONS = {"no_cfunc_wrapper": True}

jitable = extending.register_jitable(**_OPTIONS)
overload = partial(extending.overload, jit_options=_OPTIONS)
