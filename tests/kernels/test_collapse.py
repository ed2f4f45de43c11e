"""Which quotes are valid and which stand: against the flaws that frames are tested for, and by
hand.
"""

import itertools

import numpy as np
import polars as pl
import pytest

from wheelvec.kernels.collapse import (
    NEVER,
    SNAPSHOT,
    Counts,
    EntryClock,
    Quoted,
    Standing,
    collapse_quotes,
    is_valid,
)
from wheelvec.model.schemas import LARGEST_PRICE, quote_flaws

PRICES = [None, float("nan"), float("inf"), -1.0, 0.0, 1.0, 2.0, 150.0, LARGEST_PRICE, 1e20]
SPOTS = [None, float("nan"), float("inf"), -1.0, 0.0, 100.0, LARGEST_PRICE, 1e20]
DAY = 19_800


def quoted(rows: pl.DataFrame) -> Quoted:
    """Columns of a frame as the kernel reads them."""
    prices = (rows[name].to_numpy().astype(np.float64) for name in ("bid", "ask", "spot"))
    n = len(rows)
    return Quoted(
        rows["day"].to_numpy().astype(np.int32),
        rows["ts"].to_numpy() if "ts" in rows.columns else np.full(n, SNAPSHOT),
        np.zeros(0, np.int64),
        rows["expiration"].to_numpy().astype(np.int32),
        rows["put"].to_numpy(),
        np.full(n, 100.0),
        *prices,
    )


def test_a_quote_is_valid_where_it_has_no_flaw() -> None:
    every = itertools.product(PRICES, PRICES, SPOTS, [DAY, DAY - 1], [True, False])
    kinds = {"bid": pl.Float64, "ask": pl.Float64, "spot": pl.Float64}
    rows = pl.DataFrame(
        list(every), schema=[*kinds.items(), "expiration", "put"], orient="row"
    ).with_columns(day=pl.lit(DAY))
    expected = rows.select(
        "bid",
        "ask",
        strike=pl.lit(100.0),
        underlying_price="spot",
        session=pl.col("day").cast(pl.Int32).cast(pl.Date),
        expiration=pl.col("expiration").cast(pl.Int32).cast(pl.Date),
        option_type=pl.when("put").then(pl.lit("P")).otherwise(pl.lit("C")),
    ).select(~pl.any_horizontal(list(quote_flaws().values())))
    table = quoted(rows)
    found = [bool(is_valid(table, i)) for i in range(len(rows))]
    assert found == expected.to_series().to_list()
    assert 10 < sum(found) < len(found) - 10


MINUTE, SECOND = 60 * 10**9, 10**9


@pytest.mark.parametrize(
    ("rows", "expected", "counted"),
    [
        ([(DAY, 0, 1.0), (DAY, 59, 1.1)], [1.1], (1, 1, 2)),  # the last of the minute
        ([(DAY, 0, 1.0), (DAY, 60, 1.1)], [1.0], (1, 1, 1)),  # the minute excludes its end
        ([(DAY, -1, 1.0), (DAY, 5, -1.0)], [], (1, 0, 1)),  # quoted, but not validly
        ([(DAY, 5, 1.0), (DAY, 6, -1.0)], [1.0], (1, 1, 2)),  # the last valid one
        ([(DAY, 5, 1.0), (DAY, 5, 1.2)], [1.2], (1, 1, 2)),  # of equal times the later row
        ([(DAY, None, 1.0)], [1.0], (1, 1, 1)),  # a snapshot
        ([(DAY + 1, 5, 1.0)], [], (0, 0, 0)),  # no session
    ],
)
def test_the_last_valid_quote_of_the_entry_minute_stands(
    rows: list[tuple[int, int | None, float]],
    expected: list[float],
    counted: tuple[int, int, int],
) -> None:
    start = 10**18
    at = [SNAPSHOT if s is None else start + s * SECOND for _, s, _ in rows]
    frame = pl.DataFrame({"day": [day for day, _, _ in rows], "ts": at})
    frame = frame.with_columns(
        bid=pl.Series([bid for _, _, bid in rows]),
        ask=pl.lit(2.0),
        spot=pl.lit(100.0),
        expiration=pl.lit(DAY + 30),
        put=pl.lit(True),
    )
    clock = EntryClock(DAY, np.array([0, -1]), np.array([start, NEVER]))
    counts = Counts(*[np.zeros(2, np.int64) for _ in Counts._fields])
    kinds = (np.int32, np.int64, np.float64, np.float64, np.float64)
    out = Standing(*[np.empty(len(rows), kind) for kind in kinds])
    kept = collapse_quotes(quoted(frame), clock, 45, out, counts)
    assert out.bid[:kept].tolist() == expected
    assert tuple(int(values[0]) for values in counts) == counted
    assert collapse_quotes(quoted(frame), clock, 29, out, counts) == 0
