"""The meaning and the unit of each column and figure, for docs/reference.md and for reports.

The dtypes are in `model.schemas`. A test checks that every column there, and every figure of a
summary or a sweep, is described here.
"""

from typing import NamedTuple


class Column(NamedTuple):
    """The unit of a column, or "", and its meaning."""

    unit: str
    meaning: str


_WHEEL_ID = Column(
    "", "{underlying}_{entry date}_{n}, n counting the launched wheels from 0 (rules.md, section 1)"
)
_UNDERLYING = Column("", "the underlying, such as TSLA")
_CONTRACT = "dollars per contract"
_SHARE = "dollars per share"

RECORDS: dict[str, Column] = {
    "wheel_id": _WHEEL_ID,
    "underlying": _UNDERLYING,
    "put_symbol": Column(
        "",
        "OSI symbol of the put that opened the wheel; with underlying and entry date the key of "
        "the wheel in every configuration",
    ),
    "initial_capital": Column(_CONTRACT, "cash that secures the put: its strike * 100"),
    "entry_date": Column("session", "when the leg was sold; of a total, when the put was"),
    "phase": Column("", "csp (the put), cc (a covered call) or total (the wheel)"),
    "state": Column(
        "",
        "state at the end of the leg or wheel (rules.md, section 9); CSP_OPEN, CC_OPEN, WHEEL_OPEN "
        "if unresolved",
    ),
    "execution_version": Column("", "version of wheelvec and rule set of the row"),
    "cycle": Column("", "0 for the put, 1 for the first call and so on; null in totals"),
    "symbol": Column("", "OSI symbol of the leg; in totals the underlying"),
    "strike": Column(_SHARE, "strike of the leg; in totals that of the put"),
    "expiration": Column("date", "expiration of the leg; in totals that of the put"),
    "premium": Column(_CONTRACT, "proceeds of the sale; in totals the sum over the legs"),
    "fees": Column(
        _CONTRACT, "commissions and fees of the leg's one or two orders; in totals the sum"
    ),
    "contracts": Column(
        "contracts", "sold: one for each hundred shares that a call covers; null in totals"
    ),
    "factor": Column(
        "",
        "contracts at the exit for one that was sold: the product of the splits between; if "
        "unresolved at its settlement, or on the eve on which it stopped; null in totals",
    ),
    "exit_symbol": Column(
        "",
        "OSI symbol of the contract that stands for the leg's at the exit, by splits, renames and "
        "special dividends; null in totals",
    ),
    "exit_date": Column("session", "when the leg, or the wheel, ended; null if unresolved"),
    "pnl": Column(
        _CONTRACT,
        "premium - exit price - fees; in totals csp_pnl + cc_pnl + stock_pnl; null if unresolved",
    ),
    "exit_price": Column(
        _CONTRACT, "price of buying back; 0 if the leg expired, was assigned or called away"
    ),
    "exit_reason": Column(
        "",
        "stop_loss, profit_target, max_hold_dte, expired_worthless, assigned, called_away, open, "
        "no_data, corporate_action or suspected_split",
    ),
    "exit_pct": Column("fraction", "profit target as a fraction of the premium: 0.25 keeps 75%"),
    "days_held": Column("calendar days", "exit date - entry date of the leg"),
    "roc": Column("percent", "100 * pnl / initial_capital of the leg"),
    "cost_basis": Column(
        _CONTRACT, "strike of the leg * 100 * contracts; not the basis of the shares"
    ),
    "touch_count": Column("", "bars that touched the profit target, up to the exit"),
    "touch_profit_target": Column("", "whether any bar touched the profit target"),
    "filled_profit_target": Column("", "whether a touch filled"),
    "p_fill_profit_target": Column(
        "probability", "probability that a touch fills (rules.md, section 5), drawn or not"
    ),
    "u_fill_profit_target": Column("", "the last draw in [0, 1); null if nothing was drawn"),
    "spread_pct_entry": Column("fraction", "(ask - bid)/mid of the quote at the sale"),
    "ivp_entry": Column(
        "fraction", "rank of iv among the contracts of the entry minute; no percentile of history"
    ),
    "iv_entry": Column("per year", "implied volatility of the mid"),
    "delta_entry": Column("", "absolute delta"),
    "dte_entry": Column("calendar days", "expiration - entry date"),
    "liquidity_tier": Column("", "tight, moderate or wide"),
    "liquidity_penalty": Column("", "1.00, 1.15 or 1.35: factor of spreads and ranges in prices"),
    "sessions_without_bar": Column(
        "sessions",
        "without a bar or a quote that serves as one (rules.md, section 6), from the day after "
        "the sale to the exit; null if unresolved",
    ),
    "underlying_at_expiration": Column(
        _SHARE, "the close that settled the leg; null if it ended before"
    ),
    "csp_pnl": Column(_CONTRACT, "P&L of the put; null if unresolved"),
    "cc_pnl": Column(_CONTRACT, "P&L of all calls; 0 without any, null if the wheel is unresolved"),
    "stock_pnl": Column(
        _CONTRACT,
        "sale of the shares - their purchase, and dividends; 0 without shares, null if unresolved",
    ),
    "pnl_marked": Column(
        _CONTRACT,
        "pnl; for an unresolved wheel with shares its value at the last known prices",
    ),
    "wheel_roc": Column("percent", "100 * pnl / initial_capital; null if unresolved"),
    "roc_annualized": Column("percent per year", "wheel_roc * 365 / calendar_days; not compounded"),
    "total_days": Column("calendar days", "sum of the legs' days held"),
    "calendar_days": Column("calendar days", "end session - entry date"),
    "shares_held": Column(
        "shares",
        "sold at the close of the end session because they were not called away (v5: held, and "
        "not valued); null if unresolved",
    ),
    "csp_exit_reason": Column("", "exit_reason of the put"),
    "cc_exit_reason": Column("", "exit_reason of the last call; null without one"),
    "end_reason": Column(
        "",
        "put_closed, put_expired, called_away, max_cycles, one of no_call_* (see the call "
        "diagnostics), corporate_action or unresolved",
    ),
    "censored": Column(
        "",
        "whether the put's settlement session is after the underlying's last bar; such wheels are "
        "not in the summary",
    ),
    "carried": Column(
        "",
        "whether a leg or the shares were carried through a corporate event (rules.md, section 12)",
    ),
}

