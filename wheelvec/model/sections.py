"""The sections of a configuration and their fields: default, unit, allowed values and meaning.

They have the names of the sections of a TOML file: [schedule], [put], [call], [liquidity], [fills],
[costs], [pricing]. The texts of help(), docs/reference.md and `wheelvec init` are generated from
these declarations.
"""

import datetime as dt
from typing import ClassVar, TypeAlias

from wheelvec.model.errors import ConfigError
from wheelvec.model.fields import (
    Curve,
    check_section,
    choice,
    config_section,
    curve,
    day,
    flag,
    fraction_of_dollar,
    integer,
    minute,
    names,
    number,
    text,
    weekday_set,
)

FILL_MODES = ("optimistic", "realistic", "pessimistic", "natural")
EXIT_MODELS = ("trigger", "close_range")
PUT_SELECT = (
    "all",
    "closest_delta",
    "highest_premium",
    "highest_strike",
    "closest_otm",
    "closest_premium",
)
CALL_SELECT = PUT_SELECT[1:]
CALL_EARLY = ("none", "ex_div", "at_parity")
PUT_EARLY = ("none", "at_parity")  # no dividend is gained by exercising a put

# Greatest allowed values. A spread is at most twice the mid, so that a limit above 2 has no effect.
# A stop of more than fifty premiums is better written as None.
MAX_SPREAD, MAX_PROBABILITY, MAX_STOP = 3.0, 1.0, 50.0

# The regular close in New York, by the names of its calendar. The close of other calendars is known
# only after loading them.
CLOSES = dict.fromkeys(("NYSE", "XNYS", "NASDAQ", "XNAS", "BATS", "ARCX", "OOTC", "XASE"), "16:00")

Pairs: TypeAlias = tuple[tuple[str, str], ...]
Targets: TypeAlias = tuple[tuple[str, str, str], ...]


def _needed(method: str) -> Targets:
    """The targets that are required by their value of `method`."""
    return (("otm_target", method, "closest_otm"), ("premium_target", method, "closest_premium"))


