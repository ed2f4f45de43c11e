"""`wv.page`: one self-contained HTML file about a result, portfolio, sweep, verdict or market."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.inference.judged import Verdict
from wheelvec.market.market import Market
from wheelvec.model.addresses import refuse_address
from wheelvec.model.atomic import replacing, writing
from wheelvec.model.errors import InputError, LakeError, cut
from wheelvec.report.plots import missing_extra
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result
from wheelvec.run.results.sweep_result import Sweep

if TYPE_CHECKING:
    from wheelvec.report.pages.elements import Page

HEAD = 4096  # bytes at the beginning of a page, which say that it is one of ours

Shown = Result | Portfolio | Sweep | Verdict | Market | Sequence[Any] | Mapping[str, Any]


def page(x: Shown, path: str | Path) -> Path:
    """Write an HTML page about a result, portfolio, sweep, verdict or market, or compare several.

    The page is one file that asks for nothing: it opens without a network, in light and in dark,
    and can be read with scripts off. An earlier page is replaced; any other file is left as it is.

    Args:
        x: a Result, a Portfolio, a Sweep, a Verdict, a Market (of a lake all its files are
            read), or several results or portfolios, as a list or by name.
        path: of the file; its folder must exist.

    Returns:
        The path.

    Raises:
        InputError: for anything else; or naming what to install, if the extra `report` is
            missing.
        LakeError: if the file cannot be written, or there is one that is no page of wheelvec; or
            saying what a result lacks that an earlier version saved.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> path = wv.page(result, pathlib.Path(tempfile.mkdtemp()) / "out.html")
        >>> path.stat().st_size < 1_500_000
        True
    """
    target = place_of_page(path)
    try:
        text = html(x)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    with writing(target), replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def place_of_page(path: str | Path) -> Path:
    """The path of a page to write, unless something is there that a page must not replace.

    Raises:
        LakeError: for an address, a folder, or a file that is no page of wheelvec; an empty file
            has nothing to lose.
    """
    from wheelvec.report.pages.elements import MARK

    refuse_address(path, "a page", "file")
    target = Path(path)
    if target.is_dir():
        raise LakeError(f"{target}: is a folder; expected the name of a file, such as out.html")
    with writing(target):
        if not target.exists():
            return target
        head = b""
        if target.is_file():  # a pipe would be waited for
            with target.open("rb") as file:
                head = file.read(HEAD)
            if not head:
                return target
    if MARK.encode() not in head:
        raise LakeError(f"{target} is there, and no page of wheelvec: it is left as it is")
    return target


def html(x: Shown) -> str:
    """The text of the page about `x`, see `page`."""
    from wheelvec.report.pages.rendering import html_of

    return html_of(_page_of(x))


def _page_of(x: Any) -> "Page":
    from wheelvec.report.pages import comparison, data, portfolio, results, sweeps, verdicts

    kinds: dict[type, Any] = {
        Result: results.result_page,
        Portfolio: portfolio.portfolio_page,
        Sweep: sweeps.sweep_page,
        Verdict: verdicts.verdict_page,
        Market: data.market_page,
    }
    for kind, make in kinds.items():
        if isinstance(x, kind):
            found: Page = make(x)
            return found
    if isinstance(x, Mapping | Sequence) and not isinstance(x, str) and x:
        return comparison.comparison_page(x)
    raise InputError(
        f"page: {cut(x)}: expected a Result, Portfolio, Sweep, Verdict or Market, or several "
        "results or portfolios"
    )
