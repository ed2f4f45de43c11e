"""Databento: its bytes as columns, and its HTTP interface with patience. The only importer of databento.

The client neither retries nor notices a body that was cut off between two records, and whoever asks twice pays twice. So
what passes transiently is tried again, and an answer counts only once its compression says that it is whole.
"""

import datetime as dt
import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import requests
import tenacity
import zstandard

from wheelvec.market.access import KEY, Pace, checked_gateway, checked_key
from wheelvec.market.asks import Ask
from wheelvec.spec.errors import DataError, FetchError
from wheelvec.spec.frames import TIMESTAMP

with warnings.catch_warnings():  # importing it makes every DeprecationWarning of the process show
    import databento_dbn
    from databento import DBNStore
    from databento.common.error import BentoError, BentoHttpError, BentoWarning
    from databento.historical.api.metadata import MetadataHttpAPI
    from databento.historical.api.timeseries import TimeseriesHttpAPI

log = logging.getLogger(__name__)
T = TypeVar("T")

GATEWAY = "https://hist.databento.com"
DATA_PER_SECOND, METADATA_PER_SECOND = 50.0, 18.0  # Databento allows 100 and 20
ATTEMPTS = 7
_PATIENCE = tenacity.wait_exponential(multiplier=0.5, max=30.0) + tenacity.wait_random(0.0, 0.5)
_LONGEST_WAIT = 300.0  # seconds that a Retry-After may ask for

_DAY, _EPOCH = 86_400 * 10**9, dt.date(1970, 1, 1).toordinal()
_TABLE = 1 << 20  # ids that a table may span: 4 MB
_BLOCK = 1 << 22  # bytes a step: with zstandard's own 128 KB, the same takes twice as long
_PRICES = re.compile(r"(bid|ask)_px_\d\d|price|open|high|low|close")

Array = npt.NDArray[Any]


# ---- bytes


@dataclass(frozen=True)
class Records:
    """The records of one answer or file: what was asked for, and the columns."""

    dataset: str
    schema: str
    start: dt.datetime
    end: dt.datetime  # exclusive
    parents: tuple[str, ...]  # the parent symbols asked for; () if contracts or stocks were asked for by name
    rows: pl.DataFrame


def inflated(data: bytes) -> bytes:
    """The bytes of a DBN file, compressed or not.

    Raises:
        DataError: unless every zstd frame is whole. A frame that was cut off between two blocks reads as less data.
    """
    if data[:3] == b"DBN":
        return data
    parts, left = [], data
    while left:
        frame = zstandard.ZstdDecompressor().decompressobj(write_size=_BLOCK)
        try:
            parts.append(frame.decompress(left))
        except zstandard.ZstdError as error:
            raise DataError(f"is neither DBN nor whole zstd: {error}") from None
        if not frame.eof:
            raise DataError("was cut off: its last zstd frame has no end")
        left = frame.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decoded(data: bytes, names: Callable[[str], Sequence[str]] | Sequence[str]) -> Records:
    """DBN (zstd or not) -> the fields `names` as columns; `names` may depend on the schema.

    A field keeps its DBN name. Prices are Float64 dollars, null where undefined; times Datetime ns UTC, null where
    undefined; fields of one character UInt8, longer ones String. `symbol` is an Enum of the raw symbols, by instrument id
    and UTC date of the record, for ids are given out anew each day; null where the file does not name the id.

    Raises:
        DataError: for bytes that are no DBN, not whole, or of several schemas.
    """
    body = inflated(data)
    header = 8 + int.from_bytes(body[4:8], "little")
    try:
        # of the header alone, for of the whole it would make copies
        store = DBNStore.from_bytes(BytesIO(body[:header]))
        meta, schema = store.metadata, store.schema
        if schema is None:
            raise DataError("mixes schemas, as a live capture does; expected the answer to one request")
        found = _array(body, header, np.asarray(store.to_ndarray()).dtype)
    except (BentoError, databento_dbn.DBNError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"is no DBN: {_one_line(error)}") from None
    fields = tuple(names(str(schema)) if callable(names) else names)
    columns = {name: _symbols(found, meta.mappings) if name == "symbol" else _column(found, name) for name in fields}
    parents = tuple(meta.symbols) if str(meta.stype_in) == "parent" else ()
    return Records(meta.dataset, str(schema), _moment(meta.start), _moment(meta.end), parents, pl.DataFrame(columns))