@config_section("schedule")
class Schedule:
    """On which sessions and underlyings wheels may open (rules.md, section 1).

    The session number i, counted from 0 at start_date, is an entry session if i >= offset, (i -
    offset) is a multiple of `every`, and its ISO weekday is in `weekdays`.

    Example:
        >>> from wheelvec import Schedule
        >>> Schedule(start_date="2023-06-06", symbols=["TSLA"], weekdays=[1]).weekdays
        (1,)
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = (("start_date", "end_date"),)
    targets: ClassVar[Targets] = ()
    start_date: dt.date | str | None = day(
        default=None,
        doc="First date on which a wheel may open, inclusive; None is the first session of the "
        "market.",
    )
    end_date: dt.date | str | None = day(
        default=None,
        doc="Last date on which a wheel may open, inclusive; None is the last session of the "
        "market.",
    )
    symbols: tuple[str, ...] | list[str] | None = names(
        default=None,
        doc="Underlyings, in the order in which they are tried each session; None is all of the "
        "market, sorted. Naming symbols causes survivorship bias: names known today are names "
        "that survived.",
    )
    trading_calendar: str = text(
        default="NYSE",
        pattern=r"\S+",
        allowed="the name of an exchange calendar such as 'NYSE'",
        doc="The exchange calendar, which defines the sessions and their closes.",
    )
    entry_time: str = minute(
        default="15:45",
        doc="The minute of the quotes at which wheels open: a clock time in the calendar's time "
        "zone, before its regular close, or a time before the close of each session such as "
        "'close-15min'.",
    )
    every: int = integer(
        default=1, low=1, unit="sessions", doc="Wheels open on every n-th session only."
    )
    offset: int = integer(
        default=0,
        low=0,
        unit="sessions",
        doc="Number of sessions before the first entry session.",
    )
    weekdays: tuple[int, ...] | list[int] | None = weekday_set(
        default=None, doc="Weekdays on which wheels may open, 1 is Monday; None is all."
    )
    allow_multiple_wheels_per_symbol: bool = flag(
        default=True,
        doc="Whether a wheel may open while an earlier one on its underlying is open. If not, "
        "wheels open only after the exit date of the underlying's last wheel.",
    )
    max_wheels_per_symbol_per_day: int | None = integer(
        default=None,
        low=1,
        optional=True,
        unit="wheels",
        doc="Greatest number of wheels that open on one underlying and session, the first in the "
        "order of expiration, strike and symbol; None is no limit.",
    )

    def __post_init__(self) -> None:
        check_section(self)
        if reason := after_close(self.trading_calendar, self.entry_time):
            raise ConfigError(reason)


def after_close(calendar: str, entry_time: str) -> str:
    """The error message for a clock time at or after the calendar's regular close, or "".

    It is "" for calendars whose close is not in CLOSES.
    """
    close = CLOSES.get(calendar, "24:00")
    if entry_time.startswith("close") or entry_time < close:
        return ""
    return (
        f"schedule.entry_time = {entry_time!r}: expected a time before {close}, the regular close "
        f"of {calendar}, or one such as 'close-15min'"
    )


@config_section("put")
class PutRules:
    """Which put is sold and when it is bought back (rules.md, sections 3 to 6).

    Two names are misleading: an `exit_pct` of 0.25 buys back at 25% of the premium, so it keeps 75%
    of it; a `stop_loss_multiplier` of 2.0 buys back at twice the premium, so it loses one premium.

    Example:
        A put sold at 1.80 dollars per share is bought back at 0.45 with a gain, at 3.60 with a
        loss:

        >>> from wheelvec import PutRules
        >>> rules = PutRules(dte_min=30, dte_max=45, exit_pct=0.25, stop_loss_multiplier=2.0)
        >>> 1.80 * rules.exit_pct, 1.80 * rules.stop_loss_multiplier
        (0.45, 3.6)
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = (
        ("dte_min", "dte_max"),
        ("delta_min", "delta_max"),
        ("otm_min", "otm_max"),
    )
    targets: ClassVar[Targets] = (("delta_target", "select", "closest_delta"), *_needed("select"))
    needed: ClassVar[Targets] = _needed("select")
    option_type: str = choice(
        default="P", names=("P",), doc="The type of the option that opens a wheel: only puts."
    )
    dte_min: int = integer(
        default=30,
        low=0,
        unit="calendar days",
        doc="Least time from the entry session to the expiration.",
    )
    dte_max: int = integer(
        default=45,
        low=0,
        unit="calendar days",
        doc="Greatest time from the entry session to the expiration.",
    )
    delta_min: float = number(
        default=0.25,
        low=0.0,
        high=1.0,
        unit="absolute delta",
        doc="Least delta: 0.25 is a 25-delta put.",
    )
    delta_max: float = number(
        default=0.35, low=0.0, high=1.0, unit="absolute delta", doc="Greatest delta."
    )
    otm_min: float | None = number(
        default=None,
        low=-10.0,
        high=1.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Least distance out of the money: (price - strike) / price of a put; negative is in "
        "the money. None is no limit.",
    )
    otm_max: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Greatest distance out of the money; None is no limit. The delta range applies too; "
        "with a delta range of 0 to 1 only the moneyness decides.",
    )
    exit_pct: float = number(
        default=0.50,
        low=0.0,
        high=1.0,
        unit="fraction of the premium",
        doc="Profit target. The name is misleading: 0.25 buys back at 25% of the premium, so it "
        "keeps 75% of it.",
    )
    stop_loss_multiplier: float | None = number(
        default=2.0,
        above=1.0,
        high=MAX_STOP,
        optional=True,
        unit="multiple of the premium",
        doc="Stop. The name is misleading: 2.0 buys back at twice the premium, so it loses one "
        "premium. None is no stop.",
    )
    max_hold_dte: int | None = integer(
        default=None,
        low=0,
        optional=True,
        unit="calendar days",
        doc="The put is bought back when at most this many days to the expiration are left; None "
        "is no limit. With re-entry this is not a roll: the two orders fill separately.",
    )
    select: str = choice(
        default="all",
        names=PUT_SELECT,
        doc="The candidates of a session that are sold: all, or the best one by the named method.",
    )
    dte_target: int | None = integer(
        default=None,
        low=0,
        optional=True,
        unit="calendar days",
        doc="Only puts of the expiration closest to it are sold, of two the earlier; None is every "
        "expiration in range.",
    )
    delta_target: float | None = number(
        default=None,
        low=0.0,
        high=1.0,
        optional=True,
        unit="absolute delta",
        doc="Target of select = 'closest_delta', the only method that uses it; None is the middle "
        "of the range.",
    )
    otm_target: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Target of select = 'closest_otm', which requires it; no other method uses it.",
    )
    premium_target: float | None = number(
        default=None,
        low=0.0,
        optional=True,
        unit="dollars per share",
        doc="Target mid of select = 'closest_premium', which requires it; no other method uses it.",
    )
    early_assignment: str = choice(
        default="none",
        names=PUT_EARLY,
        doc="When the put's holder exercises it before the expiration: never, or 'at_parity' on "
        "the first session on which it is in the money without time value. A scenario, since "
        "nobody knows; `bounds` shows all of them.",
    )

    def __post_init__(self) -> None:
        check_section(self)


