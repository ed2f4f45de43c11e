"""A loopback stand-in for Databento's historical interface: real DBN over http, faults on request,
every request counted.

    with Standin(feed) as server:
        server.fail("503", times=2)
        fetch(..., gateway=server.url)
        server.asked("timeseries.get_range"), server.spent

A `Feed` holds what the vendor would have. Instrument ids are assigned anew each day, as OPRA's are.
"""

import base64
import datetime as dt
import json
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import databento_dbn as dbn
import polars as pl
import zstandard

KEY = "db-" + "7" * 29
SECOND, MINUTE, DAY = 10**9, 60 * 10**9, 86_400 * 10**9
CENT = 10**7
PER_BYTE = {
    "cmbp-1": 2e-6,
    "cbbo-1m": 3e-6,
    "ohlcv-1m": 1e-6,
    "ohlcv-1d": 5e-6,
}  # dollars, invented
DATASETS = ("OPRA.PILLAR", "EQUS.MINI", "XNAS.ITCH", "EQUS.SUMMARY")
RTYPE = {"ohlcv-1m": 33, "ohlcv-1d": 35}


def nanos(moment: dt.datetime | dt.date) -> int:
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time(), dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 1000


def day_of(ts: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=ts // DAY)


class Quote(NamedTuple):
    """One change of a contract's consolidated quote, or a trade, which carries the quote that
    stood.
    """

    symbol: str
    ts: int
    bid: float | None
    ask: float | None
    trade: bool = False


class Bar(NamedTuple):
    """A venue's bar: `ts` is the start of its minute, or UTC midnight of its day."""

    symbol: str
    ts: int
    publisher: int
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass
class Feed:
    """The data of the vendor: `days` on which symbols are listed, records, and the history of each
    schema.
    """

    days: list[dt.date]
    quotes: list[Quote] = field(default_factory=list)
    option_bars: list[Bar] = field(default_factory=list)
    minutes: list[Bar] = field(default_factory=list)
    summary: list[Bar] = field(default_factory=list)
    unlisted: dict[str, set[dt.date]] = field(
        default_factory=dict
    )  # root or stock -> days on which nobody knows it
    begins: dict[tuple[str, str], str] = field(default_factory=dict)
    end: dt.date | None = None

    def ranges(self) -> dict[str, dict[str, tuple[int, int]]]:
        end = nanos(self.end or self.days[-1] + dt.timedelta(days=1))
        found: dict[str, dict[str, tuple[int, int]]] = {}
        firsts = {
            ("OPRA.PILLAR", "cmbp-1"): "2023-03-28", ("OPRA.PILLAR", "cbbo-1m"): "2013-04-01",
            ("OPRA.PILLAR", "ohlcv-1d"): "2013-04-01", ("EQUS.MINI", "ohlcv-1m"): "2023-03-28",
            ("XNAS.ITCH", "ohlcv-1m"): "2018-05-01",
        }  # fmt: skip
        if self.summary:
            firsts["EQUS.SUMMARY", "ohlcv-1d"] = "2024-07-01"
        for (dataset, schema), first in (firsts | self.begins).items():
            found.setdefault(dataset, {})[schema] = (nanos(dt.date.fromisoformat(first)), end)
        return found

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        """Raw symbols by dataset; a feed does not change once it is served."""
        rows = {"OPRA.PILLAR": (*self.quotes, *self.option_bars), "EQUS.SUMMARY": self.summary}
        return {
            name: sorted({row.symbol for row in rows.get(name, self.minutes)}) for name in DATASETS
        }

    @cached_property
    def _by_day(self) -> dict[str, dict[dt.date, list[Any]]]:
        found: dict[str, dict[dt.date, list[Any]]] = {}
        for name in ("quotes", "option_bars", "minutes", "summary"):
            for row in sorted(getattr(self, name), key=lambda row: row.ts):
                found.setdefault(name, {}).setdefault(day_of(row.ts), []).append(row)
        return found

    def listed(self, dataset: str, names: list[str], parents: bool) -> list[str]:
        """Raw symbols that names stand for, on any day."""
        return [
            raw
            for raw in self._known[dataset]
            if (raw[:6].strip() + ".OPT" if parents else raw) in names
        ]

    def ids(self, day: dt.date) -> dict[str, int]:
        """Raw symbol -> id of that day: each contract inherits another's of the day before."""
        known = [
            *self._known["OPRA.PILLAR"],
            *sorted({*self._known["EQUS.MINI"], *self._known["EQUS.SUMMARY"]}),
        ]
        return {raw: (1 << 24) + (i + day.toordinal()) % len(known) for i, raw in enumerate(known)}

    def records(
        self, dataset: str, schema: str, ids: dict[dt.date, dict[str, int]], start: int, end: int
    ) -> list[bytes]:
        """All that the symbols have in a span, in order of time."""
        options = "quotes" if schema.startswith("c") else "option_bars"
        name = {"OPRA.PILLAR": options, "EQUS.SUMMARY": "summary"}.get(dataset, "minutes")
        rows = [
            row
            for day, held in ids.items()
            for row in self._by_day.get(name, {}).get(day, ())
            if row.symbol in held
        ]
        if schema == "cbbo-1m":
            last = {(quote.ts // MINUTE, quote.symbol): quote for quote in rows}
            stamped = [((minute + 1) * MINUTE, quote) for (minute, _), quote in last.items()]
            return [
                self._interval(quote, ts, ids)
                for ts, quote in sorted(stamped, key=itemgetter(0))
                if start <= ts < end
            ]
        within = [row for row in rows if start <= row.ts < end]
        return [
            self._event(row, ids) if name == "quotes" else self._bar(row, schema, ids)
            for row in within
        ]

    def _event(self, quote: Quote, ids: dict[dt.date, dict[str, int]]) -> bytes:
        return bytes(
            dbn.CMBP1Msg(
                rtype=177, publisher_id=23 if quote.trade else 30, instrument_id=ids[day_of(quote.ts)][quote.symbol],
                ts_event=quote.ts - 211_000, price=price(quote.ask) if quote.trade else dbn.UNDEF_PRICE,
                size=int(quote.trade), action=dbn.Action.TRADE if quote.trade else dbn.Action.ADD, side=dbn.Side.NONE,
                ts_recv=quote.ts, flags=194, levels=levels(quote),
            )
        )  # fmt: skip

    def _interval(self, quote: Quote, ts: int, ids: dict[dt.date, dict[str, int]]) -> bytes:
        return bytes(
            dbn.CBBOMsg(
                rtype=193, publisher_id=30, instrument_id=ids[day_of(quote.ts)][quote.symbol],
                ts_event=dbn.UNDEF_TIMESTAMP, price=dbn.UNDEF_PRICE, size=0, side=dbn.Side.NONE,
                ts_recv=ts, flags=194, levels=levels(quote),
            )
        )  # fmt: skip

    def _bar(self, bar: Bar, schema: str, ids: dict[dt.date, dict[str, int]]) -> bytes:
        return bytes(
            dbn.OHLCVMsg(
                rtype=RTYPE[schema], publisher_id=bar.publisher, instrument_id=ids[day_of(bar.ts)][bar.symbol], ts_event=bar.ts,
                open=price(bar.open), high=price(bar.high), low=price(bar.low), close=price(bar.close), volume=bar.volume,
            )
        )  # fmt: skip


def price(dollars: float | None) -> int:
    return dbn.UNDEF_PRICE if dollars is None else round(dollars * 100) * CENT


def levels(quote: Quote) -> dbn.ConsolidatedBidAskPair:
    sizes = {"bid_sz": 0 if quote.bid is None else 7, "ask_sz": 0 if quote.ask is None else 9}
    return dbn.ConsolidatedBidAskPair(
        bid_px=price(quote.bid), ask_px=price(quote.ask), bid_pb=22, ask_pb=23, **sizes
    )


def dbn_file(
    feed: Feed,
    dataset: str,
    schema: str,
    symbols: list[str],
    stype: str,
    start: int,
    end: int,
    records: list[bytes] | None = None,
) -> bytes:
    """One answer, not compressed. `records` None takes the feed's.

    Raises:
        RefusalError: if nothing resolves.
    """
    raw = feed.listed(dataset, symbols, stype == "parent")
    days = [day for day in feed.days if nanos(day) < end and nanos(day) + DAY > start]
    name = {symbol: symbol[:6].strip() if len(symbol) == 21 else symbol for symbol in raw}
    ids = {
        day: {
            s: i
            for s, i in feed.ids(day).items()
            if s in name and day not in feed.unlisted.get(name[s], ())
        }
        for day in days
    }
    if not any(ids.values()):
        raise RefusalError(
            422, "symbology_invalid_request", "None of the symbols could be resolved"
        )
    spans = {
        symbol: [
            SimpleNamespace(
                start_date=day, end_date=day + dt.timedelta(days=1), symbol=str(held[symbol])
            )
            for day, held in ids.items()
            if symbol in held
        ]
        for symbol in raw
    }
    meta = dbn.Metadata(
        dataset=dataset, schema=dbn.Schema(schema), start=start, end=end, limit=None, symbols=symbols, stype_in=dbn.SType(stype),
        stype_out=dbn.SType.INSTRUMENT_ID, partial=[], not_found=[],
        mappings=[SimpleNamespace(raw_symbol=symbol, intervals=found) for symbol, found in spans.items() if found],
    )  # fmt: skip
    return bytes(meta) + b"".join(
        feed.records(dataset, schema, ids, start, end) if records is None else records
    )


def compressed(data: bytes) -> bytes:
    """One zstd frame of many blocks, as a stream is: cut between two of them it still decodes, to
    less.
    """
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    header = 8 + int.from_bytes(data[4:8], "little")
    size = data[header] * 4 if len(data) > header else 1
    parts = [data[:header], *(data[i : i + size] for i in range(header, len(data), size))]
    return b"".join(stream.compress(part) + stream.flush(block) for part in parts) + stream.flush()


class RefusalError(Exception):
    def __init__(self, status: int, case: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "detail": {
                "case": case or f"http_{status}",
                "message": message or "refused",
                "status_code": status,
            }
        }


class Said(NamedTuple):
    """A fault: an answer that has nothing to do with the question. A callable body gets the
    request's Authorization.
    """

    status: int
    body: Any
    headers: dict[str, str] = {}  # noqa: RUF012  of a fault, never changed


class Changed(NamedTuple):
    """A fault: the DBN of an answer, before it is compressed, becomes other bytes, which are sent
    as they are.
    """

    change: Any


class Standin(ThreadingHTTPServer):
    """Serves a feed on 127.0.0.1. `log` has (method, form) of each request, `spent` the dollars of
    what was sent.
    """

    request_queue_size = 64
    daemon_threads = True

    def __init__(
        self, feed: Feed, credit: float = float("inf"), live_from: int | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.feed, self.credit, self.live_from = feed, credit, live_from
        self.spent, self.log, self.faults, self.lock = 0.0, [], [], threading.Lock()  # type: ignore[var-annotated]
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.slow = 0.0  # seconds that each data request takes
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def shutdown_request(self, request: Any) -> None:  # no FIN ahead of an RST
        self.close_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error of ours."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def fail(
        self,
        kind: "str | Said | Changed",
        times: int = 1,
        method: str = "timeseries",
        wait: str | None = None,
        after: int = 0,
    ) -> None:
        """Let requests fail, the next ones or those after so many of the method: a status, or
        reset, cut, empty, html, list, hang; or what is `Said` or `Changed`.
        """
        self.faults += [(kind, method, wait, after)] * times

    def asked(self, method: str = "timeseries.get_range") -> list[tuple[str, str, str, str]]:
        """The requests of a method: (dataset, schema, symbols, start)."""
        return [
            (f["dataset"], f.get("schema", ""), f.get("symbols", ""), f.get("start", ""))
            for m, f in self.log
            if m == method
        ]

    def twice(self) -> list[tuple[str, str, str, str]]:
        """The requests that were made, and paid, more than once."""
        return [ask for ask, times in Counter(self.asked()).items() if times > 1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Standin

    def do_POST(self) -> None:
        url, length = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # whoever asks was killed on the way: nothing was asked for
            self.close_connection = True
            return
        form = dict(parse_qsl(url.query) + parse_qsl(body.decode()))
        method = url.path.removeprefix("/v0/")
        with self.server.lock:
            self.server.log.append((method, form))
            number = sum(name == method for name, _ in self.server.log)
            hit = next(
                (fault for fault in self.server.faults if fault[1] in method and number > fault[3]),
                None,
            )
            if hit:
                self.server.faults.remove(hit)
        try:
            self._serve(method, form, hit[0] if hit else "")
        except RefusalError as refusal:
            body = refusal.body if refusal.status < 500 else b"try again later"
            self._reply(refusal.status, body, {"Retry-After": hit[2]} if hit and hit[2] else {})

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self, method: str, form: dict[str, str], fault: Any) -> None:
        basic = "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
        if self.headers.get("Authorization") != basic:
            raise RefusalError(
                401,
                "auth_authentication_failed",
                f"no such key: {self.headers.get('Authorization')} {KEY}",
            )
        if isinstance(fault, Said):
            body = fault.body(self.headers["Authorization"]) if callable(fault.body) else fault.body
            return self._reply(fault.status, body, fault.headers)
        if isinstance(fault, Changed):
            change, fault = fault.change, ""
        else:
            change = None
        if fault.isdigit():
            cases = {
                401: "auth_authentication_failed",
                402: "account_insufficient_funds",
                403: "license_not_found_unauthorized",
            }
            raise RefusalError(
                int(fault), cases.get(int(fault), ""), f"the key {KEY} is not welcome"
            )
        if fault == "hang":
            time.sleep(0.6)
        if fault in ("empty", "html", "list"):
            bodies = {"empty": b"", "html": b"<html>an error page</html>", "list": b'["no"]'}
            return self._reply(200, bodies[fault])
        if method == "metadata.get_dataset_range":
            return self._ranges(form["dataset"])
        schema, start, end = form["schema"], self._time(form["start"]), self._time(form["end"])
        first, last = self.server.feed.ranges().get(form["dataset"], {}).get(schema, (0, 0))
        if start < first or end > last:
            raise RefusalError(
                422,
                "data_start_before_available_start"
                if start < first
                else "data_end_after_available_end",
            )
        data = dbn_file(
            self.server.feed,
            form["dataset"],
            schema,
            form["symbols"].split(","),
            form["stype_in"],
            start,
            end,
        )
        size = len(data) - 8 - int.from_bytes(data[4:8], "little")
        dollars = size * PER_BYTE[schema]
        if method == "metadata.get_cost":
            return self._reply(200, dollars)
        if self.server.live_from is not None and end > self.server.live_from:
            raise RefusalError(403, "license_not_found_unauthorized", "needs a live data license")
        with self.server.lock:
            if self.server.spent + dollars > self.server.credit:
                raise RefusalError(402, "account_insufficient_funds", "insufficient funds")
            self.server.spent += dollars
        time.sleep(self.server.slow)
        return self._stream(compressed(data) if change is None else change(data), size, fault)

    @staticmethod
    def _time(text: str) -> int:
        moment = dt.datetime.fromisoformat(text)
        return nanos(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))

    def _ranges(self, dataset: str) -> None:
        held = self.server.feed.ranges().get(dataset)
        if held is None:
            raise RefusalError(404, "dataset_not_found", f"no dataset {dataset}")
        text = {schema: {"start": iso(a), "end": iso(b)} for schema, (a, b) in held.items()}
        whole = {
            "start": iso(min(a for a, _ in held.values())),
            "end": iso(max(b for _, b in held.values())),
        }
        self._reply(200, whole | {"schema": text})

    def _stream(self, body: bytes, size: int, fault: str) -> None:
        sent = body[: len(body) // 2] if fault in ("cut", "reset") else body
        warned = (
            {"X-Warning": json.dumps(["Warning: No data found for the request you submitted."])}
            if not size
            else {}
        )
        self._reply(200, None, warned)
        for at in range(0, len(sent), 1 << 14):
            piece = sent[at : at + (1 << 14)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if fault != "reset":
            self.wfile.write(b"0\r\n\r\n")
            return
        time.sleep(0.02)
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        framing = (
            {"Transfer-Encoding": "chunked"} if body is None else {"Content-Length": str(len(raw))}
        )
        self.send_response(status)
        for name, value in (
            framing | {"Content-Type": "application/json"} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


def iso(ts: int) -> str:
    return f"{dt.datetime.fromtimestamp(ts // SECOND, dt.UTC):%Y-%m-%dT%H:%M:%S}.{ts % SECOND:09d}Z"


# ---- a market's tables as a feed


def feed_of(tables: dict[str, pl.DataFrame], sessions: pl.DataFrame) -> Feed:
    """A feed that has exactly what tables hold: contracts' bars over three venues, the underlying's
    as minutes of the session, and prices before and after hours that must decide nothing.

    `sessions`: session, open, close (Datetime ns, UTC).
    """
    feed = Feed(sessions["session"].to_list())
    hours = {
        day: (nanos(opens), nanos(closes)) for day, opens, closes in micro(sessions).iter_rows()
    }
    prices: dict[tuple[str, dt.date], tuple[int, float]] = {}
    rows = tables["option_quotes"].with_columns(nanos=pl.col("ts").to_physical())
    columns = ("underlying", "session", "nanos", "symbol", "bid", "ask", "underlying_price")
    for name, day, ts, symbol, bid, ask, spot in rows.select(columns).iter_rows():
        feed.quotes.append(Quote(symbol, ts, bid, ask))
        if ts % 5 == 0:
            feed.quotes.append(Quote(symbol, ts + 1000, bid, ask, trade=True))
        prices[name, day] = (hours[day][1] - 15 * MINUTE, spot)
    for symbol, day, *ohlc, volume in tables["option_bars"].iter_rows():
        feed.option_bars += over_venues(symbol, nanos(day), *ohlc, volume)
    for name, day, *ohlc, volume in tables["underlying_bars"].drop("close_source").iter_rows():
        feed.minutes += over_minutes(name, *hours[day], *ohlc, volume, prices.get((name, day)))
    return feed


def micro(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.select(
        "session", *(pl.col(name).dt.cast_time_unit("us") for name in ("open", "close"))
    )


def over_venues(
    symbol: str, ts: int, opened: float, high: float, low: float, close: float, volume: int
) -> list[Bar]:
    if volume < 3:
        return [Bar(symbol, ts, 20, opened, high, low, close, volume)]
    most = Bar(symbol, ts, 20, opened, max(opened, close), min(opened, close), close, volume - 2)
    return [
        Bar(symbol, ts, 36, high, high, high, high, 1),
        most,
        Bar(symbol, ts, 24, low, low, low, low, 1),
    ]


def over_minutes(
    name: str, opens: int, closes: int, opened: float, high: float, low: float, close: float, volume: int,
    entry: tuple[int, float] | None,
) -> list[Bar]:  # fmt: skip
    flat = {opens: opened, opens + MINUTE: high, opens + 2 * MINUTE: low, closes - MINUTE: close}
    flat |= {entry[0]: entry[1]} if entry else {}
    flat |= {
        opens - 5 * MINUTE: 9 * high,
        closes: low / 9,
        closes + 3 * 60 * MINUTE: 9 * high,
    }  # of no session
    return [
        Bar(name, ts, 95, p, p, p, p, volume if ts == opens else 0)
        for ts, p in sorted(flat.items())
    ]