# Columns of `Result.wheels` that are not columns of a total; those of the entry are the put's.
WHEELS: dict[str, Column] = {
    "in_summary": Column("", "whether the summary includes the wheel (rules.md, section 10)"),
    "dte_entry": RECORDS["dte_entry"],
    "delta_entry": RECORDS["delta_entry"],
    "iv_entry": RECORDS["iv_entry"],
    "n_calls": Column("", "covered calls that were sold"),
}

LEDGER: dict[str, Column] = {
    "wheel_id": _WHEEL_ID,
    "date": Column("session", "date of the payment; of a dividend its ex-date"),
    "entry": Column(
        "",
        "premium, buy_back, fees, share_purchase, share_sale or dividend (v5: notebook_adjustment "
        "too)",
    ),
    "amount": Column(
        _CONTRACT, "positive when received; the entries of a resolved wheel sum to its pnl"
    ),
}

_COUNTS: dict[str, Column] = {
    "n_quotes": Column("contracts", "of the underlying with a quote in the entry minute"),
    "n_valid": Column("contracts", "of these, those with a valid quote (rules.md, section 2)"),
    "n_solved": Column(
        "contracts", "of these, those of the type and dte sought that have an implied volatility"
    ),
    "n_in_range": Column("contracts", "of these, within the ranges of dte and delta"),
}

