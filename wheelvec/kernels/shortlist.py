"""The puts that a piece of a sweep sells in one month: range, rank, liquidity, selection, price (rules.md, sections 3, 4)."""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.compiled import lean
from wheelvec.kernels.quote import Grades, Quotes, choose_puts, entry_price, penalty_of, pick, room_for_quotes


class Shortlist(NamedTuple):
    """Room for the puts of a month; `n` of a call to `shortlist` says how many rows of the last five are filled."""

    starts: np.ndarray  # (sessions of the month + 1,) in what follows, until `chosen` is applied
    rows: np.ndarray  # puts in range
    quotes: Quotes
    grades: Grades
    row: np.ndarray  # puts sold, in wheel order: row of Board.puts
    number: np.ndarray  # session
    ivp: np.ndarray
    penalty: np.ndarray
    price: np.ndarray  # dollars per share


def new_shortlist(sessions: int, size: int) -> Shortlist:
    """Room for `size` puts in range over `sessions` sessions."""
    whole, real = (lambda: np.empty(size, np.int64)), (lambda: np.empty(size))
    grades = Grades(real(), np.empty(size, np.int8), np.empty(size, np.bool_))
    starts = np.empty(sessions + 1, np.int64)
    return Shortlist(starts, whole(), room_for_quotes(size), grades, whole(), whole(), real(), real(), real())


@lean
def first_from(puts, first, last, dte):  # type: ignore[no-untyped-def]
    """The first of the rows first..last-1, sorted by dte, with at least so many days; `last` if there is none."""
    while first < last:
        middle = (first + last) // 2
        if puts[middle].dte < dte:
            first = middle + 1
        else:
            last = middle
    return first


@lean
def in_range(board, entry, opens, first, last, out):  # type: ignore[no-untyped-def]
    """Write the puts within dte and delta of sessions first..last on which `opens` holds; how many there are."""
    n = 0
    puts = board.puts
    for s in range(first, last + 1):
        out.starts[s - first] = n
        if not opens[s]:
            continue
        r, end = first_from(puts, board.put_starts[s], board.put_starts[s + 1], entry.dte_min), board.put_starts[s + 1]
        while r < end and puts[r].dte <= entry.dte_max:  # candidate order begins with the expiration
            if entry.delta_min <= puts[r].delta <= entry.delta_max:
                out.rows[n] = r
                n += 1
            r += 1
    out.starts[last + 1 - first] = n
    return n


@lean
def shortlist(board, entry, opens, first, last, out):  # type: ignore[no-untyped-def]
    """Write the puts sold on sessions first..last; how many. `opens` (sessions,) tells on which sessions wheels open.

    Of a session only the first `per_day` are written; where one wheel is open at a time only the first can ever be.
    """
    n = in_range(board, entry, opens, first, last, out)
    pick(board.puts, out.rows, n, out.quotes)
    starts = out.starts[: last + 2 - first]
    choose_puts(
        out.quotes, starts, entry.rank_over_chain, entry, entry.dte_target, entry.select, entry.delta_target, out.grades
    )
    sold = 0
    most = 1 if entry.one_at_a_time else entry.per_day
    for s in range(starts.size - 1):
        today = 0
        for i in range(starts[s], starts[s + 1]):
            if today == most:
                break
            if out.grades.chosen[i]:
                penalty = penalty_of(out.grades.tier[i])
                quotes = out.quotes
                out.row[sold], out.number[sold] = out.rows[i], first + s
                out.ivp[sold], out.penalty[sold] = out.grades.ivp[i], penalty
                out.price[sold] = entry_price(quotes.bid[i], quotes.ask[i], quotes.mid[i], penalty, entry.mode)
                sold += 1
                today += 1
    return sold
