"""A sweep of stops and targets beside what else can say it: a plain Numba loop over days, and
vectorbt with stops.

The rules are what all three can say (benchmarks/test_path.py). The puts are those that the sweep
itself sells on the demo market, and every exit's reason and price is compared before anything is
timed: where a stop or a target ends a put, the wheel's P&L says at what price. Also here: what a
swept rate costs, which solves every chain anew.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from benchmarks import machine
from benchmarks.agreement import same_arrays
from benchmarks.conftest import Measure
from benchmarks.inputs import Array, Paths
from benchmarks.references import RAN_TO_THE_END, STOPPED, TARGET, numba_loop_sweep
from benchmarks.test_path import ENGINES, exits_of_vectorbt, vectorbt_portfolio, vectorbt_with
from benchmarks.test_sweep import FRESH, cells, exits, market, schedule

OURS, LOOP = "wheelvec", "Numba loop"
# vectorbt holds every bar of every cell in memory
ROWS = {OURS: 10_000, LOOP: 10_000, **dict.fromkeys(ENGINES, 100)}
CHECKED = 100  # configurations
NOTES = {
    OURS: "chains, entries, calls and figures as well",
    LOOP: "ready-made rows, contract by contract",
    **dict.fromkeys(ENGINES, "`Portfolio.from_signals` with `sl_stop` and `tp_stop`"),
}
KEY = ["underlying", "entry_date", "put_symbol"]
OHLC = ("open", "high", "low", "close")
Found = tuple[Array, Array]  # reason and price of each exit, (configurations, wheels)


class Bars(NamedTuple):
    """The puts' bars, put after put; the first of each is the sale, at its price."""

    open: Array
    high: Array
    low: Array
    close: Array


class Puts(NamedTuple):
    """The puts that the sweep sells."""

    wheels: pl.DataFrame  # KEY, censored
    price: Array  # (wheels,) dollars per share
    starts: Array  # (wheels + 1,) in `bars`
    bars: Bars


def base() -> wv.Config:
    """Rules that a loop over days can say."""
    changes = {
        "fills.fill_mode": "optimistic",
        "fills.exit_model": "trigger",
        "fills.use_probabilistic_exit_fills": False,
        "fills.gap_path": "skip",
        "put.max_hold_dte": None,
        "costs.commission_per_contract": 0.0,
        "costs.sec_fee_per_contract": 0.0,
        "fills.tick": 0.0,
    }
    return wv.Config(schedule=schedule(False)).replace(**changes)


@cache
def puts() -> Puts:
    """The puts of a backtest, and their bars from the market's table."""
    result = wv.backtest(market(False), base())
    legs = result.records.filter(pl.col("phase") == "csp").select(
        "wheel_id", "expiration", price=pl.col("premium") / 100.0
    )
    sold = result.wheels.select("wheel_id", *KEY, "censored").join(
        legs, on="wheel_id", maintain_order="left"
    )
    sold = sold.with_row_index("wheel")
    table = market(False).option_bars
    assert table is not None
    after = sold.join(table, left_on="put_symbol", right_on="symbol").filter(
        (pl.col("session") > pl.col("entry_date")) & (pl.col("session") <= pl.col("expiration"))
    )
    sales = sold.select(
        "wheel",
        pl.col("entry_date").alias("session"),
        *(pl.col("price").alias(name) for name in OHLC),
    )
    bars = pl.concat([sales, after.select("wheel", "session", *OHLC)]).sort("wheel", "session")
    starts = np.append(
        0, np.cumsum(bars.group_by("wheel").len().sort("wheel")["len"].to_numpy())
    ).astype(np.int64)
    return Puts(
        sold.select(*KEY, "censored"),
        sold["price"].to_numpy(),
        starts,
        Bars(*(bars[name].to_numpy() for name in OHLC)),
    )


def as_paths(given: Puts, times: int) -> Paths:
    """The puts so many times side by side, each filled up with its sale's price, which no stop or
    target is at.
    """
    lengths = np.diff(given.starts)
    wheel, day = (
        np.repeat(np.arange(lengths.size), lengths),
        np.arange(given.starts[-1]) - np.repeat(given.starts[:-1], lengths),
    )
    columns = []
    for values in given.bars:
        matrix = np.tile(given.price, (int(lengths.max()), 1))
        matrix[day, wheel] = values
        columns.append(np.tile(matrix, times))
    return Paths(np.tile(given.price, times), *columns)


def grid(rows: int) -> dict[str, Any]:
    """A product of targets and stops that no sweep of the process had."""
    return exits(np.random.default_rng(next(FRESH)), rows)