def header(path: Path) -> tuple[str, str, tuple[str, ...]]:
    """Dataset, schema and raw symbols of a DBN file; its records are not read.

    Raises:
        DataError: for a file that is no DBN, or cannot be read.
    """
    try:
        with path.open("rb") as opened:
            is_plain = opened.read(3) == b"DBN"
            opened.seek(0)
            stream = opened if is_plain else zstandard.ZstdDecompressor().stream_reader(opened)
            start = stream.read(8)
            store = DBNStore.from_bytes(BytesIO(start + stream.read(int.from_bytes(start[4:8], "little"))))
    except (BentoError, databento_dbn.DBNError, zstandard.ZstdError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is no DBN file: {_one_line(error)}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return store.dataset, str(store.schema or "mixed"), tuple(store.mappings)


def _array(body: bytes, header: int, dtype: np.dtype[Any]) -> Array:
    """The records after the header, (n,) of the schema's structure: nothing is copied."""
    if len(body) < header or (len(body) - header) % dtype.itemsize:
        raise DataError("was cut off within a record, or holds records of another schema")
    found = np.frombuffer(body, dtype=dtype, offset=header)
    if len(found) and ((found["rtype"] != found["rtype"][0]).any() or int(found["length"][0]) * 4 != dtype.itemsize):
        raise DataError("holds records of another schema")
    return found


def _column(found: Array, name: str) -> pl.Series:
    values = np.ascontiguousarray(found[name])
    if name.startswith("ts_") and values.dtype.itemsize == 8:
        times = pl.Series(name, values.view(np.int64))
        known = values != databento_dbn.UNDEF_TIMESTAMP
        return (times if known.all() else times.set(pl.Series(~known), None)).cast(TIMESTAMP)
    if _PRICES.fullmatch(name):
        # in NumPy: Polars divides by a number as it multiplies by its inverse, and 11.69 becomes 11.690000000000001
        dollars = pl.Series(name, values / 1e9)
        unknown = values == databento_dbn.UNDEF_PRICE
        return dollars.set(pl.Series(unknown), None) if unknown.any() else dollars
    if values.dtype.kind == "S":
        return pl.Series(name, values.view(np.uint8) if values.dtype.itemsize == 1 else values.astype(str))
    return pl.Series(name, values)


def _symbols(found: Array, mappings: Mapping[str, Sequence[Any]]) -> pl.Series:
    """Raw symbols as codes into the sorted names: an Enum costs 4 bytes a record, and no join."""
    names = sorted(mappings)
    spans = [
        (int(span["symbol"]), span["start_date"].toordinal(), span["end_date"].toordinal(), code)
        for code, name in enumerate(names)
        for span in mappings[name]
        if span["symbol"]
    ]
    ids, first, last, codes = np.array(spans, dtype=np.int64).reshape(-1, 4).T
    index = found["ts_recv"] if "ts_recv" in (found.dtype.names or ()) else found["ts_event"]
    days = index // np.uint64(_DAY)
    edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)] if len(days) else []
    asked, result = np.ascontiguousarray(found["instrument_id"]), np.empty(len(found), dtype=np.uint32)
    for low, high in pairwise(edges):
        day = int(days[low]) + _EPOCH
        valid = (first <= day) & (day < last)
        result[low:high] = _looked_up(asked[low:high], ids[valid], codes[valid], len(names))
    known = result < len(names)
    series = pl.Series("symbol", result)
    return (series if known.all() else series.set(pl.Series(~known), None)).cat.to(pl.Enum(names))


def _looked_up(asked: Array, ids: Array, codes: Array, missing: int) -> Array:
    """The code of each id, `missing` where there is none. A table over all ids takes a tenth of the time of a binary search,
    where they lie close together, as those of one underlying and day do."""
    if not len(ids):
        return np.full(len(asked), missing, dtype=np.uint32)
    low, span = int(ids.min()), int(ids.max() - ids.min()) + 1
    if span <= _TABLE:
        table = np.full(span + 1, missing, dtype=np.uint32)
        table[ids - low] = codes
        return table[np.minimum(asked - np.uint32(low), np.uint32(span))]  # an id below wraps round to far above
    order = np.argsort(ids, kind="stable")
    at = np.searchsorted(ids[order], asked).clip(max=len(ids) - 1)
    return np.where(ids[order][at] == asked, codes[order][at], missing).astype(np.uint32)


