"""Databento's bytes as columns, and its client with patience: against a stand-in, and on the vendor's own files."""

import datetime as dt
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import databento
import polars as pl
import pytest
import requests
import tenacity
from databento.common.error import BentoWarning
from databento.common.http import BentoHttpAPI

from tests.market.build import SHARED
from tests.market.feeds import DAYS, contracts, entry_of, small_feed
from tests.market.standin import KEY, MINUTE, Standin, compressed, dbn_file, nanos
from wheelvec.market import opra, venues
from wheelvec.market.access import Pace, checked_gateway, checked_key
from wheelvec.market.asks import Ask
from wheelvec.spec.errors import DataError, FetchError, InputError

REAL = SHARED / "real" / "opra_dbn"
DAY = DAYS[1]
FIELDS = ("symbol", "ts_recv", "ts_event", "action", "bid_px_00", "ask_px_00", "bid_sz_00", "ask_sz_00")
ASK = Ask.quotes("TSLA", "cmbp-1", DAY, dt.datetime(2023, 7, 5, 19, 45, tzinfo=dt.UTC), 0)


def chain(days: list[dt.date] = DAYS, **changes: Any) -> bytes:
    """The small market's cmbp-1, from the entry minute of the first day to that of the last."""
    span = {"start": entry_of(days[0]), "end": entry_of(days[-1]) + MINUTE} | changes
    return dbn_file(small_feed(days), "OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", **span)


# ---- bytes


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
    assert (held.dataset, held.schema, held.parents) == ("OPRA.PILLAR", "cmbp-1", ("TSLA.OPT",))
    assert nanos(held.start) == entry_of(DAYS[0])
    assert nanos(held.end) == entry_of(DAYS[-1]) + MINUTE


def test_an_instrument_id_that_changes_hands_overnight_names_each_days_own_contract() -> None:
    held = opra.decoded(chain(), ("symbol", "instrument_id", "ts_recv")).rows
    by_id = held.group_by("instrument_id").agg(pl.col("symbol").n_unique())
    assert by_id["symbol"].max() > 1  # an id alone would mix them
    assert set(held["symbol"].unique().cast(pl.String)) == set(contracts("TSLA", 270.0))
    for raw, symbol in held.filter(pl.col("ts_recv").dt.date() == DAY).select("instrument_id", "symbol").unique().iter_rows():
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
    data = dbn_file(feed, "OPRA.PILLAR", "cbbo-1m", ["TSLA.OPT"], "parent", nanos(DAYS[0]), nanos(DAYS[1]))
    rows = opra.decoded(data, ("ts_event", "bid_px_00", "ask_px_00")).rows
    assert rows["bid_px_00"].to_list() == [None, 3.05]
    assert rows["ask_px_00"].to_list() == [3.25, None]
    assert rows["ts_event"].null_count() == 2


def test_prices_are_divided_as_numbers_and_not_multiplied_by_an_inverse() -> None:
    feed = small_feed()
    feed.quotes = [feed.quotes[0]._replace(bid=11.69, ask=11.7)]
    data = dbn_file(feed, "OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", nanos(DAYS[0]), nanos(DAYS[1]))
    assert opra.decoded(data, ("bid_px_00",)).rows["bid_px_00"].item() == 11.69


def test_no_records_give_no_rows() -> None:
    data = dbn_file(small_feed(), "OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", nanos(DAYS[0]), nanos(DAYS[0]) + 1)
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


@pytest.mark.parametrize("data", [b"<html>no</html>", b"", b"DBN", b"DBN\x03\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd"])
def test_what_is_no_dbn_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(DataError, match=r"is no DBN|is neither DBN|was cut off"):
        opra.decoded(data, FIELDS)


