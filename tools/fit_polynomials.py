"""Fit the polynomials of kernels/simd/coefficients.py.

python tools/fit_polynomials.py            print every tuple of coefficients, under a line that states its fit
python tools/fit_polynomials.py --check    compare them with those in coefficients.py; exit 1 on a difference

A fit is the polynomial p of its degree for which the largest ``weight(x) |p(x) - f(x)|`` on an interval is smallest.
That error is reached, with alternating signs, at degree + 2 points, which Remez' exchange finds; it is done on a fine
grid, in 50 digits. The weight turns the error of p into the relative error of the function that is computed with it.
The error that is stated is that of the coefficients rounded to their dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import click
import numpy as np
from mpmath import mp, mpf

from softgrad.kernels.simd import coefficients as fitted

# mpmath's precision is the process's: the same as in tests/support/reference.py, with which this may share one.
mp.dps = 60

# Points of the grid for each extreme of the error; it is flat there, so that a neighbour of the extreme serves.
POINTS_PER_EXTREME = 16
EXCHANGES = 30
LINE = 112

Real = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Fit:
    """One polynomial: what it approximates, where, and how an error counts."""

    name: str
    formula: str
    function: Real
    weight: Real
    low: mpf
    high: mpf
    degree: int
    dtype: type[np.floating]

    @property
    def tuple_name(self) -> str:
        return f"{self.name}_{np.dtype(self.dtype).name.upper()}"


# ---- what is fitted


def _ratio(function: Real) -> Real:
    """function(x) / x as a function of x^2, for an odd function."""
    return lambda square: function(mp.sqrt(square)) / mp.sqrt(square)


def _position(centre: float, x: float) -> mpf:
    return (mpf(x) - centre) / (mpf(x) + centre)


def _erfc_factor(centre: float) -> Real:
    def factor(t: mpf) -> mpf:
        x = centre * (1 + t) / (1 - t)
        return (mpf(1.5) * x + mpf(0.75)) * mp.exp(x * x) * mp.erfc(x)

    return factor


def _normal_tail_ratio(x: mpf) -> mpf:
    return mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2


def _of_position(centre: float, function: Real) -> Real:
    """function(x) as a function of x's position."""
    return lambda t: function(centre * (1 + t) / (1 - t))


def fits(dtype: type[np.floating]) -> list[Fit]:
    """Every polynomial of coefficients.py for a dtype."""
    single = dtype is np.float32
    which = 0 if single else 1
    # x / log(2) is rounded to the nearest whole number, but for a rounding error.
    half = mp.log(2) / 2 * mpf("1.0001")
    atanh, tanh, erf = _ratio(mp.atanh), _ratio(mp.tanh), _ratio(mp.erf)
    centre, highest = fitted.ERFC_CENTRE[which], fitted.ERFC_HIGHEST[which]
    factor = _erfc_factor(centre)
    tail_centre, tail_highest = fitted.NORMAL_TAIL_CENTRE[which], fitted.NORMAL_TAIL_HIGHEST[which]
    return [
        Fit(
            name="EXP",
            formula="(exp(x) - 1 - x) / x^2",
            function=lambda x: (mp.expm1(x) - x) / x**2,
            weight=lambda x: x**2 / abs(mp.expm1(x)),
            low=-half,
            high=half,
            degree=4 if single else 10,
            dtype=dtype,
        ),
        Fit(
            name="LOG",  # 1 + f = (1 + s) / (1 - s), with f in [-1/4, 1/2]
            formula="2 (atanh(s) / s - 1) / s^2 in s^2",
            function=lambda square: 2 * (atanh(square) - 1) / square,
            weight=lambda square: square / (2 * atanh(square)),
            low=mpf(0),
            high=mpf("0.2") ** 2,
            degree=2 if single else 7,
            dtype=dtype,
        ),
        Fit(
            name="TANH",
            formula="(tanh(x) / x - 1) / x^2 in x^2",
            function=lambda square: (tanh(square) - 1) / square,
            weight=lambda square: square / tanh(square),
            low=mpf(0),
            high=mpf(fitted.TANH_SPLIT) ** 2,
            degree=4 if single else 9,
            dtype=dtype,
        ),
        Fit(
            name="ERF",
            formula="erf(x) / x - 1 in x^2",
            function=lambda square: erf(square) - 1,
            weight=lambda square: 1 / erf(square),
            low=mpf(0),
            high=mpf(fitted.ERF_SPLIT) ** 2,
            degree=5 if single else 10,
            dtype=dtype,
        ),
        Fit(
            name="LOG_ERFC",
            formula="log(erfc(x))",
            function=lambda x: mp.log(mp.erfc(x)),
            weight=lambda x: mp.erfc(x) / mp.erf(x),
            low=mpf(fitted.ERF_SPLIT),
            high=mpf(fitted.ERF_HIGHEST[which]),
            degree=7 if single else 20,
            dtype=dtype,
        ),
        Fit(
            name="ERFC",
            formula=f"(1.5 x + 0.75) exp(x^2) erfc(x) in (x - {centre:g}) / (x + {centre:g})",
            function=factor,
            weight=lambda t: 1 / factor(t),
            low=_position(centre, fitted.ERF_SPLIT),
            high=_position(centre, highest),
            degree=8 if single else 20,
            dtype=dtype,
        ),
        Fit(
            name="NORMAL_TAIL",
            formula=f"(x + {tail_centre:g}) exp(x^2 / 2) Phi(-x) in (x - {tail_centre:g}) / (x + {tail_centre:g})",
            function=_of_position(tail_centre, lambda x: (x + tail_centre) * _normal_tail_ratio(x)),
            weight=_of_position(tail_centre, lambda x: 1 / ((x + tail_centre) * _normal_tail_ratio(x))),
            low=mpf(-1),
            high=_position(tail_centre, tail_highest),
            degree=10 if single else 24,
            dtype=dtype,
        ),
    ]