DIAGNOSTICS: dict[str, Column] = {
    "session": Column("session", "an entry session"),
    "underlying": _UNDERLYING,
    "outcome": Column(
        "",
        "the first that applies: no_quotes, no_underlying_price, not_solved, "
        "no_candidate_in_range, "
        "all_rejected_by_liquidity, corporate_action (the eve of an event that contracts do not "
        "survive), not_signalled, wheel_already_open, traded",
    ),
    **_COUNTS,
    "n_liquid": Column("contracts", "of these, not rejected by liquidity"),
    "n_launched": Column("wheels", "opened"),
    "limit_reached": Column("", "whether max_wheels_per_symbol_per_day excluded some"),
}

CALL_DIAGNOSTICS: dict[str, Column] = {
    "wheel_id": _WHEEL_ID,
    "cycle": Column("", "number of the call that was sought, 1 for the first"),
    "session": Column("session", "on which it was sought"),
    "underlying": _UNDERLYING,
    "outcome": Column(
        "",
        "sold, or the test that no call passed: no_call_quotes, no_call_in_range, "
        "no_call_above_basis, no_call_liquid",
    ),
    **_COUNTS,
    "n_above_basis": Column("contracts", "of these, with a strike at or above the basis floor"),
    "n_liquid": Column("contracts", "of these, not rejected by liquidity"),
}

_PRICES: dict[str, Column] = {
    name: Column(_SHARE, f"{name} of the session") for name in ("open", "high", "low", "close")
}

PATHS: dict[str, Column] = {
    "underlying": _UNDERLYING,
    "symbol": Column("", "OSI symbol that the contract of a leg bears on the session"),
    "session": Column(
        "session", "with a bar or a valid quote, from the leg's sale through its exit"
    ),
    **_PRICES,
    "bid": Column(_SHARE, "of the session's valid quote"),
    "ask": Column(_SHARE, "of the session's valid quote"),
    "underlying_price": Column(_SHARE, "of the underlying, as the session's valid quote has it"),
    "source": Column(
        "", "bar or quote: the price that was tested for stop and target; null if neither was"
    ),
}

UNDERLYING_CLOSES: dict[str, Column] = {
    "underlying": _UNDERLYING,
    "session": Column("session", "from the schedule's first one to the last with a bar"),
    "close": Column(_SHARE, "of the regular session, under the name borne on the session"),
}

EVENTS: dict[str, Column] = {
    "underlying": _UNDERLYING,
    "session": Column("session", "the first one on or after the ex-date"),
    "ex_date": Column("date", "on which a buyer no longer receives it, or a split takes effect"),
    "kind": Column(
        "",
        "carried or not_carried (a split, a rename, special dividends: rules.md, section 12), "
        "suspected (a split that the data show and no row explains), dividend",
    ),
    "ratio": Column("shares", "new ones for one old one; null of a dividend or a suspected split"),
    "root": Column("", "of the options from then on; null: as before"),
    "amount": Column(_SHARE, "of a dividend, in shares as of the ex-date"),
    "special": Column("", "whether a dividend lowers the strikes; null of other rows"),
}

MARKET_DIAGNOSTICS: dict[str, Column] = {
    "table": Column("", "the table of the rows"),
    "underlying": _UNDERLYING,
    "reason": Column("", "why rows were set aside, or an anomaly of the table (data.md)"),
    "count": Column("", "number of rows, sessions or days, depending on the reason"),
}

