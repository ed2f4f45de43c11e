"""The invariants of every account: of its days, its wheels and its cash."""

import polars as pl

from wheelvec.model.account import Account

SLACK = 1e-6  # dollars, and as much for each million of them
SOURCES = ("puts", "calls", "stock", "dividends", "fees", "interest")


def broken_balances(
    account: Account, daily: pl.DataFrame, wheels: pl.DataFrame, ledger: pl.DataFrame
) -> dict[str, list[str]]:
    """The invariants that fail, with the sessions or wheels that break them; empty if all hold.

    Args:
        account: its cash and limits.
        daily: `schemas.ACCOUNT_DAILY`.
        wheels: of the results, with taken, reason and account_pnl.
        ledger: `schemas.ACCOUNT_LEDGER`.
    """
    checks = _of_days(account, daily, ledger) | _of_wheels(account, daily, wheels, ledger)
    return {rule: where for rule, where in checks.items() if where}


def _sessions(daily: pl.DataFrame, broken: pl.Expr) -> list[str]:
    return daily.filter(broken.fill_null(True))["session"].cast(pl.String).to_list()


def _differ(found: pl.Expr, expected: pl.Expr) -> pl.Expr:
    scale = pl.max_horizontal(pl.col("cash").abs() * 1e-6, pl.lit(1.0))
    return (found - expected).abs() > SLACK * scale


def _of_days(account: Account, daily: pl.DataFrame, ledger: pl.DataFrame) -> dict[str, list[str]]:
    cash = ledger.group_by(session="date").agg(paid=pl.col("amount").sum())
    days = daily.join(cash, on="session", how="left", maintain_order="left").with_columns(
        pl.col("paid").fill_null(0.0)
    )
    col, start = pl.col, account.cash
    change = {name: col(name) - col(name).shift(1, fill_value=start) for name in ("equity", "cash")}
    peak = pl.max_horizontal(col("equity").cum_max(), pl.lit(start))
    counts = [col(name) for name in ("open_wheels", "open_puts", "open_calls", "mark_age")]
    broken = {
        "equity is not cash + options + shares": _differ(
            col("equity"), col("cash") + col("options") + col("shares")
        ),
        "the sources do not sum to the change of equity": _differ(
            pl.sum_horizontal(SOURCES), change["equity"]
        ),
        "interest and ledger do not sum to the change of cash": _differ(
            col("interest") + col("paid"), change["cash"]
        ),
        "shortfall is not max(0, collateral - cash)": _differ(
            col("shortfall"), pl.max_horizontal(col("collateral") - col("cash"), pl.lit(0.0))
        ),
        "drawdown is not equity/peak - 1": (col("drawdown") - (col("equity") / peak - 1.0)).abs()
        > 1e-9,
        "a count is negative": pl.any_horizontal([count < 0 for count in counts]),
        "something is owed to the account": col("options") > SLACK,
        "sessions do not ascend": (col("session") <= col("session").shift()).fill_null(False),
    }
    return {rule: _sessions(days, test) for rule, test in broken.items()}


def _of_wheels(
    account: Account, daily: pl.DataFrame, wheels: pl.DataFrame, ledger: pl.DataFrame
) -> dict[str, list[str]]:
    numbered = wheels.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    sums = ledger.group_by("row").agg(paid=pl.col("amount").sum())
    found = numbered.join(sums, on="row", how="left", maintain_order="left").with_columns(
        pl.col("paid").fill_null(0.0)
    )
    taken, col = pl.col("taken") > 0, pl.col
    scale = pl.max_horizontal(pl.col("initial_capital") * pl.col("taken"), pl.lit(1.0))
    broken = {
        "a wheel is neither taken nor skipped for a reason": taken == col("reason").is_not_null(),
        "a taken wheel's cash is not its account_pnl": (
            (col("paid") - col("account_pnl")).abs() > 1e-9 * scale
        ).fill_null(False),
        "a skipped wheel has cash": ~taken & (col("paid") != 0.0),
        "a resolved taken wheel has no account_pnl": taken
        & (col("pnl").is_null() != col("account_pnl").is_null()),
    }
    checks = {
        rule: found.filter(test.fill_null(True))["wheel_id"].to_list()
        for rule, test in broken.items()
    }
    twice = wheels.filter(wheels.select("result", "wheel_id").is_duplicated())["wheel_id"].to_list()
    return checks | {
        "a wheel is there twice": twice,
        "open wheels are not those taken and not ended": _miscounted(daily, wheels),
    }


def _miscounted(daily: pl.DataFrame, wheels: pl.DataFrame) -> list[str]:
    """The sessions whose count of open wheels is not that of the wheels."""
    taken = wheels.filter(pl.col("taken") > 0)
    days = daily["session"]
    opened = days.search_sorted(taken["entry_date"])
    ended = days.search_sorted(taken["exit_date"].drop_nulls())
    change = [0] * (days.len() + 1)
    for at in opened.to_list():
        change[at] += 1
    for at in ended.to_list():
        change[at] -= 1
    running = pl.Series(change[:-1], dtype=pl.Int64).cum_sum()
    return days.filter(running != daily["open_wheels"]).cast(pl.String).to_list()
