"""Databento's historical interface with patience.

Prices, ranges and downloads, each tried again while that may help.

Who asks twice pays twice, and a body that was cut off between two records looks whole. So what
passes transiently is tried again, and an answer counts only once its compression says that it is
whole and its records are those that were asked for.
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
from wheelvec.vendors.databento.access import Pace
from wheelvec.vendors.databento.gateway import Form, Gateway, PassingError
from wheelvec.vendors.databento.inflate import Inflating, most_bytes
from wheelvec.vendors.databento.opra import decoded_plain
from wheelvec.vendors.databento.requests import Ask
from wheelvec.vendors.databento.secret import Key

log = logging.getLogger(__name__)
T = TypeVar("T")

DATA_PER_SECOND, METADATA_PER_SECOND = 50.0, 18.0  # Databento allows 100 and 20
ATTEMPTS = 7
ORDINARY = 1 << 28  # bytes that an answer may inflate to before it is asked how long it should be
_STEP = 512  # compressed bytes, which inflate to 16 MB at most
_HEADER = 1 << 28  # bytes of a header: 154 a contract and day, and nobody says how many there are
_PATIENCE = tenacity.wait_exponential(multiplier=0.5, max=30.0) + tenacity.wait_random(0.0, 0.5)
_LONGEST_WAIT = 300.0  # seconds that a Retry-After may ask for
_YEARS = range(1970, 2100)


class Client:
    """Databento's historical interface.

    Safe to use from several threads. `stop()` ends all waiting.

    Args:
        key: 32 characters starting with "db-"; kept to itself.
        gateway: another address than Databento's own; http only on this machine.

    Raises:
        InputError: for a key or an address of another form.
    """

    def __init__(self, key: str, gateway: str | None = None) -> None:
        self._key = Key(key)
        self._gateway = Gateway(self._key, gateway)
        self._data_pace, self._metadata_pace = Pace(DATA_PER_SECOND), Pace(METADATA_PER_SECOND)
        self._stopped = threading.Event()
        self.kept_from_logs = self._key.kept_from_logs

    @property
    def gateway(self) -> str:
        """The address."""
        return self._gateway.address

    def __repr__(self) -> str:
        return f"Client({self.gateway!r})"

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._stopped.set()

    def ranges(self, dataset: str) -> dict[str, tuple[dt.datetime, dt.datetime]]:
        """Schema -> (start, end) of what there is.

        Free. "" stands for schemas that are not named; {} for no such dataset.
        """
        form = {"dataset": dataset}
        try:
            return self._patiently(
                self._metadata_pace,
                lambda: _ranges(self._gateway.json("metadata.get_dataset_range", form, "GET")),
            )
        except FetchError as error:
            if error.status == 404:
                return {}
            raise

    def cost(self, ask: Ask) -> float:
        """Dollars; asking is free."""
        return self._patiently(
            self._metadata_pace,
            lambda: _amount(self._gateway.json("metadata.get_cost", _form(ask))),
        )

    def download(self, ask: Ask, pay: Callable[[], None]) -> bytes:
        """The compressed answer, checked to be whole and what was asked for.

        `pay` is called before each attempt, for each one may cost, and may raise.
        """

        def attempt() -> bytes:
            pay()
            try:
                return self._downloaded(ask)
            except DataError as error:
                reason = self._gateway.shown(error)
            raise PassingError(f"an answer that {reason}")

        return self._patiently(self._data_pace, attempt)

    def _downloaded(self, ask: Ask) -> bytes:
        data, body, inflating, asked = bytearray(), bytearray(), Inflating(ORDINARY), False

        def take(piece: bytes) -> None:
            nonlocal asked
            if len(data) + len(piece) > inflating.most:  # frames without content inflate to nothing
                raise DataError(f"has more than {inflating.most:,} bytes")
            data.extend(piece)
            for at in range(0, len(piece), _STEP):
                if not asked and inflating.size > ORDINARY // 2:
                    inflating.most, asked = self._most(ask), True
                for part in inflating.add(piece[at : at + _STEP]):
                    body.extend(part)

        form = _form(ask) | {"encoding": "dbn", "compression": "zstd"}
        self._gateway.stream("timeseries.get_range", form, take)
        inflating.end()
        _check(body, ask)
        return bytes(data)

    def _most(self, ask: Ask) -> int:
        """Bytes that a long answer may have.

        Twice what the vendor says that it has, its header, and no more than the machine can take.
        """
        try:
            size = _amount(self._gateway.json("metadata.get_billable_size", _form(ask)))
        except (PassingError, FetchError) as error:
            log.info("the size of %s is not known: %s", ask, error)
            return most_bytes()
        return min(ORDINARY + _HEADER + 2 * int(size), most_bytes())

    def _patiently(self, pace: Pace, call: Callable[[], T]) -> T:
        def attempt() -> T:
            pace.wait()
            return call()

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS)
            | tenacity.stop_when_event_set(self._stopped),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(PassingError),
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=_tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except PassingError as error:
            failed = error
        raise FetchError(
            f"{self.gateway} failed {ATTEMPTS} times, last with {failed}: try again later",
            failed.status,
        )


def _form(ask: Ask) -> Form:
    assert ask.name, "no symbol means all symbols, to Databento"
    return {
        "dataset": ask.dataset,
        "start": ask.start.isoformat(),
        "end": ask.end.isoformat(),
        "symbols": ask.name,
        "schema": ask.schema,
        "stype_in": ask.stype,
        "stype_out": "instrument_id",
    }


def _check(body: bytes | bytearray, ask: Ask) -> None:
    """That an answer is what was asked for.

    Raises:
        DataError: for another dataset or schema, for records from outside of the time, and for what
            is no answer.
    """
    found = decoded_plain(body, ("symbol",))
    if (found.dataset, found.schema) != (ask.dataset, ask.schema):
        raise DataError(
            f"holds {found.schema} of {found.dataset}, not {ask.schema} of {ask.dataset}"
        )
    if found.span and not ask.start <= found.span[0] <= found.span[1] < ask.end:
        raise DataError(
            f"has records from {found.span[0]} to {found.span[1]}, not from {ask.start} to before {ask.end}"
        )


def _amount(found: Any) -> float:
    """Dollars or bytes."""
    amount = math.nan
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        try:
            amount = float(found)
        except OverflowError:
            amount = math.inf
    if not (math.isfinite(amount) and amount >= 0):
        raise PassingError(
            f"an answer that is no amount: {type(found).__name__ if math.isnan(amount) else amount}"
        )
    return amount


def _ranges(found: Any) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    try:
        named = {"": found, **(found.get("schema") or {})}
        return {schema: _range(span) for schema, span in named.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}"
    raise PassingError(
        f"an answer that is no range of a dataset, with a start and an end ({reason})"
    )


def _range(span: Any) -> tuple[dt.datetime, dt.datetime]:
    start, end = _time(span["start"]), _time(span["end"])
    if start > end or start.year not in _YEARS or end.year not in _YEARS:
        raise ValueError("absurd")
    return start, end


def _time(text: str) -> dt.datetime:
    """UTC, cut to microseconds."""
    found = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, PassingError) else None
    return _PATIENCE(state) if asked is None else min(asked, _LONGEST_WAIT)


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.info(
        "attempt %d failed (%s); the next in %.1f s",
        state.attempt_number,
        error,
        state.upcoming_sleep,
    )
