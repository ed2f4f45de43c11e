"""Decoding of DBN, Databento's binary format, into columns: compressed or not.

This is the only importer of databento_dbn. The bytes are not trusted: for any that are cut off,
malformed or of another format there is a DataError that states the fault.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import databento_dbn
import numpy as np
import numpy.typing as npt
import polars as pl
import zstandard

from wheelvec.model.errors import DataError
from wheelvec.model.schemas import TIMESTAMP
from wheelvec.vendors.databento.inflate import inflated

_DAY, _EPOCH = 86_400 * 10**9, dt.date(1970, 1, 1).toordinal()
_TABLE = 1 << 20  # ids that a lookup table may span: 4 MB
# bytes of a header after its first eight; the vendor's decoder panics on some that are shorter
_HEADER = range(104, 1 << 29)
_CHUNK = 1 << 20
_PRICES = re.compile(r"(bid|ask)_px_\d\d|price|open|high|low|close")
_STRUCTURES: dict[str, Any] = {
    "cmbp-1": databento_dbn.CMBP1Msg,
    **dict.fromkeys(("cbbo-1s", "cbbo-1m"), databento_dbn.CBBOMsg),
    **dict.fromkeys(("ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d"), databento_dbn.OHLCVMsg),
}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Header:
    """The header of a file or an answer.

    Attributes:
        dataset, schema: of the records; the schema is "mixed" for a live capture.
        start, end: the requested time, UTC, the end excluded; None if the header states none.
        parents: the requested parent symbols; () if contracts or stocks were requested by name.
        symbols: the raw symbols of the records.
    """

    dataset: str
    schema: str
    start: dt.datetime | None
    end: dt.datetime | None
    parents: tuple[str, ...]
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Records:
    """The records of one answer or file.

    Attributes:
        header: the header.
        span: the times of the first and the last record, UTC; None without records.
        rows: the decoded fields as columns.
    """

    header: Header
    span: tuple[dt.datetime, dt.datetime] | None
    rows: pl.DataFrame

    @property
    def dataset(self) -> str:
        """The dataset of the records."""
        return self.header.dataset

    @property
    def schema(self) -> str:
        """The schema of the records."""
        return self.header.schema


def decoded(
    data: bytes, names: Callable[[str], Sequence[str]] | Sequence[str], most: int | None = None
) -> Records:
    """Decode DBN, plain or zstd, to columns in order of time.

    A field keeps its DBN name. Prices are Float64 dollars, null where undefined; times Datetime ns
    UTC, null where undefined; fields of one character UInt8, longer ones String. `symbol` is an
    Enum of the raw symbols, by instrument id and UTC date of the record, because ids are assigned
    anew each day; null where the header does not map the id.

    Args:
        data: all bytes.
        names: the fields to decode, or a function of the schema that returns them.
        most: bytes that the data may inflate to; None: half of the machine's memory.

    Raises:
        DataError: for bytes that are no DBN, cut off, malformed, of several schemas, or of a schema
            that is not used here.
    """
    return decoded_plain(inflated(data, most), names)


def decoded_plain(
    body: bytes | bytearray, names: Callable[[str], Sequence[str]] | Sequence[str]
) -> Records:
    """Decode DBN that is not compressed, see `decoded`."""
    size = _header_size(bytes(body[:8]), len(body))
    meta = _metadata(bytes(body[:size]))
    said = _said(meta)
    if said.schema not in _STRUCTURES:
        raise DataError(f"holds {said.schema} records; expected one of {', '.join(_STRUCTURES)}")
    found, index = _in_order(_array(body, size, said.schema))
    span = _span(index, said)
    fields = tuple(names(said.schema) if callable(names) else names)
    columns = {
        name: _symbols(found, index, meta.mappings) if name == "symbol" else _column(found, name)
        for name in fields
    }
    return Records(said, span, pl.DataFrame(columns))


def header(path: Path) -> Header:
    """The header of a DBN file; its records are not read.

    Raises:
        DataError: for a file that is no DBN, or cannot be read.
    """
    try:
        with path.open("rb") as opened:
            is_plain = opened.read(3) == b"DBN"
            opened.seek(0)
            stream: Any = opened if is_plain else zstandard.ZstdDecompressor().stream_reader(opened)
            start = _read(stream, 8, "is no DBN: it has no header")
            return _said(
                _metadata(
                    start + _read(stream, _header_size(start) - 8, "was cut off within its header")
                )
            )
    except zstandard.ZstdError as error:
        raise DataError(f"is neither DBN nor zstd: {_one_line(error)}") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from None


def _read(stream: IO[bytes], size: int, problem: str) -> bytes:
    """Read `size` bytes in chunks, so that a false length allocates no memory."""
    found = BytesIO()
    while left := size - found.tell():
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise DataError(problem)
        found.write(chunk)
    return found.getvalue()


def _header_size(start: bytes, size: int | None = None) -> int:
    """The number of bytes of a header, from its first eight; `size` is that of all bytes."""
    if start[:3] != b"DBN" or len(start) < 8:
        raise DataError("is no DBN: it does not begin with DBN, a version and a length")
    if start[3] not in range(1, databento_dbn.DBN_VERSION + 1):
        raise DataError(f"is DBN of version {start[3]}; expected 1 to {databento_dbn.DBN_VERSION}")
    length = int.from_bytes(start[4:8], "little")
    if length not in _HEADER:
        raise DataError(f"is no DBN: its header says that it has {length:,} bytes")
    if size is not None and size < 8 + length:
        raise DataError("was cut off within its header")
    return 8 + length


def _metadata(start: bytes) -> databento_dbn.Metadata:
    try:
        return databento_dbn.Metadata.decode(start)
    except BaseException as error:
        # a panic of compiled code is no Exception; no other BaseException is caught
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = _one_line(error)
    raise DataError(f"is no DBN: its header is malformed: {reason}")


def _said(meta: databento_dbn.Metadata) -> Header:
    try:
        schema, stype, symbols = meta.schema, meta.stype_in, tuple(meta.symbols)
        start, end, mapped = _moment(meta.start), _moment(meta.end), tuple(meta.mappings)
    except (ValueError, OverflowError, TypeError) as error:
        raise DataError(f"is no DBN: its header is malformed: {_one_line(error)}") from None
    parents = symbols if str(stype) == "parent" else ()
    return Header(
        str(meta.dataset), "mixed" if schema is None else str(schema), start, end, parents, mapped
    )


def _array(body: bytes | bytearray, header: int, schema: str) -> Array:
    """The records after the header, (n,) of the schema's structure, not copied."""
    dtype = np.dtype(_STRUCTURES[schema]._dtypes)
    if (len(body) - header) % dtype.itemsize:
        raise DataError("was cut off within a record, or holds records of another schema")
    found = np.frombuffer(body, dtype=dtype, offset=header)
    rtype = int(databento_dbn.RType.from_schema(databento_dbn.Schema(schema)))
    if (found["rtype"] != rtype).any() or (found["length"].astype(int) * 4 != dtype.itemsize).any():
        raise DataError(f"holds records of another schema than {schema}")
    return found


