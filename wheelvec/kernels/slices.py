"""The arrays of one underlying over some months: puts, calls, paths, closes, dividends, events."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Reals, Records
from wheelvec.kernels.quotes import Quotes


class Rows(NamedTuple):
    """The paths of the contracts: (n,) each, sorted by contract and session; dollars per share.

    Where a quote stands for a bar (`is_quote`), its four prices are the mid; bid and ask are read
    only there. Prices are those of the share at the start of the path: after a split, those of the
    contract that stands for it times the shares that one has become.
    """

    number: Integers  # session number
    open: Reals
    high: Reals
    low: Reals
    close: Reals
    bid: Reals
    ask: Reals
    is_quote: Flags


class Underlying(NamedTuple):
    """The underlying by session number, under the name that it bears on each: (sessions,) each."""

    close: Reals
    day: Integers
    # last session with a bar of the name that it bears on each session: whether a contract can be
    # resolved; marks take the last close (kernels.wheel, kernels.calls)
    last_bar: Integers


_REAL, _WHOLE, _FLAG = np.float64, np.int64, np.bool_

# Tables of a slice are arrays of records, so that a slice is ten arrays and not fifty: Numba hands
# an array over as seven values, and every call that is not inlined pays for them. A record array is
# read by column, as a tuple of arrays is.
QUOTE = np.dtype(
    [(name, _WHOLE if name == "dte" else _REAL) for name in Quotes._fields]
    + [("contract", _WHOLE), ("word", np.uint64)]
    # of `rows`: its bars after the session, through its settlement; one past the last
    + [("first", _WHOLE), ("last", _WHOLE)]
    # session on which it is exercised early under either setting: kernels.exercise; 0: none
    + [("at_parity", np.int32), ("ex_div", np.int32)],
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
        ("strike", _REAL),
        # of the contract that stands for it on its settlement session (rules.md, section 12)
        ("strike_cents", _WHOLE),
        # the last session on which it is quoted at this strike before a corporate event, and the
        # contract that stands for it from then on; -1: none
        ("last_session", _WHOLE), ("successor", _WHOLE),
        # the row at whose market it is bought back on the eve of an event that it does not survive;
        # -1: none. Its path ends on that eve, and the row may lie after it.
        ("eve_row", _WHOLE),
    ]
)  # fmt: skip
DIVIDEND = np.dtype([("ex_day", _WHOLE), ("paid", _REAL)])  # dollars per hundred shares
# A corporate event: the session and the day from which it applies, the new shares for an old one,
# and its EventKind.
EVENT = np.dtype([("number", _WHOLE), ("ex_day", _WHOLE), ("shares", _WHOLE), ("kind", _WHOLE)])

Quote: TypeAlias = Any  # a row of QUOTE


class Slice(NamedTuple):
    """One underlying over some months and as long after them as their wheels can last.

    Sessions are numbers, days are counted from 1970-01-01. `word` of a put names its wheel to the
    draws; `contract` is a position in `contracts`.
    """

    puts: Records  # of QUOTE, by session, in candidate order
    # (sessions + 1,) the puts of session s are put_starts[s] .. put_starts[s + 1] - 1
    put_starts: Integers
    # two columns of `puts` side by side, since every search reads them: 5% of the time of random
    # entry rules over a market of years
    put_dte: Integers
    put_delta: Reals
    calls: Records  # of QUOTE
    call_starts: Integers
    call_dte: Integers
    call_delta: Reals
    valid: Integers  # (sessions,) valid quotes of the underlying
    contracts: Records  # of CONTRACT
    rows: Records  # of ROW: the contracts' paths
    underlying: Underlying
    dividends: Records  # of DIVIDEND, by ex-date
    events: Records  # of EVENT, by session
