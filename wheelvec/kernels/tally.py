"""Cells into figures: the wheels of a month are added up configuration by configuration, side by side.

Each configuration's wheels are added in wheel order, and its months are folded in calendar, then symbol order, exactly as
stages.summary does it for one: the figures are the same to the bit. The loops run over configurations and are short, one
array written in each, because the compiler turns those into wide instructions and gives up on longer ones.
"""

from typing import Any, NamedTuple

import numpy as np

from wheelvec.kernels.compiled import inlined, lean

# Counts of one configuration. The first eight are the put's exit reasons by code, then those of calls and the reasons for
# which wheels ended after an assignment; the AFTER of them from AFTER_CALL on come from kernels.follow.
CSP, CC, END = 0, 8, 16
ABOVE, INSIDE, MARKED, HELD, OPEN_AFTER = 25, 26, 27, 28, 29
KNOWN, WINS, DAYS, MISSING, CENSORED = 30, 31, 32, 33, 34
COUNTS = 35
AFTER_CALL, AFTER_END = 0, END - CC
AFTER_ABOVE, AFTER_INSIDE, AFTER_MARKED, AFTER_HELD, AFTER_OPEN = (
    ABOVE - CC,
    INSIDE - CC,
    MARKED - CC,
    HELD - CC,
    OPEN_AFTER - CC,
)
AFTER = OPEN_AFTER + 1 - CC

# Two 64-bit words of counts are added for every wheel and configuration. With fields of six bits they must be emptied
# before the 64th wheel; days take 24 bits and sessions without a bar 20, enough for 63 wheels of 45 years each.
WHEELS_PACKED = 63
_SIX, _TWENTY, _TWENTY_FOUR = np.uint64(63), np.uint64(2**20 - 1), np.uint64(2**24 - 1)
_AT_KNOWN, _AT_WINS = np.uint64(48), np.uint64(54)
_AT_MISSING, _AT_ABOVE, _AT_INSIDE, _AT_CENSORED = np.uint64(24), np.uint64(44), np.uint64(50), np.uint64(56)

NONE, TARGET_ABOVE, STOP_INSIDE = np.uint64(0), np.uint64(1) << _AT_ABOVE, np.uint64(1) << _AT_INSIDE


class Figures(NamedTuple):
    """What is added up for each of (configurations,), over the months folded so far; dollars, ROC in percent."""

    total: np.ndarray
    gains: np.ndarray
    losses: np.ndarray
    least: np.ndarray
    capital: np.ndarray
    lost: np.ndarray  # premium less strike of the wheels that the figures leave out
    known: np.ndarray  # float64: how many wheels the figures hold
    mean: np.ndarray  # of ROC
    spread: np.ndarray  # sum of squared deviations of ROC
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray  # (configurations, COUNTS) int64


class Month(NamedTuple):
    """Sums over one month of one underlying, (configurations of a piece,) each; the cells of the wheel at hand."""

    total: np.ndarray
    gains: np.ndarray
    losses: np.ndarray
    capital: np.ndarray
    lost: np.ndarray
    rocs: np.ndarray
    spread: np.ndarray
    reasons: np.ndarray  # packed
    sums: np.ndarray  # packed
    pnl: np.ndarray  # of the wheel at hand
    cell_reasons: np.ndarray
    cell_sums: np.ndarray
    until: np.ndarray
    tail: np.ndarray


@lean
def packed_reason(reason, pnl):  # type: ignore[no-untyped-def]
    """One wheel's put, ended for `reason`; whether its P&L is known, and a gain."""
    word = np.uint64(1) << np.uint64(6 * reason)
    if not np.isnan(pnl):
        word += np.uint64(1) << _AT_KNOWN
        if pnl > 0:
            word += np.uint64(1) << _AT_WINS
    return word


@lean
def packed_days(days, missing, censored):  # type: ignore[no-untyped-def]
    """One wheel's days held, sessions without a bar, and whether it is censored."""
    return np.uint64(days) + (np.uint64(missing) << _AT_MISSING) + (np.uint64(censored) << _AT_CENSORED)


def new_month(n: int) -> Month:
    """Room for n configurations."""
    kinds: dict[str, Any] = dict.fromkeys(("reasons", "sums", "cell_reasons", "cell_sums"), np.uint64)
    kinds |= dict.fromkeys(("until", "tail"), np.int64)
    return Month(**{name: np.zeros(n, kinds.get(name, np.float64)) for name in Month._fields})


@inlined
def clear(month, n):  # type: ignore[no-untyped-def]
    """Begin a month."""
    for sums in (month.total, month.gains, month.losses, month.capital, month.lost, month.rocs, month.spread):
        sums[:n] = 0.0
    month.reasons[:n] = 0
    month.sums[:n] = 0