@config_section("call")
class CallRules:
    """Which call is sold against assigned shares, and when it is bought back (rules.md, section 7).

    Example:
        >>> from wheelvec import CallRules
        >>> CallRules(select="highest_strike").tie_break_method
        'highest_strike'
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = (
        ("dte_min", "dte_max"),
        ("delta_min", "delta_max"),
        ("otm_min", "otm_max"),
    )
    targets: ClassVar[Targets] = _needed("tie_break_method")
    needed: ClassVar[Targets] = _needed("tie_break_method")
    dte_min: int = integer(
        default=14,
        low=0,
        unit="calendar days",
        doc="Least time from the call's sale to its expiration.",
    )
    dte_max: int = integer(
        default=30,
        low=0,
        unit="calendar days",
        doc="Greatest time from the call's sale to its expiration.",
    )
    delta_min: float = number(
        default=0.25, low=0.0, high=1.0, unit="absolute delta", doc="Least delta."
    )
    delta_max: float = number(
        default=0.35, low=0.0, high=1.0, unit="absolute delta", doc="Greatest delta."
    )
    otm_min: float | None = number(
        default=None,
        low=-10.0,
        high=1.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Least distance out of the money: (strike - price) / price of a call; negative is in "
        "the money. None is no limit.",
    )
    otm_max: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Greatest distance out of the money; None is no limit. The delta range applies too; "
        "with a delta range of 0 to 1 only the moneyness decides.",
    )
    strike_min_pct_above_basis: float = number(
        default=0.0,
        above=-1.0,
        high=1.0,
        unit="fraction of the basis",
        doc="Least distance of the strike above the basis per share if "
        "sell_call_only_if_price_above_basis is on; negative allows strikes below the basis.",
    )
    sell_call_only_if_price_above_basis: bool = flag(
        default=True,
        doc="Whether the strike must be at or above the basis (the put's strike less its premium). "
        "The name is misleading: the strike is compared, not the price of the underlying.",
    )
    tie_break_method: str = choice(
        default="highest_premium",
        names=CALL_SELECT,
        alias="select",
        doc="The method that selects one of the qualifying calls.",
    )
    otm_target: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Target of tie_break_method = 'closest_otm', which requires it; no other method uses "
        "it.",
    )
    premium_target: float | None = number(
        default=None,
        low=0.0,
        optional=True,
        unit="dollars per share",
        doc="Target mid of tie_break_method = 'closest_premium', which requires it; no other "
        "method uses it.",
    )
    exit_pct: float | None = number(
        default=None,
        low=0.0,
        high=1.0,
        optional=True,
        unit="fraction of the premium",
        doc="Profit target: 0.25 buys back at 25% of the call's premium (keeps 75% of it); None is "
        "the put's exit_pct.",
    )
    stop_loss_multiplier: float | None = number(
        default=None,
        above=1.0,
        high=MAX_STOP,
        optional=True,
        unit="multiple of the premium",
        doc="Stop: 2.0 buys back at twice the call's premium, so it loses one premium; None is no "
        "stop.",
    )
    max_hold_dte: int | None = integer(
        default=None,
        low=0,
        optional=True,
        unit="calendar days",
        doc="The call is bought back when at most this many days to the expiration are left; None "
        "is no limit.",
    )
    max_cycles: int | None = integer(
        default=1,
        low=1,
        optional=True,
        unit="calls",
        doc="Greatest number of calls of a wheel; None sells calls until the shares are called "
        "away.",
    )
    call_wait_sessions: int = integer(
        default=0,
        low=0,
        unit="sessions",
        doc="Number of further sessions on which a call is sought if none qualifies.",
    )
    early_assignment: str = choice(
        default="none",
        names=CALL_EARLY,
        doc="When the call's holder exercises it before the expiration: never; 'ex_div' on the eve "
        "of an ordinary dividend above its time value, which the shares then miss; or 'at_parity' "
        "as the put's. A scenario, since nobody knows; `bounds` shows all of them.",
    )

    def __post_init__(self) -> None:
        check_section(self)

    @property
    def select(self) -> str:
        """The same field as `tie_break_method`.

        Example:
            >>> from wheelvec import CallRules
            >>> CallRules(tie_break_method="highest_strike").select
            'highest_strike'
        """
        return self.tie_break_method


@config_section("liquidity")
class Liquidity:
    """Which spreads are traded, and with which penalty (rules.md, section 3).

    Spreads are fractions of the mid: 0.08 is 8%. No spread exceeds 2, so that a limit of 2 or more
    has no effect. The name `ivp` is misleading: it is a cross-sectional rank of one chain's implied
    volatilities, not a percentile of history.

    Example:
        >>> from wheelvec import Liquidity
        >>> Liquidity(base_max_spread_pct=0.05).base_max_spread_pct
        0.05
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = ()
    targets: ClassVar[Targets] = ()
    min_bid_hard: float = number(
        default=0.10,
        low=0.0,
        unit="dollars per share",
        doc="Options with a lower bid, or without a bid, are not sold.",
    )
    hard_max_spread_pct: float = number(
        default=0.20,
        low=0.0,
        high=10.0,
        unit="fraction of the mid",
        doc="Options with a wider spread are not sold.",
    )
    base_max_spread_pct: float = number(
        default=0.08,
        low=0.0,
        high=MAX_SPREAD,
        unit="fraction of the mid",
        doc="The allowed spread. Spreads up to 0.6 of it are tight, up to all of it moderate, "
        "above it wide.",
    )
    ivp_high_threshold: float = number(
        default=0.70,
        low=0.0,
        high=10.0,
        unit="rank in (0, 1]",
        doc="The least ivp that is high; above 1 none is.",
    )
    ivp_high_max_spread_pct: float = number(
        default=0.12,
        low=0.0,
        high=MAX_SPREAD,
        unit="fraction of the mid",
        doc="The allowed spread if ivp is high.",
    )
    ivp_extreme_threshold: float = number(
        default=0.90,
        low=0.0,
        high=10.0,
        unit="rank in (0, 1]",
        doc="The least ivp that is extreme; above 1 none is.",
    )
    ivp_extreme_max_spread_pct: float = number(
        default=0.15,
        low=0.0,
        high=MAX_SPREAD,
        unit="fraction of the mid",
        doc="The allowed spread if ivp is extreme.",
    )
    short_dte_threshold: int = integer(
        default=7,
        low=0,
        unit="calendar days",
        doc="Greatest time to the expiration at which the extra spread is allowed.",
    )
    short_dte_extra_spread_pct: float = number(
        default=0.02,
        low=0.0,
        high=MAX_SPREAD,
        unit="fraction of the mid",
        doc="Addition to the allowed spread close to the expiration.",
    )
    ivp_min_candidates: int = integer(
        default=1,
        low=0,
        unit="contracts",
        doc="If fewer contracts than this are ranked, ivp is 0.5 for all of them.",
    )
    ivp_over: str = choice(
        default="candidates",
        names=("candidates", "chain"),
        doc="The contracts that ivp ranks: the candidates of the session, or all contracts of "
        "their type in its chain.",
    )


