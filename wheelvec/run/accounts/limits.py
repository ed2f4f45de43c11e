"""The limits of an account and the rate that its cash earns, as the kernels take them."""

import numpy as np
import polars as pl

from wheelvec.kernels.account import Limits
from wheelvec.model.account import Account
from wheelvec.model.config import Curve
from wheelvec.model.errors import InputError
from wheelvec.stages.arrays import Array
from wheelvec.stages.chain import rates


def limits_of(account: Account) -> Limits:
    """The limits of an account; one that it does not have is infinite."""

    def limit(value: float | None) -> float:
        return np.inf if value is None else float(value)

    return Limits(
        cash=account.cash,
        contracts=float(account.contracts or 0),
        fraction=float(account.fraction or 0.0),
        wheels=limit(account.max_wheels),
        per_underlying=limit(account.max_wheels_per_underlying),
        share=limit(account.max_share_per_underlying),
    )


def account_rate(rate: Curve, sessions: pl.DataFrame) -> Array:
    """(sessions,) the interest rate of an account per year.

    Args:
        rate: the account's, a number or by date.
        sessions: session, from the account's first on.

    Raises:
        InputError: if the rates begin after the first session.
    """
    first = sessions["session"][0]
    if not isinstance(rate, float) and rate[0][0] > first:
        raise InputError(
            f"account.rate starts on {rate[0][0]}: expected a value on or before {first}, "
            "the first session"
        )
    return rates(rate, sessions, first, "rate")
