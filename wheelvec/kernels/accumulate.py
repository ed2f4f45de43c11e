"""Streaming sums: the wheels of a month are added configuration by configuration.

Each configuration's wheels are added in wheel order. Its months are folded into the year of the
underlying, years into the underlying, and underlyings into the figures, exactly as stages.summary
does it for one: the figures are the same to the bit. The
loops run over configurations and are short, one array written in each, because the compiler
vectorizes those and gives up on longer ones.
"""

from typing import Any, NamedTuple

import numpy as np

from wheelvec.jit.aligned import aligned
from wheelvec.jit.arrays import Integers, Reals, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.model.codes import ExitReason

CORPORATE_ACTION = int(ExitReason.CORPORATE_ACTION)
SUSPECTED_SPLIT = int(ExitReason.SUSPECTED_SPLIT)

# Counts of one configuration: of the put's exit reasons and of its calls' by code, of the reasons
# for which wheels ended after an assignment by code, and what else the summary counts.
CSP, CC, END = 0, 10, 20
ABOVE, INSIDE = 30, 31
MARKED, HELD, OPEN_AFTER = 32, 33, 34
KNOWN, WINS = 35, 36
DAYS, MISSING, CENSORED = 37, 38, 39
FOLDED = 40  # KNOWN as it was when the last month was folded: the difference is this month's
# of corporate events: wheels of the summary that passed one, puts that could not be bought back on
# an eve, wheels held across a suspected split after an assignment
PASSED, STRANDED, SUSPECTED_AFTER = 41, 42, 43
COUNTS = 44