SUMMARY: dict[str, Column] = {
    "total_wheels": Column("wheels", "in the summary: not censored, and with a pnl_marked"),
    "total_pnl": Column(_CONTRACT, "sum of pnl_marked; realised is total_pnl - marked_pnl"),
    "avg_wheel_roc": Column("percent", "mean of 100 * pnl_marked / initial_capital"),
    "median_wheel_roc": Column("percent", "median of the same"),
    "std_wheel_roc": Column("percent", "sample standard deviation; null for one wheel"),
    "max_wheel_roc": Column("percent", "maximum"),
    "min_wheel_roc": Column("percent", "minimum"),
    "max_drawdown_proxy": Column(
        _CONTRACT, "P&L of the worst single wheel; not a drawdown of an account"
    ),
    "win_rate": Column("percent", "of the wheels with pnl_marked > 0"),
    "avg_days_held": Column("calendar days", "mean total_days of the resolved wheels"),
    "total_capital_deployed": Column(
        _CONTRACT, "sum of initial_capital; not all of it was used at the same time"
    ),
    "open_wheels": Column(
        "wheels", "launched, and with a put or call that settles after the underlying's last bar"
    ),
    "no_data_wheels": Column("wheels", "launched, and unresolved for any other lack of data"),
    "censored_wheels": Column(
        "wheels", "launched, and not in the summary because their put settles after the data"
    ),
    "marked_wheels": Column("wheels", "in the summary at their mark: unresolved, holding shares"),
    "marked_pnl": Column(_CONTRACT, "sum of these marks, included in total_pnl"),
    "held_wheels": Column("wheels", "in the summary that ended holding shares"),
    "carried_wheels": Column(
        "wheels", "in the summary, and a leg or the shares were carried through a corporate event"
    ),
    "suspected_wheels": Column(
        "wheels", "launched, and unresolved because a suspected split came while they were open"
    ),
    "targets_above_limit": Column(
        "legs", "booked above their target price, where a limit order would not fill"
    ),
    "stops_inside_stop": Column(
        "legs", "booked below their stop price, where a stop order would not fill"
    ),
    "sessions_without_bar": Column("sessions", "summed over the resolved legs"),
    "total_pnl_worst": Column(
        _CONTRACT,
        "sum of pnl over all launched wheels; unresolved ones as if their shares were worthless",
    ),
}

ACCOUNT_PREFIX = "account_"  # of the figures of an account in the frame of a sweep

SWEEP: dict[str, Column] = {
    "config_id": Column("", "sixteen hexadecimal digits: equal for equal configurations"),
    **{
        f"roc_p{percent:02d}": Column(
            "percent", f"{percent}th percentile of wheel ROC, linear between wheels"
        )
        for percent in (5, 25, 50, 75, 95)
    },
    "profit_factor": Column("", "sum of the gains / sum of the losses; null without a loss"),
}


def of_sweep(name: str) -> Column:
    """The meaning of a figure of a sweep's frame, the counts by reason and its account's included.

    Example:
        >>> of_sweep("csp_assigned").meaning
        'launched wheels whose put ended for this reason'
    """
    if name in SUMMARY:
        return SUMMARY[name]
    for prefix, unit, meaning in (
        ("csp_", "wheels", "launched wheels whose put ended for this reason"),
        ("cc_", "legs", "covered calls that ended for this reason"),
        ("end_", "wheels", "launched wheels that ended for this reason"),
    ):
        if name.startswith(prefix):
            return Column(unit, meaning)
    if name.startswith(ACCOUNT_PREFIX):
        return of_metric(name.removeprefix(ACCOUNT_PREFIX))
    return SWEEP[name]


_DAY = "of the day's change of equity"
ACCOUNT_DAILY: dict[str, Column] = {
    "session": Column("", "exchange session; every figure is of its close"),
    "cash": Column("dollars", "of all kinds, collateral too"),
    "collateral": Column("dollars", "initial capital of the open puts"),
    "shortfall": Column("dollars", "collateral that is not in cash: max(0, collateral - cash)"),
    "options": Column("dollars", "minus what is owed on open legs"),
    "shares": Column("dollars", "value of the shares held"),
    "equity": Column("dollars", "cash + options + shares"),
    "drawdown": Column("fraction", "equity/peak - 1; the peak is never under the first cash"),
    "exposure": Column("fraction", "(collateral + shares)/equity"),
    "open_wheels": Column("wheels", "open after the close"),
    "open_puts": Column("contracts", "legs times how often their wheels were taken"),
    "open_calls": Column("contracts", "legs times how often their wheels were taken"),
    "mark_age": Column("sessions", "since the oldest mark of an open leg; 0 without one"),
    "delta_dollars": Column("dollars", "share equivalents times the close, of all underlyings"),
    "puts": Column("dollars", f"{_DAY}: premium, buy-backs, change of what is owed"),
    "calls": Column("dollars", f"{_DAY}: premium, buy-backs, change of what is owed"),
    "stock": Column("dollars", f"{_DAY}: purchases, sales, change of value"),
    "dividends": Column("dollars", f"{_DAY}: on shares held overnight"),
    "fees": Column("dollars", f"{_DAY}: of orders and deliveries"),
    "interest": Column("dollars", f"{_DAY}: on all cash"),
}