# ---- how


def _grid(fit: Fit) -> list[mpf]:
    """Chebyshev's points: dense near the ends, where the extremes are."""
    count = POINTS_PER_EXTREME * (fit.degree + 2)
    middle, radius = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    return [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def _extremes(errors: list[mpf], count: int) -> list[int]:
    """Where the error is largest between its changes of sign: `count` places, without the smaller ones at the ends."""
    places = [0]
    for i in range(1, len(errors)):
        if (errors[i] > 0) != (errors[places[-1]] > 0):
            places.append(i)
        elif abs(errors[i]) > abs(errors[places[-1]]):
            places[-1] = i
    while len(places) > count:
        places.pop(0 if abs(errors[places[0]]) < abs(errors[places[-1]]) else -1)
    if len(places) < count:
        raise ArithmeticError(f"the error changes sign {len(places) - 1} times; {count - 1} are needed")
    return places


def coefficients(fit: Fit) -> tuple[list[float], mpf]:
    """The coefficients rounded to the dtype, lowest power first, and their largest weighted error."""
    grid = _grid(fit)
    values, weights = [fit.function(x) for x in grid], [fit.weight(x) for x in grid]
    powers = [[x**power for power in range(fit.degree + 1)] for x in grid]

    def weighted_errors(polynomial: list[mpf]) -> list[mpf]:
        return [w * (mp.fdot(polynomial, row) - f) for w, row, f in zip(weights, powers, values, strict=True)]

    count = fit.degree + 2
    places = [i * (len(grid) - 1) // (count - 1) for i in range(count)]
    for _ in range(EXCHANGES):
        # The polynomial whose weighted error is +level and -level in turn at these places.
        rows = [[*powers[place], (-1) ** i / weights[place]] for i, place in enumerate(places)]
        *polynomial, level = mp.lu_solve(mp.matrix(rows), mp.matrix([values[place] for place in places]))
        errors = weighted_errors(polynomial)
        if max(map(abs, errors)) < abs(level) * mpf("1.001"):
            break
        places = _extremes(errors, count)
    else:
        raise ArithmeticError(f"no fit of {fit.tuple_name} after {EXCHANGES} exchanges")
    rounded = [float(fit.dtype(mp.nstr(value, 30))) for value in polynomial]
    return rounded, max(map(abs, weighted_errors([mpf(value) for value in rounded])))


def written(fit: Fit, values: list[float], error: mpf) -> str:
    """The tuple as Python, under its comment."""
    interval = f"[{mp.nstr(fit.low, 5)}, {mp.nstr(fit.high, 5)}]"
    lines = [f"# {fit.formula} on {interval}, error 2^{float(mp.log(error, 2)):.1f}", f"{fit.tuple_name} = ("]
    line = ""
    for value in values:
        text = f"{fit.dtype(value)!s}, "
        if len(line + text) > LINE:
            lines.append(f"    {line.rstrip()}")
            line = ""
        line += text
    return "\n".join([*lines, f"    {line.rstrip()}", ")"])


@click.command()
@click.option("--check", is_flag=True, help="Compare with coefficients.py; exit 1 on a difference.")
def main(check: bool) -> None:
    """Fit the polynomials of kernels/simd/coefficients.py and print them."""
    differs = False
    for pair in zip(fits(np.float32), fits(np.float64), strict=True):
        for fit in pair:
            values, error = coefficients(fit)
            if check:
                same = list(getattr(fitted, fit.tuple_name)) == [float(str(fit.dtype(value))) for value in values]
                click.echo(f"{'same     ' if same else 'different'}  {fit.tuple_name}")
                differs |= not same
            else:
                click.echo(written(fit, values, error))
    raise SystemExit(differs)


if __name__ == "__main__":
    main()
