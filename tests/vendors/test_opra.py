"""Decoding of DBN: of a stand-in, of the vendor's own files, and of malicious bytes."""

import datetime as dt
import random
import re
import subprocess
import sys
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn
import numpy as np
import polars as pl
import pytest
import zstandard

from tests.market.build import SHARED
from tests.vendors.feeds import DAYS, contracts, entry_of, small_feed
from tests.vendors.standin import MINUTE, compressed, dbn_file, nanos
from wheelvec.model.errors import DataError
from wheelvec.vendors.databento import inflate, opra, venues

with warnings.catch_warnings():  # importing it makes every DeprecationWarning of the process show
    import databento

REAL = SHARED / "real" / "opra_dbn"
DAY = DAYS[1]
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


def chain(days: list[dt.date] = DAYS, **changes: Any) -> bytes:
    """The small market's cmbp-1, from the entry minute of the first day to that of the last."""
    span = {"start": entry_of(days[0]), "end": entry_of(days[-1]) + MINUTE} | changes
    return dbn_file(small_feed(days), "OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", **span)


@pytest.mark.parametrize("packed", [compressed, lambda data: data], ids=["zstd", "plain"])
def test_columns_are_those_of_the_vendors_own_frame(packed: Any) -> None:
    data = packed(chain())
    held = opra.decoded(data, FIELDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, on the client
        frame = databento.DBNStore.from_bytes(data).to_df().reset_index()
    assert len(held.rows) == len(frame) > 50
    assert held.rows["symbol"].cast(pl.String).to_list() == frame["symbol"].tolist()
    assert held.rows["action"].to_list() == [ord(action) for action in frame["action"]]
    for name in ("bid_px_00", "ask_px_00", "bid_sz_00", "ask_sz_00"):
        assert held.rows[name].to_list() == frame[name].tolist(), name
    for name in ("ts_recv", "ts_event"):
        assert held.rows[name].to_physical().to_list() == frame[name].astype("int64").tolist(), name
    assert (held.dataset, held.schema, held.header.parents) == (
        "OPRA.PILLAR",
        "cmbp-1",
        ("TSLA.OPT",),
    )
    assert nanos(held.header.start) == entry_of(DAYS[0])
    assert nanos(held.header.end) == entry_of(DAYS[-1]) + MINUTE


def test_an_instrument_id_that_changes_hands_overnight_names_each_days_own_contract() -> None:
    held = opra.decoded(chain(), ("symbol", "instrument_id", "ts_recv")).rows
    by_id = held.group_by("instrument_id").agg(pl.col("symbol").n_unique())
    assert by_id["symbol"].max() > 1  # an id alone would mix them
    assert set(held["symbol"].unique().cast(pl.String)) == set(contracts("TSLA", 270.0))
    for raw, symbol in (
        held.filter(pl.col("ts_recv").dt.date() == DAY)
        .select("instrument_id", "symbol")
        .unique()
        .iter_rows()
    ):
        assert small_feed().ids(DAY)[symbol] == raw


@pytest.mark.parametrize("table", [1 << 20, 0], ids=["by table", "by search"])
def test_ids_far_apart_and_unknown_ids(monkeypatch: pytest.MonkeyPatch, table: int) -> None:
    import numpy as np

    monkeypatch.setattr(opra, "_TABLE", table)
    ids, codes = np.array([900, 7, 30]), np.array([0, 1, 2])
    asked = np.array([7, 900, 6, 8, 901, 0, 2**32 - 1, 30], dtype=np.uint32)
    assert opra._looked_up(asked, ids, codes, 3).tolist() == [1, 0, 3, 3, 3, 3, 3, 2]
    assert opra._looked_up(asked, ids[:0], codes[:0], 3).tolist() == [3] * 8


def test_an_undefined_price_or_time_is_null_and_neither_nan_nor_zero() -> None:
    feed = small_feed()
    feed.quotes = [feed.quotes[0]._replace(bid=None), feed.quotes[1]._replace(ask=None)]
    data = dbn_file(
        feed, "OPRA.PILLAR", "cbbo-1m", ["TSLA.OPT"], "parent", nanos(DAYS[0]), nanos(DAYS[1])
    )
    rows = opra.decoded(data, ("ts_event", "bid_px_00", "ask_px_00")).rows
    assert rows["bid_px_00"].to_list() == [None, 3.05]
    assert rows["ask_px_00"].to_list() == [3.25, None]
    assert rows["ts_event"].null_count() == 2


def test_prices_are_divided_as_numbers_and_not_multiplied_by_an_inverse() -> None:
    feed = small_feed()
    feed.quotes = [feed.quotes[0]._replace(bid=11.69, ask=11.7)]
    data = dbn_file(
        feed, "OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", nanos(DAYS[0]), nanos(DAYS[1])
    )
    assert opra.decoded(data, ("bid_px_00",)).rows["bid_px_00"].item() == 11.69


def test_no_records_give_no_rows() -> None:
    data = dbn_file(
        small_feed(),
        "OPRA.PILLAR",
        "cmbp-1",
        ["TSLA.OPT"],
        "parent",
        nanos(DAYS[0]),
        nanos(DAYS[0]) + 1,
    )
    held = opra.decoded(compressed(data), FIELDS).rows
    assert held.shape == (0, 8)


def test_every_cut_is_noticed_though_the_client_reads_most_of_them_as_less_data() -> None:
    data = compressed(chain())
    assert len(databento.DBNStore.from_bytes(data[: len(data) // 2]).to_ndarray()) > 10  # silently
    for cut in range(1, len(data), 7):
        with pytest.raises(DataError, match=r"was cut off|is neither DBN nor whole zstd|is no DBN"):
            opra.decoded(data[:cut], FIELDS)
    plain = chain()
    for cut in range(1, 400, 9):
        if cut % 80:
            with pytest.raises(DataError, match="was cut off within a record"):
                opra.decoded(plain[:-cut], FIELDS)


@pytest.mark.parametrize(
    "data", [b"<html>no</html>", b"", b"DBN", b"DBN\x03\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd"]
)
def test_what_is_no_dbn_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(DataError, match=r"is no DBN|is neither DBN|was cut off"):
        opra.decoded(data, FIELDS)


def test_records_of_another_schema_are_refused() -> None:
    feed = small_feed()
    other = feed._bar(feed.option_bars[0], "ohlcv-1d", {DAYS[0]: feed.ids(DAYS[0])})
    start = entry_of(DAYS[0])
    data = dbn_file(
        feed,
        "OPRA.PILLAR",
        "cmbp-1",
        ["TSLA.OPT"],
        "parent",
        start,
        start + 1,
        records=[other] * 10,
    )
    with pytest.raises(DataError, match="records of another schema"):
        opra.decoded(data, FIELDS)


SCHEMAS = [
    "cbbo-1m",
    "cbbo-1s",
    "definition",
    "mbp-1",
    "ohlcv-1d",
    "ohlcv-1h",
    "ohlcv-1m",
    "ohlcv-1s",
    "statistics",
    "tbbo",
    "trades",
]


@pytest.mark.skipif(not REAL.is_dir(), reason="the vendor's files are not here")
@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_vendors_own_bytes_decode(schema: str) -> None:
    assert sorted(path.name for path in REAL.glob("*.zst")) == [
        f"test_data.{name}.dbn.zst" for name in SCHEMAS
    ]
    path = REAL / f"test_data.{schema}.dbn.zst"
    said = opra.header(path)
    assert (said.dataset, said.schema, said.symbols) == (
        "OPRA.PILLAR",
        schema,
        ("AAPL  250221C00250000",),
    )
    assert (said.start, said.end) == (
        dt.datetime(2025, 2, 20, tzinfo=dt.UTC),
        dt.datetime(2025, 2, 21, tzinfo=dt.UTC),
    )
    if not schema.startswith(("cbbo", "ohlcv")):
        with pytest.raises(
            DataError, match=f"holds {schema} records; expected one of cmbp-1, cbbo-1s"
        ):
            opra.decoded(path.read_bytes(), ())
        return
    array = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    names = tuple(name for name in array.dtype.names if not name.startswith("_"))
    held = opra.decoded(path.read_bytes(), ("symbol", *names))
    assert held.schema == schema
    assert len(held.rows) == len(array) > 0
    assert held.rows["symbol"].unique().to_list() == ["AAPL  250221C00250000"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the vendor's files are not here")
def test_the_vendors_own_day_over_four_venues_is_one_bar() -> None:
    data = (REAL / "test_data.ohlcv-1d.dbn.zst").read_bytes()
    held = venues.daily(opra.decoded(data, venues.BAR_FIELDS).rows)
    assert held.rows() == [
        ("AAPL  250221C00250000", dt.date(2025, 2, 20), 0.19, 0.49, 0.1, 0.11, 15861)
    ]


def test_importing_it_neither_imports_the_vendors_client_nor_changes_the_warnings_of_the_process() -> (
    None
):
    code = "import sys, warnings, databento_dbn, numpy, polars, requests; b = list(warnings.filters); import wheelvec.vendors.databento.client; "
    code += "assert warnings.filters == b; assert not {'databento', 'pandas'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_header_is_read_without_the_records(tmp_path: Path) -> None:
    for name, data in (("a", chain()), ("b", compressed(chain()))):
        (tmp_path / name).write_bytes(data)
        said = opra.header(tmp_path / name)
        assert (said.dataset, said.schema, set(said.symbols)) == (
            "OPRA.PILLAR",
            "cmbp-1",
            set(contracts("TSLA", 270.0)),
        )
    for data, reason in (
        (b"no", "is neither DBN nor zstd|is no DBN"),
        (b"DBN\x03\xff\xff\xff\x0f", "was cut off within its header"),
    ):
        (tmp_path / "c").write_bytes(data)
        with pytest.raises(DataError, match=reason):
            opra.header(tmp_path / "c")
    with pytest.raises(DataError, match=r"^cannot be read: No such file"):
        opra.header(tmp_path / "d")


# ---- bytes of anybody


def damaged(data: bytes, **fields: Any) -> bytes:
    """With fields of the first record changed."""
    at = 8 + int.from_bytes(data[4:8], "little")
    array = np.frombuffer(bytearray(data[at:]), dtype=databento_dbn.CMBP1Msg._dtypes)
    for name, value in fields.items():
        array[name][0] = value
    return data[:at] + array.tobytes()


def without_end(data: bytes) -> bytes:
    return data[:34] + b"\xff" * 8 + data[42:]


def with_id(data: bytes, new: bytes) -> bytes:
    """With another text in the place of each instrument id of the mappings."""
    return re.sub(rb"(?<=\0)1677\d{4}(?=\0)|(?<=\x01)1677\d{4}(?=\0)", new.ljust(8, b"\0"), data)


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new.ljust(len(old), b"\0"))


MALFORMED = {
    "another magic": (lambda data: b"DBX" + data[3:], "is neither DBN nor whole zstd"),
    "a later version": (lambda data: b"DBN\x09" + data[4:], "is DBN of version 9; expected 1 to 3"),
    "version 0": (lambda data: b"DBN\0" + data[4:], "is DBN of version 0"),
    "all zeros": (lambda data: bytes(len(data)), "is neither DBN nor whole zstd"),
    "a header of zeros": (lambda data: data[:4] + bytes(len(data) - 4), "its header says that it has 0 bytes"),
    "a short header of zeros": (lambda data: data[:4] + b"\x64\0\0\0" + bytes(100), "its header says that it has 100 bytes"),
    "a header of the least length": (lambda data: data[:4] + b"\x68\0\0\0" + bytes(104), "its header is malformed"),
    "an endless header": (lambda data: data[:4] + b"\xff" * 4 + data[8:], "its header says that it has 4,294,967,295 bytes"),
    "a header cut off": (lambda data: data[:200], "was cut off within its header"),
    "no UTF-8": (lambda data: renamed(data, b"OPRA.PILLAR", b"\xff\xfe"), "its header is malformed"),
    "symbols without end": (lambda data: data[:112] + b"\xff\xff\xff\x7f" + data[116:], "its header is malformed"),
    "an id that is no number": (lambda data: with_id(data, b"one"), "its symbols are malformed"),
    "an id below zero": (lambda data: with_id(data, b"-1"), "its symbols are malformed"),
    "mixed schemas": (lambda data: data[:24] + b"\xff\xff" + data[26:], "holds mixed records"),
    "another schema": (lambda data: data[:24] + b"\x0b\0" + data[26:], "records of another schema|expected one of"),
    "a length of 0": (lambda data: damaged(data, length=0), "holds records of another schema than cmbp-1"),
    "a length of 255": (lambda data: damaged(data, length=255), "holds records of another schema than cmbp-1"),
    "an unknown rtype": (lambda data: damaged(data, rtype=0), "holds records of another schema than cmbp-1"),
    "a time of 1970": (lambda data: damaged(data, ts_recv=7), "has records from outside of the time that its header names"),
    "a time of 2554": (lambda data: damaged(data, ts_recv=2**64 - 2), "has records from outside of the time"),
    "no time": (lambda data: damaged(data, ts_recv=2**64 - 1), "has records from outside of the time"),
    "half a record": (lambda data: data[:-40], "was cut off within a record"),
    "junk behind": (lambda data: compressed(data) + b"junk", "is neither DBN nor whole zstd"),
    "nothing behind a frame": (lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0abcd", "is no DBN"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_malformed_is_said_to_be(kind: str) -> None:
    change, reason = MALFORMED[kind]
    with pytest.raises(DataError, match=reason):
        opra.decoded(change(chain()), FIELDS)


def test_records_whose_instruments_nobody_names_are_none() -> None:
    data = renamed(chain([DAY]), b"16777", b"99777")
    with pytest.raises(DataError, match="names the instrument of none of its records"):
        opra.decoded(data, FIELDS)
    some = chain([DAY])
    first = some.index(b"16777")
    held = opra.decoded(some[:first] + b"99" + some[first + 2 :], FIELDS).rows
    assert 0 < held["symbol"].null_count() < len(held)  # set aside and counted further on


def test_frames_one_after_another_are_one_answer() -> None:
    data = chain()
    at = 8 + int.from_bytes(data[4:8], "little")
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    packed = (
        zstandard.ZstdCompressor().compress(data[:at])
        + skippable
        + zstandard.ZstdCompressor().compress(data[at:])
    )
    assert opra.decoded(packed, FIELDS).rows.equals(opra.decoded(data, FIELDS).rows)


def test_records_out_of_order_are_put_in_order_of_time() -> None:
    data = chain()
    at = 8 + int.from_bytes(data[4:8], "little")
    records = [data[i : i + 80] for i in range(at, len(data), 80)]
    turned = data[:at] + b"".join(reversed(records))
    assert opra.decoded(turned, FIELDS).rows.equals(opra.decoded(data, FIELDS).rows)


def test_any_bytes_changed_anywhere_are_read_or_refused_and_nothing_panics(
    capfd: pytest.CaptureFixture[str],
) -> None:
    chance, plain = random.Random(1), chain()
    size = 8 + int.from_bytes(plain[4:8], "little")
    outcomes = Counter[str]()
    for number in range(1500):
        data = bytearray(plain)
        for _ in range(chance.choice((1, 1, 3))):
            data[chance.choice((chance.randrange(size), chance.randrange(len(data))))] = (
                chance.choice((0, 1, 128, 255))
            )
        if number % 5 == 0:
            length = chance.randrange(size)
            data[4:8] = length.to_bytes(4, "little")
        if number % 7 == 0:
            data = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(data))
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            opra.decoded(bytes(data), FIELDS)
            outcomes["read"] += 1
        except DataError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100
    assert capfd.readouterr() == ("", "")


def test_a_panic_of_the_decoder_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    data, panic = chain(), type("PanicException", (BaseException,), {})

    def decode(error: BaseException) -> Any:
        def raising(_: bytes) -> None:
            raise error

        return SimpleNamespace(decode=raising)

    monkeypatch.setattr(databento_dbn, "Metadata", decode(panic("mid > len")))
    with pytest.raises(DataError, match="its header is malformed: mid > len"):
        opra.decoded(data, FIELDS)
    monkeypatch.setattr(databento_dbn, "Metadata", decode(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        opra.decoded(data, FIELDS)


def test_what_inflates_beyond_its_limit_is_refused_before_it_is_there() -> None:
    bomb = zstandard.ZstdCompressor(level=3).compressobj()
    packed = (
        bomb.compress(chain())
        + b"".join(bomb.compress(bytes(1 << 22)) for _ in range(128))
        + bomb.flush()
    )
    assert len(packed) < 100_000  # of 512 MB
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="inflates to more than 1,000,000 bytes"):
            opra.decoded(packed, (), most=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(DataError, match="inflates to more than 99 bytes"):
        opra.decoded(chain(), (), most=99)
    assert inflate.most_bytes() >= 1 << 30
