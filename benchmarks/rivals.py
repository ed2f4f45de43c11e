"""Implied volatility as others solve it: each a function of `inputs.Quotes` that gives (volatility,
delta or None).

Other inputs of a library (forwards, undiscounted prices, flags) are made inside the call: a user
has quotes.
"""

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.inputs import Array, Quotes
from benchmarks.references import numba_loop_iv, vollib_loop

Solver = Callable[[Quotes], tuple[Array, Array | None]]


class AbsentError(Exception):
    """A rival that is not installed, or does not start."""


@dataclass(frozen=True)
class Rival:
    """A contestant: `load` imports it, and gives its solver."""

    name: str
    note: str
    package: str  # its module, "" for what stands in this folder
    load: Callable[[Any], Solver]
    most: int = (
        1_000_000  # options at once: the cost per option does not depend on it, as the plot shows
    )

    def solver(self) -> Solver:
        """Import the rival.

        Raises:
            AbsentError: with the reason.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.load(importlib.import_module(self.package) if self.package else None)
        except Exception as error:  # whatever a foreign package raises when it starts
            raise AbsentError(f"{type(error).__name__}: {error}") from None


def _pyfeng(pyfeng: Any) -> Solver:
    model = pyfeng.Bsm(0.2, intr=0.04)

    def solve(q: Quotes) -> tuple[Array, None]:
        return model.impvol(q.price, q.strike, q.spot, q.years, np.where(q.is_call, 1, -1)), None

    return solve


def _fast_vollib(jackel_iv: Any) -> Solver:
    def solve(q: Quotes) -> tuple[Array, None]:
        growth = np.exp(q.rate * q.years)
        return jackel_iv.jackel_iv_black(
            q.price * growth, q.spot * growth, q.strike, q.years, q.is_call
        ), None

    return solve


def _lbriv(lbriv: Any) -> Solver:
    def solve(q: Quotes) -> tuple[Array, Array]:
        growth = np.exp(q.rate * q.years)
        out = [np.empty(len(q)) for _ in range(4)]
        # it takes one year for all: its volatility is that of the whole time, its delta one by the
        # forward
        lbriv.compute_trades_greeks(
            q.price * growth, q.spot * growth, q.strike, q.is_call.view(np.int8), 1.0 / growth, *out
        )
        return out[0] / np.sqrt(q.years), out[1] * growth

    return solve


def _polars_vol(polars_vol: Any) -> Solver:
    import polars as pl

    names = ("price", "strike", "spot", "years", "rate", "is_call")
    expression = polars_vol.iv_and_greeks(*names)

    def solve(q: Quotes) -> tuple[Array, Array]:
        frame = pl.DataFrame({name: getattr(q, name) for name in names})
        found = frame.select(expression.alias("found")).unnest("found")
        return found["implied_vol"].to_numpy(), found["delta"].to_numpy()

    return solve


def _vectorized(package: Any) -> Solver:
    def solve(q: Quotes) -> tuple[Array, None]:
        flag = np.where(q.is_call, "c", "p")
        found = package.vectorized_implied_volatility(
            q.price, q.spot, q.strike, q.years, q.rate, flag, return_as="numpy", on_error="ignore"
        )
        return found, None

    return solve


def _quantlib(ql: Any) -> Solver:
    def solve(q: Quotes) -> tuple[Array, None]:
        growth = np.exp(q.rate * q.years)
        kinds = [ql.Option.Call if call else ql.Option.Put for call in q.is_call.tolist()]
        columns = (q.strike, q.spot * growth, q.price, 1.0 / growth)
        rows = zip(kinds, *(c.tolist() for c in columns), strict=True)
        # by default it stops at 1e-6; with the accuracy asked of the others it takes a step or two
        # more
        more = (0.0, ql.nullDouble(), 1e-12, 100)
        return np.array([ql.blackFormulaImpliedStdDev(*row, *more) for row in rows]) / np.sqrt(
            q.years
        ), None

    return solve


RIVALS = (
    Rival("polars-vol", "Rust, IV and greeks", "polars_vol", _polars_vol),
    Rival("pyfeng", "NumPy, IV alone", "pyfeng", _pyfeng),
    Rival(
        "fast-vollib", "`jackel_iv_black`, IV alone", "fast_vollib.jackel.jackel_iv", _fast_vollib
    ),
    Rival("lbriv", "Cython, IV and greeks", "lbriv", _lbriv),
    Rival("py_vollib_vectorized", "Numba, IV alone", "py_vollib_vectorized", _vectorized),
    Rival("QuantLib", "`blackFormulaImpliedStdDev`, IV alone", "QuantLib", _quantlib, most=100_000),
    Rival("vollib", "IV alone, in a Python loop", "vollib", lambda _: vollib_loop, most=1_000),
    Rival(
        "scalar Numba loop",
        "the C library's exp, log and erfc; IV and delta",
        "",
        lambda _: numba_loop_iv,
    ),
)