def _moment(nanos: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(nanos // 10**9, dt.UTC) + dt.timedelta(microseconds=nanos % 10**9 // 1000)


# ---- the interface


class _PassingError(Exception):
    """A failure that may not happen again: worth another attempt, after `wait` seconds if the server said so."""

    def __init__(self, text: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(text)
        self.status, self.wait = status, wait


class Client:
    """Databento's historical interface: prices, ranges, and downloads, each tried again while that may help.

    Safe to use from several threads. `stop()` ends all waiting.

    Args:
        key: 32 characters starting with "db-"; kept to itself.
        gateway: another address than Databento's own; http only on this machine.

    Raises:
        InputError: for a key or an address of another form.
    """

    def __init__(self, key: str, gateway: str | None = None) -> None:
        self._key, self.gateway = checked_key(key), checked_gateway(gateway or GATEWAY)
        # `Historical(gateway=...)` would turn http into https, so that no gateway on this machine could be reached
        self._timeseries = TimeseriesHttpAPI(self._key, self.gateway)
        self._metadata = MetadataHttpAPI(self._key, self.gateway)
        self._data_pace, self._metadata_pace = Pace(DATA_PER_SECOND), Pace(METADATA_PER_SECOND)
        self._stopped = threading.Event()

    def __repr__(self) -> str:
        return f"Client({self.gateway!r})"

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._stopped.set()

    def ranges(self, dataset: str) -> dict[str, tuple[dt.datetime, dt.datetime]]:
        """Schema -> (start, end) of what there is; free. "" stands for schemas that are not named; {} for no such dataset."""
        try:
            found: dict[str, Any] = self._patiently(
                self._metadata_pace, lambda: dict(self._metadata.get_dataset_range(dataset))
            )
        except FetchError as error:
            if error.status == 404:
                return {}
            raise
        named = {"": found, **(found.get("schema") or {})}
        return {schema: (_time(span["start"]), _time(span["end"])) for schema, span in named.items()}

    def cost(self, ask: Ask) -> float:
        """Dollars; asking is free."""
        return float(self._patiently(self._metadata_pace, lambda: self._metadata.get_cost(**_form(ask))))

    def download(self, ask: Ask, pay: Callable[[], None]) -> bytes:
        """The compressed answer, checked to be whole. `pay` is called before each attempt, for each one may cost, and may
        raise."""

        def attempt() -> bytes:
            pay()
            data = self._timeseries.get_range(**_form(ask)).raw
            try:
                records = decoded(data, ())
            except DataError as error:
                raise _PassingError(f"an answer that {error}") from None
            if (records.dataset, records.schema) != (ask.dataset, ask.schema):
                raise FetchError(f"asked for {ask.schema} of {ask.dataset}, got {records.schema} of {records.dataset}")
            return data

        return self._patiently(self._data_pace, attempt)

    def _patiently(self, pace: Pace, call: Callable[[], T]) -> T:
        def attempt() -> T:
            pace.wait()
            try:
                return call()
            except (_PassingError, FetchError):
                raise
            except Exception as error:
                self._raise(error)

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_when_event_set(self._stopped),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_PassingError),
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=_tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except _PassingError as error:
            raise FetchError(
                f"{self.gateway} failed {ATTEMPTS} times, last with {error}: try again later", error.status
            ) from None

    def _raise(self, error: Exception) -> NoReturn:
        """As what the client's error counts; without the error itself, so that no traceback shows what it holds."""
        if isinstance(error, BentoHttpError):
            status, (case, said) = error.http_status, _detail(error)
            text = f"{status} {self._without_key(said)}".strip()
            if status in (408, 429) or status >= 500:
                raise _PassingError(text, status, _retry_after(error.headers)) from None
            raise FetchError(text, status, case) from None
        text = self._without_key(f"{type(error).__name__}: {_one_line(error)}")
        if isinstance(error, (BentoError, databento_dbn.DBNError, requests.RequestException, ValueError, AttributeError)):
            raise _PassingError(
                text
            ) from None  # connections, and answers that are none: the last two are bodies that are not JSON
        raise FetchError(text) from None

    def _without_key(self, text: str) -> str:
        return KEY.sub("db-...", text.replace(self._key, "db-..."))


@contextmanager
def remarks() -> Iterator[None]:
    """Log what Databento remarks on its answers, instead of warning of it; other warnings stay what they are.

    Enter it before threads begin and leave it after they ended: Python's filters of warnings are the process's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", BentoWarning)
        other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, BentoWarning):
                # nothing found is no event: half of what is asked for may be empty, and it is remembered
                log.log(logging.DEBUG if "No data found" in str(message) else logging.WARNING, "Databento: %s", message)
            else:
                other(message, category, *rest, **more)

        warnings.showwarning = show
        yield


def _form(ask: Ask) -> dict[str, Any]:
    assert ask.name, "no symbol means all symbols, to Databento"
    span = {"start": ask.start.isoformat(), "end": ask.end.isoformat()}
    return {"dataset": ask.dataset, "symbols": [ask.name], "schema": ask.schema, "stype_in": ask.stype, **span}


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, _PassingError) else None
    return _PATIENCE(state) if asked is None else min(asked, _LONGEST_WAIT)


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.info("attempt %d failed (%s); the next in %.1f s", state.attempt_number, error, state.upcoming_sleep)


def _detail(error: BentoHttpError) -> tuple[str, str]:
    """Case and message of a refusal; `detail` may be an object, a list or text, and 5xx may be plain text."""
    body = error.json_body
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, dict):
        return str(detail.get("case") or ""), _one_line(detail.get("message") or detail.get("case") or "")
    return "", _one_line(detail if isinstance(detail, str) else json.dumps(detail) if detail else error.message or "")


def _retry_after(headers: Mapping[str, Any] | None) -> float | None:
    """Seconds; a date, which the header may hold as well, is left to our own patience."""
    try:
        return max(float((headers or {})["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None


def _time(text: str) -> dt.datetime:
    """UTC, cut to microseconds."""
    found = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return found.replace(tzinfo=found.tzinfo or dt.UTC)


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else line[:297] + "..."