def _in_order(found: Array) -> tuple[Array, Array]:
    """The records sorted stably by time, and their times (n,), by which the vendor filters."""
    index = np.ascontiguousarray(
        found["ts_recv"] if "ts_recv" in (found.dtype.names or ()) else found["ts_event"]
    )
    if (index[1:] >= index[:-1]).all():
        return found, index
    order = np.argsort(index, kind="stable")
    return found[order], index[order]


def _span(index: Array, said: Header) -> tuple[dt.datetime, dt.datetime] | None:
    if not len(index):
        return None
    first, last = _moment(int(index[0])), _moment(int(index[-1]))
    if (
        first is None
        or last is None
        or (said.start and first < said.start)
        or (said.end and last >= said.end)
    ):
        raise DataError("has records from outside of the time that its header names")
    return first, last


def _column(found: Array, name: str) -> pl.Series:
    values = np.ascontiguousarray(found[name])
    if name.startswith("ts_") and values.dtype.itemsize == 8:
        times = pl.Series(name, values.view(np.int64))
        known = values != databento_dbn.UNDEF_TIMESTAMP
        return (times if known.all() else times.set(pl.Series(~known), None)).cast(TIMESTAMP)
    if _PRICES.fullmatch(name):
        # in NumPy: Polars divides by a scalar by multiplying with its inverse, and 11.69 would be
        # 11.690000000000001
        dollars = pl.Series(name, values / 1e9)
        unknown = values == databento_dbn.UNDEF_PRICE
        return dollars.set(pl.Series(unknown), None) if unknown.any() else dollars
    if values.dtype.kind == "S":
        return pl.Series(
            name, values.view(np.uint8) if values.dtype.itemsize == 1 else values.astype(str)
        )
    return pl.Series(name, values)


