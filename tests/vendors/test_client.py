"""Databento's API with retries, against a stand-in: transient failures are retried, malformed answers
are errors.
"""

import contextlib
import datetime as dt
import json
import time
import warnings
from typing import Any

import pytest
import tenacity
import zstandard

from tests.vendors.feeds import DAYS, small_feed
from tests.vendors.standin import KEY, Changed, Said, Standin, compressed
from tests.vendors.test_opra import FIELDS, MALFORMED
from wheelvec.model.errors import FetchError, InputError
from wheelvec.vendors.databento import client as patience
from wheelvec.vendors.databento import gateway, opra
from wheelvec.vendors.databento.access import RateLimit, checked_gateway, checked_key
from wheelvec.vendors.databento.client import Client
from wheelvec.vendors.databento.gateway import TransientError
from wheelvec.vendors.databento.requests import Request

with warnings.catch_warnings():  # importing it makes every DeprecationWarning of the process show
    from databento.historical.api.metadata import MetadataHttpAPI
    from databento.historical.api.timeseries import TimeseriesHttpAPI

DAY = DAYS[1]
ASK = Request.quotes("TSLA", "cmbp-1", DAY, dt.datetime(2023, 7, 5, 19, 45, tzinfo=dt.UTC), 0)


@pytest.fixture
def server(quick: None) -> Any:
    with Standin(small_feed()) as server:
        yield server


def bought(server: Standin) -> tuple[int, int]:
    """(records, payments) of one download."""
    paid: list[int] = []
    data = Client(KEY, server.url).download(ASK, lambda: paid.append(1))
    return len(opra.decoded(data, FIELDS).rows), len(paid)


@pytest.mark.parametrize(
    "kind", ["429", "500", "503", "504", "408", "reset", "cut", "empty", "html", "list"]
)
def test_what_may_pass_is_tried_again(server: Standin, kind: str) -> None:
    server.fail(kind, times=2)
    assert bought(server) == (8, 3)


def test_a_server_that_hangs_is_left_and_asked_again(
    server: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "TIMEOUT", 0.2)
    server.fail("hang")
    assert bought(server) == (8, 2)


def test_nobody_there_is_said_after_some_attempts(quick: None) -> None:
    with pytest.raises(
        FetchError,
        match=r"http://127\.0\.0\.1:9 failed 7 times, last with ConnectionError.*try again later",
    ):
        Client(KEY, "http://127.0.0.1:9").cost(ASK)


def test_what_does_not_pass_is_given_up_with_its_status(server: Standin) -> None:
    server.fail("503", times=99)
    with pytest.raises(
        FetchError, match="failed 7 times, last with 503: try again later"
    ) as raised:
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
        return patience._wait(state)

    assert waits(TransientError("429", wait=7.0), 1) == 7.0
    assert waits(TransientError("429", wait=9999.0), 1) == 300.0
    first, later = (
        [waits(TransientError("503"), attempt) for _ in range(20)] for attempt in (1, 5)
    )
    assert 0.5 <= min(first) < max(first) <= 1.0
    assert 8.0 <= min(later) < max(later) <= 8.5