def rules(frame: pl.DataFrame) -> tuple[Array, Array]:
    """(configurations,) each: stop multipliers and targets."""
    return frame["put.stop_loss_multiplier"].to_numpy(), frame["put.exit_pct"].to_numpy()


def agrees_with_sweep(sweep: wv.Sweep, found: Found) -> None:
    """Exits by configuration, and the P&L of every wheel that a stop or a target ended.

    Raises:
        DisagreementError: naming what differs.
    """
    given, (reason, price) = puts(), found
    for name, code in (("csp_stop_loss", STOPPED), ("csp_profit_target", TARGET)):
        same_arrays(
            name,
            sweep.frame[name].to_numpy().astype(float),
            (reason == code).sum(axis=1).astype(float),
        )
    pnl = sweep.pnl()
    rows = given.wheels.join(
        pnl.wheels.with_row_index("row"), on=KEY, how="left", maintain_order="left"
    )["row"]
    mine = np.asarray(pnl.values)[rows.to_numpy(), :].T
    ended = (reason != RAN_TO_THE_END) & ~given.wheels["censored"].to_numpy()
    assert ended.any()
    same_arrays("P&L", mine[ended].astype(float), (100.0 * (given.price - price))[ended], 1e-3)


def vectorbt_sweep(
    vbt: Any, given: Puts, multipliers: Array, exit_pcts: Array
) -> tuple[Any, Paths]:
    """Every put under every configuration, a column each."""
    paths = as_paths(given, multipliers.size)
    wide = (
        np.broadcast_to(np.repeat(each, given.price.size), paths.open.shape)
        for each in (multipliers, exit_pcts)
    )
    return vectorbt_portfolio(vbt, paths, *wide), paths


def found_by_vectorbt(vbt: Any, multipliers: Array, exit_pcts: Array) -> Found:
    """Its exits, as the loop gives them."""
    given = puts()
    portfolio, paths = vectorbt_sweep(vbt, given, multipliers, exit_pcts)
    reason, _, price = exits_of_vectorbt(portfolio, paths, np.repeat(multipliers, given.price.size))
    shape = multipliers.size, given.price.size
    return reason.reshape(shape), price.reshape(shape)


@pytest.mark.parametrize(
    ("what", "threads"), [(OURS, 1), (OURS, 2), (LOOP, 1), *((engine, 1) for engine in ENGINES)]
)
def test_exits_beside(what: str, threads: int, short: bool, measure: Measure) -> None:
    if threads > machine.most_threads():
        pytest.skip("one core")
    vbt = vectorbt_with(what) if what in ENGINES else None
    given, rows = puts(), CHECKED if short else ROWS[what]
    with machine.threads(threads):
        checked = wv.sweep(market(False), base(), grid(CHECKED), threads=threads)
        limits = rules(checked.frame)
        loop = numba_loop_sweep(given.price, given.starts, given.bars, *limits)
        agrees_with_sweep(checked, found_by_vectorbt(vbt, *limits) if vbt else loop)
        many = rules(
            wv.sweep(market(False), base(), grid(rows), stats="moments", threads=threads).frame
        )
        timed = {
            OURS: lambda: wv.sweep(
                market(False), base(), grid(rows), stats="moments", threads=threads
            ),
            LOOP: lambda: numba_loop_sweep(given.price, given.starts, given.bars, *many),
            **dict.fromkeys(ENGINES, lambda: vectorbt_sweep(vbt, given, *many)),
        }
        measure(
            timed[what],
            group="sweep beside",
            what=what,
            note=NOTES[what],
            n=given.price.size * rows,
            threads=threads,
        )


@pytest.mark.parametrize("rates", [1, 10])
def test_swept_rate(rates: int, short: bool, measure: Measure) -> None:
    """A thousand rows, of one rate or of several: a rate that no sweep had solves every chain anew."""
    rows = 100 if short else 1_000

    def swept() -> wv.Sweep:
        rng = np.random.default_rng(next(FRESH))
        rate = {"pricing.rate": np.sort(rng.uniform(0.01, 0.05, rates))}
        return wv.sweep(
            market(False), base(), rate | exits(rng, rows // rates), stats="moments", threads=1
        )

    with machine.threads(1):
        found = swept()
        row = found.frame.height - 1
        assert (
            found.frame["total_pnl"][row]
            == wv.backtest(market(False), found.row_config(row)).summary()["total_pnl"]
        )
        what = "one new rate x exit rules" if rates == 1 else f"{rates} new rates x exit rules"
        note = f"{found.frame.height:,} rows, chains solved for each rate"
        measure(swept, group="sweep", what=what, n=cells(found), threads=1, note=note)