def test_records_of_another_schema_are_refused() -> None:
    feed = small_feed()
    other = feed._bar(feed.option_bars[0], "ohlcv-1d", {DAYS[0]: feed.ids(DAYS[0])})
    start = entry_of(DAYS[0])
    data = dbn_file(feed, "OPRA.PILLAR", "cmbp-1", ["TSLA.OPT"], "parent", start, start + 1, records=[other] * 10)
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
    assert sorted(path.name for path in REAL.glob("*.zst")) == [f"test_data.{name}.dbn.zst" for name in SCHEMAS]
    path = REAL / f"test_data.{schema}.dbn.zst"
    store = databento.DBNStore.from_bytes(path.read_bytes())
    names = tuple(name for name in store.to_ndarray().dtype.names if not name.startswith("_"))
    held = opra.decoded(path.read_bytes(), ("symbol", *names))
    assert held.schema == schema
    assert len(held.rows) == len(store.to_ndarray())
    assert held.rows["symbol"].unique().to_list() == ["AAPL  250221C00250000"]
    assert opra.header(path) == ("OPRA.PILLAR", schema, ("AAPL  250221C00250000",))


@pytest.mark.skipif(not REAL.is_dir(), reason="the vendor's files are not here")
def test_the_vendors_own_day_over_four_venues_is_one_bar() -> None:
    data = (REAL / "test_data.ohlcv-1d.dbn.zst").read_bytes()
    held = venues.daily(opra.decoded(data, venues.BAR_FIELDS).rows)
    assert held.rows() == [("AAPL  250221C00250000", dt.date(2025, 2, 20), 0.19, 0.49, 0.1, 0.11, 15861)]


def test_importing_it_leaves_the_warnings_of_the_process_as_they_were() -> None:
    code = "import warnings, databento_dbn, pandas, polars, requests; b = list(warnings.filters); import wheelvec.market.opra; assert warnings.filters == b"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- the interface


@pytest.fixture
def server(quick: None) -> Any:
    with Standin(small_feed()) as server:
        yield server


def bought(server: Standin) -> tuple[int, int]:
    """(records, payments) of one download."""
    paid: list[int] = []
    data = opra.Client(KEY, server.url).download(ASK, lambda: paid.append(1))
    return len(opra.decoded(data, FIELDS).rows), len(paid)


@pytest.mark.parametrize("kind", ["429", "500", "503", "504", "408", "reset", "cut", "empty", "html", "list"])
def test_what_may_pass_is_tried_again(server: Standin, kind: str) -> None:
    server.fail(kind, times=2)
    assert bought(server) == (8, 3)


def test_a_server_that_hangs_is_left_and_asked_again(server: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BentoHttpAPI, "TIMEOUT", 0.2)
    server.fail("hang")
    assert bought(server) == (8, 2)


def test_nobody_there_is_said_after_some_attempts(quick: None) -> None:
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:9 failed 7 times, last with ConnectionError.*try again later"):
        opra.Client(KEY, "http://127.0.0.1:9").cost(ASK)


def test_what_does_not_pass_is_given_up_with_its_status(server: Standin) -> None:
    server.fail("503", times=99)
    with pytest.raises(FetchError, match="failed 7 times, last with 503: try again later") as raised:
        bought(server)
    assert (raised.value.status, len(server.asked())) == (503, 7)


@pytest.mark.parametrize("status", ["400", "401", "402", "403", "404", "422"])
def test_a_refusal_is_not_repeated(server: Standin, status: str) -> None:
    server.fail(status)
    with pytest.raises(FetchError, match=status) as raised:
        bought(server)
    assert (raised.value.status, len(server.asked())) == (int(status), 1)


def test_waiting_follows_retry_after_and_else_grows_with_some_chance_in_it() -> None:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})

    def waits(error: Exception, attempt: int) -> float:
        state.attempt_number = attempt
        state.set_exception((type(error), error, None))
        return opra._wait(state)

    assert waits(opra._PassingError("429", wait=7.0), 1) == 7.0
    assert waits(opra._PassingError("429", wait=9999.0), 1) == 300.0
    first, later = ([waits(opra._PassingError("503"), attempt) for _ in range(20)] for attempt in (1, 5))
    assert 0.5 <= min(first) < max(first) <= 1.0
    assert 8.0 <= min(later) < max(later) <= 8.5


def test_retry_after_is_read_from_the_answer(server: Standin) -> None:
    server.fail("429", wait="0.3")
    began = time.monotonic()
    assert bought(server) == (8, 2)
    assert 0.3 <= time.monotonic() - began < 3