def test_retry_after_is_read_from_the_answer(
    server: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("429", wait="0.3")
    began = time.monotonic()
    with caplog.at_level("INFO", logger="wheelvec.vendors.databento.client"):
        assert bought(server) == (8, 2)
    assert time.monotonic() - began >= 0.3
    assert "the next in 0.3 s" in caplog.text  # without the header at least 0.5


def test_stopping_ends_the_waiting(server: Standin) -> None:
    server.fail("429", times=9, wait="200")
    client = Client(KEY, server.url)
    client.stop()
    with pytest.raises(FetchError, match="429"):
        client.download(ASK, lambda: None)


def test_prices_and_ranges_are_asked_for_and_cost_nothing(server: Standin) -> None:
    client = Client(KEY, server.url)
    assert client.cost(ASK) == pytest.approx(8 * 80 * 2e-6)
    ranges = client.ranges("OPRA.PILLAR")
    assert ranges["cmbp-1"][0] == dt.datetime(2023, 3, 28, tzinfo=dt.UTC)
    assert ranges[""][0] == dt.datetime(2013, 4, 1, tzinfo=dt.UTC)
    assert client.ranges("XNYS.NONE") == {}
    assert server.spent == 0


def test_what_databento_remarks_is_logged_and_no_warning(
    server: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    remark = {
        "X-Warning": json.dumps(["Warning: 2017-11-13 (degraded)", "DeprecationWarning: soon"])
    }
    server.fail(Said(200, 0.5, remark), method="get_cost")
    server.fail(Said(200, 0.5, {"X-Warning": "no JSON"}), method="get_cost")
    with caplog.at_level("DEBUG", logger="wheelvec.vendors.databento.gateway"):
        assert Client(KEY, server.url).cost(ASK) == Client(KEY, server.url).cost(ASK) == 0.5
        Client(KEY, server.url).download(
            Request.quotes("TSLA", "cmbp-1", DAY, dt.datetime(2023, 7, 5, 3, tzinfo=dt.UTC), 0),
            lambda: None,
        )
    assert [
        (r.levelname, r.getMessage())
        for r in caplog.records
        if r.name == "wheelvec.vendors.databento.gateway"
    ] == [
        ("WARNING", "Databento: 2017-11-13 (degraded)"),
        ("WARNING", "Databento: DeprecationWarning: soon"),
        ("WARNING", "Databento: no JSON"),
        ("DEBUG", "Databento: No data found for the request you submitted."),
    ]


def test_requests_begin_at_their_limit() -> None:
    limit, began = RateLimit(50.0), time.monotonic()
    for _ in range(6):
        limit.wait()
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "db-" + "x" * 28,
        "db-" + "x" * 30,
        "db-" + "-" * 29,
        "DB-" + "x" * 29,
        KEY + "\n",
    ],
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
    for address in (
        "http://127.0.0.1:8123",
        "http://localhost",
        "http://[::1]:80",
        "https://hist.databento.com",
    ):
        assert checked_gateway(address + "/") == address


def test_what_is_sent_is_what_the_vendors_own_client_sends(
    server: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ATTEMPTS", 1)
    for ask in (
        ASK,
        Request.daily("BRK.B", "underlying_bars", (DAY,)),
        Request.daily("BRK.B", "option_bars", DAYS[:2]),
    ):
        server.log.clear()
        server.fail(Said(200, 0.5), times=2, method="get_cost")
        server.fail(Said(200, compressed(b"DBN")), times=2)
        form = {
            "dataset": ask.dataset,
            "symbols": [ask.name],
            "schema": ask.schema,
            "stype_in": ask.stype,
        }
        span = {"start": ask.start.isoformat(), "end": ask.end.isoformat()}
        MetadataHttpAPI(KEY, server.url).get_cost(**form, **span)
        with contextlib.suppress(Exception):  # of an answer that is none
            TimeseriesHttpAPI(KEY, server.url).get_range(**form, **span)
        client = Client(KEY, server.url)
        client.cost(ask)
        with pytest.raises(FetchError):
            client.download(ask, lambda: None)
        theirs, ours = server.log[:2], server.log[2:]
        assert [method for method, _ in ours] == ["metadata.get_cost", "timeseries.get_range"]
        assert ours == theirs
    server.log.clear()
    MetadataHttpAPI(KEY, server.url).get_dataset_range("OPRA.PILLAR")
    Client(KEY, server.url).ranges("OPRA.PILLAR")
    assert server.log[0] == server.log[1]


# ---- answers that are none


@pytest.mark.parametrize(
    "body",
    ["null", "[]", "[1]", "{}", '"1.5"', "true", "NaN", "-1.0", "Infinity", "1e999", "9" * 400, "-0.001", "", "<html>", "\x00", "[" * 9999],
)  # fmt: skip
def test_an_answer_that_is_no_price_is_asked_for_again_and_then_an_error(
    server: Standin, body: str
) -> None:
    server.fail(Said(200, body.encode()), times=2, method="get_cost")
    assert Client(KEY, server.url).cost(ASK) == pytest.approx(8 * 80 * 2e-6)
    server.fail(Said(200, body.encode()), times=7, method="get_cost")
    with pytest.raises(
        FetchError, match=r"failed 7 times, last with an answer that is no (amount|JSON)"
    ):
        Client(KEY, server.url).cost(ASK)


SPAN = {"start": "2023-03-28T00:00:00.000000000Z", "end": "2024-01-01"}


@pytest.mark.parametrize(
    "body",
    [
        None, [], [SPAN], 7, "no", {}, {"start": SPAN["start"]}, {"start": 1, "end": 2}, {"start": None, "end": None},
        SPAN | {"end": "soon"}, SPAN | {"end": "2023-13-45"}, SPAN | {"end": "2020-01-01"}, SPAN | {"end": "9999-12-31T23:59:59-10:00"},
        SPAN | {"start": "0001-01-01T00:00:00+10:00"}, SPAN | {"schema": [1]}, SPAN | {"schema": "no"}, SPAN | {"schema": {"cmbp-1": 3}},
        SPAN | {"schema": {"cmbp-1": {"start": SPAN["start"]}}},
    ],
)  # fmt: skip
def test_an_answer_that_is_no_range_is_asked_for_again_and_then_an_error(
    server: Standin, body: Any
) -> None:
    server.fail(Said(200, json.dumps(body).encode()), times=2, method="get_dataset_range")
    assert Client(KEY, server.url).ranges("OPRA.PILLAR")["cmbp-1"][0].year == 2023
    server.fail(Said(200, json.dumps(body).encode()), times=7, method="get_dataset_range")
    with pytest.raises(
        FetchError, match="failed 7 times, last with an answer that is no range of a dataset"
    ):
        Client(KEY, server.url).ranges("OPRA.PILLAR")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        ["x"],
        {"detail": None},
        {"detail": [{"msg": "bad"}]},
        {"detail": {"case": 7, "message": []}},
        "x",
    ],
)
def test_a_refusal_of_any_form_is_said(server: Standin, body: Any) -> None:
    server.fail(Said(422, json.dumps(body).encode()), method="get_cost")
    with pytest.raises(FetchError, match=r"^422") as raised:
        Client(KEY, server.url).cost(ASK)
    assert raised.value.status == 422


