"""A client of Databento's historical API with retries: prices, ranges of datasets, downloads.

A repeated download is charged again, and an answer that was cut off between two records looks
complete. So only transient failures are retried, and an answer counts only if its compressed
frames are complete and its records are those of the request.
"""

import datetime as dt
import logging
import math
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from wheelvec.model.errors import DataError, FetchError
from wheelvec.vendors.databento.access import RateLimit
from wheelvec.vendors.databento.gateway import Form, Gateway, TransientError
from wheelvec.vendors.databento.inflate import Inflater, most_bytes
from wheelvec.vendors.databento.opra import decoded_plain
from wheelvec.vendors.databento.requests import Request
from wheelvec.vendors.databento.secret import Key

log = logging.getLogger(__name__)
T = TypeVar("T")

DATA_PER_SECOND, METADATA_PER_SECOND = 50.0, 18.0  # Databento allows 100 and 20
ATTEMPTS = 7
ORDINARY = 1 << 28  # bytes that an answer may inflate to before its expected size is requested
_STEP = 512  # compressed bytes, which inflate to 16 MB at most
_HEADER = 1 << 28  # bytes of a header: 154 a contract and day, of which the number is not known
_BACKOFF = tenacity.wait_exponential(multiplier=0.5, max=30.0) + tenacity.wait_random(0.0, 0.5)
_LONGEST_WAIT = 300.0  # seconds that a Retry-After may ask for
_YEARS = range(1970, 2100)


class Client:
    """A client of Databento's historical API, safe to use from several threads.

    `stop()` ends all waiting.

    Args:
        key: 32 characters starting with "db-"; shown nowhere.
        gateway: another address than Databento's; http only on this machine.

    Raises:
        InputError: for a key or an address of another form.
    """

    def __init__(self, key: str, gateway: str | None = None) -> None:
        self._key = Key(key)
        self._gateway = Gateway(self._key, gateway)
        self._data_limit, self._metadata_limit = (
            RateLimit(DATA_PER_SECOND),
            RateLimit(METADATA_PER_SECOND),
        )
        self._stopped = threading.Event()
        self.kept_from_logs = self._key.kept_from_logs

    @property
    def gateway(self) -> str:
        """The address of the API."""
        return self._gateway.address

    def __repr__(self) -> str:
        return f"Client({self.gateway!r})"

    def stop(self) -> None:
        """End all waiting between retries, in all threads."""
        self._stopped.set()

    def ranges(self, dataset: str) -> dict[str, tuple[dt.datetime, dt.datetime]]:
        """The (start, end) of a dataset by schema, UTC; {} for an unknown dataset. Free of charge.

        "" is for the schemas that are not named.
        """
        form = {"dataset": dataset}
        try:
            return self._with_retries(
                self._metadata_limit,
                lambda: _ranges(self._gateway.json("metadata.get_dataset_range", form, "GET")),
            )
        except FetchError as error:
            if error.status == 404:
                return {}
            raise

    def cost(self, request: Request) -> float:
        """The price of a request in dollars. Free of charge."""
        return self._with_retries(
            self._metadata_limit,
            lambda: _amount(self._gateway.json("metadata.get_cost", _form(request))),
        )

    def download(self, request: Request, pay: Callable[[], None]) -> bytes:
        """The compressed answer to a request, checked to be complete and of the request.

        `pay` is called before each attempt, because each may be charged; it may raise.
        """

        def attempt() -> bytes:
            pay()
            try:
                return self._downloaded(request)
            except DataError as error:
                reason = self._gateway.shown(error)
            raise TransientError(f"an answer that {reason}")

        return self._with_retries(self._data_limit, attempt)

    def _downloaded(self, request: Request) -> bytes:
        data, body, inflater, asked = bytearray(), bytearray(), Inflater(ORDINARY), False

        def take(chunk: bytes) -> None:
            nonlocal asked
            if len(data) + len(chunk) > inflater.most:  # frames without content inflate to nothing
                raise DataError(f"has more than {inflater.most:,} bytes")
            data.extend(chunk)
            for at in range(0, len(chunk), _STEP):
                if not asked and inflater.size > ORDINARY // 2:
                    inflater.most, asked = self._most(request), True
                for inflated in inflater.add(chunk[at : at + _STEP]):
                    body.extend(inflated)

        form = _form(request) | {"encoding": "dbn", "compression": "zstd"}
        self._gateway.stream("timeseries.get_range", form, take)
        inflater.end()
        _check(body, request)
        return bytes(data)

    def _most(self, request: Request) -> int:
        """The most bytes that a long answer may inflate to.

        Twice the size that the vendor states, and a header; never more than `most_bytes()`.
        """
        try:
            size = _amount(self._gateway.json("metadata.get_billable_size", _form(request)))
        except (TransientError, FetchError) as error:
            log.info("the size of %s is not known: %s", request, error)
            return most_bytes()
        return min(ORDINARY + _HEADER + 2 * int(size), most_bytes())

    def _with_retries(self, limit: RateLimit, call: Callable[[], T]) -> T:
        def attempt() -> T:
            limit.wait()
            return call()

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS)
            | tenacity.stop_when_event_set(self._stopped),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(TransientError),
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except TransientError as error:
            failed = error
        raise FetchError(
            f"{self.gateway} failed {ATTEMPTS} times, last with {failed}: try again later",
            failed.status,
        )


def _form(request: Request) -> Form:
    assert request.name, "no symbol means all symbols, to Databento"
    return {
        "dataset": request.dataset,
        "start": request.start.isoformat(),
        "end": request.end.isoformat(),
        "symbols": request.name,
        "schema": request.schema,
        "stype_in": request.stype,
        "stype_out": "instrument_id",
    }


def _check(body: bytes | bytearray, request: Request) -> None:
    """Check that an answer is that of a request.

    Raises:
        DataError: for another dataset or schema, for records outside of the requested time, and for
            bytes that are no DBN.
    """
    found = decoded_plain(body, ("symbol",))
    if (found.dataset, found.schema) != (request.dataset, request.schema):
        raise DataError(
            f"holds {found.schema} of {found.dataset}, not {request.schema} of {request.dataset}"
        )
    if found.span and not request.start <= found.span[0] <= found.span[1] < request.end:
        raise DataError(
            f"has records from {found.span[0]} to {found.span[1]}, "
            f"not from {request.start} to before {request.end}"
        )


def _amount(found: Any) -> float:
    """A number of dollars or bytes from an answer in JSON."""
    amount = math.nan
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        try:
            amount = float(found)
        except OverflowError:
            amount = math.inf
    if not (math.isfinite(amount) and amount >= 0):
        raise TransientError(
            f"an answer that is no amount: {type(found).__name__ if math.isnan(amount) else amount}"
        )
    return amount


def _ranges(found: Any) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    try:
        named = {"": found, **(found.get("schema") or {})}
        return {schema: _range(span) for schema, span in named.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}"
    raise TransientError(
        f"an answer that is no range of a dataset, with a start and an end ({reason})"
    )


def _range(span: Any) -> tuple[dt.datetime, dt.datetime]:
    start, end = _time(span["start"]), _time(span["end"])
    if start > end or start.year not in _YEARS or end.year not in _YEARS:
        raise ValueError("absurd")
    return start, end


def _time(text: str) -> dt.datetime:
    """A time in UTC, truncated to microseconds."""
    found = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, TransientError) else None
    return _BACKOFF(state) if asked is None else min(asked, _LONGEST_WAIT)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.info(
        "attempt %d failed (%s); the next in %.1f s",
        state.attempt_number,
        error,
        state.upcoming_sleep,
    )