def test_stopping_ends_the_waiting(server: Standin) -> None:
    server.fail("429", times=9, wait="200")
    client = opra.Client(KEY, server.url)
    client.stop()
    with pytest.raises(FetchError, match="429"):
        client.download(ASK, lambda: None)


def test_prices_and_ranges_are_asked_for_and_cost_nothing(server: Standin) -> None:
    client = opra.Client(KEY, server.url)
    assert client.cost(ASK) == pytest.approx(8 * 80 * 2e-6)
    ranges = client.ranges("OPRA.PILLAR")
    assert ranges["cmbp-1"][0] == dt.datetime(2023, 3, 28, tzinfo=dt.UTC)
    assert ranges[""][0] == dt.datetime(2013, 4, 1, tzinfo=dt.UTC)
    assert client.ranges("XNYS.NONE") == {}
    assert server.spent == 0


def test_what_databento_remarks_is_logged_and_no_warning(server: Standin, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="wheelvec.market.opra"), opra.remarks():
        warnings.warn(BentoWarning("2017-11-13 (degraded)"), stacklevel=1)
        opra.Client(KEY, server.url).download(
            Ask.quotes("TSLA", "cmbp-1", DAY, dt.datetime(2023, 7, 5, 3, tzinfo=dt.UTC), 0), lambda: None
        )
        with pytest.warns(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)
    assert [(r.levelname, r.getMessage()) for r in caplog.records][-2:] == [
        ("WARNING", "Databento: 2017-11-13 (degraded)"),
        ("DEBUG", "Databento: No data found for the request you submitted."),
    ]


def test_requests_begin_at_their_pace() -> None:
    pace, began = Pace(50.0), time.monotonic()
    for _ in range(6):
        pace.wait()
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    "key", ["", "short", "db-" + "x" * 28, "db-" + "x" * 30, "db-" + "-" * 29, "DB-" + "x" * 29, KEY + "\n"]
)
def test_a_key_of_another_form_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InputError, match="DATABENTO_API_KEY is not") as raised:
        checked_key(key)
    assert not key or key not in str(raised.value)


@pytest.mark.parametrize(
    "gateway",
    [
        "127.0.0.1:80",
        "ftp://127.0.0.1",
        "http://example.com",
        "http://db-x@127.0.0.1",
        "https://a.b/v0",
        "http://",
        "http://10.0.0.1",
    ],
)
def test_a_gateway_that_is_none_or_would_read_the_key_on_the_way_is_refused(gateway: str) -> None:
    with pytest.raises(InputError, match="the gateway"):
        checked_gateway(gateway)


def test_gateways_on_this_machine_may_speak_http() -> None:
    for gateway in ("http://127.0.0.1:8123", "http://localhost", "http://[::1]:80", "https://hist.databento.com"):
        assert checked_gateway(gateway + "/") == gateway


def test_the_key_is_in_no_text_of_the_client(server: Standin) -> None:
    client = opra.Client(KEY, server.url)
    assert KEY not in repr(client)
    server.fail("401", method="get_cost")  # the stand-in says the key in its answer
    with pytest.raises(FetchError, match=re.escape("the key db-... is not welcome")) as raised:
        client.cost(ASK)
    chained: BaseException | None = raised.value
    while chained is not None:
        assert KEY not in str(chained)
        assert not isinstance(chained, (requests.RequestException, databento.BentoError)) or chained is raised.value.__context__
        chained = chained.__cause__


def test_a_header_is_read_without_the_records(tmp_path: Path) -> None:
    for name, data in (("a", chain()), ("b", compressed(chain()))):
        (tmp_path / name).write_bytes(data)
        dataset, schema, symbols = opra.header(tmp_path / name)
        assert (dataset, schema, set(symbols)) == ("OPRA.PILLAR", "cmbp-1", set(contracts("TSLA", 270.0)))
    (tmp_path / "c").write_text("no")
    with pytest.raises(DataError, match=r"c is no DBN file"):
        opra.header(tmp_path / "c")
    with pytest.raises(DataError, match=r"d cannot be read: No such file"):
        opra.header(tmp_path / "d")