@pytest.mark.parametrize("kind", MALFORMED)
def test_an_answer_that_is_malformed_is_asked_for_again_and_then_an_error(
    server: Standin, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change, reason = MALFORMED[kind]
    sent = Changed(lambda data: change(data) if "behind" in kind else packed(change(data)))
    server.fail(sent, times=2)
    assert bought(server) == (8, 3)
    server.fail(sent, times=7)
    with pytest.raises(FetchError, match=rf"failed 7 times, last with an answer that .*({reason})"):
        bought(server)
    assert capfd.readouterr() == ("", "")


def packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data) if data[:3] == b"DBN" else data


def test_an_answer_to_another_question_is_none(server: Standin) -> None:
    other = Request.quotes(
        "TSLA", "cmbp-1", DAYS[2], dt.datetime(2023, 7, 6, 19, 45, tzinfo=dt.UTC), 0
    )
    daily = Request.daily("TSLA", "option_bars", (DAY,))
    stock = Request.minutes("TSLA", "XNAS.ITCH", DAY, ASK.start, ASK.end)
    answers = {
        ask: Client(KEY, server.url).download(ask, lambda: None) for ask in (other, daily, stock)
    }
    reasons = {
        other: "has records from 2023-07-06 19:45:05",
        daily: "holds ohlcv-1d of OPRA.PILLAR, not cmbp-1 of OPRA.PILLAR",
        stock: "holds ohlcv-1m of XNAS.ITCH, not cmbp-1",
    }
    for ask, answer in answers.items():
        server.fail(Said(200, answer), times=7)
        with pytest.raises(
            FetchError, match=f"failed 7 times, last with an answer that {reasons[ask]}"
        ):
            bought(server)


