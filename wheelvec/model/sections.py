"""The sections of a configuration and their fields.

Each with its default, its unit and what it decides.

They bear the names of the sections of a TOML file: [schedule], [put], [call], [liquidity], [fills],
[costs], [pricing]. Everything that is written about fields (help(), docs/reference.md, `wheelvec
init`) is made from these declarations.
"""

import datetime as dt
from typing import ClassVar, TypeAlias

from wheelvec.model.errors import ConfigError
from wheelvec.model.fields import (
    Curve,
    check_part,
    choice,
    curve,
    day,
    flag,
    integer,
    minute,
    names,
    number,
    part,
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

# A spread is at most twice the mid, so that a limit over 2 is none; a fill is at most certain; a
# stop of more than fifty premiums is no stop, which None is.
WIDEST, CERTAIN, LOOSEST_STOP = 3.0, 1.0, 50.0

# The regular close in New York, by the names of its calendar; that of any other calendar is known
# once it is loaded.
CLOSES = dict.fromkeys(("NYSE", "XNYS", "NASDAQ", "XNAS", "BATS", "ARCX", "OOTC", "XASE"), "16:00")

Pairs: TypeAlias = tuple[tuple[str, str], ...]
Targets: TypeAlias = tuple[tuple[str, str, str], ...]


def _needed(method: str) -> Targets:
    """The targets without which their choice of `method` says nothing."""
    return (("otm_target", method, "closest_otm"), ("premium_target", method, "closest_premium"))


@part("schedule")
class Schedule:
    """When and on what wheels may be opened (rules.md, section 1).

    A session with number i (0 at start_date) is an entry session if i >= offset, (i - offset) is a
    multiple of `every`, and its ISO weekday is in `weekdays`.

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
        doc="First date on which a wheel may open, inclusive; None is the first session of the market.",
    )
    end_date: dt.date | str | None = day(
        default=None,
        doc="Last date on which a wheel may open, inclusive; None is the last session of the market.",
    )
    symbols: tuple[str, ...] | list[str] | None = names(
        default=None,
        doc="Underlyings, in the order in which they are tried each session; None is all that the market holds, sorted. "
        "Naming symbols is hindsight: those you thought of are those that survived.",
    )
    trading_calendar: str = text(
        default="NYSE",
        pattern=r"\S+",
        allowed="the name of an exchange calendar such as 'NYSE'",
        doc="Which days are sessions, and when they close.",
    )
    entry_time: str = minute(
        default="15:45",
        doc="The minute of the quotes at which wheels open: a clock time in the calendar's zone, before its regular close, or "
        "'close-15min', that long before each session's own close.",
    )
    every: int = integer(
        default=1, low=1, unit="sessions", doc="Wheels open on every so many-th session only."
    )
    offset: int = integer(
        default=0,
        low=0,
        unit="sessions",
        doc="How many sessions of the range pass before the first entry.",
    )
    weekdays: tuple[int, ...] | list[int] | None = weekday_set(
        default=None, doc="Weekdays on which wheels may open, 1 is Monday; None is all."
    )
    allow_multiple_wheels_per_symbol: bool = flag(
        default=True,
        doc="Whether a wheel may open while an earlier one on its underlying is open. If not, only after the exit date of the "
        "underlying's last wheel.",
    )
    max_wheels_per_symbol_per_day: int | None = integer(
        default=None,
        low=1,
        optional=True,
        unit="wheels",
        doc="How many wheels may open on one underlying and session, the first in order of expiration, strike and symbol; "
        "None is no limit.",
    )

    def __post_init__(self) -> None:
        check_part(self)
        if reason := after_close(self.trading_calendar, self.entry_time):
            raise ConfigError(reason)


def after_close(calendar: str, entry_time: str) -> str:
    """Say that a clock time is at or after the calendar's regular close, where that is known.

    Else nothing.
    """
    close = CLOSES.get(calendar, "24:00")
    if entry_time.startswith("close") or entry_time < close:
        return ""
    return (
        f"schedule.entry_time = {entry_time!r}: expected a time before {close}, the regular close of {calendar}, "
        "or one such as 'close-15min'"
    )


@part("put")
class PutRules:
    """Which put is sold and when it is bought back (rules.md, sections 3 to 6).

    Beware of two names: `exit_pct` 0.25 buys back at 25% of the premium, so it keeps 75% of it; a
        `stop_loss_multiplier`
    of 2.0 buys back at twice the premium, so it loses one premium.

    Example:
        >>> from wheelvec import PutRules
        >>> rules = PutRules(dte_min=30, dte_max=45, exit_pct=0.25, stop_loss_multiplier=2.0)
        # dollars per share; the put is bought back at 0.45 with a gain, at 3.60 with a loss
        >>> premium = 1.80
        >>> premium * rules.exit_pct, premium * rules.stop_loss_multiplier
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
        default="P", names=("P",), doc="The option that is sold to open: puts, no other yet."
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
        doc="Least distance out of the money: (price - strike) / price of a put; negative is in the money. None is any.",
    )
    otm_max: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Greatest distance out of the money; None is any. It acts beside the delta range: 0 to 1 goes by moneyness alone.",
    )
    exit_pct: float = number(
        default=0.50,
        low=0.0,
        high=1.0,
        unit="fraction of the premium",
        doc="Profit target. Beware of the name: 0.25 buys back at 25% of the premium, so it keeps 75% of it.",
    )
    stop_loss_multiplier: float | None = number(
        default=2.0,
        above=1.0,
        high=LOOSEST_STOP,
        optional=True,
        unit="multiple of the premium",
        doc="Stop. Beware of the name: 2.0 buys back at twice the premium, so it loses one premium. None is no stop.",
    )
    max_hold_dte: int | None = integer(
        default=None,
        low=0,
        optional=True,
        unit="calendar days",
        doc="Buys back once so few days to the expiration are left; None holds on. With re-entry it is no roll: the two orders "
        "fill apart.",
    )
    select: str = choice(
        default="all",
        names=PUT_SELECT,
        doc="Which of a session's candidates open: all, or the one that is best by the method named.",
    )
    dte_target: int | None = integer(
        default=None,
        low=0,
        optional=True,
        unit="calendar days",
        doc="Only the expiration closest to it is sold (of two, the nearer); None is every expiration in range.",
    )
    delta_target: float | None = number(
        default=None,
        low=0.0,
        high=1.0,
        optional=True,
        unit="absolute delta",
        doc="What select = 'closest_delta' is closest to, which alone reads it; None is the middle of the range.",
    )
    otm_target: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="What select = 'closest_otm' is closest to, which alone reads it and needs it.",
    )
    premium_target: float | None = number(
        default=None,
        low=0.0,
        optional=True,
        unit="dollars per share",
        doc="The mid that select = 'closest_premium' is closest to, which alone reads it and needs it.",
    )

    def __post_init__(self) -> None:
        check_part(self)