@config_section("fills")
class Fills:
    """At which prices and with which probability orders fill (rules.md, sections 4 and 5).

    Example:
        >>> from wheelvec import Fills
        >>> Fills(fill_mode="pessimistic", execution_seed=7).execution_seed
        7
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = (("pfill_min", "pfill_max"),)
    targets: ClassVar[Targets] = ()
    fill_mode: str = choice(
        default="realistic",
        names=FILL_MODES,
        doc="How far from the mid orders fill; 'natural' sells at the bid.",
    )
    exit_model: str | None = choice(
        default=None,
        names=EXIT_MODELS,
        optional=True,
        doc="The prices at which target and stop fill: 'trigger' at their levels, 'close_range' by "
        "the bar's close and range; None is 'trigger' under the ledger rules and 'close_range' "
        "under v5.",
    )
    tick: float | None = fraction_of_dollar(
        default=None,
        unit="dollars per share",
        doc="The tick of fill prices: sales are rounded down to it, purchases up. 0 does not "
        "round; None is 0.01 under the ledger rules and 0 under v5.",
    )
    gap_path: str = choice(
        default="skip",
        names=("skip", "quote"),
        doc="The test for exits on a session without a bar of the option: 'skip' tests nothing, "
        "'quote' tests its quote instead.",
    )
    use_probabilistic_exit_fills: bool = flag(
        default=True,
        doc="Whether a touch of the target fills with a probability; if not, the first touch "
        "fills.",
    )
    execution_seed: int = integer(
        default=42,
        low=0,
        high=2**64 - 1,
        unit="number",
        doc="The seed of all random draws: the same seed gives the same draws in any order, "
        "process and machine.",
    )
    pfill_tight: float = number(
        default=0.90,
        low=0.0,
        high=MAX_PROBABILITY,
        unit="probability",
        doc="Probability that a touch fills if the spread at entry is tight (tight_spread_pct).",
    )
    pfill_normal: float = number(
        default=0.70,
        low=0.0,
        high=MAX_PROBABILITY,
        unit="probability",
        doc="The same if the spread is normal (normal_spread_pct).",
    )
    pfill_wide: float = number(
        default=0.40,
        low=0.0,
        high=MAX_PROBABILITY,
        unit="probability",
        doc="The same if the spread is wider.",
    )
    pfill_scale: float = number(
        default=0.6,
        low=0.0,
        high=10.0,
        unit="factor",
        doc="Factor of each of these probabilities.",
    )
    pfill_ivp_high_mult: float = number(
        default=0.85,
        low=0.0,
        high=10.0,
        unit="factor",
        doc="Factor of the probability if ivp is high.",
    )
    pfill_ivp_extreme_mult: float = number(
        default=0.70,
        low=0.0,
        high=10.0,
        unit="factor",
        doc="Factor of the probability if ivp is extreme.",
    )
    pfill_min: float = number(
        default=0.05,
        low=0.0,
        high=MAX_PROBABILITY,
        unit="probability",
        doc="The least probability.",
    )
    pfill_max: float = number(
        default=0.98,
        low=0.0,
        high=MAX_PROBABILITY,
        unit="probability",
        doc="The greatest probability.",
    )
    tight_spread_pct: float = number(
        default=0.05,
        low=0.0,
        high=MAX_SPREAD,
        unit="fraction of the mid",
        doc="Greatest spread at entry for which pfill_tight is used.",
    )
    normal_spread_pct: float = number(
        default=0.10,
        low=0.0,
        high=MAX_SPREAD,
        unit="fraction of the mid",
        doc="Greatest spread at entry for which pfill_normal is used.",
    )

    def __post_init__(self) -> None:
        check_section(self)


@config_section("costs")
class Costs:
    """Commissions and fees in dollars (rules.md, section 4).

    An order of one contract costs the commission (base and per contract, at least the minimum) and
    the regulatory fees; a leg that is bought back has two orders.

    Example:
        >>> from wheelvec import Costs
        >>> Costs(commission_per_contract=0.5).commission_per_contract
        0.5
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = ()
    targets: ClassVar[Targets] = ()
    commission_per_contract: float = number(
        default=0.65,
        low=0.0,
        unit="dollars per contract",
        doc="The broker's commission on each contract of an order.",
    )
    commission_base: float = number(
        default=0.0,
        low=0.0,
        unit="dollars per order",
        doc="The broker's commission on each order, for any number of contracts.",
    )
    commission_minimum: float = number(
        default=0.0, low=0.0, unit="dollars per order", doc="The least commission of an order."
    )
    sec_fee_per_contract: float = number(
        default=0.01,
        low=0.0,
        unit="dollars per contract",
        doc="Regulatory fees on each contract of an order.",
    )
    assignment_fee: float = number(
        default=0.0,
        low=0.0,
        unit="dollars per leg",
        doc="The broker's fee for an assignment of the put or the call.",
    )


@config_section("pricing")
class Pricing:
    """Interest rate and dividend yield of the implied volatility (rules.md, section 2).

    Each is a number, or a frame of session and value; a session uses the last value on or before
    it.

    Example:
        >>> from wheelvec import Pricing
        >>> Pricing(rate=[("2023-01-03", 0.043), ("2023-06-01", 0.0525)]).rate[0]
        (datetime.date(2023, 1, 3), 0.043)
    """

    section: ClassVar[str]
    ranges: ClassVar[Pairs] = ()
    targets: ClassVar[Targets] = ()
    rate: Curve = curve(
        default=0.04,
        low=-1.0,
        high=1.0,
        unit="fraction per year, continuously compounded",
        doc="The riskless rate: 0.04 is 4%.",
    )
    dividend_yield: Curve = curve(
        default=0.0,
        low=-1.0,
        high=1.0,
        unit="fraction per year, continuously compounded",
        doc="The dividend yield of the underlying: 0.01 is 1%.",
    )


SECTIONS = {p.section: p for p in (Schedule, PutRules, CallRules, Liquidity, Fills, Costs, Pricing)}
