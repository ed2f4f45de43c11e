"""Inputs that the fuzzers share: odd values, a small market, and the command line run in this process."""

import contextlib
import datetime as dt
import io
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.market.build import DAY, quotes, symbol, table
from wheelvec import cli

Tables = dict[str, pl.DataFrame]

ERROR = re.compile(r"wheelvec: error: [^\n]+\n")
REMARK = re.compile(r"wheelvec: (WARNING|warning): ")
UNEXPECTED = re.compile(r"wheelvec: error: (?!LakeError)\w*(Error|Exception|Panic)\b")


def fuzzed(
    short: int, long: int, **strategies: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Any]:
    """A test over a few examples, the same ones each time, and one of many, which is new each time,
    behind `-m slow`.
    """
    quiet = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

    def decorate(body: Callable[..., None]) -> Any:
        few = settings(max_examples=short, derandomize=True, **quiet)(given(**strategies)(body))  # type: ignore[arg-type]
        many = settings(max_examples=long, **quiet)(given(**strategies)(body))  # type: ignore[arg-type]
        cases = [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.slow)]

        @pytest.mark.parametrize("run", cases)
        def test(run: Callable[..., None]) -> None:
            run()

        test.__doc__ = body.__doc__
        return test

    return decorate


def command(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command; whatever is raised fails the
    test.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def failed_well(code: int, out: str, err: str) -> str:
    """The message of a command that must have failed as promised: one line, of the project's own
    making.
    """
    lines = [line for line in err.splitlines(keepends=True) if not REMARK.match(line)]
    assert code == 1, (code, out, err)
    assert len(lines) == 1, err
    assert ERROR.fullmatch(lines[0]), err
    assert not UNEXPECTED.match(lines[0]), err
    return lines[0]


def small_market() -> Tables:
    """Four sessions of one underlying, with bars and a dividend."""
    days = [DAY(f"2023-06-{day:02d}") for day in (6, 7, 8, 9)]
    contracts = [symbol(strike, kind) for strike in (200, 205, 210, 230) for kind in "CP"]
    quoted = [
        {
            "session": day,
            "symbol": contract,
            "ts": dt.datetime.combine(day, dt.time(19, 45, 5), dt.UTC),
        }
        for day in days
        for contract in contracts
    ]
    bars = [{"session": day, "symbol": contract} for day in days for contract in contracts[:4]]
    return {
        "option_quotes": quotes(*quoted),
        "option_bars": table("option_bars", *bars),
        "underlying_bars": table("underlying_bars", *({"session": day} for day in days)),
        "dividends": table("dividends", {}),
    }