# ---- answers without end


def endless(length: int) -> Changed:
    """Frames that inflate to `length` bytes more than the answer has."""

    def change(data: bytes) -> bytes:
        stream = zstandard.ZstdCompressor().compressobj()
        parts = [
            stream.compress(data),
            *(stream.compress(bytes(1 << 20)) for _ in range(length >> 20)),
            stream.flush(),
        ]
        return b"".join(parts)

    return Changed(change)


def test_an_answer_longer_than_the_vendor_says_it_is_is_refused(
    server: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ORDINARY", 1 << 25)
    monkeypatch.setattr(patience, "_HEADER", 1 << 20)
    monkeypatch.setattr(patience, "ATTEMPTS", 1)
    server.fail(endless(1 << 26))
    server.fail(Said(200, 640), method="get_billable_size")
    with pytest.raises(FetchError, match="an answer that inflates to more than 34,604,288 bytes"):
        bought(server)
    server.fail(endless(3 << 23))  # not that long: its end is looked for, and its records are none
    server.fail(Said(200, 3 << 23), method="get_billable_size")
    with pytest.raises(
        FetchError, match=r"an answer that (was cut off within a record|holds records of another)"
    ):
        bought(server)
    server.fail(endless(1 << 27))
    server.fail(Said(500, b"no"), method="get_billable_size")
    monkeypatch.setattr(patience, "most_bytes", lambda: 1 << 26)
    with pytest.raises(FetchError, match="an answer that inflates to more than 67,108,864 bytes"):
        bought(server)


def test_a_body_that_inflates_to_nothing_has_an_end_too(
    server: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ORDINARY", 1 << 20)
    monkeypatch.setattr(patience, "ATTEMPTS", 1)
    skippable = b"\x50\x2a\x4d\x18\xf8\xff\0\0" + bytes(65528)
    server.fail(Changed(lambda data: compressed(data) + skippable * 64))
    with pytest.raises(FetchError, match="an answer that has more than 1,048,576 bytes"):
        bought(server)


def test_prices_and_refusals_without_end_are_not_read_to_it(
    server: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ATTEMPTS", 1)
    server.fail(Said(200, b"1" * (1 << 22)), method="get_cost")
    with pytest.raises(FetchError, match="an answer of more than 1,048,576 bytes"):
        Client(KEY, server.url).cost(ASK)
    server.fail(Said(422, b"x" * (1 << 24)), method="get_cost")
    with pytest.raises(FetchError, match=r"^422 x{297}\.\.\.$"):
        Client(KEY, server.url).cost(ASK)


# ---- other hosts


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["get_cost", "get_dataset_range", "get_range"])
def test_redirects_are_refused_and_name_the_host_alone(
    server: Standin, status: int, method: str
) -> None:
    with Standin(small_feed()) as other:
        place = f"http://{KEY}@127.0.0.1:{other.server_port}/{KEY}?key={KEY}"
        server.fail(Said(status, b"", {"Location": place}), method=method)
        client = Client(KEY, server.url)
        calls = {
            "get_cost": lambda: client.cost(ASK),
            "get_dataset_range": lambda: client.ranges("OPRA.PILLAR"),
            "get_range": lambda: client.download(ASK, lambda: None),
        }
        with pytest.raises(
            FetchError,
            match=f"answers {status}, a redirect to 127.0.0.1:{other.server_port}: it is not",
        ) as raised:
            calls[method]()
        assert KEY not in str(raised.value)
        assert other.log == []
        assert len(server.log) == 1
