"""The arrays of one underlying over some months: puts and calls, paths, closes, dividends."""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.quotes import Quotes


class Rows(NamedTuple):
    """What contracts traded at: (n,) each, sorted by contract and session.

    Where a quote stands for a bar (`is_quote`), its four prices are the mid; bid and ask are read
    only there.
    """

    number: np.ndarray  # session number
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    is_quote: np.ndarray


class Underlying(NamedTuple):
    """Closes by session number (NaN where there is none), the day of each session, the number of
    the last bar.
    """

    close: np.ndarray
    day: np.ndarray
    last_bar: int


_REAL, _WHOLE, _FLAG = np.float64, np.int64, np.bool_

# Tables of a slice are arrays of records, so that a slice is ten arrays and not fifty: Numba hands
# an array over as seven values, and every call that is not inlined pays for them. A record array is
# read by column, as a tuple of arrays is.
QUOTE = np.dtype(
    [(name, _WHOLE if name == "dte" else _REAL) for name in Quotes._fields]
    + [("contract", _WHOLE), ("word", np.uint64)]
    + [
        ("first", _WHOLE),
        ("last", _WHOLE),
    ],  # of `rows`: its bars after the session, through its settlement; one past
    align=True,
)
ROW = np.dtype(
    [(n, {"number": _WHOLE, "is_quote": _FLAG}.get(n, _REAL)) for n in Rows._fields], align=True
)
CONTRACT = np.dtype(
    [
        ("first_row", _WHOLE), ("last_row", _WHOLE),  # in `rows`; one past the last
        ("settlement", _WHOLE),  # session
        ("expiration_day", _WHOLE),
        ("day_after", _WHOLE),  # session of the calendar day after the expiration, -1: none
        ("strike_cents", _WHOLE),
    ]
)  # fmt: skip
DIVIDEND = np.dtype([("ex_day", _WHOLE), ("paid", _REAL)])  # dollars per contract


class Slice(NamedTuple):
    """One underlying over some months and as long after them as their wheels can last. Sessions are
    numbers.

    `word` of a put names its wheel to the draws; `contract` is a position in `contracts`.
    """

    puts: np.ndarray  # of QUOTE, by session, in candidate order
    put_starts: (
        np.ndarray
    )  # (sessions + 1,) the puts of session s are put_starts[s] .. put_starts[s + 1] - 1
    # what of `puts` every search reads, side by side: some 5% of random entry rules over a market
    # of years
    put_dte: np.ndarray
    put_delta: np.ndarray
    calls: np.ndarray  # of QUOTE
    call_starts: np.ndarray
    call_dte: np.ndarray
    call_delta: np.ndarray
    valid: np.ndarray  # (sessions,) valid quotes of the underlying
    contracts: np.ndarray  # of CONTRACT
    rows: np.ndarray  # of ROW: the contracts' paths
    underlying: Underlying
    dividends: np.ndarray  # of DIVIDEND, by ex-date