@part("call")
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
        doc="Least distance out of the money: (strike - price) / price of a call; negative is in the money. None is any.",
    )
    otm_max: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="Greatest distance out of the money; None is any. It acts beside the delta range: 0 to 1 goes by moneyness alone.",
    )
    strike_min_pct_above_basis: float = number(
        default=0.0,
        above=-1.0,
        high=1.0,
        unit="fraction of the basis",
        doc="How far over the basis per share the strike must lie, where sell_call_only_if_price_above_basis is on; negative "
        "allows strikes below it.",
    )
    sell_call_only_if_price_above_basis: bool = flag(
        default=True,
        doc="Whether the strike must lie at or over the basis (the put's strike less its premium). Beware of the name: it is "
        "the strike that is compared, not the price of the underlying.",
    )
    tie_break_method: str = choice(
        default="highest_premium",
        names=CALL_SELECT,
        alias="select",
        doc="The choice among qualifying calls.",
    )
    otm_target: float | None = number(
        default=None,
        low=-10.0,
        high=10.0,
        optional=True,
        unit="fraction of the underlying's price",
        doc="What tie_break_method = 'closest_otm' is closest to, which alone reads it and needs it.",
    )
    premium_target: float | None = number(
        default=None,
        low=0.0,
        optional=True,
        unit="dollars per share",
        doc="The mid that tie_break_method = 'closest_premium' is closest to, which alone reads it and needs it.",
    )
    exit_pct: float | None = number(
        default=None,
        low=0.0,
        high=1.0,
        optional=True,
        unit="fraction of the premium",
        doc="Profit target: 0.25 buys back at 25% of the call's premium (keeps 75% of it); None is the put's exit_pct.",
    )
    stop_loss_multiplier: float | None = number(
        default=None,
        above=1.0,
        high=LOOSEST_STOP,
        optional=True,
        unit="multiple of the premium",
        doc="Stop: 2.0 buys back at twice the call's premium, so it loses one premium; None is no stop.",
    )
    max_hold_dte: int | None = integer(
        default=None,
        low=0,
        optional=True,
        unit="calendar days",
        doc="Buys back once so few days to the expiration are left; None holds on.",
    )
    max_cycles: int | None = integer(
        default=1,
        low=1,
        optional=True,
        unit="calls",
        doc="How many calls are sold; None is until the shares are called away.",
    )
    call_wait_sessions: int = integer(
        default=0,
        low=0,
        unit="sessions",
        doc="On how many further sessions a call is sought while none qualifies.",
    )

    def __post_init__(self) -> None:
        check_part(self)

    @property
    def select(self) -> str:
        """The same field as `tie_break_method`.

        Example:
            >>> from wheelvec import CallRules
            >>> CallRules(tie_break_method="highest_strike").select
            'highest_strike'
        """
        return self.tie_break_method


