"""Gamma, vega, theta and rho of European options.

With S' = S*exp(-q*T), K' = K*exp(-r*T), v the volatility, d1 and d2 as in
`wheelvec.pricing.black.black_scholes` (Merton 1973; Haug, The Complete Guide to Option Pricing
Formulas, chapter 2):

    gamma   exp(-q*T)*phi(d1)/(S*v*sqrt(T))
    vega    S'*phi(d1)*sqrt(T)
    theta   -S'*phi(d1)*v/(2*sqrt(T)) +- (q*S'*Phi(+-d1) - r*K'*Phi(+-d2))
    rho     +-T*K'*Phi(+-d2)

where +- is + for a call and - for a put.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wheelvec.jit.compiled import njit
from wheelvec.pricing.black import in_domain, log_moneyness, normal_cdf
from wheelvec.pricing.broadcast import Array, run_blocks
from wheelvec.pricing.mills import SQRT_TWO_PI

GAMMA, VEGA, THETA, RHO = range(4)


@njit
def _greek(
    which: int,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    is_call: bool,
    dividend_yield: float,
) -> float:
    """One greek of one option; NaN outside the domain or where a discount factor overflows."""
    if not in_domain(spot, strike, years, rate, volatility, dividend_yield):
        return np.nan
    spot_pv = spot * math.exp(-dividend_yield * years)
    strike_pv = strike * math.exp(-rate * years)
    if not (spot_pv < np.inf and strike_pv < np.inf):
        return np.nan
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    root = math.sqrt(years)
    s = volatility * root
    at_forward = x == 0.0
    # Without time or volatility: the limit, which at forward = strike is that of d1 = d2 = 0.
    moneyness = x / s if s > 0.0 else (0.0 if at_forward else math.copysign(np.inf, x))
    d1, d2 = moneyness + 0.5 * s, moneyness - 0.5 * s
    density = math.exp(-0.5 * d1 * d1) / SQRT_TWO_PI
    sign = 1.0 if is_call else -1.0
    if which == GAMMA:
        if not s > 0.0:
            return np.inf if at_forward else 0.0
        return spot_pv * density / (spot * spot * s)
    if which == VEGA:
        return spot_pv * density * root
    if which == RHO:
        return sign * years * strike_pv * normal_cdf(sign * d2)
    # density times volatility first: if either is 0 there is no decay, also at years = 0
    decay = 0.5 * spot_pv * density * volatility
    carry = dividend_yield * spot_pv * normal_cdf(sign * d1) - rate * strike_pv * normal_cdf(
        sign * d2
    )
    return sign * carry - (decay / root if decay > 0.0 else 0.0)


@njit
def _greek_block(
    which: int,
    spot: Array,
    strike: Array,
    years: Array,
    rate: Array,
    volatility: Array,
    is_call: Array,
    dividend_yield: Array,
    out: Array,
) -> None:
    """Write one greek into `out`; all arrays are (n,)."""
    for i in range(out.size):
        out[i] = _greek(
            which,
            spot[i],
            strike[i],
            years[i],
            rate[i],
            volatility[i],
            is_call[i],
            dividend_yield[i],
        )


def _evaluate(
    which: int,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    **others: ArrayLike,
) -> Any:
    inputs = {"spot": spot, "strike": strike, "years": years, "rate": rate, **others}
    return run_blocks(partial(_greek_block, which), inputs, ("float64",))[0]


def gamma(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Any:
    """Gamma of European options, the derivative of `delta` by spot (Merton 1973).

    exp(-q*T)*phi(d1)/(S*v*sqrt(T)), the same for calls and puts. At years = 0 or volatility = 0 it
    is the limit: 0, and inf at forward = strike.

    The arguments are numbers or array-likes of any shapes that broadcast.

    Args:
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.

    Returns:
        Change of delta per dollar of the underlying: a float64 array of the broadcast shape, a
        NumPy float64 scalar if all inputs are scalars. NaN where an input is not finite or out of
        its range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        Gamma, and the change of delta over two cents divided by two cents:

        >>> from wheelvec import delta, gamma
        >>> option = {"years": 30 / 365, "rate": 0.04, "volatility": 0.4, "is_call": False}
        >>> f"{gamma(100, 95, **option):.4f}"
        '0.0302'
        >>> f"{(delta(100.01, 95, **option) - delta(99.99, 95, **option)) / 0.02:.4f}"
        '0.0302'
    """
    return _evaluate(
        GAMMA,
        spot,
        strike,
        years,
        rate,
        volatility=volatility,
        is_call=is_call,
        dividend_yield=dividend_yield,
    )


def vega(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Any:
    """Vega of European options, the derivative of `black_scholes` by volatility (Merton 1973).

    S*exp(-q*T)*phi(d1)*sqrt(T), the same for calls and puts, per 1.00 of volatility: divide by 100
    for a percentage point. It is 0 at years = 0 and at volatility = 0, except for the limit
    S*exp(-q*T)*sqrt(T/(2*pi)) at forward = strike.

    The arguments are numbers or array-likes of any shapes that broadcast.

    Args:
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.

    Returns:
        Dollars per share and 1.00 of volatility: a float64 array of the broadcast shape, a NumPy
        float64 scalar if all inputs are scalars. NaN where an input is not finite or out of its
        range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        >>> from wheelvec import vega
        >>> point = vega(100, 95, years=30 / 365, rate=0.04, volatility=0.4, is_call=False) / 100
        >>> f"{point:.3f}"  # dollars per share and percentage point of volatility
        '0.099'
    """
    return _evaluate(
        VEGA,
        spot,
        strike,
        years,
        rate,
        volatility=volatility,
        is_call=is_call,
        dividend_yield=dividend_yield,
    )


def theta(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Any:
    """Theta of European options, minus the derivative of `black_scholes` by years (Merton 1973).

    -S'*phi(d1)*v/(2*sqrt(T)) + q*S'*Phi(d1) - r*K'*Phi(d2) for calls and -S'*phi(d1)*v/(2*sqrt(T))
    - q*S'*Phi(-d1) + r*K'*Phi(-d2) for puts, with S' = S*exp(-q*T) and K' = K*exp(-r*T), per year:
    divide by 365 for a calendar day. At years = 0 or volatility = 0 it is the limit: q*S' - r*K'
    for a call in the money, r*K' - q*S' for a put in the money, half of that at forward = strike,
    and -inf at forward = strike, years = 0 and volatility above 0.

    The arguments are numbers or array-likes of any shapes that broadcast.

    Args:
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.

    Returns:
        Dollars per share and year: a float64 array of the broadcast shape, a NumPy float64 scalar
        if all inputs are scalars. NaN where an input is not finite or out of its range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        >>> from wheelvec import theta
        >>> day = theta(100, 95, years=30 / 365, rate=0.04, volatility=0.4, is_call=False) / 365
        >>> f"{day:.3f}"  # dollars per share and calendar day
        '-0.063'
    """
    return _evaluate(
        THETA,
        spot,
        strike,
        years,
        rate,
        volatility=volatility,
        is_call=is_call,
        dividend_yield=dividend_yield,
    )


def rho(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Any:
    """Rho of European options, the derivative of `black_scholes` by rate (Merton 1973).

    T*K*exp(-r*T)*Phi(d2) for calls, -T*K*exp(-r*T)*Phi(-d2) for puts, per 1.00 of rate: divide by
    100 for a percentage point. At years = 0 it is 0; at volatility = 0 it is the limit, a step at
    forward = strike, where it is half of the step.

    The arguments are numbers or array-likes of any shapes that broadcast.

    Args:
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.

    Returns:
        Dollars per share and 1.00 of rate: a float64 array of the broadcast shape, a NumPy float64
        scalar if all inputs are scalars. NaN where an input is not finite or out of its range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        >>> from wheelvec import rho
        >>> percent = rho(100, 95, years=30 / 365, rate=0.04, volatility=0.4, is_call=False) / 100
        >>> f"{percent:.3f}"  # dollars per share and percentage point of rate
        '-0.026'
    """
    return _evaluate(
        RHO,
        spot,
        strike,
        years,
        rate,
        volatility=volatility,
        is_call=is_call,
        dividend_yield=dividend_yield,
    )
