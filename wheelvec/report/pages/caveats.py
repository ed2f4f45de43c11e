"""The caveats of a result, in sentences with counts."""

from collections.abc import Iterator

import polars as pl

from wheelvec.model.codes import OUTCOMES
from wheelvec.model.errors import counted
from wheelvec.report.pages.elements import Table, amount
from wheelvec.run.results.result import Result
from wheelvec.tables.sessions import Sessions


def of_result(result: Result) -> list[str]:
    """The caveats of a result: those of its figures, and its warnings."""
    return [*of_figures(result), *(warning.text for warning in result.warnings)]


def of_figures(result: Result) -> list[str]:
    """The caveats of the figures of a result, the gravest first."""
    figures = result.summary()
    return [*_population(result, figures), *_values(result, figures), *_prices(result, figures)]


def _counted(count: float | None, noun: str) -> str:
    return counted(int(count or 0), noun)


def _population(result: Result, figures: dict[str, float | int | None]) -> Iterator[str]:
    launched, summarised = result.wheels.height, int(figures["total_wheels"] or 0)
    yield (
        "Every wheel is evaluated as if it were alone. They overlap, so their sum is no account's "
        "return: wv.simulate says what one account would have had. Nothing here says how much is "
        "luck, nor among how many configurations this one was chosen: wv.bands and wv.verdict do."
    )
    if launched != summarised:
        yield (
            f"The figures are over {summarised:,} of {_counted(launched, 'launched wheel')}. If "
            f"all that were left out or marked had been lost, the total P&L would be "
            f"{amount(figures['total_pnl_worst'])} instead of {amount(figures['total_pnl'])} "
            "dollars a contract (total_pnl_worst)."
        )
    if figures["censored_wheels"]:
        yield (
            f"{_counted(figures['censored_wheels'], 'wheel')} censored: the put settles after the "
            "data end, so nobody knows how they ended. They are left out."
        )
    if figures["open_wheels"]:
        yield f"{_counted(figures['open_wheels'], 'wheel')} still open where the data end."
    if figures["no_data_wheels"]:
        yield (
            f"{_counted(figures['no_data_wheels'], 'wheel')} unresolved for lack of data, such as "
            "a close on the expiration. They are left out unless they are marked."
        )
    if figures["suspected_wheels"]:
        yield (
            f"{_counted(figures['suspected_wheels'], 'wheel')} without a value because a split is "
            "suspected while they were open."
        )


def _values(result: Result, figures: dict[str, float | int | None]) -> Iterator[str]:
    if figures["marked_wheels"]:
        yield (
            f"{_counted(figures['marked_wheels'], 'wheel')} unresolved and marked at the last "
            f"known prices: {amount(figures['marked_pnl'])} of the total P&L is a mark, no sale."
        )
    if figures["held_wheels"]:
        counts_as = (
            "rules v5 do not value: their gain or loss is in no figure"
            if result.config.rules == "v5"
            else "count as sold at the close of the end session"
        )
        yield (
            f"{_counted(figures['held_wheels'], 'wheel')} ended holding shares, which {counts_as}."
        )
    if figures["carried_wheels"]:
        yield (
            f"{_counted(figures['carried_wheels'], 'wheel')} carried through splits, renames or "
            "special dividends."
        )
    if figures["targets_above_limit"] or figures["stops_inside_stop"]:
        above = _counted(figures["targets_above_limit"], "target")
        inside = _counted(figures["stops_inside_stop"], "stop")
        yield (
            f"{above} booked above the limit and {inside} booked inside the stop: bought back at "
            "the market."
        )


def _prices(result: Result, figures: dict[str, float | int | None]) -> Iterator[str]:
    config = result.config
    fills = config.fills
    drawn = (
        f"touches of a target fill by chance, drawn with seed {fills.execution_seed}"
        if fills.use_probabilistic_exit_fills
        else "every touch of a target fills"
    )
    yield (
        f"Quotes of {config.schedule.entry_time} exchange time (those without a time: whenever "
        f"the vendor took them; who that was a result does not say). Fills are an assumption, "
        f'fill_mode "{fills.fill_mode}" (docs/fills.md); {drawn}.'
    )
    legs = _leg_sessions(result)
    if legs:
        yield _tested(legs, int(figures["sessions_without_bar"] or 0), result)
    missing = result.diagnostics.filter(pl.col("outcome") == "no_quotes")
    if missing.height:
        days = missing["session"].n_unique()
        yield (
            f"{_counted(missing.height, 'entry session')} without a quote in the entry minute "
            f"(by underlying, on {_counted(days, 'day')}): nothing was traded on them."
        )
    if config.rules == "v5":
        yield "Rules v5 count P&L that no account would have earned; rules ledger do not."


def _leg_sessions(result: Result) -> int:
    """The sessions of the resolved legs, from the day after each sale through its end."""
    legs = result.records.drop_nulls("sessions_without_bar")
    if legs.is_empty():
        return 0
    sold, ended = legs["entry_date"], legs["exit_date"]
    calendar = result.config.schedule.trading_calendar
    day = Sessions.known(calendar, sold.min(), ended.max()).frame["session"].to_numpy()  # type: ignore[arg-type]
    until, since = (day.searchsorted(each.to_numpy(), "right") for each in (ended, sold))
    return int((until - since).sum())


def _tested(legs: int, missing: int, result: Result) -> str:
    text = f"Stops and targets were tested on {legs - missing:,} of {counted(legs, 'leg-session')}"
    text += " of resolved legs"
    if not missing:
        return f"{text}."
    # a session without a bar may have a quote, which serves as one in some runs only
    served = (result.paths["source"] == "quote").any()
    lacks = "neither a bar nor a quote that serves as one" if served else "no bar"
    return f"{text}; the other {missing:,} had {lacks}: a stop is not seen on them."


def why_not(result: Result) -> Table:
    """Why entry sessions and searches for calls did or did not trade, with counts."""
    rows = [
        ["put", name, f"{count:,}", meaning]
        for name, meaning in OUTCOMES.items()
        if (count := result.diagnostics.filter(pl.col("outcome") == name).height)
    ]
    calls = result.call_diagnostics["outcome"].value_counts(sort=True)
    meanings = {
        "sold": "a call was sold",
        "no_call_quotes": "no quote of a call",
        "no_call_in_range": "no call within call.dte_* and call.delta_*",
        "no_call_above_basis": "no strike at or above the basis",
        "no_call_liquid": "every call left fails [liquidity]",
    }
    rows += [
        ["call", name, f"{count:,}", meanings.get(name, "")]
        for name, count in calls.iter_rows()
        if name is not None
    ]
    note = "put: entry sessions by underlying; call: searches of a launched wheel"
    return Table(
        "why",
        "Outcomes of entry sessions and of searches for a call",
        ["search", "outcome", "count", "meaning"],
        rows,
        note=note,
    )
