"""DBN bytes of 400,000 cmbp-1 records -> eight Polars columns with symbols, against the vendor's
own conversions to a frame.

The answers are compared before anything is timed.
"""

import datetime as dt
import warnings
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import databento
import databento_dbn as dbn
import numpy as np
import polars as pl
import pytest
import zstandard

from benchmarks.conftest import Measure
from wheelvec.vendors.databento import opra

RECORDS, CONTRACTS = 400_000, 2_000
DAYS = [dt.date(2023, 7, day) for day in (5, 6, 7, 10, 11)]
FIELDS = (
    "symbol",
    "ts_recv",
    "ts_event",
    "action",
    "bid_px_00",
    "ask_px_00",
    "bid_sz_00",
    "ask_sz_00",
)


@lru_cache
def stream() -> bytes:
    """The compressed answer: the same minute of five days, ids given out anew each day. The records
    are those of one template with other numbers in them, for to make each through its class would
    take longer than all that is timed.
    """
    chance = np.random.default_rng(7)
    ids = {day: (1 << 24) + 5000 * i + chance.permutation(CONTRACTS) for i, day in enumerate(DAYS)}
    names = [f"TSLA  2308{18 + i % 3}{'CP'[i % 2]}{(100 + i) * 1000:08d}" for i in range(CONTRACTS)]
    spans = [
        SimpleNamespace(
            raw_symbol=name,
            intervals=[
                SimpleNamespace(
                    start_date=d, end_date=d + dt.timedelta(days=1), symbol=str(ids[d][i])
                )
                for d in DAYS
            ],
        )
        for i, name in enumerate(names)
    ]
    minutes = [
        int(dt.datetime(d.year, d.month, d.day, 19, 45, tzinfo=dt.UTC).timestamp()) * 10**9
        for d in DAYS
    ]
    meta = dbn.Metadata(
        dataset="OPRA.PILLAR",
        schema=dbn.Schema("cmbp-1"),
        start=minutes[0],
        end=minutes[-1] + 60 * 10**9,
        limit=None,
        symbols=["TSLA.OPT"],
        stype_in=dbn.SType("parent"),
        stype_out=dbn.SType.INSTRUMENT_ID,
        partial=[],
        not_found=[],
        mappings=spans,
    )
    pair = dbn.ConsolidatedBidAskPair(
        bid_px=10**9, ask_px=10**9, bid_sz=1, ask_sz=1, bid_pb=20, ask_pb=22
    )
    one = dbn.CMBP1Msg(
        rtype=177,
        publisher_id=30,
        instrument_id=1,
        ts_event=0,
        price=dbn.UNDEF_PRICE,
        size=0,
        action=dbn.Action.ADD,
        side=dbn.Side.NONE,
        ts_recv=0,
        flags=194,
        levels=pair,
    )
    store = databento.DBNStore.from_bytes(bytes(meta))
    rows = np.repeat(np.frombuffer(bytes(one), dtype=store.to_ndarray().dtype), RECORDS)
    each = RECORDS // len(DAYS)
    for i, day in enumerate(DAYS):
        part = rows[i * each : (i + 1) * each]
        part["ts_recv"] = np.sort(chance.integers(minutes[i], minutes[i] + 60 * 10**9, each))
        part["ts_event"] = part["ts_recv"] - 211_000
        part["instrument_id"] = ids[day][chance.integers(0, CONTRACTS, each)]
        part["bid_px_00"] = chance.integers(1, 900, each) * 10**7
        part["ask_px_00"] = part["bid_px_00"] + chance.integers(1, 90, each) * 10**7
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return packer.compress(bytes(meta) + rows.tobytes()) + packer.flush()


def ours() -> pl.DataFrame:
    """`opra.decoded`, the check that the answer is whole included."""
    return opra.decoded(stream(), FIELDS).rows


def by_pandas() -> Any:
    """The client's `to_df`, which checks nothing."""
    return databento.DBNStore.from_bytes(stream()).to_df()


def without_symbols() -> Any:
    """The client's `to_ndarray` alone."""
    return databento.DBNStore.from_bytes(stream()).to_ndarray()


WAYS: dict[str, Callable[[], Any]] = {
    "wheelvec": ours,
    "to_ndarray alone": without_symbols,
    "to_df": by_pandas,
}


def agreed() -> None:
    """Every value of every column is the vendor's own."""
    found, expected = ours(), by_pandas().reset_index()
    assert found["symbol"].cast(pl.String).to_list() == expected["symbol"].tolist()
    assert found["action"].to_list() == [ord(action) for action in expected["action"]]
    for name in ("bid_px_00", "ask_px_00", "bid_sz_00", "ask_sz_00"):
        assert np.array_equal(found[name].to_numpy(), expected[name].to_numpy()), name
    for name in ("ts_recv", "ts_event"):
        assert np.array_equal(
            found[name].to_physical().to_numpy(), expected[name].astype("int64").to_numpy()
        ), name


@pytest.mark.parametrize("way", WAYS)
def test_dbn_to_columns(way: str, measure: Measure, one_thread: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, on the client
        agreed()
        measure(WAYS[way], group="dbn", what=way, n=RECORDS, threads=1)