def _symbols(found: Array, index: Array, mappings: Mapping[str, Sequence[Any]]) -> pl.Series:
    """The raw symbol of each record, (n,) Enum of the sorted names: 4 bytes a record, no join."""
    names = sorted(mappings)
    ids, first, last, codes = _intervals(names, mappings)
    days = index // np.uint64(_DAY)
    edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)] if len(days) else []
    asked, result = (
        np.ascontiguousarray(found["instrument_id"]),
        np.empty(len(found), dtype=np.uint32),
    )
    for low, high in pairwise(edges):
        day = int(days[low]) + _EPOCH
        valid = (first <= day) & (day < last)
        result[low:high] = _looked_up(asked[low:high], ids[valid], codes[valid], len(names))
    known = result < len(names)
    if len(known) and not known.any():
        raise DataError("names the instrument of none of its records")
    series = pl.Series("symbol", result)
    return (series if known.all() else series.set(pl.Series(~known), None)).cat.to(pl.Enum(names))


def _intervals(names: Sequence[str], mappings: Mapping[str, Sequence[Any]]) -> Array:
    """(4, n) int64: instrument id, first day, day after the last, and index of the name."""
    try:
        spans = [
            (
                int(span["symbol"]),
                span["start_date"].toordinal(),
                span["end_date"].toordinal(),
                code,
            )
            for code, name in enumerate(names)
            for span in mappings[name]
            if span["symbol"]
        ]
        found = np.array(spans, dtype=np.int64).reshape(-1, 4).T
    except (ValueError, OverflowError, KeyError, AttributeError) as error:
        raise DataError(f"is no DBN: its symbols are malformed: {_one_line(error)}") from None
    if ((found[0] < 0) | (found[0] > 0xFFFF_FFFF)).any():
        raise DataError("is no DBN: its symbols are malformed: an instrument id beyond 32 bits")
    return found


def _looked_up(asked: Array, ids: Array, codes: Array, missing: int) -> Array:
    """The code of each id in `asked`, (n,) uint32; `missing` for an unknown id.

    Where the ids are close together, as those of one underlying and day are, a lookup table takes a
    tenth of the time of a binary search.
    """
    if not len(ids):
        return np.full(len(asked), missing, dtype=np.uint32)
    low, span = int(ids.min()), int(ids.max() - ids.min()) + 1
    if span <= _TABLE:
        table = np.full(span + 1, missing, dtype=np.uint32)
        table[ids - low] = codes
        return table[
            np.minimum(asked - np.uint32(low), np.uint32(span))
        ]  # an id below wraps round to far above
    order = np.argsort(ids, kind="stable")
    at = np.searchsorted(ids[order], asked).clip(max=len(ids) - 1)
    return np.where(ids[order][at] == asked, codes[order][at], missing).astype(np.uint32)


def _moment(nanos: int | None) -> dt.datetime | None:
    """A time in UTC, truncated to microseconds; None if undefined."""
    if nanos is None or nanos == databento_dbn.UNDEF_TIMESTAMP:
        return None
    return dt.datetime.fromtimestamp(nanos // 10**9, dt.UTC) + dt.timedelta(
        microseconds=nanos % 10**9 // 1000
    )


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else line[:297] + "..."