# They are counted wheel by wheel in fields of 64-bit words. Each wheel adds at most one to a field
# of six bits, so that these must be emptied before the 64th; days take 24 bits and sessions without
# a bar 20, enough for 63 wheels of 45 years each. Of calls a wheel sells at most one a session: how
# they ended takes 16 bits, and that bounds the wheels too.
WHEELS_PACKED, CALLS_PACKED = 63, 2**16 - 1
# The first word counts how the put ended, the second adds up days, the others count calls and ends.
REASONS, SUMS, AFTER = 0, 1, 2
WORDS = 6
_AT_KNOWN, _AT_WINS = np.uint64(48), np.uint64(54)
_AT_MISSING, _AT_ABOVE = np.uint64(24), np.uint64(44)
_AT_INSIDE, _AT_CENSORED = np.uint64(50), np.uint64(56)
CONFIGURATIONS_CACHED = 1024  # whose P&L and ROC fill half of a first cache of 32 KiB
_TWENTY, _TWENTY_FOUR = np.uint64(2**20 - 1), np.uint64(2**24 - 1)
# a call's stop, target, hold and worthless end
_OFTEN = [CC, CC + 1, CC + 2, CC + 3, ABOVE, INSIDE]
_ONCE = [CC + 4, CC + 5, CC + 6, CC + 7, *range(END, END + 9), MARKED, HELD, OPEN_AFTER]
_EVENTS_ONCE = [CC + 8, CC + 9, END + 9, PASSED]  # in the fields that `_ONCE` leaves
# count, word, shift, bits; those of corporate events last
FIELDS = np.array(
    [(CSP + reason, REASONS, 6 * reason, 6) for reason in range(8)]
    + [(KNOWN, REASONS, int(_AT_KNOWN), 6), (WINS, REASONS, int(_AT_WINS), 6)]
    + [(DAYS, SUMS, 0, 24), (MISSING, SUMS, int(_AT_MISSING), 20)]
    + [(CENSORED, SUMS, int(_AT_CENSORED), 6)]
    + [(ABOVE, SUMS, int(_AT_ABOVE), 6), (INSIDE, SUMS, int(_AT_INSIDE), 6)]
    + [(count, AFTER + i // 4, 16 * (i % 4), 16) for i, count in enumerate(_OFTEN)]
    + [(count, AFTER + 2 + i // 10, 6 * (i % 10), 6) for i, count in enumerate(_ONCE)]
    + [(count, AFTER + 3, 6 * i, 6) for i, count in enumerate(_EVENTS_ONCE, len(_ONCE) - 10)]
    + [(SUSPECTED_AFTER, AFTER + 1, 48, 16)]
)
_OF_PUTS = 15  # the first of FIELDS
WITHOUT_EVENTS = len(FIELDS) - len(_EVENTS_ONCE) - 1  # the fields of underlyings without events
# word and shift of the counts after an assignment
_WORD_OF, _SHIFT_OF = np.zeros(COUNTS, np.int64), np.zeros(COUNTS, np.uint64)
_WORD_OF[FIELDS[_OF_PUTS:, 0]] = FIELDS[_OF_PUTS:, 1] - AFTER
_SHIFT_OF[FIELDS[_OF_PUTS:, 0]] = FIELDS[_OF_PUTS:, 2]

NONE, TARGET_ABOVE = np.uint64(0), np.uint64(1) << _AT_ABOVE
STOP_INSIDE = np.uint64(1) << _AT_INSIDE
# The bits that the first word leaves mark a put that passed a corporate event, or did not survive
# one: bought back, not bought back, suspected. They are taken off and counted one by one.
_AT_MARKS = np.uint64(60)
PASSED_MARK, BOUGHT_MARK = np.uint64(1) << _AT_MARKS, np.uint64(2) << _AT_MARKS
STRANDED_MARK, SUSPECTED_MARK = np.uint64(4) << _AT_MARKS, np.uint64(8) << _AT_MARKS
_COUNTED = PASSED_MARK - np.uint64(1)


class Figures(NamedTuple):
    """Sums over the months folded so far: (configurations,) each; dollars, ROC in percent."""

    total: Reals
    gains: Reals
    losses: Reals
    least: Reals
    capital: Reals
    marked: Reals  # the part of `total` that is marked and not realised
    lost: Reals  # added to `total` in the worst case
    known: Reals  # wheels in the figures
    mean: Reals  # of ROC
    spread: Reals  # sum of squared deviations of ROC
    low: Reals
    high: Reals
    counts: Integers  # (COUNTS, configurations) int64


class Month(NamedTuple):
    """Sums over one month of one underlying, and the wheel at hand: (configurations,) each."""

    total: Reals
    gains: Reals
    losses: Reals
    capital: Reals
    marked: Reals
    lost: Reals
    rocs: Reals
    spread: Reals
    words: Words  # (WORDS, configurations) packed counts
    pnl: Reals  # of the wheel at hand
    cell_reasons: Words
    cell_sums: Words
    until: Integers
    assigned_end: Integers


@njit_lean
def packed_reason(reason: int, pnl: float) -> np.uint64:
    """The put of one wheel, counted by exit reason, whether its P&L is known, and a gain."""
    word = np.uint64(1) << np.uint64(6 * reason)
    if not np.isnan(pnl):
        word += np.uint64(1) << _AT_KNOWN
        if pnl > 0:
            word += np.uint64(1) << _AT_WINS
    return word


@njit_lean
def packed_pnl(pnl: float) -> np.uint64:
    """Whether the P&L of one wheel is known, and a gain."""
    return packed_reason(0, pnl) - np.uint64(1)


@njit_lean
def packed_days(days: int, missing: int, censored: bool) -> np.uint64:
    """Days held and sessions without a bar of one wheel, and whether it is censored."""
    return (
        np.uint64(days)
        + (np.uint64(missing) << _AT_MISSING)
        + (np.uint64(censored) << _AT_CENSORED)
    )


@njit_lean
def days_of(sums: np.uint64) -> int:
    """The days of packed sums."""
    return np.int64(sums & _TWENTY_FOUR)  # type: ignore[return-value]


@njit_lean
def missing_of(sums: np.uint64) -> int:
    """The sessions without a bar of packed sums."""
    return np.int64((sums >> _AT_MISSING) & _TWENTY)  # type: ignore[return-value]


def new_month(n: int) -> Month:
    """Buffers for n configurations."""
    kinds: dict[str, Any] = dict.fromkeys(("words", "cell_reasons", "cell_sums"), np.uint64)
    kinds |= dict.fromkeys(("until", "assigned_end"), np.int64)
    shape = {"words": (WORDS, n)}
    return Month(
        **{name: aligned(shape.get(name, n), kinds.get(name, np.float64)) for name in Month._fields}
    )


@njit_inlined
def clear(month: Month, n: int) -> None:
    """Begin a month: set the sums of the first n configurations to 0."""
    for sums in (
        month.total,
        month.gains,
        month.losses,
        month.capital,
        month.marked,
        month.lost,
        month.rocs,
        month.spread,
    ):
        sums[:n] = 0.0
    month.words[:, :n] = 0


@njit_inlined
def count_after(words: Words, count: int) -> None:
    """Count one event after an assignment in the (WORDS - AFTER,) words of an assigned end."""
    words[_WORD_OF[count]] += np.uint64(1) << _SHIFT_OF[count]


@njit_inlined
def leave_out(month: Month, n: int, capital: float, premium: float) -> None:
    """Take a censored wheel out of the figures; it stays in the worst case.

    Its known P&L counts there as it is, else the loss of all of its capital.
    """
    pnl = month.pnl
    for c in range(n):
        worst = pnl[c] if pnl[c] == pnl[c] else premium - capital
        month.lost[c] += worst if month.cell_reasons[c] != 0 else 0.0
        pnl[c] = np.nan


@njit_inlined
def add_money_of(
    month: Month, first: int, last: int, capital: float, roc: Reals, figures: Figures, at: int
) -> int:
    """Add the wheel to the sums of configurations first..last-1; for how many its P&L is NaN.

    Adding 0.0 instead of skipping changes no bit and keeps the loops straight.

    Args:
        month: has the P&L of the wheel under each configuration; its sums are updated.
        first: configuration of the block.
        last: configuration, excluded.
        capital: of the wheel, dollars.
        roc: (configurations,) in percent, written.
        figures: least and greatest values are updated.
        at: first configuration of the block in `figures`.
    """
    n = last - first
    pnl, roc = month.pnl[first:last], roc[first:last]
    total, gains = month.total[first:last], month.gains[first:last]
    losses, rocs = month.losses[first:last], month.rocs[first:last]
    capitals = month.capital[first:last]
    least = figures.least[at + first : at + last]
    low, high = figures.low[at + first : at + last], figures.high[at + first : at + last]
    for c in range(n):
        roc[c] = 100.0 * pnl[c] / capital
    for c in range(n):
        total[c] += pnl[c] if pnl[c] == pnl[c] else 0.0
    for c in range(n):
        gains[c] += pnl[c] if pnl[c] > 0.0 else 0.0
    for c in range(n):
        losses[c] += pnl[c] if pnl[c] < 0.0 else 0.0
    for c in range(n):
        capitals[c] += capital if pnl[c] == pnl[c] else 0.0
    for c in range(n):
        rocs[c] += roc[c] if roc[c] == roc[c] else 0.0
    for c in range(n):
        least[c] = pnl[c] if pnl[c] < least[c] else least[c]
    for c in range(n):
        low[c] = roc[c] if roc[c] < low[c] else low[c]
    for c in range(n):
        high[c] = roc[c] if roc[c] > high[c] else high[c]
    unknown = 0
    for c in range(n):
        unknown += pnl[c] != pnl[c]
    return unknown


@njit_inlined
def add_money(
    month: Month,
    n: int,
    capital: float,
    premium: float,
    censored: bool,
    roc: Reals,
    figures: Figures,
    at: int,
) -> None:
    """Add the wheel at hand to the sums, and write its ROC by configuration.

    NaN P&L is left out. Adding 0.0 instead of skipping changes no bit, and the loops are
    vectorized. Ten loops read P&L and ROC: so many configurations are added at a time that both
    stay in the first cache.

    Args:
        month: sums, and P&L of the wheel at hand.
        n: configurations.
        capital: dollars.
        premium: dollars.
        censored: whether the wheel is left out.
        roc: (n,) percent, written.
        figures: least P&L, least and greatest ROC are updated.
        at: first configuration in `figures`.
    """
    if censored:
        leave_out(month, n, capital, premium)
    unknown = 0
    for first in range(0, n, CONFIGURATIONS_CACHED):
        last = min(n, first + CONFIGURATIONS_CACHED)
        unknown += add_money_of(month, first, last, capital, roc, figures, at)
    if unknown == 0 or censored:
        return
    for c in range(n):
        left_out = month.cell_reasons[c] != 0 and month.pnl[c] != month.pnl[c]
        month.lost[c] += premium - capital if left_out else 0.0


@njit_inlined
def add_counts(month: Month, n: int) -> None:
    """Add the packed counts of the wheel at hand."""
    reasons, sums = month.words[REASONS], month.words[SUMS]
    for c in range(n):
        reasons[c] += month.cell_reasons[c]
    for c in range(n):
        sums[c] += month.cell_sums[c]


@njit_lean
def count_marks(month: Month, n: int, counts: Integers, at: int) -> None:
    """Count the marks of corporate events of the wheel at hand, and take them off.

    Args:
        month: the wheel at hand is updated.
        n: configurations.
        counts: (COUNTS, configurations), added to.
        at: first configuration in `counts`.
    """
    for c in range(n):
        word = month.cell_reasons[c]
        counts[PASSED, at + c] += (word & PASSED_MARK) != 0
        counts[CSP + CORPORATE_ACTION, at + c] += (word & BOUGHT_MARK) != 0
        counts[STRANDED, at + c] += (word & STRANDED_MARK) != 0
        counts[CSP + SUSPECTED_SPLIT, at + c] += (word & SUSPECTED_MARK) != 0
        month.cell_reasons[c] = word & _COUNTED


@njit_inlined
def add_assigned_ends(month: Month, n: int, after: Words, marked: Reals) -> None:
    """Add what followed the assignments of the wheel at hand.

    Args:
        month: sums, and the assigned end of each configuration.
        n: configurations.
        after: (assigned ends, WORDS - AFTER) packed counts.
        marked: (assigned ends, 2) dollars: the mark of a wheel that is not resolved, and how far it
            lies over the worst case.
    """
    for c in range(n):
        assigned_end = month.assigned_end[c]
        if assigned_end >= 0:
            month.marked[c] += marked[assigned_end, 0]
            month.lost[c] -= marked[assigned_end, 1]
            for k in range(WORDS - AFTER):
                month.words[AFTER + k, c] += after[assigned_end, k]


@njit_inlined
def add_one_assigned_end(month: Month, n: int, after: Words, marked: Reals) -> None:
    """Add what followed the assignments, as `add_assigned_ends`, where only one end can follow.

    Straight loops, over those of its (WORDS - AFTER,) counts and (2,) marks that are not 0.
    """
    assigned_end = month.assigned_end
    for k in range(WORDS - AFTER):
        words, count = month.words[AFTER + k], after[k]
        if count != 0:
            for c in range(n):
                words[c] += count if assigned_end[c] >= 0 else NONE
    if marked[0] != 0.0 or marked[1] != 0.0:
        for c in range(n):
            month.marked[c] += marked[0] if assigned_end[c] >= 0 else 0.0
        for c in range(n):
            month.lost[c] -= marked[1] if assigned_end[c] >= 0 else 0.0


@njit_inlined
def unpack(month: Month, n: int, fields: int, counts: Integers, at: int) -> None:
    """Add the packed counts to (COUNTS, configurations), and set them to 0.

    Args:
        month: sums.
        n: configurations.
        fields: how many of FIELDS may be anything but 0.
        counts: added to.
        at: first configuration in `counts`.
    """
    for f in range(fields):
        row, word = counts[FIELDS[f, 0], at : at + n], month.words[FIELDS[f, 1]]
        shift, mask = (
            np.uint64(FIELDS[f, 2]),
            (np.uint64(1) << np.uint64(FIELDS[f, 3])) - np.uint64(1),
        )
        for c in range(n):
            row[c] += np.int64((word[c] >> shift) & mask)
    month.words[:, :n] = 0


@njit_inlined
def add_spread(month: Month, roc: Reals, wheels: int, n: int, figures: Figures, at: int) -> None:
    """Add the squared deviations of the month's (wheels, n) ROC from its mean.

    The mean takes the place of the sum in `month.rocs`.

    Args:
        month: has the sums of ROC; its squared deviations are added to.
        roc: (wheels, n) in percent; NaN where the summary has none.
        wheels: of the month.
        n: configurations.
        figures: has the counts of wheels with a P&L.
        at: first configuration of the block in `figures`.
    """
    for c in range(n):
        month.rocs[c] /= np.float64(figures.counts[KNOWN, at + c] - figures.counts[FOLDED, at + c])
    for w in range(wheels):
        row = roc[w]
        for c in range(n):
            deviation = row[c] - month.rocs[c]
            month.spread[c] += deviation * deviation if deviation == deviation else 0.0


@njit_inlined
def add_known(
    figures: Figures,
    i: int,
    here: float,
    total: float,
    gains: float,
    losses: float,
    capital: float,
    mean: float,
    spread: float,
) -> None:
    """Merge `here` more wheels into the figures of configuration i.

    As stages.summary.Moments.merged does it.

    Args:
        figures: added to.
        i: configuration.
        here: wheels with a P&L.
        total: their P&L, dollars.
        gains: the sum of those above 0, dollars.
        losses: the sum of those below 0, dollars.
        capital: theirs, dollars.
        mean: of their ROC, percent.
        spread: the sum of squared deviations from it.
    """
    if here == 0.0:
        return
    figures.total[i] += total
    figures.gains[i] += gains
    figures.losses[i] += losses
    figures.capital[i] += capital
    before = figures.known[i]
    after = before + here
    if before == 0.0:
        figures.mean[i], figures.spread[i] = mean, spread
    else:
        gap = mean - figures.mean[i]
        figures.mean[i] += gap * here / after
        figures.spread[i] = figures.spread[i] + spread + gap * gap * before * here / after
    figures.known[i] = after


@njit_inlined
def fold(month: Month, n: int, figures: Figures, at: int) -> None:
    """Merge the month into the figures, configuration by configuration."""
    known, folded = figures.counts[KNOWN], figures.counts[FOLDED]
    for c in range(n):
        i = at + c
        figures.marked[i] += month.marked[c]
        figures.lost[i] += month.lost[c]
        here = np.float64(known[i] - folded[i])
        folded[i] = known[i]
        add_known(
            figures,
            i,
            here,
            month.total[c],
            month.gains[c],
            month.losses[c],
            month.capital[c],
            month.rocs[c],
            month.spread[c],
        )


@njit_lean
def merge(figures: Figures, part: Figures, first: int, last: int) -> None:
    """Merge the sums of a part into those of the whole, and set the part's to no wheel.

    Args:
        figures: merged into, all but the counts.
        part: sums of other wheels. Merged into no wheel they are the same to the bit.
        first: configuration.
        last: configuration, excluded.
    """
    for i in range(first, last):
        figures.marked[i] += part.marked[i]
        figures.lost[i] += part.lost[i]
        least, low, high = part.least[i], part.low[i], part.high[i]
        figures.least[i] = least if least < figures.least[i] else figures.least[i]
        figures.low[i] = low if low < figures.low[i] else figures.low[i]
        figures.high[i] = high if high > figures.high[i] else figures.high[i]
        add_known(
            figures,
            i,
            part.known[i],
            part.total[i],
            part.gains[i],
            part.losses[i],
            part.capital[i],
            part.mean[i],
            part.spread[i],
        )
    for sums in (
        part.total,
        part.gains,
        part.losses,
        part.capital,
        part.marked,
        part.lost,
        part.known,
        part.mean,
        part.spread,
    ):
        sums[first:last] = 0.0
    part.least[first:last] = np.inf
    part.low[first:last] = np.inf
    part.high[first:last] = -np.inf
