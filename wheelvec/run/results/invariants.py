"""The invariants of every result: of its records, and of records and ledger."""

import polars as pl

from wheelvec.model.codes import (
    EVENTS,
    UNRESOLVED_LEGS,
    EndReason,
    ExitReason,
    State,
    name_of,
    names,
    states_after,
)
from wheelvec.model.errors import RecordError, listed
from wheelvec.model.schemas import RECORDS

CENT = 1e-9  # relative to the sums, which is far less than a cent


def refuse_broken(broken: dict[str, list[str]]) -> None:
    """Refuse what breaks an invariant.

    Args:
        broken: the invariants that fail, with the wheels or sessions that break them.

    Raises:
        RecordError: naming each invariant that fails, and where.
    """
    if broken:
        raise RecordError("; ".join(f"{rule}: {listed(where)}" for rule, where in broken.items()))


def broken_invariants(records: pl.DataFrame, ledger: pl.DataFrame) -> dict[str, list[str]]:
    """The invariants that fail, with the wheel_ids that break them; empty if all hold.

    Args:
        records: `schemas.RECORDS`.
        ledger: `schemas.LEDGER`.
    """
    if dict(records.schema) != RECORDS:
        return {"records do not have their schema": [str(name) for name in records.columns]}
    legs, totals = (
        records.filter(pl.col("phase") != "total"),
        records.filter(pl.col("phase") == "total"),
    )
    checks = {
        "a wheel without exactly one put and one total": _one_each(records),
        "calls are not numbered 1, 2, ...": _cycles(legs),
        "a leg's pnl is not premium - exit_price - fees": _where(legs, ~_close("pnl", _leg_pnl())),
        "an unresolved leg has an exit or a pnl": _where(
            legs, _open() & _any_known("exit_date", "exit_price", "pnl")
        ),
        "a resolved leg has no exit or pnl": _where(
            legs, ~_open() & _any_null("exit_date", "exit_price", "pnl")
        ),
        "a state that does not follow from the exit": _where(legs, ~_state_follows()),
        "a leg ends before it begins": _where(
            legs, (pl.col("exit_date") < pl.col("entry_date")).fill_null(False)
        ),
        "a total's pnl is not csp_pnl + cc_pnl + stock_pnl": _where(
            totals, ~_close("pnl", _total_pnl())
        ),
        "an unresolved wheel has a pnl": _where(
            totals, _unresolved() & _any_known("pnl", "wheel_roc", "exit_date")
        ),
        "a resolved wheel has no pnl": _where(
            totals, ~_unresolved() & _any_null("pnl", "wheel_roc", "exit_date")
        ),
        "a wheel's calls do not sum to cc_pnl": _call_sums(legs, totals),
        "the ledger of a resolved wheel does not sum to its pnl": _ledger_sums(totals, ledger),
    }
    return {rule: wheels for rule, wheels in checks.items() if wheels}


def _where(rows: pl.DataFrame, broken: pl.Expr) -> list[str]:
    return rows.filter(broken.fill_null(True))["wheel_id"].unique(maintain_order=True).to_list()


def _close(name: str, expected: pl.Expr) -> pl.Expr:
    both_null = pl.col(name).is_null() & expected.is_null()
    scale = expected.abs().clip(lower_bound=1.0)
    return both_null | ((pl.col(name) - expected).abs() <= CENT * scale).fill_null(False)


def _leg_pnl() -> pl.Expr:
    return pl.col("premium") - pl.col("exit_price") - pl.col("fees")


def _total_pnl() -> pl.Expr:
    sums = pl.col("csp_pnl") + pl.col("cc_pnl") + pl.col("stock_pnl")
    return pl.when(~_unresolved()).then(sums)


def _open() -> pl.Expr:
    # a leg that could not be bought back for a corporate action has no exit either
    action = pl.col("exit_reason") == name_of(ExitReason.CORPORATE_ACTION)
    unresolved = pl.col("exit_reason").is_in([name_of(reason) for reason in UNRESOLVED_LEGS])
    return unresolved | (action & pl.col("exit_date").is_null())


def _unresolved() -> pl.Expr:
    return pl.col("end_reason") == name_of(EndReason.UNRESOLVED)


def _any_known(*columns: str) -> pl.Expr:
    return pl.any_horizontal([pl.col(name).is_not_null() for name in columns])


def _any_null(*columns: str) -> pl.Expr:
    return pl.any_horizontal([pl.col(name).is_null() for name in columns])


def _state_follows() -> pl.Expr:
    """True where phase, exit reason and state are a row of the state machine's table."""
    reasons = names(ExitReason)
    assert len(EVENTS) + len(UNRESOLVED_LEGS) == len(reasons)
    follows = pl.lit(False)
    for phase, opened in (("csp", State.CSP_OPEN), ("cc", State.CC_OPEN)):
        for code, state in states_after(opened).items():
            left = pl.when(_open()).then(pl.lit(name_of(opened))).otherwise(pl.lit(state))
            row = (
                (pl.col("phase") == phase)
                & (pl.col("exit_reason") == reasons[code])
                & (pl.col("state") == left)
            )
            follows = follows | row
    return follows


def _one_each(records: pl.DataFrame) -> list[str]:
    per_wheel = records.group_by("wheel_id", maintain_order=True).agg(
        puts=(pl.col("phase") == "csp").sum(), totals=(pl.col("phase") == "total").sum()
    )
    return _where(per_wheel, (pl.col("puts") != 1) | (pl.col("totals") != 1))


def _cycles(legs: pl.DataFrame) -> list[str]:
    return _where(legs, pl.col("cycle") != pl.int_range(pl.len()).over("wheel_id"))


def _call_sums(legs: pl.DataFrame, totals: pl.DataFrame) -> list[str]:
    sums = legs.filter(pl.col("phase") == "cc").group_by("wheel_id").agg(calls=pl.col("pnl").sum())
    joined = (
        totals.filter(~_unresolved())
        .join(sums, on="wheel_id", how="left")
        .with_columns(pl.col("calls").fill_null(0.0))
    )
    return _where(joined, ~_close("cc_pnl", pl.col("calls")))


def _ledger_sums(totals: pl.DataFrame, ledger: pl.DataFrame) -> list[str]:
    sums = ledger.group_by("wheel_id").agg(
        cash=pl.col("amount").sum(), scale=pl.col("amount").abs().sum()
    )
    joined = totals.filter(~_unresolved()).join(sums, on="wheel_id", how="left")
    return _where(
        joined,
        (pl.col("pnl") - pl.col("cash")).abs() > CENT * pl.col("scale").clip(lower_bound=1.0),
    )