@inlined
def add_money(month, n, capital, premium, roc, figures, at):  # type: ignore[no-untyped-def]
    """Add the wheel at hand to the sums, and write its ROC by configuration; NaN P&L is left out.

    Adding 0.0 instead of skipping changes no bit and keeps the loops straight.
    """
    pnl = month.pnl
    least, low, high = figures.least[at : at + n], figures.low[at : at + n], figures.high[at : at + n]
    for c in range(n):
        roc[c] = 100.0 * pnl[c] / capital
    for c in range(n):
        month.total[c] += pnl[c] if pnl[c] == pnl[c] else 0.0
    for c in range(n):
        month.gains[c] += pnl[c] if pnl[c] > 0.0 else 0.0
    for c in range(n):
        month.losses[c] += pnl[c] if pnl[c] < 0.0 else 0.0
    for c in range(n):
        month.capital[c] += capital if pnl[c] == pnl[c] else 0.0
    for c in range(n):
        month.rocs[c] += roc[c] if roc[c] == roc[c] else 0.0
    for c in range(n):
        least[c] = pnl[c] if pnl[c] < least[c] else least[c]
    for c in range(n):
        low[c] = roc[c] if roc[c] < low[c] else low[c]
    for c in range(n):
        high[c] = roc[c] if roc[c] > high[c] else high[c]
    for c in range(n):
        left_out = month.cell_reasons[c] != 0 and pnl[c] != pnl[c]
        month.lost[c] += premium - capital if left_out else 0.0


@inlined
def add_counts(month, n):  # type: ignore[no-untyped-def]
    """Add the packed counts of the wheel at hand."""
    for c in range(n):
        month.reasons[c] += month.cell_reasons[c]
    for c in range(n):
        month.sums[c] += month.cell_sums[c]


@inlined
def add_tails(month, n, after, counts, at):  # type: ignore[no-untyped-def]
    """Add what followed the assignments of the wheel at hand: `after` is (tails, AFTER), `counts` the configurations'."""
    for c in range(n):
        if month.tail[c] >= 0:
            row = after[month.tail[c]]
            for k in range(AFTER):
                counts[at + c, CC + k] += row[k]


@inlined
def unpack(month, n, counts, at):  # type: ignore[no-untyped-def]
    """Empty the packed counts into (configurations, COUNTS)."""
    for c in range(n):
        reasons, sums, row = month.reasons[c], month.sums[c], counts[at + c]
        for reason in range(8):
            row[CSP + reason] += (reasons >> np.uint64(6 * reason)) & _SIX
        row[KNOWN] += (reasons >> _AT_KNOWN) & _SIX
        row[WINS] += (reasons >> _AT_WINS) & _SIX
        row[DAYS] += sums & _TWENTY_FOUR
        row[MISSING] += (sums >> _AT_MISSING) & _TWENTY
        row[ABOVE] += (sums >> _AT_ABOVE) & _SIX
        row[INSIDE] += (sums >> _AT_INSIDE) & _SIX
        row[CENSORED] += (sums >> _AT_CENSORED) & _SIX
    month.reasons[:n] = 0
    month.sums[:n] = 0


@inlined
def add_spread(month, roc, wheels, n, figures, at):  # type: ignore[no-untyped-def]
    """Squared deviations of the month's (wheels, n) ROC from its own mean, which takes the place of the sum."""
    for c in range(n):
        month.rocs[c] /= np.float64(figures.counts[at + c, KNOWN]) - figures.known[at + c]
    for w in range(wheels):
        row = roc[w]
        for c in range(n):
            deviation = row[c] - month.rocs[c]
            month.spread[c] += deviation * deviation if deviation == deviation else 0.0


@inlined
def fold(month, n, figures, at):  # type: ignore[no-untyped-def]
    """Merge the month into the figures: stages.summary.Moments.merged, configuration by configuration."""
    for c in range(n):
        i = at + c
        figures.lost[i] += month.lost[c]
        before, after = figures.known[i], np.float64(figures.counts[i, KNOWN])
        here = after - before
        if here == 0.0:
            continue
        figures.total[i] += month.total[c]
        figures.gains[i] += month.gains[c]
        figures.losses[i] += month.losses[c]
        figures.capital[i] += month.capital[c]
        if before == 0.0:
            figures.mean[i], figures.spread[i] = month.rocs[c], month.spread[c]
        else:
            gap = month.rocs[c] - figures.mean[i]
            figures.mean[i] += gap * here / after
            figures.spread[i] = figures.spread[i] + month.spread[c] + gap * gap * before * here / after
        figures.known[i] = after
