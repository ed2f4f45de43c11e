"""The solved chains of one underlying: as the lake kept them, else made from the quotes, and then
kept.
"""

import datetime as dt
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from wheelvec.jit.compiled import arithmetic
from wheelvec.lake import lake, solved
from wheelvec.market.market import Market
from wheelvec.model import schemas
from wheelvec.stages import chain as chains
from wheelvec.stages.arrays import Array

Chain = tuple[
    pl.DataFrame, pl.DataFrame
]  # as `stages.chain.collapse` and `solve` give it, and the counts per session


class Asked(NamedTuple):
    """What chains depend on beside the quotes.

    `sessions` has session, number and minute; rates are by session number, per year; contracts with
    more than `dte_max` days to their expiration are counted and left out (None: none are).
    """

    sessions: pl.DataFrame
    rate: Array
    dividend_yield: Array
    dte_max: int | None


def chain_between(
    market: Market, symbol: str, first: dt.date, last: dt.date, asked: Asked
) -> Chain:
    """The chain of an underlying from the first day of a month on, and what was found there per
    session.

    Months that a lake keeps are taken one by one, what lies between them is made in one piece.
    """
    parts: list[Chain] = []
    begin, month = first, first
    while month <= last:
        end = min(lake.month_end(month), last)
        place = market.solved_chains(symbol, month) if end == lake.month_end(month) else None
        if place is not None:
            if begin < month:
                parts.append(_made(market, symbol, begin, month - dt.timedelta(days=1), asked))
            parts.append(_kept_or_made(market, symbol, month, *place, asked))
            begin = end + dt.timedelta(days=1)
        month = lake.month_end(month) + dt.timedelta(days=1)
    if begin <= last or not parts:
        parts.append(_made(market, symbol, begin, last, asked))
    chains_found, counts = zip(*parts, strict=True)
    return pl.concat(chains_found), pl.concat(counts)


def _made(market: Market, symbol: str, first: dt.date, last: dt.date, asked: Asked) -> Chain:
    chain, counts = chains.collapse(
        market.quotes(symbol, first, last), asked.sessions, asked.dte_max
    )
    return chains.solve(chain, asked.rate, asked.dividend_yield), counts


def _kept_or_made(
    market: Market, symbol: str, month: dt.date, folder: Path, quotes: str, asked: Asked
) -> Chain:
    key = _key(quotes, month, asked)
    if (kept := solved.read(folder, month, key)) is not None:
        return chains.recalled(*kept, asked.sessions, symbol)
    chain, counts = _made(market, symbol, month, lake.month_end(month), asked)
    solved.write(folder, month, key, chain, counts)
    return chain, counts


def _key(quotes: str, month: dt.date, asked: Asked) -> str:
    """A digest of all that a chain depends on: the quotes, the sessions and their entry minutes,
    the rates, what was asked for, and the code.
    """
    here = asked.sessions.filter(pl.col("session").dt.truncate("1mo") == month)
    at = here["number"].to_numpy()
    rates = asked.rate[at].tolist(), asked.dividend_yield[at].tolist()
    parts = [quotes, here.select("session", "minute").rows(), *rates, asked.dte_max, _code()]
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16).hexdigest()


@cache
def _code() -> str:
    files = b"".join(
        Path(str(module.__file__)).read_bytes() for module in (chains, schemas, solved)
    )
    return hashlib.blake2b(files, digest_size=16).hexdigest() + arithmetic()
