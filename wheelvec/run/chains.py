"""The solved chain of one underlying and month: as the lake kept it, else made from the quotes, and then kept."""

import datetime as dt
import hashlib
import json
from functools import cache
from pathlib import Path

import polars as pl

from wheelvec.kernels.compiled import arithmetic
from wheelvec.market import lake, solved
from wheelvec.market.market import Market
from wheelvec.spec import frames
from wheelvec.spec.config import Config
from wheelvec.stages import chain as chains
from wheelvec.stages.arrays import Array

Chain = tuple[pl.DataFrame, pl.DataFrame]  # as `stages.chain.collapse` and `solve` give it, and the counts per session


def month_chain(
    market: Market, symbol: str, month: dt.date, config: Config, sessions: pl.DataFrame, rate: Array, dividend_yield: Array
) -> Chain:
    """The chain of a month and what was found there per session.

    Args:
        sessions: session, number, minute; rate, dividend_yield: by session number, per year.
    """
    wanted, dte_max = chains.asked(config.put, config.call, config.liquidity.ivp_over == "chain")
    place = market.solved_chains(symbol, month)
    key = "" if place is None else _key(place[1], month, sessions, rate, dividend_yield, [str(wanted), dte_max])
    if place is not None and (kept := solved.read(place[0], month, key)) is not None:
        return chains.recalled(*kept, sessions, symbol)
    quotes = market.quotes(symbol, month, lake.month_end(month))
    chain, counts = chains.collapse(quotes, sessions, dte_max)
    chain = chains.solve(chain, wanted, rate, dividend_yield)
    if place is not None:
        solved.write(place[0], month, key, chain, counts)
    return chain, counts


def _key(quotes: str, month: dt.date, sessions: pl.DataFrame, rate: Array, dividend_yield: Array, asked: list[object]) -> str:
    """A digest of all that a chain depends on: the quotes, the sessions and their entry minutes, the rates, what was asked
    for, and the code."""
    here = sessions.filter(pl.col("session").dt.truncate("1mo") == month)
    at = here["number"].to_numpy()
    parts = [quotes, here.select("session", "minute").rows(), rate[at].tolist(), dividend_yield[at].tolist(), asked, _code()]
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16).hexdigest()


@cache
def _code() -> str:
    files = b"".join(Path(str(module.__file__)).read_bytes() for module in (chains, frames, solved))
    return hashlib.blake2b(files, digest_size=16).hexdigest() + arithmetic()