@part("liquidity")
class Liquidity:
    """Which spreads are traded, and at what penalty (rules.md, section 3).

    Spreads are fractions of the mid: 0.08 is 8%, and none exceeds 2, so that a limit of 2 to 3 is
        none. Beware of a name:
    `ivp` is a cross-sectional rank of one chain's implied volatilities, not a percentile of
    history.

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
        doc="Options with a lower bid, or none, are not sold.",
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
        high=WIDEST,
        unit="fraction of the mid",
        doc="The allowed spread: up to 0.6 of it is tight, up to all of it moderate, beyond it wide.",
    )
    ivp_high_threshold: float = number(
        default=0.70,
        low=0.0,
        high=10.0,
        unit="rank in (0, 1]",
        doc="The ivp from which a volatility is high; over 1 is never.",
    )
    ivp_high_max_spread_pct: float = number(
        default=0.12,
        low=0.0,
        high=WIDEST,
        unit="fraction of the mid",
        doc="The allowed spread where ivp is high.",
    )
    ivp_extreme_threshold: float = number(
        default=0.90,
        low=0.0,
        high=10.0,
        unit="rank in (0, 1]",
        doc="The ivp from which it is extreme; over 1 is never.",
    )
    ivp_extreme_max_spread_pct: float = number(
        default=0.15,
        low=0.0,
        high=WIDEST,
        unit="fraction of the mid",
        doc="The allowed spread where ivp is extreme.",
    )
    short_dte_threshold: int = integer(
        default=7,
        low=0,
        unit="calendar days",
        doc="Up to so many days to the expiration the extra spread is allowed.",
    )
    short_dte_extra_spread_pct: float = number(
        default=0.02,
        low=0.0,
        high=WIDEST,
        unit="fraction of the mid",
        doc="What is added to the allowed spread close to the expiration.",
    )
    ivp_min_candidates: int = integer(
        default=1,
        low=0,
        unit="contracts",
        doc="With fewer contracts to rank, ivp is 0.5 for all of them.",
    )
    ivp_over: str = choice(
        default="candidates",
        names=("candidates", "chain"),
        doc="Among what ivp ranks: the candidates of the session alone, or all contracts of their type in its chain.",
    )


@part("fills")
class Fills:
    """At what prices, and with what luck, orders fill (rules.md, sections 4 and 5).

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
        doc="At what price target and stop fill: 'trigger' at their levels, 'close_range' at the bar's close and range; None "
        "is 'trigger' under the ledger rules and 'close_range' under v5.",
    )
    tick: float | None = number(
        default=None,
        low=0.0,
        high=1.0,
        optional=True,
        unit="dollars per share",
        doc="The tick on which orders fill: what is sold is rounded down to it, what is bought up. 0 leaves prices as "
        "computed; None is 0.01 under the ledger rules and 0 under v5.",
    )
    gap_path: str = choice(
        default="skip",
        names=("skip", "quote"),
        doc="What a session without a bar of the option does: 'skip' tests nothing on it, 'quote' lets its quote stand in.",
    )
    use_probabilistic_exit_fills: bool = flag(
        default=True,
        doc="Whether a touch of the target fills by chance; if not, the first touch fills.",
    )
    execution_seed: int = integer(
        default=42,
        low=0,
        high=2**64 - 1,
        unit="number",
        doc="The only source of chance: the same seed gives the same draws in any order, process and machine.",
    )
    pfill_tight: float = number(
        default=0.90,
        low=0.0,
        high=CERTAIN,
        unit="probability",
        doc="Chance that a touch fills where the spread at entry is tight (tight_spread_pct).",
    )
    pfill_normal: float = number(
        default=0.70,
        low=0.0,
        high=CERTAIN,
        unit="probability",
        doc="The same where the spread is normal (normal_spread_pct).",
    )
    pfill_wide: float = number(
        default=0.40,
        low=0.0,
        high=CERTAIN,
        unit="probability",
        doc="The same where the spread is wider.",
    )
    pfill_scale: float = number(
        default=0.6,
        low=0.0,
        high=10.0,
        unit="factor",
        doc="What each of these chances is multiplied with.",
    )
    pfill_ivp_high_mult: float = number(
        default=0.85,
        low=0.0,
        high=10.0,
        unit="factor",
        doc="What the chance is multiplied with where ivp is high.",
    )
    pfill_ivp_extreme_mult: float = number(
        default=0.70,
        low=0.0,
        high=10.0,
        unit="factor",
        doc="What the chance is multiplied with where ivp is extreme.",
    )
    pfill_min: float = number(
        default=0.05, low=0.0, high=CERTAIN, unit="probability", doc="The chance is never less."
    )
    pfill_max: float = number(
        default=0.98, low=0.0, high=CERTAIN, unit="probability", doc="The chance is never more."
    )
    tight_spread_pct: float = number(
        default=0.05,
        low=0.0,
        high=WIDEST,
        unit="fraction of the mid",
        doc="Up to this spread at entry pfill_tight holds.",
    )
    normal_spread_pct: float = number(
        default=0.10,
        low=0.0,
        high=WIDEST,
        unit="fraction of the mid",
        doc="Up to this spread at entry pfill_normal holds.",
    )

    def __post_init__(self) -> None:
        check_part(self)


@part("costs")
class Costs:
    """Fees in dollars.

    An order of one contract costs the commission (base and per contract, at least the minimum) and
    the regulatory fees; a leg that is bought back pays two orders (rules.md, section 4).

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
        doc="The broker's commission on each transaction.",
    )
    commission_base: float = number(
        default=0.0,
        low=0.0,
        unit="dollars per order",
        doc="What the broker adds to each order, whatever its contracts.",
    )
    commission_minimum: float = number(
        default=0.0, low=0.0, unit="dollars per order", doc="The least commission of an order."
    )
    sec_fee_per_contract: float = number(
        default=0.01,
        low=0.0,
        unit="dollars per contract",
        doc="Regulatory fees on each transaction.",
    )
    assignment_fee: float = number(
        default=0.0,
        low=0.0,
        unit="dollars per leg",
        doc="What being assigned or called away costs, once.",
    )


@part("pricing")
class Pricing:
    """What the implied volatility assumes (rules.md, section 2).

    Each is a number, or a frame of session and value, of which the last on or before a session
    counts.

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