ACCOUNT_DELTAS: dict[str, Column] = {
    "session": Column("", "exchange session"),
    "underlying": Column("", "by its name when the put was sold"),
    "shares": Column("shares", "share equivalents of shares and open legs at the close"),
    "delta_dollars": Column("dollars", "these times the close"),
}

METRICS: dict[str, Column] = {
    "total_return": Column("fraction", "last equity/first cash - 1"),
    "cagr": Column("fraction per year", "growth of 252 sessions; null under 126 of them"),
    "volatility": Column(
        "fraction per year", "of daily returns over the riskless one; 252 days, sample deviation"
    ),
    "sharpe": Column("per year", "mean daily return over the riskless one/its deviation"),
    "sortino": Column("per year", "the same/the root mean square of the days under it"),
    "max_drawdown": Column("fraction", "least of equity/peak - 1"),
    "max_drawdown_days": Column(
        "calendar days", "the most from a peak to the last session below it"
    ),
    "calmar": Column("per year", "cagr/abs(max_drawdown)"),
    "ulcer_index": Column("fraction", "root mean square of the drawdown"),
    "skew": Column("", "of daily returns, of a population"),
    "kurtosis": Column("", "of daily returns, of a population; 3 is normal"),
    "var_95": Column("fraction", "the loss at the 5th percentile of daily returns"),
    "cvar_95": Column("fraction", "the mean loss of the days at or under it"),
    "best_month": Column("fraction", "greatest return of a calendar month"),
    "worst_month": Column("fraction", "least return of a calendar month"),
    "months_up": Column("fraction", "of the calendar months, with a gain"),
    "mean_exposure": Column("fraction", "mean of (collateral + shares)/equity"),
    "mean_cash_share": Column("fraction", "mean of cash/equity, with what secures puts"),
    "turnover": Column(
        "per year", "premiums, buy-backs, purchases and sales of shares/mean equity"
    ),
    "taken": Column("wheels", "taken"),
    "resolved": Column("wheels", "taken and resolved"),
    "skipped": Column("wheels", "not taken"),
    "win_rate": Column("percent", "of the taken and resolved wheels with P&L > 0"),
    "profit_factor": Column("", "sum of the gains/sum of the losses; null without a loss"),
    "expectancy": Column("dollars", "mean P&L of a wheel, in the account"),
    "mean_win": Column("dollars", "mean gain of a wheel, in the account"),
    "mean_loss": Column("dollars", "mean loss of a wheel, in the account"),
    "longest_losing_run": Column("wheels", "losses one after the other, by exit date"),
    "mean_days_held": Column("calendar days", "mean of the sum of the legs' days held"),
    "premium_kept": Column("fraction", "P&L of puts and calls/premium received"),
    "return_on_collateral": Column(
        "fraction", "P&L/mean over the sessions of collateral and cost of held shares"
    ),
}


def of_metric(name: str) -> Column:
    """The meaning of a figure of an account, those by benchmark and by reason included.

    Example:
        >>> of_metric("beta_buy_and_hold").meaning
        'slope of the daily return on that of buy_and_hold, both over the riskless one'
    """
    if name in METRICS:
        return METRICS[name]
    kind, _, which = name.partition("_")
    over = f"the daily return on that of {which}, both over the riskless one"
    found = {
        "alpha": Column("fraction per year", f"intercept of {over}, times 252"),
        "beta": Column("", f"slope of {over}"),
        "skipped": Column("wheels", f"not taken: {which}"),
    }
    return found[kind]
