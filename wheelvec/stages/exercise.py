"""Early assignment: writes the session of exercise beside each quote of a slice (rules.md, 13)."""

import numpy as np
import polars as pl

from wheelvec.kernels.exercise import (
    NOT_DUE,
    Exercisable,
    Market,
    new_exercises,
    write_exercises,
)
from wheelvec.kernels.layout import Offers, Traded
from wheelvec.kernels.slices import Slice
from wheelvec.stages.arrays import Array, column, days
from wheelvec.stages.contracts import Chain, is_put, strike_milli
from wheelvec.stages.slices import Numbered, no_bars


def write_early(
    slice_: Slice,
    chain: Chain,
    contracts: Numbered,
    bars: Traded | None,
    dividends: pl.DataFrame,
) -> None:
    """Write on which session each quote's option is exercised early, under either setting.

    Args:
        slice_: its puts and calls are written.
        chain: the valid quotes that the slice was made of.
        contracts: of the chain.
        bars: of the contracts; None for an underlying without any.
        dividends: of the underlying: ex_date, amount in dollars per share, and special if known.
    """
    table, underlying = slice_.contracts, slice_.underlying
    none, succession = np.zeros(table.size, np.int64), contracts.succession
    exercisable = Exercisable(
        strike_milli(contracts.key),
        np.rint(table["strike"] * 100.0).astype(np.int64),
        table["settlement"].copy(),
        is_put(contracts.key),
        none if succession is None else succession.era,
        table["successor"].copy(),
    )
    eras = contracts.eras
    write_exercises(
        Offers(chain.number, contracts.of_row, chain.bid, chain.ask),
        no_bars() if bars is None else bars,
        exercisable,
        np.zeros(0, np.int64) if eras is None else eras.begin,
        Market(underlying.close, due_next(dividends, underlying.day, slice_.events)),
        slice_.puts,
        slice_.put_starts,
        slice_.calls,
        slice_.call_starts,
        new_exercises(contracts.key.size),
    )


def due_next(dividends: pl.DataFrame, day: Array, events: Array) -> Array:
    """(sessions,) the ordinary dividends whose ex-date is the next session, in tenths of a cent.

    NOT_DUE where there are none. A dividend whose ex-date is no session is on the eve of none. On
    the eve of a split it is what a share of that day will receive: splits come before dividends.

    Args:
        dividends: ex_date, amount in dollars per share, and special if known.
        day: (sessions,) since 1970-01-01.
        events: of kernels.slices.EVENT.
    """
    if "special" in dividends.columns:
        dividends = dividends.filter(~pl.col("special"))
    ex_day, amount = days(dividends, "ex_date"), column(dividends, "amount", np.float64)
    at = np.searchsorted(day, ex_day)
    known = (at > 0) & (at < day.size)
    known[known] = day[at[known]] == ex_day[known]
    eve, total = at[known] - 1, np.zeros(day.size)
    np.add.at(total, eve, amount[known])
    for number, shares in zip(events["number"].tolist(), events["shares"].tolist(), strict=True):
        total[number - 1 : number] *= shares
    out = np.full(day.size, NOT_DUE, np.int64)
    out[eve] = np.rint(total[eve] * 1000.0)
    return out
